"""What our edge node sends, as read from the line: MQTT 3.1.1 and 5, over a real mosquitto."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from bridges.sparkplug.profile import Version
from bridges.sparkplug.profile_edge import EdgeOptions, EdgeProfile
from tests.brokers import RunningBroker, bounded, running_broker, small_plant, unique, until
from tests.conformance.wiretap import (
    Connect,
    Disconnect,
    Packet,
    Publish,
    Subscribe,
    Tap,
    tapped,
)
from uns.mqtt.client import MqttClient
from uns.mqtt.message import Address
from uns.sparkplug import state
from uns.sparkplug.datatype import DataType
from uns.sparkplug.host import rebirth_command
from uns.sparkplug.payload import decode, encode, parse
from uns.sparkplug.values import DataSet, Metric, Payload, Template

GROUP, EDGE, HOST = "g", "e", "h"
DEVICES = ("d1", "d2")
DATA = ("NDATA", "DDATA")
BIRTHS = ("NBIRTH", "DBIRTH")
REBIRTH = "Node Control/Rebirth"
SCRIPT_S_MAX = 30


def wall_ms() -> int:
    return time.time_ns() // 1_000_000


class Recording(NamedTuple):
    """What one edge node sent in two sessions, and when that was."""

    version: Version
    tap: Tap
    begin_ms: int
    end_ms: int

    @property
    def first(self) -> list[Publish]:
        """The messages of the first session, its will not among them."""
        found: list[Publish] = []
        for packet in self.tap.packets:
            if isinstance(packet, Disconnect):
                break
            if isinstance(packet, Publish):
                found.append(packet)
        return found

    def of(self, *kinds: str) -> list[Publish]:
        return [each for each in self.first if kind_of(each) in kinds]

    @property
    def connects(self) -> list[Connect]:
        return [each for each in self.tap.packets if isinstance(each, Connect)]


def kind_of(message: Publish) -> str:
    return message.topic.split("/")[2]


def read(message: Publish) -> Payload:
    payload = decode(message.payload)
    assert isinstance(payload, Payload)
    return payload


def metric(message: Publish, name: str) -> Metric:
    found = read(message).metric(name)
    assert found, name
    return found


@asynccontextmanager
async def edge_node(
    servers: list[Address], version: Version = "3.1.1", **options: Any
) -> AsyncIterator[EdgeProfile]:
    def silent(what: str, **details: Any) -> None:
        """Say nothing."""

    settings = EdgeOptions(GROUP, EDGE, DEVICES, servers, version=version, **options)
    profile = EdgeProfile(settings, wall_ms, silent)
    try:
        yield profile
    finally:
        await profile.close()


def count(tap: Tap, kind: str, at_least: int) -> Callable[[], bool]:
    return lambda: tap.kinds().count(kind) >= at_least


async def script(broker: RunningBroker, version: Version) -> Recording:
    """Connect, send, be written to, be asked for births, lose a device, leave, come again."""
    begin_ms = wall_ms()
    async with (
        asyncio.timeout(SCRIPT_S_MAX),
        MqttClient(broker.address(), unique("host"), clean_session=True) as host,
        tapped(broker.address()) as (address, tap),
        edge_node([address], version) as edge,
    ):
        await edge.order("on")
        await until(count(tap, "DBIRTH", 2))
        for order in ("data", "data d1", "data d1", "history d1"):
            await edge.order(order)
        set_point = Metric("Set Point", -7, DataType.INT32)
        await host.publish(f"spBv1.0/{GROUP}/DCMD/{EDGE}/d1", encode(Payload((set_point,))))
        await until(count(tap, "DDATA", 4))
        asked = rebirth_command(GROUP, EDGE, wall_ms())
        await host.publish(asked.topic, asked.payload, qos=0)
        await until(count(tap, "DBIRTH", 4))
        for order in ("death d2", "data d1", "birth d2", "data d2", "bad d2", "off"):
            await edge.order(order)
        await until(count(tap, "DISCONNECT", 1))
        await edge.order("on")
        await until(count(tap, "NBIRTH", 3))
        await edge.order("off")
        await until(count(tap, "DISCONNECT", 2))
    return Recording(version, tap, begin_ms, wall_ms())


@pytest.fixture(scope="module", params=["3.1.1", "5"])
def recording(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Recording]:
    with running_broker(tmp_path_factory.mktemp("broker"), small_plant()) as broker:
        yield asyncio.run(script(broker, request.param))


@pytest.mark.tck(
    "principles-persistence-clean-session-311", "principles-persistence-clean-session-50"
)
def test_every_session_is_clean(recording: Recording) -> None:
    assert len(recording.connects) == 2
    for connect in recording.connects:
        assert connect.clean
        assert (connect.version, connect.expiry_s or 0) == (
            (4, 0) if recording.version == "3.1.1" else (5, 0)
        )


@pytest.mark.tck(
    "message-flow-edge-node-birth-publish-will-message",
    "message-flow-edge-node-birth-publish-will-message-topic",
    "message-flow-edge-node-birth-publish-will-message-payload",
    "message-flow-edge-node-birth-publish-will-message-qos",
    "message-flow-edge-node-birth-publish-will-message-will-retained",
    "payloads-ndeath-will-message",
    "payloads-ndeath-will-message-qos",
    "payloads-ndeath-will-message-retain",
    "payloads-ndeath-seq",
    "topics-ndeath-topic",
    "topics-ndeath-payload",
    "topics-ndeath-seq",
)
def test_the_will_is_the_death_with_bd_seq_and_nothing_else(recording: Recording) -> None:
    for connect in recording.connects:
        assert connect.will
        assert connect.will.topic == f"spBv1.0/{GROUP}/NDEATH/{EDGE}"
        assert (connect.will.qos, connect.will.retain) == (1, False)
        assert not parse(connect.will.payload).HasField("seq")
        (only,) = read(connect.will).metrics
        assert (only.name, only.datatype, only.alias) == ("bdSeq", DataType.INT64, None)


@pytest.mark.tck(
    "topics-nbirth-bdseq-included",
    "topics-nbirth-bdseq-matching",
    "topics-nbirth-bdseq-increment",
    "message-flow-edge-node-birth-publish-will-message-payload-bdSeq",
    "message-flow-edge-node-birth-publish-nbirth-payload-bdSeq",
    "payloads-nbirth-bdseq",
    "payloads-nbirth-bdseq-repeat",
    "payloads-ndeath-bdseq",
    "operational-behavior-data-commands-rebirth-action-3",
)
def test_bd_seq_begins_at_0_counts_connects_and_is_the_births(recording: Recording) -> None:
    wills = [metric(c.will, "bdSeq").value for c in recording.connects if c.will]
    born = [metric(m, "bdSeq") for m in recording.tap.sent() if kind_of(m) == "NBIRTH"]
    assert wills == [0, 1]
    assert [(each.value, each.datatype) for each in born] == [
        (0, DataType.INT64),
        (0, DataType.INT64),
        (1, DataType.INT64),
    ]


@pytest.mark.tck(
    "message-flow-edge-node-ncmd-subscribe",
    "message-flow-device-dcmd-subscribe",
    "message-flow-edge-node-birth-publish-connect",
    "message-flow-device-birth-publish-nbirth-wait",
    "principles-birth-certificates-order",
    "payloads-dbirth-order",
    "payloads-ndata-order",
    "payloads-ddata-order",
)
def test_it_connects_subscribes_and_is_born_before_it_says_anything(recording: Recording) -> None:
    kinds = recording.tap.kinds()
    assert kinds[:5] == ["CONNECT", "SUBSCRIBE", "NBIRTH", "DBIRTH", "DBIRTH"]
    subscribed = recording.tap.packets[1]
    assert isinstance(subscribed, Subscribe)
    assert subscribed.filters == {
        f"spBv1.0/{GROUP}/NCMD/{EDGE}": 1,
        f"spBv1.0/{GROUP}/DCMD/{EDGE}/+": 1,
        "spBv1.0/STATE/+": 1,
    }


@pytest.mark.tck(
    "topics-nbirth-mqtt",
    "topics-dbirth-mqtt",
    "topics-ndata-mqtt",
    "topics-ddata-mqtt",
    "topics-ddeath-mqtt",
    "payloads-nbirth-qos",
    "payloads-nbirth-retain",
    "payloads-dbirth-qos",
    "payloads-dbirth-retain",
    "payloads-ndata-qos",
    "payloads-ndata-retain",
    "payloads-ddata-qos",
    "payloads-ddata-retain",
    "message-flow-edge-node-birth-publish-nbirth-qos",
    "message-flow-edge-node-birth-publish-nbirth-retained",
    "message-flow-device-birth-publish-dbirth-qos",
    "message-flow-device-birth-publish-dbirth-retained",
)
@pytest.mark.parametrize("kind", ["NBIRTH", "DBIRTH", "NDATA", "DDATA", "DDEATH"])
def test_births_data_and_device_deaths_are_qos_0_and_not_retained(
    recording: Recording, kind: str
) -> None:
    assert {(each.qos, each.retain) for each in recording.of(kind)} == {(0, False)}


@pytest.mark.tck(
    "topic-structure",
    "topic-structure-namespace-a",
    "topic-structure-namespace-unique-device-id",
    "topic-structure-namespace-device-id-associated-message-types",
    "topic-structure-namespace-device-id-non-associated-message-types",
    "intro-group-id-string",
    "intro-edge-node-id-string",
    "intro-device-id-string",
    "topics-nbirth-topic",
    "topics-dbirth-topic",
    "topics-ndata-topic",
    "topics-ddata-topic",
    "topics-ddeath-topic",
    "message-flow-edge-node-birth-publish-nbirth-topic",
    "message-flow-device-birth-publish-dbirth-topic",
    "message-flow-device-birth-publish-dbirth-match-edge-node-topic",
)
def test_every_topic_is_namespace_group_type_node_and_device(recording: Recording) -> None:
    node = {f"spBv1.0/{GROUP}/{kind}/{EDGE}" for kind in ("NBIRTH", "NDATA", "NDEATH")}
    device = {f"spBv1.0/{GROUP}/{kind}/{EDGE}/{d}" for kind in ("DBIRTH", "DDATA") for d in DEVICES}
    assert {m.topic for m in recording.first} == node | device | {
        f"spBv1.0/{GROUP}/DDEATH/{EDGE}/d2"
    }


@pytest.mark.tck(
    "topics-nbirth-seq-num",
    "topics-ndata-seq-num",
    "topics-dbirth-seq",
    "topics-ddata-seq-num",
    "topics-ddeath-seq-num",
    "message-flow-edge-node-birth-publish-nbirth-payload-seq",
    "message-flow-device-birth-publish-dbirth-payload-seq",
    "payloads-sequence-num-always-included",
    "payloads-sequence-num-req-nbirth",
    "payloads-nbirth-seq",
    "payloads-dbirth-seq",
    "payloads-ndata-seq",
    "payloads-ddata-seq",
    "payloads-ddeath-seq",
    "payloads-ddeath-seq-number",
)
def test_seq_is_0_in_the_birth_and_one_more_in_each_message(recording: Recording) -> None:
    session = [m for m in recording.first if kind_of(m) != "NDEATH"]
    assert all(parse(m.payload).HasField("seq") for m in session)
    for before, message in pairwise(session):
        seq = read(before).seq
        assert seq is not None
        assert read(message).seq == (0 if kind_of(message) == "NBIRTH" else seq + 1)


@pytest.mark.tck(
    "topics-nbirth-timestamp",
    "topics-dbirth-timestamp",
    "topics-ndata-timestamp",
    "topics-ddata-timestamp",
    "payloads-nbirth-timestamp",
    "payloads-dbirth-timestamp",
    "payloads-ndata-timestamp",
    "payloads-ddata-timestamp",
    "payloads-ddeath-timestamp",
    "payloads-timestamp-in-UTC",
    "payloads-name-birth-data-requirement",
    "payloads-metric-timestamp-in-UTC",
)
def test_messages_and_their_metrics_have_times_in_utc(recording: Recording) -> None:
    for message in recording.first:
        payload = read(message)
        if kind_of(message) != "NDEATH":
            assert payload.timestamp_ms
            assert recording.begin_ms <= payload.timestamp_ms <= recording.end_ms
        if kind_of(message) in (*BIRTHS, *DATA):
            live = [m.timestamp_ms or 0 for m in payload.metrics if not m.is_historical]
            assert all(recording.begin_ms <= at_ms <= recording.end_ms for at_ms in live)


@pytest.mark.tck(
    "topics-nbirth-metric-reqs",
    "topics-nbirth-metrics",
    "topics-dbirth-metric-reqs",
    "topics-dbirth-metrics",
    "operational-behavior-data-publish-nbirth",
    "operational-behavior-data-publish-nbirth-values",
    "operational-behavior-data-publish-dbirth",
    "operational-behavior-data-publish-dbirth-values",
    "message-flow-edge-node-birth-publish-nbirth-payload",
    "message-flow-device-birth-publish-dbirth-payload",
    "payloads-metric-datatype-req",
    "payloads-metric-datatype-value",
    "payloads-metric-datatype-value-type",
    "payloads-name-requirement",
    "payloads-alias-birth-requirement",
    "payloads-alias-uniqueness",
)
def test_births_declare_all_that_is_sent_with_name_alias_type_and_value(
    recording: Recording,
) -> None:
    births = recording.of(*BIRTHS)[:3]
    declared = [each for birth in births for each in read(birth).metrics]
    for each in declared:
        assert each.name
        assert each.datatype
        assert (each.alias is None) is (each.name in ("bdSeq", REBIRTH))
    aliases = [each.alias for each in declared if each.alias is not None]
    assert len(aliases) == len(set(aliases))
    for wire in (one for birth in births for one in parse(birth.payload).metrics):
        assert wire.is_null is (wire.WhichOneof("value") is None)
    assert {m.alias for each in recording.of(*DATA) for m in read(each).metrics} <= set(aliases)


@pytest.mark.tck(
    "topics-nbirth-rebirth-metric",
    "payloads-nbirth-rebirth-req",
    "operational-behavior-data-commands-rebirth-name",
    "operational-behavior-data-commands-rebirth-name-aliases",
    "operational-behavior-data-commands-rebirth-datatype",
    "operational-behavior-data-commands-rebirth-value",
)
def test_the_node_can_be_asked_for_its_births(recording: Recording) -> None:
    for birth in recording.of("NBIRTH"):
        control = metric(birth, REBIRTH)
        assert (control.datatype, control.value, control.alias) == (DataType.BOOLEAN, False, None)


@pytest.mark.tck(
    "operational-behavior-data-commands-rebirth-action-1",
    "operational-behavior-data-commands-rebirth-action-2",
)
def test_asked_for_births_it_sends_all_of_them_at_once_and_no_death(recording: Recording) -> None:
    kinds = [kind_of(each) for each in recording.first]
    again = kinds.index("NBIRTH", 1)
    assert kinds[again : again + 3] == ["NBIRTH", "DBIRTH", "DBIRTH"]
    assert kinds.count("NDEATH") == 1
    assert kinds[-1] == "NDEATH"


@pytest.mark.tck(
    "payloads-alias-data-cmd-requirement",
    "payloads-metric-datatype-not-req",
    "topics-ndata-payload",
    "topics-ddata-payload",
    "operational-behavior-data-publish-nbirth-change",
    "operational-behavior-data-publish-dbirth-change",
    "principles-rbe-recommended",
)
def test_data_is_what_changed_by_alias_without_name_and_type(recording: Recording) -> None:
    for message in recording.of(*DATA):
        for wire in parse(message.payload).metrics:
            assert wire.HasField("alias")
            assert not wire.HasField("name")
            assert not wire.HasField("datatype")
    told = [[m.value for m in read(each).metrics] for each in recording.of(*DATA)]
    written = 2**32 - 7  # Int32 in two's complement
    assert told == [[1], [2], [3], [0, 1, 2], [written], [4], [5], [6]]


@pytest.mark.tck(
    "operational-behavior-data-publish-nbirth-order",
    "operational-behavior-data-publish-dbirth-order",
)
def test_values_are_in_order_of_time(recording: Recording) -> None:
    for message in recording.of(*BIRTHS, *DATA):
        live = [m.timestamp_ms or 0 for m in read(message).metrics if not m.is_historical]
        assert live == sorted(live)


@pytest.mark.tck("operational-behavior-device-ddeath")
def test_a_device_that_is_gone_dies_and_is_born_again(recording: Recording) -> None:
    kinds = [kind_of(each) for each in recording.first]
    death = kinds.index("DDEATH")
    assert kinds[death:] == ["DDEATH", "DDATA", "DBIRTH", "DDATA", "DDATA", "NDEATH"]


@pytest.mark.tck(
    "operational-behavior-edge-node-intentional-disconnect-ndeath",
    "payloads-ndeath-will-message-publisher",
    "payloads-ndeath-will-message-publisher-disconnect-mqtt311",
    "payloads-ndeath-will-message-publisher-disconnect-mqtt50",
)
def test_it_leaves_with_its_death_and_then_disconnects(recording: Recording) -> None:
    place = recording.tap.kinds().index("DISCONNECT")
    death, goodbye = recording.tap.packets[place - 1 : place + 1]
    assert isinstance(death, Publish)
    will = recording.connects[0].will
    assert will
    assert (death.topic, death.payload) == (will.topic, will.payload)
    assert goodbye == Disconnect(4 if recording.version == "5" else 0)


@pytest.mark.tck(
    "topics-nbirth-templates",
    "payloads-template-definition-nbirth",
    "payloads-template-definition-nbirth-only",
    "payloads-template-definition-is-definition",
    "payloads-template-definition-ref",
    "payloads-template-definition-members",
    "payloads-template-definition-parameters",
    "payloads-template-instance-is-definition",
    "payloads-template-instance-ref",
    "payloads-template-instance-members",
    "payloads-template-instance-members-birth",
    "payloads-template-is-definition",
    "payloads-template-is-definition-definition",
    "payloads-template-is-definition-instance",
    "payloads-template-ref-definition",
    "payloads-template-ref-instance",
    "payloads-template-version",
    "payloads-template-parameter-name-required",
    "payloads-template-parameter-name-type",
    "payloads-template-parameter-value-type",
    "payloads-template-parameter-type-value",
    "payloads-template-parameter-type-req",
    "payloads-template-parameter-value",
)
def test_templates_are_defined_in_the_node_birth_and_used_by_name(recording: Recording) -> None:
    node, *devices = recording.of(*BIRTHS)[:3]
    definition = metric(node, "Machine").value
    assert isinstance(definition, Template)
    assert (definition.is_definition, definition.template_ref) == (True, None)
    for birth in devices:
        instance = metric(birth, "Motor").value
        assert isinstance(instance, Template)
        assert (instance.is_definition, instance.template_ref) == (False, "Machine")
        assert [(m.name, m.datatype) for m in instance.metrics] == [
            (m.name, m.datatype) for m in definition.metrics
        ]
        assert [(p.name, p.datatype) for p in instance.parameters] == [
            (p.name, p.datatype) for p in definition.parameters
        ]
        assert instance.version == definition.version == "1"
        templates = [w.template_value for w in parse(birth.payload).metrics if w.datatype == 19]
        assert all(each.HasField("is_definition") for each in templates)
        assert not any(each.is_definition for each in templates)


@pytest.mark.tck(
    "payloads-dataset-column-size",
    "payloads-dataset-column-num-headers",
    "payloads-dataset-types-def",
    "payloads-dataset-types-num",
    "payloads-dataset-types-type",
    "payloads-dataset-types-value",
    "payloads-dataset-parameter-type-req",
    "payloads-template-dataset-value",
)
def test_a_table_has_as_many_types_as_columns(recording: Recording) -> None:
    birth = recording.of("DBIRTH")[0]
    (wire,) = [w.dataset_value for w in parse(birth.payload).metrics if w.name == "Table"]
    assert wire.num_of_columns == len(wire.columns) == len(wire.types) == 2
    assert [DataType(number) for number in wire.types] == [DataType.UINT32, DataType.STRING]
    assert {cell.WhichOneof("value") for row in wire.rows for cell in row.elements} == {
        "long_value",
        "string_value",
    }
    assert isinstance(metric(birth, "Table").value, DataSet)


@pytest.mark.tck(
    "payloads-propertyset-keys-array-size",
    "payloads-propertyset-values-array-size",
    "payloads-metric-propertyvalue-type-type",
    "payloads-metric-propertyvalue-type-value",
    "payloads-metric-propertyvalue-type-req",
    "payloads-propertyset-quality-value-type",
    "payloads-propertyset-quality-value-value",
)
def test_properties_have_types_and_quality_is_an_int32_of_three(recording: Recording) -> None:
    birth, bad = recording.of("DBIRTH")[0], recording.of("DDATA")[-1]
    (ranged,) = [w.properties for w in parse(birth.payload).metrics if w.name == "Temperature"]
    (judged,) = [w.properties for w in parse(bad.payload).metrics]
    for wire in (ranged, judged):
        assert len(wire.keys) == len(wire.values) > 0
        assert all(value.HasField("type") for value in wire.values)
    quality = judged.values[list(judged.keys).index("Quality")]
    assert DataType(quality.type) is DataType.INT32
    assert quality.int_value in (0, 192, 500)


READ_ALIKE = {
    DataType.INT16: "int_value",
    DataType.INT32: "int_value",
    DataType.INT64: "long_value",
    DataType.FLOAT: "float_value",
    DataType.DOUBLE: "double_value",
    DataType.BOOLEAN: "boolean_value",
    DataType.STRING: "string_value",
    DataType.DATASET: "dataset_value",
    DataType.TEMPLATE: "template_value",
}
"""Types whose field no version of the public kit doubts; UInt32 is not among them."""


@pytest.mark.tck(
    "payloads-metric-datatype-value",
    "operational-behavior-data-publish-nbirth-values",
    "operational-behavior-data-publish-dbirth-values",
)
def test_births_hold_only_types_that_every_version_of_the_kit_reads_alike(
    recording: Recording,
) -> None:
    metrics = [wire for birth in recording.of(*BIRTHS) for wire in parse(birth.payload).metrics]
    for wire in metrics:
        field = READ_ALIKE[DataType(wire.datatype)]
        assert wire.WhichOneof("value") == (None if wire.is_null else field)
        assert {value.type for value in wire.properties.values} <= set(range(3, 11))
        assert "Quality" not in wire.properties.keys
    definitions = [wire.template_value for wire in metrics if wire.HasField("template_value")]
    assert {p.type for each in definitions for p in each.parameters} == {DataType.INT32}


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
            client_id = f"edge-{GROUP}-{EDGE}"
            async with MqttClient(mosquitto.address(), client_id, clean_session=True) as other:
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
