"""One connection to one device: opened, asked, closed. All that knows pymodbus is here.

A connection is used until the first doubt. After a time-out or a reply that does not fit its
request it is dropped, so a late reply can never be taken for the next one. pymodbus does not
retry, wait or reconnect by itself: that would hide a loss.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from contextlib import asynccontextmanager
from typing import Any, Final, NamedTuple, TypeVar

from pymodbus.client import AsyncModbusTcpClient
from pymodbus.exceptions import ModbusException
from pymodbus.pdu import ExceptionResponse, ModbusPDU

from bridges.modbus.config import BIT_TABLES, ModbusSettings, Table
from bridges.modbus.errors import LostError
from bridges.modbus.mapping import Block, Refusal

T = TypeVar("T")


class _Read(NamedTuple):
    function: int
    ask: Callable[..., Any]


_READS: Final[dict[Table, _Read]] = {
    "coil": _Read(1, AsyncModbusTcpClient.read_coils),
    "discrete": _Read(2, AsyncModbusTcpClient.read_discrete_inputs),
    "holding": _Read(3, AsyncModbusTcpClient.read_holding_registers),
    "input": _Read(4, AsyncModbusTcpClient.read_input_registers),
}


class _Write(NamedTuple):
    function: int
    tell: Callable[..., Any]
    values: Callable[[Sequence[int]], Any]


# Modbus Application Protocol V1.1b3, 6.5, 6.6 and 6.12.
_WRITE_COIL: Final = _Write(5, AsyncModbusTcpClient.write_coil, lambda values: bool(values[0]))
_WRITE_ONE: Final = _Write(6, AsyncModbusTcpClient.write_register, lambda values: values[0])
_WRITE_MANY: Final = _Write(16, AsyncModbusTcpClient.write_registers, list)
_EXCEPTION_BIT: Final = 0x80
_CLOSED: Final = "the device closed the connection"


@asynccontextmanager
async def opened(settings: ModbusSettings) -> AsyncIterator["Device"]:
    """A connected device, closed at the end; LostError if it cannot be reached in time."""
    device = Device(settings)
    try:
        await device.open()
        yield device
    finally:
        device.close()


class Device:
    """A connection; every method that asks raises LostError, after which it is of no more use."""

    def __init__(self, settings: ModbusSettings) -> None:
        self._settings = settings
        self._timeout_s = settings.timeout_ms / 1000
        self._gone = asyncio.get_running_loop().create_future()
        self._client = AsyncModbusTcpClient(
            settings.host,
            port=settings.port,
            timeout=2 * self._timeout_s,  # ours comes first, so that one reason is given
            retries=0,
            reconnect_delay=0,
            trace_connect=self._connection_changed,
        )

    async def open(self) -> None:
        """Connect."""
        if not await self._within(self._client.connect()):
            raise LostError(f"no connection to {self._settings.host}:{self._settings.port}")

    async def read(self, block: Block) -> Sequence[int] | Refusal:
        """The block's registers or bits, or the device's refusal."""
        read = _READS[block.table]
        response = await self._within(self._ask(read, block))
        self._check(response, read.function)
        if isinstance(response, ExceptionResponse):
            return Refusal(response.exception_code)
        values = response.bits if block.table in BIT_TABLES else response.registers
        padding = -block.size % 8 if block.table in BIT_TABLES else 0
        if len(values) != block.size + padding:
            raise LostError(f"a reply of {len(values)} values to a request for {block.size}")
        return values[: block.size]

    async def write(self, block: Block, values: Sequence[int]) -> Refusal | None:
        """Write a block of a coil or of holding registers; the device's refusal, if any."""
        one = _WRITE_COIL if block.table == "coil" else _WRITE_ONE
        write = one if block.size == 1 else _WRITE_MANY
        response = await self._within(self._tell(write, block, values))
        self._check(response, write.function)
        return Refusal(response.exception_code) if isinstance(response, ExceptionResponse) else None

    def close(self) -> None:
        """Drop the connection."""
        self._client.close()

    async def _ask(self, read: _Read, block: Block) -> ModbusPDU:
        unit = self._settings.unit
        response: ModbusPDU = await read.ask(
            self._client, block.start, count=block.size, device_id=unit
        )
        return response

    async def _tell(self, write: _Write, block: Block, values: Sequence[int]) -> ModbusPDU:
        response: ModbusPDU = await write.tell(
            self._client, block.start, write.values(values), device_id=self._settings.unit
        )
        return response

    @staticmethod
    def _check(response: ModbusPDU, function: int) -> None:
        if response.function_code & ~_EXCEPTION_BIT != function:
            raise LostError(f"a reply to function {response.function_code}, not {function}")

    async def _within(self, asking: Coroutine[Any, Any, T]) -> T:
        """Bound a request in time, and end it when the connection does.

        It runs in its own task because `asyncio.wait_for`, which pymodbus uses, can swallow a
        cancellation that meets the reply (CPython 86296, fixed in 3.12).
        """
        task = asyncio.ensure_future(asking)
        try:
            await asyncio.wait(
                (task, self._gone), timeout=self._timeout_s, return_when=asyncio.FIRST_COMPLETED
            )
            if not task.done():
                raise LostError(self._absence())
            return task.result()
        except ModbusException as error:
            raise LostError(_CLOSED if self._gone.done() else str(error)) from error
        finally:
            if not task.done():
                task.cancel()
                await asyncio.gather(task, return_exceptions=True)

    def _absence(self) -> str:
        if self._gone.done():
            return _CLOSED
        return f"no answer within {self._settings.timeout_ms} ms"

    def _connection_changed(self, connected: bool) -> None:  # noqa: FBT001 - pymodbus calls it so
        if not connected and not self._gone.done():
            self._gone.set_result(None)
