"""The places of paho and of uns.mqtt.wire, under the real client port.

Owns what paho does for the port: packet ids, and QoS 1 kept over reconnects. world.py puts them
in.
"""

import asyncio
from asyncio import Future
from collections.abc import Callable
from contextlib import suppress
from typing import Final, NamedTuple

from paho.mqtt.enums import MQTTErrorCode, MQTTProtocolVersion

from tests.sim.broker import Hello, Said, Sent
from tests.sim.loop import current
from tests.sim.network import Connection

LINGER_S: Final = 1.0
MID_MAX: Final = 65_535
SUCCESS: Final = 0
UNSPECIFIED: Final = 0x80


class Flags(NamedTuple):
    """What CONNACK carries."""

    session_present: bool


class Reason(NamedTuple):
    """A reason code."""

    value: int

    @property
    def is_failure(self) -> bool:
        return self.value >= UNSPECIFIED

    def __str__(self) -> str:
        return "Unspecified error" if self.value else "Success"


class Info(NamedTuple):
    """What paho says of a publish."""

    mid: int
    rc: MQTTErrorCode


class Incoming(NamedTuple):
    """A message as paho gives it."""

    topic: str
    payload: bytes
    qos: int
    retain: bool
    dup: bool
    mid: int


class SimPaho:
    """paho's client, as far as the client port uses it: it keeps QoS 1 over reconnects."""

    on_connect: Callable[..., None]
    on_disconnect: Callable[..., None]
    on_message: Callable[..., None]
    on_publish: Callable[..., None]
    on_subscribe: Callable[..., None]

    def __init__(self, client_id: str, protocol: MQTTProtocolVersion, *, clean: bool) -> None:
        self.protocol = protocol
        self.connection: Connection | None = None
        self._process = current()
        self._client_id, self._clean = client_id, clean
        self._will: Said | None = None
        self._out: dict[int, Said] = {}
        self._is_welcome = False
        self._mid = 0

    def username_pw_set(self, username: str | None, password: str | None) -> None:
        """Everybody may do everything here."""

    def connect_async(self, host: str, port: int, keepalive: int) -> None:
        """The address is always the same."""

    def will_set(self, topic: str, payload: bytes, _qos: int, retain: bool) -> None:  # noqa: FBT001 - paho's signature
        self._will = Said(topic, payload, retain)

    def attached(self, wire: "SimWire", connection: Connection) -> None:
        self._process.step()
        self.connection, self._is_welcome = connection, False
        connection.say_hello(wire, Hello(self._client_id, self._clean, self._will))

    def publish(self, topic: str, payload: bytes, _qos: int, retain: bool) -> Info:  # noqa: FBT001 - paho's signature
        self._process.step()
        mid = self._next_mid()
        self._out[mid] = Said(topic, payload, retain)
        if not (self.connection and self._is_welcome):
            return Info(mid, MQTTErrorCode.MQTT_ERR_NO_CONN)
        self.connection.say(mid, self._out[mid])
        return Info(mid, MQTTErrorCode.MQTT_ERR_SUCCESS)

    def subscribe(self, filters: list[tuple[str, int]]) -> tuple[MQTTErrorCode, int | None]:
        self._process.step()
        if not self.connection:
            return MQTTErrorCode.MQTT_ERR_NO_CONN, None
        mid = self._next_mid()
        self.connection.ask(mid, [topic_filter for topic_filter, _ in filters])
        return MQTTErrorCode.MQTT_ERR_SUCCESS, mid

    def ack(self, mid: int) -> None:
        self._process.step()
        if self.connection:
            self.connection.ack(mid)

    def lost(self) -> None:
        if self.connection:
            self.connection = None
            self.on_disconnect(self, None, None, Reason(UNSPECIFIED), None)

    def welcome(self, *, kept: bool) -> None:
        self.on_connect(self, None, Flags(kept), Reason(SUCCESS), None)
        self._is_welcome = True
        if self.connection:
            for mid, said in self._out.items():
                self.connection.say(mid, said)

    def hand(self, sent: Sent) -> None:
        self.on_message(self, None, Incoming(*sent))

    def puback(self, mid: int) -> None:
        if self._out.pop(mid, None):
            self.on_publish(self, None, mid, Reason(SUCCESS), None)

    def suback(self, mid: int, codes: list[int]) -> None:
        self.on_subscribe(self, None, mid, [Reason(code) for code in codes], None)

    def _next_mid(self) -> int:
        while True:
            self._mid = self._mid % MID_MAX + 1
            if self._mid not in self._out:
                return self._mid


class SimWire:
    """The place of uns.mqtt.wire.Wire: its public face, over a Connection."""

    on_bug: Callable[[Exception], None]

    def __init__(self, paho: SimPaho, after_read: Callable[[], None]) -> None:
        self.paho = paho
        self.writable = asyncio.Event()
        self._after_read = after_read
        self._connection: Connection | None = None
        self._is_over: Future[None] | None = None

    def attach(self, connection: Connection) -> None:
        self._connection = connection
        self.writable.set()
        self.paho.attached(self, connection)

    def pause(self) -> None:
        if self._connection:
            self._connection._down.stalled = True

    def resume(self) -> None:
        if self._connection and self._connection._down.stalled:
            self._connection._down.go_on()

    def acknowledge(self, mids: list[int]) -> None:
        for mid in mids:
            self.paho.ack(mid)

    def drop(self) -> None:
        if connection := self._connection:
            connection.close()
            self.ended(connection)

    async def goodbye(self, *, with_will: bool = False) -> None:
        if not (connection := self._connection):
            return
        self._is_over = asyncio.get_running_loop().create_future()
        if not with_will:
            connection.bye()
        with suppress(TimeoutError):
            async with asyncio.timeout(LINGER_S):
                await self._is_over
        self.drop()

    def welcome(self, *, kept: bool) -> None:
        self.paho.welcome(kept=kept)

    def hand(self, sent: Sent) -> None:
        self.paho.hand(sent)

    def puback(self, mid: int) -> None:
        self.paho.puback(mid)

    def suback(self, mid: int, codes: list[int]) -> None:
        self.paho.suback(mid, codes)

    def read(self, connection: Connection) -> None:
        if connection is self._connection:
            self._after_read()

    def ended(self, connection: Connection) -> None:
        if connection is not self._connection:
            return
        self._connection = None
        connection.close()
        self.paho.lost()
        if self._is_over and not self._is_over.done():
            self._is_over.set_result(None)
        self._after_read()
