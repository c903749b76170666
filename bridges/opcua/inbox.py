"""What a server has published and nobody has taken yet: in order, bounded, and never silent.

Owns the hand-over between the library's publish loop and the bridge, and the watch for silence.
Does not know what the values mean.
"""

import asyncio
from typing import Final

from asyncua import ua

from bridges.opcua.errors import LostError

ITEMS_MAX: Final = 10_000
SEQUENCE_MAX: Final = 2**32 - 1
"""After this one a publish has the number 1 (part 4, 5.13.1.1)."""


class Inbox:
    """Notifications of one subscription.

    A publish is taken as a whole: what the server sampled together stays together. When the taker
    falls behind, old values of a node give way to its newest, so the bound is ITEMS_MAX or the
    number of nodes, whichever is greater.
    """

    def __init__(self) -> None:
        self._items: list[ua.MonitoredItemNotification] = []
        self._part: list[ua.MonitoredItemNotification] = []
        self._ready = asyncio.Event()
        self._loss: str | None = None
        self._sequence: int | None = None
        self._heard_s = _now_s()
        self._silence_s = float("inf")

    def watch(self, silence_s: float) -> None:
        """From now on, silence for this long is a loss."""
        self._heard_s = _now_s()
        self._silence_s = silence_s

    def published(self, result: ua.PublishResult) -> None:
        """Keep a publish (part 4, 5.14.5); a keep-alive has no data and is a sign of life."""
        self._heard_s = _now_s()
        message = result.NotificationMessage
        for data in message.NotificationData or ():
            if isinstance(data, ua.DataChangeNotification):
                self._check_sequence(int(message.SequenceNumber))
                self._part = _bounded(self._part + data.MonitoredItems)
            elif isinstance(data, ua.StatusChangeNotification):
                self.lose(f"the subscription ended: {data.Status.name}")
        if self._part and not result.MoreNotifications and not self._loss:
            self._items, self._part = _bounded(self._items + self._part), []
            self._ready.set()

    def _check_sequence(self, number: int) -> None:
        """A missed publish would leave old values looking live, and the next one out of context."""
        if self._sequence not in (None, number, number - 1, number - 1 + SEQUENCE_MAX):
            self.lose(f"publish {number} came after {self._sequence}")
        self._sequence = number

    def lose(self, reason: str) -> None:
        """Nothing will come any more; the first reason counts."""
        self._loss = self._loss or reason
        self._ready.set()

    def nudge(self) -> None:
        """Let the taker look up now, with or without news."""
        self._ready.set()

    async def take(self, until_s: float) -> list[ua.MonitoredItemNotification]:
        """Everything that waits; nothing if nothing came until then (the loop's time).

        LostError when the connection ended or was silent too long; what came before that
        is handed out first.
        """
        while not self._ready.is_set() and _now_s() < until_s:
            if _now_s() >= self._heard_s + self._silence_s:
                raise LostError(f"silent for {self._silence_s * 1000:.0f} ms")
            try:
                async with asyncio.timeout_at(min(until_s, self._heard_s + self._silence_s)):
                    await self._ready.wait()
            except TimeoutError:
                continue
        if self._loss and not self._items:
            raise LostError(self._loss)
        items, self._items = self._items, []
        if not self._loss:
            self._ready.clear()
        return items


def _bounded(items: list[ua.MonitoredItemNotification]) -> list[ua.MonitoredItemNotification]:
    if len(items) <= ITEMS_MAX:
        return items
    return list({item.ClientHandle: item for item in items}.values())


def _now_s() -> float:
    return asyncio.get_running_loop().time()
