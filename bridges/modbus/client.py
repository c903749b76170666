"""The Modbus bridge: polls one device in a fixed rhythm and tells what has changed.

Owns when to connect, when to poll and what is news. Does not know the wire (device.py) or what
registers mean (mapping.py). Nothing is queued: a poll happens when the last batch is durable.
"""

import asyncio
import logging
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from random import SystemRandom

from bridges.modbus.config import ModbusSettings
from bridges.modbus.device import Device, opened
from bridges.modbus.errors import LostError
from bridges.modbus.mapping import (
    ABOUT_ADDRESSES,
    Block,
    Point,
    Refusal,
    changed,
    halves,
    next_due_s,
    plan,
    points_of,
    readings,
)
from uns.model.observation import Link, Observation, Reading
from uns.model.plant import Place
from uns.mqtt.reconnect import delay_s

log = logging.getLogger(__name__)
jitter = SystemRandom().random


async def observe(
    settings: ModbusSettings, places: Mapping[str, Place], clock: Callable[[], int]
) -> AsyncGenerator[list[Observation], None]:
    """Batches of observations, for ever: the link's ups and downs, and one batch a poll with news.

    A link is up when the device has answered one whole poll; that batch has every tag.
    clock: plant time in ms.
    """
    points = points_of(places)
    endpoint = f"{settings.host}:{settings.port}/{settings.unit}"
    cells = tuple(places)
    attempt, told = 0, ""
    while True:
        try:
            async with opened(settings) as device:
                poll = Poll(device, settings, points, clock)
                everything = await poll.news()
                attempt, told = 0, ""
                log.info("%s: connected", endpoint)
                yield [Link(endpoint, cells, up=True, at_ms=clock()), *everything]
                while True:
                    await poll.due()
                    if news := await poll.news():
                        yield list(news)
        except LostError as error:
            reason = str(error)
        if reason != told:
            log.warning("%s: %s", endpoint, reason)
            yield [Link(endpoint, cells, up=False, at_ms=clock(), reason=reason)]
        told = reason
        await asyncio.sleep(delay_s(attempt, jitter()))
        attempt += 1


class Poll:
    """The polls of one connection: their rhythm, their requests and what was said last."""

    def __init__(
        self,
        device: Device,
        settings: ModbusSettings,
        points: Sequence[Point],
        clock: Callable[[], int],
    ) -> None:
        self._device = device
        self._word_order = settings.word_order
        self._period_s = settings.poll_ms / 1000
        self._blocks = plan(points, settings)
        self._clock = clock
        self._due_s = asyncio.get_running_loop().time()
        self._known: dict[tuple[str, str], Reading] = {}

    async def due(self) -> None:
        """Wait for the next beat."""
        now_s = asyncio.get_running_loop().time()
        self._due_s = next_due_s(self._due_s, now_s, self._period_s)
        await asyncio.sleep(self._due_s - now_s)

    async def news(self) -> list[Reading]:
        """Poll once, requests back to back; the readings that differ from the last ones."""
        batch = list[Reading]()
        waiting, self._blocks = self._blocks[::-1], []
        while waiting:
            batch += await self._answer(waiting)
        news = changed(self._known, batch)
        self._known.update({(reading.cell, reading.tag): reading for reading in news})
        return news

    async def _answer(self, waiting: list[Block]) -> list[Reading]:
        """Ask for the last block that waits.

        A refused address among several is found by halving, once: the connection keeps what it
        has learned, so one wrong address costs its own tag and none of the neighbours.
        """
        block = waiting.pop()
        reply = await self._device.read(block)
        if isinstance(reply, Refusal) and reply.code in ABOUT_ADDRESSES and len(block.points) > 1:
            waiting += halves(block)[::-1]
            return []
        self._blocks.append(block)
        return readings(block, reply, self._word_order, self._clock())
