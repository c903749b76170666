"""The Sparkplug bridge: a host application on the hub's broker that follows one edge node.

Owns the host's MQTT sessions: each says online with the timestamp of its own will. Does not know
births, aliases or order (uns.sparkplug.host) or what a metric means (mapping.py). One message of
the edge node is one batch, so that what it changed together is seen together, and in order.
"""

import asyncio
import logging
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from typing import Final

from bridges.sparkplug.config import SparkplugSettings
from bridges.sparkplug.mapping import Directory, all_down, directory_of, observations, unmapped
from uns.model.observation import Observation
from uns.model.plant import Place
from uns.mqtt.client import MqttClient
from uns.mqtt.errors import MqttError
from uns.mqtt.message import Address, Message, Session, Will
from uns.sparkplug import state
from uns.sparkplug.host import HostLimits, HostSession, rebirth_command
from uns.sparkplug.outputs import HostOutput, Ignored, Online, Publish, RebirthRequest
from uns.sparkplug.topic import NAMESPACE, state_topic

log = logging.getLogger(__name__)

TICK_S: Final = 0.1
PATIENCE_S: Final = 2.0
GOODBYE_TIMEOUT_S: Final = 1.0
KEEPALIVE_S: Final = 5


async def observe(
    settings: SparkplugSettings,
    places: Mapping[str, Place],
    clock: Callable[[], int],
    address: Address,
) -> AsyncGenerator[list[Observation], None]:
    """Batches of observations, for ever: one a message of the edge node.

    A link is up from the birth of its device on; the batch has a reading of every tag.
    clock: plant time in ms. address: the hub's broker.
    """
    host = Host(settings, directory_of(settings, places), clock)
    while True:
        connection = Connection(settings, address, clock)
        async with connection.opened():
            while not connection.lost.is_set():
                for message in await connection.received():
                    await connection.contradict(message)
                    if told := await host.take(message, connection):
                        yield told
                if told := await host.tick(connection):
                    yield told
        if told := host.disconnected():
            yield told


class Host:
    """What this host believes of the edge node, and what it has said of it."""

    def __init__(
        self, settings: SparkplugSettings, directory: Directory, clock: Callable[[], int]
    ) -> None:
        self._clock = clock
        self._directory = directory
        self._session = HostSession(
            HostLimits(
                reorder_timeout_ms=settings.reorder_timeout_ms,
                rebirth_interval_ms=settings.rebirth_interval_ms,
            )
        )
        self._impatient_at_s: float | None = asyncio.get_running_loop().time() + PATIENCE_S
        self._ignored = ""
        self._unmapped: dict[str | None, list[str]] = {}

    async def take(self, message: Message, connection: "Connection") -> list[Observation]:
        """What a message says."""
        now_ms = self._clock()
        outputs = self._session.receive(
            message.topic, message.payload, now_ms, retained=message.retain
        )
        return await self._told(outputs, connection, now_ms)

    async def tick(self, connection: "Connection") -> list[Observation]:
        """What the passing of time says: a gap stayed open, a birth never came."""
        now_ms = self._clock()
        wake_ms = self._session.wake_at_ms
        outputs = self._session.tick(now_ms) if wake_ms is not None and wake_ms <= now_ms else []
        told = await self._told(outputs, connection, now_ms)
        return told + self._missed(connection, now_ms)

    def disconnected(self) -> list[Observation]:
        """What the loss of the broker says."""
        now_ms = self._clock()
        return observations(self._session.disconnected(now_ms), self._directory, now_ms)

    def _missed(self, connection: "Connection", now_ms: int) -> list[Observation]:
        """Say once that nothing was heard since the start."""
        now_s = asyncio.get_running_loop().time()
        if self._impatient_at_s is None or now_s < self._impatient_at_s:
            return []
        self._impatient_at_s = None
        reason = "no birth of the edge node" if connection.is_up else connection.trouble
        log.warning("%s: %s", self._directory.node, reason)
        return all_down(self._directory, reason, now_ms)

    async def _told(
        self, outputs: list[HostOutput], connection: "Connection", now_ms: int
    ) -> list[Observation]:
        for output in outputs:
            match output:
                case RebirthRequest():
                    await connection.ask_for_births()
                case Online():
                    self._impatient_at_s = None
                    self._log_unmapped(output)
                case Ignored(reason, topic) if reason != self._ignored:
                    self._ignored = reason
                    log.info("%s ignored: %s", topic, reason)
        return observations(outputs, self._directory, now_ms)

    def _log_unmapped(self, online: Online) -> None:
        names = unmapped(online, self._directory)
        if names != self._unmapped.get(online.device, []):
            endpoint = self._directory.endpoint(online.device)
            log.info("%s: no tag shows %s", endpoint, ", ".join(names) or "nothing more")
        self._unmapped[online.device] = names


class Connection:
    """One MQTT session of the host, from its connect to its loss (`lost`)."""

    def __init__(
        self, settings: SparkplugSettings, address: Address, clock: Callable[[], int]
    ) -> None:
        self.lost = asyncio.Event()
        self.is_up = False
        self._settings = settings
        self._clock = clock
        self._at_ms = clock()
        will = state.offline(settings.host_id, self._at_ms)
        self._client = MqttClient(
            address,
            f"host-{settings.host_id}-{settings.edge_node}",
            clean_session=True,
            will=Will(will.topic, will.payload, qos=1, retain=will.retain),
            keepalive_s=KEEPALIVE_S,
            on_connect=self._serve,
        )

    @property
    def trouble(self) -> str:
        """Why there is no session."""
        return self._client.refusal or "no broker"

    @asynccontextmanager
    async def opened(self) -> AsyncIterator[None]:
        """Connect in the background; at the end say goodbye, if there is anybody to say it to."""
        async with self._client:
            try:
                yield
            finally:
                if self.is_up:
                    await self._say_goodbye()

    async def received(self) -> list[Message]:
        """The next messages, or none after a tick."""
        batch = await self._client.receive(timeout_s=TICK_S)
        self._client.ack(batch)
        return batch

    async def ask_for_births(self) -> None:
        """Send the edge node a rebirth request, if there is a session to send it in."""
        if self.is_up:
            group, edge_node = self._settings.group, self._settings.edge_node
            await self._send(rebirth_command(group, edge_node, self._clock()))

    async def contradict(self, message: Message) -> None:
        """Say online again, if somebody said that we are not."""
        host_id = self._settings.host_id
        said = state.answer(host_id, message.topic, message.payload, self._at_ms)
        if said and not message.retain and self.is_up:
            await self._send(said)

    async def _serve(self, _session: Session) -> None:
        """Subscribe, say online, ask for births; cancelled when the connection is lost.

        A client that has connected again by itself came with a will of the past: it stays silent
        for the moment until it is replaced.
        """
        if self.lost.is_set():
            return
        try:
            await self._client.subscribe(self._filters())
            await self._send(state.online(self._settings.host_id, self._at_ms))
            self.is_up = True
            await self.ask_for_births()
            await asyncio.Event().wait()
        finally:
            self.is_up = False
            self.lost.set()

    def _filters(self) -> list[str]:
        group, edge_node = self._settings.group, self._settings.edge_node
        return [
            state_topic(self._settings.host_id),
            f"{NAMESPACE}/{group}/+/{edge_node}",
            f"{NAMESPACE}/{group}/+/{edge_node}/+",
        ]

    async def _say_goodbye(self) -> None:
        with suppress(TimeoutError, MqttError):
            async with asyncio.timeout(GOODBYE_TIMEOUT_S):
                await self._send(state.offline(self._settings.host_id, self._clock()))
                await self._client.drain()

    async def _send(self, message: Publish) -> None:
        await self._client.send(
            message.topic, message.payload, qos=1 if message.qos else 0, retain=message.retain
        )
