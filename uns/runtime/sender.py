"""Sends an outbox: in order, again after every lost broker memory, until the record has it.

One sender per MQTT connection and outbox. Entries are settled by the historian's watermark
documents; what stays unsettled for too long is sent again from the head, with back-off. Nothing is
sent before the watermarks were heard: an outbox restored from an old copy would say other things
under numbers that were used before.
"""

import asyncio
import json
import logging
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Final, NamedTuple, Protocol

from uns.fold import Mark
from uns.mqtt.message import Message
from uns.runtime.outbox import Outbox

RESEND_AFTER_S_MIN: Final = 3.0
RESEND_AFTER_S_MAX: Final = 12.0
LOOK_S: Final = 1.0
RESEND_ENTRIES: Final = 2_000
PROBE_ENTRIES: Final = 5
"""Of a source whose oldest event still does not settle: the record is away, not the events."""
SEND_BATCH: Final = 500

log = logging.getLogger(__name__)


class Publisher(Protocol):
    """The part of the client port that is used here."""

    connected: asyncio.Event

    async def send(
        self, topic: str, payload: bytes, *, retain: bool = False
    ) -> asyncio.Future[None]:
        """Hand a QoS 1 message over; the future is done at the PUBACK."""

    async def drain(self) -> None:
        """Wait for all acks."""


class Told(NamedTuple):
    """What the record last told of a source."""

    mark: Mark
    settled: int


class Head(NamedTuple):
    """The oldest unsettled event of a source: since when it is that, and when to send again."""

    position: int
    due_s: float
    delay_s: float


class Sender:
    """Sends the entries of an outbox through a publisher; `run` until cancelled.

    is_ours: whether a source speaks through this outbox.
    """

    def __init__(
        self, outbox: Outbox, publisher: Publisher, is_ours: Callable[[str], bool]
    ) -> None:
        self._outbox = outbox
        self._publisher = publisher
        self._is_ours = is_ours
        self._told: dict[str, Told] = {}
        self._heard = asyncio.Event()
        self._sent = 0
        self._wake = asyncio.Event()
        self._heads: dict[str, Head] = {}

    def wake(self) -> None:
        """New entries stand in the outbox."""
        self._wake.set()

    def sent(self, position: int) -> None:
        """The owner sent everything up to a position itself."""
        self._sent = max(self._sent, position)

    def rewind(self) -> None:
        """The broker may have forgotten: send everything unsettled again."""
        self._sent = 0
        self._wake.set()

    def settled(self, message: Message) -> None:
        """Take a watermark document of the historian."""
        if not message.payload:
            return
        document = json.loads(message.payload)
        source = document["source"]
        if not self._is_ours(source):
            return
        mark = Mark(document["epoch"], document["seq"])
        self._told[source] = Told(mark, document["settled"])
        if self._heard.is_set():
            self._compare({source: mark})
            self._settle(source)

    def heard(self) -> None:
        """All watermarks that the broker keeps were taken: from now on entries are sent."""
        self._compare({source: told.mark for source, told in self._told.items()})
        for source in self._told:
            self._settle(source)
        self._heard.set()

    def _compare(self, told: Mapping[str, Mark]) -> None:
        if self._outbox.reconcile(told):
            log.warning("the record has more than this outbox: it is an old copy; a new epoch")
            self.rewind()

    def _settle(self, source: str) -> None:
        (epoch, _), settled = self._told[source]
        waiting = self._outbox.has_older
        self._outbox.settle(source, epoch, settled)
        if waiting and not self._outbox.has_older:
            self.rewind()

    async def run(self) -> None:
        """Send what is new; of a source whose oldest event does not settle, that again."""
        loop = asyncio.get_running_loop()
        await self._heard.wait()
        while True:
            await self._publisher.connected.wait()
            await self._send_new()
            await self._resend(loop.time())
            with suppress(TimeoutError):
                async with asyncio.timeout(LOOK_S):
                    await self._wake.wait()
            self._wake.clear()

    async def _send_new(self) -> None:
        while entries := self._outbox.unsettled(self._sent, SEND_BATCH):
            for entry in entries:
                await self._publisher.send(entry.topic, entry.payload)
                self.sent(entry.position)
            await asyncio.sleep(0)

    async def _resend(self, now_s: float) -> None:
        heads = self._outbox.heads()
        for source, position in heads.items():
            head = self._heads.get(source)
            if head is None or head.position != position:
                due_s = now_s + RESEND_AFTER_S_MIN
                self._heads[source] = Head(position, due_s, RESEND_AFTER_S_MIN)
            elif now_s >= head.due_s:
                delay_s = min(2 * head.delay_s, RESEND_AFTER_S_MAX)
                self._heads[source] = Head(position, now_s + delay_s, delay_s)
                is_first = head.delay_s == RESEND_AFTER_S_MIN
                await self._send_head(source, RESEND_ENTRIES if is_first else PROBE_ENTRIES)
        self._heads = {source: h for source, h in self._heads.items() if source in heads}

    async def _send_head(self, source: str, limit: int) -> None:
        entries = self._outbox.unsettled_of(source, limit)
        if entries:
            log.warning("%s: %d unsettled from %d on, again", source, len(entries), entries[0].seq)
        for entry in entries:
            await self._publisher.send(entry.topic, entry.payload)
