"""The Modbus bridge: polls one device in a fixed rhythm and tells what has changed.

Owns when to connect, when to poll and what is news. Does not know the wire (device.py) or what
registers mean (mapping.py). Nothing is queued: a poll happens when the last batch is durable.
"""

import asyncio
import logging
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from random import SystemRandom
from typing import Final

from bridges.modbus.config import ModbusSettings
from bridges.modbus.device import Device, opened
from bridges.modbus.errors import LostError, ModbusError, UnwritableError
from bridges.modbus.mapping import (
    ABOUT_ADDRESSES,
    Block,
    Point,
    Refusal,
    block_of,
    changed,
    encode,
    halves,
    next_due_s,
    plan,
    points_of,
    readings,
    written_back,
)
from uns.model.observation import Link, Observation, Reading, Scalar, SetPoint, Written
from uns.model.plant import Place
from uns.mqtt.reconnect import delay_s

READ_BACKS_MAX: Final = 5
READ_BACK_PERIOD_S: Final = 0.1

log = logging.getLogger(__name__)
jitter = SystemRandom().random


async def observe(
    settings: ModbusSettings,
    places: Mapping[str, Place],
    clock: Callable[[], int],
    set_points: asyncio.Queue[SetPoint],
) -> AsyncGenerator[list[Observation], None]:
    """Batches of observations, for ever: the link's ups and downs, and one batch a poll with news.

    A link is up when the device has answered one whole poll; that batch has every tag.
    clock: plant time in ms.
    set_points: checked values to write; what became of each is among the observations.
    """
    points = points_of(places)
    endpoint = f"{settings.host}:{settings.port}/{settings.unit}"
    cells = tuple(places)
    attempt, told = 0, ""
    while True:
        try:
            async with (
                opened(settings) as device,
                writing(Writer(settings, points, clock), set_points) as writer,
            ):
                poll = Poll(device, settings, points, clock)
                everything = await poll.news()
                attempt, told = 0, ""
                log.info("%s: connected", endpoint)
                yield [Link(endpoint, cells, up=True, at_ms=clock()), *everything]
                while True:
                    if not await poll.due(writer.has_finished):
                        yield list(writer.finished())
                    elif news := await poll.news():
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

    async def due(self, interrupt: asyncio.Event) -> bool:
        """Wait for the next beat; false when interrupted before it."""
        now_s = asyncio.get_running_loop().time()
        if self._due_s <= now_s and not interrupt.is_set():
            self._due_s = next_due_s(self._due_s, now_s, self._period_s)
        with suppress(TimeoutError):
            async with asyncio.timeout_at(self._due_s):
                await interrupt.wait()
        return not interrupt.is_set()

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


class Writer:
    """Writes set-points, each over a connection of its own: a stuck write delays no poll."""

    def __init__(
        self, settings: ModbusSettings, points: Sequence[Point], clock: Callable[[], int]
    ) -> None:
        self.has_finished = asyncio.Event()
        self._settings = settings
        self._points = {(point.cell, point.tag): point for point in points}
        self._clock = clock
        self._finished: list[Written] = []

    async def run(self, set_points: asyncio.Queue[SetPoint]) -> None:
        """Write what comes, for ever."""
        while True:
            written = await self._written(await set_points.get())
            self._finished.append(written)
            self.has_finished.set()

    def finished(self) -> list[Written]:
        """What was written since the last call."""
        self.has_finished.clear()
        finished, self._finished = self._finished, []
        return finished

    async def _written(self, set_point: SetPoint) -> Written:
        who, cell, tag = set_point.request_id, set_point.cell, set_point.tag
        try:
            value = await self._write(self._points[cell, tag], set_point.value)
        except ModbusError as error:
            return Written(who, cell, tag, self._clock(), reason=str(error))
        return Written(who, cell, tag, self._clock(), value)

    async def _write(self, point: Point, value: Scalar) -> Scalar:
        """Write and read back."""
        block, word_order = block_of(point), self._settings.word_order
        wanted = encode(point.source, value, word_order)
        async with opened(self._settings) as device:
            if refusal := await device.write(block, wanted):
                raise UnwritableError(f"the device refused it: {refusal.reason}")
            shown = await _read_back(device, block, wanted)
        return written_back(point, wanted, shown, word_order)


async def _read_back(device: Device, block: Block, wanted: Sequence[int]) -> Sequence[int]:
    """What the device shows in the end; it may take a few of its cycles."""
    for _ in range(READ_BACKS_MAX):
        shown = await device.read(block)
        if isinstance(shown, Refusal):
            raise UnwritableError(f"written, but not to be read back: {shown.reason}")
        if list(shown) == wanted:
            break
        await asyncio.sleep(READ_BACK_PERIOD_S)
    return shown


@asynccontextmanager
async def writing(writer: Writer, set_points: asyncio.Queue[SetPoint]) -> AsyncIterator[Writer]:
    """The writer at work until the end."""
    work = asyncio.create_task(writer.run(set_points))
    try:
        yield writer
    finally:
        work.cancel()
        await asyncio.wait({work})
        if not work.cancelled():
            work.result()  # it ends by a bug only, which must not pass in silence
