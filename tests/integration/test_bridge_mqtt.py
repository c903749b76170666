"""The MQTT bridge on real brokers: a foreign one that comes and goes, and the hub's own."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any, Final

import pytest

from bridges.mqtt.client import observe
from bridges.mqtt.config import MqttSettings
from bridges.mqtt.mapping import LAST_KNOWN
from tests.brokers import (
    RunningBroker,
    bounded,
    free_port,
    running_broker,
    small_plant,
    unique,
    until,
)
from tests.virtual_factory import BRIDGE, bottler
from tests.virtual_factory import FILLING as THERE
from tests.watching import Watch, now_ms
from uns.cli.bridging import run_bridge
from uns.cli.child import Context
from uns.cli.folder import Folder, write_connection
from uns.model.observation import Fact, Link
from uns.mqtt.client import MqttClient
from uns.mqtt.message import Address, Message
from uns.runtime.clock import PlantClock, wall_ms

LINE: Final = "bottler/site1/fillerproduction/fillingline01"
FILLER: Final = f"{LINE}/filler"


def words(number: str, key: int, made: int) -> dict[str, bytes]:
    """What a simulator says of its filling line."""
    return {
        f"{THERE}/workorder/workorderid": str(key).encode(),
        f"{THERE}/workorder/workordernumber": number.encode(),
        f"{THERE}/workorder/quantitytarget": b"300",
        f"{THERE}/workorder/lotnumber/item/itemname": b"Cola Soda 0.5L",
        f"{THERE}/metric/input/countoutfeed": str(made).encode(),
        f"{THERE}/metric/input/countdefect": b"0",
        f"{THERE}/filler/processdata/state/code": b"1",
    }


async def say(client: MqttClient, said: dict[str, bytes], *, retain: bool = True) -> None:
    await asyncio.gather(*(client.publish(t, p, retain=retain) for t, p in said.items()))


class Releases:
    """What was recorded, as the runner keeps it."""

    def __init__(self) -> None:
        self.facts: dict[str, str] = {}

    def take(self, seen: list[Any]) -> list[Fact]:
        facts = [one for one in seen if isinstance(one, Fact)]
        self.facts |= {fact.business_key or "": json.dumps(fact.body) for fact in facts}
        return facts

    def known(self, prefix: str) -> dict[str, str]:
        return {key: body for key, body in self.facts.items() if key.startswith(prefix)}


@contextlib.asynccontextmanager
async def watched(foreign: RunningBroker, releases: Releases) -> AsyncIterator[Watch]:
    """The bridge, followed until the end."""
    address = foreign.address()
    plant = bottler(f"mqtt://{address.username}:{address.password}@{address.host}:{address.port}")
    settings = MqttSettings.model_validate(plant.bridges[BRIDGE].settings)
    nowhere = Address("127.0.0.1", free_port())
    watch = Watch(asyncio.Queue())
    async with contextlib.aclosing(
        observe(settings, plant, BRIDGE, now_ms, nowhere, releases.known)
    ) as stream:
        following = asyncio.create_task(watch.follow(stream))
        try:
            yield watch
        finally:
            following.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await following


@bounded
async def test_a_foreign_broker_is_read_lost_and_read_again(mosquitto: RunningBroker) -> None:
    releases = Releases()
    async with MqttClient(mosquitto.address(), unique("plc"), clean_session=True) as factory:
        await say(factory, words("WO-1", 1, 100))
        async with watched(mosquitto, releases) as watch:
            await watch.until(lambda: releases.take(watch.seen))
            assert [link.up for link in watch.links()] == [True]
            retained = watch.last("good")
            assert retained
            assert (retained.value, retained.quality, retained.reason) == (
                100,
                "uncertain",
                LAST_KNOWN,
            )
            await say(factory, {f"{THERE}/metric/input/countoutfeed": b"120"})
            assert (await watch.value("good", 120)).quality == "good"
            mosquitto.kill()
            await watch.until(lambda: not watch.links()[-1].up)
            assert {tag for _, tag in watch.links()[-1].feeds} >= {"order", "good", "state"}
            heard = len(watch.seen)
            mosquitto.start()
            await say(factory, words("WO-1", 2, 130))
            await watch.value("good", 130)
            await watch.until(
                lambda: any(getattr(one, "tag", "") == "order" for one in watch.seen[heard:])
            )
            assert watch.links()[-1].up
            assert [fact.body["order_id"] for fact in releases.take(watch.seen)] == ["WO-1"]


@bounded
async def test_a_broker_that_is_not_there_is_said() -> None:
    nowhere = Address("127.0.0.1", free_port())
    settings = MqttSettings(root="X", server=f"mqtt://{nowhere.host}:{nowhere.port}")
    stream = observe(settings, small_plant(), "erp", now_ms, nowhere, lambda _prefix: {})
    async with contextlib.aclosing(stream):
        (link,) = await anext(stream)
    assert isinstance(link, Link)
    assert (link.up, link.reason) == (False, "no broker")


class Rig:
    """The whole bridge on the hub's own broker, which can be killed; and an onlooker."""

    def __init__(self, broker: RunningBroker, folder: Folder) -> None:
        self.broker, self.folder = broker, folder
        self.seen: list[Message] = []
        self.client = MqttClient(broker.address(), unique("onlooker"), clean_session=True)
        self.task: asyncio.Task[None] | None = None

    def start(self) -> None:
        clock = PlantClock(wall_ms(), wall_ms())
        context = Context(self.folder, self.broker.plant, clock, "bridge", (BRIDGE,))
        self.task = asyncio.create_task(run_bridge(context, BRIDGE))

    async def kill(self) -> None:
        assert self.task
        self.task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self.task

    async def look(self) -> None:
        async for batch in self.client.batches():
            self.seen += batch
            self.client.ack(batch)

    def events(self, name: str) -> list[dict[str, Any]]:
        """Events of a type, each once, however often it was sent."""
        found = [json.loads(m.payload) for m in self.seen if m.topic.endswith(f"/_event/{name}")]
        return list({document["id"]: document for document in found}.values())

    @property
    def good(self) -> int:
        return sum(event["good"] for event in self.events("counted"))

    def tag(self, name: str) -> Any:
        topic = f"{FILLER}/_tag/{name}"
        newest = next((m for m in reversed(self.seen) if m.topic == topic), None)
        return json.loads(newest.payload)["value"] if newest else None


@pytest.fixture
def own(tmp_path: Path) -> Iterator[tuple[RunningBroker, Folder]]:
    with running_broker(tmp_path / "broker", bottler(None)) as broker:
        folder = Folder(tmp_path / "data")
        folder.root.mkdir()
        address = broker.address("operator")
        write_connection(folder, {"host": address.host, "port": address.port, "mqtt_5": True})
        user = f"bridge-{BRIDGE}"
        folder.passwords.write_text(json.dumps({user: broker.address(user).password}))
        yield broker, folder


@pytest.fixture
async def rig(own: tuple[RunningBroker, Folder]) -> AsyncIterator[Rig]:
    rig = Rig(*own)
    async with rig.client:
        await rig.client.subscribe(["bottler/#"])
        looking = asyncio.create_task(rig.look())
        rig.start()
        yield rig
        await rig.kill()
        looking.cancel()


@bounded
async def test_beside_the_hubs_own_tree_it_becomes_events_exactly_once(rig: Rig) -> None:
    publisher = rig.broker.address(f"foreign-{BRIDGE}")
    async with MqttClient(publisher, unique("factory"), clean_session=True) as factory:
        await say(factory, words("WO-1", 1, 84_210))
        await until(lambda: rig.tag("order") == "WO-1" and rig.tag("good") == 84_210)
        await say(factory, {f"{THERE}/metric/input/countoutfeed": b"84230"})
        await until(lambda: rig.good == 20)
        await rig.kill()
        await say(factory, words("WO-1", 2, 84_250))  # made while nobody listens
        rig.start()
        await until(lambda: rig.good == 40)
        await say(factory, words("WO-1", 538, 84_210))  # the recording starts over
        await until(lambda: rig.tag("good") == 84_210)
        await say(factory, words("WO-1", 538, 84_215))
        await until(lambda: rig.good == 45)
    assert [event["order_id"] for event in rig.events("released")] == ["WO-1"]
    assert {event["order_id"] for event in rig.events("counted")} == {"WO-1"}
    assert [event["state"] for event in rig.events("state-changed")][-1] == "EXECUTE"


@bounded
async def test_whoever_publishes_it_may_write_nothing_of_ours(rig: Rig) -> None:
    publisher = rig.broker.address(f"foreign-{BRIDGE}")
    async with MqttClient(publisher, unique("factory"), clean_session=True) as factory:
        await factory.publish(f"{FILLER}/_tag/good", b'{"value": 1}', retain=True)
        await say(factory, words("WO-1", 1, 5))
        await until(lambda: rig.tag("good") == 5)
    assert not any(m.payload == b'{"value": 1}' for m in rig.seen)
