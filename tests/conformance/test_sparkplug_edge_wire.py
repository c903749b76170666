"""What our edge node sends, as read from the line: its sessions, topics, seq and order."""

from itertools import pairwise

import pytest

from tests.conformance.edge_recording import (
    BIRTHS,
    DATA,
    DEVICES,
    EDGE,
    GROUP,
    Recording,
    kind_of,
    metric,
    read,
)
from tests.conformance.wiretap import (
    Disconnect,
    Publish,
    Subscribe,
)
from uns.sparkplug.datatype import DataType
from uns.sparkplug.payload import parse


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
    "operational-behavior-data-commands-rebirth-action-1",
    "operational-behavior-data-commands-rebirth-action-2",
)
def test_asked_for_births_it_sends_all_of_them_at_once_and_no_death(recording: Recording) -> None:
    kinds = [kind_of(each) for each in recording.first]
    again = kinds.index("NBIRTH", 1)
    assert kinds[again : again + 3] == ["NBIRTH", "DBIRTH", "DBIRTH"]
    assert kinds.count("NDEATH") == 1
    assert kinds[-1] == "NDEATH"


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
