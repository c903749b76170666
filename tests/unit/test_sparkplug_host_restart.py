"""The host loses the broker, or starts anew while the nodes go on by alias."""

from dataclasses import replace

from tests.unit.sparkplug_plant import (
    AT_MS,
    DEVICE_METRICS,
    LIMITS,
    NODE_METRICS,
    Keeper,
    Plant,
    keeps,
    kinds,
    values,
)
from uns.sparkplug.datatype import DataType
from uns.sparkplug.edge import Change, EdgeNode
from uns.sparkplug.host import HostSession
from uns.sparkplug.outputs import (
    DropBirths,
    HostOutput,
    Ignored,
    MetricValue,
    Online,
    RebirthRequest,
    Stale,
)
from uns.sparkplug.values import Metric

# --- the loss of the broker


def test_after_a_reconnect_no_birth_of_before_is_believed() -> None:
    plant = Plant()
    plant.birth()
    plant.hear(plant.count(1))
    outputs = plant.host.disconnected(plant.clock)
    assert kinds(outputs) == [Stale, Stale]
    assert keeps(outputs) == [DropBirths("g", "e", None)]
    assert kinds(plant.hear(plant.temp(2.0))) == [Ignored, RebirthRequest]
    assert kinds(plant.hear(plant.count(9))) == [Ignored]
    plant.birth()
    assert values(plant.hear(plant.count(10))) == [10]


def test_a_rebirth_with_other_aliases_while_nobody_heard_shows_no_wrong_value() -> None:
    """Two metrics of one type change their aliases; the next seq is even the one expected."""
    plant = Plant()
    metrics = [Metric(name, 0.0, DataType.DOUBLE) for name in ("temp", "speed")]
    plant.hear(plant.edge.node_birth((), plant.clock))
    plant.hear(plant.edge.device_birth("d", metrics, plant.clock))
    plant.host.disconnected(plant.clock)
    plant.edge = EdgeNode("g", "e", 4)
    births = [
        plant.edge.node_birth((), plant.clock),
        plant.edge.device_birth("d", metrics[::-1], plant.clock),
    ]
    speed = plant.edge.data([Change("speed", 950.0, plant.clock)], plant.clock, "d")
    assert kinds(plant.hear(speed)) == [Ignored, RebirthRequest]
    for birth in births:
        plant.hear(birth)
    (shown,) = plant.hear(speed)
    assert isinstance(shown, MetricValue)
    assert (shown.name, shown.value) == ("speed", 950.0)


def test_births_kept_from_before_a_restart_are_not_believed_after_a_loss_either() -> None:
    plant, keeper = Plant(), Keeper()
    keeper.take(plant.birth())
    plant.host = HostSession(LIMITS)
    keeper.feed(plant.host, plant.clock)
    assert keeps(plant.host.disconnected(plant.clock)) == [DropBirths("g", "e", None)]
    assert kinds(keeper.feed(plant.host, plant.clock)) == [Ignored, Ignored]
    assert kinds(plant.hear(plant.count(1))) == [Ignored, RebirthRequest]


def test_the_certificates_of_a_broker_are_believed_after_a_loss() -> None:
    plant, keeper = Plant(), Keeper()
    keeper.take(plant.birth())
    plant.host.disconnected(plant.clock)
    for topic, raw in keeper.births.items():
        certificate = f"$sparkplug/certificates/{topic}"
        assert plant.host.receive(certificate, raw, plant.clock, retained=True) == []
    assert plant.host.greet("g", "e", plant.clock) == []
    assert kinds(plant.hear(plant.temp(2.0))) == [Online, Online, MetricValue]


def test_a_request_for_data_after_a_loss_waits_for_the_nodes_own_moment() -> None:
    plant = Plant(replace(LIMITS, start_jitter_ms_max=4_000))
    plant.birth()
    plant.host.disconnected(plant.clock)
    assert kinds(plant.hear(plant.count(1))) == [Ignored]
    wake = plant.host.wake_at_ms
    assert wake is not None
    assert plant.clock < wake <= plant.clock + 4_000
    assert plant.host.tick(wake) == [RebirthRequest("g", "e")]


def test_a_clock_set_back_while_the_host_was_away_does_not_hide_a_birth() -> None:
    plant = Plant()
    plant.birth()
    plant.host.disconnected(plant.clock)
    plant.clock -= 5_000
    plant.edge = EdgeNode("g", "e", 4)
    assert kinds(plant.birth())[0] is Online
    assert values(plant.hear(plant.count(9))) == [9]


def test_a_node_that_was_asked_is_still_asked_after_a_reconnect() -> None:
    plant = Plant()
    plant.edge.node_birth(NODE_METRICS, AT_MS)
    plant.hear(plant.count(1))
    plant.host.disconnected(plant.clock)
    assert plant.host.wake_at_ms is None
    assert kinds(plant.hear(plant.count(1))) == [Ignored]
    plant.clock += LIMITS.rebirth_interval_ms
    assert RebirthRequest("g", "e") in plant.hear(plant.count(1))


# --- greetings


def test_a_node_is_greeted_once_and_again_when_it_stays_silent() -> None:
    plant = Plant()
    assert plant.host.greet("g", "e", AT_MS) == [RebirthRequest("g", "e")]
    assert plant.host.greet("g", "e", AT_MS) == []
    assert kinds(plant.hear(plant.edge.will())) == []
    assert plant.host.greet("g", "e", AT_MS) == []
    plant = Plant()
    plant.host.greet("g", "e", AT_MS)
    plant.edge.node_birth((), AT_MS)
    assert kinds(plant.hear(plant.edge.data((), AT_MS))) == [Ignored]
    for tries in range(1, LIMITS.rebirth_tries_max):
        assert plant.host.wake_at_ms == AT_MS + tries * LIMITS.rebirth_interval_ms
        assert plant.host.tick(plant.host.wake_at_ms) == [RebirthRequest("g", "e")]
    assert plant.host.wake_at_ms is None


def test_after_a_reconnect_a_node_that_never_answered_is_greeted_anew() -> None:
    host = HostSession(replace(LIMITS, rebirth_tries_max=1))
    assert host.greet("g", "e", AT_MS) == [RebirthRequest("g", "e")]
    host.disconnected(AT_MS)
    assert host.greet("g", "e", AT_MS + 1) == []
    assert host.wake_at_ms == AT_MS + LIMITS.rebirth_interval_ms
    assert host.tick(host.wake_at_ms) == [RebirthRequest("g", "e")]


def test_who_is_online_known_or_beyond_the_bound_is_not_greeted() -> None:
    plant, keeper = Plant(replace(LIMITS, nodes_max=1)), Keeper()
    keeper.take(plant.birth())
    assert plant.host.greet("g", "e", AT_MS) == plant.host.greet("g", "x", AT_MS) == []
    host = HostSession(LIMITS)
    keeper.feed(host, AT_MS)
    assert host.greet("g", "e", AT_MS) == []


def test_a_passive_host_greets_nobody() -> None:
    host = HostSession(LIMITS, passive=True)
    assert host.greet("g", "e", AT_MS) == []
    assert not host.nodes


# --- a restart of the hub


def test_a_restart_while_14_nodes_publish_by_alias_costs_nothing() -> None:
    keeper, host = Keeper(), HostSession()
    edges = [EdgeNode("g", f"edge-{place}", 7) for place in range(14)]
    for place, edge in enumerate(edges):
        for birth in (
            edge.node_birth(NODE_METRICS, AT_MS),
            edge.device_birth("d", DEVICE_METRICS, AT_MS),
        ):
            keeper.take(host.receive(birth.topic, birth.payload, AT_MS))
        for value in range(20 * place):
            edge.data([Change("count", value, AT_MS)], AT_MS)
    assert len(keeper.births) == 28

    host = HostSession()
    assert keeper.feed(host, AT_MS + 60_000) == []
    outputs = list[HostOutput]()
    for step in range(300):
        at_ms = AT_MS + 60_000 + step
        for edge in edges:
            for name, device in (("count", None), ("temp", "d")):
                data = edge.data([Change(name, step, at_ms)], at_ms, device)
                outputs += host.receive(data.topic, data.payload, at_ms)
        outputs += host.tick(at_ms)
    assert {kind: kinds(outputs).count(kind) for kind in set(kinds(outputs))} == {
        Online: 28,
        MetricValue: 14 * 600,
    }
    assert not keeps(outputs)
    assert all(node.rebirths == 0 for node in host.nodes.values())
