"""The MQTT bridge: hears a foreign namespace, on a foreign broker or on the hub's own.

Owns the session, what belongs together in time, and the acknowledgement: a message is done when
what it said is durable. Nothing waits at the broker while we are away: counters go on by value, and
what else a source holds is retained there. Does not know what topics or payloads mean (mapping.py).
"""

import asyncio
import json
from collections.abc import AsyncGenerator, Callable, Mapping
from typing import Final

from bridges.mqtt.config import MqttSettings
from bridges.mqtt.mapping import Adapter, Heard
from uns.model.observation import Link, Observation
from uns.model.plant import Plant
from uns.model.releasing import Known
from uns.mqtt.client import MqttClient
from uns.mqtt.errors import SubscribeRefused
from uns.mqtt.message import Address, Message, Session
from uns.mqtt.paho_setup import V5, V311
from uns.mqtt.server import address_of

PATIENCE_S: Final = 2.0
TOGETHER: Final = 10
"""How many times `settle_ms` messages may belong together that do not cease."""
TOGETHER_MAX: Final = 5_000

KnownFact = Callable[[str], Mapping[str, str]]


async def observe(  # noqa: PLR0913, PLR0917 - what a bridge that reads tags and orders is given
    settings: MqttSettings,
    plant: Plant,
    name: str,
    clock: Callable[[], int],
    own: Address,
    known_fact: KnownFact,
) -> AsyncGenerator[list[Observation], None]:
    """Batches of observations, for ever: one of messages that came together.

    The link is up once the broker granted every filter; down, all tags of the bridge are.
    clock: plant time in ms. own: the hub's own broker. known_fact: recorded bodies (JSON) by
    business key, for keys with a prefix.
    """
    adapter = Adapter(settings, plant, plant.served_by(name))
    ear = Ear(settings, adapter, f"uns-{plant.enterprise}-{name}", own, clock)

    def known(line: str, order_id: str) -> Known:
        prefix = f"{line}:{order_id}@"
        return {key: json.loads(body) for key, body in known_fact(prefix).items()}

    async with ear.client:
        while True:
            heard = await ear.together()
            now_ms = clock()
            told = adapter.take(heard, now_ms, known)
            if link := ear.link(now_ms):
                told = [link, *told] if link.up else [*told, link]
            if link and not link.up:
                adapter.lost()
            if told:
                yield told
            ear.done()


class Ear:
    """One session at the broker, over all its connections."""

    def __init__(
        self,
        settings: MqttSettings,
        adapter: Adapter,
        client_id: str,
        own: Address,
        clock: Callable[[], int],
    ) -> None:
        address = own if settings.server is None else address_of(settings.server)
        self.client = MqttClient(
            address,
            client_id,
            clean_session=True,
            protocol=V5 if settings.mqtt_version == 5 else V311,  # noqa: PLR2004 - MQTT's own number
            on_connect=self._subscribe,
        )
        self._endpoint = f"{address.host}:{address.port}"
        self._settle_s = settings.settle_ms / 1_000
        self._adapter = adapter
        self._clock = clock
        self._open: list[Message] = []
        self._is_up: bool | None = None
        self._is_granted = False
        self._refused: str | None = None
        self._silent_until_s = asyncio.get_running_loop().time() + PATIENCE_S

    async def together(self) -> list[Heard]:
        """Messages until none comes for a while, or it has been long enough; none at all, too.

        Each has the time when it came: what changed last has settled once none comes any more.
        """
        loop = asyncio.get_running_loop()
        heard = await self._next()
        end_s = loop.time() + TOGETHER * self._settle_s
        while heard and loop.time() < end_s and len(heard) < TOGETHER_MAX:
            if not (more := await self._next()):
                break
            heard += more
        return heard

    def done(self) -> None:
        """What was heard is durable: the broker may forget it."""
        self.client.ack(self._open)
        self._open = []

    async def _next(self) -> list[Heard]:
        messages = await self.client.receive(timeout_s=self._settle_s)
        self._open += messages
        at_ms = self._clock()
        return [Heard(each.topic, each.payload, at_ms, each.retain) for each in messages]

    def link(self, at_ms: int) -> Link | None:
        """Whether we hear, when that has changed; a first connection may take a while."""
        is_up = self.client.connected.is_set() and self._refused is None
        is_early = asyncio.get_running_loop().time() < self._silent_until_s
        if is_up is self._is_up or (not is_up and self._is_up is None and is_early):
            return None
        self._is_up = is_up
        reason = None if is_up else self._refused or self.client.refusal or "no broker"
        return Link(self._endpoint, self._adapter.feeds, is_up, at_ms, reason)

    async def _subscribe(self, _session: Session) -> None:
        """At the first connection, and at any after a refusal; else the client has done it."""
        if self._is_granted:
            return
        try:
            await self.client.subscribe(self._adapter.filters)
        except SubscribeRefused as error:
            self._refused = f"not allowed: {error}"
        else:
            self._refused, self._is_granted = None, True
