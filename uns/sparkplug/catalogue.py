"""Owns what a birth declares: names, aliases, and how each metric is read from then on.

It knows no seq and no session. A metric is resolved once, at birth; afterwards a message is read
with one dictionary look-up a metric. Aliases are kept per device, which reads every conforming
node and also those that number each device from zero.
"""

from __future__ import annotations

from itertools import repeat, starmap
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

from uns.sparkplug.datatype import QUICK_FIELDS
from uns.sparkplug.errors import DecodeError
from uns.sparkplug.outputs import MetricValue
from uns.sparkplug.reading import VALUE_READERS, ValueReader, read_properties
from uns.sparkplug.schema import is_terse
from uns.sparkplug.values import QUALITY_GOOD, Metric, quality_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from uns.sparkplug.datatype import DataType
    from uns.sparkplug.schema import Wire
    from uns.sparkplug.values import Value


class Place(NamedTuple):
    """An edge node (`device` None) or one of its devices."""

    group: str
    edge_node: str
    device: str | None


class Bound(NamedTuple):
    """A declared metric and how its value is read."""

    name: str
    datatype: DataType
    read: ValueReader


Quick: TypeAlias = "tuple[str, DataType, ValueReader, str, int, int | None, int]"
"""A Bound, then where its value stands (see QUICK_FIELDS); flat, to be unpacked in one step."""


class Catalogue(NamedTuple):
    """The declared metrics of one place; `quick` holds by alias those of one plain field.

    Alias 0 is never among them: it is what an absent alias reads as.
    """

    names: dict[str, Bound]
    aliases: dict[int, Bound]
    quick: dict[int, Quick]


def declare(metrics: Iterable[Metric]) -> Catalogue:
    """Bind the metrics of a birth, or raise DecodeError when they cannot be told apart."""
    catalogue = Catalogue({}, {}, {})
    for metric in metrics:
        bound = _bind(metric)
        if bound.name in catalogue.names:
            raise DecodeError(f"metric {bound.name!r} is declared twice")
        catalogue.names[bound.name] = bound
        if metric.alias is None:
            continue
        if metric.alias in catalogue.aliases:
            other = catalogue.aliases[metric.alias].name
            raise DecodeError(f"alias {metric.alias} is both {other!r} and {bound.name!r}")
        catalogue.aliases[metric.alias] = bound
        if metric.alias and bound.datatype in QUICK_FIELDS:
            catalogue.quick[metric.alias] = (*bound, *QUICK_FIELDS[bound.datatype])
    return catalogue


def _bind(metric: Metric) -> Bound:
    if not metric.name:
        raise DecodeError("a metric of a birth has no name")
    if metric.datatype is None:
        raise DecodeError(f"metric {metric.name!r} of a birth has no datatype")
    read = VALUE_READERS.get(metric.datatype)
    if read is None:
        raise DecodeError(f"metric {metric.name!r} cannot be a {metric.datatype.name}")
    return Bound(metric.name, metric.datatype, read)


def resolve(catalogue: Catalogue, wire: Wire) -> Bound:
    """Find the declaration of a metric message, by name or else alias, or raise DecodeError."""
    name = wire.name
    bound = catalogue.names.get(name) if name else catalogue.aliases.get(wire.alias)
    if bound is None:
        raise DecodeError(f"metric {name or wire.alias!r} is not in the birth")
    return bound


def read_bound(bound: Bound, wire: Wire) -> Value:
    """Read the value of a metric message as its declaration says, or raise DecodeError."""
    stated = wire.datatype
    if stated and stated != bound.datatype:
        raise DecodeError(f"metric {bound.name!r}: datatype {stated}, born {bound.datatype.name}")
    try:
        return None if wire.is_null else bound.read(wire)
    except DecodeError as error:
        raise DecodeError(f"metric {bound.name!r}: {error}") from None


def values_of_birth(place: Place, metrics: Iterable[Metric], at_ms: int) -> list[MetricValue]:
    """Give the values that a birth carries; `at_ms` stands in for a missing metric time."""
    return [
        MetricValue(
            *place,
            metric.name,
            metric.value,
            metric.timestamp_ms or at_ms,
            metric.datatype,
            metric.is_historical,
            metric.quality,
        )
        for metric in metrics
        if metric.name is not None and metric.datatype is not None
    ]


def values_of_data(place: Place, catalogue: Catalogue, wire: Wire, at_ms: int) -> list[MetricValue]:
    """Give the values of a DATA payload, all of them or, as DecodeError, none.

    `tuple.__new__` makes a MetricValue in a third of the time of its own constructor.
    """
    if is_terse(wire):
        try:
            rows = _terse_rows(place, catalogue.quick, wire.metrics, at_ms)
            pairs = zip(repeat(MetricValue), rows)
            return list(starmap(tuple.__new__, pairs))
        except (KeyError, DecodeError):
            pass  # the careful reading takes it, or says which metric is wrong
    return [_value_of_data(place, catalogue, metric, at_ms) for metric in wire.metrics]


def _terse_rows(
    place: Place, quick: dict[int, Quick], metrics: Iterable[Wire], at_ms: int
) -> Iterator[tuple[Any, ...]]:
    """Read metrics that say no more than time and value beside an alias: three fields each.

    Raises KeyError or DecodeError when a metric is not so plain.
    """
    group, edge_node, device = place
    good = QUALITY_GOOD
    for metric in metrics:
        name, datatype, read, field, low, high, modulus = quick[metric.alias]
        value = getattr(metric, field)
        if not value:
            value = value if metric.HasField(field) else read(metric)
        elif high is not None and value > high:
            value -= modulus
            if value < low:
                value = read(metric)
        time_ms = metric.timestamp or at_ms
        yield group, edge_node, device, name, value, time_ms, datatype, False, good


def _value_of_data(place: Place, catalogue: Catalogue, wire: Wire, at_ms: int) -> MetricValue:
    bound = resolve(catalogue, wire)
    return MetricValue(
        *place,
        bound.name,
        read_bound(bound, wire),
        wire.timestamp or at_ms,
        bound.datatype,
        wire.is_historical,
        quality_of(read_properties(wire.properties))
        if wire.HasField("properties")
        else QUALITY_GOOD,
    )
