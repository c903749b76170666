"""One edge node's MQTT sessions, one after another: a will, a bd_seq and a client for each.

Owns connecting, the walk over the servers, and the goodbye. Does not know what is said or when
(uns.sparkplug.edge_session), nor where the values come from. Nothing is said but in `_speak`, so
that messages leave in the order of their seq.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from random import SystemRandom
from typing import Final, NamedTuple, Protocol

from paho.mqtt.enums import MQTTProtocolVersion

from uns.mqtt.client import MqttClient
from uns.mqtt.errors import MqttError, SubscribeRefused
from uns.mqtt.message import Address, Will
from uns.mqtt.paho_setup import V5
from uns.mqtt.reconnect import delay_s
from uns.sparkplug.edge import Write
from uns.sparkplug.edge_session import EdgeSession
from uns.sparkplug.edge_settings import Connecting
from uns.sparkplug.outputs import Ignored, Publish

log = logging.getLogger(__name__)
jitter = SystemRandom().random

CONNECT_TIMEOUT_S: Final = 5.0
GOODBYE_TIMEOUT_S: Final = 1.0
TICK_S: Final = 0.1
KEEPALIVE_S: Final = 5


class Memory(Protocol):
    """What keeps the bd_seq of the last CONNECT over restarts."""

    def remember(self, bd_seq: int) -> None:
        """Keep it before the CONNECT is sent."""


class Route(NamedTuple):
    """How the servers are reached, as whom."""

    servers: Sequence[Address]
    client_id: str
    version: MQTTProtocolVersion


class Hearers(NamedTuple):
    """Who is told: that the edge node was born or is gone (why), and what a host wants written."""

    standing: Callable[[bool, str | None], None]
    write: Callable[[Write], None]


class Node:
    """Runs one edge node until cancelled; `wake` it when the session has something new.

    clock: UTC in ms.
    """

    def __init__(
        self,
        session: EdgeSession,
        memory: Memory,
        route: Route,
        clock: Callable[[], int],
        hearers: Hearers,
    ) -> None:
        self.wake = asyncio.Event()
        self._session = session
        self._memory = memory
        self._route = route
        self._clock = clock
        self._hearers = hearers
        self._is_up: bool | None = None

    async def run(self) -> None:
        """Keep the edge node connected, to one server at a time."""
        attempt = 0
        while True:
            attempt = 0 if await self._connection() else attempt + 1
            await asyncio.sleep(delay_s(attempt, jitter()))

    async def _connection(self) -> bool:
        """One MQTT session, from its connect to its end; whether the node was born in it."""
        plan = self._session.connecting()
        self._memory.remember(plan.bd_seq)
        line = _Line(self._route, plan)
        was_heard = False
        try:
            async with line.opened():
                try:
                    if await line.stands():
                        await self._serve(line)
                finally:
                    was_heard = await self._leave(line)
        finally:
            was_born = self._session.is_born
            self._stand(is_up=False, reason=self._reason(line))
            self._session.ended(was_asked=line.client.has_asked, was_heard=was_heard)
        return was_born

    async def _serve(self, line: "_Line") -> None:
        """Speak and hear until the connection is lost or the primary host is gone."""
        self._session.connected(self._clock())
        tasks = [
            asyncio.create_task(step)
            for step in (self._speak(line.client), self._hear(line.client))
        ]
        try:
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            with suppress(MqttError):
                for task in done:
                    task.result()
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _speak(self, client: MqttClient) -> None:
        while not self._session.leaves(self._clock()):
            self.wake.clear()
            while message := self._session.next(self._clock()):
                await self._say(client, message)
            with suppress(TimeoutError):
                async with asyncio.timeout(TICK_S):
                    await self.wake.wait()

    async def _say(self, client: MqttClient, message: Publish) -> None:
        try:
            await client.send(message.topic, message.payload, qos=0, retain=message.retain)
        except BaseException:
            self._session.refused()
            raise
        self._session.accepted(self._clock())
        self._stand(is_up=True)
        await asyncio.sleep(0)  # a long history must not keep the others from their turn

    async def _hear(self, client: MqttClient) -> None:
        async for batch in client.batches():
            for message in batch:
                self._take(message.topic, message.payload)
            client.ack(batch)
            self.wake.set()

    def _take(self, topic: str, raw: bytes) -> None:
        for output in self._session.receive(topic, raw, self._clock()):
            match output:
                case Write():
                    self._hearers.write(output)
                case Ignored(reason, where):
                    log.info("%s ignored: %s", where, reason)

    async def _leave(self, line: "_Line") -> bool:
        """Say goodbye if there is anybody to say it to; whether all that was said has arrived."""
        if not line.is_up:
            return False
        host_is_there = not self._session.leaves(self._clock())
        death = self._session.death()
        with suppress(TimeoutError, MqttError):
            async with asyncio.timeout(GOODBYE_TIMEOUT_S):
                await line.client.publish(death.topic, death.payload, qos=1, retain=death.retain)
                return host_is_there
        return False

    def _reason(self, line: "_Line") -> str:
        if self._session.leaves(self._clock()):
            return "the primary host is offline"
        return line.client.refusal or line.trouble

    def _stand(self, *, is_up: bool, reason: str | None = None) -> None:
        if is_up != self._is_up:
            self._is_up = is_up
            self._hearers.standing(is_up, reason)


class _Line:
    """One MQTT session of one CONNECT: a second would come with a will of the past.

    `is_up` when the subscriptions stood, `trouble` says why they do not.
    """

    def __init__(self, route: Route, plan: Connecting) -> None:
        self.is_up = False
        self.trouble = "no connection"
        self._filters = plan.filters
        self._with_will = route.version == V5
        will = plan.will
        self.client = MqttClient(
            route.servers[plan.server],
            route.client_id,
            clean_session=True,
            will=Will(will.topic, will.payload, qos=1, retain=will.retain),
            protocol=route.version,
            keepalive_s=KEEPALIVE_S,
            once=True,
        )

    async def stands(self) -> bool:
        """Wait for the session; False when the server gives none."""
        try:
            async with asyncio.timeout(CONNECT_TIMEOUT_S):
                await self.client.subscribe(self._filters)
        except TimeoutError:
            self.trouble = "no answer"
        except SubscribeRefused as refused:
            self.trouble = f"subscription refused: {refused}"
        except MqttError as error:
            self.trouble = str(error)
        else:
            self.is_up = True
        return self.is_up

    @asynccontextmanager
    async def opened(self) -> AsyncIterator[None]:
        """Connect in the background; at the end MQTT 5 says that the will is meant, too."""
        await self.client.__aenter__()
        try:
            yield
        finally:
            await self.client.disconnect(with_will=self._with_will)
