"""One seed, from its plan to its verdict.

simulate: builds the world, lets the nemesis loose, heals, waits until all is at rest, and audits.
"""

import asyncio
import json
import logging
import tempfile
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Final

from tests.sim.auditor import Evidence, Known, Recorded, audit
from tests.sim.broker import BrokerOptions
from tests.sim.loop import Stuck, running
from tests.sim.nemesis import FAULTS, heal
from tests.sim.source import Disorder
from tests.sim.tally import CELLS, HOUSING, NAME, OUT, PACKING
from tests.sim.world import Plan, World, put_in

MEMORY: Final = Path("/dev/shm")  # noqa: S108 - outboxes in memory; their folder has a name of its own
LIVE_S_MAX: Final = 150.0
TIME_S_MAX: Final = 900.0
REST_S: Final = 3.0
SMALL_SHARE: Final = 0.3
TURNS_MAX: Final = 8

Script = Callable[[World], Awaitable[None]]
Look = Callable[[World], list[str]]


@dataclass(frozen=True)
class Scheduled:
    """A fault and when it begins."""

    at_s: float
    name: str


@dataclass
class Outcome:
    """What came of a seed. `lines`: the trace, if it was kept."""

    seed: int
    digest: str
    findings: list[str]
    virtual_s: float
    facts: int
    faults: list[Scheduled] = field(default_factory=list)
    lines: list[str] = field(default_factory=list)


def nothing_more(_world: World) -> list[str]:
    """The auditor is enough."""
    return []


def plan_of(seed: int) -> tuple[Plan, list[Scheduled]]:
    """What a seed means."""
    rng = Random(f"{seed}:plan")
    lines = (HOUSING, PACKING)[: rng.choice((1, 1, 1, 2))]
    known = [source for source, cell in CELLS.items() if cell.startswith(lines)]
    sources = tuple(known if rng.random() < 0.6 else known[:1])
    busy_s = rng.uniform(10, 50)
    small = BrokerOptions(rng.uniform(1, 20), rng.randint(300, 1_000), rng.randint(20, 100))
    large = BrokerOptions(rng.uniform(1, 60))
    disorder = Disorder(rng.choice((1, 1, 3, 10)), rng.choice((1, 1, 5, 40)))
    wire = (small, Disorder()) if rng.random() < SMALL_SHARE else (large, disorder)
    plan = Plan(seed, sources, lines, rng.choice((0.5, 1.0, 3.0)), busy_s, *wire)
    names = rng.choices(sorted(FAULTS), k=rng.randint(1, 7))
    faults = [Scheduled(rng.uniform(1, busy_s + 5), name) for name in names]
    return plan, sorted(faults, key=lambda fault: (fault.at_s, fault.name))


def simulate(seed: int, *, keep: bool = False, look: Look = nothing_more) -> Outcome:
    """Run a seed. `look` may find more in the end."""
    plan, faults = plan_of(seed)

    async def script(world: World) -> None:
        loop = asyncio.get_running_loop()
        under_way = [loop.create_task(_fault(world, fault, n)) for n, fault in enumerate(faults)]
        await asyncio.sleep(plan.busy_s)
        await asyncio.gather(*under_way)

    outcome = run(plan, script, keep=keep, look=look)
    outcome.faults = faults
    return outcome


async def _fault(world: World, fault: Scheduled, n: int) -> None:
    await asyncio.sleep(fault.at_s)
    world.trace.note("fault", fault.name)
    await FAULTS[fault.name](world, world.rng(f"fault {n}"))


def run(plan: Plan, script: Script, *, keep: bool = False, look: Look = nothing_more) -> Outcome:
    """Run a plan through a script; then heal, wait for rest, and audit."""
    with (
        silence(),
        tempfile.TemporaryDirectory(dir=MEMORY if MEMORY.is_dir() else None) as folder,
        running(Random(f"{plan.seed}:loop"), TIME_S_MAX) as loop,
    ):
        world = World(plan, Path(folder), loop, keep=keep)
        with put_in(world):
            findings = _play(world, script)
            virtual_s = loop.time()
            findings += [*audit(evidence(world)), *world.errors, *loop.errors, *look(world)]
    lines = world.trace.lines or []
    facts = len(world.ledger.facts)
    return Outcome(plan.seed, world.trace.digest, findings, virtual_s, facts, lines=lines)


def _play(world: World, script: Script) -> list[str]:
    """Until all is at rest and nobody lives."""
    try:
        world.loop.run_until_complete(_whole(world, script))
    except Stuck as stuck:
        return [f"I6 {stuck}"]
    finally:
        for instance in world.instances.values():
            if instance.process:
                instance.process.kill()
    return []


@contextmanager
def silence() -> Iterator[None]:
    """What a fault makes the product log is no news here."""
    before = logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    try:
        yield
    finally:
        logging.disable(before)


async def _whole(world: World, script: Script) -> None:
    for instance in world.instances.values():
        if instance.wanted:
            world.start(instance)
    world.busy.set()
    await script(world)
    await heal(world)
    await asyncio.sleep(REST_S)
    await _all_speak(world)
    world.busy.clear()
    healed_s = world.loop.time()
    for _ in range(TURNS_MAX):
        await _rest(world, healed_s + LIVE_S_MAX)
        if not (waiting := world.waiting_elsewhere()):
            return
        healed_s = world.loop.time()
        for instance in waiting:
            world.start(instance)


async def _all_speak(world: World) -> None:
    """A restored outbox has lost events: what lies behind them waits for the source's next one."""
    since_s = world.loop.time()
    while silent := set(world.plan.sources) - {
        fact.source for fact in world.ledger.facts if fact.at_s > since_s
    }:
        if world.loop.time() > since_s + LIVE_S_MAX:
            raise Stuck(f"silent for {LIVE_S_MAX:.0f} s: {sorted(silent)}")
        await asyncio.sleep(1.0)


async def _rest(world: World, until_s: float) -> None:
    """Everything that was said is settled, and nothing more follows."""
    calm_s = 0.0
    while calm_s < REST_S:
        if world.loop.time() > until_s:
            raise Stuck(f"not live again after {LIVE_S_MAX:.0f} s: {world.unsettled()}")
        await asyncio.sleep(1.0)
        calm_s = 0.0 if world.unsettled() else calm_s + 1.0


def evidence(world: World) -> Evidence:
    """What the auditor gets to see."""
    facts = [
        Known(f.name, f.source, f.good, f.scrap, f.may_be_lost, f.output_may_be_lost)
        for f in world.ledger.facts
    ]
    record = [
        Recorded(written.commit, kind, written.row.topic, json.loads(_text(written.row)))
        for kind, written in world.disk.journal
        if kind in ("events", "states", "resumes")
    ]
    return Evidence(facts, record, dict(world.broker.retained), NAME, OUT)


def _text(row: object) -> str:
    return str(getattr(row, "payload", None) or getattr(row, "document", None))
