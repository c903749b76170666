"""OPC UA in pure terms: what a data value of the server says about a tag.

Owns the meaning of status codes, timestamps and built-in types (OPC UA part 4, 7.38 and 7.11;
part 6, 5.1.2). Knows no socket, no clock and no OPC UA library: the caller takes its values apart.
"""

import struct
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from math import isfinite
from typing import Any, Final, NamedTuple

from bridges.opcua.config import OpcUaSource
from bridges.opcua.errors import UnwritableError
from uns.model.observation import Quality, Reading, Scalar
from uns.model.plant import Place

EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_SEVERITY_SHIFT: Final = 30
_QUALITIES: Final[tuple[Quality, ...]] = ("good", "uncertain", "bad", "bad")


class Address(NamedTuple):
    """A tag and the identifier of its node, without the namespace: `s=Saw.State`."""

    cell: str
    tag: str
    node: str


class Sample(NamedTuple):
    """A data value taken apart.

    type_name: the built-in type, `Int32`; None where the server sent no value.
    status: the 32 bits of the status code, and the name it has in the standard.
    """

    value: Any
    type_name: str | None
    status: int
    status_name: str
    source_at: datetime | None
    server_at: datetime | None


def addresses_of(places: Mapping[str, Place]) -> list[Address]:
    """Every tag of the cells with its node; the sources were checked with namespace.yaml."""
    return [
        Address(path, name, OpcUaSource.model_validate(tag.source).node)
        for path, place in places.items()
        for name, tag in place.cell.tags.items()
    ]


def reading(address: Address, sample: Sample, now_ms: int) -> Reading:
    """What a sample says: with the source's time, else the server's, else `now_ms`.

    A bad status or a value that no tag can hold leaves no value, so that nothing looks live.
    """
    at_ms = _ms(sample.source_at) or _ms(sample.server_at) or now_ms
    quality = _QUALITIES[sample.status >> _SEVERITY_SHIFT]
    if quality == "bad":
        return unreadable(address, sample.status_name, at_ms)
    read = _TYPES.get(sample.type_name or "")
    if read is None or isinstance(sample.value, list):
        return unreadable(address, _kind(sample), at_ms)
    value = read(sample.value)
    if value is None:
        return unreadable(address, f"the {sample.type_name} is {sample.value}, no value", at_ms)
    reason = None if quality == "good" else sample.status_name
    return Reading(address.cell, address.tag, value, at_ms, quality, reason)


def unreadable(address: Address, reason: str, at_ms: int) -> Reading:
    """The bad reading of a tag that has no value, with the reason."""
    return Reading(address.cell, address.tag, None, at_ms, "bad", reason)


def _ms(at: datetime | None) -> int | None:
    """Milliseconds since 1970. Servers send 1601 for "no time", and so do we take it."""
    if at is None:
        return None
    aware = at if at.tzinfo else at.replace(tzinfo=UTC)
    return (aware - EPOCH) // timedelta(milliseconds=1) if aware > EPOCH else None


def _kind(sample: Sample) -> str:
    if sample.type_name is None:
        return "the server sent no value"
    if isinstance(sample.value, list):
        return f"an array of {sample.type_name}: a tag holds a number, a text or a boolean"
    return f"of type {sample.type_name}: a tag holds a number, a text or a boolean"


def _number(value: Any) -> Scalar:
    return value if isinstance(value, int | float) and isfinite(value) else None


def _single(value: Any) -> Scalar:
    """The shortest decimal that is the same 32-bit float: 71.3, not 71.30000305175781."""
    if _number(value) is None:
        return None
    single = struct.pack(">f", value)
    decimals = (float(f"{value:.{digits}g}") for digits in range(6, 10))
    return next(decimal for decimal in decimals if struct.pack(">f", decimal) == single)


def _text(value: Any) -> Scalar:
    """A null string is an empty one: "no order" must clear the order, not keep the old one."""
    return value or ""


_INTEGER_RANGES: Final[dict[str, tuple[int, int]]] = {
    "SByte": (-(2**7), 2**7 - 1),
    "Byte": (0, 2**8 - 1),
    "Int16": (-(2**15), 2**15 - 1),
    "UInt16": (0, 2**16 - 1),
    "Int32": (-(2**31), 2**31 - 1),
    "UInt32": (0, 2**32 - 1),
    "Int64": (-(2**63), 2**63 - 1),
    "UInt64": (0, 2**64 - 1),
}
FLOAT_MAX: Final = 3.4028234663852886e38
_FLOATS: Final = frozenset({"Float", "Double"})
_TYPES: Final[dict[str, Callable[[Any], Scalar]]] = {
    "Boolean": _number,
    **dict.fromkeys(_INTEGER_RANGES, _number),
    "Float": _single,
    "Double": _number,
    "String": _text,
}


def writable_value(value: Scalar, type_name: str | None) -> Scalar:
    """A value as a node of a built-in type takes it (part 6, 5.1.2); UnwritableError if it cannot.

    71.0 is a 71 for an integer node; nothing is rounded or cut.
    """
    if type_name in _INTEGER_RANGES:
        return _integer(value, type_name)
    if type_name not in _TYPES:
        raise UnwritableError(f"a node of type {type_name} is not written by this bridge")
    if type_name in _FLOATS:
        return _floating(value, type_name)
    if not isinstance(value, bool if type_name == "Boolean" else str):
        raise UnwritableError(f"{value!r} is no {type_name}")
    return value


def same_value(one: Scalar, other: Scalar, type_name: str | None) -> bool:
    """Whether two values are the same one to a node of a type."""
    read = _TYPES.get(type_name or "")
    return read is not None and read(one) == read(other)


def _integer(value: Scalar, type_name: str) -> int:
    low, high = _INTEGER_RANGES[type_name]
    if isinstance(value, bool | str) or value is None or value != int(value):
        raise UnwritableError(f"{value!r} is no {type_name}")
    if not low <= value <= high:
        raise UnwritableError(f"{value!r} is outside {low} to {high}, the range of {type_name}")
    return int(value)


def _floating(value: Scalar, type_name: str) -> float:
    if isinstance(value, bool | str) or value is None:
        raise UnwritableError(f"{value!r} is no {type_name}")
    if type_name == "Float" and abs(value) > FLOAT_MAX:
        raise UnwritableError(f"{value!r} is beyond the range of Float")
    return float(value)
