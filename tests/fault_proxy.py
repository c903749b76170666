"""A TCP proxy that does to a connection what networks do: delay, slice, hang, reset, cut.

Owns the bytes between one client side and one server side. It knows no protocol. Everything is
bounded: connections, the bytes it holds, and the time a cut lasts.
"""

import asyncio
import socket
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Final

CONNECTIONS_MAX: Final = 200
READ_BYTES_MAX: Final = 65_536
CONNECT_S_MAX: Final = 5.0
_LINGER_0: Final = struct.pack("ii", 1, 0)


class FaultProxy:
    """One listening port in front of one server.

    latency_s: every read waits that long before it is passed on, in each direction.
    slice_bytes: pass on at most so many bytes at once, each in a segment of its own; 0 is as is.
    """

    def __init__(self, host: str, port: int) -> None:
        self.latency_s = 0.0
        self.slice_bytes = 0
        self.accepted = 0
        self._target = (host, port)
        self._server: asyncio.Server | None = None
        self._place = socket.socket()
        self._place.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        self._place.bind(("127.0.0.1", 0))  # holds the port while nobody listens
        self._is_hanging = False
        self._pairs: set[asyncio.Task[None]] = set()
        self._writers: set[asyncio.StreamWriter] = set()

    @property
    def port(self) -> int:
        """Where it listens, on the loopback; the same all its life."""
        port: int = self._place.getsockname()[1]
        return port

    async def listen(self) -> None:
        """Accept connections from now on."""
        self._server = await asyncio.start_server(
            self._connected, "127.0.0.1", self.port, limit=READ_BYTES_MAX, reuse_port=True
        )

    async def close(self) -> None:
        """Leave the port, and no connection behind."""
        await self.refuse()
        self._place.close()

    async def refuse(self) -> None:
        """Refuse connections and reset those that are open, until it listens again."""
        if self._server:
            self._server.close()
            self._server = None
        self.reset()
        if self._pairs:
            await asyncio.wait(self._pairs)

    async def cut(self, for_s: float) -> None:
        """Reset every connection and refuse new ones for so long; then the link is back."""
        await self.refuse()
        await asyncio.sleep(for_s)
        await self.listen()

    def reset(self) -> None:
        """Reset every connection; new ones are welcome."""
        for writer in self._writers:
            sock: socket.socket = writer.get_extra_info("socket")
            with suppress(OSError):
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _LINGER_0)
            writer.transport.abort()
        for pair in self._pairs:
            pair.cancel()

    def hang(self) -> None:
        """Half-open from now on: accept, take every byte and pass none on, and close nothing."""
        self._is_hanging = True

    def heal(self) -> None:
        """Be a plain proxy again. What was swallowed is lost, so open connections are reset."""
        self.latency_s, self.slice_bytes = 0.0, 0
        if self._is_hanging:
            self._is_hanging = False
            self.reset()

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task
        if len(self._pairs) >= CONNECTIONS_MAX:
            writer.transport.abort()
            return
        self.accepted += 1
        self._pairs.add(task)
        self._writers.add(writer)
        try:
            await self._serve(reader, writer)
        except (OSError, TimeoutError, asyncio.CancelledError):
            pass  # a pair ends with either side, or with a reset; its client learns it by the close
        finally:
            writer.transport.abort()
            self._pairs.discard(task)
            self._writers.discard(writer)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self._is_hanging:
            await _swallow(reader)
            return
        async with asyncio.timeout(CONNECT_S_MAX):
            far_reader, far_writer = await asyncio.open_connection(
                *self._target, limit=READ_BYTES_MAX
            )
        self._writers.add(far_writer)
        ways = [
            asyncio.ensure_future(self._pass_on(reader, far_writer)),
            asyncio.ensure_future(self._pass_on(far_reader, writer)),
        ]
        try:
            await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for way in ways:
                way.cancel()
            await asyncio.gather(*ways, return_exceptions=True)
            far_writer.transport.abort()
            self._writers.discard(far_writer)

    async def _pass_on(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One direction, until its end."""
        while received := await reader.read(READ_BYTES_MAX):
            await asyncio.sleep(self.latency_s)
            if not self._is_hanging:
                await self._write(received, writer)
        if self._is_hanging:
            await asyncio.Future()  # a half-open link does not pass on an end either

    async def _write(self, received: bytes, writer: asyncio.StreamWriter) -> None:
        size = self.slice_bytes or len(received)
        for start in range(0, len(received), size):
            writer.write(received[start : start + size])
            await writer.drain()
            await asyncio.sleep(0)


async def _swallow(reader: asyncio.StreamReader) -> None:
    while await reader.read(READ_BYTES_MAX):
        pass


@asynccontextmanager
async def proxied(host: str, port: int) -> AsyncIterator[FaultProxy]:
    """A proxy in front of a server, closed at the end."""
    proxy = FaultProxy(host, port)
    await proxy.listen()
    try:
        yield proxy
    finally:
        await proxy.close()
