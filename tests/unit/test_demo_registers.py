"""Values as Modbus registers, against pymodbus's own reading of them."""

from typing import Any, Literal

import pytest
from pymodbus.client import ModbusTcpClient

from uns.demo.modbus_plc import to_registers
from uns.model.observation import Scalar

TYPES = ModbusTcpClient.DATATYPE
Order = Literal["big", "little"]


@pytest.mark.parametrize("order", ["big", "little"])
@pytest.mark.parametrize(
    ("kind", "datatype", "value", "read"),
    [
        ("uint16", TYPES.UINT16, 65_535, 65_535),
        ("uint16", TYPES.UINT16, 65_537, 1),
        ("int16", TYPES.INT16, -2, -2),
        ("uint32", TYPES.UINT32, 1_000_022, 1_000_022),
        ("int32", TYPES.INT32, -70_000, -70_000),
        ("uint64", TYPES.UINT64, 2**40 + 5, 2**40 + 5),
        ("float32", TYPES.FLOAT32, 9.75, 9.75),
        ("float64", TYPES.FLOAT64, 9.8738, 9.8738),
    ],
)
def test_numbers(kind: str, datatype: Any, value: Scalar, read: float, order: Order) -> None:
    registers = to_registers({"type": kind, "address": 0}, value, little=order == "little")
    found = ModbusTcpClient.convert_from_registers(registers, datatype, word_order=order)
    assert found == read


@pytest.mark.parametrize("text", ["", "PO-1001", "HOU-saw-00001xxxx"])
def test_texts_fill_up_and_are_cut(text: str) -> None:
    registers = to_registers({"type": "string", "length": 16, "address": 0}, text, little=False)
    assert len(registers) == 8
    raw = b"".join(register.to_bytes(2) for register in registers)
    assert raw.rstrip(b"\0").decode() == text[:16]
