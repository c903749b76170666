"""Turns protobuf messages into values; knows no session, and no bound but the nesting.

Whatever breaks the specification raises DecodeError with the name of the metric. Recursion is
ours to bound: a template or property set may hold others, NESTING_MAX deep.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from uns.sparkplug.datatype import BASIC_TYPES, PLAIN_READERS, DataType, PlainValue, datatype_of
from uns.sparkplug.errors import DecodeError
from uns.sparkplug.values import (
    DataSet,
    MetaData,
    Metric,
    Parameter,
    Payload,
    Property,
    PropertyContent,
    PropertySet,
    Template,
    Value,
)

if TYPE_CHECKING:
    from uns.sparkplug.schema import Wire

NESTING_MAX: Final = 8
METRICS_MAX: Final = 10_000

ValueReader: TypeAlias = Callable[["Wire"], Value]


def read_payload(wire: Wire) -> Payload:
    """Read a whole payload."""
    return Payload(
        metrics=_read_metrics(wire.metrics, NESTING_MAX),
        timestamp_ms=_stated(wire, "timestamp"),
        seq=_stated(wire, "seq"),
        uuid=_stated(wire, "uuid"),
        body=_stated(wire, "body"),
    )


def read_properties(wire: Wire, depth: int = NESTING_MAX) -> dict[str, Property]:
    """Read a property set."""
    _require_depth(depth)
    if len(wire.keys) != len(wire.values):
        raise DecodeError(f"{len(wire.keys)} property keys, {len(wire.values)} values")
    found = {
        key: _read_property(value, depth) for key, value in zip(wire.keys, wire.values, strict=True)
    }
    if len(found) != len(wire.keys):
        raise DecodeError("a property is given twice")
    return found


def _stated(wire: Wire, field: str) -> Any:
    return getattr(wire, field) if wire.HasField(field) else None


def _require_depth(depth: int) -> None:
    if depth <= 0:
        raise DecodeError(f"nested deeper than {NESTING_MAX} levels")


# --- metrics


def _read_metrics(wires: Wire, depth: int, *, valueless: bool = False) -> tuple[Metric, ...]:
    _require_depth(depth)
    if len(wires) > METRICS_MAX:
        raise DecodeError(f"{len(wires)} metrics, at most {METRICS_MAX} are read")
    return tuple(_read_metric(wire, depth, valueless=valueless) for wire in wires)


def _read_metric(wire: Wire, depth: int, *, valueless: bool) -> Metric:
    name = _stated(wire, "name")
    try:
        datatype = datatype_of(wire.datatype) if wire.HasField("datatype") else None
        return Metric(
            name=name,
            value=_metric_value(wire, datatype, depth, valueless=valueless),
            datatype=datatype,
            timestamp_ms=_stated(wire, "timestamp"),
            alias=_stated(wire, "alias"),
            is_historical=wire.is_historical,
            is_transient=wire.is_transient,
            properties=_optional(wire, "properties", lambda w: read_properties(w, depth)),
            metadata=_optional(wire, "metadata", _read_metadata),
        )
    except DecodeError as error:
        raise DecodeError(f"metric {name or wire.alias!r}: {error}") from None


def _metric_value(wire: Wire, datatype: DataType | None, depth: int, *, valueless: bool) -> Value:
    field = wire.WhichOneof("value")
    if wire.is_null or (valueless and field is None):
        return None
    if field == "dataset_value" and datatype in {None, DataType.DATASET}:
        return _read_dataset(wire.dataset_value)
    if field == "template_value" and datatype in {None, DataType.TEMPLATE}:
        return _read_template(wire.template_value, depth - 1)
    if datatype is None and field is not None:
        raw: PlainValue = getattr(wire, field)
        return raw
    reader = PLAIN_READERS.get(datatype) if datatype else None
    if reader is None:
        raise DecodeError(f"{_named(datatype)} does not go with {field or 'no value'}")
    return reader(wire)


def _named(datatype: DataType | None) -> str:
    return "no datatype" if datatype is None else datatype.name


def _optional(wire: Wire, field: str, read: Callable[[Wire], Any]) -> Any:
    return read(getattr(wire, field)) if wire.HasField(field) else None


def _read_metadata(wire: Wire) -> MetaData:
    return MetaData(*(_stated(wire, field) for field in MetaData._fields))


# --- composed values


def _read_dataset(wire: Wire) -> DataSet:
    columns, types = tuple(wire.columns), tuple(_basic_type(kind) for kind in wire.types)
    if not len(columns) == len(types) == wire.num_of_columns:
        raise DecodeError(
            f"data set of {wire.num_of_columns} columns has {len(columns)} names, "
            f"{len(types)} types"
        )
    return DataSet(columns, types, tuple(_read_row(row, types) for row in wire.rows))


def _read_row(wire: Wire, types: tuple[DataType, ...]) -> tuple[PlainValue | None, ...]:
    if len(wire.elements) != len(types):
        raise DecodeError(f"data set row of {len(wire.elements)} cells, not {len(types)}")
    return tuple(_read_cell(cell, kind) for cell, kind in zip(wire.elements, types, strict=True))


def _read_cell(wire: Wire, datatype: DataType) -> PlainValue | None:
    return None if wire.WhichOneof("value") is None else PLAIN_READERS[datatype](wire)


def _basic_type(number: int) -> DataType:
    datatype = datatype_of(number)
    if datatype not in BASIC_TYPES:
        raise DecodeError(f"{datatype.name} is no basic type")
    return datatype


def _read_template(wire: Wire, depth: int) -> Template:
    return Template(
        metrics=_read_metrics(wire.metrics, depth, valueless=True),
        parameters=tuple(_read_parameter(parameter) for parameter in wire.parameters),
        template_ref=_stated(wire, "template_ref"),
        version=_stated(wire, "version"),
        is_definition=wire.is_definition,
    )


def _read_parameter(wire: Wire) -> Parameter:
    datatype = _basic_type(wire.type)
    return Parameter(wire.name, datatype, _read_cell(wire, datatype))


def _read_property(wire: Wire, depth: int) -> Property:
    datatype = datatype_of(wire.type) if wire.HasField("type") else None
    return Property(datatype, None if wire.is_null else _property_content(wire, datatype, depth))


def _property_content(wire: Wire, datatype: DataType | None, depth: int) -> PropertyContent:
    field = wire.WhichOneof("value")
    if field == "propertyset_value" and datatype in {None, DataType.PROPERTY_SET}:
        return read_properties(wire.propertyset_value, depth - 1)
    if field == "propertysets_value" and datatype in {None, DataType.PROPERTY_SET_LIST}:
        return _read_property_sets(wire.propertysets_value, depth - 1)
    if datatype is None and field is not None:
        raw: PlainValue = getattr(wire, field)
        return raw
    if datatype is None or datatype not in BASIC_TYPES:
        raise DecodeError(f"property of {_named(datatype)} carries {field or 'no value'}")
    return PLAIN_READERS[datatype](wire)


def _read_property_sets(wire: Wire, depth: int) -> tuple[PropertySet, ...]:
    return tuple(read_properties(each, depth) for each in wire.propertyset)


def _composed_reader(datatype: DataType) -> ValueReader:
    return lambda wire: _metric_value(wire, datatype, NESTING_MAX, valueless=False)


VALUE_READERS: Final[Mapping[DataType, ValueReader]] = MappingProxyType(
    {**PLAIN_READERS}
    | {kind: _composed_reader(kind) for kind in (DataType.DATASET, DataType.TEMPLATE)}
)
"""How a value that is not null is read once the birth has told its type."""
