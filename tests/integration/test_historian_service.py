"""The historian process against a real broker: commit, then ack, then watermark; nothing twice."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.brokers import RunningBroker, bounded, collect, unique, until
from tests.speech import (
    MILL,
    NOON,
    PLC,
    PROCESSORS,
    READERS,
    Sent,
    event,
    resume,
    state,
    tag,
)
from uns.codec import Codec
from uns.historian.errors import StoreUnavailable
from uns.historian.reader import open_reader
from uns.historian.recorder import Known
from uns.historian.rows import Batch
from uns.historian.sayings import last_will, own_topics, watermark_topic
from uns.historian.service import Historian, HistorianSetup, HistorianWiring, run_historian
from uns.historian.store import Store, open_store
from uns.historian.writer import Writer
from uns.mqtt.client import MqttClient
from uns.mqtt.message import Outgoing

TOPIC = watermark_topic("acme", PLC)
HEALTH = "acme/_hub/historian/main"


class Scripted:
    """A real store that does as it is told before and after it writes."""

    def __init__(self, location: str) -> None:
        self._store = open_store(location, lambda: NOON)
        self.before: Callable[[], None] = lambda: None
        self.after: Callable[[], None] = lambda: None
        self.attempts = 0

    @property
    def kind(self) -> str:
        return self._store.kind

    def write(self, batch: Batch) -> None:
        self.attempts += 1
        self.before()
        self._store.write(batch)
        self.after()

    def known(self) -> Known:
        return self._store.known()

    def close(self) -> None:
        self._store.close()


@asynccontextmanager
async def historian(broker: RunningBroker, store: Store) -> AsyncIterator[asyncio.Task[None]]:
    """A running historian on a store."""
    address = broker.address("historian")
    client = MqttClient(address, "historian", will=last_will("acme", "main", NOON))
    writer = Writer(Codec(broker.plant), store, READERS, own_topics("acme"))
    wiring = HistorianWiring("main", "acme", client, store, writer, lambda: NOON)
    async with client:
        task = asyncio.create_task(Historian(wiring).run())
        try:
            async with visitor(broker) as listener:
                await hear(listener, HEALTH, lambda document: document["available"])
            yield task
        finally:
            task.cancel()
            await asyncio.wait([task])


class CrashError(Exception):
    """The process dies here."""


def crash() -> None:
    raise CrashError


def away() -> None:
    raise StoreUnavailable("the store is away")


async def say(client: MqttClient, *messages: Sent) -> None:
    """Publish messages as their writers do."""
    await client.publish_many(
        Outgoing(m.topic, m.payload, retain="/_event/" not in m.topic) for m in messages
    )


@asynccontextmanager
async def visitor(broker: RunningBroker) -> AsyncIterator[MqttClient]:
    async with MqttClient(broker.address(), unique("visitor"), clean_session=True) as client:
        yield client


async def hear(client: MqttClient, topic: str, until_true: Callable[[Any], bool]) -> Any:
    """The first document at a topic that fits."""
    await client.subscribe([topic])
    while True:
        for message in await client.receive():
            client.ack([message])
            if message.topic == topic and until_true(document := json.loads(message.payload)):
                return document


def stored(seq: int) -> Callable[[Any], bool]:
    return lambda document: bool(document["seq"] == seq)


def table(location: str, name: str) -> list[tuple[Any, ...]]:
    with open_reader(location) as reader:
        return reader.query(f"TABLE {name}").rows


@bounded
async def test_what_is_said_is_stored_and_told(mosquitto: RunningBroker, location: str) -> None:
    store = Scripted(location)
    async with visitor(mosquitto) as client, historian(mosquitto, store):
        marks = {PLC: (1, 3)}
        await say(client, *(event(n) for n in range(1, 4)), tag(1, NOON), state("oee", 1, {}))
        first = await hear(client, str(TOPIC), stored(3))
        assert (first["source"], first["epoch"], first["settled"]) == (PLC, 1, 0)
        await say(client, *(resume(name, 1, marks) for name in PROCESSORS))
        await hear(client, str(TOPIC), lambda document: document["settled"] == 3)
        health = await hear(client, HEALTH, lambda d: d["rows"] >= 8)
        assert (health["connected"], health["store"]) == (True, store.kind)
    assert [len(table(location, name)) for name in ("events", "tags", "states")] == [3, 1, 1]


@bounded
async def test_a_store_that_is_away_delays_and_loses_nothing(
    mosquitto: RunningBroker, location: str
) -> None:
    store = Scripted(location)
    async with visitor(mosquitto) as client, historian(mosquitto, store):
        await say(client, event(1))
        await hear(client, str(TOPIC), stored(1))
        store.before = away
        await say(client, *(event(n) for n in range(2, 400)))
        await until(lambda: store.attempts > 3)
        health = await hear(client, HEALTH, lambda d: not d["available"])
        assert health["reason"] == "the store is away"
        assert health["lag_ms"] > 0
        held = await hear(client, str(TOPIC), lambda _: True)
        assert held["seq"] == 1
        store.before = lambda: None
        await hear(client, str(TOPIC), stored(399))
    assert len(table(location, "events")) == 399


@bounded
async def test_what_was_not_committed_was_not_acknowledged(
    mosquitto: RunningBroker, location: str
) -> None:
    store = Scripted(location)
    async with visitor(mosquitto) as client:
        async with historian(mosquitto, store):
            store.before = away
            await say(client, *(event(n) for n in range(1, 6)), tag(1, NOON))
            await until(lambda: store.attempts > 1)
        async with historian(mosquitto, Scripted(location)):
            await hear(client, str(TOPIC), stored(5))
    assert [len(table(location, name)) for name in ("events", "tags")] == [5, 1]


@bounded
async def test_what_was_said_before_the_end_is_stored(
    mosquitto: RunningBroker, location: str
) -> None:
    async with visitor(mosquitto) as client:
        async with historian(mosquitto, Scripted(location)):
            await say(client, *(event(n) for n in range(1, 1_500)), state("oee", 1, {}))
        assert [len(table(location, name)) for name in ("events", "states")] == [1_499, 1]


@bounded
async def test_a_crash_between_commit_and_ack_adds_no_rows(
    mosquitto: RunningBroker, location: str
) -> None:
    store = Scripted(location)
    bad = Sent(f"{MILL}/_tag/tag-0", b"{")
    said = [*(event(n) for n in range(1, 6)), tag(1, NOON), tag(2, NOON + 1), bad]
    async with visitor(mosquitto) as client:
        async with historian(mosquitto, store) as running:
            store.after = crash
            await say(client, *said)
            await asyncio.wait([running])
        counts = [len(table(location, name)) for name in ("events", "tags", "rejects")]
        async with historian(mosquitto, Scripted(location)):
            await hear(client, str(TOPIC), stored(5))
            await say(client, event(6))
            await hear(client, str(TOPIC), stored(6))
    assert sum(counts) > 0
    assert [len(table(location, n)) for n in ("events", "tags", "rejects")] == [6, 2, 1]


@bounded
async def test_retained_values_at_a_new_subscription_are_no_news(
    mosquitto: RunningBroker, tmp_path: Path
) -> None:
    location = str(tmp_path / "store.duckdb")
    async with visitor(mosquitto) as client:
        for n in (1, 2):
            async with historian(mosquitto, Scripted(location)):
                await say(client, tag(1, NOON), state("oee", 1, {}), event(n))
                await hear(client, str(TOPIC), stored(n))
            forget = MqttClient(mosquitto.address("historian"), "historian", clean_session=True)
            async with forget:
                await forget.connected.wait()
    assert [len(table(location, name)) for name in ("events", "tags", "states")] == [2, 1, 1]


@bounded
async def test_a_broker_that_forgot_is_told_all_watermarks_again(
    mosquitto: RunningBroker, tmp_path: Path
) -> None:
    location = str(tmp_path / "store.duckdb")
    async with historian(mosquitto, Scripted(location)):
        async with visitor(mosquitto) as client:
            await say(client, event(1), event(2))
            await hear(client, str(TOPIC), stored(2))
        mosquitto.forget()
        async with visitor(mosquitto) as client:
            assert (await hear(client, str(TOPIC), lambda _: True))["seq"] == 2


@bounded
async def test_rejects_are_told_once_and_make_no_loop(
    mosquitto: RunningBroker, tmp_path: Path
) -> None:
    store = Scripted(str(tmp_path / "store.duckdb"))
    async with visitor(mosquitto) as client, historian(mosquitto, store):
        await client.publish(f"{MILL}/_tag/tag-0", b"\xff{")
        await client.publish("acme/_hub/Bad/x", b"x")
        await client.publish("acme/_hub/reject/bad-json", b"not JSON")
        await client.publish("acme/berlin/_cmd/order/release", b"{}", retain=True)
        document = await hear(client, "acme/_hub/reject/bad-json", lambda d: d.get("count") == 1)
        assert document["topic"] == f"{MILL}/_tag/tag-0"
        assert document["original_base64"] == "/3s="
        assert document["summary"].startswith("1 bad-json: not UTF-8")
        await say(client, event(1))
        await hear(client, str(TOPIC), stored(1))
    rejects = table(str(tmp_path / "store.duckdb"), "rejects")
    assert sorted(row[0] for row in rejects) == ["bad-json", "bad-payload", "bad-topic"]


@bounded
async def test_a_retained_command_is_refused_when_it_arrives_retained(
    mosquitto: RunningBroker, tmp_path: Path
) -> None:
    async with visitor(mosquitto) as client:
        await client.publish("acme/berlin/_cmd/order/release", b"{}", retain=True)
        async with historian(mosquitto, Scripted(str(tmp_path / "store.duckdb"))):
            topic = "acme/_hub/reject/retained-command"
            assert (await hear(client, topic, lambda _: True))["count"] == 1


@bounded
async def test_a_whole_process_is_read_while_it_runs_and_after(
    mosquitto: RunningBroker, location: str
) -> None:
    setup = HistorianSetup(
        plant=mosquitto.plant,
        location=location,
        client=MqttClient(mosquitto.address("historian"), "historian"),
        voice=MqttClient(mosquitto.address("historian"), "voice", clean_session=True),
        clock=lambda: NOON,
        processors=PROCESSORS,
    )
    running = asyncio.create_task(run_historian(setup))
    async with visitor(mosquitto) as client:
        await hear(client, HEALTH, lambda document: document["available"])
        await say(client, event(1), event(2))
        await hear(client, str(TOPIC), stored(2))
    assert len(await asyncio.to_thread(table, location, "events")) == 2
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert len(table(location, "events")) == 2


@bounded
async def test_many_messages_arrive_in_order_of_effects(
    mosquitto: RunningBroker, tmp_path: Path
) -> None:
    location = str(tmp_path / "store.duckdb")
    async with visitor(mosquitto) as client, historian(mosquitto, Scripted(location)):
        await say(client, *(event(n) for n in range(1, 3_001)))
        await hear(client, str(TOPIC), stored(3_000))
        late = MqttClient(mosquitto.address(), unique("late"), clean_session=True)
        async with late:
            await late.subscribe(["acme/_hub/watermark/#"])
            assert [json.loads(m.payload)["seq"] for m in await collect(late, 1)] == [3_000]
    assert len(table(location, "events")) == 3_000
