"""Reads any message for a person, by the births seen so far; owns names by alias, believes nothing.

For tools that look on and never send. It knows no order and no time: who must be right about what
is online uses `host`. A metric whose birth was not seen is called `#<alias>` and its value is the
field as it came.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from uns.sparkplug.catalogue import declare, read_bound, resolve
from uns.sparkplug.errors import DecodeError, TopicError
from uns.sparkplug.payload import parse as parse_payload
from uns.sparkplug.reading import read_payload
from uns.sparkplug.state import HostState
from uns.sparkplug.state import decode as decode_state
from uns.sparkplug.topic import MessageType, StateTopic, Topic
from uns.sparkplug.topic import parse as parse_topic

if TYPE_CHECKING:
    from uns.sparkplug.catalogue import Catalogue
    from uns.sparkplug.schema import Wire
    from uns.sparkplug.values import Metric, Value

CATALOGUES_MAX: Final = 10_000
_BIRTHS: Final = frozenset({MessageType.NBIRTH, MessageType.DBIRTH})
_Key = tuple[str, str, "str | None"]


class Shown(NamedTuple):
    """One metric for a person; `datatype` None is not known."""

    name: str
    value: Value
    datatype: str | None
    timestamp_ms: int | None
    is_historical: bool


class Seen(NamedTuple):
    """One message of an edge node, a device or a commanding host."""

    topic: Topic
    timestamp_ms: int | None
    seq: int | None
    metrics: tuple[Shown, ...]


class Spectator:
    """What was declared by each node and device, at most CATALOGUES_MAX of them."""

    def __init__(self) -> None:
        """Begin with no birth seen."""
        self._catalogues: dict[_Key, Catalogue] = {}

    def see(self, topic: str, raw: bytes) -> Seen | HostState | TopicError | DecodeError:
        """Read a message; what is none comes back as the error with its reason."""
        where = parse_topic(topic)
        if isinstance(where, TopicError):
            return where
        if isinstance(where, StateTopic):
            return decode_state(raw)
        try:
            return self._seen(where, parse_payload(raw))
        except DecodeError as error:
            return error.with_traceback(None)

    def _seen(self, where: Topic, wire: Wire) -> Seen:
        key = (where.group, where.edge_node, where.device)
        if where.message_type in _BIRTHS:
            metrics = read_payload(wire).metrics
            if key in self._catalogues or len(self._catalogues) < CATALOGUES_MAX:
                self._catalogues[key] = declare(metrics)
            shown = tuple(_as_declared(metric) for metric in metrics)
        else:
            catalogue = self._catalogues.get(key) or declare(())
            shown = tuple(_by_birth(catalogue, metric) for metric in wire.metrics)
        return Seen(
            where,
            wire.timestamp if wire.HasField("timestamp") else None,
            wire.seq if wire.HasField("seq") else None,
            shown,
        )


def _as_declared(metric: Metric) -> Shown:
    datatype = metric.datatype.name if metric.datatype else None
    name = metric.name or f"#{metric.alias}"
    return Shown(name, metric.value, datatype, metric.timestamp_ms, metric.is_historical)


def _by_birth(catalogue: Catalogue, wire: Wire) -> Shown:
    at_ms = wire.timestamp if wire.HasField("timestamp") else None
    try:
        bound = resolve(catalogue, wire)
        value = read_bound(bound, wire)
    except DecodeError:
        return _unresolved(wire, at_ms)
    return Shown(bound.name, value, bound.datatype.name, at_ms, wire.is_historical)


def _unresolved(wire: Wire, at_ms: int | None) -> Shown:
    """A metric that no birth explains: by its own words."""
    field = wire.WhichOneof("value")
    raw = None if wire.is_null or field is None else getattr(wire, field)
    plain = raw if isinstance(raw, (bool, int, float, str, bytes)) or raw is None else f"<{field}>"
    return Shown(wire.name or f"#{wire.alias}", plain, None, at_ms, wire.is_historical)
