"""Law of every register layout, beside a reference that shares no code with it."""

import math
import struct
from decimal import Decimal
from typing import Any, Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridges.modbus.config import REGISTERS, ModbusSource
from bridges.modbus.errors import ModbusError
from bridges.modbus.layout import decode, encode, mask_of, modified, write_of

NUMBERS: Final = sorted(set(REGISTERS) - {"bool"})
FLOATS: Final = {"float32": "f", "float64": "d"}
ORDER: Final = st.sampled_from(["big", "little"])
SCALES: Final = st.sampled_from([1.0, 0.1, 0.01, -0.5, 10.0])
VALUES: Final = (
    st.integers(-(2**64), 2**65)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=20)
    | st.booleans()
)


@st.composite
def layouts(draw: st.DrawFn, kinds: tuple[str, ...] = tuple(NUMBERS)) -> ModbusSource:
    """A number in any layout, bit fields included."""
    kind = draw(st.sampled_from(kinds))
    keys: dict[str, Any] = {"type": kind, "address": 0}
    keys |= {"word_order": draw(ORDER), "byte_order": draw(ORDER)}
    if kind == "uint16" and draw(st.booleans()):
        keys["bits"] = sorted(draw(st.tuples(st.integers(0, 15), st.integers(0, 15))))
    return ModbusSource.model_validate(keys)


def wire(source: ModbusSource, first_high: bytes) -> list[int]:
    """The registers of a number's bytes, high one first: the reference for both orders."""
    pairs = [first_high[n : n + 2] for n in range(0, len(first_high), 2)]
    if source.word_order == "little":
        pairs.reverse()
    if source.byte_order == "little":
        pairs = [pair[::-1] for pair in pairs]
    return [pair[0] * 256 + pair[1] for pair in pairs]


def meaning(source: ModbusSource, first_high: bytes) -> float | None:
    """What a number's bytes mean, as the standard and the manuals say; None for nothing."""
    if source.type in FLOATS:
        number: float = struct.unpack(f">{FLOATS[source.type]}", first_high)[0]
        return number if math.isfinite(number) else None
    if source.type.startswith("bcd"):
        nibbles = [half for byte in first_high for half in divmod(byte, 16)]
        if max(nibbles) > 9:
            return None
        return int("".join(map(str, nibbles)))
    whole = int.from_bytes(first_high, signed=source.type.startswith("int"))
    if source.bits:
        low, high = source.bits
        return whole >> low & (1 << high - low + 1) - 1
    return whole


@given(source=layouts(), pick=st.data())
def test_registers_mean_what_the_reference_says(source: ModbusSource, pick: st.DataObject) -> None:
    size = 2 * source.width
    raw = pick.draw(st.binary(min_size=size, max_size=size))
    if source.type.startswith("bcd") and pick.draw(st.booleans()):
        raw = bytes(byte // 16 % 10 * 16 + byte % 10 for byte in raw)
    expected = meaning(source, raw)
    if expected is None:
        with pytest.raises(ModbusError):
            decode(source, wire(source, raw))
        return
    value = decode(source, wire(source, raw))
    assert isinstance(value, int | float)
    if source.type == "float32":
        assert struct.pack(">f", value) == raw
    else:
        assert (value, type(value)) == (expected, type(expected))


@given(source=layouts(), scale=SCALES, offset=st.sampled_from([0.0, -40.0, 0.5]), pick=st.data())
def test_scale_and_offset_are_exact_in_decimals(
    source: ModbusSource, scale: float, offset: float, pick: st.DataObject
) -> None:
    size = 2 * source.width
    raw = wire(source, pick.draw(st.binary(min_size=size, max_size=size)))
    scaled = source.model_copy(update={"scale": scale, "offset": offset})
    try:
        plain, value = decode(source, raw), decode(scaled, raw)
    except ModbusError:
        return
    expected = Decimal(str(plain)) * Decimal(str(scale)) + Decimal(str(offset))
    assert isinstance(value, int | float)
    assert float(value) == float(expected)


@given(source=layouts(), scale=SCALES, value=VALUES)
def test_what_is_encoded_is_decoded_or_refused(
    source: ModbusSource, scale: float, value: Any
) -> None:
    source = source.model_copy(update={"scale": scale})
    try:
        registers = encode(source, value)
    except ModbusError:
        return
    assert len(registers) == source.width
    assert all(0 <= register <= 0xFFFF for register in registers)
    close = 1e-6 if source.type == "float32" else 1e-9
    assert decode(source, registers) == pytest.approx(value, rel=close)


@given(
    value=VALUES, byte_order=ORDER, length=st.integers(1, 12), bit=st.none() | st.integers(0, 15)
)
def test_texts_and_flags_too(value: Any, byte_order: Any, length: int, bit: int | None) -> None:
    sources = (
        ModbusSource(address=0, type="string", length=length, byte_order=byte_order),
        ModbusSource(address=0, type="bool", bit=bit, byte_order=byte_order),
    )
    for source in sources:
        try:
            registers = encode(source, value)
        except ModbusError:
            continue
        assert decode(source, registers) == value
        if isinstance(value, str):
            text = b"".join(register.to_bytes(2, byte_order) for register in registers)
            assert text.rstrip(b"\0").decode() == value


@given(source=layouts(), scale=SCALES, pick=st.data())
def test_whatever_a_device_shows_can_be_written_again(
    source: ModbusSource, scale: float, pick: st.DataObject
) -> None:
    if source.type in FLOATS:
        scale = 1.0
    source = source.model_copy(update={"scale": scale})
    size = 2 * source.width
    raw = wire(source, pick.draw(st.binary(min_size=size, max_size=size)))
    try:
        value = decode(source, raw)
    except ModbusError:
        return
    if abs(float(value or 0)) > 2**50:
        return  # a 64-bit float has no room for all digits of a scaled 64-bit number
    assert decode(source, encode(source, value)) == value


@given(source=layouts(("uint16",)), before=st.integers(0, 0xFFFF), value=st.integers(0, 0xFFFF))
def test_a_field_is_written_without_touching_its_neighbours(
    source: ModbusSource, before: int, value: int
) -> None:
    if (mask := mask_of(source)) is None:
        return
    try:
        raw = encode(source, value)
    except ModbusError:
        return
    masks = write_of(source, raw, single=True).values
    by_mask = before & masks[0] | masks[1] & ~masks[0]  # Application Protocol V1.1b3, 6.16
    (by_register,) = modified(source, before, raw, single=True).values
    assert by_mask == by_register
    assert decode(source, [by_mask]) == value
    assert by_mask & ~mask == before & ~mask
