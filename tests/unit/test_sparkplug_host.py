"""A host session against a conforming edge node; what is asserted are its outputs."""

import pytest

from tests.unit.sparkplug_plant import (
    AT_MS,
    DEVICE_METRICS,
    LIMITS,
    NODE_METRICS,
    Plant,
    kinds,
    reject_reason,
    told,
    values,
)
from uns.sparkplug.datatype import DataType
from uns.sparkplug.edge import Change, EdgeNode
from uns.sparkplug.host import HostLimits
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
from uns.sparkplug.values import Metric, Payload


@pytest.fixture
def plant() -> Plant:
    return Plant()


@pytest.fixture
def born(plant: Plant) -> Plant:
    plant.birth()
    return plant


# --- births and values


def test_births_bring_nodes_and_devices_online_with_their_values(plant: Plant) -> None:
    node, device = told(plant.node_birth()), told(plant.device_birth())
    assert isinstance(node[0], Online)
    assert (node[0].device, node[0].at_ms) == (None, AT_MS)
    assert [metric.name for metric in node[0].metrics] == [
        "bdSeq",
        "Node Control/Rebirth",
        "count",
        "run",
    ]
    assert values(node) == [3, False, 0, False]
    assert kinds(device) == [Online, MetricValue]
    assert device[1] == MetricValue(
        "g", "e", "d", "temp", 20.5, AT_MS, DataType.DOUBLE, is_historical=False, quality=192
    )


def test_data_by_alias_is_resolved_by_the_birth(born: Plant) -> None:
    message = born.count(7)
    payload = decode(message.payload)
    assert isinstance(payload, Payload)
    assert payload.metrics[0].name is None
    assert born.hear(message) == [
        MetricValue(
            "g", "e", None, "count", 7, AT_MS + 1, DataType.INT32, is_historical=False, quality=192
        )
    ]
    assert values(born.hear(born.temp(-1.5))) == [-1.5]


def test_data_by_name_is_read_too_and_the_name_wins_over_the_alias(born: Plant) -> None:
    by_name = Payload((Metric("count", 5, DataType.INT32, AT_MS, alias=99),), AT_MS, 2)
    assert values(born.host.receive("spBv1.0/g/NDATA/e", encode(by_name), AT_MS)) == [5]


def test_history_null_and_quality_pass_through(born: Plant) -> None:
    changes = [
        Change("count", 1, AT_MS - 5_000_000, is_historical=True),
        Change("count", None, AT_MS, quality=0),
    ]
    old, bad = born.hear(born.edge.data(changes, AT_MS))
    assert isinstance(old, MetricValue)
    assert isinstance(bad, MetricValue)
    assert (old.is_historical, old.timestamp_ms, old.quality) == (True, AT_MS - 5_000_000, 192)
    assert (bad.value, bad.quality) == (None, 0)


def test_missing_times_are_filled_from_the_payload_or_the_receipt(born: Plant) -> None:
    def data(seq: int, at_ms: int | None) -> list[HostOutput]:
        payload = Payload((Metric("count", 5, DataType.INT32),), at_ms, seq)
        return born.host.receive("spBv1.0/g/NDATA/e", encode(payload), AT_MS + 9)

    first, second = data(2, AT_MS + 4)[0], data(3, None)[0]
    assert isinstance(first, MetricValue)
    assert isinstance(second, MetricValue)
    assert (first.timestamp_ms, second.timestamp_ms) == (AT_MS + 4, AT_MS + 9)


def test_a_device_may_reuse_the_aliases_of_its_node(plant: Plant) -> None:
    def birth(topic: str, name: str, seq: int) -> None:
        payload = Payload((Metric(name, 0, DataType.INT32, AT_MS, alias=0),), AT_MS, seq)
        assert isinstance(told(plant.host.receive(topic, encode(payload), AT_MS))[0], Online)

    birth("spBv1.0/g/NBIRTH/e", "of node", 0)
    birth("spBv1.0/g/DBIRTH/e/d", "of device", 1)
    data = encode(Payload((Metric(None, 4, DataType.INT32, AT_MS, alias=0),), AT_MS, 2))
    (value,) = plant.host.receive("spBv1.0/g/DDATA/e/d", data, AT_MS)
    assert isinstance(value, MetricValue)
    assert (value.name, value.value) == ("of device", 4)


def test_a_second_birth_replaces_what_held(born: Plant) -> None:
    born.clock += 10
    outputs = told(born.node_birth())
    assert outputs[:2] == [
        Stale("g", "e", None, born.clock, "born again"),
        Stale("g", "e", "d", born.clock, "born again"),
    ]
    assert isinstance(outputs[2], Online)
    assert kinds(born.device_birth()) == [Online, MetricValue]


def test_seq_wraps_from_255_to_0(born: Plant) -> None:
    for value in range(600):
        assert values(born.hear(born.count(value))) == [value]
    assert born.host.nodes["g", "e"].gaps == 0


def test_a_device_that_is_born_again_without_a_death_replaces_what_held(born: Plant) -> None:
    raw = encode(Payload((Metric("other", 1, DataType.INT8),), AT_MS + 1, 2))
    outputs = born.host.receive("spBv1.0/g/DBIRTH/e/d", raw, AT_MS + 1)
    assert outputs[0] == Stale("g", "e", "d", AT_MS + 1, "born again")
    assert kinds(outputs) == [Stale, Online, MetricValue]


# --- deaths


def test_a_birth_that_comes_twice_does_not_revive_the_dead(plant: Plant) -> None:
    birth = plant.edge.node_birth(NODE_METRICS, AT_MS)
    plant.hear(birth)
    plant.hear(plant.edge.will())
    assert kinds(plant.hear(birth)) == [Ignored]
    assert plant.phase is Phase.OFFLINE


def test_a_birth_that_comes_twice_does_not_set_the_seq_back(born: Plant) -> None:
    again = EdgeNode("g", "e", 3).node_birth(NODE_METRICS, AT_MS)
    assert kinds(born.hear(again)) == [Ignored]
    assert values(born.hear(born.count(6))) == [6]


def test_another_birth_of_the_same_time_counts(plant: Plant) -> None:
    plant.birth()
    plant.edge = EdgeNode("g", "e", 4)
    assert kinds(plant.birth())[:3] == [Stale, Stale, Online]


@pytest.mark.tck(
    "operational-behavior-edge-node-termination-host-action-ndeath-node-offline",
    "operational-behavior-edge-node-termination-host-action-ndeath-node-tags-stale",
    "operational-behavior-edge-node-termination-host-action-ndeath-devices-offline",
    "operational-behavior-edge-node-termination-host-action-ndeath-devices-tags-stale",
)
def test_the_death_of_a_node_turns_it_and_its_devices_stale_at_the_hosts_clock(
    born: Plant,
) -> None:
    born.clock += 500
    assert told(born.hear(born.edge.will())) == [
        Stale("g", "e", None, AT_MS + 500, "the edge node died"),
        Stale("g", "e", "d", AT_MS + 500, "the edge node died"),
    ]
    assert born.phase is Phase.OFFLINE
    assert kinds(born.hear(born.edge.will())) == [Ignored]


def test_a_death_with_another_bd_seq_is_ignored(born: Plant) -> None:
    assert kinds(born.hear(EdgeNode("g", "e", 2).will())) == [Ignored]
    assert born.phase is Phase.ONLINE
    assert values(born.hear(born.count(1))) == [1]


def test_a_late_death_of_the_session_before_does_not_end_the_new_one(born: Plant) -> None:
    late = born.edge.will()
    born.edge = EdgeNode("g", "e", 4)
    born.birth()
    assert kinds(born.hear(late)) == [Ignored]
    assert born.phase is Phase.ONLINE


def test_a_node_born_without_bd_seq_dies_by_any_death(plant: Plant) -> None:
    birth = encode(Payload((Metric("a", 1, DataType.INT8),), AT_MS, 0))
    plant.host.receive("spBv1.0/g/NBIRTH/e", birth, AT_MS)
    assert kinds(plant.hear(plant.edge.will())) == [Stale]


@pytest.mark.tck(
    "operational-behavior-edge-node-termination-host-action-ddeath-devices-offline",
    "operational-behavior-edge-node-termination-host-action-ddeath-devices-tags-stale",
)
def test_the_death_of_a_device_turns_only_it_stale_at_the_payloads_time(born: Plant) -> None:
    message = born.edge.device_death("d", AT_MS + 7)
    born.clock += 500
    assert told(born.hear(message)) == [Stale("g", "e", "d", AT_MS + 7, "the device died")]
    assert values(born.hear(born.count(1))) == [1]
    assert kinds(born.device_birth()) == [Online, MetricValue]


def test_a_death_without_bd_seq_ends_the_belief(born: Plant) -> None:
    outputs = born.host.receive("spBv1.0/g/NDEATH/e", encode(Payload(seq=1)), AT_MS)
    assert kinds(outputs) == [Rejected, Stale, Stale, RebirthRequest]


def test_a_death_with_a_seq_is_read(born: Plant) -> None:
    raw = encode(Payload((Metric("bdSeq", 3, DataType.INT64),), AT_MS, 7))
    assert kinds(born.host.receive("spBv1.0/g/NDEATH/e", raw, AT_MS)) == [Stale, Stale]


def test_an_alias_of_the_rebirth_metric_is_borne(plant: Plant) -> None:
    metrics = (
        Metric("bdSeq", 0, DataType.INT64, AT_MS, alias=1),
        Metric("Node Control/Rebirth", value=False, datatype=DataType.BOOLEAN, alias=2),
    )
    birth = encode(Payload(metrics, AT_MS, 0))
    assert kinds(plant.host.receive("spBv1.0/g/NBIRTH/e", birth, AT_MS))[0] is Online


def test_ndata_with_a_device_level_is_read_as_the_devices(born: Plant) -> None:
    message = born.temp(7.5)
    topic = message.topic.replace("DDATA", "NDATA")
    (value,) = born.host.receive(topic, message.payload, born.clock)
    assert isinstance(value, MetricValue)
    assert (value.device, value.value) == ("d", 7.5)


def test_ids_that_differ_by_case_only_are_noticed_and_kept_apart(born: Plant) -> None:
    twin = EdgeNode("G", "e", 0).node_birth(NODE_METRICS, AT_MS)
    noticed, *rest = told(born.hear(twin))
    assert noticed == Ignored("differs from 'g/e' by case only", "spBv1.0/G/NBIRTH/e")
    assert isinstance(rest[0], Online)
    device = told(born.hear(born.edge.device_birth("D", DEVICE_METRICS, AT_MS)))
    assert device[0] == Ignored("device 'D' differs from 'd' by case only", "spBv1.0/g/DBIRTH/e/D")
    assert isinstance(device[1], Online)
    assert values(born.hear(born.count(4))) == [4]


def test_deaths_of_the_unknown_change_nothing(born: Plant) -> None:
    assert kinds(born.hear(EdgeNode("g", "other", 3).will())) == [Ignored]
    assert ("g", "other") not in born.host.nodes
    unborn = encode(Payload((), AT_MS + 1, 2))
    assert kinds(born.host.receive("spBv1.0/g/DDEATH/e/x", unborn, AT_MS)) == [Ignored]


def test_losing_the_broker_turns_everything_stale(born: Plant) -> None:
    born.count(0)
    born.hear(born.count(1))
    assert kinds(born.host.disconnected(AT_MS + 5)) == [Stale, Stale, Ignored]
    assert born.phase is Phase.OFFLINE
    assert born.host.wake_at_ms is None


# --- order


@pytest.mark.tck(
    "operational-behavior-host-reordering-start",
    "operational-behavior-host-reordering-success",
)
def test_a_swapped_pair_is_put_in_order_and_the_timer_is_cancelled(born: Plant) -> None:
    first, second, third = born.count(1), born.temp(2.0), born.count(3)
    assert born.hear(third) == []
    assert born.hear(second) == []
    assert born.host.wake_at_ms == born.clock + LIMITS.reorder_timeout_ms
    assert values(born.hear(first)) == [1, 2.0, 3]
    assert born.host.wake_at_ms is None


@pytest.mark.tck(
    "operational-behavior-host-reordering-start",
    "operational-behavior-host-reordering-rebirth",
)
def test_a_gap_asks_for_a_rebirth_after_the_reorder_timeout(born: Plant) -> None:
    born.count(1)
    assert born.hear(born.count(2)) == []
    wake = born.host.wake_at_ms
    assert wake == born.clock + LIMITS.reorder_timeout_ms
    assert born.host.tick(wake - 1) == []
    assert told(born.host.tick(wake)) == [
        Stale("g", "e", None, wake, "seq 2 is missing"),
        Stale("g", "e", "d", wake, "seq 2 is missing"),
        Ignored("waited in vain: seq 2 is missing", "spBv1.0/g/NDATA/e"),
        RebirthRequest("g", "e"),
    ]
    assert born.host.nodes["g", "e"].gaps == 1


@pytest.mark.tck("operational-behavior-host-reordering-param")
@pytest.mark.parametrize("timeout_ms", [100, 7_000])
def test_the_reorder_timeout_is_a_setting(timeout_ms: int) -> None:
    plant = Plant(HostLimits(reorder_timeout_ms=timeout_ms))
    plant.birth()
    plant.count(1)
    plant.hear(plant.count(2))
    assert plant.host.tick(plant.clock + timeout_ms - 1) == []
    assert RebirthRequest("g", "e") in plant.host.tick(plant.clock + timeout_ms)


def test_a_second_gap_has_its_own_time(born: Plant) -> None:
    first, _lost, third, _lost_too, fifth = (born.count(value) for value in range(5))
    born.hear(third)
    born.clock += 1_000
    born.hear(fifth)
    born.hear(first)
    assert born.host.wake_at_ms == born.clock - 1_000 + LIMITS.reorder_timeout_ms


def test_duplicates_are_ignored_wherever_they_come(born: Plant) -> None:
    applied, lost, waiting = born.count(1), born.count(2), born.count(3)
    born.hear(applied)
    assert kinds(born.hear(applied)) == [Ignored]
    born.hear(waiting)
    assert kinds(born.hear(waiting)) == [Ignored]
    assert values(born.hear(lost)) == [2, 3]


def test_a_restart_without_a_heard_birth_is_noticed(born: Plant) -> None:
    for value in range(50):
        born.hear(born.count(value))
    born.edge = EdgeNode("g", "e", 4)
    born.edge.node_birth(NODE_METRICS, born.clock)
    outputs = born.hear(born.count(1))
    assert "without a birth" in reject_reason(outputs)
    assert kinds(outputs) == [Rejected, Stale, Stale, RebirthRequest]


def test_data_sent_before_the_birth_is_not_read_by_it(born: Plant) -> None:
    straggler = born.edge.data([Change("count", 9, AT_MS)], AT_MS)
    born.clock += 10
    born.birth()
    assert kinds(born.hear(straggler)) == [Ignored]
    assert values(born.hear(born.count(1))) == [1]


def test_history_with_an_old_sending_time_is_read(born: Plant) -> None:
    born.clock += 10
    born.birth()
    history = [Change("count", 4, AT_MS - 9, is_historical=True)]
    assert values(born.hear(born.edge.data(history, AT_MS - 9))) == [4]


def test_a_clock_far_behind_the_birth_asks_for_a_new_one(born: Plant) -> None:
    late = born.edge.data([Change("count", 1, AT_MS)], AT_MS - LIMITS.late_ms_max - 1)
    assert kinds(born.hear(late)) == [Rejected, Stale, Stale, RebirthRequest]


def test_messages_of_the_new_session_that_overtook_its_birth_are_kept() -> None:
    plant = Plant()
    plant.birth()
    plant.clock += 10
    plant.edge = EdgeNode("g", "e", 4)
    node = plant.edge.node_birth(NODE_METRICS, plant.clock)
    device = plant.edge.device_birth("d", DEVICE_METRICS, plant.clock)
    plant.edge.data([], plant.clock)
    early = plant.count(8)
    assert plant.hear(early) == []
    assert kinds(plant.hear(node)) == [Stale, Stale, Online, *[MetricValue] * 4]
    assert kinds(plant.hear(device)) == [Online, MetricValue]
    assert plant.host.nodes["g", "e"].pending.keys() == {3}
