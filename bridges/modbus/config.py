"""The settings of a Modbus bridge and the address of a tag, as namespace.yaml states them."""

from typing import Annotated, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

Address = Annotated[int, Field(ge=0, le=65_535)]
Unit = Annotated[int, Field(ge=0, le=255)]
Bit = Annotated[int, Field(ge=0, le=15)]
Finite = Annotated[float, Field(allow_inf_nan=False)]
Table = Literal["holding", "input", "coil", "discrete"]
Transport = Literal["tcp", "rtu-over-tcp", "serial"]
Order = Literal["big", "little"]
DataType = Literal[
    "bool", "uint16", "int16", "uint32", "int32", "uint64", "int64", "float32", "float64",
    "bcd16", "bcd32", "string",
]  # fmt: skip

ADDRESSES: Final = 65_536
BIT_TABLES: Final = frozenset({"coil", "discrete"})
WRITABLE_TABLES: Final = frozenset({"coil", "holding"})
REGISTERS: Final[dict[DataType, int]] = {
    "bool": 1,
    "uint16": 1,
    "int16": 1,
    "bcd16": 1,
    "uint32": 2,
    "int32": 2,
    "float32": 2,
    "bcd32": 2,
    "uint64": 4,
    "int64": 4,
    "float64": 4,
}
EVERY_DEVICE: Final = "unit 0 of a serial line is every device: none of them answers"
"""Modbus over Serial Line V1.02, 2.1: what is sent to all is a write, and not replied to."""
_SERIAL_KEYS: Final = frozenset({"device", "baud_rate", "parity", "stop_bits"})
_TCP_KEYS: Final = frozenset({"host", "port"})


class ModbusSettings(BaseModel):
    """One connection: to a device, to the units behind a gateway or to those of a serial line."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    transport: Transport = "tcp"
    """`rtu-over-tcp` is for gateways that pass the bytes of a serial line on as they are."""
    host: str | None = None
    """Name or address of the device or gateway; not for `serial`."""
    port: Annotated[int, Field(ge=1, le=65_535)] = 502
    """TCP port; not for `serial`."""
    device: str | None = None
    """The serial port, as `/dev/ttyUSB0`; for `serial` only, as the next three."""
    baud_rate: Annotated[int, Field(ge=300, le=4_000_000)] = 19_200
    """Bits a second."""
    parity: Literal["even", "odd", "none"] = "even"
    """The standard asks for `even`; many devices are set to `none`."""
    stop_bits: Literal[1, 2] = 1
    """The standard asks for 2 where there is no parity."""
    unit: Unit = 1
    """Unit id of sources that name none; most TCP devices of their own take any."""
    poll_ms: Annotated[int, Field(ge=10, le=3_600_000)] = 200
    """Period of the poll of a unit; a poll that comes late is skipped, never doubled."""
    timeout_ms: Annotated[int, Field(ge=50, le=60_000)] = 1_000
    """Without an answer for this long a unit counts as lost."""
    pause_ms: Annotated[int, Field(ge=0, le=10_000)] = 0
    """Rest before each request, for devices that need one."""
    back_off_ms_max: Annotated[int, Field(ge=50, le=600_000)] | None = None
    """The longest pause before a lost unit is asked again. Without it 2 s, or ten time-outs while
    other units of the connection answer."""
    word_order: Order = "big"
    """Which register of a number comes first: `big` is the high one."""
    byte_order: Order = "big"
    """Which byte of a register, or character of a pair, comes first: `big` as the standard says."""
    block_registers_max: Annotated[int, Field(ge=1, le=125)] = 120
    """The most registers one request may ask; the standard allows 125."""
    block_bits_max: Annotated[int, Field(ge=1, le=2_000)] = 2_000
    """The most coils or discrete inputs one request may ask; the standard allows 2000."""
    gap_registers_max: Annotated[int, Field(ge=0, le=100)] = 8
    """Unused registers read along to save a request; of bits 16 times as many."""
    single_write: bool = True
    """One coil or register is written by function 5 or 6; false: by 15 or 16."""
    read_modify_write: bool = False
    """Where a device has no function 22, write bits by reading and writing their register: what
    the device changes in it between the two is lost."""

    @property
    def address(self) -> str:
        """Where the connection leads, as people read it."""
        return self.device or f"{self.host}:{self.port}"

    @property
    def has_transaction_ids(self) -> bool:
        """Whether a reply tells which request it belongs to."""
        return self.transport == "tcp"

    @model_validator(mode="after")
    def _keys_fit_together(self) -> "ModbusSettings":
        needed, foreign = ("host", _SERIAL_KEYS)
        if self.transport == "serial":
            needed, foreign = ("device", _TCP_KEYS)
        if wrong := sorted(foreign & self.model_fields_set):
            raise ValueError(f"'{wrong[0]}' does not belong to transport '{self.transport}'")
        if getattr(self, needed) is None:
            raise ValueError(f"transport '{self.transport}' needs '{needed}'")
        if self.unit == 0 and not self.has_transaction_ids:
            raise ValueError(EVERY_DEVICE)
        return self


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
    bit: Bit | None = None
    """For type `bool` of a register: this bit of it; 0 is the lowest."""
    bits: tuple[Bit, Bit] | None = None
    """For type `uint16`: a number in the bits from the first to the last, as `[4, 6]`."""
    scale: Finite = 1.0
    """Factor of a number."""
    offset: Finite = 0.0
    """Added to a number after scaling."""
    unit: Unit | None = None
    """Unit id, where it is not the settings'."""
    word_order: Order | None = None
    """Where it is not the settings'."""
    byte_order: Order | None = None
    """Where it is not the settings'."""

    @property
    def width(self) -> int:
        """Registers (or bits of a bit table) the value takes."""
        return REGISTERS[self.type] if self.length is None else (self.length + 1) // 2

    def within(self, settings: ModbusSettings) -> "ModbusSource":
        """The same with everything that the settings say for it."""
        own = {key: getattr(self, key) for key in ("unit", "word_order", "byte_order")}
        return self.model_copy(
            update={k: getattr(settings, k) if v is None else v for k, v in own.items()}
        )

    @model_validator(mode="after")
    def _keys_fit_together(self) -> "ModbusSource":
        if (self.type == "string") != (self.length is not None):
            raise ValueError("'length' belongs to type 'string', and only to it")
        if self.table in BIT_TABLES and self.type != "bool":
            raise ValueError(f"table '{self.table}' holds bits: say type: bool")
        if self.type in ("bool", "string") and (self.scale, self.offset) != (1.0, 0.0):
            raise ValueError(f"'scale' and 'offset' belong to numbers, not to type '{self.type}'")
        if self.scale == 0:
            raise ValueError("'scale' 0 makes every value the same")
        if self.address + self.width > ADDRESSES:
            raise ValueError(f"{self.width} registers from {self.address} pass the table's end")
        return self

    @model_validator(mode="after")
    def _bits_fit_their_type(self) -> "ModbusSource":
        if self.bit is not None and (self.type != "bool" or self.table in BIT_TABLES):
            raise ValueError("'bit' belongs to type 'bool' of a register, and only to it")
        if self.bits is not None and self.type != "uint16":
            raise ValueError("'bits' belongs to type 'uint16', and only to it")
        if self.bits is not None and self.bits[0] > self.bits[1]:
            raise ValueError("'bits' are the lowest and the highest, in this order")
        return self
