"""Modbus devices for tests: pymodbus servers behind each transport, and a serial line of one's own.

Owns servers and pseudo-terminals. `Devices` is what a test turns: values, delays, refusals.
"""

import asyncio
import os
import tty
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, Final

from pymodbus import FramerType
from pymodbus.constants import ExcCodes
from pymodbus.server import ModbusTcpServer
from pymodbus.simulator import DataType, SimData, SimDevice

from tests.brokers import free_port

REGISTERS: Final = 200
WRITE_REGISTERS: Final = 16
HOST: Final = "127.0.0.1"


@dataclass
class Devices:
    """Units behind one connection, each with 200 registers and 64 bits a table.

    asked: unit, function, address and count of each request. refuse: by unit and function.
    mute: units that do not answer. connections: how many were opened.
    """

    settings: dict[str, Any] = field(default_factory=dict)
    asked: list[tuple[int, int, int, int]] = field(default_factory=list)
    refuse: dict[tuple[int, int], ExcCodes] = field(default_factory=dict)
    mute: set[int] = field(default_factory=set)
    connections: int = 0
    server: Any = None

    async def write(self, unit: int, address: int, values: list[int]) -> None:
        """Let a unit have registers."""
        await self.server.async_setValues(unit, WRITE_REGISTERS, address, values)

    async def read(self, unit: int, address: int) -> int:
        """A register of a unit."""
        (value,) = await self.server.async_getValues(unit, 3, address, 1)
        return int(value)

    def polls(self, unit: int) -> int:
        """How often a unit was read."""
        return sum(one == unit and function <= 4 for one, function, *_ in self.asked)

    def simulated(self, unit: int) -> SimDevice:
        """A unit that does as told."""

        async def action(function: int, _: int, address: int, count: int, *__: Any) -> Any:
            self.asked.append((unit, function, address, count))
            return self.refuse.get((unit, function))

        bits = [SimData(0, count=1, values=[False] * 64, datatype=DataType.BITS)]
        words = [SimData(0, count=REGISTERS, datatype=DataType.REGISTERS)]
        return SimDevice(unit, simdata=(bits, list(bits), words, list(words)), action=action)


@asynccontextmanager
async def devices(
    transport: str = "tcp", units: tuple[int, ...] = (1, 2)
) -> AsyncIterator[Devices]:
    """Units on one transport."""
    them = Devices()

    def passing(sending: bool, pdu: Any) -> Any:  # noqa: FBT001 - pymodbus calls it so
        if sending or pdu.dev_id not in them.mute:
            return pdu
        them.asked.append((pdu.dev_id, pdu.function_code, pdu.address, pdu.count))
        return None

    def connected(up: bool) -> None:  # noqa: FBT001 - pymodbus calls it so
        them.connections += up

    port = free_port()
    server: Any = ModbusTcpServer(
        [them.simulated(unit) for unit in units],
        address=(HOST, port),
        framer=FramerType.SOCKET if transport == "tcp" else FramerType.RTU,
        trace_connect=connected,
        trace_pdu=passing,
    )
    them.server = server
    await server.serve_forever(background=True)
    async with AsyncExitStack() as stack:
        stack.push_async_callback(server.shutdown)
        them.settings = {"transport": transport, "host": HOST, "port": port}
        if transport == "serial":
            path = await stack.enter_async_context(_pty_to(port))
            them.settings = {"transport": "serial", "device": path, "parity": "none"}
        yield them


@asynccontextmanager
async def _pty_to(port: int) -> AsyncIterator[str]:
    """A pseudo-terminal whose bytes go to a TCP port and back."""
    reader, writer = await asyncio.open_connection(HOST, port)
    async with terminal(writer.write) as (path, say):
        carrying = asyncio.create_task(_carry(reader, say))
        try:
            yield path
        finally:
            carrying.cancel()
            writer.close()


async def _carry(reader: asyncio.StreamReader, say: Callable[[bytes], None]) -> None:
    while heard := await reader.read(1024):
        say(heard)


@asynccontextmanager
async def terminal(
    hear: Callable[[bytes], None],
) -> AsyncIterator[tuple[str, Callable[[bytes], None]]]:
    """A serial port: its path, and how to say something at its other end."""
    master, slave = os.openpty()
    tty.setraw(slave)
    loop = asyncio.get_running_loop()

    def say(said: bytes) -> None:
        os.write(master, said)

    loop.add_reader(master, lambda: hear(os.read(master, 1024)))
    try:
        yield os.ttyname(slave), say
    finally:
        loop.remove_reader(master)
        os.close(slave)
        os.close(master)


def with_crc(frame: bytes) -> bytes:
    """An RTU frame: Modbus over Serial Line V1.02, 6.2.2."""
    crc = 0xFFFF
    for byte in frame:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0xA001 if crc & 1 else 0)
    return frame + crc.to_bytes(2, "little")
