"""The life of a connection: made, kept, judged when it is lost, made again; without an end.

Owns when to connect and the verdict that we were taken over. Does not know subscriptions,
publishes or messages: the owner hears `opened` and `lost`, and gets to greet in between.
"""

import asyncio
import logging
import socket
from collections.abc import Awaitable, Callable, Coroutine
from random import SystemRandom
from typing import Any, Final, NamedTuple, NoReturn

from paho.mqtt.client import ConnectFlags
from paho.mqtt.reasoncodes import ReasonCode

from uns.mqtt.errors import ConnectionOver, TakenOver
from uns.mqtt.message import Address, Session
from uns.mqtt.reconnect import Losses, delay_s
from uns.mqtt.wire import Wire, dial

log = logging.getLogger(__name__)
jitter = SystemRandom().random

CONNECT_TIMEOUT_S: Final = 5.0
SESSION_TAKEN_OVER: Final = 0x8E
RECEIVE_MAXIMUM_DEFAULT: Final = 65_535

BeforeReconnect = Callable[[], Awaitable[None]]


class Owner(NamedTuple):
    """Whom a link serves. `opened` and `lost` run at once, between two packets.

    opened: with the session and the broker's receive maximum (MQTT 5, 3.2.2.3.3).
    greet: the owner's work after each connect; cancelled when the connection is lost.
    before_reconnect: awaited before every CONNECT except the first. An OSError or ConnectionOver
        of it is an attempt that failed; whatever else it raises ends the link.
    looks: whether it looks who owns the id; then losses in quick succession are no verdict.
    """

    opened: Callable[[Session, int], None]
    lost: Callable[[], None]
    greet: Callable[[Session], Coroutine[Any, Any, None]]
    before_reconnect: BeforeReconnect
    looks: Callable[[], bool]


class Link:
    """Keeps one wire connected, or connects it `once`.

    `refusal` is why the broker last said no, None when it said yes; `has_asked` whether a CONNECT
    has left.
    """

    def __init__(
        self, wire: Wire, address: Address, client_id: str, owner: Owner, *, once: bool = False
    ) -> None:
        self.online = asyncio.Event()
        self.refusal: str | None = None
        self.has_asked = False
        self._once = once
        self._wire = wire
        self._address = address
        self._name = f"{client_id} at {address.host}:{address.port}"
        self._owner = owner
        self._losses = Losses()
        self._opening: asyncio.Future[Session]
        self._loss: asyncio.Future[int]
        wire.on_bug = self._on_bug
        wire.paho.on_connect = self._on_connect
        wire.paho.on_disconnect = self._on_disconnect

    async def run(self) -> NoReturn:
        """Connect and stay connected; raises TakenOver, ConnectionOver, or what a hook raised."""
        attempt, opening = 0, self._open
        while True:
            try:
                session = await opening()
            except (OSError, ConnectionOver) as error:  # a TimeoutError is one
                if self._once:
                    raise ConnectionOver(f"no connection ({str(error) or 'timeout'})") from error
                self._losses.broker_absent()
                self._log_absence(attempt, error)
                attempt += 1
            else:
                log.info("%s: connected, %s session", self._name, session.value)
                await self._judge(await self._serve(session))
                attempt = 0
            opening = self._open_again
            await asyncio.sleep(delay_s(attempt, jitter()))

    async def _open_again(self) -> Session:
        await self._owner.before_reconnect()
        return await self._open()

    async def _open(self) -> Session:
        try:
            async with asyncio.timeout(CONNECT_TIMEOUT_S):
                return await self._ask(await dial(self._address))
        except TimeoutError:
            self._wire.drop()  # CONNACK may have come at that moment: then its loss is told too
            raise

    async def _ask(self, sock: socket.socket) -> Session:
        loop = asyncio.get_running_loop()
        self.has_asked = True
        self._opening, self._loss = loop.create_future(), loop.create_future()
        self._wire.attach(sock)
        try:
            return await self._opening
        finally:
            if not self.online.is_set():
                self._wire.drop()

    async def _serve(self, session: Session) -> int:
        greeting = asyncio.create_task(self._owner.greet(session))
        try:
            await asyncio.wait((greeting, self._loss), return_when=asyncio.FIRST_COMPLETED)
            if greeting.done():
                greeting.result()
            return await self._loss
        finally:
            greeting.cancel()
            await asyncio.gather(greeting, return_exceptions=True)

    async def _judge(self, reason_code: int) -> None:
        """Accept a loss, or raise TakenOver or ConnectionOver."""
        again = self._losses.lost(asyncio.get_running_loop().time()) and not self._owner.looks()
        if reason_code == SESSION_TAKEN_OVER or (again and await self._broker_listens()):
            raise TakenOver(
                f"{self._name}: another process uses this client id "
                "(or the broker closes on what we send: see its log)"
            )
        if self._once:
            raise ConnectionOver("connection lost")
        log.warning("%s: connection lost, connecting again", self._name)

    async def _broker_listens(self) -> bool:
        """Look without a CONNECT, which would throw the other owner out."""
        try:
            async with asyncio.timeout(CONNECT_TIMEOUT_S):
                (await dial(self._address)).close()
        except OSError:
            return False
        return True

    def _on_bug(self, bug: Exception) -> None:
        """Let `run` raise what a callback raised."""
        hearing = self._loss if self._opening.done() else self._opening
        if not hearing.done():
            hearing.set_exception(bug)

    def _log_absence(self, attempt: int, error: Exception) -> None:
        if attempt == 0:
            log.warning("%s: no connection (%s), trying on", self._name, error or "timeout")

    def _on_connect(
        self, _paho: Any, _userdata: Any, flags: ConnectFlags, reason: ReasonCode, properties: Any
    ) -> None:
        self.refusal = str(reason) if reason.is_failure else None
        if self._opening.done():
            return
        if reason.is_failure:
            self._opening.set_exception(ConnectionRefusedError(str(reason)))
            return
        self.online.set()
        session = Session.KEPT if flags.session_present else Session.NEW
        self._owner.opened(session, getattr(properties, "ReceiveMaximum", RECEIVE_MAXIMUM_DEFAULT))
        self._opening.set_result(session)

    def _on_disconnect(
        self, _paho: Any, _userdata: Any, _flags: Any, reason: ReasonCode, _props: Any
    ) -> None:
        if not self._opening.done():
            self._opening.set_exception(ConnectionResetError(str(reason)))
        if self.online.is_set():
            self.online.clear()
            self._owner.lost()
        if not self._loss.done():
            self._loss.set_result(reason.value)
