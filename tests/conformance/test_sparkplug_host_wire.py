"""What our host application sends, as read from the line: MQTT 3.1.1 and 5, over mosquitto."""

import asyncio
import json
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from bridges.sparkplug.profile import Version
from bridges.sparkplug.profile_edge import EdgeOptions, EdgeProfile
from bridges.sparkplug.profile_host import HostOptions, HostProfile
from tests.brokers import RunningBroker, bounded, running_broker, small_plant, unique, until
from tests.conformance.wiretap import Connect, Publish, Subscribe, Tap, tapped
from uns.mqtt.client import MqttClient
from uns.mqtt.message import Address
from uns.sparkplug import state
from uns.sparkplug.datatype import DataType
from uns.sparkplug.payload import decode, encode, parse, serialize
from uns.sparkplug.schema import new_payload
from uns.sparkplug.values import Metric, Payload

GROUP, EDGE, DEVICE, HOST = "g", "e", "d1", "h"
STATE = f"spBv1.0/STATE/{HOST}"
SCRIPT_S_MAX = 30
REORDER_MS = 200


def wall_ms() -> int:
    return time.time_ns() // 1_000_000


class Recording(NamedTuple):
    """What one host sent in two sessions, and when that was."""

    version: Version
    tap: Tap
    begin_ms: int
    end_ms: int

    @property
    def connects(self) -> list[Connect]:
        return [each for each in self.tap.packets if isinstance(each, Connect)]

    def states(self) -> list[Publish]:
        return [each for each in self.tap.sent() if each.topic == STATE]

    def of(self, kind: str) -> list[Publish]:
        return [each for each in self.tap.sent() if each.topic.split("/")[2] == kind]


def said(message: Publish | None) -> dict[str, Any]:
    assert message
    document: dict[str, Any] = json.loads(message.payload)
    return document


def only(message: Publish) -> Metric:
    payload = decode(message.payload)
    assert isinstance(payload, Payload)
    (metric,) = payload.metrics
    return metric


@asynccontextmanager
async def host_application(
    servers: list[Address], told: list[str], version: Version = "3.1.1", **options: Any
) -> AsyncIterator[HostProfile]:
    def say(what: str, **details: Any) -> None:
        told.append(f"{what} {details.get('place', '')} {details.get('metric', '')}".strip())

    settings = HostOptions(HOST, servers, version, REORDER_MS, **options)
    profile = HostProfile(settings, wall_ms, say)
    try:
        yield profile
    finally:
        await profile.close()


def silent(what: str, **details: Any) -> None:
    """Say nothing."""


def count(tap: Tap, kind: str, at_least: int) -> Callable[[], bool]:
    return lambda: tap.kinds().count(kind) >= at_least


async def script(broker: RunningBroker, version: Version) -> Recording:
    """Say online, be contradicted, command an edge node, leave, come again."""
    begin_ms = wall_ms()
    told: list[str] = []
    settings = EdgeOptions(GROUP, EDGE, (DEVICE,), [broker.address()])
    edge = EdgeProfile(settings, wall_ms, silent)
    async with (
        asyncio.timeout(SCRIPT_S_MAX),
        MqttClient(broker.address(), unique("liar"), clean_session=True) as liar,
        tapped(broker.address()) as (address, tap),
        host_application([address], told, version) as host,
    ):
        await host.order("on")
        await until(count(tap, "STATE", 1))
        lie = state.offline(HOST, wall_ms())
        await liar.publish(lie.topic, lie.payload, qos=1, retain=True)
        await until(count(tap, "STATE", 2))
        await edge.order("on")
        await until(lambda: f"value {GROUP}/{EDGE}/{DEVICE} Motor" in told)
        for order in (f"rebirth {GROUP}/{EDGE}", f"rebirth {GROUP}/{EDGE}/{DEVICE}"):
            await host.order(order)
        await until(lambda: told.count(f"born {GROUP}/{EDGE}/{DEVICE}") == 2)
        for order in (
            f"write {GROUP}/{EDGE} 21.5 Set Point",
            f"write {GROUP}/{EDGE}/{DEVICE} -9 Set Point",
        ):
            await host.order(order)
        await until(count(tap, "DCMD", 2))
        await edge.close()
        await host.order("off")
        await until(count(tap, "DISCONNECT", 1))
        await host.order("on")
        await until(lambda: tap.kinds()[-3:] == ["CONNECT", "SUBSCRIBE", "STATE"])
        await host.order("off")
        await until(count(tap, "DISCONNECT", 2))
    return Recording(version, tap, begin_ms, wall_ms())


@pytest.fixture(scope="module", params=["3.1.1", "5"])
def recording(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Recording]:
    with running_broker(tmp_path_factory.mktemp("broker"), small_plant()) as broker:
        yield asyncio.run(script(broker, request.param))


@pytest.mark.tck(
    "message-flow-phid-sparkplug-clean-session-311",
    "message-flow-phid-sparkplug-clean-session-50",
)
def test_every_session_is_clean(recording: Recording) -> None:
    assert len(recording.connects) == 2
    for connect in recording.connects:
        assert connect.clean
        assert (connect.version, connect.expiry_s or 0) == (
            (4, 0) if recording.version == "3.1.1" else (5, 0)
        )


@pytest.mark.tck(
    "host-topic-phid-death-qos",
    "host-topic-phid-death-retain",
    "host-topic-phid-death-topic",
    "host-topic-phid-death-required",
    "host-topic-phid-death-payload",
    "host-topic-phid-death-payload-timestamp-connect",
    "operational-behavior-host-application-connect-will",
    "operational-behavior-host-application-connect-will-topic",
    "operational-behavior-host-application-connect-will-payload",
    "operational-behavior-host-application-connect-will-qos",
    "operational-behavior-host-application-connect-will-retained",
    "payloads-state-will-message",
    "payloads-state-will-message-qos",
    "payloads-state-will-message-retain",
    "payloads-state-will-message-payload",
)
def test_the_will_says_offline_at_the_time_of_this_connect(recording: Recording) -> None:
    times = []
    for connect in recording.connects:
        assert connect.will
        assert (connect.will.topic, connect.will.qos, connect.will.retain) == (STATE, 1, True)
        document = said(connect.will)
        assert document.keys() == {"online", "timestamp"}
        assert document["online"] is False
        times.append(document["timestamp"])
    assert recording.begin_ms <= times[0] < times[1] <= recording.end_ms


@pytest.mark.tck(
    "principles-birth-certificates-order",
    "host-topic-phid-birth-message",
    "host-topic-phid-birth-sub-required",
    "host-topic-phid-birth-required",
    "message-flow-phid-sparkplug-subscription",
    "message-flow-phid-sparkplug-state-publish",
    "operational-behavior-host-application-connect-birth",
    "payloads-state-subscribe",
    "payloads-state-birth",
)
def test_it_connects_subscribes_and_says_online_before_anything_else(
    recording: Recording,
) -> None:
    assert recording.tap.kinds()[:3] == ["CONNECT", "SUBSCRIBE", "STATE"]
    subscribed = recording.tap.packets[1]
    assert isinstance(subscribed, Subscribe)
    assert set(subscribed.filters) == {"spBv1.0/#", STATE}


@pytest.mark.tck(
    "intro-sparkplug-host-state",
    "components-ph-state",
    "conformance-primary-host",
    "host-topic-phid-birth-qos",
    "host-topic-phid-birth-retain",
    "host-topic-phid-birth-topic",
    "host-topic-phid-birth-payload",
    "host-topic-phid-birth-payload-timestamp",
    "message-flow-phid-sparkplug-state-publish-payload",
    "message-flow-phid-sparkplug-state-publish-payload-timestamp",
    "operational-behavior-host-application-connect-birth-topic",
    "operational-behavior-host-application-connect-birth-payload",
    "operational-behavior-host-application-connect-birth-qos",
    "operational-behavior-host-application-connect-birth-retained",
    "operational-behavior-primary-application-state-with-multiple-servers-state",
    "payloads-state-birth-payload",
)
def test_each_session_says_online_with_the_time_of_its_own_will(recording: Recording) -> None:
    online = [each for each in recording.states() if said(each)["online"] is True]
    first, second = (said(connect.will)["timestamp"] for connect in recording.connects)
    times = [said(each)["timestamp"] for each in online]
    assert times[:2] == [first, first]
    assert times.count(second) == 1
    assert times[-1] == second
    assert {(each.qos, each.retain) for each in online} == {(1, True)}
    assert all(type(said(each)["timestamp"]) is int for each in online)


@pytest.mark.tck("message-flow-hid-sparkplug-state-message-delivered")
def test_told_that_it_is_offline_it_says_online_again(recording: Recording) -> None:
    assert [said(each)["online"] for each in recording.states()[:2]] == [True, True]


@pytest.mark.tck(
    "host-topic-phid-death-payload-timestamp-disconnect-clean",
    "host-topic-phid-death-payload-timestamp-disconnect-with-no-disconnect-packet",
    "operational-behavior-host-application-termination",
    "operational-behavior-host-application-death-topic",
    "operational-behavior-host-application-death-payload",
    "operational-behavior-host-application-death-qos",
    "operational-behavior-host-application-death-retained",
)
def test_it_leaves_saying_offline_at_the_time_of_leaving(recording: Recording) -> None:
    place = recording.tap.kinds().index("DISCONNECT")
    death = recording.tap.packets[place - 1]
    assert isinstance(death, Publish)
    assert (death.topic, death.qos, death.retain) == (STATE, 1, True)
    assert said(death)["online"] is False
    assert said(recording.connects[0].will)["timestamp"] < said(death)["timestamp"]
    assert said(death)["timestamp"] <= said(recording.connects[1].will)["timestamp"]


@pytest.mark.tck(
    "topics-ncmd-topic",
    "topics-ncmd-mqtt",
    "topics-ncmd-timestamp",
    "topics-ncmd-payload",
    "payloads-ncmd-timestamp",
    "payloads-ncmd-seq",
    "payloads-ncmd-qos",
    "payloads-ncmd-retain",
    "operational-behavior-data-commands-ncmd-rebirth-verb",
    "operational-behavior-data-commands-ncmd-rebirth-name",
    "operational-behavior-data-commands-ncmd-rebirth-value",
    "operational-behavior-data-commands-ncmd-verb",
    "operational-behavior-data-commands-ncmd-metric-name",
    "operational-behavior-data-commands-ncmd-metric-value",
)
def test_a_node_is_asked_for_births_and_written_to_by_ncmd(recording: Recording) -> None:
    rebirth, write = recording.of("NCMD")
    for message in (rebirth, write):
        assert message.topic == f"spBv1.0/{GROUP}/NCMD/{EDGE}"
        assert (message.qos, message.retain) == (0, False)
        wire = parse(message.payload)
        assert not wire.HasField("seq")
        assert recording.begin_ms <= wire.timestamp <= recording.end_ms
    asked = only(rebirth)
    assert (asked.name, asked.value, asked.datatype) == (
        "Node Control/Rebirth",
        True,
        DataType.BOOLEAN,
    )
    assert only(write).value == 21.5


@pytest.mark.tck(
    "topics-dcmd-topic",
    "topics-dcmd-mqtt",
    "topics-dcmd-timestamp",
    "topics-dcmd-payload",
    "payloads-dcmd-timestamp",
    "payloads-dcmd-seq",
    "payloads-dcmd-qos",
    "payloads-dcmd-retain",
    "operational-behavior-data-commands-dcmd-verb",
    "operational-behavior-data-commands-dcmd-metric-name",
    "operational-behavior-data-commands-dcmd-metric-value",
)
def test_a_device_is_asked_for_its_birth_and_written_to_by_dcmd(recording: Recording) -> None:
    rebirth, write = recording.of("DCMD")
    for message in (rebirth, write):
        assert message.topic == f"spBv1.0/{GROUP}/DCMD/{EDGE}/{DEVICE}"
        assert (message.qos, message.retain) == (0, False)
        wire = parse(message.payload)
        assert not wire.HasField("seq")
        assert recording.begin_ms <= wire.timestamp <= recording.end_ms
    assert (only(rebirth).name, only(rebirth).value) == ("Device Control/Rebirth", True)
    assert (only(write).value, only(write).datatype) == (-9, DataType.INT32)


@pytest.mark.tck(
    "operational-behavior-primary-application-state-with-multiple-servers-state-subs",
    "operational-behavior-host-application-multi-server-timestamp",
)
@bounded
async def test_on_several_servers_it_is_online_at_each_with_a_time_of_its_own(
    tmp_path: Path,
) -> None:
    with (
        running_broker(tmp_path / "one", small_plant()) as one,
        running_broker(tmp_path / "two", small_plant()) as two,
    ):
        async with (
            tapped(one.address()) as (first, tap),
            tapped(two.address()) as (second, other),
            host_application([first, second], []) as host,
        ):
            await host.order("on")
            await until(count(tap, "STATE", 1))
            await until(count(other, "STATE", 1))
            two.restart()
            await until(count(other, "STATE", 2))
            times = [said(each)["timestamp"] for each in other.sent()]
            assert times[0] < times[1]
            assert [said(each)["online"] for each in tap.sent()] == [True]


# --- an edge node with faults, as the public kit's own is one


class FaultyNode:
    """Bears its device with a UInt8 out of range; sends data of a metric that is in no birth."""

    def __init__(self, client: MqttClient) -> None:
        self._client = client
        self._seq = 0

    async def births(self) -> None:
        """NBIRTH and DBIRTH, by names only."""
        self._seq = 0
        node = (
            Metric("bdSeq", 0, DataType.INT64),
            Metric("Node Control/Rebirth", value=False, datatype=DataType.BOOLEAN),
            Metric("Counter/Int32", 0, DataType.INT32),
        )
        await self._send("NBIRTH", encode(Payload(node, wall_ms(), self._next())))
        wire = new_payload()
        wire.timestamp, wire.seq = wall_ms(), self._next()
        wire.metrics.add(name="UInt8", datatype=DataType.UINT8, int_value=2**32 - 1234)
        wire.metrics.add(name="Outputs/1", datatype=DataType.INT32, int_value=0)
        await self._send("DBIRTH", serialize(wire))

    def unborn(self) -> bytes:
        """The next DATA."""
        metric = Metric("Temperature", 23, DataType.INT16)
        return encode(Payload((metric,), wall_ms(), self._next()))

    async def data(self, raw: bytes) -> None:
        """DDATA."""
        await self._send("DDATA", raw)

    def _next(self) -> int:
        self._seq += 1
        return self._seq - 1

    async def _send(self, kind: str, raw: bytes) -> None:
        device = f"/{DEVICE}" if kind[0] == "D" else ""
        await self._client.publish(f"spBv1.0/{GROUP}/{kind}/{EDGE}{device}", raw, qos=0)


@asynccontextmanager
async def facing_faults(
    broker: RunningBroker, *, forgive: bool
) -> AsyncIterator[tuple[HostProfile, FaultyNode, Tap, list[str]]]:
    told: list[str] = []
    async with (
        MqttClient(broker.address(), unique("faulty"), clean_session=True) as client,
        tapped(broker.address()) as (address, tap),
        host_application([address], told, forgive=forgive) as host,
    ):
        await host.order("on")
        await until(count(tap, "STATE", 1))
        yield host, FaultyNode(client), tap, told


@bounded
async def test_a_node_that_cannot_be_read_is_asked_for_its_births(mosquitto: RunningBroker) -> None:
    async with facing_faults(mosquitto, forgive=False) as (host, node, tap, told):
        await node.births()
        await until(count(tap, "NCMD", 1))
        await host.order(f"write {GROUP}/{EDGE}/{DEVICE} 7 Outputs/1")
        assert told[-1] == f"no such metric born {GROUP}/{EDGE}/{DEVICE} Outputs/1"


@pytest.mark.tck(
    "operational-behavior-data-commands-ncmd-metric-name",
    "operational-behavior-data-commands-dcmd-metric-name",
    "topics-ncmd-payload",
    "topics-dcmd-payload",
)
@bounded
async def test_forgiven_its_faults_it_is_written_to_by_name(mosquitto: RunningBroker) -> None:
    async with facing_faults(mosquitto, forgive=True) as (host, node, tap, told):
        await node.births()
        await until(lambda: f"value {GROUP}/{EDGE}/{DEVICE} Outputs/1" in told)
        await host.order(f"write {GROUP}/{EDGE} 7 Counter/Int32")
        await host.order(f"write {GROUP}/{EDGE}/{DEVICE} 8 Outputs/1")
        await until(count(tap, "DCMD", 1))
        assert tap.kinds()[-2:] == ["NCMD", "DCMD"]
        ncmd, dcmd = (only(each) for each in tap.sent()[-2:])
        assert (ncmd.name, ncmd.value, ncmd.datatype) == ("Counter/Int32", 7, DataType.INT32)
        assert (dcmd.name, dcmd.value, dcmd.datatype) == ("Outputs/1", 8, DataType.INT32)
        assert told.count("left out") == 1


@pytest.mark.tck(
    "operational-behavior-host-reordering-param",
    "operational-behavior-host-reordering-start",
    "operational-behavior-host-reordering-rebirth",
    "operational-behavior-host-reordering-success",
)
@bounded
async def test_forgiven_its_faults_it_is_asked_for_births_when_a_message_stays_away(
    mosquitto: RunningBroker,
) -> None:
    async with facing_faults(mosquitto, forgive=True) as (_host, node, tap, told):
        await node.births()
        await node.data(node.unborn())
        late = node.unborn()
        await node.data(node.unborn())
        await node.data(late)
        await until(lambda: told.count("left out") == 4)
        await asyncio.sleep(2 * REORDER_MS / 1_000)
        assert "NCMD" not in tap.kinds()
        node.unborn()
        await node.data(node.unborn())
        await until(count(tap, "NCMD", 1))
        assert only(tap.sent()[-1]).name == "Node Control/Rebirth"
