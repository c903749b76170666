"""The hub as an edge node on real brokers: read by foreign code, lost, walked and commanded.

The hub's broker carries tags and commands; a second and a third one are a foreign host's servers.
"""

import asyncio
import json
import os
import shutil
import sqlite3
import subprocess
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import aclosing, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from bridges.sparkplug_edge.client import Hub, observe
from bridges.sparkplug_edge.config import SparkplugEdgeSettings
from tests.brokers import (
    RunningBroker,
    bounded,
    running_broker,
    small_plant,
    unique,
    until,
)
from tests.conformance.wiretap import Connect, Disconnect, Subscribe, tapped
from uns.codec import encode_tag
from uns.model.plant import Plant
from uns.mqtt.client import MqttClient
from uns.mqtt.message import Address
from uns.sparkplug import state
from uns.sparkplug.datatype import DataType
from uns.sparkplug.host import HostSession, rebirth_command
from uns.sparkplug.outputs import MetricValue
from uns.sparkplug.payload import decode, encode
from uns.sparkplug.values import Metric, Payload

GROUP, EDGE, LINE = "acme:berlin:machining", "housing", "acme/berlin/machining/housing"
MILL = f"{LINE}/mill"
BRIDGE = "shop"
HOST = "scada"
MODULES = Path(__file__).parents[1] / "node" / "node_modules"
PEER = Path(__file__).parents[1] / "conformance" / "sparkplug_peer.cjs"


def plant_with(**settings: Any) -> Plant:
    document = small_plant().model_dump()
    bridge = {"protocol": "sparkplug-edge", "lines": ["berlin/machining/housing"], **settings}
    document["bridges"][BRIDGE] = bridge
    return Plant.model_validate(document)


def wall_ms() -> int:
    return int(time.time() * 1000)


def url(address: Address) -> str:
    return f"mqtt://{address.username}:{address.password}@{address.host}:{address.port}"


@pytest.fixture
def hub(tmp_path: Path) -> Iterator[RunningBroker]:
    with running_broker(tmp_path / "hub", plant_with()) as broker:
        yield broker


@pytest.fixture
def server(tmp_path: Path) -> Iterator[RunningBroker]:
    with running_broker(tmp_path / "server", small_plant()) as broker:
        yield broker


@pytest.fixture
def second(tmp_path: Path) -> Iterator[RunningBroker]:
    with running_broker(tmp_path / "second", small_plant()) as broker:
        yield broker


class Observer:
    """Whoever listens at a server: messages with their payloads, in order."""

    def __init__(self, client: MqttClient) -> None:
        self.client = client
        self.raw: list[tuple[str, bytes]] = []

    async def listen(self) -> None:
        async for batch in self.client.batches():
            self.raw += [(message.topic, message.payload) for message in batch]
            self.client.ack(batch)

    def said(self, verb: str) -> list[Payload]:
        found = [decode(raw) for topic, raw in self.raw if topic.split("/")[2] == verb]
        return [payload for payload in found if isinstance(payload, Payload)]

    def verbs(self) -> list[str]:
        return [topic.split("/")[2] for topic, _ in self.raw]

    def samples(self) -> list[tuple[Any, bool]]:
        """The values of DATA and whether they are history."""
        return [
            (metric.value, metric.is_historical)
            for payload in self.said("DDATA")
            for metric in payload.metrics
        ]

    async def is_back(self) -> None:
        """Wait until it listens again at a server that was killed and started."""
        await until(self.client.connected.is_set)

    async def sees(self, verb: str, count: int = 1) -> None:
        await until(lambda: self.verbs().count(verb) >= count)


@asynccontextmanager
async def observer(broker: RunningBroker) -> AsyncIterator[Observer]:
    async with MqttClient(broker.address(), unique("observer"), clean_session=True) as client:
        await client.subscribe([f"spBv1.0/{GROUP}/#"])
        one = Observer(client)
        listening = asyncio.create_task(one.listen())
        try:
            yield one
        finally:
            listening.cancel()


class Tags:
    """The bridges of the line: they say tags on the hub's broker."""

    def __init__(self, client: MqttClient) -> None:
        self._client = client
        self.at_ms = wall_ms()

    async def say(self, value: Any, *, tag: str = "tag-0", quality: Any = "good") -> int:
        self.at_ms += 1
        payload = encode_tag(value, self.at_ms, quality, "mm")
        await self._client.publish(f"{MILL}/_tag/{tag}", payload, retain=True)
        return self.at_ms


@asynccontextmanager
async def tags(hub: RunningBroker) -> AsyncIterator[Tags]:
    async with MqttClient(hub.address(), unique("plc"), clean_session=True) as client:
        yield Tags(client)


@asynccontextmanager
async def edge(hub: RunningBroker, folder: Path, **settings: Any) -> AsyncIterator[list[bool]]:
    """The bridge, from start to clean end; whether it stood and fell so far."""
    plant = plant_with(**settings)
    parsed = SparkplugEdgeSettings.model_validate(plant.bridges[BRIDGE].settings)
    where = Hub(hub.address(f"bridge-{BRIDGE}"), f"bridge-{BRIDGE}-tags")
    stood: list[bool] = []

    async def run() -> None:
        async with aclosing(observe(parsed, plant, wall_ms, where, folder / "edge")) as told:
            async for (link,) in told:
                stood.append(link.up)  # type: ignore[union-attr]  # nothing but links is told

    running = asyncio.create_task(run())
    try:
        yield stood
    finally:
        running.cancel()
        await asyncio.wait({running})
        assert running.cancelled(), running.exception()


def alias_of(birth: Payload, name: str) -> int | None:
    metric = birth.metric(name)
    assert metric
    return metric.alias


# --- read by others


def foreign(raw: bytes) -> Any:
    """A payload as the npm package sparkplug-payload reads it."""
    program = shutil.which("node")
    if not program:
        pytest.skip("needs Node.js")
    done = subprocess.run(
        [program, str(PEER)],
        input=json.dumps({"decode": raw.hex()}).encode(),
        capture_output=True,
        check=True,
        timeout=20,
        env={**os.environ, "NODE_PATH": str(MODULES)},
    )
    return json.loads(done.stdout)


@pytest.mark.node
@bounded
@pytest.mark.parametrize("version", ["3.1.1", 5])
async def test_foreign_code_reads_our_births_and_changes(
    hub: RunningBroker, tmp_path: Path, version: str | int
) -> None:
    async with observer(hub) as seen, tags(hub) as plc:
        await plc.say(7)
        async with edge(hub, tmp_path, mqtt_version=version):
            await seen.sees("DBIRTH")
            at_ms = await plc.say(8, quality="uncertain")
            await seen.sees("DDATA")
            await plc.say(8, quality="bad")
            await seen.sees("DDEATH")
    node, device, change = (foreign(seen.raw[place][1]) for place in (0, 1, 2))
    assert [metric["name"] for metric in node["metrics"]] == ["bdSeq", "Node Control/Rebirth"]
    (born,) = device["metrics"]
    assert (born["name"], born["type"], born["value"]) == ("tag-0", "Int64", {"long": "7"})
    (moved,) = change["metrics"]
    assert moved["alias"] == born["alias"]
    assert moved["timestamp"]["long"] == str(at_ms)
    assert seen.samples()[0] == (8, False)  # they read no value whose type only the birth says
    assert moved["properties"]["Quality"]["value"] == 500
    assert seen.verbs()[:5] == ["NBIRTH", "DBIRTH", "DDATA", "DDEATH", "NDEATH"]


@bounded
async def test_our_own_host_session_follows_without_a_gap(
    hub: RunningBroker, tmp_path: Path
) -> None:
    async with observer(hub) as seen, tags(hub) as plc:
        await plc.say(0)
        async with edge(hub, tmp_path):
            await seen.sees("DBIRTH")
            for value in range(1, 301):
                await plc.say(value)
            await until(lambda: len(seen.samples()) == 300)
    host = HostSession()
    outputs = [each for topic, raw in seen.raw for each in host.receive(topic, raw, wall_ms())]
    values = [each.value for each in outputs if isinstance(each, MetricValue) and each.device]
    assert values == list(range(301))


# --- sessions


@pytest.mark.tck(
    "principles-persistence-clean-session-311",
    "principles-persistence-clean-session-50",
    "message-flow-edge-node-birth-publish-will-message-qos",
    "message-flow-edge-node-birth-publish-will-message-will-retained",
    "payloads-ndeath-will-message",
    "payloads-ndeath-will-message-publisher",
    "payloads-ndeath-will-message-publisher-disconnect-mqtt311",
    "payloads-ndeath-will-message-publisher-disconnect-mqtt50",
    "operational-behavior-edge-node-intentional-disconnect-ndeath",
    "message-flow-edge-node-ncmd-subscribe",
    "message-flow-device-dcmd-subscribe",
)
@bounded
@pytest.mark.parametrize(("version", "expiry_s", "reason"), [("3.1.1", None, 0), (5, 0, 4)])
async def test_a_session_begins_clean_with_a_will_and_ends_with_a_death(  # noqa: PLR0913, PLR0917 - a table
    hub: RunningBroker,
    server: RunningBroker,
    tmp_path: Path,
    version: str | int,
    expiry_s: int | None,
    reason: int,
) -> None:
    async with tapped(server.address()) as (address, tap), tags(hub) as plc:
        await plc.say(7)
        for _ in range(2):
            tap.packets.clear()
            async with edge(hub, tmp_path, servers=[url(address)], mqtt_version=version) as stood:
                await until(lambda: "DBIRTH" in tap.kinds())
                assert stood == [True]
    connect, subscribe, *_, death, disconnect = [
        packet for packet in tap.packets if type(packet).__name__ != "Ended"
    ]
    assert isinstance(connect, Connect)
    assert connect.clean
    assert (connect.expiry_s or 0) == (expiry_s or 0)
    assert connect.will == death
    assert connect.will
    assert (connect.will.qos, connect.will.retain) == (1, False)
    payload = decode(connect.will.payload)
    assert isinstance(payload, Payload)
    assert [(metric.name, metric.value) for metric in payload.metrics] == [("bdSeq", 1)]
    assert isinstance(subscribe, Subscribe)
    commands = {f"spBv1.0/{GROUP}/NCMD/{EDGE}": 1, f"spBv1.0/{GROUP}/DCMD/{EDGE}/+": 1}
    assert subscribe.filters == commands
    assert disconnect == Disconnect(reason)


@bounded
async def test_nothing_is_lost_while_the_server_is_away(
    hub: RunningBroker, server: RunningBroker, tmp_path: Path
) -> None:
    servers = [url(server.address())]
    async with observer(server) as seen, tags(hub) as plc, host_at(server) as host:
        await plc.say(0)
        await host(online=True)
        async with edge(hub, tmp_path, servers=servers, primary_host=HOST) as stood:
            await seen.sees("DBIRTH")
            for value in range(1, 100):
                if value == 30:
                    server.kill()
                if value == 60:
                    await until(lambda: stood[-1:] == [False])
                if value == 90:
                    server.start()
                    await seen.is_back()
                    await host(online=True)
                await plc.say(value)
            await until(lambda: stood == [True, False, True])
            await plc.say(100)
            await until(lambda: (100, False) in seen.samples())
    births = [payload.metrics[0].value for payload in seen.said("DBIRTH")]
    heard = {value for value, _ in seen.samples()} | set(births)
    assert heard == set(range(101))
    history = [value for value, is_history in seen.samples() if is_history]
    assert history == sorted(set(history))
    assert set(range(60, 89)) <= set(history)  # the birth may say the newest
    assert [p.metric("bdSeq").value for p in seen.said("NBIRTH")] == [0, 1]  # type: ignore[union-attr]  # every NBIRTH has one
    first_live = seen.samples().index((100, False))
    assert not any(is_history for _, is_history in seen.samples()[first_live:])


@bounded
async def test_what_waits_and_bd_seq_survive_a_restart_of_the_bridge(
    hub: RunningBroker, server: RunningBroker, tmp_path: Path
) -> None:
    servers = [url(server.address())]
    async with observer(server) as seen, tags(hub) as plc:
        async with edge(hub, tmp_path, servers=servers):
            await plc.say(1)
            await seen.sees("DBIRTH")
            server.kill()
            for value in (2, 3, 4):
                await plc.say(value)
            store = tmp_path / "edge" / f"{LINE.replace('/', '.')}.sqlite"
            await until(lambda: waiting(store) >= 3)
        server.start()
        await seen.is_back()
        async with edge(hub, tmp_path, servers=servers):
            await seen.sees("DDATA")
    assert [value for value, _ in seen.samples()][-2:] == [2, 3]
    assert seen.said("DBIRTH")[-1].metrics[0].value == 4
    assert seen.said("NBIRTH")[-1].metrics[0].value == 1


def waiting(store: Path) -> int:
    with sqlite3.connect(store) as db:
        return int(db.execute("select count(*) from entry").fetchone()[0])


# --- the primary host


@asynccontextmanager
async def host_at(broker: RunningBroker) -> AsyncIterator[Callable[..., Any]]:
    async with MqttClient(broker.address(), unique("host"), clean_session=True) as client:

        async def say(*, online: bool, at_ms: int = 1_765_432_100_000) -> None:
            said = (state.online if online else state.offline)(HOST, at_ms)
            await client.publish(said.topic, said.payload, retain=True)

        yield say


@pytest.mark.tck(
    "message-flow-edge-node-birth-publish-phid-wait",
    "message-flow-edge-node-birth-publish-phid-offline",
    "operational-behavior-edge-node-termination-host-offline",
)
@bounded
async def test_values_wait_for_the_primary_host(hub: RunningBroker, tmp_path: Path) -> None:
    async with observer(hub) as seen, tags(hub) as plc, host_at(hub) as host:
        await plc.say(1)
        async with edge(hub, tmp_path, primary_host=HOST) as stood:
            await asyncio.sleep(0.5)
            assert seen.verbs() == []
            await host(online=True)
            await seen.sees("DBIRTH")
            await host(online=False)
            await seen.sees("NDEATH")
            await until(lambda: stood == [True, False])
            for value in (2, 3, 4):
                await plc.say(value)
            await asyncio.sleep(0.3)
            assert seen.verbs() == ["NBIRTH", "DBIRTH", "NDEATH"]
            await host(online=True)
            await seen.sees("DDATA")
    assert seen.samples() == [(1, True), (2, True), (3, True)]
    assert [p.metrics[-1].value for p in seen.said("DBIRTH")] == [1, 4]
    assert [p.metric("bdSeq").value for p in seen.said("NBIRTH")] == [0, 1]  # type: ignore[union-attr]  # every NBIRTH has one


@pytest.mark.tck(
    "operational-behavior-primary-application-state-with-multiple-servers-walk",
    "operational-behavior-primary-application-state-with-multiple-servers-single-server",
    "operational-behavior-edge-node-termination-host-offline-reconnect",
)
@bounded
async def test_the_edge_node_follows_its_host_from_server_to_server(
    hub: RunningBroker, server: RunningBroker, second: RunningBroker, tmp_path: Path
) -> None:
    servers = [url(server.address()), url(second.address())]
    async with (
        observer(server) as first_seen,
        observer(second) as then_seen,
        tags(hub) as plc,
        host_at(server) as host,
        host_at(second) as other,
    ):
        await plc.say(1)
        await host(online=True)
        await other(online=False)
        async with edge(hub, tmp_path, servers=servers, primary_host=HOST):
            await first_seen.sees("DBIRTH")
            await other(online=True)
            await host(online=False)
            await then_seen.sees("DBIRTH")
            assert first_seen.verbs() == ["NBIRTH", "DBIRTH", "NDEATH"]
            second.kill()
            await host(online=True)
            await first_seen.sees("DBIRTH", 2)
    assert [p.metric("bdSeq").value for p in first_seen.said("NBIRTH")] == [0, 2]  # type: ignore[union-attr]  # every NBIRTH has one


# --- commands


@pytest.mark.tck(
    "operational-behavior-data-commands-rebirth-action-1",
    "operational-behavior-data-commands-rebirth-action-2",
    "operational-behavior-data-commands-rebirth-action-3",
)
@bounded
async def test_a_host_asks_for_births_and_gets_them_without_a_death(
    hub: RunningBroker, tmp_path: Path
) -> None:
    async with observer(hub) as seen, tags(hub) as plc:
        await plc.say(1)
        async with edge(hub, tmp_path, rebirth_interval_ms=0):
            await seen.sees("DBIRTH")
            asked = rebirth_command(GROUP, EDGE, wall_ms())
            await seen.client.publish(asked.topic, asked.payload, qos=0)
            await seen.sees("DBIRTH", 2)
            told = [verb for verb in seen.verbs() if verb != "NCMD"]
            assert told == ["NBIRTH", "DBIRTH", "NBIRTH", "DBIRTH"]
    assert [p.metric("bdSeq").value for p in seen.said("NBIRTH")] == [0, 0]  # type: ignore[union-attr]  # every NBIRTH has one


@bounded
async def test_a_write_becomes_a_request_to_the_hub_and_its_tag_the_answer(
    hub: RunningBroker, tmp_path: Path
) -> None:
    async with (
        observer(hub) as seen,
        tags(hub) as plc,
        MqttClient(hub.address(), unique("gate"), clean_session=True) as gate,
    ):
        await gate.subscribe([f"{LINE}/+/_cmd/#"])
        await plc.say(1)
        async with edge(hub, tmp_path):
            await seen.sees("DBIRTH")
            alias = alias_of(seen.said("DBIRTH")[0], "tag-0")
            wanted = Metric(None, 42, DataType.INT64, wall_ms(), alias=alias)
            payload = encode(Payload((wanted,), wall_ms()))
            await seen.client.publish(f"spBv1.0/{GROUP}/DCMD/{EDGE}/mill", payload, qos=0)
            (request,) = await gate.receive()
            assert request.topic == f"{MILL}/_cmd/write/tag-0"
            asked = json.loads(request.payload)
            assert asked["value"] == 42
            assert asked["request_id"].startswith("spb-")
            assert 0 < asked["expires_at_ms"] - wall_ms() <= 10_000
            assert "DDATA" not in seen.verbs()
            await plc.say(asked["value"])
            await until(lambda: seen.samples() == [(42, False)])
