"""A listener on the line: passes bytes between a client and its broker, and notes the packets.

Reads MQTT itself (3.1.1 chapter 2 and 3, 5 where it differs), so that nothing of the client under
test vouches for what the client sends. Only what clients send is read; bounded by the test.
"""

import asyncio
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from uns.mqtt.message import Address

V5: Final = 5
CHUNK: Final = 65_536
SESSION_EXPIRY: Final = 0x11
PROPERTY_SIZES: Final = {0x11: 4, 0x21: 2, 0x27: 4, 0x22: 2, 0x19: 1, 0x17: 1}


class Connect(NamedTuple):
    """CONNECT: `expiry_s` None where the version has none or it was not stated."""

    client_id: str
    version: int
    clean: bool
    expiry_s: int | None
    will: "Publish | None"


class Subscribe(NamedTuple):
    """SUBSCRIBE: filters with their QoS."""

    filters: dict[str, int]


class Publish(NamedTuple):
    """PUBLISH, or the will of a CONNECT."""

    topic: str
    payload: bytes
    qos: int
    retain: bool


class Disconnect(NamedTuple):
    """DISCONNECT; 0 is the reason of MQTT 3.1.1."""

    reason: int


class Ended(NamedTuple):
    """The client closed the connection."""


Packet = Connect | Subscribe | Publish | Disconnect | Ended


@dataclass
class Tap:
    """What clients sent, in order; `connections` counts those open now."""

    packets: list[Packet] = field(default_factory=list)
    open: int = 0
    most_open: int = 0

    def sent(self) -> list[Publish]:
        """The messages."""
        return [packet for packet in self.packets if isinstance(packet, Publish)]

    def kinds(self) -> list[str]:
        """The order of what was sent: packet names, Sparkplug types for messages."""
        return [
            each.topic.split("/")[2]
            if isinstance(each, Publish) and "/STATE/" not in each.topic
            else "STATE"
            if isinstance(each, Publish)
            else type(each).__name__.upper()
            for each in self.packets
        ]


@asynccontextmanager
async def tapped(broker: Address) -> AsyncIterator[tuple[Address, Tap]]:
    """Listen before a broker: where clients connect to instead, and what they send."""
    tap = Tap()
    tasks: set[asyncio.Task[None]] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task
        tasks.add(task)
        tap.open += 1
        tap.most_open = max(tap.most_open, tap.open)
        there, back = await asyncio.open_connection(broker.host, broker.port)
        answers = asyncio.create_task(_pass(there, writer))
        try:
            await _note(reader, back, tap)
        finally:
            tap.open -= 1
            tap.packets.append(Ended())
            back.close()
            with suppress(OSError):
                await answers
            writer.close()
            tasks.discard(task)

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    port: int = server.sockets[0].getsockname()[1]
    try:
        yield Address("127.0.0.1", port, broker.username, broker.password), tap
    finally:
        server.close()
        for task in list(tasks):
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _pass(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
    with suppress(OSError):
        while chunk := await source.read(CHUNK):
            sink.write(chunk)
        sink.close()


async def _note(reader: asyncio.StreamReader, back: asyncio.StreamWriter, tap: Tap) -> None:
    version = 4
    with suppress(asyncio.IncompleteReadError, OSError):
        while True:
            head, body = await _packet(reader, back)
            packet = _read(head, body, version)
            if isinstance(packet, Connect):
                version = packet.version
            if packet:
                tap.packets.append(packet)


async def _packet(reader: asyncio.StreamReader, back: asyncio.StreamWriter) -> tuple[int, bytes]:
    """Read one packet and pass it on as it is."""
    raw = await reader.readexactly(1)
    length, shift = 0, 0
    while True:
        raw += await reader.readexactly(1)
        length |= (raw[-1] & 0x7F) << shift
        shift += 7
        if raw[-1] < 0x80:
            break
    body = await reader.readexactly(length)
    back.write(raw + body)
    return raw[0], body


class _Body:
    """A packet's bytes, read from the front."""

    def __init__(self, raw: bytes) -> None:
        self.raw = raw

    def take(self, size: int) -> bytes:
        taken, self.raw = self.raw[:size], self.raw[size:]
        return taken

    def number(self, size: int) -> int:
        return int.from_bytes(self.take(size), "big")

    def field(self) -> bytes:
        return self.take(self.number(2))

    def properties(self) -> dict[int, int]:
        """The properties that clients of these tests send."""
        inner = _Body(self.take(self.number(1)))
        found = {}
        while inner.raw:
            key = inner.number(1)
            found[key] = inner.number(PROPERTY_SIZES[key])
        return found


def _read(head: int, raw: bytes, version: int) -> Packet | None:
    body = _Body(raw)
    match head >> 4:
        case 1:
            return _connect(body)
        case 3:
            topic, qos = body.field().decode(), head >> 1 & 3
            body.take(2 if qos else 0)
            if version == V5:
                body.properties()
            return Publish(topic, body.raw, qos, bool(head & 1))
        case 8:
            body.take(2)
            if version == V5:
                body.properties()
            filters = {}
            while body.raw:
                name = body.field().decode()
                filters[name] = body.number(1) & 3
            return Subscribe(filters)
        case 14:
            return Disconnect(body.number(1) if body.raw else 0)
    return None


def _connect(body: _Body) -> Connect:
    body.field()
    version, flags, _keepalive = struct.unpack(">BBH", body.take(4))
    properties = body.properties() if version == V5 else {}
    client_id = body.field().decode()
    will = None
    if flags & 4:
        if version == V5:
            body.properties()
        topic, payload = body.field().decode(), body.field()
        will = Publish(topic, payload, flags >> 3 & 3, bool(flags & 0x20))
    return Connect(client_id, version, bool(flags & 2), properties.get(SESSION_EXPIRY), will)
