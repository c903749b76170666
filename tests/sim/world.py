"""One simulated plant: processes, network, broker, disks, and who is started again.

Everything is the product's own code but paho, the socket, the store, the clock and chance; the
table in `_replaced` says where those come in. Every choice comes from the seed.
"""

import asyncio
import contextlib
import importlib
import sqlite3
from collections.abc import Callable, Coroutine, Iterator
from contextvars import copy_context
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any, Final

from tests.sim.broker import BrokerOptions, SimBroker
from tests.sim.loop import Process, VirtualLoop
from tests.sim.network import Network
from tests.sim.source import Disorder, Ledger, Source, SourceWiring
from tests.sim.store import Disk, MemoryRecord, MemoryStore
from tests.sim.tally import ENTERPRISE, HOUSING, NAME, Tally, Total, plant
from tests.sim.trace import Trace
from tests.sim.wire import SimPaho, SimWire
from uns.codec import Codec
from uns.historian.owners import line_readers
from uns.historian.sayings import last_will, own_topics
from uns.historian.service import Historian, HistorianWiring
from uns.historian.writer import Writer
from uns.model.plant import digest
from uns.mqtt.client import MqttClient
from uns.mqtt.errors import TakenOver
from uns.mqtt.message import Address
from uns.runtime.clock import PlantClock
from uns.runtime.errors import Fenced
from uns.runtime.outbox import Entry, Outbox
from uns.runtime.ownership import Claimant
from uns.runtime.runner import Runner, RunnerWiring

EPOCH_MS: Final = 1_795_410_000_000
ADDRESS: Final = Address("broker", 1883)
AGAIN_S: Final = 1.0
HISTORIAN: Final = "historian"


@dataclass(frozen=True)
class Plan:
    """What a seed means, before anything goes wrong. `busy_s`: how long facts are made."""

    seed: int
    sources: tuple[str, ...]
    lines: tuple[str, ...] = (HOUSING,)
    per_s: float = 1.0
    busy_s: float = 40.0
    broker: BrokerOptions = field(default_factory=BrokerOptions)
    disorder: Disorder = field(default_factory=Disorder)


@dataclass
class Instance:
    """One place where a role may run. `path`: its outbox. `wanted`: it is started if it ended."""

    name: str
    role: str
    work: Callable[["Instance", Process], Coroutine[Any, Any, None]]
    path: Path
    wanted: bool = True
    process: Process | None = None
    task: asyncio.Task[None] | None = None
    outbox: "SimOutbox | None" = None

    @property
    def runs(self) -> bool:
        """Whether it lives, stopped or not."""
        return self.process is not None and self.process.alive

    async def over(self, within_s: float) -> None:
        """Wait until its process has ended, but not longer than that."""
        if self.task and self.runs:
            await asyncio.wait({self.task}, timeout=within_s)


class SimOutbox(Outbox):
    """The real outbox; a dead process writes nothing."""

    def __init__(self, path: Path, process: Process, world: "World") -> None:
        process.step()
        self._process = process
        chance = world.rng(f"{process.name} epochs").randrange
        super().__init__(path, clock=world.wall_ms, chance=chance)
        process.at_death.append(self.close)

    def append(self, *args: Any, **options: Any) -> list[Entry]:
        self._process.step()
        return super().append(*args, **options)

    def settle(self, source: str, epoch: int, seq: int) -> int:
        self._process.step()
        return super().settle(source, epoch, seq)

    def renew(self, *args: Any, **options: Any) -> int:
        self._process.step()
        return super().renew(*args, **options)


class World:
    """The simulated plant; build it on a loop that `simulate` runs."""

    def __init__(self, plan: Plan, folder: Path, loop: VirtualLoop, *, keep: bool = False) -> None:
        self.plan, self.folder, self.loop = plan, folder, loop
        self.trace = Trace(loop.time, keep=keep)
        self.ledger = Ledger()
        self.disk = Disk(self.trace)
        self.broker = SimBroker(loop, self.rng("broker"), plan.broker, self.trace)
        self.net = Network(loop, self.rng("net"), self.broker, copy_context())
        self.errors: list[str] = []
        self.wall_ahead_ms = 0
        self.busy = asyncio.Event()
        self._codec = Codec(plant())
        self._lives = self._copies = 0
        self.instances = {instance.name: instance for instance in self._instances()}

    def rng(self, purpose: str) -> Random:
        """Chance for one purpose: more of it elsewhere changes nothing here."""
        return Random(f"{self.plan.seed}:{purpose}")

    def wall_ms(self) -> int:
        """Wall time."""
        return EPOCH_MS + self.wall_ahead_ms + int(self.loop.time() * 1000)

    def start(self, instance: Instance) -> None:
        """Start it, unless it runs."""
        if instance.runs:
            return
        self._lives += 1
        process = Process(f"{instance.name}.{self._lives}", self.loop)
        self.trace.note("start", process.name)
        instance.process = process
        instance.task = process.start(instance.work(instance, process))
        instance.task.add_done_callback(lambda task: self._ended(instance, process, task))

    def of(self, role: str) -> list[Instance]:
        """The instances of a role; of all that begin with its name."""
        return [one for one in self.instances.values() if one.role.startswith(role)]

    def kill(self, instance: Instance) -> None:
        """kill -9."""
        self.trace.note("kill", instance.name)
        if instance.process:
            instance.process.kill()

    def copy_outbox(self, instance: Instance) -> Path | None:
        """A copy of its file as it is now."""
        if not instance.path.exists():
            return None
        self._copies += 1
        copy = instance.path.with_suffix(f".{self._copies}")
        with (
            contextlib.closing(sqlite3.connect(instance.path)) as db,
            contextlib.closing(sqlite3.connect(copy)) as there,
        ):
            db.backup(there)
        return copy

    def restore_outbox(self, instance: Instance, copy: Path) -> None:
        """Put an old copy where its file was."""
        for end in ("", "-wal", "-shm"):
            instance.path.with_name(instance.path.name + end).unlink(missing_ok=True)
        copy.rename(instance.path)

    def unsettled(self) -> dict[str, int]:
        """What is not at rest: outboxes that hold something, roles that nobody has (-1)."""
        found = {}
        for instance in self.instances.values():
            if not instance.runs:
                if instance.wanted and not any(other.runs for other in self.of(instance.role)):
                    found[instance.name] = -1
            elif instance.outbox and len(instance.outbox):
                found[instance.name] = len(instance.outbox)
        return found

    def waiting_elsewhere(self) -> list[Instance]:
        """Instances that do not run, with something in their outbox: they own first."""
        return [one for one in self.instances.values() if not one.runs and _waits(one.path)]

    def _ended(self, instance: Instance, process: Process, task: asyncio.Task[None]) -> None:
        error = None if task.cancelled() else task.exception()
        was_alive, process.alive = process.alive, False
        for die in process.at_death if was_alive else ():
            die()
        if not was_alive:
            return
        self.trace.note("end", process.name, type(error).__name__)
        if error and not is_fenced(error):
            self.errors.append(f"{process.name} crashed: {_leaves(error)}")
        self.loop.call_later(AGAIN_S, self._again, instance.role)

    def _again(self, role: str) -> None:
        """What nobody runs any more, whoever ended last, runs again where it should."""
        able = self.of(role)
        if not any(one.runs for one in able):
            for one in able:
                if one.wanted:
                    self.start(one)

    def _instances(self) -> Iterator[Instance]:
        box = self.folder
        yield Instance(HISTORIAN, HISTORIAN, self._historian, box / "none")
        for source in self.plan.sources:
            name = source_name(source)
            yield Instance(name, name, self._source(source), box / f"{name}.sqlite")
        for line in self.plan.lines:
            role = runner_role(line.replace("/", "."))
            for which in "ab":
                name = f"{role}-{which}"
                work = self._runner(line)
                yield Instance(name, role, work, box / f"{name}.sqlite", wanted=which == "a")

    def _historian(self, _instance: Instance, process: Process) -> Coroutine[Any, Any, None]:
        async def work() -> None:
            clock = PlantClock(EPOCH_MS, EPOCH_MS)
            store = MemoryStore(self.disk, process)
            readers = line_readers(plant().lines, {NAME: Tally.states})
            writer = Writer(self._codec, store, readers, own_topics(ENTERPRISE))
            will = last_will(ENTERPRISE, "main", clock())
            client = MqttClient(ADDRESS, HISTORIAN, will=will)
            chance = self.rng(process.name)
            wiring = HistorianWiring("main", ENTERPRISE, client, store, writer, clock, chance)
            async with client:
                await Historian(wiring).run()

        return work()

    def _source(self, source: str) -> Callable[[Instance, Process], Coroutine[Any, Any, None]]:
        async def work(instance: Instance, process: Process) -> None:
            instance.outbox = SimOutbox(instance.path, process, self)
            wiring = SourceWiring(
                source=source,
                ledger=self.ledger,
                outbox=instance.outbox,
                client=MqttClient(ADDRESS, instance.name),
                clock=PlantClock(EPOCH_MS, EPOCH_MS),
                rng=self.rng(process.name),
                per_s=self.plan.per_s,
                disorder=self.plan.disorder,
                busy=self.busy,
            )
            await Source(wiring).run()

        return work

    def _runner(self, line: str) -> Callable[[Instance, Process], Coroutine[Any, Any, None]]:
        async def work(instance: Instance, process: Process) -> None:
            rng = self.rng(process.name)
            instance.outbox = SimOutbox(instance.path, process, self)

            def visit() -> MqttClient:
                name = f"visitor-{rng.getrandbits(32):x}"
                return MqttClient(ADDRESS, name, clean_session=True, once=True)

            wiring: RunnerWiring[Total] = RunnerWiring(
                processor=Tally(),
                line=line,
                enterprise=ENTERPRISE,
                plant=digest(plant()),
                codec=self._codec,
                client=MqttClient(ADDRESS, f"processor.{NAME}.{line.replace('/', '.')}"),
                visit=visit,
                claimant=Claimant(process.name, f"{rng.getrandbits(64):x}"),
                outbox=instance.outbox,
                clock=PlantClock(EPOCH_MS, EPOCH_MS),
                record=MemoryRecord(self.disk, process, rng, self._codec),
            )
            await Runner(wiring).run()

        return work


def source_name(source: str) -> str:
    """The instance of a source."""
    return f"source-{source.replace(':', '-')}"


def runner_role(dotted: str) -> str:
    """The role of whoever runs a line."""
    return f"runner-{dotted.rpartition('.')[2]}"


def _waits(path: Path) -> bool:
    if not path.exists():
        return False
    with contextlib.closing(sqlite3.connect(path)) as db:
        return bool(db.execute("select count(*) from entry").fetchone()[0])


def is_fenced(error: BaseException) -> bool:
    """Whether a process ended because another one owns its work now."""
    return any(isinstance(leaf, Fenced | TakenOver) for leaf in _leaves(error))


def _leaves(error: BaseException) -> list[BaseException]:
    if isinstance(error, BaseExceptionGroup):
        return [leaf for inner in error.exceptions for leaf in _leaves(inner)]
    return [error]


def replaced(world: World) -> list[tuple[str, str, Any]]:
    """(module, name, what stands there meanwhile)."""
    return [
        ("uns.mqtt.client", "paho_client", SimPaho),
        ("uns.mqtt.client", "Wire", SimWire),
        ("uns.mqtt.link", "dial", world.net.dial),
        ("uns.mqtt.link", "jitter", world.rng("jitter").random),
        ("uns.runtime.clock", "wall_ms", world.wall_ms),
    ]


@contextlib.contextmanager
def put_in(world: World) -> Iterator[None]:
    """The outside world is the simulated one, for as long as the context lasts."""
    before = []
    for module_name, name, value in replaced(world):
        module = importlib.import_module(module_name)
        before.append((module, name, getattr(module, name)))
        setattr(module, name, value)
    try:
        yield
    finally:
        for module, name, value in reversed(before):
            setattr(module, name, value)
