"""What the two programs to be examined share: one MQTT session, and orders of one line.

Owns a session that is made once: a second connect would come with a will of the past, so it is
the end of the session instead. Does not know what an edge node or a host says in it.
"""

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from types import TracebackType
from typing import Any, Final, Literal, NamedTuple, Protocol, Self

from paho.mqtt.enums import MQTTProtocolVersion

from uns.mqtt.client import MqttClient
from uns.mqtt.errors import Closed
from uns.mqtt.message import Address, Message, Session, Will
from uns.mqtt.paho_setup import V5, V311
from uns.sparkplug.outputs import Publish

Version = Literal["3.1.1", "5"]
VERSIONS: Final[Mapping[Version, MQTTProtocolVersion]] = {"3.1.1": V311, "5": V5}
CONNECT_TIMEOUT_S: Final = 5.0
KEEPALIVE_S: Final = 5
TICK_S: Final = 0.05


class UnknownWord(Exception):  # noqa: N818 - it names what was said
    """An order that nobody here understands; the message lists those that are."""

    def __init__(self, word: str, known: Iterable[str]) -> None:
        super().__init__(f"{word!r} is none of: {', '.join(known)}")


class Say(Protocol):
    """Takes what happened, and the details by name."""

    def __call__(self, what: str, **details: Any) -> None:
        """Tell one thing."""


class Opening(NamedTuple):
    """How a session begins: as whom, with which will, and what it subscribes to."""

    client_id: str
    will: Publish
    filters: Sequence[str]
    version: Version


class Line:
    """One MQTT session, while the `async with` lasts.

    `up` is set when the subscriptions stand, `lost` when the connection was lost; then nothing is
    sent or heard any more. A will that the DISCONNECT should send all the same (MQTT 5) is asked
    for by `with_will`.
    """

    def __init__(self, address: Address, opening: Opening, *, with_will: bool) -> None:
        self.up = asyncio.Event()
        self.lost = asyncio.Event()
        self._filters = opening.filters
        self._with_will = with_will
        topic, payload, qos, retain = opening.will
        self._client = MqttClient(
            address,
            opening.client_id,
            clean_session=True,
            will=Will(topic, payload, 1 if qos else 0, retain),
            protocol=VERSIONS[opening.version],
            keepalive_s=KEEPALIVE_S,
            on_connect=self._greet,
        )
        self._guard: asyncio.Task[None] | None = None

    @property
    def trouble(self) -> str:
        """Why there is no session."""
        return self._client.refusal or "no answer"

    async def __aenter__(self) -> Self:
        """Begin to connect."""
        await self._client.__aenter__()
        self._guard = asyncio.create_task(self._end_when_lost())
        return self

    async def __aexit__(
        self,
        _kind: type[BaseException] | None,
        _error: BaseException | None,
        _tb: TracebackType | None,
    ) -> None:
        if self._guard:
            if not self.lost.is_set():
                self._guard.cancel()
            await asyncio.wait({self._guard})
        await self._client.disconnect(with_will=self._with_will)

    async def stands(self) -> bool:
        """Wait for the session; False when the server does not answer."""
        try:
            async with asyncio.timeout(CONNECT_TIMEOUT_S):
                await self.up.wait()
        except TimeoutError:
            return False
        return True

    async def send(self, message: Publish) -> None:
        """Hand a message over; those of one caller leave in order."""
        topic, payload, qos, retain = message
        with suppress(Closed):
            await self._client.send(topic, payload, qos=1 if qos else 0, retain=retain)

    async def heard(self) -> list[Message]:
        """The next messages, or none after a tick."""
        with suppress(Closed):
            batch = await self._client.receive(timeout_s=TICK_S)
            self._client.ack(batch)
            return batch
        return []

    async def _end_when_lost(self) -> None:
        """Keep the client from connecting again with the will of a session that is over."""
        await self.lost.wait()
        await self._client.disconnect()

    async def _greet(self, _session: Session) -> None:
        try:
            await self._client.subscribe(self._filters)
            self.up.set()
            await asyncio.Event().wait()
        finally:
            self.up.clear()
            self.lost.set()
