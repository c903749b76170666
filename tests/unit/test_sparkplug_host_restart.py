"""The host loses the broker, or starts anew while the nodes go on by alias."""

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
from uns.sparkplug.edge import Change, EdgeNode
from uns.sparkplug.host import HostSession
from uns.sparkplug.outputs import HostOutput, Ignored, MetricValue, Online, RebirthRequest, Stale

# --- the loss of the broker


def test_after_a_reconnect_the_births_of_before_are_believed_again() -> None:
    plant = Plant()
    plant.birth()
    plant.hear(plant.count(1))
    outputs = plant.host.disconnected(plant.clock)
    assert kinds(outputs) == [Stale, Stale]
    assert keeps(outputs) == []
    for value in range(30):
        plant.count(value)
    assert kinds(plant.hear(plant.temp(2.0))) == [Online, Online, MetricValue]
    assert values(plant.hear(plant.count(9))) == [9]


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
