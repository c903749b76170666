"""What the host session does about a node that it cannot believe; and its bounds."""

import pytest

from tests.unit.sparkplug_plant import (
    AT_MS,
    DEVICE_METRICS,
    LIMITS,
    NODE_METRICS,
    Plant,
    kinds,
    reject_reason,
    values,
)
from uns.sparkplug.datatype import DataType
from uns.sparkplug.edge import Change, EdgeNode
from uns.sparkplug.host import HostLimits, HostSession, rebirth_command, spread
from uns.sparkplug.node import Phase
from uns.sparkplug.outputs import (
    HostOutput,
    Ignored,
    MetricValue,
    Online,
    RebirthRequest,
    Rejected,
    Stale,
)
from uns.sparkplug.payload import decode, encode
from uns.sparkplug.topic import MessageType, device_topic, node_topic
from uns.sparkplug.values import Metric, Payload, Property


@pytest.fixture
def plant() -> Plant:
    return Plant()


@pytest.fixture
def born(plant: Plant) -> Plant:
    plant.birth()
    return plant


# --- rebirths


def test_data_before_a_birth_asks_once_and_again_after_the_interval(plant: Plant) -> None:
    plant.edge.node_birth(NODE_METRICS, AT_MS)
    assert kinds(plant.hear(plant.count(1))) == [Ignored, RebirthRequest]
    for value in range(20):
        assert kinds(plant.hear(plant.count(value))) == [Ignored]
    plant.clock = AT_MS + 1 + LIMITS.rebirth_interval_ms
    assert RebirthRequest("g", "e") in plant.hear(plant.count(9))
    assert plant.host.nodes["g", "e"].rebirths == 2


def test_a_silent_node_is_asked_a_bounded_number_of_times(plant: Plant) -> None:
    plant.edge.node_birth(NODE_METRICS, AT_MS)
    plant.hear(plant.count(1))
    for _ in range(1, LIMITS.rebirth_tries_max):
        wake = plant.host.wake_at_ms
        assert wake is not None
        assert plant.host.tick(wake - 1) == []
        assert plant.host.tick(wake) == [RebirthRequest("g", "e")]
    assert plant.host.wake_at_ms is None


def test_a_birth_ends_the_asking_and_the_count_of_tries(plant: Plant) -> None:
    plant.edge.node_birth(NODE_METRICS, AT_MS)
    plant.hear(plant.count(1))
    assert plant.host.nodes["g", "e"].unanswered == 1
    plant.birth()
    assert plant.phase is Phase.ONLINE
    assert plant.host.wake_at_ms is None
    assert plant.host.nodes["g", "e"].unanswered == 0


def test_a_clock_that_is_set_back_does_not_silence_the_asking(plant: Plant) -> None:
    plant.edge.node_birth(NODE_METRICS, AT_MS)
    plant.hear(plant.count(1))
    plant.clock = AT_MS - 3_600_000
    assert RebirthRequest("g", "e") in plant.hear(plant.count(2))


@pytest.mark.tck(
    "operational-behavior-data-commands-ncmd-rebirth-verb",
    "operational-behavior-data-commands-ncmd-rebirth-name",
    "operational-behavior-data-commands-ncmd-rebirth-value",
    "operational-behavior-data-commands-ncmd-verb",
    "payloads-ncmd-timestamp",
    "payloads-ncmd-seq",
    "payloads-ncmd-qos",
    "payloads-ncmd-retain",
    "topics-ncmd-topic",
    "topics-ncmd-mqtt",
    "topics-ncmd-timestamp",
    "topics-ncmd-payload",
)
def test_the_rebirth_command_is_what_an_edge_node_obeys(born: Plant) -> None:
    command = rebirth_command("g", "e", AT_MS)
    assert (command.topic, command.qos, command.retain) == ("spBv1.0/g/NCMD/e", 0, False)
    assert decode(command.payload) == Payload(
        (
            Metric(
                "Node Control/Rebirth", value=True, datatype=DataType.BOOLEAN, timestamp_ms=AT_MS
            ),
        ),
        AT_MS,
    )
    assert born.edge.command(command.topic, command.payload) == (True, ())


# --- bounds and bad input


def data(born: Plant, metric: Metric, seq: int = 2) -> list[HostOutput]:
    raw = encode(Payload((metric,), born.clock, seq))
    return born.host.receive("spBv1.0/g/NDATA/e", raw, born.clock)


@pytest.mark.parametrize(
    ("metric", "reason"),
    [
        (Metric(None, 1, DataType.INT32, alias=77), "metric 77 is not in the birth"),
        (Metric("nobody", 1, DataType.INT32, alias=1), "metric 'nobody' is not in the birth"),
        (Metric(None, None), "metric 0 is not in the birth"),
        (Metric("count", 1, DataType.INT16), "metric 'count': datatype 2, born INT32"),
        (Metric("count", "x", DataType.STRING), "metric 'count': datatype 12, born INT32"),
    ],
)
def test_data_that_the_birth_does_not_explain_ends_the_belief(
    born: Plant, metric: Metric, reason: str
) -> None:
    outputs = data(born, metric)
    assert reject_reason(outputs) == reason
    assert kinds(outputs) == [Rejected, Stale, Stale, RebirthRequest]
    assert kinds(born.hear(born.count(1))) == [Ignored]


def test_no_part_of_a_message_with_one_bad_metric_is_applied(born: Plant) -> None:
    raw = encode(
        Payload((Metric("count", 1, DataType.INT32), Metric("x", 1, DataType.INT8)), AT_MS, 2)
    )
    assert values(born.host.receive("spBv1.0/g/NDATA/e", raw, AT_MS)) == []


def test_data_of_an_unborn_device_ends_the_belief(born: Plant) -> None:
    raw = encode(Payload((), AT_MS, 2))
    outputs = born.host.receive("spBv1.0/g/DDATA/e/x", raw, AT_MS)
    assert reject_reason(outputs) == "no birth of the device 'x'"


@pytest.mark.parametrize(
    ("metrics", "reason"),
    [
        ((Metric(None, 1, DataType.INT8, alias=1),), "a metric of a birth has no name"),
        ((Metric("a", None),), "metric 'a' of a birth has no datatype"),
        ((Metric("a", 1, DataType.INT8),) * 2, "metric 'a' is declared twice"),
        (
            (Metric("a", 1, DataType.INT8, alias=1), Metric("b", 1, DataType.INT8, alias=1)),
            "alias 1 is both 'a' and 'b'",
        ),
        ((Metric("a", None, DataType.PROPERTY_SET),), "metric 'a' cannot be a PROPERTY_SET"),
    ],
)
def test_a_birth_that_declares_nothing_usable_is_rejected(
    plant: Plant, metrics: tuple[Metric, ...], reason: str
) -> None:
    raw = encode(Payload(metrics, AT_MS, 0))
    outputs = plant.host.receive("spBv1.0/g/NBIRTH/e", raw, AT_MS)
    assert reject_reason(outputs) == reason
    assert plant.phase is Phase.AWAITING


def test_a_seq_out_of_range_is_rejected(born: Plant) -> None:
    assert reject_reason(data(born, Metric("count", 1, DataType.INT32), 256)).startswith("seq 256")


def test_bytes_that_are_no_payload_reject_with_those_bytes(born: Plant) -> None:
    outputs = born.host.receive("spBv1.0/g/NDATA/e", b"\xff\xff", AT_MS)
    assert isinstance(outputs[0], Rejected)
    assert (outputs[0].payload, outputs[0].topic) == (b"\xff\xff", "spBv1.0/g/NDATA/e")
    assert kinds(outputs) == [Rejected, Stale, Stale, RebirthRequest]


def test_garbage_from_nobody_known_leaves_no_trace(plant: Plant) -> None:
    assert kinds(plant.host.receive("spBv1.0/g/NDATA/e", b"\xff", AT_MS)) == [Rejected]
    assert kinds(plant.host.receive("spBv1.0/g/NCMD/e/d", b"", AT_MS)) == [Rejected]
    assert not plant.host.nodes


def test_commands_states_retained_and_empty_messages_move_nothing(born: Plant) -> None:
    assert born.hear(rebirth_command("g", "e", AT_MS)) == []
    assert born.host.receive("spBv1.0/STATE/hub", b"{}", AT_MS) == []
    assert born.host.receive("STATE/hub", b"ONLINE", AT_MS) == []
    assert kinds(born.host.receive("spBv1.0/g/NDATA/e", b"", AT_MS)) == [Ignored]
    assert kinds(born.host.receive("spBv1.0/g/NDATA/e/d", b"", AT_MS)) == [Ignored]
    assert kinds(born.hear(born.edge.will(), retained=True)) == [Ignored]
    assert born.phase is Phase.ONLINE


# --- storms


def test_nodes_without_a_birth_are_asked_at_moments_of_their_own() -> None:
    fractions = {"a": 0.0, "b": 0.25, "c": 0.999}
    limits = HostLimits(start_jitter_ms_max=4_000)
    host = HostSession(limits, jitter=lambda _, edge_node: fractions[edge_node])
    raw = encode(Payload((), AT_MS, 9))
    asked = {}
    for node in fractions:
        for _ in range(3):
            if RebirthRequest("g", node) in host.receive(f"spBv1.0/g/NDATA/{node}", raw, AT_MS):
                asked[node] = 0
    while len(asked) < len(fractions):
        wake = host.wake_at_ms
        assert wake is not None
        asked |= {
            each.edge_node: wake - AT_MS
            for each in host.tick(wake)
            if isinstance(each, RebirthRequest)
        }
    assert asked == {"a": 0, "b": 1_000, "c": 3_996}


def test_the_fractions_of_many_nodes_are_spread_evenly() -> None:
    fractions = [spread("g", f"edge-{place}") for place in range(1_000)]
    quarters = [
        sum(quarter <= each * 4 < quarter + 1 for each in fractions) for quarter in range(4)
    ]
    assert sum(quarters) == 1_000
    assert min(quarters) > 200
    assert spread("g", "edge-1") == spread("g", "edge-1")


def test_a_birth_within_the_jitter_makes_the_request_needless() -> None:
    plant = Plant(HostLimits(start_jitter_ms_max=4_000))
    plant.edge.node_birth(NODE_METRICS, AT_MS)
    assert kinds(plant.hear(plant.count(1))) == [Ignored]
    plant.clock += 1
    plant.birth()
    assert plant.host.wake_at_ms is None
    assert plant.host.nodes["g", "e"].rebirths == 0


def test_a_passive_host_never_asks_and_stays_stale_until_a_birth(plant: Plant) -> None:
    plant.host = HostSession(LIMITS, passive=True)
    plant.edge.node_birth(NODE_METRICS, AT_MS)
    assert kinds(plant.hear(plant.count(1))) == [Ignored]
    assert plant.host.wake_at_ms is None
    plant.clock += 1
    plant.birth()
    outputs = data(plant, Metric(None, 1, DataType.INT32, alias=77))
    assert kinds(outputs) == [Rejected, Stale, Stale]
    for value in range(5):
        plant.clock += LIMITS.rebirth_interval_ms
        assert kinds(plant.hear(plant.count(value))) == [Ignored]
    plant.clock += 1
    assert Online in kinds(plant.birth())


def test_a_death_with_a_composed_bd_seq_is_only_rejected(born: Plant) -> None:
    nested = {"a": Property(DataType.INT8, 1)}
    metric = Metric("bdSeq", "3", DataType.STRING, properties=nested)
    outputs = born.host.receive("spBv1.0/g/NDEATH/e", encode(Payload((metric,))), AT_MS)
    assert "needs bdSeq as an integer" in reject_reason(outputs)


def test_nodes_and_devices_are_bounded() -> None:
    plant = Plant(HostLimits(nodes_max=1, devices_max=1))
    plant.birth()
    second = plant.edge.device_birth("d2", DEVICE_METRICS, AT_MS)
    assert reject_reason(plant.hear(second)) == "more than 1 devices"
    stranger = EdgeNode("g", "x", 0).node_birth((), AT_MS)
    assert reject_reason(plant.hear(stranger)) == "more than 1 edge nodes"


@pytest.mark.parametrize("limits", [HostLimits(pending_max=2), HostLimits(pending_bytes_max=60)])
def test_what_waits_for_a_missing_message_is_bounded(limits: HostLimits) -> None:
    plant = Plant(limits)
    plant.birth()
    plant.count(0)
    assert [plant.hear(plant.count(value)) for value in (1, 2)] == [[], []]
    outputs = plant.hear(plant.count(3))
    assert "too much waits" in reject_reason(outputs)
    assert RebirthRequest("g", "e") in outputs
    assert not plant.host.nodes["g", "e"].pending


def test_one_bad_node_does_not_touch_its_neighbour(born: Plant) -> None:
    neighbour = EdgeNode("g", "other", 0)
    born.hear(neighbour.node_birth(NODE_METRICS, AT_MS))
    born.host.receive("spBv1.0/g/NDATA/e", b"\xff", AT_MS)
    message = neighbour.data([Change("count", 1, AT_MS)], AT_MS)
    assert values(born.hear(message)) == [1]


def test_topics_are_told_apart_by_group_and_device(born: Plant) -> None:
    outputs = born.hear(born.temp(1.0))
    assert isinstance(outputs[0], MetricValue)
    assert outputs[0].device == "d"
    assert device_topic("g", MessageType.DDATA, "e", "d") == born.temp(2.0).topic
    other = born.host.receive(
        node_topic("h", MessageType.NDATA, "e"), encode(Payload(seq=1)), AT_MS
    )
    assert RebirthRequest("h", "e") in other
