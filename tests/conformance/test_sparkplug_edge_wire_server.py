"""Our edge node at servers that lose it, have no host for it, or do not let it in."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from bridges.sparkplug.profile import VERSIONS, Version
from bridges.sparkplug_edge.node import Hearers, Node, Route
from bridges.sparkplug_edge.store import Store
from tests.brokers import RunningBroker, bounded, running_broker, small_plant, unique, until
from tests.conformance.edge_recording import (
    BIRTHS,
    DEVICES,
    EDGE,
    GROUP,
    HOST,
    count,
    edge_node,
    kind_of,
    metric,
    read,
    wall_ms,
)
from tests.conformance.wiretap import (
    Connect,
    Packet,
    Publish,
    Subscribe,
    tapped,
)
from uns.mqtt.client import MqttClient
from uns.mqtt.message import Address
from uns.sparkplug import state
from uns.sparkplug.edge_queue import BacklogLimits
from uns.sparkplug.edge_session import EdgeSession
from uns.sparkplug.edge_settings import EdgeSettings
from uns.sparkplug.naming import Descriptor, client_id


class Arrivals(list[Packet]):
    """Packets, and when each came."""

    def __init__(self) -> None:
        super().__init__()
        self.at_ms: list[int] = []

    def append(self, packet: Packet) -> None:
        self.at_ms.append(wall_ms())
        super().append(packet)


@pytest.mark.tck(
    "topics-nbirth-timestamp",
    "topics-dbirth-timestamp",
    "payloads-nbirth-timestamp",
    "payloads-dbirth-timestamp",
)
@bounded
async def test_a_birth_arrives_in_a_later_millisecond_than_it_says(
    mosquitto: RunningBroker,
) -> None:
    arrivals = Arrivals()
    async with (
        tapped(mosquitto.address()) as (address, tap),
        edge_node([address]) as edge,
    ):
        tap.packets = arrivals
        await edge.order("on")
        for births in range(1, 12):
            await until(count(tap, "NBIRTH", births))
            await edge.order("rebirth")
    pairs = zip(arrivals, arrivals.at_ms, strict=True)
    births_at = [
        (read(p), at) for p, at in pairs if isinstance(p, Publish) and kind_of(p) in BIRTHS
    ]
    assert len(births_at) > 30
    assert all((payload.timestamp_ms or 0) < at_ms for payload, at_ms in births_at)


@pytest.mark.tck("topics-nbirth-bdseq-increment")
@bounded
async def test_thrown_out_it_connects_once_with_a_new_bd_seq(mosquitto: RunningBroker) -> None:
    async with tapped(mosquitto.address()) as (address, tap), edge_node([address]) as edge:
        await edge.order("on")
        for births in range(1, 9):
            await until(count(tap, "NBIRTH", births))
            same = client_id(Descriptor(GROUP, EDGE))
            async with MqttClient(mosquitto.address(), same, clean_session=True) as other:
                await other.ready()
        await until(count(tap, "NBIRTH", 9))
    wills = [p.will for p in tap.packets if isinstance(p, Connect) and p.will]
    told = [metric(will, "bdSeq").value for will in wills]
    assert told == list(range(len(told)))


@pytest.mark.tck("message-flow-device-birth-publish-dbirth-payload")
@bounded
async def test_a_device_that_was_dead_is_born_with_the_next_on(mosquitto: RunningBroker) -> None:
    async with tapped(mosquitto.address()) as (address, tap), edge_node([address]) as edge:
        await edge.order("on")
        await until(count(tap, "DBIRTH", 2))
        for order in ("death d1", "off", "on"):
            await edge.order(order)
        await until(count(tap, "DBIRTH", 4))
        assert [m.topic[-2:] for m in tap.sent() if kind_of(m) == "DBIRTH"] == [*DEVICES, *DEVICES]


# --- a primary host, and several servers


async def host_says(broker: RunningBroker, *, online: bool, at_ms: int) -> None:
    async with MqttClient(broker.address(), unique("h"), clean_session=True) as client:
        said = (state.online if online else state.offline)(HOST, at_ms)
        await client.publish(said.topic, said.payload, qos=1, retain=True)


@pytest.mark.tck(
    "message-flow-edge-node-birth-publish-phid-wait",
    "message-flow-edge-node-birth-publish-phid-wait-id",
    "message-flow-edge-node-birth-publish-phid-wait-online",
    "message-flow-edge-node-birth-publish-phid-wait-timestamp",
    "operational-behavior-edge-node-birth-sequence-wait",
)
@bounded
async def test_births_wait_for_the_primary_host(mosquitto: RunningBroker) -> None:
    now_ms = wall_ms()
    async with (
        MqttClient(mosquitto.address(), unique("other"), clean_session=True) as other,
        tapped(mosquitto.address()) as (address, tap),
        edge_node([address], primary_host=HOST) as edge,
    ):
        said = state.online("another", now_ms)
        await other.publish(said.topic, said.payload, qos=1, retain=True)
        await host_says(mosquitto, online=False, at_ms=now_ms)
        await edge.order("on")
        await until(count(tap, "SUBSCRIBE", 1))
        await host_says(mosquitto, online=True, at_ms=now_ms - 1)
        echo = MqttClient(mosquitto.address(), unique("echo"), clean_session=True)
        async with echo:
            await echo.publish(f"spBv1.0/{GROUP}/NCMD/{EDGE}", b"\xff")
        assert tap.kinds() == ["CONNECT", "SUBSCRIBE"]
        await host_says(mosquitto, online=True, at_ms=now_ms)
        await until(count(tap, "DBIRTH", 2))
        subscribed = tap.packets[1]
        assert isinstance(subscribed, Subscribe)
        assert f"spBv1.0/STATE/{HOST}" in subscribed.filters


@pytest.mark.tck(
    "message-flow-edge-node-birth-publish-phid-offline",
    "operational-behavior-edge-node-termination-host-offline",
    "operational-behavior-edge-node-termination-host-offline-reconnect",
    "operational-behavior-edge-node-termination-host-offline-timestamp",
    "operational-behavior-primary-application-state-with-multiple-servers-single-server",
    "operational-behavior-primary-application-state-with-multiple-servers-walk",
)
@bounded
async def test_it_leaves_the_server_that_its_host_left_and_tries_the_next(tmp_path: Path) -> None:
    now_ms = wall_ms()
    with (
        running_broker(tmp_path / "one", small_plant()) as one,
        running_broker(tmp_path / "two", small_plant()) as two,
    ):
        await host_says(one, online=True, at_ms=now_ms)
        await host_says(two, online=True, at_ms=now_ms - 60_000)
        async with (
            tapped(one.address()) as (first, tap),
            tapped(two.address()) as (second, next_tap),
        ):
            tester = one.address()
            servers = [
                Address(first.host, first.port, tester.username, tester.password),
                Address(second.host, second.port, second.username, second.password),
            ]
            async with edge_node(servers, primary_host=HOST) as edge:
                await edge.order("on")
                await until(count(tap, "DBIRTH", 2))
                await host_says(one, online=False, at_ms=now_ms - 1)
                await edge.order("data")
                await until(count(tap, "NDATA", 1))
                assert next_tap.packets == []
                await host_says(one, online=False, at_ms=now_ms)
                await until(count(next_tap, "DBIRTH", 2))
                assert tap.open == 0
                assert [kind for kind in tap.kinds() if kind != "ENDED"][-2:] == [
                    "NDEATH",
                    "DISCONNECT",
                ]


@pytest.mark.tck("operational-behavior-primary-application-state-with-multiple-servers-walk")
@bounded
async def test_where_nobody_speaks_of_its_host_it_does_not_stay(tmp_path: Path) -> None:
    with (
        running_broker(tmp_path / "one", small_plant()) as one,
        running_broker(tmp_path / "two", small_plant()) as two,
    ):
        await host_says(two, online=True, at_ms=wall_ms())
        async with (
            tapped(one.address()) as (first, tap),
            tapped(two.address()) as (second, next_tap),
            edge_node([first, second], primary_host=HOST) as edge,
        ):
            await edge.order("on")
            await until(count(next_tap, "DBIRTH", 2))
            assert tap.open == 0
            assert tap.kinds() == ["CONNECT", "SUBSCRIBE", "NDEATH", "DISCONNECT", "ENDED"]


# --- the hub's own edge node at servers that do not let it in


@asynccontextmanager
async def hub_node(server: Address, store: Store, version: Version) -> AsyncIterator[list[bool]]:
    """The edge node that shows a line of the hub; whether it stood and fell so far."""
    stood: list[bool] = []
    session = EdgeSession(EdgeSettings(GROUP, EDGE), store, store.bd_seq)
    route = Route([server], client_id(Descriptor(GROUP, EDGE)), VERSIONS[version])
    hearers = Hearers(lambda is_up, _why: stood.append(is_up), lambda _write: None)
    running = asyncio.create_task(Node(session, store, route, wall_ms, hearers).run())
    try:
        yield stood
    finally:
        running.cancel()
        await asyncio.wait({running})
        assert running.cancelled(), running.exception()


@asynccontextmanager
async def rude_server(connack: bytes, suback: Callable[[bytes], bytes]) -> AsyncIterator[Address]:
    """A server that answers CONNECT and SUBSCRIBE as it is told, and closes where that is empty."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError):
            await reader.read(4096)
            writer.write(connack)
            if connack and (answer := suback(await reader.read(4096))):
                writer.write(answer)
                await reader.read(4096)
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        yield Address("127.0.0.1", server.sockets[0].getsockname()[1])


def nothing(_subscribe: bytes) -> bytes:
    return b""


def refusal(subscribe: bytes) -> bytes:
    """SUBACK (MQTT 3.1.1, 3.9): failure for both filters."""
    return b"\x90\x04" + subscribe[2:4] + b"\x80\x80"


@pytest.mark.parametrize(
    ("connack", "suback"),
    [
        pytest.param(b"", nothing, id="closes"),
        pytest.param(b"\x20\x02\x00\x05", nothing, id="refuses the login"),
        pytest.param(b"\x20\x02\x00\x00", nothing, id="closes at the subscription"),
        pytest.param(b"\x20\x02\x00\x00", refusal, id="refuses the subscription"),
    ],
)
@pytest.mark.tck(
    "topics-nbirth-bdseq-increment",
    "message-flow-edge-node-birth-publish-will-message-payload-bdSeq",
)
@bounded
async def test_every_connect_has_the_next_bd_seq_in_its_will_whatever_becomes_of_it(
    connack: bytes, suback: Callable[[bytes], bytes], tmp_path: Path
) -> None:
    told: list[Any] = []
    for least in (4, 6):  # over a restart
        store = Store(tmp_path / "edge.db", BacklogLimits())
        async with (
            rude_server(connack, suback) as server,
            tapped(server) as (address, tap),
            hub_node(address, store, "3.1.1") as stood,
        ):
            tap.packets = Noted(told)
            await until(lambda: len(told) >= least)  # noqa: B023 - waited for here
        assert stood == [False]
        store.close()
    assert told == list(range(len(told)))


class Noted(list[Packet]):
    """Packets; the bd_seq of each CONNECT goes to a list."""

    def __init__(self, told: list[Any]) -> None:
        super().__init__()
        self._told = told

    def append(self, packet: Packet) -> None:
        if isinstance(packet, Connect) and packet.will:
            self._told.append(metric(packet.will, "bdSeq").value)
        super().append(packet)


@pytest.mark.tck("topics-nbirth-bdseq-increment")
@bounded
async def test_while_nobody_listens_no_bd_seq_is_used_up(tmp_path: Path) -> None:
    store = Store(tmp_path / "edge.db", BacklogLimits())
    broker = RunningBroker(tmp_path, small_plant())
    async with hub_node(broker.address(), store, "5") as stood:
        await until(lambda: stood == [False])
        broker.start()
        try:
            await until(lambda: stood == [False, True])
            assert store.bd_seq == 0
        finally:
            broker.kill()
    store.close()
