"""Crash at every step: one short run for each call by which a process reaches the outside world.

A step is a packet, an outbox transaction or a commit. The process dies before it; what it did
before stands. With `forgetful` the broker dies in the same moment and falls back to its autosave.
"""

import asyncio
from typing import Final

from tests.sim.run import Outcome, run
from tests.sim.tally import CELLS
from tests.sim.world import Instance, Plan, World

ROLES: Final = ("runner", "historian", "source")
BUSY_S: Final = 2.5
AGAIN_S: Final = 0.5
PLAN: Final = Plan(seed=1, sources=(next(iter(CELLS)),), per_s=2.0, busy_s=BUSY_S)


def count_steps(role: str) -> int:
    """How many steps the first process of a role takes."""
    steps = []

    async def script(world: World) -> None:
        await asyncio.sleep(BUSY_S)
        process = _first(world, role).process
        assert process
        steps.append(process.steps)

    outcome = run(PLAN, script)
    assert not outcome.findings, outcome.findings
    return steps[0]


def crash_at(role: str, step: int, *, forgetful: bool) -> Outcome:
    """Run with a crash of a role's first process at one of its steps."""

    async def script(world: World) -> None:
        loop, instance = asyncio.get_running_loop(), _first(world, role)
        assert instance.process
        instance.process.die_at = step
        await instance.over(BUSY_S)
        if forgetful:
            world.broker.crash()
        await asyncio.sleep(AGAIN_S)
        world.broker.start()
        world.start(instance)
        await asyncio.sleep(max(0.0, BUSY_S - loop.time()))

    return run(PLAN, script)


def crashes(role: str, *, forgetful: bool) -> tuple[int, dict[int, list[str]]]:
    """A crash at each step of a role: how many there are, and what was found, by step."""
    steps, found = count_steps(role), {}
    for step in range(1, steps + 1):
        if findings := crash_at(role, step, forgetful=forgetful).findings:
            found[step] = findings
    return steps, found


def _first(world: World, role: str) -> Instance:
    return world.of(role)[0]
