"""Owns the data types of Sparkplug B (specification 3.0, 6.4.16): value <-> protobuf field.

Plain types and arrays only; DataSet, Template and property sets nest and are composed in
`reading` and `writing`. A reader takes any message with a `value` oneof (Metric, DataSetValue,
Parameter, PropertyValue) and gives the value or raises DecodeError; a writer gives what the field
takes or raises EncodeError. Python values: int (DateTime too: ms since 1970), float, bool, str,
bytes, and tuples of those for arrays.

Signed integers travel in unsigned fields as two's complement. Read: of their own width, or
sign-extended to 32 or 64 bits. Written: extended to the field's width, because decoders that
truncate read that right, while some take a narrow -87 for 169. An integer is read from either
integer field. UInt32 is written to long_value: the text says uint32, but the conformance kit and
the decoders derived from the reference implementation look there, and some nowhere else.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping
from enum import IntEnum
from operator import attrgetter
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from uns.sparkplug.errors import DecodeError, EncodeError

if TYPE_CHECKING:
    from uns.sparkplug.schema import Wire

PlainValue: TypeAlias = (
    bool
    | int
    | float
    | str
    | bytes
    | tuple[bool, ...]
    | tuple[int, ...]
    | tuple[float, ...]
    | tuple[str, ...]
)
Reader: TypeAlias = Callable[["Wire"], PlainValue]
Writer: TypeAlias = Callable[[Any], bool | int | float | str | bytes]


class DataType(IntEnum):
    """The numbers are the specification's."""

    INT8 = 1
    INT16 = 2
    INT32 = 3
    INT64 = 4
    UINT8 = 5
    UINT16 = 6
    UINT32 = 7
    UINT64 = 8
    FLOAT = 9
    DOUBLE = 10
    BOOLEAN = 11
    STRING = 12
    DATETIME = 13
    TEXT = 14
    UUID = 15
    DATASET = 16
    BYTES = 17
    FILE = 18
    TEMPLATE = 19
    PROPERTY_SET = 20
    PROPERTY_SET_LIST = 21
    INT8_ARRAY = 22
    INT16_ARRAY = 23
    INT32_ARRAY = 24
    INT64_ARRAY = 25
    UINT8_ARRAY = 26
    UINT16_ARRAY = 27
    UINT32_ARRAY = 28
    UINT64_ARRAY = 29
    FLOAT_ARRAY = 30
    DOUBLE_ARRAY = 31
    BOOLEAN_ARRAY = 32
    STRING_ARRAY = 33
    DATETIME_ARRAY = 34


_INTEGER_FIELDS: Final[Mapping[str, int]] = MappingProxyType(
    {"int_value": 2**32, "long_value": 2**64}
)

_INTEGERS: Final[Mapping[DataType, tuple[str, int, int]]] = MappingProxyType(
    {
        DataType.INT8: ("int_value", -(2**7), 2**7 - 1),
        DataType.INT16: ("int_value", -(2**15), 2**15 - 1),
        DataType.INT32: ("int_value", -(2**31), 2**31 - 1),
        DataType.INT64: ("long_value", -(2**63), 2**63 - 1),
        DataType.UINT8: ("int_value", 0, 2**8 - 1),
        DataType.UINT16: ("int_value", 0, 2**16 - 1),
        DataType.UINT32: ("long_value", 0, 2**32 - 1),
        DataType.UINT64: ("long_value", 0, 2**64 - 1),
        DataType.DATETIME: ("long_value", 0, 2**64 - 1),
    }
)
_PACKED: Final = MappingProxyType(
    {
        DataType.INT8_ARRAY: "b",
        DataType.INT16_ARRAY: "h",
        DataType.INT32_ARRAY: "i",
        DataType.INT64_ARRAY: "q",
        DataType.UINT8_ARRAY: "B",
        DataType.UINT16_ARRAY: "H",
        DataType.UINT32_ARRAY: "I",
        DataType.UINT64_ARRAY: "Q",
        DataType.FLOAT_ARRAY: "f",
        DataType.DOUBLE_ARRAY: "d",
        DataType.DATETIME_ARRAY: "Q",
    }
)


def datatype_of(number: int) -> DataType:
    """Name a data type by its number, or raise DecodeError."""
    try:
        return DataType(number)
    except ValueError:
        raise DecodeError(f"{number} is no data type") from None


def _mismatch(wire: Wire, wanted: str) -> DecodeError:
    return DecodeError(f"needs {wanted}, carries {wire.WhichOneof('value') or 'no value'}")


# --- integers


def _integer_reader(field: str, low: int, high: int) -> Reader:
    raw_of = attrgetter(field)
    modulus = _INTEGER_FIELDS[field]

    def read(wire: Wire) -> int:
        raw: int = raw_of(wire)
        if 0 < raw <= high:
            return raw
        negative = raw - modulus
        return negative if negative >= low else _settle_integer(wire, low, high)

    return read


def _settle_integer(wire: Wire, low: int, high: int) -> int:
    """Read what is zero, negative, in the other field or wrong."""
    field = wire.WhichOneof("value")
    if field not in _INTEGER_FIELDS:
        raise _mismatch(wire, "an integer")
    raw: int = getattr(wire, field)
    if raw <= high:
        return raw
    for modulus in (high - low + 1, 2**32, 2**64):
        if low <= raw - modulus < 0:
            return raw - modulus
    raise DecodeError(f"{raw} is not in {low}..{high}")


def _integer_writer(field: str, low: int, high: int) -> Writer:
    modulus = _INTEGER_FIELDS[field]

    def write(value: Any) -> int:
        if type(value) is not int or not low <= value <= high:
            raise EncodeError(f"{value!r} is no integer in {low}..{high}")
        encoded: int = value % modulus
        return encoded

    return write


# --- the other plain types: one field each


def _field_reader(field: str) -> Reader:
    value_of = attrgetter(field)

    def read(wire: Wire) -> PlainValue:
        value: PlainValue = value_of(wire)
        if value or wire.HasField(field):
            return value
        raise _mismatch(wire, field)

    return read


def _instance_writer(kind: type[bool | str | bytes]) -> Writer:
    def write(value: Any) -> bool | str | bytes:
        if not isinstance(value, kind):
            raise EncodeError(f"{value!r} is no {kind.__name__}")
        return value

    return write


def _double(value: Any) -> float:
    if type(value) is float:
        return value
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise EncodeError(f"{value!r} is no number")
    try:
        return float(value)
    except OverflowError:
        raise EncodeError("the integer is too large for a double") from None


def _single(value: Any) -> float:
    number = _double(value)
    try:
        struct.pack("<f", number)
    except OverflowError:
        raise EncodeError(f"{value!r} is too large for a single precision float") from None
    return number


# --- arrays: packed little-endian into bytes_value

_bytes_of: Final[Callable[[Wire], Any]] = _field_reader("bytes_value")


def _packed_reader(code: str) -> Reader:
    size = struct.calcsize(f"<{code}")

    def read(wire: Wire) -> tuple[Any, ...]:
        raw = _bytes_of(wire)
        count, rest = divmod(len(raw), size)
        if rest:
            raise DecodeError(f"{len(raw)} bytes are no array of {size} byte elements")
        return struct.unpack(f"<{count}{code}", raw)

    return read


def _packed_writer(code: str) -> Writer:
    def write(values: Any) -> bytes:
        _require_tuple(values)
        try:
            return struct.pack(f"<{len(values)}{code}", *values)
        except (struct.error, OverflowError) as error:
            raise EncodeError(f"array element: {error}") from None

    return write


def _read_booleans(wire: Wire) -> tuple[bool, ...]:
    """Read a uint32 count, then that many bits, most significant first."""
    raw = _bytes_of(wire)
    count = int.from_bytes(raw[:4], "little")
    bits = raw[4:]
    if len(raw) < struct.calcsize("<I") or len(bits) != (count + 7) // 8:
        raise DecodeError(f"{len(raw)} bytes are no array of {count} booleans")
    return tuple(bool(bits[place >> 3] & (0x80 >> (place & 7))) for place in range(count))


def _write_booleans(values: Any) -> bytes:
    _require_tuple(values)
    bits = bytearray((len(values) + 7) // 8)
    for place, value in enumerate(values):
        if not isinstance(value, bool):
            raise EncodeError(f"array element {value!r} is no bool")
        bits[place >> 3] |= value << (7 - (place & 7))
    return struct.pack("<I", len(values)) + bytes(bits)


def _read_strings(wire: Wire) -> tuple[str, ...]:
    raw = _bytes_of(wire)
    if not raw:
        return ()
    if raw[-1]:
        raise DecodeError("the last string of the array is not ended by NUL")
    try:
        return tuple(raw[:-1].decode().split("\0"))
    except UnicodeDecodeError:
        raise DecodeError("a string of the array is not UTF-8") from None


def _write_strings(values: Any) -> bytes:
    _require_tuple(values)
    if any(not isinstance(value, str) or "\0" in value for value in values):
        raise EncodeError("an array element is no string, or contains NUL")
    return "".join(f"{value}\0" for value in values).encode()


def _require_tuple(values: Any) -> None:
    if not isinstance(values, tuple):
        raise EncodeError(f"{values!r} is no tuple")


# --- the tables

_FIELDS: Final[dict[DataType, tuple[str, Writer]]] = {
    DataType.FLOAT: ("float_value", _single),
    DataType.DOUBLE: ("double_value", _double),
    DataType.BOOLEAN: ("boolean_value", _instance_writer(bool)),
    DataType.STRING: ("string_value", _instance_writer(str)),
    DataType.TEXT: ("string_value", _instance_writer(str)),
    DataType.UUID: ("string_value", _instance_writer(str)),
    DataType.BYTES: ("bytes_value", _instance_writer(bytes)),
    DataType.FILE: ("bytes_value", _instance_writer(bytes)),
}

PLAIN_READERS: Final[Mapping[DataType, Reader]] = MappingProxyType(
    {kind: _integer_reader(*row) for kind, row in _INTEGERS.items()}
    | {kind: _field_reader(field) for kind, (field, _) in _FIELDS.items()}
    | {kind: _packed_reader(code) for kind, code in _PACKED.items()}
    | {DataType.BOOLEAN_ARRAY: _read_booleans, DataType.STRING_ARRAY: _read_strings}
)
"""Plain types and arrays: how the value is read from its message."""

QUICK_FIELDS: Final[Mapping[DataType, tuple[str, int, int | None, int]]] = MappingProxyType(
    {kind: (*row, _INTEGER_FIELDS[row[0]]) for kind, row in _INTEGERS.items()}
    | {kind: (field, 0, None, 0) for kind, (field, _) in _FIELDS.items()}
)
"""The field whose content, when true, is the value itself; and low, high, modulus of an integer.

What is higher is a negative integer when it is not below low without the modulus. An absent or
false content and all else is for the type's reader.
"""

PLAIN_WRITERS: Final[Mapping[DataType, tuple[str, Writer]]] = MappingProxyType(
    {kind: (row[0], _integer_writer(*row)) for kind, row in _INTEGERS.items()}
    | _FIELDS
    | {kind: ("bytes_value", _packed_writer(code)) for kind, code in _PACKED.items()}
    | {
        DataType.BOOLEAN_ARRAY: ("bytes_value", _write_booleans),
        DataType.STRING_ARRAY: ("bytes_value", _write_strings),
    }
)
"""Plain types and arrays: the field, and what makes its content."""

BASIC_TYPES: Final = frozenset(DataType(number) for number in range(1, DataType.UUID + 1))
"""The types that a data set's cells, parameters and properties may have."""
