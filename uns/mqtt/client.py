"""The client port: one MQTT connection that stays, for every process of the hub.

Joins the parts: the link that keeps the connection, the window of publishes, the subscriptions,
the inbox with its acks. Does not know what topics or payloads mean. Single-threaded: use it from
the loop that made it. The network never raises out of here: it only takes longer.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence
from contextlib import suppress
from types import TracebackType
from typing import Any, Final, NoReturn, Self

from paho.mqtt.client import MQTTMessage
from paho.mqtt.enums import MQTTErrorCode, MQTTProtocolVersion
from paho.mqtt.reasoncodes import ReasonCode
from paho.mqtt.subscribeoptions import SubscribeOptions

from uns.mqtt.errors import Closed, MqttError, PayloadTooLarge
from uns.mqtt.inbox import Inbox
from uns.mqtt.inflight import InFlight
from uns.mqtt.link import BeforeReconnect, Link, Owner
from uns.mqtt.message import (
    PAYLOAD_BYTES_MAX,
    RECEIVE_WINDOW,
    Address,
    Message,
    Outgoing,
    QoS,
    Session,
    Will,
)
from uns.mqtt.paho_setup import V5, V311, configure, paho_client
from uns.mqtt.subscriptions import Subscriptions
from uns.mqtt.wire import Wire

GOODBYE_TIMEOUT_S: Final = 2.0
INBOX_LIMIT: Final = 2 * RECEIVE_WINDOW
INBOX_BYTES: Final = 16_777_216
BATCH: Final = 500
INVALID_TOPIC: Final = "\N{REPLACEMENT CHARACTER}"
"""Stands for a topic that is no UTF-8; outside every grammar, so it ends in quarantine."""

OnConnect = Callable[[Session], Awaitable[None]]


class MqttClient:
    """An MQTT connection that is made, kept and made again while the `async with` lasts.

    address: where, and as whom.
    client_id: the identity of the session; one process at a time may use it.
    clean_session: False keeps the session at the broker while we are away.
    will: what the broker publishes when we vanish.
    window: QoS 1 publishes that may be unacknowledged; further ones wait.
    protocol: V311 or V5; only V5 can raise PublishRefused.
    retain_as_published: on V5, `Message.retain` tells how a message was published, also a new one
        (MQTT 5, 3.8.3.1); else only that it came from the retained set.
    keepalive_s: a silent connection is given up after at most twice this time.
    on_connect: awaited after each connect with whether the broker kept our session, when the
        subscriptions stand and before `connected` is set. What it raises ends the client; a lost
        connection cancels it.
    before_reconnect: awaited before every CONNECT except the first. What it raises ends the client,
        save OSError and ConnectionOver: these say that the broker is not there, and it tries on.
    inbox_limit, inbox_bytes: messages held, and bytes of theirs, before reading pauses. It does not
        pause while an answer to what this client sends is awaited.
    once: at most one CONNECT is sent; what becomes of it is the end of the client (ConnectionOver).

    `connected` is set while the connection stands and was greeted. When the client has ended
    (TakenOver, ConnectionOver, an error of a hook, Closed) every call raises why, and
    `connected` is set so that whoever waits for it comes to hear of it: `ready` does both.
    """

    def __init__(  # noqa: PLR0913 - the options of a connection, each with its default
        self,
        address: Address,
        client_id: str,
        *,
        clean_session: bool = False,
        will: Will | None = None,
        window: int = 1_000,
        protocol: MQTTProtocolVersion = V311,
        retain_as_published: bool = False,
        keepalive_s: int = 10,
        on_connect: OnConnect | None = None,
        before_reconnect: BeforeReconnect | None = None,
        inbox_limit: int = INBOX_LIMIT,
        inbox_bytes: int = INBOX_BYTES,
        once: bool = False,
    ) -> None:
        self.on_connect = on_connect
        self.before_reconnect = before_reconnect
        self.connected = asyncio.Event()
        self._window = window
        self._retain_as_published = retain_as_published and protocol == V5
        self._paho = paho_client(client_id, protocol, clean=clean_session)
        configure(self._paho, address, will, keepalive_s, clean=clean_session)
        self._wire = Wire(self._paho, self._after_read)
        owner = Owner(
            self._opened, self._disconnected, self._greet, self._before_reconnect, self._looks
        )
        self._link = Link(self._wire, address, client_id, owner, once=once)
        self._inflight = InFlight(window)
        if protocol == V5:
            self._inflight.resize(0)  # until the broker said how many it takes
        self._subscriptions = Subscriptions(self._send_subscribe)
        self._inbox = Inbox(inbox_limit, inbox_bytes)
        self._arrived = asyncio.Event()
        self._many = asyncio.Event()
        self._unconfirmed: set[int] = set()
        self._failure: BaseException | None = None
        self._life: asyncio.Task[NoReturn] | None = None
        self._paho.on_message = self._on_message
        self._paho.on_publish = self._on_publish
        self._paho.on_subscribe = self._on_subscribe

    async def __aenter__(self) -> Self:
        """Begin to connect, in the background: whoever needs the connection awaits it."""
        self._life = asyncio.create_task(self._link.run())
        self._life.add_done_callback(self._ended)
        return self

    async def __aexit__(
        self,
        _kind: type[BaseException] | None,
        _error: BaseException | None,
        _tb: TracebackType | None,
    ) -> None:
        await self.disconnect()

    async def ready(self) -> None:
        """Wait until connected and greeted; raises why the client ended."""
        await self.connected.wait()
        self._check()

    @property
    def refusal(self) -> str | None:
        """Why the broker last refused the connection; None when it did not."""
        return self._link.refusal

    @property
    def has_asked(self) -> bool:
        """Whether a CONNECT, and with it the will, has left."""
        return self._link.has_asked

    @property
    def dropped(self) -> int:
        """QoS 0 messages that came while the inbox was full and an answer had to be read."""
        return self._inbox.dropped

    async def publish(
        self, topic: str, payload: bytes, *, qos: QoS = 1, retain: bool = False
    ) -> None:
        """Publish and wait for the PUBACK; at QoS 0, until the message is handed over.

        Survives lost connections. Raises PublishRefused (MQTT 5), PayloadTooLarge, or why the
        client ended.
        """
        await (await self.send(topic, payload, qos=qos, retain=retain))

    async def publish_many(self, messages: Iterable[Outgoing]) -> None:
        """Publish in order, pipelined, and wait for all acks; raises the first failure."""
        promises = [
            await self.send(topic, payload, qos=qos, retain=retain)
            for topic, payload, retain, qos in messages
        ]
        await asyncio.gather(*promises)

    async def send(
        self, topic: str, payload: bytes, *, qos: QoS = 1, retain: bool = False
    ) -> asyncio.Future[None]:
        """Publish as soon as the window has room; the future is done at the PUBACK.

        For pipelining: await the futures, or `drain`, before acking what they follow from.
        """
        if len(payload) > PAYLOAD_BYTES_MAX:
            raise PayloadTooLarge(f"{topic}: {len(payload)} bytes, at most {PAYLOAD_BYTES_MAX}")
        if qos == 0:
            return await self._send_unconfirmed(topic, payload, retain=retain)
        await self._inflight.room()
        try:
            mid = self._publish(topic, payload, retain=retain)
        except BaseException:
            self._inflight.give_back()
            raise
        self._wire.resume()  # its PUBACK must be read, however full the inbox is
        return self._inflight.sent(mid, topic)

    async def drain(self) -> None:
        """Wait until all that is in flight is acknowledged; raises the first failure among it."""
        await self._inflight.drain()

    async def subscribe(self, filters: Sequence[str], qos: QoS = 1) -> None:
        """Subscribe, and again whenever the broker forgot; returns when it granted all.

        Raises SubscribeRefused, or why the client ended.
        """
        self._subscriptions.want(filters, qos)
        await self._ask_for(filters)

    async def receive(
        self, max_messages: int = BATCH, timeout_s: float | None = None
    ) -> list[Message]:
        """The next messages, at least one; none at all after `timeout_s`. Safe to cancel."""
        with suppress(TimeoutError):
            async with asyncio.timeout(timeout_s):
                await self._arrived.wait()
        self._check()
        batch = self._inbox.take(max_messages)
        if not len(self._inbox):
            self._arrived.clear()
        if not self._has_many:
            self._many.clear()
        if not self._inbox.full:
            self._wire.resume()
        return batch

    async def gather(self, timeout_s: float) -> None:
        """Let messages come in: until a whole batch is there, or the time is over."""
        with suppress(TimeoutError):
            async with asyncio.timeout(timeout_s):
                await self._many.wait()

    async def batches(self, max_messages: int = BATCH) -> AsyncIterator[list[Message]]:
        """All messages as they come, until `disconnect`; each batch wants an `ack`."""
        with suppress(Closed):
            while True:
                yield await self.receive(max_messages)

    def ack(self, messages: Iterable[Message]) -> None:
        """Tell the broker that these are done: it forgets them. In any order, see Inbox."""
        self._wire.acknowledge(self._inbox.acknowledge(messages))

    async def disconnect(self, *, with_will: bool = False) -> None:
        """Wait shortly for outstanding acks, say goodbye, end. Twice is once.

        The will is not published; on MQTT 5 it is, if so wished (`with_will`).
        """
        if self._link.online.is_set():
            with suppress(TimeoutError, MqttError):
                async with asyncio.timeout(GOODBYE_TIMEOUT_S):
                    await self.drain()
        if self._life:
            self._life.cancel()
            await asyncio.wait({self._life})
        await self._wire.goodbye(with_will=with_will)
        self._fail(Closed("the client was disconnected"))

    async def _send_unconfirmed(
        self, topic: str, payload: bytes, *, retain: bool
    ) -> asyncio.Future[None]:
        self._check()
        while not (self._link.online.is_set() and self._wire.writable.is_set()):
            await self._link.online.wait()
            await self._wire.writable.wait()
            self._check()
        self._unconfirmed.add(self._paho.publish(topic, payload, 0, retain).mid)
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        done.set_result(None)
        return done

    def _publish(self, topic: str, payload: bytes, *, retain: bool) -> int:
        """Hand a QoS 1 message to paho, which keeps it over reconnects; its packet id."""
        while True:
            info = self._paho.publish(topic, payload, 1, retain)
            if info.rc != MQTTErrorCode.MQTT_ERR_QUEUE_SIZE:  # else the id is still in flight
                return info.mid

    async def _ask_for(self, filters: Sequence[str]) -> None:
        while missing := self._subscriptions.missing(filters):
            await self._link.online.wait()
            self._check()
            if self._link.online.is_set():  # else it was lost before we woke
                self._wire.resume()
                await self._subscriptions.ask(missing)

    def _send_subscribe(self, filters: list[tuple[str, int]]) -> int:
        _, mid = self._paho.subscribe(self._as_asked(filters))
        if mid is None:
            raise ConnectionError("not connected")
        return mid

    def _as_asked(
        self, filters: list[tuple[str, int]]
    ) -> list[tuple[str, int]] | list[tuple[str, SubscribeOptions]]:
        if not self._retain_as_published:
            return filters
        return [(f, SubscribeOptions(qos, retainAsPublished=True)) for f, qos in filters]

    def _check(self) -> None:
        if self._failure:
            raise self._failure

    def _opened(self, session: Session, receive_maximum: int) -> None:
        self._inflight.resize(min(self._window, receive_maximum))
        self._subscriptions.opened()
        self._inbox.opened(session)
        if not len(self._inbox):
            self._arrived.clear()

    def _disconnected(self) -> None:
        self.connected.clear()
        self._unconfirmed.clear()
        self._subscriptions.lost()

    def _looks(self) -> bool:
        return self.before_reconnect is not None

    async def _before_reconnect(self) -> None:
        if self.before_reconnect:
            await self.before_reconnect()

    async def _greet(self, session: Session) -> None:
        await self._ask_for(self._subscriptions.wanted)
        if self.on_connect:
            await self.on_connect(session)
        self.connected.set()

    def _ended(self, life: asyncio.Task[NoReturn]) -> None:
        if not life.cancelled() and (failure := life.exception()):
            self._wire.drop()
            self._fail(failure)

    def _fail(self, failure: BaseException) -> None:
        if self._failure is None:
            self._failure = failure
            self._inflight.fail(failure)
            for waiting in (self._link.online, self._arrived, self._many, self.connected):
                waiting.set()

    @property
    def _awaits_answer(self) -> bool:
        return bool(len(self._inflight) or len(self._subscriptions))

    @property
    def _has_many(self) -> bool:
        return len(self._inbox) >= BATCH or self._inbox.full

    def _after_read(self) -> None:
        if len(self._inbox):
            self._arrived.set()
        if self._has_many:
            self._many.set()
        if self._inbox.full and not self._awaits_answer:
            self._wire.pause()

    def _on_message(self, _paho: Any, _userdata: Any, message: MQTTMessage) -> None:
        try:
            topic = message.topic
        except UnicodeDecodeError:
            topic = INVALID_TOPIC
        payload = bytes(message.payload)
        here = self._inbox.connection
        self._inbox.put(
            Message(topic, payload, message.qos, message.retain, message.dup, message.mid, here),
            reading_must_go_on=self._awaits_answer,
        )

    def _on_publish(
        self, _paho: Any, _userdata: Any, mid: int, reason: ReasonCode, _properties: Any
    ) -> None:
        if mid in self._unconfirmed:  # paho reports QoS 0 as well, when it is written
            self._unconfirmed.discard(mid)
        else:
            self._inflight.acknowledged(mid, reason.value)

    def _on_subscribe(
        self, _paho: Any, _userdata: Any, mid: int, reasons: list[ReasonCode], _properties: Any
    ) -> None:
        self._subscriptions.answered(mid, [reason.value for reason in reasons])
