import pytest

from uns.sparkplug.datatype import DataType
from uns.sparkplug.edge import Change, Command, EdgeNode, Write, next_bd_seq
from uns.sparkplug.errors import DecodeError, EncodeError, SessionError, TopicError
from uns.sparkplug.outputs import Publish
from uns.sparkplug.payload import decode, encode
from uns.sparkplug.values import Metric, Payload

AT_MS = 1_765_432_100_000
NODE_METRICS = (Metric("speed", 1.5, DataType.DOUBLE), Metric("mode", 1, DataType.UINT8))
DEVICE_METRICS = (Metric("speed", 2.5, DataType.FLOAT, AT_MS - 9),)


def said(message: Publish) -> Payload:
    payload = decode(message.payload)
    assert isinstance(payload, Payload), payload
    return payload


@pytest.fixture
def edge() -> EdgeNode:
    return EdgeNode("g", "e", 7)


@pytest.fixture
def born(edge: EdgeNode) -> EdgeNode:
    edge.node_birth(NODE_METRICS, AT_MS)
    edge.device_birth("d", DEVICE_METRICS, AT_MS)
    return edge


@pytest.mark.tck(
    "topics-ndeath-topic",
    "topics-ndeath-payload",
    "topics-ndeath-seq",
    "payloads-ndeath-seq",
    "payloads-ndeath-will-message-qos",
    "payloads-ndeath-will-message-retain",
    "message-flow-edge-node-birth-publish-will-message-qos",
    "message-flow-edge-node-birth-publish-will-message-will-retained",
)
def test_the_will_has_bd_seq_alone_and_no_seq(edge: EdgeNode) -> None:
    will = edge.will()
    assert (will.topic, will.qos, will.retain) == ("spBv1.0/g/NDEATH/e", 1, False)
    assert said(will) == Payload((Metric("bdSeq", 7, DataType.INT64),))


@pytest.mark.tck(
    "topics-nbirth-topic",
    "topics-nbirth-mqtt",
    "topics-nbirth-seq-num",
    "topics-nbirth-timestamp",
    "topics-nbirth-metrics",
    "topics-nbirth-bdseq-included",
    "topics-nbirth-rebirth-metric",
    "payloads-nbirth-timestamp",
    "payloads-nbirth-seq",
    "payloads-nbirth-bdseq",
    "payloads-nbirth-rebirth-req",
    "payloads-nbirth-qos",
    "payloads-nbirth-retain",
    "payloads-sequence-num-req-nbirth",
    "payloads-metric-datatype-req",
    "message-flow-edge-node-birth-publish-nbirth-topic",
    "message-flow-edge-node-birth-publish-nbirth-payload",
    "message-flow-edge-node-birth-publish-nbirth-qos",
    "message-flow-edge-node-birth-publish-nbirth-retained",
    "message-flow-edge-node-birth-publish-nbirth-payload-seq",
    "operational-behavior-data-commands-rebirth-name",
    "operational-behavior-data-commands-rebirth-name-aliases",
    "operational-behavior-data-commands-rebirth-datatype",
    "operational-behavior-data-commands-rebirth-value",
)
def test_the_node_birth_states_what_the_specification_wants(edge: EdgeNode) -> None:
    birth = edge.node_birth(NODE_METRICS, AT_MS)
    assert (birth.topic, birth.qos, birth.retain) == ("spBv1.0/g/NBIRTH/e", 0, False)
    payload = said(birth)
    assert (payload.seq, payload.timestamp_ms) == (0, AT_MS)
    bd_seq, rebirth, speed, mode = payload.metrics
    assert bd_seq == Metric("bdSeq", 7, DataType.INT64, AT_MS)
    assert (rebirth.name, rebirth.value, rebirth.alias) == ("Node Control/Rebirth", False, None)
    assert (speed.datatype, speed.timestamp_ms, speed.value) == (DataType.DOUBLE, AT_MS, 1.5)
    assert mode.alias not in {None, speed.alias}


@pytest.mark.tck(
    "payloads-alias-uniqueness",
    "payloads-alias-birth-requirement",
)
def test_aliases_are_unique_over_the_node_and_its_devices_and_kept_by_a_rebirth(
    born: EdgeNode,
) -> None:
    def aliases() -> list[int | None]:
        messages = (
            born.node_birth(NODE_METRICS, AT_MS),
            born.device_birth("d", DEVICE_METRICS, AT_MS),
        )
        return [m.alias for message in messages for m in said(message).metrics][2:]

    first, second = aliases(), aliases()
    assert first == second
    assert len(set(first)) == 3


@pytest.mark.tck(
    "topics-ndata-topic",
    "topics-ndata-mqtt",
    "topics-ndata-seq-num",
    "topics-ndata-timestamp",
    "payloads-ndata-timestamp",
    "payloads-ndata-seq",
    "payloads-ndata-qos",
    "payloads-ndata-retain",
    "payloads-alias-data-cmd-requirement",
    "payloads-name-birth-data-requirement",
)
def test_data_goes_by_alias_with_time_and_without_name_or_datatype(born: EdgeNode) -> None:
    changes = [
        Change("speed", 3.5, AT_MS + 1),
        Change("mode", None, AT_MS + 2, is_historical=True, quality=500),
    ]
    message = born.data(changes, AT_MS + 3)
    assert (message.topic, message.qos, message.retain) == ("spBv1.0/g/NDATA/e", 0, False)
    payload = said(message)
    assert (payload.seq, payload.timestamp_ms) == (2, AT_MS + 3)
    speed, mode = payload.metrics
    assert speed == Metric(None, 3.5, None, AT_MS + 1, alias=speed.alias)
    assert (mode.value, mode.is_historical, mode.quality) == (None, True, 500)


@pytest.mark.tck(
    "topics-dbirth-topic",
    "topics-dbirth-mqtt",
    "topics-dbirth-seq",
    "topics-dbirth-timestamp",
    "topics-dbirth-metrics",
    "payloads-dbirth-timestamp",
    "payloads-dbirth-seq",
    "payloads-dbirth-seq-inc",
    "payloads-dbirth-qos",
    "payloads-dbirth-retain",
    "message-flow-device-birth-publish-dbirth-topic",
    "message-flow-device-birth-publish-dbirth-match-edge-node-topic",
    "message-flow-device-birth-publish-dbirth-payload",
    "message-flow-device-birth-publish-dbirth-qos",
    "message-flow-device-birth-publish-dbirth-retained",
    "message-flow-device-birth-publish-dbirth-payload-seq",
    "topics-ddata-topic",
    "topics-ddata-mqtt",
    "topics-ddata-timestamp",
    "payloads-ddata-timestamp",
    "payloads-ddata-seq",
    "payloads-ddata-qos",
    "payloads-ddata-retain",
    "topics-ddeath-mqtt",
)
def test_a_devices_messages_have_topic_time_and_seq_and_are_not_retained(edge: EdgeNode) -> None:
    edge.node_birth(NODE_METRICS, AT_MS)
    birth = edge.device_birth("d", DEVICE_METRICS, AT_MS + 1)
    change = edge.data([Change("speed", 3.5, AT_MS)], AT_MS + 2, "d")
    death = edge.device_death("d", AT_MS + 3)
    for seq, (verb, message) in enumerate(
        (("DBIRTH", birth), ("DDATA", change), ("DDEATH", death)), start=1
    ):
        assert (message.topic, message.qos, message.retain) == (f"spBv1.0/g/{verb}/e/d", 0, False)
        assert (said(message).seq, said(message).timestamp_ms) == (seq, AT_MS + seq)
    (metric,) = said(birth).metrics
    assert (metric.name, metric.datatype, metric.value) == ("speed", DataType.FLOAT, 2.5)
    assert metric.timestamp_ms == AT_MS - 9


def test_a_quality_that_was_bad_is_stated_when_it_is_good_again(born: EdgeNode) -> None:
    def stated(quality: int) -> object:
        change = Change("speed", 1.0, AT_MS, quality=quality)
        properties = said(born.data([change], AT_MS)).metrics[0].properties
        return properties["Quality"].value if properties else None

    assert [stated(quality) for quality in (192, 0, 192)] == [None, 0, 192]


@pytest.mark.tck(
    "payloads-sequence-num-always-included",
    "payloads-sequence-num-incrementing",
    "payloads-ndata-seq-inc",
    "payloads-ddata-seq-inc",
    "topics-ddata-seq-num",
)
def test_one_seq_counts_node_and_devices_and_wraps(born: EdgeNode) -> None:
    seqs = []
    for place in range(600):
        device = "d" if place % 2 else None
        seqs.append(said(born.data([Change("speed", 0.0, AT_MS)], AT_MS, device)).seq)
    assert seqs == [number % 256 for number in range(2, 602)]


def test_a_birth_starts_the_seq_again(born: EdgeNode) -> None:
    born.data([], AT_MS)
    assert said(born.node_birth(NODE_METRICS, AT_MS)).seq == 0
    assert said(born.device_birth("d", DEVICE_METRICS, AT_MS)).seq == 1


def test_a_refused_message_gives_its_seq_back(born: EdgeNode) -> None:
    assert said(born.data([], AT_MS)).seq == 2
    born.refused()
    assert said(born.data([], AT_MS)).seq == 2
    assert said(born.data([], AT_MS)).seq == 3


def test_a_refused_birth_did_not_happen(edge: EdgeNode) -> None:
    edge.node_birth(NODE_METRICS, AT_MS)
    edge.refused()
    with pytest.raises(SessionError, match="'e' has not been born"):
        edge.data([], AT_MS)


@pytest.mark.tck(
    "topics-ddeath-topic",
    "topics-ddeath-seq-num",
    "payloads-ddeath-timestamp",
    "payloads-ddeath-seq",
    "payloads-ddeath-seq-inc",
    "payloads-ddeath-seq-number",
)
def test_a_device_dies_with_seq_and_time_and_may_be_born_again(born: EdgeNode) -> None:
    death = born.device_death("d", AT_MS + 1)
    assert death.topic == "spBv1.0/g/DDEATH/e/d"
    assert said(death) == Payload((), AT_MS + 1, 2)
    with pytest.raises(SessionError, match="'d' has not been born"):
        born.data([], AT_MS, "d")
    assert said(born.device_birth("d", DEVICE_METRICS, AT_MS)).seq == 3


@pytest.mark.tck(
    "payloads-ndeath-will-message-publisher",
)
def test_a_wanted_end_says_what_the_will_would_say(born: EdgeNode) -> None:
    assert born.death() == born.will()
    with pytest.raises(SessionError, match="has not been born"):
        born.data([], AT_MS)


@pytest.mark.tck(
    "payloads-dbirth-order",
    "payloads-ndata-order",
    "payloads-ddata-order",
    "message-flow-device-birth-publish-nbirth-wait",
)
def test_calls_out_of_order_are_refused(edge: EdgeNode) -> None:
    with pytest.raises(SessionError):
        edge.device_birth("d", DEVICE_METRICS, AT_MS)
    edge.node_birth(NODE_METRICS, AT_MS)
    edge.device_birth("d", DEVICE_METRICS, AT_MS)
    with pytest.raises(SessionError, match="born already"):
        edge.device_birth("d", DEVICE_METRICS, AT_MS)
    edge.node_birth(NODE_METRICS, AT_MS)
    with pytest.raises(SessionError, match="'d' has not been born"):
        edge.data([], AT_MS, "d")


@pytest.mark.parametrize(
    ("metrics", "reason"),
    [
        ((Metric("bdSeq", 1, DataType.INT64),), "'bdSeq' is added"),
        ((Metric(None, 1, DataType.INT64),), "needs a name"),
        ((Metric("a", 1, DataType.INT64),) * 2, "declared twice"),
        ((Metric("a", None),), "has no datatype"),
    ],
)
def test_a_birth_that_hosts_would_reject_is_not_made(
    edge: EdgeNode, metrics: tuple[Metric, ...], reason: str
) -> None:
    with pytest.raises(SessionError, match=reason):
        edge.node_birth(metrics, AT_MS)


@pytest.mark.parametrize("name", ["nobody", "bdSeq", "Node Control/Rebirth"])
def test_a_change_of_what_was_not_born_costs_no_seq(born: EdgeNode, name: str) -> None:
    with pytest.raises(SessionError, match="is not in the birth"):
        born.data([Change(name, 1, AT_MS)], AT_MS)
    assert said(born.data([], AT_MS)).seq == 2


def test_a_value_that_does_not_fit_costs_no_seq(born: EdgeNode) -> None:
    with pytest.raises(EncodeError, match="metric 'mode'"):
        born.data([Change("mode", 256, AT_MS)], AT_MS)
    assert said(born.data([], AT_MS)).seq == 2


@pytest.mark.tck(
    "intro-group-id-chars",
    "topic-structure-namespace-valid-group-id",
)
def test_ids_and_bd_seq_are_checked_at_once() -> None:
    with pytest.raises(TopicError):
        EdgeNode("g/h", "e", 0)
    with pytest.raises(SessionError):
        EdgeNode("g", "e", 256)
    assert [next_bd_seq(0), next_bd_seq(255)] == [1, 0]


# --- commands


def command(topic: str, *metrics: Metric) -> tuple[str, bytes]:
    return topic, encode(Payload(metrics, AT_MS))


def alias_of(edge: EdgeNode, name: str) -> int | None:
    metric = said(edge.node_birth(NODE_METRICS, AT_MS)).metric(name)
    assert metric is not None
    return metric.alias


def test_commands_are_read_by_name_and_by_alias(born: EdgeNode) -> None:
    alias = alias_of(born, "mode")
    read = born.command(
        *command(
            "spBv1.0/g/NCMD/e",
            Metric("speed", 9.5, DataType.DOUBLE, AT_MS),
            Metric(None, 3, DataType.UINT8, alias=alias),
        )
    )
    assert read == Command(
        rebirth=False,
        writes=(
            Write(None, "speed", 9.5, DataType.DOUBLE, AT_MS),
            Write(None, "mode", 3, DataType.UINT8, None),
        ),
    )


def test_a_device_command_is_read_by_the_devices_birth(born: EdgeNode) -> None:
    read = born.command(*command("spBv1.0/g/DCMD/e/d", Metric("speed", 9.5, DataType.FLOAT)))
    assert read == Command(rebirth=False, writes=(Write("d", "speed", 9.5, DataType.FLOAT, None),))


@pytest.mark.parametrize(("value", "wanted"), [(True, True), (False, False), (None, False)])
def test_only_true_asks_for_a_rebirth(born: EdgeNode, *, value: bool | None, wanted: bool) -> None:
    metric = Metric("Node Control/Rebirth", value, DataType.BOOLEAN)
    assert born.command(*command("spBv1.0/g/NCMD/e", metric)) == Command(wanted, ())


@pytest.mark.parametrize(
    ("topic", "metric", "reason"),
    [
        ("spBv1.0/g/NCMD/e", Metric("speed", 1, DataType.INT8), "datatype 1, born DOUBLE"),
        ("spBv1.0/g/NCMD/e", Metric("nobody", 1, DataType.INT8), "not in the birth"),
        ("spBv1.0/g/DCMD/e/x", Metric("speed", 1, DataType.INT8), "'x' is not born"),
    ],
)
def test_a_command_that_cannot_be_done_is_refused_whole(
    born: EdgeNode, topic: str, metric: Metric, reason: str
) -> None:
    good = Metric("Node Control/Rebirth", value=True, datatype=DataType.BOOLEAN)
    error = born.command(*command(topic, good, metric))
    assert isinstance(error, DecodeError)
    assert reason in error.reason


@pytest.mark.parametrize(
    "topic",
    ["spBv1.0/g/NCMD/other", "spBv1.0/h/NCMD/e", "spBv1.0/g/NDATA/e", "spBv1.0/STATE/x", "x"],
)
def test_what_is_no_command_to_this_node_is_refused(born: EdgeNode, topic: str) -> None:
    assert isinstance(born.command(*command(topic)), TopicError)


def test_a_command_in_another_encoding_is_refused(born: EdgeNode) -> None:
    assert isinstance(born.command("spBv1.0/g/NCMD/e", b"\xff"), DecodeError)
