"""A host application's view of every edge node: messages and times in, outputs out.

Owns, per (group, edge node), the order of messages, the phase and the requests for births. What a
message does once its turn has come is `applying`. It knows no MQTT client, no clock and no
randomness: `now_ms` is given, and `wake_at_ms` says when to call `tick`. STATE is the shell's: a
passive host publishes none and sends nothing else either.

A node is believed as a whole or not at all. A missing seq, an unknown alias, a value of the wrong
type, anything that cannot be read ends that: nothing of the message is applied, the node and its
devices turn stale, what was kept of them is dropped, and a rebirth is asked for, at most once in
`rebirth_interval_ms` (`tck-id-operational-behavior-host-reordering-*`).

Kept births. A birth that was retained, repeated by a broker as a certificate, or kept from before
a restart (`retained=True`) is catalogue, never proof of being online. The first DATA then heard is
believed: it is read by the catalogue, its seq is the start, and nothing is asked for. A rebirth
that was missed meanwhile shows by an unknown alias, another type, a kept birth that is newer,
sending times before the catalogue's, or a death whose bd_seq is a later one.

The loss of the broker ends all that: a node may give its aliases to other metrics before the host
is back. No birth of before is believed or kept; DATA says nothing until the node is born again, for
which it is asked. Only certificates still count: their broker has heard every birth.

What remains after a restart: a node that gave its aliases to other metrics of the same types while
nobody heard it is misread until its next birth, and what changed meanwhile is not known until it
changes again. Nothing in DATA tells: seq may be anywhere, bd_seq is not in it, and births are sent
at QoS 0, so no MQTT session keeps them. A node that waits for this host as its primary is safe: it
is born again when STATE says online. Feed kept births before connecting, certificates come first.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final, TypeAlias
from zlib import crc32

from uns.sparkplug.applying import (
    HALF,
    apply_values,
    device_birth,
    device_death,
    node_birth,
    node_death,
    read_birth,
)
from uns.sparkplug.datatype import DataType
from uns.sparkplug.errors import DecodeError, TopicError
from uns.sparkplug.node import REBIRTH, SEQ_MODULUS, Message, Node, Phase
from uns.sparkplug.outputs import HostOutput, Ignored, Publish, RebirthRequest, Rejected
from uns.sparkplug.payload import encode
from uns.sparkplug.payload import parse as parse_payload
from uns.sparkplug.topic import (
    BIRTHS,
    COMMANDS,
    MessageType,
    StateTopic,
    Topic,
    certified,
    node_topic,
)
from uns.sparkplug.topic import parse as parse_topic
from uns.sparkplug.values import Metric, Payload

_UINT32_COUNT: Final = 2**32


@dataclass(frozen=True, slots=True)
class HostLimits:
    """What the session waits for and what it holds; the times are milliseconds.

    A silent node is asked for its births `rebirth_tries_max` times; one that still sends, as
    often as the interval allows. DATA or a birth up to `late_ms_max` older than the last birth is
    taken for a straggler of the session before; what is older still, for a clock set back. A node
    heard without a birth is asked up to `start_jitter_ms_max` later, each at its own moment. A
    kept birth sent more than `catalogue_age_ms_max` ago is not used.
    """

    reorder_timeout_ms: int = 2_000
    rebirth_interval_ms: int = 30_000
    rebirth_tries_max: int = 3
    start_jitter_ms_max: int = 1_000
    late_ms_max: int = 60_000
    catalogue_age_ms_max: int = 7 * 24 * 3_600_000
    nodes_max: int = 10_000
    devices_max: int = 1_000
    pending_max: int = 100
    pending_bytes_max: int = 16 * 1_048_576


def rebirth_command(group: str, edge_node: str, now_ms: int) -> Publish:
    """Make the NCMD that asks a node for its births (by name, no seq, not retained)."""
    asked = Metric(REBIRTH, value=True, datatype=DataType.BOOLEAN, timestamp_ms=now_ms)
    topic = node_topic(group, MessageType.NCMD, edge_node)
    return Publish(topic, encode(Payload((asked,), now_ms)), qos=0, retain=False)


def spread(group: str, edge_node: str) -> float:
    """Give each node its own fraction (0..1) of the start jitter, always the same."""
    return crc32(f"{group}/{edge_node}".encode()) / _UINT32_COUNT


_Key: TypeAlias = tuple[str, str]
_Step: TypeAlias = Callable[[Node, Message, list[HostOutput]], None]


class HostSession:
    """One host application's session over all groups and nodes that its client hears of.

    Feed every received message to `receive`, call `tick` at `wake_at_ms`, `disconnected` when the
    client loses the broker, and `greet` after a connect. Each returns the outputs in order. A
    `passive` session never yields a RebirthRequest: what is stale stays so until a birth comes by
    itself.
    """

    def __init__(
        self,
        limits: HostLimits | None = None,
        *,
        passive: bool = False,
        jitter: Callable[[str, str], float] = spread,
    ) -> None:
        """Begin with no node known; `jitter` gives (group, edge node) a fraction 0..1."""
        self._limits = limits or HostLimits()
        self._passive = passive
        self._jitter = jitter
        self._nodes: dict[_Key, Node] = {}
        self._folded: dict[_Key, _Key] = {}
        self._wakes: dict[_Key, int] = {}
        self._may_have_missed = False

    @property
    def nodes(self) -> Mapping[_Key, Node]:
        """Every node heard of, by (group, edge node), to look at."""
        return MappingProxyType(self._nodes)

    @property
    def wake_at_ms(self) -> int | None:
        """The time at which `tick` has something to do, or None."""
        return min(self._wakes.values(), default=None)

    def receive(
        self, topic: str, raw: bytes, now_ms: int, *, retained: bool = False
    ) -> list[HostOutput]:
        """Take in one MQTT message; never raises for what the peer sent.

        `retained` says that it was not sent just now: the broker's flag, or a birth kept by the
        shell. A certificate of a broker is known by its topic.
        """
        certificate = certified(topic)
        where = parse_topic(topic if certificate is None else certificate)
        if isinstance(where, TopicError):
            return [Rejected(where.reason, topic, raw)]
        if isinstance(where, StateTopic) or where.message_type in COMMANDS:
            return []
        was_kept = retained or certificate is not None
        if not raw or (was_kept and where.message_type not in BIRTHS):
            return [Ignored("retained" if raw else "empty payload", topic)]
        try:
            wire = parse_payload(raw)
        except DecodeError as error:
            rejected = Rejected(error.reason, topic, raw)
            return [rejected] if was_kept else self._unreadable(where, rejected, now_ms)
        message = Message(where, topic, raw, wire, now_ms)
        return self._remember(message) if was_kept else self._hear(message)

    def tick(self, now_ms: int) -> list[HostOutput]:
        """Give up on messages that stayed away, and ask again where a rebirth did not come."""
        out: list[HostOutput] = []
        for key in [key for key, wake in self._wakes.items() if wake <= now_ms]:
            node = self._nodes[key]
            if node.phase is Phase.ONLINE:
                self._distrust(node, f"seq {node.next_seq} is missing", now_ms, out)
            else:
                self._ask(node, now_ms, out)
            self._reschedule(node)
        return out

    def disconnected(self, now_ms: int) -> list[HostOutput]:
        """Show nothing as present and believe no birth: those to come go unheard until then."""
        self._may_have_missed = True
        out: list[HostOutput] = []
        for node in self._nodes.values():
            out.extend(node.lose_sight("the host lost the broker", now_ms))
        self._wakes.clear()
        return out

    def greet(self, group: str, edge_node: str, now_ms: int) -> list[HostOutput]:
        """Ask a node, heard of or not, for its births, unless they are known or asked for."""
        out: list[HostOutput] = []
        if self._passive:
            return out
        key = (group, edge_node)
        node = self._nodes.get(key) or self._enter(key)
        if node is not None and node.is_unknown:
            node.phase = Phase.AWAITING
            self._ask(node, now_ms, out)
            self._reschedule(node)
        return out

    # --- one message

    def _hear(self, message: Message) -> list[HostOutput]:
        kind = message.topic.message_type
        known = (message.topic.group, message.topic.edge_node) in self._nodes
        if kind is MessageType.NDEATH and not known:
            return [Ignored("death of a node never seen", message.text)]
        out: list[HostOutput] = []
        node = self._node_of(message, out)
        if node is not None:
            self._attempt(self._step_for(kind), node, message, out)
            self._reschedule(node)
        return out

    def _remember(self, message: Message) -> list[HostOutput]:
        """Take a birth that was not sent just now as catalogue, if nothing better is known."""
        age_ms = message.now_ms - message.at_ms
        if not message.wire.timestamp or age_ms > self._limits.catalogue_age_ms_max:
            return [Ignored("a kept birth too old, or without its time", message.text)]
        try:
            birth = read_birth(message)
        except DecodeError as error:
            return [Rejected(error.reason, message.text, message.raw)]
        out: list[HostOutput] = []
        node = self._node_of(message, out)
        if node is None:
            return out
        if self._may_have_missed and certified(message.text) is None:
            reason: str | None = "a kept birth, and a later one may have been missed"
        elif node.phase is not Phase.OFFLINE:
            reason = "a kept birth, the node itself is heard"
        elif len(node.kept) > self._limits.devices_max:
            reason = f"more than {self._limits.devices_max} devices"
        else:
            reason = node.keep(message.topic.device, birth)
        return out if reason is None else [*out, Ignored(reason, message.text)]

    def _node_of(self, message: Message, out: list[HostOutput]) -> Node | None:
        key = (message.topic.group, message.topic.edge_node)
        node = self._nodes.get(key)
        if node is not None:
            return node
        if (node := self._enter(key)) is None:
            reason = f"more than {self._limits.nodes_max} edge nodes"
            out.append(Rejected(reason, message.text, message.raw))
        elif (first := self._folded[_casefolded(key)]) != key:
            other = "/".join(first)
            out.append(Ignored(f"differs from {other!r} by case only", message.text))
        return node

    def _enter(self, key: _Key) -> Node | None:
        """Begin to follow a node, or None when there are too many."""
        if len(self._nodes) >= self._limits.nodes_max:
            return None
        self._folded.setdefault(_casefolded(key), key)
        return self._nodes.setdefault(key, Node(*key))

    def _step_for(self, kind: MessageType) -> _Step:
        match kind:
            case MessageType.NBIRTH:
                return self._node_birth
            case MessageType.NDEATH:
                return node_death
            case _:
                return self._in_order

    def _attempt(self, step: _Step, node: Node, message: Message, out: list[HostOutput]) -> None:
        try:
            step(node, message, out)
        except DecodeError as error:
            out.append(Rejected(error.reason, message.text, message.raw))
            self._distrust(node, error.reason, message.now_ms, out)

    def _unreadable(self, topic: Topic, rejected: Rejected, now_ms: int) -> list[HostOutput]:
        out: list[HostOutput] = [rejected]
        node = self._nodes.get((topic.group, topic.edge_node))
        if node is not None and not node.is_unknown:
            self._distrust(node, rejected.reason, now_ms, out)
            self._reschedule(node)
        return out

    def _node_birth(self, node: Node, message: Message, out: list[HostOutput]) -> None:
        if node.is_old(message, self._limits.late_ms_max):
            out.append(Ignored("an earlier birth, or the same again", message.text))
            return
        node_birth(node, message, out)
        self._drain(node, out)

    def _in_order(self, node: Node, message: Message, out: list[HostOutput]) -> None:
        """Take DATA and device births and deaths by their seq."""
        if node.phase is Phase.OFFLINE and self._is_believed(node, message, out):
            return
        if node.phase is not Phase.ONLINE:
            out.append(Ignored("no birth of the edge node", message.text))
            self._delay_first(node, message.now_ms)
            node.phase = Phase.AWAITING
            self._ask(node, message.now_ms, out)
        elif message.is_older_than(node.birth_at_ms, self._limits.late_ms_max):
            out.append(Ignored("older than the node's birth", message.text))
        else:
            self._place_by_seq(node, message, out)

    def _is_believed(self, node: Node, message: Message, out: list[HostOutput]) -> bool:
        """Take the first message of a node known by a kept birth for proof that it is online."""
        birth = node.kept.get(None)
        if birth is None:
            return False
        if message.now_ms - birth.at_ms > self._limits.catalogue_age_ms_max:
            out.extend(node.end(Phase.OFFLINE, "the kept birth is too old", message.now_ms))
            return False
        seq = message.seq()
        if message.is_older_than(birth.at_ms, self._limits.late_ms_max):
            out.append(Ignored("older than the kept birth", message.text))
            return True
        node.begin(birth, seq, is_remembered=True)
        self._apply(node, message, out)
        return True

    def _place_by_seq(self, node: Node, message: Message, out: list[HostOutput]) -> None:
        seq = message.seq()
        ahead = (seq - node.next_seq) % SEQ_MODULUS
        if ahead == 0:
            self._apply(node, message, out)
            self._drain(node, out)
        elif ahead < HALF:
            self._hold(node, message, out)
        elif message.at_ms > node.last_at_ms:
            raise DecodeError(f"seq went from {node.next_seq} back to {seq} without a birth")
        else:
            out.append(Ignored(f"seq {seq} came twice or late", message.text))

    # --- order

    def _hold(self, node: Node, message: Message, out: list[HostOutput]) -> None:
        if message.wire.seq in node.pending:
            out.append(Ignored(f"seq {message.wire.seq} came twice", message.text))
            return
        waiting = (self._nodes[key].pending for key in self._wakes)
        held = sum(len(each.raw) for pending in waiting for each in pending.values())
        is_too_much = held + len(message.raw) > self._limits.pending_bytes_max
        if is_too_much or len(node.pending) >= self._limits.pending_max:
            raise DecodeError(f"seq {node.next_seq} is missing and too much waits for it")
        node.gaps += not node.pending
        node.pending[message.wire.seq] = message

    def _drain(self, node: Node, out: list[HostOutput]) -> None:
        while message := node.pending.pop(node.next_seq, None):
            self._attempt(self._apply, node, message, out)

    def _apply(self, node: Node, message: Message, out: list[HostOutput]) -> None:
        node.next_seq = (message.wire.seq + 1) % SEQ_MODULUS
        node.last_at_ms = max(node.last_at_ms, message.at_ms)
        match message.topic.message_type:
            case MessageType.DBIRTH:
                device_birth(node, message, self._limits.devices_max, out)
            case MessageType.DDEATH:
                device_death(node, message, out)
            case _:
                apply_values(node, message, out)

    # --- belief

    def _distrust(self, node: Node, reason: str, now_ms: int, out: list[HostOutput]) -> None:
        self._delay_first(node, now_ms)
        out.extend(node.end(Phase.AWAITING, reason, now_ms))
        self._ask(node, now_ms, out)

    def _delay_first(self, node: Node, now_ms: int) -> None:
        """Give the request to a node whose birth was not heard its own moment of the jitter."""
        if node.phase is Phase.OFFLINE or node.is_remembered:
            fraction = self._jitter(node.group, node.edge_node)
            due_ms = now_ms + int(fraction * self._limits.start_jitter_ms_max)
            node.ask_at_ms = max(node.ask_at_ms or 0, due_ms)

    def _ask(self, node: Node, now_ms: int, out: list[HostOutput]) -> None:
        """Ask for births unless it is too early, which a clock that was set back cannot feign."""
        interval_ms = self._limits.rebirth_interval_ms
        wait_ms = (node.ask_at_ms or 0) - now_ms
        if self._passive or 0 < wait_ms <= interval_ms + self._limits.start_jitter_ms_max:
            return
        node.ask_at_ms = now_ms + interval_ms
        node.rebirths += 1
        node.unanswered += 1
        out.append(RebirthRequest(node.group, node.edge_node))

    def _reschedule(self, node: Node) -> None:
        key = (node.group, node.edge_node)
        tries_max = 0 if self._passive else self._limits.rebirth_tries_max
        wake = node.wake_at_ms(tries_max, self._limits.reorder_timeout_ms)
        if wake is None:
            self._wakes.pop(key, None)
        else:
            self._wakes[key] = wake


def _casefolded(key: _Key) -> _Key:
    return key[0].casefold(), key[1].casefold()
