"""Sources whose clock is wrong and networks that repeat and shuffle: as values, and as a publisher.

Owns what is done to an event's time before it is made, and to the order of messages on their way.
"""

import asyncio
import random
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Final

from uns.mqtt.client import MqttClient

IDLE_S: Final = 0.2
LATE_TYPE: Final = "counted"
"""Of other types the time matters to the sums; that of a count, to the shift it counts in."""


@dataclass(frozen=True)
class Disorder:
    """copies: how often each message is sent. window: messages are shuffled among so many.

    late_every, late_ms: each so-many-th count is told that late. jumps: (from which event on, ms
    that the source's clock is off), in order.
    """

    copies: int = 1
    window: int = 1
    late_every: int = 0
    late_ms: int = 0
    jumps: Sequence[tuple[int, int]] = ()

    def stamp(self, number: int, kind: str, at_ms: int) -> int:
        """The time that the source gives to its event of a number."""
        off_ms = next((off for first, off in reversed(self.jumps) if number >= first), 0)
        is_late = self.late_every and kind == LATE_TYPE and number % self.late_every == 0
        return at_ms + off_ms - (self.late_ms if is_late else 0)


class Shuffling:
    """A publisher that passes messages on several times and in another order."""

    def __init__(self, client: MqttClient, disorder: Disorder, seed: int) -> None:
        self.connected = client.connected
        self._client = client
        self._disorder = disorder
        self._chance = random.Random(seed)
        self._held: list[tuple[str, bytes]] = []
        self._known: set[bytes] = set()
        self._news = asyncio.Event()

    async def send(
        self, topic: str, payload: bytes, *, retain: bool = False
    ) -> asyncio.Future[None]:
        """Hold copies back, of a resend one; the future is done at once: the outbox knows."""
        assert not retain
        self._held += [(topic, payload)] * (1 if payload in self._known else self._disorder.copies)
        self._known.add(payload)
        self._news.set()
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        done.set_result(None)
        return done

    async def drain(self) -> None:
        """As the client."""
        await self._client.drain()

    async def run(self) -> None:
        """Pass on, for ever: by chance one of those that are held, all when nothing comes."""
        while True:
            with suppress(TimeoutError):
                async with asyncio.timeout(IDLE_S):
                    await self._news.wait()
            least = self._disorder.window * self._disorder.copies if self._news.is_set() else 0
            self._news.clear()
            while len(self._held) > least:
                place = self._chance.randrange(len(self._held))
                self._held[place], self._held[-1] = self._held[-1], self._held[place]
                await self._client.send(*self._held.pop())
