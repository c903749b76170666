"""An edge node's side of one MQTT session: metrics and times in, messages to publish out.

Owns the seq counter that node and devices share, the aliases, and what has been born. It knows no
MQTT client and no clock; the shell stores bd_seq and makes a new EdgeNode for every CONNECT.

Order: connect with `will()`, subscribe to NCMD and DCMD, publish `node_birth`, then every
`device_birth`, then `data`. On a rebirth command the births again; before a wanted disconnect
`death()`. A message that the client refuses is handed back by `refused()`, so that its seq does
not leave a hole which a host would answer with a rebirth request.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from uns.sparkplug.catalogue import Catalogue, declare, read_bound, resolve
from uns.sparkplug.datatype import DataType
from uns.sparkplug.errors import DecodeError, EncodeError, SessionError, TopicError
from uns.sparkplug.node import BD_SEQ, REBIRTH, SEQ_MODULUS
from uns.sparkplug.outputs import Publish
from uns.sparkplug.payload import encode, parse, serialize
from uns.sparkplug.schema import new_payload
from uns.sparkplug.topic import MessageType, device_topic, node_topic
from uns.sparkplug.topic import parse as parse_topic
from uns.sparkplug.values import QUALITY, QUALITY_GOOD, Metric, Payload, Property, Value
from uns.sparkplug.writing import write_properties, write_value

if TYPE_CHECKING:
    from collections.abc import Sequence

    from uns.sparkplug.schema import Wire

_WILL_QOS: Final = 1
_RESERVED: Final = frozenset({BD_SEQ, REBIRTH})


class Change(NamedTuple):
    """A new value of a born metric; None is null. History is what waited for the connection."""

    name: str
    value: Value
    timestamp_ms: int
    is_historical: bool = False
    quality: int = QUALITY_GOOD


class Write(NamedTuple):
    """What a command asks to write; its type and range are those of the birth."""

    device: str | None
    name: str
    value: Value
    datatype: DataType
    timestamp_ms: int | None


class Command(NamedTuple):
    """A received NCMD or DCMD: births wanted, values to write."""

    rebirth: bool
    writes: tuple[Write, ...]


class _Progress(NamedTuple):
    """Where the session stands; `born` holds the metrics by device, None being the node."""

    next_seq: int
    born: dict[str | None, Catalogue]


def next_bd_seq(bd_seq: int) -> int:
    """Give the bd_seq of the CONNECT after the one that had `bd_seq`."""
    return (bd_seq + 1) % SEQ_MODULUS


class EdgeNode:
    """One edge node in one MQTT session.

    Raises TopicError for ids that cannot be in a topic, SessionError for calls out of order and
    EncodeError for values that do not fit.
    """

    def __init__(self, group: str, edge_node: str, bd_seq: int) -> None:
        """Begin the session whose CONNECT carries `bd_seq` (0..255) in its will."""
        if not 0 <= bd_seq < SEQ_MODULUS:
            raise SessionError(f"bd_seq {bd_seq} is not in 0..{SEQ_MODULUS - 1}")
        node_topic(group, MessageType.NBIRTH, edge_node)
        self.group = group
        self.edge_node = edge_node
        self.bd_seq = bd_seq
        self._now = self._before = _Progress(0, {})
        self._aliases: dict[tuple[str | None, str], int] = {}
        self._doubted: set[tuple[str | None, str]] = set()

    def is_born(self, device: str | None = None) -> bool:
        """Tell whether the births of the node, or of one of its devices, hold."""
        return device in self._now.born

    def datatype(self, device: str | None, name: str) -> DataType | None:
        """Give the type a metric was born with; None when it is in no birth that holds."""
        catalogue = self._now.born.get(device)
        bound = catalogue.names.get(name) if catalogue else None
        return bound.datatype if bound else None

    def will(self) -> Publish:
        """Make the NDEATH to register as the will of the CONNECT."""
        metric = Metric(BD_SEQ, self.bd_seq, DataType.INT64)
        topic = node_topic(self.group, MessageType.NDEATH, self.edge_node)
        return Publish(topic, encode(Payload((metric,))), _WILL_QOS, retain=False)

    def death(self) -> Publish:
        """Make the NDEATH of a wanted disconnect: the will's bytes. Nothing is born after it."""
        self._advance(_Progress(0, {}))
        return self.will()

    def node_birth(self, metrics: Sequence[Metric], now_ms: int) -> Publish:
        """Make the NBIRTH with seq 0; every device needs its birth again after it.

        `bdSeq` and `Node Control/Rebirth` are added here, without alias.
        """
        own = (
            Metric(BD_SEQ, self.bd_seq, DataType.INT64, now_ms),
            Metric(REBIRTH, value=False, datatype=DataType.BOOLEAN, timestamp_ms=now_ms),
        )
        taken = _RESERVED.intersection(metric.name or "" for metric in metrics)
        if taken:
            raise SessionError(f"{min(taken)!r} is added by the session itself")
        declared = _oldest_first((*own, *self._with_aliases(None, metrics, now_ms)))
        message = self._message(MessageType.NBIRTH, None, encode(Payload(declared, now_ms, 0)))
        self._advance(_Progress(1, {None: _declared(declared)}))
        return message

    def device_birth(self, device: str, metrics: Sequence[Metric], now_ms: int) -> Publish:
        """Make a DBIRTH; again for a living device only after its `device_death`."""
        self._require_born(None)
        if device in self._now.born:
            raise SessionError(f"device {device!r} is born already")
        declared = _oldest_first(self._with_aliases(device, metrics, now_ms))
        raw = encode(Payload(declared, now_ms, self._now.next_seq))
        message = self._message(MessageType.DBIRTH, device, raw)
        self._advance_by_one(self._now.born | {device: _declared(declared)})
        return message

    def device_death(self, device: str, now_ms: int) -> Publish:
        """Make a DDEATH."""
        self._require_born(device)
        raw = encode(Payload((), now_ms, self._now.next_seq))
        message = self._message(MessageType.DDEATH, device, raw)
        self._advance_by_one({key: born for key, born in self._now.born.items() if key != device})
        return message

    def data(self, changes: Sequence[Change], now_ms: int, device: str | None = None) -> Publish:
        """Make an NDATA or DDATA, by alias and without datatypes; history goes oldest first."""
        catalogue = self._require_born(device)
        wire = new_payload()
        wire.timestamp = now_ms
        wire.seq = self._now.next_seq
        for change in changes:
            self._add_change(wire.metrics.add(), device, change, catalogue)
        kind = MessageType.NDATA if device is None else MessageType.DDATA
        message = self._message(kind, device, serialize(wire))
        self._advance_by_one(self._now.born)
        return message

    def refused(self) -> None:
        """Take back the message made last, which the client did not accept: its seq is reused."""
        self._now = self._before

    def command(self, topic: str, raw: bytes) -> Command | TopicError | DecodeError:
        """Read an NCMD or DCMD to this node; all of it can be done, or it is the error."""
        try:
            return self._command(topic, raw)
        except (TopicError, DecodeError) as error:
            return error.with_traceback(None)

    # --- births

    def _with_aliases(
        self, device: str | None, metrics: Sequence[Metric], now_ms: int
    ) -> tuple[Metric, ...]:
        self._doubted.update(
            (device, metric.name)
            for metric in metrics
            if metric.name and metric.quality != QUALITY_GOOD
        )
        return tuple(
            metric._replace(
                alias=self._alias(device, metric.name),
                timestamp_ms=now_ms if metric.timestamp_ms is None else metric.timestamp_ms,
            )
            for metric in metrics
        )

    def _alias(self, device: str | None, name: str | None) -> int:
        """Keep one alias per metric of the whole edge node for as long as the session lasts."""
        if not name:
            raise SessionError("a metric of a birth needs a name")
        return self._aliases.setdefault((device, name), len(self._aliases) + 1)

    # --- data

    def _add_change(
        self, wire: Wire, device: str | None, change: Change, catalogue: Catalogue
    ) -> None:
        bound = catalogue.names.get(change.name)
        if bound is None or change.name in _RESERVED:
            raise SessionError(f"metric {change.name!r} is not in the birth")
        wire.alias = self._aliases[device, change.name]
        wire.timestamp = change.timestamp_ms
        if change.is_historical:
            wire.is_historical = True
        try:
            write_value(wire, bound.datatype, change.value)
        except (EncodeError, ValueError, TypeError) as error:
            raise EncodeError(f"metric {change.name!r}: {error}") from None
        if self._must_state_quality((device, change.name), change.quality):
            quality = Property(DataType.INT32, change.quality)
            write_properties(wire.properties, {QUALITY: quality})

    def _must_state_quality(self, metric: tuple[str | None, str], quality: int) -> bool:
        """Tell whether a host could take a metric without Quality for what it was before."""
        if quality != QUALITY_GOOD:
            self._doubted.add(metric)
        return metric in self._doubted

    # --- commands

    def _command(self, text: str, raw: bytes) -> Command:
        device = self._addressed_device(text)
        catalogue = self._now.born.get(device)
        if catalogue is None:
            raise DecodeError(f"{device or self.edge_node!r} is not born")
        rebirth, writes = False, []
        for wire in parse(raw).metrics:
            bound = resolve(catalogue, wire)
            value = read_bound(bound, wire)
            if device is None and bound.name == REBIRTH:
                rebirth |= value is True
            else:
                at_ms = wire.timestamp or None
                writes.append(Write(device, bound.name, value, bound.datatype, at_ms))
        return Command(rebirth, tuple(writes))

    def _addressed_device(self, text: str) -> str | None:
        match parse_topic(text):
            case TopicError() as error:
                raise error
            case (self.group, MessageType.NCMD, self.edge_node, None):
                return None
            case (self.group, MessageType.DCMD, self.edge_node, device):
                return device
        raise TopicError(f"{text!r} is no command to {self.group}/{self.edge_node}")

    # --- progress

    def _message(self, kind: MessageType, device: str | None, raw: bytes) -> Publish:
        if device is None:
            topic = node_topic(self.group, kind, self.edge_node)
        else:
            topic = device_topic(self.group, kind, self.edge_node, device)
        return Publish(topic, raw, qos=0, retain=False)

    def _require_born(self, device: str | None) -> Catalogue:
        catalogue = self._now.born.get(device)
        if catalogue is None:
            raise SessionError(f"{device or self.edge_node!r} has not been born")
        return catalogue

    def _advance_by_one(self, born: dict[str | None, Catalogue]) -> None:
        self._advance(_Progress((self._now.next_seq + 1) % SEQ_MODULUS, born))

    def _advance(self, progress: _Progress) -> None:
        self._before, self._now = self._now, progress


def _oldest_first(metrics: Sequence[Metric]) -> tuple[Metric, ...]:
    """Order by time, as the specification wants it in births too (data-publish-*birth-order)."""
    return tuple(sorted(metrics, key=lambda metric: metric.timestamp_ms or 0))


def _declared(metrics: Sequence[Metric]) -> Catalogue:
    try:
        return declare(metrics)
    except DecodeError as error:
        raise SessionError(error.reason) from None
