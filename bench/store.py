"""Broker -> store, QoS 1, commit before ack, beside a bare receiver and a bare insert."""

import asyncio
import time
from collections.abc import Sequence
from pathlib import Path

from bench.paho_loop import PahoLoop
from bench.rig import (
    CELL,
    LAST_CELL,
    Figure,
    Rig,
    counted_events,
    publish_all,
    reserve,
    until,
)
from processors import PROCESSORS
from tools import postgres as tools_postgres
from tools import timescale
from tools.ground import SetupError
from uns.codec import Codec, encode_tag
from uns.historian.owners import line_readers
from uns.historian.recorder import Known
from uns.historian.rows import Batch, TagRow
from uns.historian.sayings import own_topics
from uns.historian.service import Historian, HistorianWiring
from uns.historian.store import Store, open_store
from uns.historian.writer import Writer
from uns.mqtt.client import MqttClient
from uns.mqtt.message import Outgoing
from uns.runtime.clock import wall_ms

TAGS = 40_000
QUEUED = 200_000
INSERT_BATCH = 5_000
TOPICS = tuple(f"{CELL}/_tag/{name}" for name in ("bore", "flatness", "cycle-time", "spindle-load"))


class CountingStore:
    """A store that says how many tags and events it has committed."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self.rows = 0

    @property
    def kind(self) -> str:
        """As the store."""
        return self._store.kind

    def write(self, batch: Batch) -> None:
        """Write, then count."""
        self._store.write(batch)
        self.rows += len(batch.tags) + len(batch.events)

    def known(self) -> Known:
        """As the store."""
        return self._store.known()

    def close(self) -> None:
        """As the store."""
        self._store.close()


def tag_messages() -> list[Outgoing]:
    """Changing values of four tags, about 85 bytes each."""
    return [
        Outgoing(TOPICS[n % 4], encode_tag(n / 7, 1_790_000_000_000 + n, "good", "mm"))
        for n in range(TAGS)
    ]


async def _hub_rate(rig: Rig, location: str, messages: Sequence[Outgoing]) -> tuple[float, str]:
    """Messages a second from the broker's queue to committed rows, and the store's name."""
    await reserve(rig, "historian", "historian", [f"{rig.plant.enterprise}/#"])
    await publish_all(rig, messages)
    plant, store = rig.plant, CountingStore(open_store(location, wall_ms))
    built = {name: build(plant).states for name, build in PROCESSORS.items()}
    readers = line_readers(plant.lines, built)
    writer = Writer(Codec(plant), store, readers, own_topics(plant.enterprise))
    client = MqttClient(rig.address("historian"), "historian")
    wiring = HistorianWiring("main", plant.enterprise, client, store, writer, wall_ms)
    started = time.perf_counter()
    async with client:
        task = asyncio.create_task(Historian(wiring).run())
        await until(lambda: store.rows >= len(messages), 120)
        seconds = time.perf_counter() - started
        task.cancel()
        await asyncio.wait({task})
    return len(messages) / seconds, store.kind


def _insert_rate(location: str) -> float:
    """The store alone: the same rows, in batches, each committed."""
    store = open_store(location, wall_ms)
    store.known()
    rows = [
        TagRow(TOPICS[n % 4], 1_795_000_000_000 + n, n / 7, None, "good", "mm", 1_795_000_000_000)
        for n in range(TAGS)
    ]
    started = time.perf_counter()
    for start in range(0, TAGS, INSERT_BATCH):
        store.write(Batch(tags=rows[start : start + INSERT_BATCH]))
    seconds = time.perf_counter() - started
    store.close()
    return TAGS / seconds


async def _receive_rate(rig: Rig, place: str, messages: Sequence[Outgoing]) -> float:
    """Bare paho: receive and ack the same messages, nothing else."""
    await reserve(rig, "historian", "bench-receiver", [f"{place}/#"])
    await publish_all(rig, messages)
    loop = PahoLoop(rig, "historian", "bench-receiver", len(messages), publish=False)
    return await asyncio.to_thread(loop.run)


async def measure(rig: Rig, location: str, target: str) -> Figure:
    """One store, beside the lower of what receiving alone and inserting alone reach."""
    inserting = await asyncio.to_thread(_insert_rate, location)
    ours, kind = await _hub_rate(rig, location, tag_messages())
    receiving = await _receive_rate(rig, f"{CELL}/_tag", tag_messages())
    bound = min((receiving, "bare paho receive + ack"), (inserting, "the insert alone"))
    return Figure(f"broker -> {kind}", ours, "tags/s", *bound, target)


async def catch_up(rig: Rig, location: str) -> Figure:
    """What waited while a store was away: its queue, drained by the historian."""
    events = counted_events(QUEUED)
    ours, kind = await _hub_rate(rig, location, events)
    receiving = await _receive_rate(rig, f"{LAST_CELL}/_event", events)
    limit = receiving, "bare paho receive + ack"
    return Figure(f"{QUEUED:,} queued -> {kind}", ours, "events/s", *limit, ">= 3x live")


async def duckdb(rig: Rig, folder: Path) -> list[Figure]:
    """The embedded store."""
    return [
        await measure(rig, f"duckdb://{folder / 'bench.duckdb'}", ">= 15k/s"),
        await catch_up(rig, f"duckdb://{folder / 'queued.duckdb'}"),
    ]


async def postgres(rig: Rig, _folder: Path) -> list[Figure]:
    """A PostgreSQL server, and TimescaleDB where it can be had."""
    figures = list[Figure]()
    for find in (tools_postgres.installation, timescale.installation):
        try:
            server = tools_postgres.Server(find())
        except SetupError as error:
            print(f"left out: {error}")
            continue
        with server:
            figures.append(await measure(rig, server.dsn, ">= 12k/s"))
            figures.append(await catch_up(rig, server.dsn))
    return figures
