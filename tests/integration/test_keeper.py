"""A broker that forgot, in each way it can: the retained tree is that of the record again.

The tree is compared as another client sees it, byte for byte; the keeper comes as the user `hub`.
"""

import asyncio
import contextlib
import hashlib
import json
import shutil
import time
from collections.abc import AsyncIterator, Collection
from pathlib import Path
from typing import Any

import pytest

from tests.brokers import RunningBroker, bounded, running_broker, small_plant, until
from tests.speech import LINE, MILL, NOON, READERS, WASH, Sent, new_writer, record, state
from uns.cli.keeping import stored_tree
from uns.codec import Codec, encode_tag
from uns.historian.store import open_store
from uns.historian.writer import Writer
from uns.model.plant import Plant
from uns.mqtt.broker import broker_command
from uns.mqtt.client import MqttClient
from uns.mqtt.message import Outgoing
from uns.runtime.clock import PlantClock
from uns.runtime.errors import RecordAway
from uns.runtime.keeper import Keeper, KeeperWiring, Remember, filters
from uns.runtime.retained import Remembered

ORDER = f"{LINE}/_state/order/po-1"
MANY = 100_000
REBUILT_S_MAX = 60.0
BATCH = 5_000


def tag(place: str, value: float | str | None, at_ms: int, *bad: str) -> Sent:
    """A tag; `bad`: why it is."""
    quality, reason = ("bad", bad[0]) if bad else ("good", None)
    payload = encode_tag(value, at_ms, quality, "rpm", reason)  # type: ignore[arg-type]  # one of its literals
    return Sent(f"{place}/_tag/tag-0", payload)


def order(rev: int, drawn_ms: int = 0) -> Sent:
    return state("order/po-1", rev, {"order_id": "po-1", "owner_epoch": 1, "drawn_ms": drawn_ms})


def oee(rev: int) -> Sent:
    return state("oee", rev, {"oee": 0.5, "owner_epoch": 1})


def clearing(topic: str) -> Sent:
    return Sent(topic, b"")


OLD = (tag(MILL, 1.5, NOON), tag(WASH, 10.0, NOON), order(1), oee(1))
NEW = (
    tag(MILL, 2.25, NOON + 5),
    tag(WASH, 10.0, NOON, "plc is away"),
    order(2),
    clearing(ORDER),
    oee(4),
)


class Rig:
    """One broker, one store, one keeper; `say` is what a plant says and the historian records."""

    def __init__(self, broker: RunningBroker, store: Path | str) -> None:
        self.broker = broker
        self.location = str(store)
        self._received_ms = NOON
        self.keeper = self.keeper_on(stored_tree(self.location, broker.plant))

    def keeper_on(self, remember: Remember, grace_s: float = 0.05) -> Keeper:
        wiring = KeeperWiring(
            enterprise="acme",
            visitor=lambda: MqttClient(self.broker.address("hub"), "keeper", clean_session=True),
            remember=remember,
            note=self.broker.folder / "incarnation.json",
            clock=PlantClock(0, NOON, 1.0),
            grace_s=grace_s,
        )
        return Keeper(wiring)

    async def say(self, *messages: Sent) -> None:
        await self.publish(*messages)
        await asyncio.to_thread(self.write, *messages)

    async def publish(self, *messages: Sent) -> None:
        async with MqttClient(self.broker.address(), "plant", clean_session=True) as client:
            await client.publish_many(Outgoing(m.topic, m.payload, retain=True) for m in messages)

    def write(self, *messages: Sent) -> None:
        store = open_store(self.location, lambda: NOON)
        writer = new_writer(store)
        for message in messages:
            self._received_ms += 1
            record(writer, message, received_ms=self._received_ms)
        store.close()

    async def tree(self) -> dict[str, bytes]:
        """What another client is given as retained, below `_tag` and `_state`."""
        return await self._read([f for f in filters("acme") if "_hub" not in f])

    async def document(self, name: str) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(
            (await self._read([f"acme/_hub/broker/{name}"]))[f"acme/_hub/broker/{name}"]
        )
        return found

    async def _read(self, topics: list[str]) -> dict[str, bytes]:
        found: dict[str, bytes] = {}
        async with MqttClient(self.broker.address(), "reader", clean_session=True) as reader:
            await reader.subscribe([*topics, "end"])
            await reader.publish("end", b"")
            while "end" not in found:
                batch = await reader.receive()
                found |= {message.topic: message.payload for message in batch}
                reader.ack(batch)
        del found["end"]
        return found

    def stop(self) -> Path:
        """An orderly end; what the broker saved."""
        assert self.broker.process
        self.broker.process.terminate()
        self.broker.process.wait()
        return self.broker.folder / "mosquitto.db"


@pytest.fixture
def rig(mosquitto: RunningBroker, tmp_path: Path) -> Rig:
    return Rig(mosquitto, tmp_path / "store.duckdb")


@contextlib.asynccontextmanager
async def watching(keeper: Keeper) -> AsyncIterator[None]:
    """The keeper runs, as in a hub that has just connected."""
    keeper.look_soon()
    task = asyncio.create_task(keeper.run())
    try:
        yield
    finally:
        task.cancel()


def found(keeper: Keeper) -> tuple[str, int, int, int]:
    account = keeper.account
    return account.found, account.restored, account.cleared, account.left


@bounded
async def test_a_first_start_finds_nothing_to_repair(rig: Rig) -> None:
    assert await rig.keeper.look()
    assert found(rig.keeper) == ("whole", 0, 0, 0)
    assert await rig.document("incarnation") == {
        "summary": "incarnation 1, look 1",
        "incarnation": 1,
        "look": 1,
        "at_ms": (await rig.document("tree"))["at_ms"],
    }


@bounded
async def test_a_store_that_no_historian_has_seen_yet_expects_nothing(
    mosquitto: RunningBroker, location: str
) -> None:
    rig = Rig(mosquitto, location)
    await rig.publish(*OLD)
    assert await rig.keeper.look()
    assert found(rig.keeper) == ("whole", 0, 0, 0)
    assert rig.keeper.account.waiting is None
    assert len(await rig.tree()) == 4


@bounded
async def test_a_tree_that_was_forgotten_is_rebuilt(
    mosquitto: RunningBroker, location: str
) -> None:
    rig = Rig(mosquitto, location)
    await rig.say(*OLD, *NEW)
    assert await rig.keeper.look()
    before = await rig.tree()
    assert len(before) == 3
    mosquitto.forget()
    assert await rig.tree() == {}
    assert not await rig.keeper.look()
    assert await rig.tree() == before
    assert found(rig.keeper) == ("forgot", 3, 0, 0)
    document = await rig.document("tree")
    assert document["summary"].startswith("forgot: 3 of 3 topics restored, 0 cleared in ")
    assert (document["incarnation"], document["waiting"]) == (2, None)
    assert await rig.keeper.look()
    assert found(rig.keeper) == ("forgot", 3, 0, 0)


@bounded
async def test_a_broker_restored_from_an_old_copy_shows_neither_ghosts_nor_old_values(
    rig: Rig,
) -> None:
    await rig.say(*OLD)
    await rig.publish(order(1, drawn_ms=7))
    await rig.keeper.look()
    copy = shutil.copy(rig.stop(), rig.broker.folder / "old.db")
    rig.broker.start()
    await rig.say(*NEW)
    assert await rig.keeper.look()
    before = await rig.tree()
    assert ORDER not in before
    shutil.copy(copy, rig.stop())
    rig.broker.start()
    assert await rig.tree() == {sent.topic: sent.payload for sent in (*OLD, order(1, 7))}
    assert not await rig.keeper.look()
    assert await rig.tree() == before
    assert found(rig.keeper) == ("partly", 3, 1, 0)


@bounded
async def test_topics_cleared_by_hand_while_the_hub_was_away_are_back(rig: Rig) -> None:
    await rig.say(*OLD)
    await rig.keeper.look()
    before = await rig.tree()
    gone = [topic for topic in before if "/_tag/" in topic or "/oee" in topic]
    await rig.publish(*(clearing(topic) for topic in gone[:-1]))
    assert not await rig.keeper.look()
    assert await rig.tree() == before
    assert found(rig.keeper) == ("partly", len(gone) - 1, 0, 0)


@bounded
async def test_a_tag_of_the_plant_is_back_also_when_its_clearing_is_on_record(rig: Rig) -> None:
    await rig.say(*OLD)
    before = await rig.tree()
    await rig.say(clearing(f"{MILL}/_tag/tag-0"), clearing(ORDER))
    await rig.keeper.look()
    assert await rig.tree() == {t: p for t, p in before.items() if t != ORDER}


@bounded
async def test_what_the_plant_has_no_more_is_not_said_again_and_stays_cleared(rig: Rig) -> None:
    bigger = small_plant(tags=10)
    left = Sent(f"{MILL}/_tag/tag-8", encode_tag(1.5, NOON, "good", None))
    gone = Sent(f"{MILL}/_tag/tag-9", encode_tag(1.5, NOON, "good", None))
    store = open_store(rig.location, lambda: NOON)
    writer = Writer(Codec(bigger), store, READERS)
    writer.start()
    for n, message in enumerate((left, gone, clearing(gone.topic))):
        record(writer, message, received_ms=NOON + n)
    store.close()
    await rig.publish(gone)
    assert gone.topic in await rig.tree()
    await rig.keeper.look()
    assert await rig.tree() == {}
    assert found(rig.keeper) == ("partly", 0, 1, 0)


@bounded
async def test_what_is_newer_than_the_record_stays(rig: Rig) -> None:
    await rig.say(*OLD)
    newer = (tag(MILL, 9.5, NOON + 99), oee(50))
    await rig.publish(*newer)
    await rig.keeper.look()
    tree = await rig.tree()
    assert all(tree[sent.topic] == sent.payload for sent in newer)


@bounded
async def test_a_store_that_is_away_at_the_start_is_asked_again(rig: Rig) -> None:
    await rig.say(*OLD)
    before = await rig.tree()
    stored = stored_tree(rig.location, rig.broker.plant)
    away = stored_tree("postgresql://nobody@127.0.0.1:1/none", rig.broker.plant)
    await rig.keeper.look()
    rig.broker.forget()

    asked = 0

    async def remember(topics: Collection[str], patience_s: float) -> Remembered:
        nonlocal asked
        asked += 1
        return await (stored if asked > 2 else away)(topics, patience_s)

    keeper = rig.keeper_on(remember)
    assert not await keeper.look()
    document = await rig.document("tree")
    assert document["summary"].startswith("forgot, to be looked at again: ")
    assert "refused" in document["waiting"]
    assert await rig.tree() == {}
    async with watching(keeper):
        await until(lambda: keeper.account.waiting is None)
    assert await rig.tree() == before
    assert found(keeper) == ("forgot", 4, 0, 0)


@bounded
async def test_after_a_reconnect_only_what_nobody_says_himself_is_said(rig: Rig) -> None:
    await rig.say(*OLD)
    await rig.keeper.look()
    rig.broker.forget()
    alive = (tag(MILL, 3.5, NOON + 50), oee(9))
    stored, asked = stored_tree(rig.location, rig.broker.plant), list[tuple[float, set[str]]]()
    loop = asyncio.get_running_loop()

    async def remember(topics: Collection[str], patience_s: float) -> Remembered:
        asked.append((loop.time(), set(topics)))
        return await stored(topics, patience_s)

    keeper, connected_s = rig.keeper_on(remember, grace_s=0.5), loop.time()
    async with watching(keeper):
        await rig.publish(*alive)
        await until(lambda: keeper.account.restored == 2)
    assert asked[0][1] == {sent.topic for sent in alive}
    assert asked[0][0] - connected_s >= 0.5
    expected = {sent.topic: sent.payload for sent in (*OLD, *alive)}
    assert await rig.tree() == expected


@bounded
async def test_what_is_said_while_the_record_is_asked_is_not_talked_over(rig: Rig) -> None:
    first, recorded, newest = (tag(MILL, 1.5, NOON + n) for n in range(3))
    await rig.publish(first)

    async def remember(_topics: Collection[str], _patience_s: float) -> Remembered:
        await rig.publish(newest)
        return Remembered({recorded.topic: recorded.payload}, {})

    async with MqttClient(rig.broker.address(), "observer", clean_session=True) as observer:
        await observer.subscribe([first.topic, "end"])
        assert await rig.keeper_on(remember).look()
        await observer.publish("end", b"")
        heard = list[bytes]()
        while b"" not in heard:
            heard += [message.payload for message in await observer.receive()]
    assert heard == [first.payload, newest.payload, b""]


@bounded
async def test_a_topic_cleared_a_moment_ago_is_not_brought_back(rig: Rig) -> None:
    ended, asked = order(3), list[int]()

    async def remember(_topics: Collection[str], _patience_s: float) -> Remembered:
        asked.append(1)
        said = {ended.topic: ended.payload}
        return Remembered(said, {}) if len(asked) == 1 else Remembered({}, said)

    keeper = rig.keeper_on(remember)
    assert await keeper.look(confirm_s=0.01)
    assert len(asked) == 2
    assert ended.topic not in await rig.tree()


@bounded
async def test_an_owner_who_speaks_meanwhile_has_the_last_word(rig: Rig) -> None:
    """Ten looks with a record that is behind, while each tag moves as fast as it can."""
    topics = [f"{place}/_tag/tag-{n}" for place in (MILL, WASH) for n in range(2)]
    old = {topic: encode_tag(0, NOON, "good", None) for topic in topics}
    last = {topic: encode_tag(0, NOON + 400, "good", None) for topic in topics}

    async def remember(_topics: Collection[str], _patience_s: float) -> Remembered:
        return Remembered(old, {})

    async def move() -> None:
        async with MqttClient(rig.broker.address(), "plant", clean_session=True) as client:
            for n in range(1, 401):
                for topic in topics:
                    cleared = Outgoing(topic, b"", retain=True)
                    value = encode_tag(0, NOON + n, "good", None)
                    await client.publish_many([cleared, Outgoing(topic, value, retain=True)])

    keeper = rig.keeper_on(remember)
    moving = asyncio.create_task(move())
    while not moving.done():
        await keeper.look()
    await moving
    await keeper.look()
    assert await rig.tree() == last
    assert keeper.account.restored > 0


@bounded
async def test_what_the_broker_refuses_is_counted_and_not_tried_for_ever(rig: Rig) -> None:
    refused = "acme/berlin/machining/housing/mill/_state/oee"

    async def remember(_topics: Collection[str], _patience_s: float) -> Remembered:
        return Remembered({"acme/berlin/_state/oee": oee(1).payload, refused: oee(1).payload}, {})

    keeper = rig.keeper_on(remember)
    assert not await keeper.look()
    assert found(keeper) == ("forgot", 1, 0, 1)
    assert keeper.account.summary.endswith(", 1 refused")


@bounded
async def test_a_broker_that_is_not_there_is_waited_for(rig: Rig) -> None:
    await rig.say(*OLD)
    rig.broker.kill()
    looking = asyncio.create_task(rig.keeper.look())
    done, _ = await asyncio.wait({looking}, timeout=0.3)
    assert not done
    rig.broker.start()
    (rig.broker.folder / "mosquitto.db").unlink(missing_ok=True)
    await looking
    assert len(await rig.tree()) == 4


@bounded
async def test_the_embedded_broker_which_always_forgets_is_filled_again(tmp_path: Path) -> None:
    folder = tmp_path / "broker"
    plant = small_plant(tags=100)
    broker = RunningBroker(folder, plant, broker_command(None, folder))
    tags = [f"{path}/_tag/{name}" for path, at in plant.cells.items() for name in at.cell.tags]
    expected = {topic: encode_tag(n, NOON, "good", None) for n, topic in enumerate(tags)}

    async def remember(_topics: Collection[str], _patience_s: float) -> Remembered:
        return Remembered(expected, {})

    broker.start()
    try:
        rig = Rig(broker, tmp_path / "store.duckdb")
        keeper = rig.keeper_on(remember)
        await keeper.look()
        assert await rig.tree() == expected
        assert await keeper.look()
        assert found(keeper) == ("forgot", 300, 0, 0)
    finally:
        broker.kill()


async def test_a_hundred_thousand_topics_are_rebuilt_within_a_minute(tmp_path: Path) -> None:
    plant = small_plant(tags=MANY // 3 + 1)
    tags = [f"{path}/_tag/{name}" for path, at in plant.cells.items() for name in at.cell.tags]
    said = [
        Sent(topic, encode_tag(n + 0.25, NOON + n, "good", "rpm"))
        for n, topic in enumerate(tags[:MANY])
    ]
    with running_broker(tmp_path / "broker", plant) as broker:
        rig = Rig(broker, tmp_path / "store.duckdb")
        _write(rig.location, plant, said)
        started_s = time.monotonic()
        async with asyncio.timeout(REBUILT_S_MAX):
            await rig.keeper.look()
        seconds = time.monotonic() - started_s
        assert _hash(await rig.tree()) == _hash({sent.topic: sent.payload for sent in said})
    assert found(rig.keeper) == ("forgot", MANY, 0, 0)
    print(f"{MANY} topics rebuilt in {seconds:.1f} s, identical hash")  # noqa: T201 - a figure for the reader


def _write(location: str, plant: Plant, said: list[Sent]) -> None:
    store = open_store(location, lambda: NOON)
    writer = Writer(Codec(plant), store, READERS)
    writer.start()
    for n in range(0, len(said), BATCH):
        record(writer, *said[n : n + BATCH], received_ms=NOON + n)
    store.close()


def _hash(tree: dict[str, bytes]) -> tuple[int, str]:
    return len(tree), hashlib.sha256(repr(sorted(tree.items())).encode()).hexdigest()


async def test_without_a_record_the_reason_is_told(rig: Rig) -> None:
    with pytest.raises(RecordAway, match="refused"):
        await stored_tree("postgresql://nobody@127.0.0.1:1/none", rig.broker.plant)([], 1.0)
