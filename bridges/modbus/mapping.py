"""Modbus in pure terms: which requests to send, and what their replies say about the tags.

Owns the packing of addresses into requests, the decoding of registers and the words for exception
replies. Knows no socket, no clock and no Modbus library.
"""

import struct
from collections.abc import Iterable, Mapping, Sequence
from math import floor, isclose, isfinite
from typing import Final, NamedTuple

from bridges.modbus.config import (
    BIT_TABLES,
    DataType,
    ModbusSettings,
    ModbusSource,
    Table,
    WordOrder,
)
from bridges.modbus.errors import UnreadableError, UnwritableError
from uns.model.observation import Reading, Scalar
from uns.model.plant import Place

BITS_PER_REGISTER: Final = 16

# Modbus Application Protocol V1.1b3, section 7.
EXCEPTIONS: Final = {
    1: "illegal function",
    2: "illegal data address",
    3: "illegal data value",
    4: "server device failure",
    5: "acknowledge, still working",
    6: "server device busy",
    8: "memory parity error",
    10: "gateway path unavailable",
    11: "gateway target device failed to respond",
}
ABOUT_ADDRESSES: Final = frozenset({2, 3})
_FORMATS: Final[dict[DataType, str]] = {
    "uint16": ">H",
    "int16": ">h",
    "uint32": ">I",
    "int32": ">i",
    "uint64": ">Q",
    "int64": ">q",
    "float32": ">f",
    "float64": ">d",
}

WRITABLE_TABLES: Final = frozenset({"coil", "holding"})
_FLOATS: Final = frozenset({"float32", "float64"})
_PRECISION: Final[dict[DataType, float]] = {"float32": 1e-6}


class Point(NamedTuple):
    """A tag and where the device keeps it."""

    cell: str
    tag: str
    source: ModbusSource

    @property
    def start(self) -> int:
        """The first address of the value."""
        return self.source.address

    @property
    def end(self) -> int:
        """The address behind the value."""
        return self.source.address + self.source.width


class Block(NamedTuple):
    """One request: `size` addresses of a table from `start`, and the tags it answers."""

    table: Table
    start: int
    size: int
    points: tuple[Point, ...]

    @property
    def end(self) -> int:
        """The address behind the block."""
        return self.start + self.size


class Refusal(NamedTuple):
    """An exception reply. The device answers, but not with values."""

    code: int

    @property
    def reason(self) -> str:
        """The code in words."""
        return f"{EXCEPTIONS.get(self.code, 'unknown')} (exception {self.code})"


def points_of(places: Mapping[str, Place]) -> list[Point]:
    """Every tag of the cells with its address; the sources were checked with namespace.yaml."""
    return [
        Point(path, name, ModbusSource.model_validate(tag.source))
        for path, place in places.items()
        for name, tag in place.cell.tags.items()
    ]


def plan(points: Iterable[Point], settings: ModbusSettings) -> list[Block]:
    """The fewest requests that read every point within the limits of the settings.

    From the lowest address on, a block takes what still fits; for intervals on a line no other
    choice needs fewer. A bit table holds 16 times as many addresses in the same reply. A value is
    never split: one wider than the limit makes a wider request.
    """
    blocks = list[Block]()
    for point in sorted(points, key=lambda p: (p.source.table, p.start, -p.end)):
        if blocks and _fits(blocks[-1], point, settings):
            blocks[-1] = _block((*blocks[-1].points, point))
        else:
            blocks.append(_block((point,)))
    return blocks


def _fits(block: Block, point: Point, settings: ModbusSettings) -> bool:
    if block.table != point.source.table:
        return False
    factor = BITS_PER_REGISTER if block.table in BIT_TABLES else 1
    room = settings.block_registers_max * factor
    gap = settings.gap_registers_max * factor
    near = point.start - block.end <= gap
    return point.end <= block.end or (near and point.end - block.start <= room)


def _block(points: tuple[Point, ...]) -> Block:
    start = min(point.start for point in points)
    end = max(point.end for point in points)
    return Block(points[0].source.table, start, end - start, points)


def halves(block: Block) -> tuple[Block, Block]:
    """Two requests for one, to find out which of several addresses the device does not have."""
    middle = len(block.points) // 2
    return _block(block.points[:middle]), _block(block.points[middle:])


def readings(
    block: Block, reply: Sequence[int] | Refusal, word_order: WordOrder, at_ms: int
) -> list[Reading]:
    """What a reply says about each tag of the block.

    reply: `size` registers (0 to 65535) or bits, or the exception that came instead.
    """
    if isinstance(reply, Refusal):
        return [_bad(point, at_ms, reply.reason) for point in block.points]
    return [
        _reading(
            point, reply[point.start - block.start : point.end - block.start], word_order, at_ms
        )
        for point in block.points
    ]


def _reading(point: Point, raw: Sequence[int], word_order: WordOrder, at_ms: int) -> Reading:
    try:
        return Reading(point.cell, point.tag, decode(point.source, raw, word_order), at_ms)
    except UnreadableError as error:
        return _bad(point, at_ms, str(error))


def _bad(point: Point, at_ms: int, reason: str) -> Reading:
    return Reading(point.cell, point.tag, None, at_ms, "bad", reason)


def decode(source: ModbusSource, raw: Sequence[int], word_order: WordOrder) -> Scalar:
    """The value of `source.width` registers or bits; UnreadableError if they hold none.

    The bytes of a register are big-endian, as the standard has it. The word order is about
    numbers: the characters of a string stand in reading order on every device.
    """
    if source.type == "bool":
        return bool(raw[0])
    if source.type == "string":
        return _text(struct.pack(f">{len(raw)}H", *raw)[: source.length])
    words = raw if word_order == "big" else raw[::-1]
    (number,) = struct.unpack(_FORMATS[source.type], struct.pack(f">{len(raw)}H", *words))
    if source.type == "float32":
        number = _shortest(number)
    return _scaled(number, source)


def encode(source: ModbusSource, value: Scalar, word_order: WordOrder) -> list[int]:
    """The registers (or the bit) that `decode` reads as the value; UnwritableError if none do.

    Nothing is rounded: a value between two steps of the scale is refused, with the nearest one.
    """
    if source.table not in WRITABLE_TABLES:
        raise UnwritableError(f"the table '{source.table}' of a device can only be read")
    words = _words(source, value)
    raw = words if word_order == "big" or source.type == "string" else words[::-1]
    nearest = decode(source, raw, word_order)
    if not _agree(source, nearest, value):
        raise UnwritableError(f"{value!r} does not fit a {source.type}; the nearest is {nearest!r}")
    return raw


def _words(source: ModbusSource, value: Scalar) -> list[int]:
    """The registers of a value, the high word first."""
    match value:
        case bool() if source.type == "bool":
            return [int(value)]
        case str() if source.type == "string":
            encoded = value.encode().ljust(2 * source.width, b"\0")
        case int() | float() if source.type in _FORMATS and not isinstance(value, bool):
            encoded = _packed(source, value)
        case _:
            raise UnwritableError(f"{value!r} is no {source.type}")
    if len(encoded) > 2 * source.width:
        raise UnwritableError(f"{value!r} is longer than {source.length} bytes")
    return list(struct.unpack(f">{source.width}H", encoded))


def _packed(source: ModbusSource, value: float) -> bytes:
    raw = (value - source.offset) / source.scale if _is_scaled(source) else value
    try:
        return struct.pack(_FORMATS[source.type], raw if source.type in _FLOATS else round(raw))
    except (struct.error, OverflowError):
        raise UnwritableError(f"{value!r} is beyond the range of a {source.type}") from None


def _agree(source: ModbusSource, one: Scalar, other: Scalar) -> bool:
    if isinstance(one, str | bool) or isinstance(other, str | bool) or None in (one, other):
        return one == other
    return isclose(one or 0, other or 0, rel_tol=_PRECISION.get(source.type, 1e-12))


def written_back(
    point: Point, wanted: Sequence[int], shown: Sequence[int], word_order: WordOrder
) -> Scalar:
    """The value a device holds after a write; UnwritableError when it is not the wanted one."""
    value = decode(point.source, shown, word_order)
    if value != decode(point.source, wanted, word_order):
        raise UnwritableError(f"the device took it, but shows {value!r} afterwards")
    return value


def block_of(point: Point) -> Block:
    """The request that reads one value."""
    return _block((point,))


def _text(encoded: bytes) -> str:
    """Up to the first NUL, without blanks around: behind a NUL stands what was there before."""
    try:
        text = encoded.partition(b"\0")[0].decode().strip()
    except UnicodeDecodeError:
        raise UnreadableError(f"no UTF-8 text: {encoded.hex(' ')}") from None
    if not text.isprintable():
        raise UnreadableError(f"unprintable text: {encoded.hex(' ')}")
    return text


def _scaled(number: float, source: ModbusSource) -> float:
    if _is_scaled(source):
        number = float(f"{number * source.scale + source.offset:.12g}")
    if not isfinite(number):
        raise UnreadableError(f"the {source.type} is {number}, no number")
    return number


def _is_scaled(source: ModbusSource) -> bool:
    return (source.scale, source.offset) != (1.0, 0.0)


def _shortest(value: float) -> float:
    """The shortest decimal that is the same 32-bit float: 71.3, not 71.30000305175781."""
    if not isfinite(value):
        return value
    single = struct.pack(">f", value)
    decimals = (float(f"{value:.{digits}g}") for digits in range(6, 10))
    return next(decimal for decimal in decimals if struct.pack(">f", decimal) == single)


def changed(known: Mapping[tuple[str, str], Reading], batch: Iterable[Reading]) -> list[Reading]:
    """The readings that say something new about their tag; a later time alone is nothing new.

    known: the last reading by (cell, tag).
    """
    return [r for r in batch if _said(r) != _said(known.get((r.cell, r.tag)))]


def _said(reading: Reading | None) -> tuple[Scalar, str, str | None] | None:
    return (reading.value, reading.quality, reading.reason) if reading else None


def next_due_s(due_s: float, now_s: float, period_s: float) -> float:
    """The next beat after now in the rhythm of `due_s`; beats that have passed are skipped."""
    return due_s + period_s * max(1, floor((now_s - due_s) / period_s) + 1)
