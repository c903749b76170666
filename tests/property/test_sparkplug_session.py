"""An edge node behind a bad network: whatever is lost, doubled or swapped, the host ends right.

What the model leaves out cannot be told apart by any host: DATA that overtakes its own NBIRTH
while the session before is still believed, and a lost NBIRTH whose predecessor's death is late.
"""

import random
from collections.abc import Iterable

from hypothesis import given, settings
from hypothesis import strategies as st

from uns.sparkplug.datatype import DataType
from uns.sparkplug.edge import Change, EdgeNode, next_bd_seq
from uns.sparkplug.host import HostLimits, HostSession
from uns.sparkplug.node import Phase
from uns.sparkplug.outputs import (
    HostOutput,
    MetricValue,
    Online,
    Publish,
    RebirthRequest,
    Rejected,
    Stale,
)
from uns.sparkplug.values import Metric

LIMITS = HostLimits()
NAMES = {None: ["a", "b", "c"], "d": ["a", "x"]}
KEY = ("g", "e")


class World:
    """One edge node with a device, the messages on their way, and what the host made of them."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self.clock = 1_765_432_100_000
        self.count = 0
        self.truth = {(device, name): 0 for device in NAMES for name in NAMES[device]}
        self.said = set(self.truth.items())
        self.edge = EdgeNode(*KEY, 255)
        self.net: list[Publish] = []
        self.delivered: list[tuple[int, Publish]] = []
        self.host = HostSession(LIMITS)
        self.shown: dict[str | None, dict[str, object]] = {}
        self.asked_at_ms: list[int] = []
        self.births()

    # --- the edge node

    def metrics(self, device: str | None) -> list[Metric]:
        """Shuffled, so that a new session gives the aliases to other metrics."""
        names = self.random.sample(NAMES[device], len(NAMES[device]))
        return [Metric(name, self.truth[device, name], DataType.INT32) for name in names]

    def births(self) -> None:
        self.clock += 1
        self.net.append(self.edge.node_birth(self.metrics(None), self.clock))
        self.net.append(self.edge.device_birth("d", self.metrics("d"), self.clock))

    def change(self, place: int) -> None:
        device, name = list(self.truth)[place % len(self.truth)]
        self.clock += 1
        self.count += 1
        self.truth[device, name] = self.count
        self.said.add(((device, name), self.count))
        self.net.append(self.edge.data([Change(name, self.count, self.clock)], self.clock, device))

    def flap(self, _place: int) -> None:
        self.clock += 1
        self.net.append(self.edge.device_death("d", self.clock))
        self.net.append(self.edge.device_birth("d", self.metrics("d"), self.clock))

    def restart(self, place: int) -> None:
        """Come back with the next bd_seq; the will arrives first, late, or the NBIRTH is lost."""
        will = self.edge.will()
        self.edge = EdgeNode(*KEY, next_bd_seq(self.edge.bd_seq))
        before = len(self.net)
        self.births()
        late = place % 3 == 1
        self.net.insert(len(self.net) - (0 if late else 2), will)
        if place % 3 == 2:
            del self.net[before + 1]

    # --- the network

    def lose(self, place: int) -> None:
        candidates = [each for each in self.net if "BIRTH" not in each.topic and each.qos == 0]
        if candidates:
            self.net.remove(candidates[place % len(candidates)])

    def double(self, place: int) -> None:
        recent = [each for at_ms, each in self.delivered if self.clock - at_ms < 30_000]
        if recent:
            self.net.append(recent[-1 - place % len(recent)])

    def swap(self, place: int) -> None:
        if len(self.net) < 2:
            return
        first = place % (len(self.net) - 1)
        pair = self.net[first : first + 2]
        if not any("/NBIRTH/" in each.topic for each in pair):
            self.net[first : first + 2] = pair[::-1]

    def deliver(self, place: int) -> None:
        for _ in range(min(place + 1, len(self.net))):
            message = self.net.pop(0)
            self.delivered.append((self.clock, message))
            self.take(self.host.receive(message.topic, message.payload, self.clock))

    def wait(self, place: int) -> None:
        self.clock += 700 * place
        self.take(self.host.tick(self.clock))

    # --- the host's outputs

    def take(self, outputs: Iterable[HostOutput]) -> None:
        for output in outputs:
            match output:
                case Online():
                    assert output.device not in self.shown
                    self.shown[output.device] = {}
                case MetricValue():
                    key = (output.device, output.name)
                    if output.name not in {"bdSeq", "Node Control/Rebirth"}:
                        assert (key, output.value) in self.said, "a value under a wrong name"
                        self.shown[output.device][output.name] = output.value
                case Stale():
                    del self.shown[output.device]
                case RebirthRequest():
                    self.asked_at_ms.append(self.clock)
                    self.births()

    def settle(self) -> None:
        """Let the network heal: one more change, everything delivered, every timer run out."""
        self.clock += LIMITS.rebirth_interval_ms
        self.change(0)
        for _ in range(9):
            self.deliver(len(self.net))
            wake = self.host.wake_at_ms
            if wake is None and not self.net:
                return
            self.clock = max(self.clock, wake or 0)
            self.take(self.host.tick(self.clock))
        raise AssertionError("the host does not come to rest")


OPS = ("change", "change", "change", "deliver", "deliver", "wait", "flap", "restart", "lose")
STEPS = st.lists(
    st.tuples(st.sampled_from((*OPS, "double", "swap", "swap")), st.integers(0, 11)), max_size=60
)


@settings(max_examples=400, deadline=None)
@given(STEPS, st.integers(0, 2**16))
def test_the_host_ends_with_the_truth_and_never_shows_a_wrong_name(
    steps: list[tuple[str, int]], seed: int
) -> None:
    world = World(seed)
    for step, place in steps:
        world.clock += 50
        getattr(world, step)(place)
    world.settle()
    assert world.host.nodes[KEY].phase is Phase.ONLINE
    assert {
        (device, name): value
        for device, names in world.shown.items()
        for name, value in names.items()
    } == world.truth
    gaps = zip(world.asked_at_ms, world.asked_at_ms[1:], strict=False)
    assert all(later - asked >= LIMITS.rebirth_interval_ms for asked, later in gaps)


@settings(deadline=None)
@given(st.permutations(range(6)), st.integers(0, 300))
def test_any_order_within_the_window_costs_nothing(order: list[int], offset: int) -> None:
    world = World(0)
    world.deliver(1)
    for place in range(offset):
        world.change(place)
        world.deliver(0)
    for place in range(6):
        world.change(place)
    world.net[-6:] = [world.net[-6:][place] for place in order]
    world.deliver(len(world.net))
    assert world.asked_at_ms == []
    assert world.host.wake_at_ms is None
    assert {**{(None, k): v for k, v in world.shown[None].items()}} == {
        key: value for key, value in world.truth.items() if key[0] is None
    }


@settings(deadline=None)
@given(st.lists(st.integers(0, 4), min_size=1, max_size=20))
def test_nothing_is_rejected_on_a_good_network(places: list[int]) -> None:
    world = World(1)
    for place in places:
        world.change(place)
    outputs: list[HostOutput] = []
    for message in world.net:
        outputs += world.host.receive(message.topic, message.payload, world.clock)
    assert not [each for each in outputs if isinstance(each, Rejected | Stale | RebirthRequest)]
