"""What the sessions return instead of doing it: values to show, messages to send, facts to note.

`device` None means the edge node itself; an output never speaks for more than its own device.
Times are UTC milliseconds since 1970.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple, TypeAlias

if TYPE_CHECKING:
    from uns.sparkplug.datatype import DataType
    from uns.sparkplug.values import Metric, Value


class Publish(NamedTuple):
    """A message for the MQTT client to send."""

    topic: str
    payload: bytes
    qos: int
    retain: bool


class MetricValue(NamedTuple):
    """A value of a metric, its name and data type resolved; a null value is None."""

    group: str
    edge_node: str
    device: str | None
    name: str
    value: Value
    timestamp_ms: int
    datatype: DataType
    is_historical: bool
    quality: int


@dataclass(frozen=True, slots=True)
class Online:
    """A birth: from now on these metrics, and no others, exist here.

    By a heard birth their values follow, each as a MetricValue. By a `kept` one they do not: what
    `metrics` holds is as old as that birth, and what a metric is now is known when it is heard.
    """

    group: str
    edge_node: str
    device: str | None
    at_ms: int
    metrics: tuple[Metric, ...]
    kept: bool = False


@dataclass(frozen=True, slots=True)
class Stale:
    """The last values no longer stand for the present, until the next Online."""

    group: str
    edge_node: str
    device: str | None
    at_ms: int
    reason: str


@dataclass(frozen=True, slots=True)
class RebirthRequest:
    """The node is to be asked for its births; already throttled."""

    group: str
    edge_node: str


@dataclass(frozen=True, slots=True)
class Rejected:
    """A message that breaks the specification, with its bytes, for quarantine."""

    reason: str
    topic: str
    payload: bytes


@dataclass(frozen=True, slots=True)
class Ignored:
    """A well-formed message that must not count now: late, duplicate, retained, before a birth.

    Or one that counts, with something to notice: ids that differ from others by case only.
    """

    reason: str
    topic: str


class KeepBirth(NamedTuple):
    """A birth to keep across restarts, in place of an earlier one of the same topic."""

    topic: str
    raw: bytes


class DropBirths(NamedTuple):
    """Kept births that no longer hold: a device's, or with `device` None the node's and all its.

    When a node is born again this comes before the KeepBirth of its NBIRTH.
    """

    group: str
    edge_node: str
    device: str | None


HostOutput: TypeAlias = (
    MetricValue | Online | Stale | RebirthRequest | Rejected | Ignored | KeepBirth | DropBirths
)
