"""The settings of a Modbus bridge and the address of a tag, as namespace.yaml states them."""

from typing import Annotated, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

Address = Annotated[int, Field(ge=0, le=65_535)]
Finite = Annotated[float, Field(allow_inf_nan=False)]
Table = Literal["holding", "input", "coil", "discrete"]
DataType = Literal[
    "bool", "uint16", "int16", "uint32", "int32", "uint64", "int64", "float32", "float64", "string"
]
WordOrder = Literal["big", "little"]

ADDRESSES: Final = 65_536
BIT_TABLES: Final = frozenset({"coil", "discrete"})
REGISTERS: Final[dict[DataType, int]] = {
    "bool": 1,
    "uint16": 1,
    "int16": 1,
    "uint32": 2,
    "int32": 2,
    "float32": 2,
    "uint64": 4,
    "int64": 4,
    "float64": 4,
}


class ModbusSettings(BaseModel):
    """One device (unit) behind Modbus TCP."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    host: str
    """Name or address of the device or gateway."""
    port: Annotated[int, Field(ge=1, le=65_535)] = 502
    """TCP port."""
    unit: Annotated[int, Field(ge=0, le=247)] = 1
    """Unit id behind a gateway; most devices of their own take any."""
    poll_ms: Annotated[int, Field(ge=10, le=3_600_000)] = 200
    """Period of the poll; a poll that comes late is skipped, never doubled."""
    timeout_ms: Annotated[int, Field(ge=50, le=60_000)] = 1_000
    """Without a connection or an answer for this long the device counts as lost."""
    word_order: WordOrder = "big"
    """Which register of a 32 or 64 bit number comes first: `big` is the high one."""
    block_registers_max: Annotated[int, Field(ge=1, le=125)] = 120
    """The most registers one request may ask; the standard allows 125."""
    gap_registers_max: Annotated[int, Field(ge=0, le=100)] = 8
    """Unused registers read along to save a request."""


class ModbusSource(BaseModel):
    """A value in one of the four Modbus tables. The engineering value is raw * scale + offset."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    table: Table = "holding"
    """Where it stands: 16-bit registers (`holding`, `input`) or bits (`coil`, `discrete`)."""
    address: Address
    """0-based: the 40001 of a manual is `holding` 0."""
    type: DataType = "uint16"
    """How the registers read; `coil` and `discrete` hold `bool`, a register is true unless 0."""
    length: Annotated[int, Field(ge=1, le=120)] | None = None
    """Characters, two a register; for type `string`, and only for it."""
    scale: Finite = 1.0
    """Factor of a number."""
    offset: Finite = 0.0
    """Added to a number after scaling."""

    @property
    def width(self) -> int:
        """Registers (or bits of a bit table) the value takes."""
        return REGISTERS[self.type] if self.length is None else (self.length + 1) // 2

    @model_validator(mode="after")
    def _keys_fit_together(self) -> "ModbusSource":
        if (self.type == "string") != (self.length is not None):
            raise ValueError("'length' belongs to type 'string', and only to it")
        if self.table in BIT_TABLES and self.type != "bool":
            raise ValueError(f"table '{self.table}' holds bits: say type: bool")
        if self.type in ("bool", "string") and (self.scale, self.offset) != (1.0, 0.0):
            raise ValueError(f"'scale' and 'offset' belong to numbers, not to type '{self.type}'")
        if self.address + self.width > ADDRESSES:
            raise ValueError(f"{self.width} registers from {self.address} pass the table's end")
        return self
