"""What exactly-once costs: source -> broker -> runner -> historian, with protection and without.

Both ways run in the same minutes, in turns, each on its own broker and store, as processes like a
hub's. What is left out without protection: the source's outbox, the resume document and its order
before the ack, the marks and holes of the intake, and the historian's watermarks. What is the same:
the events, the fold, the public document, the store's transaction before its ack.
"""

import asyncio
import multiprocessing
import statistics
import tempfile
from collections.abc import Callable, Coroutine, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from itertools import islice
from multiprocessing.sharedctypes import Synchronized
from pathlib import Path
from typing import Any, Final, NamedTuple, TypeAlias

import psutil

from bench import processor
from bench.rig import (
    BRIDGE,
    LAST_CELL,
    LINE,
    SOURCE,
    Figure,
    Rig,
    broker,
    publish_all,
    released_event,
    reserve,
    until,
)
from processors import PROCESSORS
from uns.codec import Codec, encode_document, encode_event
from uns.fold import Draft, advance
from uns.historian.owners import line_readers
from uns.historian.recorder import Watermark
from uns.historian.rows import Batch
from uns.historian.sayings import own_topics
from uns.historian.service import Historian, HistorianWiring
from uns.historian.store import Store, open_store
from uns.historian.writer import Told, Writer
from uns.model.events import Event
from uns.mqtt.acl import bridge_user
from uns.mqtt.client import MqttClient
from uns.mqtt.message import Message
from uns.runtime.clock import wall_ms
from uns.runtime.outbox import Outbox
from uns.runtime.runner import subscriptions
from uns.runtime.sender import Sender

EVENTS: Final = 30_000
PER_BATCH: Final = 100
"""Events that a source has at once and makes durable in one transaction."""
ROUNDS: Final = 3
LOOK_S: Final = 0.01
READY_S_MAX: Final = 60
RUN_S_MAX: Final = 300
SPAWN: Final = multiprocessing.get_context("spawn")

Count: TypeAlias = "Synchronized[int]"


class Counts(NamedTuple):
    """How far each stage got, in events of the source; shared by the processes of a run.

    started: 1 since the source was about to say its first.
    """

    started: Count
    folded: Count
    stored: Count
    settled: Count


Stage = Callable[[Rig, Path, Counts], Coroutine[Any, Any, None]]


class Hub(NamedTuple):
    """The three stages of one way."""

    source: Stage
    runner: Stage
    historian: Stage


def drafts(count: int) -> Iterator[Draft]:
    """What a source says."""
    body = {"good": 1, "scrap": 0, "rework": 0, "order_id": "PO-1", "item": "housing-a"}
    for seq in range(1, count + 1):
        yield Draft(LAST_CELL, "counted", 1_790_000_000_000 + seq, body)


def batched(some: Iterable[Draft], size: int) -> Iterator[list[Draft]]:
    """In lists of a size; the last may be shorter."""
    left = iter(some)
    while batch := list(islice(left, size)):
        yield batch


async def kept_source(rig: Rig, folder: Path, counts: Counts) -> None:
    """Durable before it is said, and said until it is on record."""
    outbox = Outbox(folder / "source.sqlite")
    async with MqttClient(rig.address(bridge_user(BRIDGE)), "bench-source") as client:
        sender = Sender(outbox, client, SOURCE.__eq__)
        sender.heard()
        await client.subscribe([f"{rig.plant.enterprise}/_hub/watermark/#"])
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(sender.run())
            tasks.create_task(_listen(client, sender, outbox, counts))
            counts.started.value = 1
            for batch in batched(drafts(EVENTS), PER_BATCH):
                outbox.append((SOURCE, draft) for draft in batch)
                sender.wake()
                await asyncio.sleep(0)


async def _listen(client: MqttClient, sender: Sender, outbox: Outbox, counts: Counts) -> None:
    async for batch in client.batches():
        for message in batch:
            sender.settled(message)
        client.ack(batch)
        if outbox.last_seq(SOURCE) == EVENTS and not len(outbox):
            counts.settled.value = EVENTS


async def bare_source(rig: Rig, _folder: Path, counts: Counts) -> None:
    """Said once, from memory."""
    async with MqttClient(rig.address(bridge_user(BRIDGE)), "bench-source") as client:
        counts.started.value = 1
        for seq, draft in enumerate(drafts(EVENTS), 1):
            await client.send(draft.topic, encode_event(draft, SOURCE, 1, seq))
        await client.drain()
        counts.settled.value = EVENTS


async def kept_runner(rig: Rig, folder: Path, counts: Counts) -> None:
    """The runner as it is."""
    runs = processor.runner(rig, folder)
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(runs.run())
        while True:
            await asyncio.sleep(LOOK_S)
            counts.folded.value = runs.marks[SOURCE].seq if SOURCE in runs.marks else 0


async def bare_runner(rig: Rig, _folder: Path, counts: Counts) -> None:
    """Receive, decode, fold, show, ack: nothing is remembered and nothing waited for."""
    folds, codec = PROCESSORS[processor.PROCESSOR](rig.plant), Codec(rig.plant)
    state, shown = folds.initial(LINE), dict[str, Any]()
    async with MqttClient(rig.address("processor"), processor.CLIENT) as client:
        await client.subscribe(subscriptions(LINE))
        async for batch in client.batches():
            for event in _events(codec, batch):
                state = advance(folds, state, event).state
                counts.folded.value += event.source == SOURCE
            for topic, document in folds.documents(state).items():
                if shown.get(topic) != document:
                    shown[topic] = document
                    await client.send(topic, encode_document(document), retain=True)
            client.ack(batch)


def _events(codec: Codec, messages: Iterable[Message]) -> Iterator[Event]:
    for message in messages:
        decoded = codec.decode(message.topic, message.payload, retain=message.retain)
        if isinstance(value := getattr(decoded, "value", None), Event):
            yield value


class Counting(Writer):
    """The writer as it is, and how many of the source's events it committed."""

    def __init__(self, rig: Rig, store: Store, stored: Count) -> None:
        readers = line_readers(rig.plant.lines, {processor.PROCESSOR: frozenset()})
        super().__init__(Codec(rig.plant), store, readers, own_topics(rig.plant.enterprise))
        self._stored = stored

    def commit(self, batch: Batch) -> Told:
        """Write, then count."""
        told = super().commit(batch)
        self._stored.value += sum(row.source == SOURCE for row in batch.events)
        return told


class Untold(Counting):
    """A writer that nobody waits for: it says no watermarks."""

    def commit(self, batch: Batch) -> Told:
        """Write, and say nothing."""
        return super().commit(batch)._replace(watermarks=[])

    def everything(self) -> list[Watermark]:
        """Nothing."""
        return []


async def _record(rig: Rig, folder: Path, counts: Counts, kind: type[Counting]) -> None:
    store = open_store(folder / "store.duckdb", wall_ms)
    writer, enterprise = kind(rig, store, counts.stored), rig.plant.enterprise
    async with MqttClient(rig.address("historian"), "historian") as client:
        await Historian(HistorianWiring("main", enterprise, client, store, writer, wall_ms)).run()


async def kept_historian(rig: Rig, folder: Path, counts: Counts) -> None:
    """The historian as it is."""
    await _record(rig, folder, counts, Counting)


async def bare_historian(rig: Rig, folder: Path, counts: Counts) -> None:
    """The historian without watermarks."""
    await _record(rig, folder, counts, Untold)


PROTECTED: Final = Hub(kept_source, kept_runner, kept_historian)
BARE: Final = Hub(bare_source, bare_runner, bare_historian)


class Spent(NamedTuple):
    """Events a second until all were folded, and had reached every end; CPU time an event took."""

    folded_per_s: float
    ended_per_s: float
    cpu_us: float


async def measure(hub: Hub) -> Spent:
    """One way, on a broker and a store of its own."""
    with tempfile.TemporaryDirectory() as name, broker(Path(name)) as rig, ExitStack() as stack:
        counts = Counts(*(SPAWN.Value("q", 0) for _ in Counts._fields))
        arguments = (rig, Path(name), counts)
        await reserve(rig, "historian", "historian", [f"{rig.plant.enterprise}/#"])
        await reserve(rig, "processor", processor.CLIENT, subscriptions(LINE))
        first = [stack.enter_context(_running(s, arguments)) for s in (hub.runner, hub.historian)]
        await _ready(rig)
        processes = [*first, stack.enter_context(_running(hub.source, arguments))]
        await until(lambda: counts.started.value > 0, READY_S_MAX)
        before_s = _cpu_s(processes)
        folded_s = await until(lambda: counts.folded.value >= EVENTS, RUN_S_MAX)
        ends = (counts.stored, counts.settled)
        rest_s = await until(lambda: all(e.value >= EVENTS for e in ends), RUN_S_MAX)
        cpu_us = (_cpu_s(processes) - before_s) * 1e6 / EVENTS
    return Spent(EVENTS / folded_s, EVENTS / (folded_s + rest_s), cpu_us)


@contextmanager
def _running(stage: Stage, arguments: tuple[Rig, Path, Counts]) -> Iterator[psutil.Process]:
    """A stage in a process of its own, until the block ends."""
    process = SPAWN.Process(target=_run, args=(stage, *arguments), daemon=True)
    process.start()
    try:
        yield psutil.Process(process.pid)
    finally:
        process.kill()
        process.join()


def _cpu_s(processes: Iterable[psutil.Process]) -> float:
    times = [process.cpu_times() for process in processes]
    return sum(each.user + each.system for each in times)


def _run(stage: Stage, rig: Rig, folder: Path, counts: Counts) -> None:
    asyncio.run(stage(rig, folder, counts))


async def _ready(rig: Rig) -> None:
    """Wait until an order's release has come through: the runner shows it, the store is there."""
    missing = {processor.ORDER_TOPIC, f"{rig.plant.enterprise}/_hub/historian/main"}
    async with (
        asyncio.timeout(READY_S_MAX),
        MqttClient(rig.address("operator"), "bench-look", clean_session=True) as look,
    ):
        await look.subscribe(sorted(missing))
        await publish_all(rig, [released_event()])
        while missing:
            missing -= {
                m.topic for m in await look.receive() if b'"available":false' not in m.payload
            }


async def protection(_rig: Rig, _folder: Path) -> list[Figure]:
    """Both ways in turns; the medians beside each other.

    The last figure is events a second of processor time, which hardly depends on who else runs.
    """
    kept, bare = list[Spent](), list[Spent]()
    for _ in range(ROUNDS):
        kept.append(await measure(PROTECTED))
        bare.append(await measure(BARE))
    mine, most = _medians(kept), _medians(bare)
    rows = (
        ("until folded", mine.folded_per_s, most.folded_per_s, ""),
        ("until on record", mine.ended_per_s, most.ended_per_s, ">= 0.7"),
        ("a second of CPU", 1e6 / mine.cpu_us, 1e6 / most.cpu_us, ">= 0.7"),
    )
    return [
        Figure(f"protected, {name}", figure, "events/s", ceiling, "no protection at all", target)
        for name, figure, ceiling, target in rows
    ]


def _medians(spent: list[Spent]) -> Spent:
    return Spent(*(statistics.median(column) for column in zip(*spent, strict=True)))
