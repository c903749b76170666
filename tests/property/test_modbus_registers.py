"""Law of every register layout: what was encoded is what is decoded, or it is refused."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridges.modbus.config import REGISTERS, ModbusSource
from bridges.modbus.errors import ModbusError
from bridges.modbus.mapping import decode, encode

NUMBERS = sorted(set(REGISTERS) - {"bool"})
orders = st.sampled_from(["big", "little"])
values = (
    st.integers(-(2**64), 2**65)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=20)
    | st.booleans()
)


@pytest.mark.parametrize("kind", [*NUMBERS, "bool", "string"])
@given(value=values, order=orders, scale=st.sampled_from([1.0, 0.1, 0.01, 10.0]))
def test_what_is_encoded_is_decoded_or_refused(
    kind: Any, value: Any, order: Any, scale: float
) -> None:
    keys: dict[str, Any] = {"length": 12} if kind == "string" else {}
    if kind in NUMBERS:
        keys["scale"] = scale
    source = ModbusSource(address=0, type=kind, **keys)
    try:
        registers = encode(source, value, order)
    except ModbusError:
        return
    assert len(registers) == source.width
    assert all(0 <= register <= 0xFFFF for register in registers)
    shown = decode(source, registers, order)
    close = 1e-6 if kind == "float32" else 1e-9
    assert shown == (pytest.approx(value, rel=close) if kind in NUMBERS else value)


@pytest.mark.parametrize("kind", NUMBERS)
@given(order=orders, data=st.data())
def test_whatever_a_device_shows_can_be_written_again(kind: Any, order: Any, data: Any) -> None:
    source = ModbusSource(address=0, type=kind)
    word = st.integers(0, 0xFFFF)
    registers = data.draw(st.lists(word, min_size=source.width, max_size=source.width))
    try:
        value = decode(source, registers, order)
    except ModbusError:
        return
    assert decode(source, encode(source, value, order), order) == value
