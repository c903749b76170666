"""Owns what an edge node shows: the newest value of every metric, its type, and who is present.

Knows no session. A type is learned from values and only ever widens (Int64 to Double, anything to
String), so that a metric is born anew at most twice whatever its source does.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, TypeAlias

from uns.sparkplug.datatype import DataType
from uns.sparkplug.values import QUALITY, Metric, Property, PropertySet

if TYPE_CHECKING:
    from uns.sparkplug.edge_queue import Entry

Scalar: TypeAlias = bool | float | str | None

_INTEGERS: Final = {
    DataType.INT8: range(-(1 << 7), 1 << 7),
    DataType.INT16: range(-(1 << 15), 1 << 15),
    DataType.INT32: range(-(1 << 31), 1 << 31),
    DataType.INT64: range(-(1 << 63), 1 << 63),
    DataType.UINT8: range(1 << 8),
    DataType.UINT16: range(1 << 16),
    DataType.UINT32: range(1 << 32),
    DataType.UINT64: range(1 << 64),
    DataType.DATETIME: range(1 << 64),
}
_FLOATS: Final = frozenset({DataType.FLOAT, DataType.DOUBLE})


def datatype_of(value: Scalar) -> DataType:
    """Give the type that holds a value; null fits String as well as any other."""
    if isinstance(value, bool):
        return DataType.BOOLEAN
    if value is None or isinstance(value, str):
        return DataType.STRING
    is_integer = isinstance(value, int) and value in _INTEGERS[DataType.INT64]
    return DataType.INT64 if is_integer else DataType.DOUBLE


def holds(datatype: DataType, value: Scalar) -> bool:
    """Tell whether a metric of a type can carry a value."""
    if value is None or datatype == DataType.STRING:
        return True
    if isinstance(value, bool | str):
        return datatype == datatype_of(value)
    return datatype in _FLOATS or (isinstance(value, int) and value in _INTEGERS.get(datatype, ()))


def widened(known: DataType, value: Scalar) -> DataType:
    """Give the narrowest type that holds what `known` holds, and a value."""
    if holds(known, value):
        return known
    own = datatype_of(value)
    are_numbers = known in _INTEGERS and own in {DataType.INT64, DataType.DOUBLE}
    return own if are_numbers else DataType.STRING


def fitted(value: Scalar, datatype: DataType) -> Scalar:
    """Give a value as a metric of a type that holds it carries it."""
    if value is None or isinstance(value, str):
        return value
    if datatype == DataType.STRING:
        return json.dumps(value)
    return float(value) if datatype in _FLOATS else value


@dataclass(slots=True)
class Shown:
    """The node itself or a device: its metrics by name, each with its newest value.

    described: by metric, the properties that only a birth states (a unit).
    new_at_ms: since when its birth lacks something; None when a birth says all.
    """

    is_present: bool = True
    metrics: dict[str, Metric] = field(default_factory=dict)
    described: dict[str, PropertySet] = field(default_factory=dict)
    new_at_ms: int | None = None

    def show(self, entry: Entry, now_ms: int) -> None:
        """Take a newest value. A metric without a value and a type is not shown yet."""
        known = self.metrics.get(entry.name)
        if known is None and entry.value is None:
            return
        before = known.datatype if known else None
        datatype = datatype_of(entry.value) if before is None else widened(before, entry.value)
        if datatype != before:
            self._declared_at(now_ms)
        stated = self.described.get(entry.name, {})
        self.metrics[entry.name] = Metric(
            entry.name,
            fitted(entry.value, datatype),
            datatype,
            entry.at_ms,
            properties={**stated, QUALITY: Property(DataType.INT32, entry.quality)},
        )

    def births(self) -> list[Metric]:
        """Give the metrics of the birth, which state all there is."""
        return list(self.metrics.values())

    @property
    def is_new(self) -> bool:
        """Whether the birth lacks something."""
        return self.new_at_ms is not None

    def is_due(self, now_ms: int, settle_ms: int) -> bool:
        """Tell whether the birth lacks something, and had time to become complete."""
        return self.new_at_ms is not None and now_ms - self.new_at_ms >= settle_ms

    def _declared_at(self, now_ms: int) -> None:
        if self.new_at_ms is None:
            self.new_at_ms = now_ms
