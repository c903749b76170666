"""The Sparkplug bridge on a real broker, with an edge node that can misbehave."""

import asyncio
import json
import os
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from bridges.sparkplug.client import observe
from bridges.sparkplug.config import SparkplugSettings
from tests.brokers import RunningBroker, bounded, collect, unique
from tests.fault_proxy import proxied
from tests.simulated import example_plant
from uns.model.observation import BadInput, Link, Observation, Reading, SetPoint, Written
from uns.mqtt.client import MqttClient
from uns.mqtt.message import Address, Message, Will
from uns.sparkplug.datatype import DataType
from uns.sparkplug.edge import Change, Command, EdgeNode
from uns.sparkplug.errors import DecodeError
from uns.sparkplug.outputs import Publish
from uns.sparkplug.payload import decode
from uns.sparkplug.values import QUALITY_BAD, Metric

PLACES = example_plant().served_by("packing-edge")
(CELL,) = PLACES
TAGS = PLACES[CELL].cell.tags
GROUP, EDGE, DEVICE = "acme", "packing", "pack"
ENDPOINT = "acme/packing/pack"
SETTINGS = SparkplugSettings(
    group=GROUP,
    edge_node=EDGE,
    rebirth_interval_ms=300,
    reorder_timeout_ms=200,
    start_jitter_ms=50,
    write_timeout_ms=500,
)
STATE = "spBv1.0/STATE/uns-hub"
ROOT = Path(__file__).parents[2]
NOWHERE = Path(os.devnull) / "births"  # a folder that cannot be made: nothing is kept
TEXTS = ("order", "item", "lot_in", "lot_out")


def wall_ms() -> int:
    return int(time.time() * 1000)


class Bridge:
    """The bridge under test; what it has told, batch by batch."""

    def __init__(
        self, address: Address, births: Path, settings: SparkplugSettings = SETTINGS
    ) -> None:
        self.set_points: asyncio.Queue[SetPoint] = asyncio.Queue()
        self._told = observe(settings, PLACES, wall_ms, address, self.set_points, births)
        self.batches: list[list[Observation]] = []

    async def next(self) -> list[Observation]:
        self.batches.append(await anext(self._told))
        return self.batches[-1]

    async def until(self, wanted: Callable[[Observation], bool]) -> Observation:
        """Read on until something is told; it."""
        while True:
            for observation in await self.next():
                if wanted(observation):
                    return observation

    async def reading(self, tag: str, value: Any) -> Reading:
        found = await self.until(
            lambda o: isinstance(o, Reading) and (o.tag, o.value) == (tag, value)
        )
        assert isinstance(found, Reading)
        return found

    async def link(self, *, up: bool) -> Link:
        found = await self.until(lambda o: isinstance(o, Link) and o.up is up)
        assert isinstance(found, Link)
        return found

    async def close(self) -> None:
        await self._told.aclose()


@asynccontextmanager
async def bridge(
    address: Address, births: Path = NOWHERE, settings: SparkplugSettings = SETTINGS
) -> AsyncIterator[Bridge]:
    one = Bridge(address, births, settings)
    try:
        yield one
    finally:
        await one.close()


class Edge:
    """An edge node by hand: it says what the test wants, and answers rebirth requests."""

    def __init__(self, client: MqttClient, node: EdgeNode) -> None:
        self.client = client
        self.node = node

    async def send(self, message: Publish) -> None:
        await self.client.publish(
            message.topic, message.payload, qos=1 if message.qos else 0, retain=message.retain
        )

    async def births(self, *, without: str = "", order_id: str = "PO-1") -> None:
        await self.send(self.node.node_birth([], wall_ms()))
        await self.send(self.device_birth(without, order_id))

    def device_birth(self, without: str = "", order_id: str = "PO-1", *, step: int = 1) -> Publish:
        """Make the birth of the device; with `step` -1 its metrics have other aliases."""
        metrics = [
            Metric(
                tag.source["metric"],
                *((order_id, DataType.STRING) if tag.role in TEXTS else (7, DataType.UINT32)),
            )
            for tag in TAGS.values()
            if tag.source["metric"] != without
        ]
        extra = Metric("Spare", 1, DataType.UINT32)
        return self.node.device_birth(DEVICE, [*metrics, extra][::step], wall_ms())

    async def data(self, *changes: Change) -> None:
        await self.send(self.node.data(changes, wall_ms(), DEVICE))

    async def obey(self) -> None:
        """Wait for a command, which is a rebirth request, and answer it."""
        (message, *_) = await self.client.receive()
        command = self.node.command(message.topic, message.payload)
        assert not isinstance(command, Command) or command.rebirth
        await self.births()


@asynccontextmanager
async def edge(broker: RunningBroker, bd_seq: int = 0) -> AsyncIterator[Edge]:
    node = EdgeNode(GROUP, EDGE, bd_seq)
    death = node.will()
    will = Will(death.topic, death.payload, qos=1, retain=False)
    async with MqttClient(
        broker.address(), unique("edge"), clean_session=True, will=will
    ) as client:
        await client.subscribe([f"spBv1.0/{GROUP}/NCMD/{EDGE}"])
        yield Edge(client, node)


async def introduce(node: Edge, told: Bridge) -> Link:
    """The bridge asks for births and gets them."""
    link = asyncio.create_task(told.link(up=True))
    await node.obey()
    return await link


def change(name: str, value: Any, quality: int = 192) -> Change:
    return Change(name, value, wall_ms(), quality=quality)


@bounded
async def test_births_give_every_tag_and_data_comes_message_by_message(
    mosquitto: RunningBroker,
) -> None:
    async with edge(mosquitto) as node, bridge(mosquitto.address("bridge-packer")) as told:
        link = await introduce(node, told)
        assert (link.endpoint, link.feeds) == (ENDPOINT, tuple((CELL, tag) for tag in TAGS))
        shown = {o.tag: o.value for o in told.batches[-1] if isinstance(o, Reading)}
        assert set(shown) == set(TAGS)
        assert (shown["order"], shown["good"]) == ("PO-1", 7)
        await node.data(change("Good", 8), change("State", 4))
        await node.data(change("Lot", "L-2"))
        assert [(o.tag, o.value) for o in await told.next() if isinstance(o, Reading)] == [
            ("good", 8),
            ("state", 4),
        ]
        assert [(o.tag, o.value) for o in await told.next() if isinstance(o, Reading)] == [
            ("lot", "L-2")
        ]


@bounded
async def test_source_time_and_quality_are_kept_and_unknown_metrics_say_nothing(
    mosquitto: RunningBroker,
) -> None:
    async with edge(mosquitto) as node, bridge(mosquitto.address("bridge-packer")) as told:
        await introduce(node, told)
        await node.data(change("Spare", 2))
        await node.data(
            Change("Weight", 5, 1_700_000_000_123),
            Change("Good", 3, 1_600_000_000_000, is_historical=True),
        )
        assert await told.next() == [Reading(CELL, "weight", 5, 1_700_000_000_123)]
        await node.data(change("Weight", 9, QUALITY_BAD))
        (bad,) = await told.next()
        assert isinstance(bad, Reading)
        assert (bad.value, bad.quality, bad.reason) == (None, "bad", "quality 0 (bad)")


@bounded
async def test_a_birth_that_lacks_a_metric_turns_its_tag_bad(mosquitto: RunningBroker) -> None:
    async with edge(mosquitto) as node, bridge(mosquitto.address("bridge-packer")) as told:
        asking = asyncio.create_task(told.link(up=True))
        await node.client.receive()
        await node.births(without="Weight")
        await asking
        bad = [o for o in told.batches[-1] if isinstance(o, Reading) and o.quality == "bad"]
        assert [(o.tag, o.reason) for o in bad] == [("weight", "no metric 'Weight' in the birth")]


@bounded
async def test_a_dead_edge_node_takes_the_link_down_and_a_new_one_up(
    mosquitto: RunningBroker,
) -> None:
    async with bridge(mosquitto.address("bridge-packer")) as told:
        async with edge(mosquitto) as node:
            await introduce(node, told)
            await node.send(node.node.death())
        lost = await told.link(up=False)
        assert lost.reason == "the edge node died"
        async with edge(mosquitto, bd_seq=1) as node:
            await node.births()
            await told.link(up=True)


@bounded
async def test_a_broker_that_restarts_takes_the_link_down_and_all_comes_again(
    mosquitto: RunningBroker,
) -> None:
    async with edge(mosquitto) as node, bridge(mosquitto.address("bridge-packer")) as told:
        await introduce(node, told)
        mosquitto.restart()
        lost = await told.link(up=False)
        assert lost.reason == "the host lost the broker"
        up = asyncio.create_task(told.link(up=True))
        while not up.done():  # what is born before the bridge has subscribed again goes unheard
            await node.births()
            await asyncio.wait({up}, timeout=0.2)
        shown = {o.tag for o in told.batches[-1] if isinstance(o, Reading)}
        assert shown == set(TAGS)


@bounded
async def test_a_birth_missed_while_the_link_was_cut_brings_no_value_under_a_wrong_tag(
    mosquitto: RunningBroker, tmp_path: Path
) -> None:
    """Meanwhile the bridge is held up by its reader, until its client has connected by itself."""
    own, births = mosquitto.address("bridge-packer"), tmp_path / "births"
    async with (
        edge(mosquitto) as node,
        proxied(own.host, own.port) as proxy,
        bridge(replace(own, port=proxy.port), births) as told,
    ):
        await introduce(node, told)
        await proxy.cut(0.0)
        node.node = EdgeNode(GROUP, EDGE, 1)
        node.node.node_birth([], wall_ms())
        node.device_birth(step=-1)
        while proxy.accepted < 2:
            await beat(node)
        for _ in range(20):
            await beat(node)
        flow = asyncio.create_task(flowing(node))
        since = len(told.batches)
        up = asyncio.create_task(told.link(up=True))
        await node.client.receive()
        assert not [o for batch in told.batches[since:] for o in batch if isinstance(o, Reading)]
        assert not list(births.iterdir())
        flow.cancel()
        await node.births()
        await up
        await node.data(change("Good", 9))
        await told.reading("good", 9)


async def flowing(node: Edge) -> None:
    while True:
        await beat(node)


async def beat(node: Edge) -> None:
    await node.data(change("Good", 8))
    await asyncio.sleep(0.02)


@bounded
async def test_rubbish_is_kept_with_its_bytes_and_the_node_is_asked_again(
    mosquitto: RunningBroker,
) -> None:
    async with edge(mosquitto) as node, bridge(mosquitto.address("bridge-packer")) as told:
        await introduce(node, told)
        await asyncio.sleep(SETTINGS.rebirth_interval_ms / 1000)
        topic = f"spBv1.0/{GROUP}/DDATA/{EDGE}/{DEVICE}"
        await node.client.publish(topic, b"\xff\xff no protobuf", qos=0)
        bad, down = await told.next()
        assert isinstance(bad, BadInput)
        assert (bad.origin, bad.original) == (topic, b"\xff\xff no protobuf")
        assert isinstance(down, Link)
        assert not down.up
        await introduce(node, told)


@bounded
async def test_a_gap_in_seq_is_waited_for_and_then_healed_by_a_rebirth(
    mosquitto: RunningBroker,
) -> None:
    async with edge(mosquitto) as node, bridge(mosquitto.address("bridge-packer")) as told:
        await introduce(node, told)
        node.node.data([change("Good", 8)], wall_ms(), DEVICE)  # made, and never sent
        await node.data(change("Good", 9))
        down = await told.link(up=False)
        assert "is missing" in (down.reason or "")
        await introduce(node, told)


@bounded
async def test_without_an_edge_node_the_link_is_said_to_be_down(mosquitto: RunningBroker) -> None:
    async with bridge(mosquitto.address("bridge-packer")) as told:
        (down,) = await told.next()
        assert isinstance(down, Link)
        assert (down.up, down.reason) == (False, "no birth of the edge node")


@bounded
async def test_without_a_broker_the_link_is_said_to_be_down() -> None:
    async with bridge(Address("127.0.0.1", 9)) as told:
        (down,) = await told.next()
        assert isinstance(down, Link)
        assert (down.up, down.reason) == (False, "no broker")
        told.set_points.put_nowait(SetPoint("r1", CELL, "weight", 5))
        assert await reason_of(told) == "no session with the broker: no broker"


# --- STATE


@asynccontextmanager
async def state_reader(broker: RunningBroker) -> AsyncIterator[MqttClient]:
    async with MqttClient(broker.address(), unique("reader"), clean_session=True) as client:
        await client.subscribe([STATE])
        yield client


def said(messages: list[Message]) -> list[bool]:
    return [json.loads(message.payload)["online"] for message in messages]


@pytest.mark.tck(
    "host-topic-phid-birth-payload",
    "host-topic-phid-death-payload-timestamp-disconnect-clean",
    "message-flow-hid-sparkplug-state-message-delivered",
)
@bounded
async def test_the_host_says_online_contradicts_and_says_offline(
    mosquitto: RunningBroker,
) -> None:
    async with state_reader(mosquitto) as reader:
        async with bridge(mosquitto.address("bridge-packer")) as told:
            waiting = asyncio.create_task(told.next())
            (first,) = await collect(reader, 1)
            assert said([first]) == [True]
            await reader.publish(STATE, first.payload.replace(b"true", b"false"))
            assert said(await collect(reader, 2)) == [False, True]
            await waiting
        (last,) = await collect(reader, 1)
        assert said([last]) == [False]
        assert json.loads(last.payload)["timestamp"] >= json.loads(first.payload)["timestamp"]


PROGRAM = """
import asyncio, sys
from tests.integration.test_bridge_sparkplug import NOWHERE, Bridge
from uns.mqtt.message import Address

async def main():
    port, user, password = sys.argv[1:]
    bridge = Bridge(Address("127.0.0.1", int(port), user, password), NOWHERE)
    while True:
        await bridge.next()

asyncio.run(main())
"""


def as_process(address: Address) -> "subprocess.Popen[bytes]":
    arguments = [str(address.port), address.username or "", address.password or ""]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    return subprocess.Popen([sys.executable, "-c", PROGRAM, *arguments], env=environment)


@pytest.mark.tck(
    "host-topic-phid-birth-payload-timestamp",
    "host-topic-phid-death-payload",
    "host-topic-phid-death-required",
)
@bounded
async def test_the_will_of_a_killed_host_has_the_time_of_its_birth(
    mosquitto: RunningBroker,
) -> None:
    process = as_process(mosquitto.address("bridge-packer"))
    try:
        async with state_reader(mosquitto) as reader:
            (first,) = await collect(reader, 1)
            process.kill()
            (last,) = await collect(reader, 1)
    finally:
        process.kill()
        process.wait()
    assert said([first, last]) == [True, False]
    assert json.loads(last.payload)["timestamp"] == json.loads(first.payload)["timestamp"]


# --- births over a restart


@bounded
async def test_after_a_restart_the_first_data_is_read_by_the_kept_births(
    mosquitto: RunningBroker, tmp_path: Path
) -> None:
    births = tmp_path / "births"
    async with edge(mosquitto) as node:
        async with bridge(mosquitto.address("bridge-packer"), births) as told:
            await introduce(node, told)
        assert len(list(births.iterdir())) == 2
        async with bridge(mosquitto.address("bridge-packer"), births) as told:
            silent = await told.link(up=False)
            assert silent.reason == "nothing heard since the start"
            await node.data(change("Good", 8))
            await told.link(up=True)
        shown = {o.tag: (o.value, o.reason) for o in told.batches[-1] if isinstance(o, Reading)}
        assert shown.pop("good") == (8, None)
        assert shown == dict.fromkeys(set(TAGS) - {"good"}, (None, "not heard since the restart"))
        assert await node.client.receive(timeout_s=0.5) == []


@bounded
async def test_a_bridge_that_wants_births_after_a_restart_believes_nothing_before(
    mosquitto: RunningBroker, tmp_path: Path
) -> None:
    settings = SETTINGS.model_copy(update={"restart": "rebirth"})
    async with edge(mosquitto) as node:
        async with bridge(mosquitto.address("bridge-packer"), tmp_path) as told:
            await introduce(node, told)
        async with bridge(mosquitto.address("bridge-packer"), tmp_path, settings) as told:
            up = asyncio.create_task(told.link(up=True))
            await node.client.receive()
            await node.data(change("Good", 8))
            await node.births(order_id="PO-2")
            await up
        shown = {o.tag: o.value for o in told.batches[-1] if isinstance(o, Reading)}
        assert (set(shown), shown["order"]) == (set(TAGS), "PO-2")


# --- set-points


@pytest.mark.tck(
    "payloads-dcmd-timestamp",
    "payloads-dcmd-seq",
    "topics-dcmd-payload",
    "topics-dcmd-topic",
    "operational-behavior-data-commands-dcmd-verb",
)
@bounded
async def test_a_set_point_becomes_a_dcmd_and_is_written_when_data_shows_it(
    mosquitto: RunningBroker,
) -> None:
    async with edge(mosquitto) as node, bridge(mosquitto.address("bridge-packer")) as told:
        await node.client.subscribe([f"spBv1.0/{GROUP}/DCMD/{EDGE}/+"])
        await introduce(node, told)
        told.set_points.put_nowait(SetPoint("r1", CELL, "weight", 12.0))
        written = asyncio.create_task(told.until(lambda o: isinstance(o, Written)))
        (message,) = await node.client.receive()
        payload = decode(message.payload)
        assert not isinstance(payload, DecodeError)
        (metric,) = payload.metrics
        assert (message.qos, message.retain, payload.seq) == (0, False, None)
        assert payload.timestamp_ms
        assert (metric.name, metric.alias, metric.value) == ("Weight", None, 12)
        assert metric.datatype is DataType.UINT32
        command = node.node.command(message.topic, message.payload)
        assert isinstance(command, Command)
        await node.data(Change("Weight", 12, 1, is_historical=True))
        await node.data(change("Weight", 11))
        shown_ms = wall_ms() + 456
        await node.data(Change("Weight", 12, shown_ms))
        assert await written == Written("r1", CELL, "weight", shown_ms, 12)


@bounded
async def test_a_set_point_that_nobody_confirms_is_not_written(mosquitto: RunningBroker) -> None:
    async with edge(mosquitto) as node, bridge(mosquitto.address("bridge-packer")) as told:
        await introduce(node, told)
        told.set_points.put_nowait(SetPoint("r1", CELL, "weight", 5))
        await node.data(change("Weight", 4))
        assert await reason_of(told) == "not confirmed within 500 ms: 4 was shown"
        told.set_points.put_nowait(SetPoint("r2", CELL, "weight", 6))
        deaf = asyncio.create_task(reason_of(told))
        await asyncio.sleep(0.2)
        await node.send(node.node.death())
        assert await deaf == "not confirmed within 500 ms: the edge node died"
        told.set_points.put_nowait(SetPoint("r3", CELL, "weight", 7))
        assert await reason_of(told) == f"{ENDPOINT} is not online"


async def reason_of(told: Bridge) -> str | None:
    written = await told.until(lambda o: isinstance(o, Written))
    assert isinstance(written, Written)
    return written.reason


# --- passive, and a foreign broker


@bounded
async def test_a_passive_bridge_reads_and_says_nothing(mosquitto: RunningBroker) -> None:
    settings = SETTINGS.model_copy(update={"passive": True})
    async with state_reader(mosquitto) as reader, edge(mosquitto) as node:
        await reader.subscribe(["spBv1.0/+/NCMD/+", "spBv1.0/+/DCMD/+/+"])
        async with bridge(mosquitto.address("bridge-packer"), settings=settings) as told:
            assert (await told.link(up=False)).reason == "no birth of the edge node"
            await node.births()
            await told.link(up=True)
            await node.client.publish(f"spBv1.0/{GROUP}/NDATA/{EDGE}", b"\xff", qos=0)
            await told.link(up=False)
            told.set_points.put_nowait(SetPoint("r1", CELL, "weight", 5))
            assert await reason_of(told) == "the bridge is passive: it only listens"
        assert await reader.receive(timeout_s=0.5) == []


@pytest.mark.parametrize("version", ["3.1.1", 5])
@pytest.mark.tck(
    "principles-persistence-clean-session-311", "principles-persistence-clean-session-50"
)
@bounded
async def test_a_foreign_server_in_either_version_of_mqtt(
    mosquitto: RunningBroker, version: Any
) -> None:
    own = mosquitto.address("bridge-packer")
    server = f"mqtt://{own.username}:{own.password}@{own.host}:{own.port}"
    settings = SETTINGS.model_copy(update={"server": server, "mqtt_version": version})
    nowhere = Address("127.0.0.1", 9)
    async with edge(mosquitto) as node, bridge(nowhere, settings=settings) as told:
        await introduce(node, told)
        await node.data(change("Good", 8))
        await told.reading("good", 8)
