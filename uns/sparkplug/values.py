"""Owns what a payload means once it is read; knows neither protobuf nor bytes on the wire.

Everything is a named tuple: made fast, compared by value, never changed. A value of None is a
metric's `is_null`. Times are UTC milliseconds since 1970.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, NamedTuple, TypeAlias

from uns.sparkplug.datatype import DataType, PlainValue

QUALITY: Final = "Quality"
QUALITY_GOOD: Final = 192
QUALITY_BAD: Final = 0
QUALITY_STALE: Final = 500


class MetaData(NamedTuple):
    """What is known about a binary value (6.4.7); None is not stated."""

    is_multi_part: bool | None = None
    content_type: str | None = None
    size: int | None = None
    seq: int | None = None
    file_name: str | None = None
    file_type: str | None = None
    md5: str | None = None
    description: str | None = None


class DataSet(NamedTuple):
    """A table (6.4.11): `columns` and `types` are as long as each row; None is an empty cell."""

    columns: tuple[str, ...]
    types: tuple[DataType, ...]
    rows: tuple[tuple[PlainValue | None, ...], ...]


class Parameter(NamedTuple):
    """A named constant of a template (6.4.15)."""

    name: str
    datatype: DataType
    value: PlainValue | None


class Template(NamedTuple):
    """A composed value (6.4.14): the definition of a type, or an instance of `template_ref`."""

    metrics: tuple[Metric, ...]
    parameters: tuple[Parameter, ...] = ()
    template_ref: str | None = None
    version: str | None = None
    is_definition: bool = False


class Property(NamedTuple):
    """A property of a metric (6.4.9); the type may be left out outside of births."""

    datatype: DataType | None
    value: PropertyContent


PropertySet: TypeAlias = Mapping[str, Property]
PropertyContent: TypeAlias = PlainValue | PropertySet | tuple[PropertySet, ...] | None
Value: TypeAlias = PlainValue | DataSet | Template | None


class Metric(NamedTuple):
    """One named value (6.4.6).

    Without a datatype (DATA may leave it out) an integer value is the raw unsigned field and an
    array is its bytes: only the birth tells what they mean.
    """

    name: str | None
    value: Value
    datatype: DataType | None = None
    timestamp_ms: int | None = None
    alias: int | None = None
    is_historical: bool = False
    is_transient: bool = False
    properties: PropertySet | None = None
    metadata: MetaData | None = None

    @property
    def quality(self) -> int:
        """The `Quality` property (6.4.9): 192 good, 0 bad, 500 stale; good when not stated."""
        return quality_of(self.properties)


class Payload(NamedTuple):
    """What one message says (6.4.5); `uuid` and `body` belong to extensions."""

    metrics: tuple[Metric, ...] = ()
    timestamp_ms: int | None = None
    seq: int | None = None
    uuid: str | None = None
    body: bytes | None = None

    def metric(self, name: str) -> Metric | None:
        """Find the first metric of that name."""
        return next((metric for metric in self.metrics if metric.name == name), None)


def quality_of(properties: PropertySet | None) -> int:
    """Read the `Quality` property; a Quality that is no integer counts as bad."""
    stated = properties.get(QUALITY) if properties else None
    if stated is None:
        return QUALITY_GOOD
    return stated.value if isinstance(stated.value, int) else QUALITY_BAD
