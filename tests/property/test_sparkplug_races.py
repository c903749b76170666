"""1,000 races of a node, its network and the host, against a model that sees what no host can.

The model is told of every message which birth it belongs to and how many came before it since
that birth. It needs no seq that wraps, no times and no aliases, so it shares no rule with the
session. After each message both must name the same places as online.
"""

import random
from collections.abc import Iterable
from typing import NamedTuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from uns.sparkplug.datatype import DataType
from uns.sparkplug.edge import Change, EdgeNode, next_bd_seq
from uns.sparkplug.host import HostLimits, HostSession
from uns.sparkplug.outputs import (
    DropBirths,
    HostOutput,
    KeepBirth,
    MetricValue,
    Online,
    Publish,
    RebirthRequest,
    Stale,
)
from uns.sparkplug.values import Metric

LIMITS = HostLimits()
NAMES = {None: ["a", "b", "c"], "d": ["a", "x"]}
OWN = {"bdSeq", "Node Control/Rebirth"}


class Note(NamedTuple):
    """What a message is in truth: `session` counts CONNECTs, `era` NBIRTHs, `place` from there."""

    kind: str
    session: int
    era: int
    place: int
    device: str | None


class Sent(NamedTuple):
    """A message on its way."""

    message: Publish
    note: Note


class Model:
    """What a host may believe. `doubts` counts how often it had a reason to ask for births."""

    def __init__(self) -> None:
        self.phase = "unheard"
        self.online = set[str | None]()
        self.known = set[str | None]()
        self.waiting = dict[int, Note]()
        self.deadline_ms = dict[int, int]()
        self.era = self.session = self.next = self.doubts = 0
        self.is_remembered = False

    def hear(self, note: Note, now_ms: int) -> None:
        match note.kind:
            case "NBIRTH":
                if note.era > self.era or (self.phase == "unheard" and self.era == 0):
                    self._born(note)
            case "NDEATH":
                self._died(note)
            case _:
                self._in_order(note, now_ms)

    def pass_time(self, now_ms: int) -> None:
        if self.waiting and min(self.deadline_ms[place] for place in self.waiting) <= now_ms:
            self._doubt()

    def lose_sight(self) -> None:
        self._forget("unheard")

    def start_anew(self) -> "Model":
        """The model of a host that knows no more than the births that were kept."""
        anew = Model()
        anew.known, anew.doubts = self.known | self.online, self.doubts
        if anew.known:
            anew.era, anew.session = self.era, self.session
        return anew

    def _born(self, note: Note) -> None:
        self.phase, self.online, self.known, self.waiting = "online", {None}, set(), {}
        self.era, self.session, self.next = note.era, note.session, note.place + 1
        self.is_remembered = False

    def _died(self, note: Note) -> None:
        is_unheard = self.phase == "unheard"
        if is_unheard and None not in self.known:
            return
        is_later = note.session >= self.session and (is_unheard or self.is_remembered)
        if is_later or note.session == self.session:
            self._forget("unheard")

    def _in_order(self, note: Note, now_ms: int) -> None:
        if self.phase == "unheard" and None in self.known:
            if note.era >= self.era:
                self.phase, self.era, self.next = "online", note.era, note.place
                self.is_remembered = True
                self._apply(note)
        elif self.phase != "online":
            self.doubts += self.phase == "unheard"
            self.phase = "doubted"
        elif note.era == self.era and note.place >= self.next:
            if note.place not in self.waiting:
                self.waiting[note.place] = note
                self.deadline_ms[note.place] = now_ms + LIMITS.reorder_timeout_ms
            while (each := self.waiting.pop(self.next, None)) is not None:
                self._apply(each)

    def _apply(self, note: Note) -> None:
        self.next = note.place + 1
        self._see(None)
        match note.kind:
            case "DBIRTH":
                self.known.discard(note.device)
                self.online.add(note.device)
            case "DDEATH":
                self.known.discard(note.device)
                self.online.discard(note.device)
            case _ if note.device in self.known | self.online:
                self._see(note.device)
            case _:
                self._doubt()

    def _see(self, device: str | None) -> None:
        if device in self.known:
            self.known.remove(device)
            self.online.add(device)

    def _doubt(self) -> None:
        self.doubts += 1
        self._forget("doubted")

    def _forget(self, phase: str) -> None:
        self.phase, self.online, self.known, self.waiting = phase, set(), set(), {}
        self.is_remembered = False


class Race:
    """One edge node with a device, a network that misbehaves, a host, and the model beside it."""

    def __init__(self, seed: int, age: int) -> None:
        self.random = random.Random(seed)
        self.clock = 1_765_432_100_000
        self.truth = {(device, name): 0 for device in NAMES for name in NAMES[device]}
        self.said = set(self.truth.items())
        self.count = self.era = self.place = self.requests = 0
        self.session = 1
        self.patience_ms = LIMITS.rebirth_interval_ms - 5_000
        self.edge = EdgeNode("g", "e", 254)
        self.names = self.shuffled()
        self.net = list[Sent]()
        self.recent = list[Sent]()
        self.heard = set[Sent]()
        self.kept = dict[str, bytes]()
        self.shown = dict[str | None, dict[str, object]]()
        self.host, self.model = HostSession(LIMITS), Model()
        self.births()
        self.deliver(99)
        for place in range(age):
            self.change(place)
            self.deliver(0)

    # --- the edge node

    def shuffled(self) -> dict[str | None, list[str]]:
        """The order of the names gives the aliases of a session."""
        return {device: self.random.sample(names, len(names)) for device, names in NAMES.items()}

    def send(self, message: Publish, kind: str, device: str | None = None) -> None:
        self.net.append(Sent(message, Note(kind, self.session, self.era, self.place, device)))
        self.place += 1

    def births(self) -> None:
        self.clock += 1
        self.era, self.place = self.era + 1, 0
        self.send(self.edge.node_birth(self.metrics(None), self.clock), "NBIRTH")
        self.send(self.edge.device_birth("d", self.metrics("d"), self.clock), "DBIRTH", "d")

    def metrics(self, device: str | None) -> list[Metric]:
        named = [(name, self.truth[device, name]) for name in self.names[device]]
        return [Metric(name, value, DataType.INT32) for name, value in named]

    def change(self, place: int) -> None:
        device, name = list(self.truth)[place % len(self.truth)]
        self.clock += 1
        self.count += 1
        self.truth[device, name] = self.count
        self.said.add(((device, name), self.count))
        change = Change(name, self.count, self.clock)
        kind = "NDATA" if device is None else "DDATA"
        self.send(self.edge.data([change], self.clock, device), kind, device)

    def flap(self, _place: int) -> None:
        self.clock += 1
        self.send(self.edge.device_death("d", self.clock), "DDEATH", "d")
        self.send(self.edge.device_birth("d", self.metrics("d"), self.clock), "DBIRTH", "d")

    def restart(self, place: int) -> None:
        """Come back with the next bd_seq and other aliases; the will is first or late."""
        will = Sent(self.edge.will(), Note("NDEATH", self.session, self.era, 0, None))
        self.names = self.shuffled()
        before = len(self.net)
        self.reconnect()
        late = place % 2 == 1
        self.net.insert(len(self.net) if late else before, will)

    def reconnect(self) -> None:
        self.session += 1
        self.edge = EdgeNode("g", "e", next_bd_seq(self.edge.bd_seq))
        self.births()

    # --- the network

    def lose(self, place: int) -> None:
        candidates = [
            each for each in self.net if "BIRTH" not in each.note.kind and each.message.qos == 0
        ]
        if candidates:
            self.net.remove(candidates[place % len(candidates)])

    def double(self, place: int) -> None:
        if self.recent:
            self.net.append(self.recent[-1 - place % len(self.recent)])

    def swap(self, place: int) -> None:
        if len(self.net) < 2:
            return
        first = place % (len(self.net) - 1)
        pair = self.net[first : first + 2]
        if all(each.note.kind != "NBIRTH" for each in pair):
            self.net[first : first + 2] = pair[::-1]

    def deliver(self, place: int) -> None:
        for _ in range(min(place + 1, len(self.net))):
            message, note = sent = self.net.pop(0)
            self.recent = [*self.recent[-9:], sent]
            self.heard.add(sent)
            self.model.hear(note, self.clock)
            self.take(self.host.receive(message.topic, message.payload, self.clock))
            self.agree()

    def wait(self, place: int) -> None:
        """Let time pass; the whole race is shorter than the interval between two requests."""
        wait_ms = min(500 * place, self.patience_ms)
        self.patience_ms -= wait_ms
        self.clock += wait_ms
        self.model.pass_time(self.clock)
        self.take(self.host.tick(self.clock))
        self.agree()

    # --- the host

    def leave(self, place: int) -> None:
        """Be away, without the broker or restarted or both, while some of what is sent is unheard.

        A birth missed by a restart alone gives the aliases as before: no host can tell if it does
        not. A message is not doubled from one connection of the host into the next.
        """
        self.net = [each for each in self.net if each not in self.heard]
        has_lost, is_restarted = place % 3 != 1, place % 3 != 0
        if has_lost:
            self.take(self.host.disconnected(self.clock))
            self.model.lose_sight()
        births = [at for at, each in enumerate(self.net) if "BIRTH" in each.note.kind]
        if place % 2:
            if not births:
                self.change(place)
                self.names = self.shuffled() if has_lost else self.names
                self.reconnect()
            del self.net[: births[0] if births else None]
        if is_restarted:
            self.start_anew()
        self.recent = []
        self.agree()

    def start_anew(self) -> None:
        self.host, self.model, self.shown = HostSession(LIMITS), self.model.start_anew(), {}
        for topic, raw in self.kept.items():
            self.take(self.host.receive(topic, raw, self.clock, retained=True))

    def take(self, outputs: Iterable[HostOutput]) -> None:
        for output in outputs:
            match output:
                case Online():
                    assert output.device not in self.shown
                    self.shown[output.device] = {}
                case MetricValue() if output.name not in OWN:
                    key = (output.device, output.name)
                    assert (key, output.value) in self.said, "a value under a wrong name"
                    self.shown[output.device][output.name] = output.value
                case Stale():
                    self.shown.pop(output.device, None)
                case RebirthRequest():
                    self.requests += 1
                    self.births()
                case KeepBirth(topic, raw):
                    self.kept[topic] = raw
                case DropBirths(_, _, device):
                    end = "" if device is None else f"/DBIRTH/e/{device}"
                    self.kept = {
                        topic: raw for topic, raw in self.kept.items() if not topic.endswith(end)
                    }

    def agree(self) -> None:
        assert set(self.shown) == self.model.online

    def settle(self) -> None:
        """Let the network heal: one more change, everything delivered, every timer run out."""
        while self.net:
            self.deliver(0)
        self.clock += LIMITS.rebirth_interval_ms
        self.change(0)
        for _ in range(9):
            while self.net:
                self.deliver(0)
            wake = self.host.wake_at_ms
            if wake is None:
                return
            self.clock = max(self.clock, wake)
            self.model.pass_time(self.clock)
            self.take(self.host.tick(self.clock))
        raise AssertionError("the host does not come to rest")


NODE = ("change", "change", "change", "flap", "restart")
NETWORK = ("deliver", "deliver", "deliver", "wait", "lose", "double", "swap", "swap", "leave")
STEPS = st.lists(
    st.tuples(st.sampled_from(NODE + NETWORK), st.integers(0, 11)), min_size=6, max_size=24
)


@pytest.mark.tck(
    "operational-behavior-host-reordering-start",
    "operational-behavior-host-reordering-rebirth",
    "operational-behavior-host-reordering-success",
)
@settings(max_examples=1_000, deadline=None)
@given(STEPS, st.integers(0, 2**16), st.sampled_from((0, 0, 0, 5, 252, 254)))
def test_a_race_never_shows_a_wrong_state_and_costs_one_request_a_doubt(
    steps: list[tuple[str, int]], seed: int, age: int
) -> None:
    race = Race(seed, age)
    for step, place in steps:
        race.clock += 50
        getattr(race, step)(place)
    race.settle()
    assert None in race.shown
    assert race.requests <= race.model.doubts
    for device, names in race.shown.items():
        for name, value in names.items():
            assert value == race.truth[device, name]
