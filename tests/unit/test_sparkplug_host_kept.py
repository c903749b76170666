"""Births kept across a restart of the host, or of its connection: catalogue, never a proof."""

from dataclasses import replace

import pytest

from tests.unit.sparkplug_plant import (
    AT_MS,
    DEVICE_METRICS,
    LIMITS,
    NODE_METRICS,
    Keeper,
    Plant,
    keeps,
    kinds,
    reject_reason,
    told,
    values,
)
from uns.sparkplug.datatype import DataType
from uns.sparkplug.edge import Change, EdgeNode
from uns.sparkplug.host import HostLimits, HostSession
from uns.sparkplug.node import Phase
from uns.sparkplug.outputs import (
    DropBirths,
    HostOutput,
    Ignored,
    KeepBirth,
    MetricValue,
    Online,
    Publish,
    RebirthRequest,
    Rejected,
    Stale,
)
from uns.sparkplug.payload import encode
from uns.sparkplug.values import Metric, Payload

CERTIFICATES = "$sparkplug/certificates/"


def restart(plant: Plant, limits: HostLimits = LIMITS) -> Plant:
    """The host starts anew with the births of the plant; the edge node noticed nothing."""
    keeper = Keeper()
    for message in born_messages(plant):
        keeper.births[message.topic] = message.payload
    plant.clock += 1_000
    plant.host = HostSession(limits)
    assert keeper.feed(plant.host, plant.clock) == []
    return plant


def born_messages(plant: Plant) -> list[Publish]:
    return [
        plant.edge.node_birth(NODE_METRICS, plant.clock),
        plant.edge.device_birth("d", DEVICE_METRICS, plant.clock),
    ]


@pytest.fixture
def known() -> Plant:
    return restart(Plant())


# --- what is kept


def test_births_are_kept_and_deaths_drop_them() -> None:
    plant, keeper = Plant(), Keeper()
    node, device = born_messages(plant)
    assert keeps(plant.hear(node)) == [KeepBirth(node.topic, node.payload)]
    keeper.take(plant.hear(device))
    assert list(keeper.births) == [device.topic]
    assert keeps(plant.hear(plant.edge.device_death("d", AT_MS))) == [DropBirths("g", "e", "d")]
    assert keeps(plant.hear(plant.edge.will())) == [DropBirths("g", "e", None)]


def test_the_birth_of_a_node_drops_what_was_kept_of_it_before() -> None:
    plant = Plant()
    plant.birth()
    plant.clock += 1
    again = plant.edge.node_birth(NODE_METRICS, plant.clock)
    expected = [DropBirths("g", "e", None), KeepBirth(again.topic, again.payload)]
    assert keeps(plant.hear(again)) == expected


def test_whatever_ends_the_belief_drops_the_births() -> None:
    plant = Plant()
    plant.birth()
    outputs = plant.host.receive("spBv1.0/g/NDATA/e", b"\xff", AT_MS)
    assert keeps(outputs) == [DropBirths("g", "e", None)]


# --- belief


def test_a_known_node_is_not_online_and_not_asked(known: Plant) -> None:
    assert known.phase is Phase.OFFLINE
    assert known.host.wake_at_ms is None
    assert known.host.tick(known.clock + 3_600_000) == []


def test_the_first_data_puts_node_and_device_online_without_a_request(known: Plant) -> None:
    node = known.hear(known.count(5))
    assert kinds(node) == [Online, MetricValue]
    assert isinstance(node[0], Online)
    assert (node[0].device, node[0].kept, node[0].at_ms) == (None, True, known.clock)
    assert values(node) == [5]
    device = known.hear(known.temp(1.5))
    assert kinds(device) == [Online, MetricValue]
    assert values(device) == [1.5]
    assert values(known.hear(known.temp(2.5))) == [2.5]
    assert known.host.nodes["g", "e"].rebirths == 0


def test_the_data_of_a_device_may_come_first(known: Plant) -> None:
    outputs = known.hear(known.temp(1.5))
    assert [each.device for each in outputs if isinstance(each, Online)] == [None, "d"]
    assert values(outputs) == [1.5]


def test_the_first_seq_heard_is_the_start_wherever_it_is(known: Plant) -> None:
    for value in range(251):
        known.count(value)
    assert [values(known.hear(known.count(value))) for value in range(9)] == [
        [value] for value in range(9)
    ]
    known.count(9)
    assert known.hear(known.count(10)) == []
    assert known.host.wake_at_ms == known.clock + LIMITS.reorder_timeout_ms


def test_births_and_deaths_of_devices_may_come_first(known: Plant) -> None:
    assert kinds(known.hear(known.edge.device_death("d", known.clock))) == [Online, Stale]
    assert known.phase is Phase.ONLINE
    assert kinds(known.device_birth()) == [Online, MetricValue]
    other = restart(Plant())
    outputs = other.hear(other.edge.device_birth("x", DEVICE_METRICS, other.clock))
    assert kinds(outputs) == [Online, Online, MetricValue]
    assert values(other.hear(other.temp(3.0))) == [3.0]


def test_a_live_birth_outdoes_every_kept_one(known: Plant) -> None:
    known.clock -= 900
    known.edge = EdgeNode("g", "e", 4)
    assert kinds(known.birth())[0] is Online
    assert known.host.nodes["g", "e"].bd_seq == 4
    assert values(known.hear(known.temp(4.0))) == [4.0]


@pytest.mark.parametrize(
    ("metric", "reason"),
    [
        (Metric(None, 1, DataType.INT32, alias=77), "metric 77 is not in the birth"),
        (Metric(None, "x", DataType.STRING, alias=1), "metric 'count'"),
    ],
)
def test_data_that_a_kept_birth_does_not_explain_asks_once(
    known: Plant, metric: Metric, reason: str
) -> None:
    raw = encode(Payload((metric,), known.clock, 9))
    outputs = known.host.receive("spBv1.0/g/NDATA/e", raw, known.clock)
    assert reject_reason(outputs).startswith(reason)
    assert kinds(outputs) == [Rejected, RebirthRequest]
    assert keeps(outputs) == [DropBirths("g", "e", None)]
    assert kinds(known.hear(known.count(1))) == [Ignored]


def test_a_device_without_a_kept_birth_asks_once(known: Plant) -> None:
    raw = encode(Payload((), known.clock, 9))
    outputs = known.host.receive("spBv1.0/g/DDATA/e/x", raw, known.clock)
    assert kinds(outputs) == [Rejected, RebirthRequest]


def test_what_a_kept_birth_does_not_explain_is_asked_within_the_jitter() -> None:
    plant = restart(Plant(), replace(LIMITS, start_jitter_ms_max=4_000))
    assert kinds(plant.host.receive("spBv1.0/g/NDATA/e", b"\xff", plant.clock)) == [Rejected]
    wake = plant.host.wake_at_ms
    assert wake is not None
    assert plant.clock < wake <= plant.clock + 4_000
    assert plant.host.tick(wake) == [RebirthRequest("g", "e")]


def test_data_sent_before_the_kept_birth_is_not_read_by_it() -> None:
    plant = Plant()
    straggler = plant.edge.node_birth(NODE_METRICS, AT_MS)
    straggler = plant.edge.data([Change("count", 9, AT_MS)], AT_MS)
    plant.clock += 10
    restart(plant)
    assert kinds(plant.hear(straggler)) == [Ignored]
    assert plant.phase is Phase.OFFLINE
    assert values(plant.hear(plant.count(1))) == [1]


# --- deaths of the known


def test_the_death_of_a_known_node_turns_it_stale_and_drops_its_births(known: Plant) -> None:
    outputs = known.hear(known.edge.will())
    assert told(outputs) == [
        Stale("g", "e", None, known.clock, "the edge node died"),
        Stale("g", "e", "d", known.clock, "the edge node died"),
    ]
    assert keeps(outputs) == [DropBirths("g", "e", None)]
    assert kinds(known.hear(known.count(1))) == [Ignored, RebirthRequest]


def test_a_late_death_of_the_session_before_the_kept_birth_is_ignored(known: Plant) -> None:
    assert kinds(known.hear(EdgeNode("g", "e", 2).will())) == [Ignored]
    assert kinds(known.hear(known.count(1))) == [Online, MetricValue]
    assert kinds(known.hear(EdgeNode("g", "e", 2).will())) == [Ignored]
    assert known.phase is Phase.ONLINE


@pytest.mark.parametrize("is_heard", [True, False])
def test_the_death_of_a_session_whose_birth_was_missed_counts(
    known: Plant, *, is_heard: bool
) -> None:
    if is_heard:
        known.hear(known.count(1))
    assert kinds(known.hear(EdgeNode("g", "e", 5).will())) == [Stale, Stale]
    assert known.phase is Phase.OFFLINE


def test_after_a_birth_is_heard_only_its_own_death_counts(known: Plant) -> None:
    known.birth()
    assert kinds(known.hear(EdgeNode("g", "e", 5).will())) == [Ignored]
    assert known.phase is Phase.ONLINE


def test_a_retained_death_proves_nothing(known: Plant) -> None:
    assert kinds(known.hear(known.edge.will(), retained=True)) == [Ignored]
    assert kinds(known.hear(known.count(1))) == [Online, MetricValue]


# --- which kept birth


def retained(plant: Plant, birth: Publish) -> list[HostOutput]:
    return plant.hear(birth, retained=True)


def test_a_newer_kept_birth_replaces_an_older_one_and_its_devices() -> None:
    plant = Plant()
    old_node, old_device = born_messages(plant)
    newer = encode(Payload((Metric("other", 1, DataType.INT8, alias=1),), AT_MS + 5, 0))
    for birth in (old_node, old_device):
        assert retained(plant, birth) == []
    assert plant.host.receive(old_node.topic, newer, AT_MS + 5, retained=True) == []
    assert kinds(retained(plant, old_node)) == [Ignored]
    assert kinds(retained(plant, old_device)) == [Ignored]
    data = encode(Payload((Metric(None, 7, DataType.INT8, alias=1),), AT_MS + 9, 40))
    (_, value) = plant.host.receive("spBv1.0/g/NDATA/e", data, AT_MS + 9)
    assert isinstance(value, MetricValue)
    assert value.name == "other"


def test_the_birth_of_a_device_may_be_fed_before_that_of_its_node() -> None:
    plant = Plant()
    node, device = born_messages(plant)
    retained(plant, device)
    assert kinds(plant.hear(plant.temp(0.0))) == [Ignored, RebirthRequest]
    plant = Plant()
    retained(plant, device)
    retained(plant, node)
    plant.edge = EdgeNode("g", "e", 3)
    born_messages(plant)
    assert kinds(plant.hear(plant.temp(0.5))) == [Online, Online, MetricValue]


def test_a_kept_birth_never_touches_a_node_that_is_heard() -> None:
    plant = Plant()
    plant.birth()
    newer = EdgeNode("g", "e", 4).node_birth((), AT_MS + 5)
    assert kinds(retained(plant, newer)) == [Ignored]
    assert values(plant.hear(plant.count(1))) == [1]


def test_a_kept_birth_does_not_revive_the_dead() -> None:
    plant = Plant()
    node, device = born_messages(plant)
    for message in (node, device, plant.edge.will()):
        plant.hear(message)
    assert kinds(retained(plant, node)) == [Ignored]
    assert kinds(plant.hear(plant.count(1))) == [Ignored, RebirthRequest]


def test_a_kept_birth_that_is_too_old_is_not_used() -> None:
    limits = replace(LIMITS, catalogue_age_ms_max=60_000)
    plant = Plant(limits)
    node, _ = born_messages(plant)
    plant.clock += 60_001
    assert kinds(retained(plant, node)) == [Ignored]
    plant.clock -= 1
    assert retained(plant, node) == []
    plant.clock += 1
    assert kinds(plant.hear(plant.count(1))) == [Ignored, RebirthRequest]


@pytest.mark.parametrize(
    ("raw", "kind"),
    [
        (encode(Payload((Metric("a", 1, DataType.INT8),), None, 0)), Ignored),
        (encode(Payload((Metric("a", None),), AT_MS, 0)), Rejected),
        (b"\xff", Rejected),
        (b"", Ignored),
    ],
)
def test_what_is_no_usable_kept_birth_asks_for_nothing(raw: bytes, kind: type) -> None:
    plant = Plant()
    outputs = plant.host.receive("spBv1.0/g/NBIRTH/e", raw, AT_MS, retained=True)
    assert kinds(outputs) == [kind]
    assert plant.host.wake_at_ms is None


def test_kept_births_are_bounded() -> None:
    plant = Plant(replace(LIMITS, nodes_max=1, devices_max=1))
    node, device = born_messages(plant)
    second = plant.edge.device_birth("d2", DEVICE_METRICS, AT_MS)
    stranger = EdgeNode("g", "x", 0).node_birth((), AT_MS)
    outputs = [retained(plant, each) for each in (node, device, second, stranger)]
    assert [kinds(each) for each in outputs] == [[], [], [Ignored], [Rejected]]


@pytest.mark.parametrize("has_flag", [True, False])
def test_a_certificate_of_a_broker_is_a_kept_birth(*, has_flag: bool) -> None:
    plant = Plant()
    for birth in born_messages(plant):
        topic = CERTIFICATES + birth.topic
        assert plant.host.receive(topic, birth.payload, AT_MS, retained=has_flag) == []
    assert not plant.host.nodes["g", "e"].places
    assert kinds(plant.hear(plant.temp(0.5))) == [Online, Online, MetricValue]
    death = plant.edge.will()
    assert kinds(plant.host.receive(CERTIFICATES + death.topic, death.payload, AT_MS)) == [Ignored]
    assert plant.phase is Phase.ONLINE
