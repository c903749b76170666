"""What registers mean: values from registers and bits, and registers from values.

Owns every layout of a value: types, bits, byte and word order, scale and offset. Knows no
requests, no socket and no clock. Sources come with the settings' orders filled in.
"""

import struct
from collections.abc import Callable, Sequence
from decimal import Decimal
from functools import lru_cache
from math import isclose, isfinite
from typing import Final, NamedTuple

from bridges.modbus.config import BIT_TABLES, WRITABLE_TABLES, DataType, ModbusSource
from bridges.modbus.errors import UnreadableError, UnwritableError
from uns.model.observation import Scalar

WRITE_COIL: Final = 5
WRITE_REGISTER: Final = 6
WRITE_COILS: Final = 15
WRITE_REGISTERS: Final = 16
MASK_WRITE: Final = 22

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
_DIGITS: Final[dict[DataType, int]] = {"bcd16": 4, "bcd32": 8}
_FLOATS: Final = frozenset({"float32", "float64"})
_PRECISION: Final[dict[DataType, float]] = {"float32": 1e-6}
_REGISTER_MASK: Final = 0xFFFF


class Write(NamedTuple):
    """One write request: the values of `function` from `address` on.

    values: coils (0 or 1) or registers; for function 22 the AND mask and the OR mask
    (Application Protocol V1.1b3, 6.16).
    """

    function: int
    address: int
    values: tuple[int, ...]


def decode(source: ModbusSource, raw: Sequence[int]) -> Scalar:
    """The value of `source.width` registers or bits; UnreadableError if they hold none."""
    if source.table in BIT_TABLES:
        return bool(raw[0])
    encoded = _bytes(source, raw)
    if source.type == "string":
        return _text(encoded[: source.length])
    if source.type == "bool":
        return bool(int.from_bytes(encoded) & _field(source))
    return _scaled(_number(source, encoded), source)


def encode(source: ModbusSource, value: Scalar) -> list[int]:
    """The registers (or the bit) that `decode` reads as the value; UnwritableError if none do.

    What the registers show may differ from a number by 1e-12 of it, of a float32 by 1e-6: floats
    have no more digits. A value further from every step is refused, with the nearest one. Bits of a
    register beside the value's own are 0.
    """
    if source.table not in WRITABLE_TABLES:
        raise UnwritableError(f"the table '{source.table}' of a device can only be read")
    raw = _raw(source, value)
    nearest = decode(source, raw)
    if not _agree(source, nearest, value):
        raise UnwritableError(f"{value!r} does not fit a {source.type}; the nearest is {nearest!r}")
    return raw


def mask_of(source: ModbusSource) -> int | None:
    """Which bits of its register the value takes, on the wire; None if it takes whole registers."""
    if source.bit is None and source.bits is None:
        return None
    (mask,) = _registers(source, _field(source).to_bytes(2))
    return mask


def write_of(source: ModbusSource, raw: Sequence[int], *, single: bool) -> Write:
    """The request that writes encoded values; bits of a register go by a mask (function 22).

    single: the device has functions 5 and 6.
    """
    if (mask := mask_of(source)) is not None:
        return Write(MASK_WRITE, source.address, (~mask & _REGISTER_MASK, raw[0]))
    many, one = WRITE_REGISTERS, WRITE_REGISTER
    if source.table == "coil":
        many, one = WRITE_COILS, WRITE_COIL
    return Write(one if single and len(raw) == 1 else many, source.address, tuple(raw))


def modified(source: ModbusSource, before: int, raw: Sequence[int], *, single: bool) -> Write:
    """The request that writes bits with the rest of their register as it was before."""
    mask = mask_of(source) or 0
    function = WRITE_REGISTER if single else WRITE_REGISTERS
    return Write(function, source.address, (before & ~mask & _REGISTER_MASK | raw[0],))


def _bytes(source: ModbusSource, raw: Sequence[int]) -> bytes:
    """The bytes of a value, the high one first; characters stand in reading order anyway."""
    return struct.pack(f"{_byte_order(source)}{len(raw)}H", *_words(source, raw))


def _registers(source: ModbusSource, encoded: bytes) -> list[int]:
    words = struct.unpack(f"{_byte_order(source)}{len(encoded) // 2}H", encoded)
    return list(_words(source, words))


def _words(source: ModbusSource, words: Sequence[int]) -> Sequence[int]:
    return words[::-1] if source.word_order == "little" and source.type != "string" else words


def _byte_order(source: ModbusSource) -> str:
    return "<" if source.byte_order == "little" else ">"


def _field(source: ModbusSource) -> int:
    """The bits of a register that count, in the order of its value."""
    if source.bit is not None:
        return 1 << source.bit
    first, last = source.bits or (0, 15)
    return (1 << last + 1) - (1 << first)


def _number(source: ModbusSource, encoded: bytes) -> float:
    if source.type in _DIGITS:
        if not (digits := encoded.hex()).isdecimal():
            raise UnreadableError(f"no decimal digits: {encoded.hex(' ')}")
        return int(digits)
    if source.bits:
        return (int.from_bytes(encoded) & _field(source)) >> source.bits[0]
    number: float = struct.unpack(_FORMATS[source.type], encoded)[0]
    return _shortest(number) if source.type == "float32" else number


def _raw(source: ModbusSource, value: Scalar) -> list[int]:
    match value:
        case bool() if source.type == "bool":
            if source.table in BIT_TABLES:
                return [int(value)]
            bit = 1 << (source.bit or 0)
            return _registers(source, (bit if value else 0).to_bytes(2))
        case str() if source.type == "string":
            return _registers(source, _padded(source, value))
        case int() | float() if source.type not in ("bool", "string") and type(value) is not bool:
            return _registers(source, _packed(source, value))
        case _:
            raise UnwritableError(f"{value!r} is no {source.type}")


def _padded(source: ModbusSource, text: str) -> bytes:
    encoded = text.encode().ljust(2 * source.width, b"\0")
    if len(encoded) > 2 * source.width:
        raise UnwritableError(f"{text!r} is longer than {source.length} bytes")
    return encoded


def _packed(source: ModbusSource, value: float) -> bytes:
    if not isfinite(value):
        raise UnwritableError(f"{value!r} is no number that a device can hold")
    raw = _unscaled(value, source)
    pack: Callable[[ModbusSource, int], bytes] = _pack_number
    if source.type in _DIGITS:
        pack = _pack_digits
    elif source.bits:
        pack = _pack_bits
    try:
        if source.type in _FLOATS:
            return struct.pack(_FORMATS[source.type], raw)
        return pack(source, round(raw))
    except (struct.error, OverflowError):
        raise UnwritableError(f"{value!r} is beyond the range of a {_name(source)}") from None


def _pack_number(source: ModbusSource, raw: int) -> bytes:
    return struct.pack(_FORMATS[source.type], raw)


def _pack_digits(source: ModbusSource, raw: int) -> bytes:
    digits = _DIGITS[source.type]
    if not 0 <= raw < 10**digits:
        raise OverflowError
    return bytes.fromhex(f"{raw:0{digits}}")


def _pack_bits(source: ModbusSource, raw: int) -> bytes:
    field = _field(source)
    shifted = raw << (source.bits or (0, 0))[0]
    if raw < 0 or shifted & ~field:
        raise OverflowError
    return shifted.to_bytes(2)


def _name(source: ModbusSource) -> str:
    if source.bits:
        return f"field of {source.bits[1] - source.bits[0] + 1} bits"
    return source.type


def _agree(source: ModbusSource, one: Scalar, other: Scalar) -> bool:
    if isinstance(one, str | bool) or isinstance(other, str | bool) or None in (one, other):
        return one == other
    return isclose(one or 0, other or 0, rel_tol=_PRECISION.get(source.type, 1e-12))


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
    """In decimal arithmetic, so that 3 * 0.1 is 0.3 and a 64-bit counter keeps its digits."""
    if not isfinite(number):
        raise UnreadableError(f"the {source.type} is {number}, no number")
    if not _is_scaled(source):
        return number
    scaled = float(_exact(number) * _factor(source.scale) + _factor(source.offset))
    if not isfinite(scaled):
        raise UnreadableError(f"the {source.type} is too large for its scale")
    return scaled


def _unscaled(value: float, source: ModbusSource) -> float | Decimal:
    if not _is_scaled(source):
        return value
    return (_exact(value) - _factor(source.offset)) / _factor(source.scale)


def _is_scaled(source: ModbusSource) -> bool:
    return (source.scale, source.offset) != (1.0, 0.0)


def _exact(number: float) -> Decimal:
    return Decimal(repr(number))


_factor: Final = lru_cache(maxsize=1_024)(_exact)


def _shortest(value: float) -> float:
    """The shortest decimal that is the same 32-bit float: 71.3, not 71.30000305175781."""
    if not isfinite(value):
        return value
    single = struct.pack(">f", value)
    decimals = (float(f"{value:.{digits}g}") for digits in range(6, 10))
    return next(decimal for decimal in decimals if struct.pack(">f", decimal) == single)
