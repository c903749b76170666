"""A PLC that is a Modbus TCP server: the tags of its cells as holding registers.

Owns registers. A write changes all registers of a batch between two requests, so a request never
sees half of it. Does not know what a value means.
"""

import struct
from collections.abc import Mapping
from typing import Any, Final

from pymodbus.server import ModbusTcpServer
from pymodbus.simulator import DataType, SimData, SimDevice

from uns.demo.errors import PortTaken
from uns.demo.plc import TagName, Values
from uns.model.observation import Scalar
from uns.model.plant import Place

WRITE_HOLDING: Final = 16
_PACKED: Final = {
    "bool": "H", "uint16": "H", "int16": "h", "uint32": "I", "int32": "i",
    "uint64": "Q", "int64": "q", "float32": "f", "float64": "d",
}  # fmt: skip
_SIGNED: Final = frozenset("hiq")
_FLOATING: Final = frozenset("fd")


class ModbusPlc:
    """The server of one bridge's cells; `settings` are the bridge's (host, port, unit)."""

    def __init__(self, places: Mapping[str, Place], settings: Mapping[str, Any]) -> None:
        self._address: tuple[str, int] = (settings["host"], settings["port"])
        self._unit: int = settings.get("unit", 1)
        self._little: bool = settings.get("word_order", "big") == "little"
        self._sources = {
            TagName(path, tag): spec.source
            for path, place in places.items()
            for tag, spec in place.cell.tags.items()
        }
        self._server: ModbusTcpServer | None = None

    async def start(self, values: Values, at_ms: int) -> None:
        """Listen. Raises PortTaken."""
        host, port = self._address
        registers = SimData(0, count=self._size(), datatype=DataType.REGISTERS)
        self._server = ModbusTcpServer(SimDevice(self._unit, [registers]), address=(host, port))
        await self.write(values, at_ms)
        try:
            await self._server.serve_forever(background=True)
        except RuntimeError:
            raise PortTaken(f"{host}:{port}: the port is in use") from None

    async def write(self, changes: Values, at_ms: int) -> None:
        """Write values; Modbus has no timestamps."""
        del at_ms
        for name, value in changes.items():
            source = self._sources[name]
            registers = to_registers(source, value, little=self._little)
            if self._server:
                await self._server.async_setValues(
                    self._unit, WRITE_HOLDING, source["address"], registers
                )

    async def stop(self) -> None:
        """Close all connections."""
        if self._server:
            await self._server.shutdown()  # type: ignore[no-untyped-call]  # pymodbus's gap

    def _size(self) -> int:
        ends = (
            source["address"] + len(to_registers(source, 0, little=self._little))
            for source in self._sources.values()
        )
        return max(ends, default=1)


def to_registers(source: Mapping[str, Any], value: Scalar, *, little: bool) -> list[int]:
    """The registers of a value, most significant word first unless `little`.

    Integers wrap at the width of their type, as a counter in a PLC does; texts fill up with NUL.
    """
    if source.get("type") == "string":
        length: int = source["length"]
        text = str(value or "").encode("ascii", "replace")[:length]
        return _words(text.ljust(length + length % 2, b"\0"))
    code = _PACKED[source.get("type", "uint16")]
    words = _words(struct.pack(f">{code}", _fitted(code, float(value or 0))))
    return words[::-1] if little else words


def _fitted(code: str, value: float) -> float | int:
    if code in _FLOATING:
        return value
    span = 1 << 8 * struct.calcsize(f">{code}")
    turned = int(value) % span
    return turned - span if code in _SIGNED and turned >= span // 2 else turned


def _words(raw: bytes) -> list[int]:
    return [int.from_bytes(raw[i : i + 2]) for i in range(0, len(raw), 2)]
