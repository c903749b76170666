"""Registers as values and back: the cases that people meet; the laws are in tests/property."""

import math
import string
import struct
from typing import Any

import pytest

from bridges.modbus.config import ModbusSource
from bridges.modbus.errors import UnreadableError, UnwritableError
from bridges.modbus.layout import decode, encode, modified, write_of


def source(**keys: Any) -> ModbusSource:
    return ModbusSource.model_validate({"address": 0, **keys})


def registers_of(encoded: bytes) -> list[int]:
    return list(struct.unpack(f">{len(encoded) // 2}H", encoded))


def test_word_order_is_about_registers_and_byte_order_about_their_bytes() -> None:
    def shown(raw: list[int], **keys: Any) -> Any:
        return decode(source(**keys), raw)

    assert shown([0x0001, 0x0203], type="uint32") == 0x00010203
    assert shown([0x0203, 0x0001], type="uint32", word_order="little") == 0x00010203
    assert shown([0x0100, 0x0302], type="uint32", byte_order="little") == 0x00010203
    both = {"word_order": "little", "byte_order": "little"}
    assert shown([0x0302, 0x0100], type="uint32", **both) == 0x00010203
    assert shown([4, 3, 2, 1], type="uint64", word_order="little") == 0x0001000200030004
    assert shown([0x4241, 0x4443], type="string", length=4, **both) == "ABCD"
    assert shown([0x0200], type="bool", bit=1, byte_order="little") is True


def test_a_32_bit_float_reads_as_the_person_wrote_it() -> None:
    assert decode(source(type="float32"), registers_of(struct.pack(">f", 71.3))) == 71.3


@pytest.mark.parametrize(
    ("encoded", "length", "text"),
    [
        (b"PO-1000\0\0\0\0\0\0\0\0\0", 16, "PO-1000"),
        (b"PO-1000         ", 16, "PO-1000"),
        (b"  PO-1000\0junk!\0", 16, "PO-1000"),
        (b"ABCD", 3, "ABC"),
        ("Gehäuse\0".encode() + b"\0", 10, "Gehäuse"),
        (b"\0\0\0\0", 4, ""),
        (b"    ", 4, ""),
    ],
)
def test_a_string_is_what_stands_before_the_first_nul(
    encoded: bytes, length: int, text: str
) -> None:
    registers = registers_of(encoded + b"\0" * (len(encoded) % 2))
    for word_order in ("big", "little"):
        keys = {"type": "string", "length": length, "word_order": word_order}
        assert decode(source(**keys), registers) == text


@pytest.mark.parametrize("encoded", [b"\xff\xfe\x00\x00", b"AB\x01\x02"])
def test_a_string_of_rubbish_is_no_value(encoded: bytes) -> None:
    with pytest.raises(UnreadableError, match="text: "):
        decode(source(type="string", length=4), registers_of(encoded))


def test_scale_and_offset_give_the_engineering_value() -> None:
    assert decode(source(type="int16", scale=0.1), [3]) == 0.3
    assert decode(source(type="int16", scale=0.1, offset=-50), [0xFFFF]) == -50.1
    assert decode(source(type="uint16", scale=2), [21]) == 42
    whole = decode(source(type="uint16"), [21])
    assert isinstance(whole, int)


def test_a_64_bit_counter_keeps_its_digits_when_scaled() -> None:
    wide = source(type="uint64", scale=0.001)
    assert decode(wide, registers_of(struct.pack(">Q", 1_234_567_890_123_456))) == 1234567890123.456


def test_bits_and_registers_read_as_boolean() -> None:
    assert decode(source(table="coil", type="bool"), [True]) is True
    assert decode(source(table="discrete", type="bool"), [False]) is False
    assert decode(source(type="bool"), [4]) is True
    assert decode(source(type="bool", bit=2), [4]) is True
    assert decode(source(type="bool", bit=1), [4]) is False


@pytest.mark.parametrize(("register", "digits"), [(0x1234, "12 34"), (0x0000, "00 00")])
def test_binary_coded_decimals_are_their_digits(register: int, digits: str) -> None:
    assert decode(source(type="bcd16"), [register]) == int(digits.replace(" ", ""))


def test_a_nibble_above_9_is_no_digit() -> None:
    with pytest.raises(UnreadableError, match="no decimal digits: 12 3a"):
        decode(source(type="bcd16"), [0x123A])


# --- writing --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("keys", "value", "single", "write"),
    [
        ({}, 7, True, (6, 5, (7,))),
        ({}, 7, False, (16, 5, (7,))),
        ({"type": "uint32"}, 7, True, (16, 5, (0, 7))),
        ({"type": "bcd32"}, 12345678, True, (16, 5, (0x1234, 0x5678))),
        ({"table": "coil", "type": "bool"}, True, True, (5, 5, (1,))),
        ({"table": "coil", "type": "bool"}, True, False, (15, 5, (1,))),
        ({"type": "bool", "bit": 3}, True, True, (22, 5, (0xFFF7, 0x0008))),
        ({"type": "bool", "bit": 3}, False, True, (22, 5, (0xFFF7, 0x0000))),
        ({"type": "bool", "bit": 3, "byte_order": "little"}, True, True, (22, 5, (0xF7FF, 0x0800))),
        ({"bits": [4, 6]}, 5, True, (22, 5, (0xFF8F, 0x0050))),
    ],
)
def test_each_layout_has_its_write_function(
    keys: dict[str, Any],
    value: Any,
    single: Any,
    write: tuple[Any, ...],
) -> None:
    layout = source(**{**keys, "address": 5})
    assert write_of(layout, encode(layout, value), single=single) == write


def test_bits_are_written_into_the_register_as_it_was() -> None:
    layout = source(bits=[4, 6], byte_order="little")
    raw = encode(layout, 5)
    assert modified(layout, 0xFFFF, raw, single=True) == (6, 0, (0xDFFF,))
    assert modified(layout, 0, raw, single=False) == (16, 0, (0x5000,))


@pytest.mark.parametrize(
    ("keys", "value", "reason"),
    [
        ({"bits": [4, 6]}, 8, "8 is beyond the range of a field of 3 bits"),
        ({"type": "bcd16"}, 10_000, "10000 is beyond the range of a bcd16"),
        ({"type": "bcd16"}, -1, "beyond the range of a bcd16"),
        ({"type": "float64"}, math.inf, "no number"),
    ],
)
def test_what_a_layout_cannot_hold_is_refused(
    keys: dict[str, Any], value: Any, reason: str
) -> None:
    with pytest.raises(UnwritableError, match=reason):
        encode(source(**keys), value)


def test_texts_of_every_length_survive() -> None:
    for length in range(1, 121):
        text = (string.ascii_letters * 3)[:length]
        encoded = text.encode() + b"\0" * (length % 2)
        assert decode(source(type="string", length=length), registers_of(encoded)) == text
