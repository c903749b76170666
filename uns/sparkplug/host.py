"""A host application's view of every edge node: messages and times in, outputs out.

Owns, per (group, edge node), the order of messages, the births and whether they still hold. It
knows no MQTT client and no clock: `now_ms` is given, and `wake_at_ms` says when to call `tick`.

A node is believed as a whole or not at all. It is believed from its NBIRTH on. A missing seq, an
unknown alias, a value of the wrong type, anything that cannot be read ends that: nothing of the
message is applied, the node and its devices turn stale, and a rebirth is asked for, at most once
in `rebirth_interval_ms` (`tck-id-operational-behavior-host-reordering-*`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final, TypeAlias

from uns.sparkplug.catalogue import declare, values_of_birth, values_of_data
from uns.sparkplug.datatype import DataType
from uns.sparkplug.errors import DecodeError, TopicError
from uns.sparkplug.node import BD_SEQ, REBIRTH, SEQ_MODULUS, Message, Node, Phase
from uns.sparkplug.outputs import (
    HostOutput,
    Ignored,
    Online,
    Publish,
    RebirthRequest,
    Rejected,
    Stale,
)
from uns.sparkplug.payload import encode
from uns.sparkplug.payload import parse as parse_payload
from uns.sparkplug.reading import read_payload
from uns.sparkplug.topic import MessageType, StateTopic, Topic, node_topic
from uns.sparkplug.topic import parse as parse_topic
from uns.sparkplug.values import Metric, Payload

_COMMANDS: Final = frozenset({MessageType.NCMD, MessageType.DCMD})
_BEHIND: Final = SEQ_MODULUS // 2


@dataclass(frozen=True, slots=True)
class HostLimits:
    """What the session waits for and what it holds; the times are milliseconds.

    A silent node is asked for its births `rebirth_tries_max` times; one that still sends, as
    often as the interval allows. DATA or a birth up to `late_ms_max` older than the last birth is
    taken for a straggler of the session before; what is older still, for a clock set back.
    """

    reorder_timeout_ms: int = 2_000
    rebirth_interval_ms: int = 30_000
    rebirth_tries_max: int = 3
    late_ms_max: int = 60_000
    nodes_max: int = 10_000
    devices_max: int = 1_000
    pending_max: int = 100
    pending_bytes_max: int = 16 * 1_048_576


def rebirth_command(group: str, edge_node: str, now_ms: int) -> Publish:
    """Make the NCMD that asks a node for its births (by name, no seq, not retained)."""
    asked = Metric(REBIRTH, value=True, datatype=DataType.BOOLEAN, timestamp_ms=now_ms)
    topic = node_topic(group, MessageType.NCMD, edge_node)
    return Publish(topic, encode(Payload((asked,), now_ms)), qos=0, retain=False)


_Key: TypeAlias = tuple[str, str]
_Step: TypeAlias = Callable[[Node, Message, list[HostOutput]], None]


class HostSession:
    """One host application's session over all groups and nodes that its client hears of.

    Feed every received message to `receive`, call `tick` at `wake_at_ms`, and `disconnected` when
    the client loses the broker. Each returns the outputs in order.
    """

    def __init__(self, limits: HostLimits | None = None) -> None:
        """Begin with no node known."""
        self._limits = limits or HostLimits()
        self._nodes: dict[_Key, Node] = {}
        self._wakes: dict[_Key, int] = {}

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
        """Take in one MQTT message; never raises for what the peer sent."""
        where = parse_topic(topic)
        if isinstance(where, TopicError):
            return [Rejected(where.reason, topic, raw)]
        if isinstance(where, StateTopic) or where.message_type in _COMMANDS:
            return []
        if retained or not raw:
            return [Ignored("retained" if retained else "empty payload", topic)]
        try:
            wire = parse_payload(raw)
        except DecodeError as error:
            return self._unreadable(where, Rejected(error.reason, topic, raw), now_ms)
        return self._dispatch(Message(where, topic, raw, wire, now_ms))

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
        """Forget what held: births and deaths go unheard until the next session."""
        out: list[HostOutput] = []
        for node in self._nodes.values():
            out.extend(node.end(Phase.OFFLINE, "the host lost the broker", now_ms))
        self._wakes.clear()
        return out

    # --- one message

    def _dispatch(self, message: Message) -> list[HostOutput]:
        kind = message.topic.message_type
        key = (message.topic.group, message.topic.edge_node)
        node = self._nodes.get(key)
        if node is None and kind is MessageType.NDEATH:
            return [Ignored("death of a node never seen", message.text)]
        if node is None and len(self._nodes) >= self._limits.nodes_max:
            reason = f"more than {self._limits.nodes_max} edge nodes"
            return [Rejected(reason, message.text, message.raw)]
        out: list[HostOutput] = []
        node = self._nodes.setdefault(key, Node(*key))
        self._attempt(self._step_for(kind), node, message, out)
        self._reschedule(node)
        return out

    def _step_for(self, kind: MessageType) -> _Step:
        match kind:
            case MessageType.NBIRTH:
                return self._node_birth
            case MessageType.NDEATH:
                return _node_death
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
        if node is not None and node.phase is not Phase.OFFLINE:
            self._distrust(node, rejected.reason, now_ms, out)
            self._reschedule(node)
        return out

    def _node_birth(self, node: Node, message: Message, out: list[HostOutput]) -> None:
        if _is_old_birth(message, node, self._limits.late_ms_max):
            out.append(Ignored("an earlier birth, or the same again after it ended", message.text))
            return
        payload = read_payload(message.wire)
        catalogue = declare(payload.metrics)
        bd_seq = payload.metric(BD_SEQ)
        early = node.take_sent_since(message.at_ms)
        out.extend(node.end(Phase.ONLINE, "born again", message.now_ms))
        node.pending = early
        node.bd_seq = bd_seq.value if bd_seq and isinstance(bd_seq.value, int) else None
        node.next_seq = (message.wire.seq + 1) % SEQ_MODULUS
        node.birth_at_ms = node.last_at_ms = message.at_ms
        node.unanswered = 0
        node.places[None] = catalogue
        out.append(Online(*node.place(None), message.at_ms, payload.metrics))
        out.extend(values_of_birth(node.place(None), payload.metrics, message.at_ms))
        self._drain(node, out)

    def _in_order(self, node: Node, message: Message, out: list[HostOutput]) -> None:
        """Take DATA and device births and deaths by their seq."""
        if node.phase is not Phase.ONLINE:
            node.phase = Phase.AWAITING
            out.append(Ignored("no birth of the edge node", message.text))
            self._ask(node, message.now_ms, out)
        elif _is_old(message, node, self._limits.late_ms_max):
            out.append(Ignored("older than the node's birth", message.text))
        else:
            self._place_by_seq(node, message, out)

    def _place_by_seq(self, node: Node, message: Message, out: list[HostOutput]) -> None:
        seq = message.wire.seq
        if seq >= SEQ_MODULUS:
            raise DecodeError(f"seq {seq} is not in 0..{SEQ_MODULUS - 1}")
        ahead = (seq - node.next_seq) % SEQ_MODULUS
        if ahead == 0:
            self._apply(node, message, out)
            self._drain(node, out)
        elif ahead < _BEHIND:
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
        waiting = (self._nodes[key] for key in self._wakes)
        held = sum(len(each.raw) for one in waiting for each in one.pending.values())
        if (
            len(node.pending) >= self._limits.pending_max
            or held + len(message.raw) > self._limits.pending_bytes_max
        ):
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
                self._device_birth(node, message, out)
            case MessageType.DDEATH:
                _device_death(node, message, out)
            case _:
                _data(node, message, out)

    def _device_birth(self, node: Node, message: Message, out: list[HostOutput]) -> None:
        device, at_ms = message.topic.device, message.at_ms
        payload = read_payload(message.wire)
        catalogue = declare(payload.metrics)
        if device in node.places:
            out.append(Stale(*node.place(device), message.now_ms, "born again"))
        elif len(node.places) > self._limits.devices_max:
            raise DecodeError(f"more than {self._limits.devices_max} devices")
        node.places[device] = catalogue
        out.append(Online(*node.place(device), at_ms, payload.metrics))
        out.extend(values_of_birth(node.place(device), payload.metrics, at_ms))

    # --- belief

    def _distrust(self, node: Node, reason: str, now_ms: int, out: list[HostOutput]) -> None:
        out.extend(node.end(Phase.AWAITING, reason, now_ms))
        self._ask(node, now_ms, out)

    def _ask(self, node: Node, now_ms: int, out: list[HostOutput]) -> None:
        asked = node.asked_at_ms
        if asked is not None and 0 <= now_ms - asked < self._limits.rebirth_interval_ms:
            return
        node.asked_at_ms = now_ms
        node.rebirths += 1
        node.unanswered += 1
        out.append(RebirthRequest(node.group, node.edge_node))

    def _reschedule(self, node: Node) -> None:
        key = (node.group, node.edge_node)
        wake = self._wake_of(node)
        if wake is None:
            self._wakes.pop(key, None)
        else:
            self._wakes[key] = wake

    def _wake_of(self, node: Node) -> int | None:
        if node.phase is Phase.AWAITING and node.unanswered < self._limits.rebirth_tries_max:
            return (node.asked_at_ms or 0) + self._limits.rebirth_interval_ms
        if node.pending:
            first = min(message.now_ms for message in node.pending.values())
            return first + self._limits.reorder_timeout_ms
        return None


def _node_death(node: Node, message: Message, out: list[HostOutput]) -> None:
    if node.phase is Phase.OFFLINE:
        out.append(Ignored("death of a node that is not online", message.text))
        return
    stated = read_payload(message.wire).metric(BD_SEQ)
    if stated is None or not isinstance(stated.value, int):
        raise DecodeError(f"a node's death needs {BD_SEQ} as an integer")
    if node.bd_seq is not None and node.bd_seq != stated.value:
        reason = f"death of {BD_SEQ} {stated.value}, the node has {node.bd_seq}"
        out.append(Ignored(reason, message.text))
        return
    out.extend(node.end(Phase.OFFLINE, "the edge node died", message.now_ms))


def _device_death(node: Node, message: Message, out: list[HostOutput]) -> None:
    device = message.topic.device
    if node.places.pop(device, None) is None:
        out.append(Ignored("death of a device that was not born", message.text))
    else:
        out.append(Stale(*node.place(device), message.at_ms, "the device died"))


def _data(node: Node, message: Message, out: list[HostOutput]) -> None:
    place = node.place(message.topic.device)
    catalogue = node.places.get(place.device)
    if catalogue is None:
        raise DecodeError(f"no birth of the device {place.device!r}")
    out.extend(values_of_data(place, catalogue, message.wire, message.at_ms))


def _is_old_birth(message: Message, node: Node, late_ms_max: int) -> bool:
    late_ms = node.birth_at_ms - message.at_ms
    return 0 < late_ms <= late_ms_max or (late_ms == 0 and node.phase is not Phase.ONLINE)


def _is_old(message: Message, node: Node, late_ms_max: int) -> bool:
    """Tell whether DATA was sent before the birth: its seq then belongs to the birth before.

    A payload of history may bear an old time. A time far before the birth is a clock that was
    set back, which only a new birth heals.
    """
    late_ms = node.birth_at_ms - message.at_ms
    metrics = message.wire.metrics
    if late_ms <= 0 or (metrics and metrics[0].is_historical):
        return False
    if late_ms > late_ms_max:
        raise DecodeError(f"sent {late_ms} ms before the node's birth")
    return True
