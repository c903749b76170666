"""OPC UA in pure terms: what a data value of the server says about a tag.

Owns the meaning of status codes, timestamps, built-in types and parts of values (OPC UA part 4,
7.38 and 7.11; part 6, 5.1.2). Knows no socket, no clock and no OPC UA library: the caller takes
its values apart.
"""

import struct
from base64 import b64encode
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from math import isfinite
from typing import Any, Final, NamedTuple
from uuid import UUID

from bridges.opcua.config import OpcUaSettings, OpcUaSource
from bridges.opcua.errors import UnreadableError, UnwritableError
from uns.model.observation import Quality, Reading, Scalar
from uns.model.plant import Place

EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
NO_TIME: Final = datetime(1601, 1, 1, tzinfo=UTC)
OVERFLOW_BITS: Final = 0x0480
"""The info bits of a data value (0x0400) say that its queue overflowed (part 4, 7.38.1)."""
LOST_BEFORE: Final = "Overflow: values before this one are lost"
MAYBE_LOST_BEFORE: Final = "its clock went back: values before this one may be lost"
_SEVERITY_SHIFT: Final = 30
_QUALITIES: Final[tuple[Quality, ...]] = ("good", "uncertain", "bad", "bad")
Steps = tuple[int | str, ...]


class Address(NamedTuple):
    """A tag and where it is read: the node without its namespace, `s=Saw.State`, and the steps.

    is_recorded: every value counts, also one that is read later from the server's history.
    """

    cell: str
    tag: str
    node: str
    steps: Steps = ()
    is_recorded: bool = False


class Item(NamedTuple):
    """What the server is asked to monitor: one node, for all the tags that read it."""

    namespace_uri: str
    node: str
    sampling_interval_ms: int
    queue_size: int
    addresses: tuple[Address, ...]


class Sample(NamedTuple):
    """A data value taken apart.

    value: plain Python; a structure is a mapping, an array a list, and what could not be decoded
        an UnreadableError.
    type_name: the built-in type, `Int32`; None where the server sent no value.
    status: the 32 bits of the status code, and the name it has in the standard.
    """

    value: Any
    type_name: str | None
    status: int
    status_name: str
    source_at: datetime | None
    server_at: datetime | None

    @property
    def at(self) -> datetime | None:
        """When the value was so: by the source's clock, else by the server's."""
        known = (_aware(at) for at in (self.source_at, self.server_at))
        return next((at for at in known if at is not None), None)

    @property
    def is_bad(self) -> bool:
        """The server says that there is no value to use."""
        return _QUALITIES[self.status >> _SEVERITY_SHIFT] == "bad"

    @property
    def is_after_loss(self) -> bool:
        """Values before this one did not fit into its queue."""
        return self.status & OVERFLOW_BITS == OVERFLOW_BITS


def items_of(settings: OpcUaSettings, places: Mapping[str, Place]) -> list[Item]:
    """What to monitor for the tags of the cells, in their order: one item a node.

    The sources were checked with namespace.yaml. The fastest sampling and the longest queue that
    the tags of a node ask for count.
    """
    items: dict[tuple[str, str], Item] = {}
    for path, place in places.items():
        for name, tag in place.cell.tags.items():
            source = OpcUaSource.model_validate(tag.source)
            address = Address(path, name, source.node, source.steps, tag.record == "every")
            item = Item(
                source.namespace_uri or settings.namespace_uri,
                source.node,
                source.sampling_interval_ms or settings.sampling_interval_ms,
                source.queue_size or settings.queue_size,
                (address,),
            )
            known = items.get(item[:2])
            items[item[:2]] = _joined(known, item) if known else item
    return list(items.values())


def _joined(one: Item, other: Item) -> Item:
    return one._replace(
        sampling_interval_ms=min(one.sampling_interval_ms, other.sampling_interval_ms),
        queue_size=max(one.queue_size, other.queue_size),
        addresses=one.addresses + other.addresses,
    )


def reading(address: Address, sample: Sample, now_ms: int) -> Reading:
    """What a sample says: with the source's time, else the server's, else `now_ms`.

    A bad status or a value that no tag can hold leaves no value, so that nothing looks live.
    """
    at_ms = _ms(sample.at) or now_ms
    quality = _QUALITIES[sample.status >> _SEVERITY_SHIFT]
    if quality == "bad":
        return unreadable(address, sample.status_name, at_ms)
    try:
        value = shown(part_of(sample.value, address.steps), sample.type_name)
    except UnreadableError as error:
        return unreadable(address, str(error), at_ms)
    reason = None if quality == "good" else sample.status_name
    return Reading(address.cell, address.tag, value, at_ms, quality, reason)


def part_of(value: Any, steps: Steps) -> Any:
    """The part of a value at the end of the steps; UnreadableError where there is none."""
    for step in steps:
        if isinstance(value, UnreadableError):
            raise value
        if isinstance(step, int):
            if not isinstance(value, list):
                raise UnreadableError(f"[{step}]: the value is no array")
            if step >= len(value):
                raise UnreadableError(f"[{step}]: the array has {len(value)} elements")
        elif not isinstance(value, Mapping):
            raise UnreadableError(f"{step}: the value is no structure")
        elif step not in value:
            raise UnreadableError(f"no field {step} among {', '.join(value)}")
        value = value[step]
    return value


def shown(value: Any, type_name: str | None) -> Scalar:
    """A value, or a part of one, as a tag holds it; UnreadableError if no tag can."""
    if isinstance(value, UnreadableError):
        raise value
    if type_name is None:
        raise UnreadableError("the server sent no value")
    if value is None and type_name in _NULLABLE:
        return ""
    show = _SHOWN.get(type(value))
    if show is None:
        raise UnreadableError(_kind(value, type_name))
    scalar = _single(value) if type_name == "Float" else show(value)
    if scalar is None:
        raise UnreadableError(f"the {type_name} is {value}, no value")
    return scalar


def unreadable(address: Address, reason: str, at_ms: int) -> Reading:
    """The bad reading of a tag that has no value, with the reason."""
    return Reading(address.cell, address.tag, None, at_ms, "bad", reason)


def _aware(at: datetime | None) -> datetime | None:
    """A time with its zone. Servers send 1601 for "no time", and so do we take it."""
    if at is None:
        return None
    aware = at if at.tzinfo else at.replace(tzinfo=UTC)
    return aware if aware > EPOCH else None


def _ms(at: datetime | None) -> int | None:
    return None if at is None else (at - EPOCH) // timedelta(milliseconds=1)


def _kind(value: Any, type_name: str) -> str:
    if isinstance(value, list):
        return f"an array of {type_name}: say which element with 'path'"
    if isinstance(value, Mapping):
        return f"a structure of {', '.join(value)}: say which field with 'path'"
    if value is None:
        return f"the {type_name} is None, no value"
    return f"of type {type_name}: a tag holds a number, a text or a boolean"


def _number(value: Any) -> Scalar:
    return value if isinstance(value, int | float) and isfinite(value) else None


def _time(value: datetime) -> str:
    """ISO 8601 in UTC; 1601, which means "none" (part 6, 5.2.2.5), is an empty text."""
    aware = value if value.tzinfo else value.replace(tzinfo=UTC)
    return "" if aware <= NO_TIME else aware.astimezone(UTC).isoformat().replace("+00:00", "Z")


def _utf8(value: str) -> str:
    """A text. Bytes that are not UTF-8, as of a Latin-1 device, come as halves of surrogates."""
    try:
        value.encode()
    except UnicodeEncodeError as error:
        raise UnreadableError("the text is not UTF-8") from error
    return value


class Single(float):
    """A number that came as a 32-bit float."""


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
_SHOWN: Final[dict[type, Callable[[Any], Scalar]]] = {
    bool: _number,
    int: _number,
    float: _number,
    Single: _single,
    str: _utf8,
    datetime: _time,
    UUID: str,
    bytes: lambda value: b64encode(value).decode(),
}
_NULLABLE: Final = frozenset({"String", "ByteString", "XmlElement", "LocalizedText"})
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
    if isinstance(value, float) and not isfinite(value):
        raise UnwritableError(f"{value!r} is no number to write")
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
