"""paho on an asyncio loop: one thread, one recv and one send for all packets of a wake-up.

Owns the socket, its buffers and the registration with the loop. Knows nothing of reconnecting,
windows or messages: that is the client's. paho alone would ask the kernel three times for each
packet it reads and once for each it writes, and it would block the loop while it connects; so
it is given a socket that is already connected and that answers from memory.
"""

import asyncio
import socket
import time
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final

from paho.mqtt.client import Client
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.reasoncodes import ReasonCode

from uns.mqtt.message import Address

if TYPE_CHECKING:
    from paho.mqtt.client import SocketLike

READ_BYTES: Final = 65_536
WRITE_BYTES_MAX: Final = 1_048_576
MISC_INTERVAL_S: Final = 1.0
LINGER_S: Final = 1.0
WITH_WILL: Final = ReasonCode(PacketTypes.DISCONNECT, identifier=0x04)


async def dial(address: Address) -> socket.socket:
    """Open a TCP connection without Nagle's delay, or raise OSError."""
    loop = asyncio.get_running_loop()
    error: OSError = ConnectionRefusedError(f"no address for {address.host}")
    for family, kind, proto, _, place in await loop.getaddrinfo(
        address.host, address.port, type=socket.SOCK_STREAM
    ):
        sock = socket.socket(family, kind, proto)
        try:
            sock.settimeout(0.0)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            await loop.sock_connect(sock, place)
            _refuse_own_echo(sock)
        except OSError as refused:
            sock.close()
            error = refused
        except BaseException:
            sock.close()
            raise
        else:
            return sock
    raise error


def _refuse_own_echo(sock: socket.socket) -> None:
    """A free local port can connect to itself (TCP simultaneous open): that is no broker."""
    if sock.getsockname() == sock.getpeername():
        raise ConnectionRefusedError("connected to itself: nobody listens there")


class BufferedSocket:
    """What paho takes for a socket: reads from and writes to memory, `fill` and `flush` do I/O."""

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        self._in = b""
        self._at = 0
        self._ended = False
        self._out = bytearray()

    @property
    def unread(self) -> bool:
        """Whether `recv` has something to say: bytes, or the end."""
        return self._at < len(self._in) or self._ended

    @property
    def unsent(self) -> int:
        """Bytes that wait for the kernel."""
        return len(self._out)

    def recv(self, size: int) -> bytes:
        """The next bytes; b"" at the end of the connection; BlockingIOError when there are none."""
        start = self._at
        data = self._in[start : start + size]
        if not data and not self._ended:
            raise BlockingIOError
        self._at = start + len(data)
        return data

    def send(self, data: bytes | bytearray) -> int:
        """Take a whole packet, or none of it when too much is waiting."""
        if len(self._out) > WRITE_BYTES_MAX:
            raise BlockingIOError
        self._out += data
        return len(data)

    def fill(self) -> None:
        """Read once what the kernel has; an error of the connection is its end."""
        if self._ended:
            return
        try:
            data = self._sock.recv(READ_BYTES)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        self._in, self._at, self._ended = data, 0, not data

    def flush(self) -> None:
        """Write what the kernel takes; raises OSError when the connection is gone."""
        try:
            while self._out:
                del self._out[: self._sock.send(self._out)]
        except BlockingIOError:
            return

    def abandon(self) -> None:
        """Make the reader see the end now."""
        self._in, self._at, self._ended = b"", 0, True

    def close(self) -> None:
        """Give the kernel the last bytes (a DISCONNECT), then close."""
        with suppress(OSError):
            self.flush()
        self._out.clear()
        self._sock.close()

    def duplicate(self) -> socket.socket:
        """A second handle, which keeps the connection open when this one is closed."""
        return self._sock.dup()

    def fileno(self) -> int:
        """The number of the real socket, for the loop."""
        return self._sock.fileno()

    def setblocking(self, flag: bool) -> None:  # noqa: FBT001 - paho's signature
        """It never blocks, whatever paho asks."""


class PahoOnSocket(Client):
    """paho's client with one seam: it takes the socket it is given instead of connecting."""

    next_socket: BufferedSocket

    def _create_socket(self) -> "SocketLike":
        return self.next_socket

    def is_there(self) -> None:
        """Take the broker for alive until now, though its PINGRESP may stand behind much else."""
        self._ping_t = 0.0
        with self._msgtime_mutex:
            self._last_bytes_received = time.monotonic()


class Wire:
    """One paho client on the running loop.

    after_read: runs after each chunk of packets.
    on_bug: set by the owner; takes what paho or a callback raised, the connection is closed then.
    """

    on_bug: Callable[[Exception], None]

    def __init__(self, paho: PahoOnSocket, after_read: Callable[[], None]) -> None:
        self.paho = paho
        self._after_read = after_read
        self._loop = asyncio.get_running_loop()
        self._socket: BufferedSocket | None = None
        self._misc: asyncio.TimerHandle | None = None
        self._paused = False
        self._heard = False
        self.writable = asyncio.Event()
        paho.on_socket_register_write = self._on_register_write
        paho.on_socket_close = self._on_socket_close

    def attach(self, sock: socket.socket) -> None:
        """Begin a connection on a connected socket: paho sends CONNECT on it."""
        connection = self.paho.next_socket = BufferedSocket(sock)
        self.paho.reconnect()
        self._socket = connection
        self._paused = False
        self._loop.add_reader(connection, self._guarded, self._read)
        self._misc = self._loop.call_later(MISC_INTERVAL_S, self._guarded, self._do_misc)
        self.writable.set()

    def pause(self) -> None:
        """Stop reading: the kernel's buffers fill, then the broker waits, and is believed alive."""
        if self._socket and not self._paused:
            self._paused = True
            self._loop.remove_reader(self._socket)

    def resume(self) -> None:
        """Read again."""
        if self._socket and self._paused:
            self._paused = False
            self._loop.add_reader(self._socket, self._guarded, self._read)

    def acknowledge(self, mids: list[int]) -> None:
        """Queue one PUBACK for each packet id, in order (MQTT 3.1.1, 3.4)."""
        for mid in mids:
            self.paho.ack(mid, 1)

    def drop(self) -> None:
        """End the connection at once, without a DISCONNECT: the will is published."""
        if self._socket:
            self._socket.abandon()
            self._read()

    async def goodbye(self, *, with_will: bool = False) -> None:
        """End the connection with a DISCONNECT, and wait shortly until the broker has read it.

        with_will: have the will published all the same (MQTT 5, 3.14.2.1, reason 0x04).
        The broker closes when it comes to our DISCONNECT (MQTT 3.1.1, 3.14.4). Closing first would
        reset the connection if anything is unread here: our last acks would be lost, and the will
        published after all.
        """
        if self._socket is None:
            return
        lingering = self._socket.duplicate()
        self.paho.disconnect(WITH_WILL if with_will else None)
        self._write()
        self.drop()
        with lingering, suppress(OSError):  # a TimeoutError is one
            async with asyncio.timeout(LINGER_S):
                while await self._loop.sock_recv(lingering, READ_BYTES):
                    pass

    def _guarded(self, step: Callable[[], None]) -> None:
        try:
            step()
        except Exception as bug:  # noqa: BLE001 - the loop would only log it, and the client hang
            self._close()
            self.on_bug(bug)

    def _read(self) -> None:
        connection = self._socket
        if connection is None:
            return
        connection.fill()
        self._heard = True
        while connection.unread and self._socket is connection:
            self.paho.loop_read()
        self._after_read()

    def _write(self) -> None:
        connection = self._socket
        if connection is None:
            return
        self.paho.loop_write()
        try:
            connection.flush()
        except OSError:
            self._read()
        else:
            self._await_writable(connection)

    def _await_writable(self, connection: BufferedSocket) -> None:
        if self._socket is not connection:
            return
        if connection.unsent or self.paho.want_write():
            self.writable.clear()
            self._loop.add_writer(connection, self._guarded, self._write)
        elif not self.writable.is_set():
            self.writable.set()
            self._loop.remove_writer(connection)

    def _do_misc(self) -> None:
        if self._paused or self._heard:
            self.paho.is_there()
        self._heard = False
        self.paho.loop_misc()
        if self._socket:
            self._misc = self._loop.call_later(MISC_INTERVAL_S, self._guarded, self._do_misc)

    def _on_register_write(self, _paho: Client, _userdata: Any, _sock: Any) -> None:
        self._loop.call_soon(self._guarded, self._write)

    def _on_socket_close(self, _paho: Client, _userdata: Any, _sock: Any) -> None:
        self._close()

    def _close(self) -> None:
        if self._socket is None:
            return
        self._loop.remove_reader(self._socket)
        self._loop.remove_writer(self._socket)
        self._socket.close()
        self._socket = None
        self.writable.set()
        if self._misc:
            self._misc.cancel()
