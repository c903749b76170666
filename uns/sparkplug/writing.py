"""Turns values into protobuf messages; knows no session.

What cannot be sent raises EncodeError with the name of the metric. Depth is bounded as in reading.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from uns.sparkplug.datatype import BASIC_TYPES, PLAIN_WRITERS, DataType
from uns.sparkplug.errors import EncodeError
from uns.sparkplug.reading import METRICS_MAX, NESTING_MAX
from uns.sparkplug.values import DataSet, MetaData, Metric, Property, Template

if TYPE_CHECKING:
    from collections.abc import Sequence

    from uns.sparkplug.datatype import PlainValue
    from uns.sparkplug.schema import Wire
    from uns.sparkplug.values import Payload, PropertySet, Value

_PAYLOAD_FIELDS = {"timestamp": "timestamp_ms", "seq": "seq", "uuid": "uuid", "body": "body"}
_TEMPLATE_FIELDS = {"version": "version", "template_ref": "template_ref"}
_METADATA_FIELDS = {name: name for name in MetaData._fields}


def write_payload(wire: Wire, payload: Payload) -> None:
    """Fill an empty Payload message."""
    _state_fields(wire, payload, _PAYLOAD_FIELDS)
    _write_metrics(wire.metrics, payload.metrics, NESTING_MAX)


def write_value(wire: Wire, datatype: DataType, value: Value, depth: int = NESTING_MAX) -> None:
    """Set a metric's value field, or `is_null` for None."""
    if value is None:
        wire.is_null = True
    elif plain := PLAIN_WRITERS.get(datatype):
        field, write = plain
        setattr(wire, field, write(value))
    elif datatype is DataType.DATASET:
        _write_dataset(wire.dataset_value, value)
    elif datatype is DataType.TEMPLATE:
        _write_template(wire.template_value, value, depth - 1)
    else:
        raise EncodeError(f"{datatype.name} is no type of a metric")


def write_properties(wire: Wire, properties: PropertySet, depth: int = NESTING_MAX) -> None:
    """Fill an empty PropertySet message."""
    _require_depth(depth)
    wire.SetInParent()
    for key, each in properties.items():
        wire.keys.append(key)
        _write_property(wire.values.add(), each, depth)


def _state_fields(wire: Wire, source: object, fields: dict[str, str]) -> None:
    for field, attribute in fields.items():
        value = getattr(source, attribute)
        if value is not None:
            setattr(wire, field, value)


def _require_depth(depth: int) -> None:
    if depth <= 0:
        raise EncodeError(f"nested deeper than {NESTING_MAX} levels")


# --- metrics


def _write_metrics(wires: Wire, metrics: Sequence[Metric], depth: int) -> None:
    _require_depth(depth)
    if len(metrics) > METRICS_MAX:
        raise EncodeError(f"{len(metrics)} metrics, at most {METRICS_MAX} are sent")
    for metric in metrics:
        try:
            _write_metric(wires.add(), metric, depth)
        except (EncodeError, ValueError, TypeError) as error:
            raise EncodeError(f"metric {metric.name or metric.alias!r}: {error}") from None


def _write_metric(wire: Wire, metric: Metric, depth: int) -> None:
    if metric.name is not None:
        wire.name = metric.name
    if metric.alias is not None:
        wire.alias = metric.alias
    if metric.timestamp_ms is not None:
        wire.timestamp = metric.timestamp_ms
    if metric.is_historical:
        wire.is_historical = True
    if metric.is_transient:
        wire.is_transient = True
    _write_typed(wire, metric.datatype, metric.value, depth)
    if metric.properties is not None:
        write_properties(wire.properties, metric.properties, depth)
    if metric.metadata is not None:
        wire.metadata.SetInParent()
        _state_fields(wire.metadata, metric.metadata, _METADATA_FIELDS)


def _write_typed(wire: Wire, datatype: DataType | None, value: Value, depth: int) -> None:
    if datatype is not None:
        wire.datatype = datatype
        write_value(wire, datatype, value, depth)
    elif value is None:
        wire.is_null = True
    else:
        raise EncodeError("a value needs its datatype")


# --- composed values


def _write_dataset(wire: Wire, value: object) -> None:
    if not isinstance(value, DataSet):
        raise EncodeError(f"{value!r} is no DataSet")
    if len(value.columns) != len(value.types):
        raise EncodeError(f"data set has {len(value.columns)} names, {len(value.types)} types")
    wire.num_of_columns = len(value.columns)
    wire.columns.extend(value.columns)
    wire.types.extend(_basic(datatype) for datatype in value.types)
    for row in value.rows:
        _write_row(wire.rows.add(), value.types, row)


def _write_row(wire: Wire, types: tuple[DataType, ...], row: tuple[PlainValue | None, ...]) -> None:
    if len(row) != len(types):
        raise EncodeError(f"data set row of {len(row)} cells, not {len(types)}")
    for datatype, value in zip(types, row, strict=True):
        _write_cell(wire.elements.add(), datatype, value)


def _write_cell(wire: Wire, datatype: DataType, value: PlainValue | None) -> None:
    if value is not None:
        field, write = PLAIN_WRITERS[datatype]
        setattr(wire, field, write(value))


def _basic(datatype: DataType) -> DataType:
    if datatype not in BASIC_TYPES:
        raise EncodeError(f"{datatype.name} is no basic type")
    return datatype


def _write_template(wire: Wire, value: object, depth: int) -> None:
    if not isinstance(value, Template):
        raise EncodeError(f"{value!r} is no Template")
    _state_fields(wire, value, _TEMPLATE_FIELDS)
    wire.is_definition = value.is_definition
    for parameter in value.parameters:
        added = wire.parameters.add(name=parameter.name, type=_basic(parameter.datatype))
        _write_cell(added, parameter.datatype, parameter.value)
    _write_metrics(wire.metrics, value.metrics, depth)


def _write_property(wire: Wire, each: Property, depth: int) -> None:
    datatype, value = each
    if datatype is None:
        raise EncodeError("a property needs its datatype")
    wire.type = datatype
    if value is None:
        wire.is_null = True
    elif datatype is DataType.PROPERTY_SET:
        _write_property_set(wire.propertyset_value, value, depth - 1)
    elif datatype is DataType.PROPERTY_SET_LIST and isinstance(value, tuple):
        wire.propertysets_value.SetInParent()
        for one in value:
            _write_property_set(wire.propertysets_value.propertyset.add(), one, depth - 1)
    else:
        field, write = PLAIN_WRITERS[_basic(datatype)]
        setattr(wire, field, write(value))


def _write_property_set(wire: Wire, value: object, depth: int) -> None:
    if not isinstance(value, Mapping):
        raise EncodeError(f"{value!r} is no property set")
    write_properties(wire, value, depth)
