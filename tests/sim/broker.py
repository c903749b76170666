"""A broker as brokers were measured to be: what it acknowledges it may forget.

Retained topics, sessions with bounded queues, takeover by client id, wills, redelivery on reconnect
only. A PUBACK says nothing of the disk: a crash restores the last autosave. Shares no code with
the hub.
"""

from collections import deque
from dataclasses import dataclass, field
from functools import lru_cache
from random import Random
from typing import NamedTuple, Protocol

from tests.sim.loop import VirtualLoop
from tests.sim.trace import Trace


@dataclass(frozen=True)
class BrokerOptions:
    """queued_max: of one session, further ones are dropped, without a word. window: in flight."""

    autosave_s: float = 5.0
    queued_max: int = 100_000
    window: int = 20_000


class Sent(NamedTuple):
    """What a subscriber gets."""

    topic: str
    payload: bytes
    qos: int
    retain: bool
    dup: bool
    mid: int


class Said(NamedTuple):
    """What a client publishes; a will is one, too."""

    topic: str
    payload: bytes
    retain: bool


class Hello(NamedTuple):
    """CONNECT."""

    client_id: str
    clean: bool
    will: Said | None


class Line(Protocol):
    """The broker's end of a connection."""

    def welcome(self, *, kept: bool) -> None:
        """CONNACK."""

    def hand(self, sent: Sent) -> None:
        """PUBLISH."""

    def puback(self, mid: int) -> None:
        """PUBACK."""

    def suback(self, mid: int, codes: list[int]) -> None:
        """SUBACK."""

    def end(self) -> None:
        """Close: what is on its way may still arrive."""


@dataclass
class Session:
    """One client id. `waiting` is what its window or its absence holds back."""

    client_id: str
    clean: bool
    filters: dict[str, None] = field(default_factory=dict)
    waiting: deque[Said] = field(default_factory=deque)
    flying: dict[int, Said] = field(default_factory=dict)
    last_mid: int = 0
    line: Line | None = None
    will: Said | None = None
    _wanted: dict[str, bool] = field(default_factory=dict)

    def wants(self, topic: str) -> bool:
        """Whether one of its filters matches."""
        if topic not in self._wanted:
            self._wanted[topic] = any(matches(wanted, topic) for wanted in self.filters)
        return self._wanted[topic]

    def subscribe(self, filters: list[str]) -> None:
        """Want more."""
        self.filters.update(dict.fromkeys(filters))
        self._wanted.clear()

    def saved(self) -> "Session":
        """As a disk keeps it."""
        mid, filters = self.last_mid, dict(self.filters)
        return Session(
            self.client_id, self.clean, filters, deque(self.waiting), dict(self.flying), mid
        )


class SimBroker:
    """The broker process; `crash` and `start` as the nemesis likes."""

    def __init__(
        self, loop: VirtualLoop, rng: Random, options: BrokerOptions, trace: Trace
    ) -> None:
        self._loop, self._rng, self._options, self._trace = loop, rng, options, trace
        self.up = True
        self.dropped = 0
        self.retained: dict[str, bytes] = {}
        self._sessions: dict[str, Session] = {}
        self._on_disk: tuple[dict[str, bytes], list[Session]] = ({}, [])
        self._autosave()

    def crash(self, *, forget: bool = False) -> None:
        """kill -9. forget: its disk is lost as well."""
        self._trace.note("broker", "crash", forget)
        self.up = False
        for session in list(self._sessions.values()):
            if session.line:
                session.line.end()
                session.line = None
        if forget:
            self._on_disk = ({}, [])
        retained, sessions = self._on_disk
        self.retained = dict(retained)
        self._sessions = {session.client_id: session.saved() for session in sessions}

    def start(self) -> None:
        """Listen again."""
        self._trace.note("broker", "start")
        self.up = True

    def connect(self, line: Line, hello: Hello) -> Session:
        """Let a client in; whoever had its id is thrown out."""
        before = self._sessions.get(hello.client_id)
        if before and before.line:
            old = before.line
            self.lose(before, old)
            old.end()
            before = self._sessions.get(hello.client_id)
        kept = before is not None and not hello.clean
        session = before if before is not None and kept else Session(hello.client_id, hello.clean)
        self._sessions[hello.client_id] = session
        session.line, session.will = line, hello.will
        self._trace.note("connect", hello.client_id, kept)
        line.welcome(kept=kept)
        for mid, said in session.flying.items():
            line.hand(Sent(said.topic, said.payload, 1, said.retain, dup=True, mid=mid))
        self._hand_on(session)
        return session

    def lose(self, session: Session, line: Line, *, with_will: bool = True) -> None:
        """A connection is over."""
        if session.line is not line:
            return
        session.line = None
        will, session.will = session.will, None
        if session.clean:
            self._sessions.pop(session.client_id, None)
        if will and with_will:
            self.publish(will, session.client_id)

    def subscribe(self, session: Session, mid: int, filters: list[str]) -> None:
        """Grant filters, and send what is retained below each."""
        session.subscribe(filters)
        if session.line:
            session.line.suback(mid, [1] * len(filters))
        for topic_filter in filters:
            for topic, payload in self.retained.items():
                if matches(topic_filter, topic):
                    self._queue(session, Said(topic, payload, retain=True))

    def publish(self, said: Said, client_id: str) -> None:
        """Keep it if it is retained, and queue it for everybody who wants it."""
        self._trace.note(client_id, said.topic, said.payload)
        if said.retain:
            self.retained.pop(said.topic, None)
            if said.payload:
                self.retained[said.topic] = said.payload
        news = Said(said.topic, said.payload, retain=False)
        for session in list(self._sessions.values()):
            if session.wants(said.topic):
                self._queue(session, news)

    def acknowledged(self, session: Session, mid: int) -> None:
        """PUBACK of a subscriber."""
        session.flying.pop(mid, None)
        self._hand_on(session)

    def _queue(self, session: Session, said: Said) -> None:
        if len(session.waiting) >= self._options.queued_max:
            self.dropped += 1
            return
        session.waiting.append(said)
        self._hand_on(session)

    def _hand_on(self, session: Session) -> None:
        while session.line and session.waiting and len(session.flying) < self._options.window:
            said = session.waiting.popleft()
            session.last_mid = session.last_mid % 65_535 + 1
            session.flying[session.last_mid] = said
            mid = session.last_mid
            session.line.hand(Sent(said.topic, said.payload, 1, said.retain, dup=False, mid=mid))

    def _autosave(self) -> None:
        if self.up:
            kept = [session.saved() for session in self._sessions.values() if not session.clean]
            self._on_disk = (dict(self.retained), kept)
        self._loop.call_later(
            self._options.autosave_s * self._rng.uniform(0.5, 1.5), self._autosave
        )


@lru_cache(100_000)
def matches(topic_filter: str, topic: str) -> bool:
    """MQTT 3.1.1, 4.7.1."""
    wanted, given = topic_filter.split("/"), topic.split("/")
    for n, part in enumerate(wanted):
        if part == "#":
            return True
        if n >= len(given) or part not in ("+", given[n]):
            return False
    return len(wanted) == len(given)
