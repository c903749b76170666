"""One MQTT session of the host: connect with a will, subscribe, say online, say goodbye.

Owns STATE and the subscriptions. Does not know births, tags or writes.
"""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from typing import Final

from bridges.sparkplug.config import SparkplugSettings
from uns.mqtt.client import MqttClient
from uns.mqtt.errors import MqttError, SubscribeRefused
from uns.mqtt.message import Address, Message, Session, Will
from uns.mqtt.paho_setup import V5, V311
from uns.mqtt.server import address_of
from uns.sparkplug import state
from uns.sparkplug.outputs import Publish
from uns.sparkplug.topic import CERTIFICATES, NAMESPACE, state_topic

TICK_S: Final = 0.1
GOODBYE_TIMEOUT_S: Final = 1.0
KEEPALIVE_S: Final = 5


def broker_of(settings: SparkplugSettings, own: Address) -> Address:
    """The broker to go to: the foreign one that the settings name, or the hub's own."""
    return own if settings.server is None else address_of(settings.server)


class Connection:
    """One MQTT session, from its connect to its loss (`lost`); `is_up` when STATE was said."""

    def __init__(
        self, settings: SparkplugSettings, address: Address, clock: Callable[[], int]
    ) -> None:
        self.lost = asyncio.Event()
        self.is_up = False
        self._settings = settings
        self._clock = clock
        self._at_ms = clock()
        self._number: int | None = None
        will = state.offline(settings.host_id, self._at_ms)
        self._client = MqttClient(
            address,
            f"host-{settings.host_id}",
            clean_session=True,
            will=None
            if settings.passive
            else Will(will.topic, will.payload, qos=1, retain=will.retain),
            protocol=V5 if settings.mqtt_version == 5 else V311,  # noqa: PLR2004 - MQTT's own number
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
                if self.is_up and not self._settings.passive:
                    await self._say_goodbye()

    async def received(self) -> list[Message]:
        """The next messages, or none after a tick; after the loss, those that came before it.

        What a client hears that has connected again by itself is left out: between the two
        connections a birth may have gone unheard.
        """
        batch = await self._client.receive(timeout_s=TICK_S)
        self._client.ack(batch)
        if self._number is None and batch and not self.lost.is_set():
            self._number = batch[0].connection
        return [message for message in batch if message.connection == self._number]

    async def send(self, message: Publish) -> bool:
        """Send a command, if there is a session to send it in; whether there was."""
        if self.is_up and not self._settings.passive:
            await self._publish(message)
            return True
        return False

    async def contradict(self, message: Message) -> None:
        """Say online again, if somebody said that we are not."""
        said = state.answer(self._settings.host_id, message.topic, message.payload, self._at_ms)
        if said and not message.retain:
            await self.send(said)

    async def _serve(self, _session: Session) -> None:
        """Subscribe, say online; cancelled when the connection is lost.

        A client that has connected again by itself came with a will of the past: it stays silent
        for the moment until it is replaced.
        """
        if self.lost.is_set():
            return
        try:
            if self._settings.restart == "catalogue":
                with suppress(SubscribeRefused):  # a broker that is not aware may refuse it
                    await self._client.subscribe([f"{CERTIFICATES}{NAMESPACE}/#"])
            await self._client.subscribe([f"{NAMESPACE}/#", state_topic(self._settings.host_id)])
            if not self._settings.passive:
                await self._publish(state.online(self._settings.host_id, self._at_ms))
            self.is_up = True
            await asyncio.Event().wait()
        finally:
            self.is_up = False
            self.lost.set()

    async def _say_goodbye(self) -> None:
        with suppress(TimeoutError, MqttError):
            async with asyncio.timeout(GOODBYE_TIMEOUT_S):
                await self._publish(state.offline(self._settings.host_id, self._clock()))
                await self._client.drain()

    async def _publish(self, message: Publish) -> None:
        await self._client.send(
            message.topic, message.payload, qos=1 if message.qos else 0, retain=message.retain
        )
