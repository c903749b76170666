"""The connection of a bridge: opened, asked, dropped. All that knows pymodbus is here.

A TCP connection is used until the first doubt. After a time-out or a reply that does not fit its
request it is dropped, so a late reply can never be taken for the next one. A serial line cannot be
dropped: what it says unasked is thrown away, and nothing is asked before it was silent. pymodbus
does not retry, wait or reconnect by itself: that would hide a loss.
"""

import asyncio
import sys
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from typing import Any, Final, TypeVar

from pymodbus import FramerType
from pymodbus.client import AsyncModbusSerialClient, AsyncModbusTcpClient
from pymodbus.client.base import ModbusBaseClient
from pymodbus.exceptions import ModbusException
from pymodbus.pdu import ExceptionResponse, ModbusPDU
from pymodbus.pdu.mei_message import ReadDeviceInformationResponse

from bridges.modbus.answers import Refusal, Reply
from bridges.modbus.config import BIT_TABLES, ModbusSettings, Table
from bridges.modbus.errors import AbsentError, LostError, UnaskedError
from bridges.modbus.frames import misfit, pdu_misfit, pdu_of, silence_s
from bridges.modbus.layout import Write
from bridges.modbus.plan import Block

if sys.platform == "win32":
    UNFIT_SETTINGS: tuple[type[Exception], ...] = (ValueError,)
else:
    import termios

    UNFIT_SETTINGS = (ValueError, termios.error)

T = TypeVar("T")
Ask = Callable[[ModbusBaseClient, int], Awaitable[ModbusPDU]]
"""Sends a request to a unit."""

_READS: Final[dict[Table, Callable[..., Awaitable[ModbusPDU]]]] = {
    "coil": ModbusBaseClient.read_coils,
    "discrete": ModbusBaseClient.read_discrete_inputs,
    "holding": ModbusBaseClient.read_holding_registers,
    "input": ModbusBaseClient.read_input_registers,
}
# By function: Modbus Application Protocol V1.1b3, 6.5, 6.6, 6.11, 6.12 and 6.16.
_WRITES: Final[dict[int, Callable[[ModbusBaseClient, Write, int], Awaitable[ModbusPDU]]]] = {
    5: lambda c, w, unit: c.write_coil(w.address, bool(w.values[0]), device_id=unit),
    6: lambda c, w, unit: c.write_register(w.address, w.values[0], device_id=unit),
    15: lambda c, w, unit: c.write_coils(w.address, list(map(bool, w.values)), device_id=unit),
    16: lambda c, w, unit: c.write_registers(w.address, list(w.values), device_id=unit),
    22: lambda c, w, unit: c.mask_write_register(
        address=w.address, and_mask=w.values[0], or_mask=w.values[1], device_id=unit
    ),
}
_CLOSED: Final = "the device closed the connection"
_UNASKED: Final = "the device sent bytes that nobody had asked for"
_PARITIES: Final = {"even": "E", "odd": "O", "none": "N"}


class Line:
    """The one connection to all units, one request at a time. Only one task may ask.

    clock: plant time in ms.
    """

    def __init__(self, settings: ModbusSettings, clock: Callable[[], int]) -> None:
        self._settings = settings
        self._clock = clock
        self._connection: Connection | None = None
        self._owing: set[int] = set()

    async def open(self) -> None:
        """Connect, unless connected. Raises LostError."""
        if self._connection and self._connection.loss:
            reason = self._connection.loss
            self.close()
            raise LostError(reason)
        if self._connection is None:
            self._connection = Connection(self._settings)
            try:
                await self._connection.open()
            except BaseException:
                self.close()
                raise

    async def read(self, unit: int, block: Block) -> Reply:
        """What the unit says of a block. Raises AbsentError."""

        def ask(client: ModbusBaseClient, unit: int) -> Awaitable[ModbusPDU]:
            return _READS[block.table](client, block.start, count=block.size, device_id=unit)

        response, at_ms = await self._answer(unit, ask)
        if isinstance(response, Refusal):
            return Reply(response, at_ms)
        values = response.bits if block.table in BIT_TABLES else response.registers
        return Reply(values[: block.size], at_ms)

    async def write(self, unit: int, write: Write) -> Refusal | None:
        """Write; the unit's refusal, if any. Raises AbsentError, UnaskedError."""

        def ask(client: ModbusBaseClient, unit: int) -> Awaitable[ModbusPDU]:
            return _WRITES[write.function](client, write, unit)

        response, _ = await self._answer(unit, ask)
        return response if isinstance(response, Refusal) else None

    async def identity(self, unit: int) -> Mapping[int, bytes]:
        """What the unit says it is, by object id: 0 vendor, 1 product, 2 revision.

        Nothing of a unit that has no function 43/14 (V1.1b3, 6.21). Raises LostError, AbsentError.
        """

        def ask(client: ModbusBaseClient, unit: int) -> Awaitable[ModbusPDU]:
            return client.read_device_information(read_code=1, object_id=0, device_id=unit)

        response, _ = await self._answer(unit, ask)
        if not isinstance(response, ReadDeviceInformationResponse):
            return {}
        return {key: text for key, text in response.information.items() if isinstance(text, bytes)}

    def owes(self, unit: int) -> bool:
        """Whether an answer of the unit may still come that nothing tells from the next one."""
        return unit in self._owing

    def settled(self, unit: int) -> None:
        """The unit has answered again: what it owed was that, or comes in the silence after it."""
        self._owing.discard(unit)

    def close(self) -> None:
        """Drop the connection."""
        if self._connection:
            self._connection.close()
        self._connection = None

    async def _answer(self, unit: int, ask: Ask) -> tuple[ModbusPDU | Refusal, int]:
        """The response, and when it was asked.

        A connection that ends while a unit is asked is that unit's loss: some gateways close it
        when they do not know a unit. Whether it is everybody's shows when it is opened again.
        """
        if self._connection is None:
            raise UnaskedError(_CLOSED)
        connection, sent = self._connection, self._connection.sent
        try:
            return await self._asked(connection, unit, ask)
        except (LostError, AbsentError) as error:
            if not self._settings.has_transaction_ids:
                self._owing.add(unit)
            if self._settings.transport != "serial" or isinstance(error, LostError):
                self.close()
            kind = UnaskedError if connection.sent == sent else AbsentError
            raise kind(str(error)) from error

    async def _asked(
        self, connection: "Connection", unit: int, ask: Ask
    ) -> tuple[ModbusPDU | Refusal, int]:
        await connection.silence()
        at_ms = self._clock()
        response = await connection.ask(unit, ask)
        if not isinstance(response, ExceptionResponse):
            return response, at_ms
        return Refusal(response.exception_code), at_ms


class Connection:
    """One client of pymodbus, until the first loss; `sent` counts its requests."""

    def __init__(self, settings: ModbusSettings) -> None:
        self._settings = settings
        self._timeout_s = settings.timeout_ms / 1000
        self._silence_s = silence_s(settings)
        self._loop = asyncio.get_running_loop()
        self._lost: asyncio.Future[str] = self._loop.create_future()
        self._doubt: asyncio.Future[str] = self._loop.create_future()
        self._asked: bytes | None = None
        self._heard = 0
        self.sent = 0
        self._client = self._new_client()

    @property
    def loss(self) -> str | None:
        """Why the connection is of no more use."""
        return self._lost.result() if self._lost.done() else None

    async def open(self) -> None:
        """Connect. Raises LostError."""
        none = f"no connection to {self._settings.address}"
        try:
            is_open = await self._within(self._client.connect())
        except AbsentError:
            is_open = False
        except UNFIT_SETTINGS as error:
            raise LostError(f"{none}: {error}") from error
        if not is_open:
            raise LostError(none)

    async def silence(self) -> None:
        """Wait until nothing was heard for long enough; AbsentError if it is never silent."""
        if not self._silence_s:
            return
        until_s = self._loop.time() + self._timeout_s + self._silence_s
        while True:
            heard = self._heard
            await asyncio.sleep(self._silence_s)
            if heard == self._heard:
                return
            if self._loop.time() > until_s:
                raise AbsentError("the line is never silent")

    async def ask(self, unit: int, ask: Ask) -> ModbusPDU:
        """One request and what fits it. Raises LostError, AbsentError."""
        if self.loss:
            raise LostError(self.loss)
        self._asked, self._doubt = None, self._loop.create_future()
        try:
            response = await self._within(_awaited(ask, self._client, unit))
            self._check(response)
        finally:
            self._asked = None
        return response

    def close(self) -> None:
        """Drop it."""
        self._client.close()

    def _check(self, response: ModbusPDU) -> None:
        """The frames of a serial line are found by pymodbus; the rest was looked at as it came."""
        if self._settings.transport == "serial" and self._asked:
            reply = bytes([response.function_code]) + response.encode()
            if reason := pdu_misfit(pdu_of("serial", self._asked), reply):
                raise AbsentError(reason)

    async def _within(self, asking: Coroutine[Any, Any, T]) -> T:
        """Bound a request in time, and end it with the connection or at a reply that misfits.

        It runs in its own task because `asyncio.wait_for`, which pymodbus uses, can swallow a
        cancellation that meets the reply (CPython 86296, fixed in 3.12).
        """
        task = asyncio.ensure_future(asking)
        try:
            await asyncio.wait(
                (task, self._lost, self._doubt),
                timeout=self._timeout_s,
                return_when=asyncio.FIRST_COMPLETED,
            )
            if self._doubt.done():
                raise AbsentError(self._doubt.result())
            if task.done():
                return task.result()
            if self._lost.done():
                raise LostError(self._lost.result())
            raise AbsentError(f"no answer within {self._settings.timeout_ms} ms")
        except ModbusException as error:
            raise AbsentError(str(error)) from error
        finally:
            if not task.done():
                task.cancel()
                await asyncio.gather(task, return_exceptions=True)

    def _new_client(self) -> ModbusBaseClient:
        settings = self._settings
        common: dict[str, Any] = {
            "timeout": 2 * self._timeout_s,  # ours comes first, so that one reason is given
            "retries": 0,
            "reconnect_delay": 0,
            "trace_connect": self._connection_changed,
            "trace_packet": self._packet,
        }
        if settings.transport == "serial":
            return AsyncModbusSerialClient(
                str(settings.device),
                baudrate=settings.baud_rate,
                parity=_PARITIES[settings.parity],
                stopbits=settings.stop_bits,
                **common,
            )
        framer = FramerType.SOCKET if settings.transport == "tcp" else FramerType.RTU
        return AsyncModbusTcpClient(str(settings.host), port=settings.port, framer=framer, **common)

    def _connection_changed(self, connected: bool) -> None:  # noqa: FBT001 - pymodbus calls it so
        if not connected and not self._lost.done():
            self._lost.set_result(_CLOSED)

    def _packet(self, sending: bool, packet: bytes) -> bytes:  # noqa: FBT001 - as above
        """Look at a request on its way, or at the bytes heard since; no bytes are no reply."""
        if sending:
            self._asked = packet
            self.sent += 1
            return packet
        self._heard += 1
        if self._settings.transport == "serial":
            return packet if self._asked else b""
        if self._asked is None:
            self._tell(self._lost, _UNASKED)
            return b""
        if reason := misfit(self._settings.transport, self._asked, packet):
            self._tell(self._doubt, reason)
            return b""
        return packet

    @staticmethod
    def _tell(future: asyncio.Future[str], reason: str) -> None:
        if not future.done():
            future.set_result(reason)


async def _awaited(ask: Ask, client: ModbusBaseClient, unit: int) -> ModbusPDU:
    return await ask(client, unit)
