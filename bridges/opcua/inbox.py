"""What a server has published and nobody has taken yet: in order, bounded, and never silent.

Owns the hand-over between the library's publish loop and the bridge, and the watch for silence.
Does not know what the values mean.
"""

import asyncio
from collections.abc import Callable
from typing import Final, NamedTuple

from asyncua import ua

from bridges.opcua.errors import LostError
from bridges.opcua.mapping import OVERFLOW_BITS

ITEMS_MAX: Final = 10_000
ELEMENTS_MAX: Final = 1_000_000
"""An array counts with its elements, a text with its characters: the bound is one of memory too."""
SEQUENCE_MAX: Final = 2**32 - 1
"""After this one a publish has the number 1 (part 4, 5.13.1.1)."""


class News(NamedTuple):
    """A value that the server published, and when it came here."""

    handle: int
    value: ua.DataValue
    heard_ms: int


class Inbox:
    """Notifications of one subscription.

    A publish is taken as a whole: what the server sampled together stays together. When the taker
    falls behind, old values of a node give way to its newest, so the bound is ITEMS_MAX and
    ELEMENTS_MAX, or one value of each node where that is more; the newest then says so with the
    overflow bit, as it would had the server's queue been too short.
    clock: plant time in ms.
    """

    def __init__(self, clock: Callable[[], int]) -> None:
        self._clock = clock
        self._items: list[News] = []
        self._part: list[News] = []
        self._ready = asyncio.Event()
        self._loss: str | None = None
        self._sequence = 0  # the first publish of a subscription has 1 (part 4, 5.13.1.1)
        self._heard_s = _now_s()
        self._silence_s = float("inf")

    def watch(self, silence_s: float) -> None:
        """From now on, silence for this long is a loss."""
        self._heard_s = _now_s()
        self._silence_s = silence_s

    def published(self, result: ua.PublishResult) -> None:
        """Keep a publish (part 4, 5.14.5); a keep-alive has no data and is a sign of life."""
        self._heard_s, heard_ms = _now_s(), self._clock()
        message = result.NotificationMessage
        if not message.NotificationData:
            self._check_next(int(message.SequenceNumber))
        for data in message.NotificationData or ():
            if isinstance(data, ua.DataChangeNotification):
                self._check_sequence(int(message.SequenceNumber))
                self._part += (
                    News(int(one.ClientHandle), one.Value, heard_ms) for one in data.MonitoredItems
                )
                self._part = bounded(self._part)
            elif isinstance(data, ua.StatusChangeNotification):
                self.lose(f"the subscription ended: {data.Status.name}")
        if self._part and not result.MoreNotifications and not self._loss:
            self._items, self._part = bounded(self._items + self._part), []
            self._ready.set()

    def _check_sequence(self, number: int) -> None:
        """A missed publish would leave old values looking live, and the next one out of context."""
        if self._sequence not in (number, number - 1, number - 1 + SEQUENCE_MAX):
            self.lose(f"publish {number} came after {self._sequence}")
        self._sequence = number

    def _check_next(self, number: int) -> None:
        """A keep-alive tells the number of the next publish (part 4, 5.13.1.1)."""
        if number > self._sequence + 1:
            self.lose(f"publish {self._sequence + 1} did not come")

    def lose(self, reason: str) -> None:
        """Nothing will come any more; the first reason counts."""
        self._loss = self._loss or reason
        self._ready.set()

    def nudge(self) -> None:
        """Let the taker look up now, with or without news."""
        self._ready.set()

    async def take(self, until_s: float) -> list[News]:
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


def bounded(items: list[News]) -> list[News]:
    """All of them, or the newest of each node where they are too many or too large."""
    if len(items) <= ITEMS_MAX and sum(map(_elements, items)) <= ELEMENTS_MAX:
        return items
    newest = dict[int, News]()
    for item in items:
        is_first = newest.pop(item.handle, None) is None
        newest[item.handle] = item if is_first else _after_loss(item)
    return list(newest.values())


def _elements(item: News) -> int:
    value = item.value.Value.Value if item.value.Value else None
    value = value.Body if isinstance(value, ua.ExtensionObject) else value
    return len(value) if isinstance(value, list | str | bytes) else 1


def _after_loss(item: News) -> News:
    status = item.value.StatusCode or ua.StatusCode()
    item.value.StatusCode = ua.StatusCode(ua.UInt32(status.value | OVERFLOW_BITS))
    return item


def _now_s() -> float:
    return asyncio.get_running_loop().time()
