"""Sends an outbox: in order, again after every lost broker memory, until the record has it.

One sender per MQTT connection and outbox. Entries are settled by the historian's watermark
documents; what stays unsettled for too long is sent again from the head, with back-off.
"""

import asyncio
import json
import logging
from typing import Final, Protocol

from uns.model.path import key_of
from uns.mqtt.message import Message
from uns.runtime.outbox import Outbox

RESEND_AFTER_S_MIN: Final = 3.0
RESEND_AFTER_S_MAX: Final = 60.0
RESEND_ENTRIES: Final = 2_000
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


def watermark_topic(enterprise: str, source: str) -> str:
    """Where the historian says how far it has a source on record."""
    return f"{enterprise}/_hub/watermark/{key_of(source)}"


class Sender:
    """Sends the entries of an outbox through a publisher; `run` until cancelled."""

    def __init__(self, outbox: Outbox, publisher: Publisher) -> None:
        self._outbox = outbox
        self._publisher = publisher
        self._sent = 0
        self._wake = asyncio.Event()
        self._resend_after_s = RESEND_AFTER_S_MIN
        self._progress = False

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
        if self._outbox.settle(document["source"], document["epoch"], document["settled"]):
            self._progress = True
            self._resend_after_s = RESEND_AFTER_S_MIN

    async def run(self) -> None:
        """Send what is new; what is old and unsettled, again."""
        while True:
            await self._publisher.connected.wait()
            await self._send_new()
            try:
                async with asyncio.timeout(self._resend_after_s):
                    await self._wake.wait()
                self._wake.clear()
            except TimeoutError:
                await self._resend_head()

    async def _send_new(self) -> None:
        while entries := self._outbox.unsettled(self._sent, SEND_BATCH):
            for entry in entries:
                await self._publisher.send(entry.topic, entry.payload)
                self.sent(entry.position)
            await asyncio.sleep(0)

    async def _resend_head(self) -> None:
        head = self._outbox.unsettled(0, RESEND_ENTRIES)
        if self._progress or not head:
            self._progress = False
            return
        log.warning(
            "%d events unsettled for %.0f s: sending again", len(head), self._resend_after_s
        )
        for entry in head:
            await self._publisher.send(entry.topic, entry.payload)
        self._resend_after_s = min(2 * self._resend_after_s, RESEND_AFTER_S_MAX)
