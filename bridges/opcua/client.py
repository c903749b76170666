"""The OPC UA bridge: follows one server's nodes and tells what the server publishes.

Owns when to connect and what is told on the way up and down. Does not know the wire (session.py)
or what a data value means (mapping.py). One publish of the server is one batch, or several when
the runner is slower than the server; before it comes what is missing (history.py).
"""

import asyncio
import logging
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from random import SystemRandom
from typing import Final

from bridges.opcua.config import OpcUaSettings
from bridges.opcua.errors import LostError, OpcUaError
from bridges.opcua.history import History
from bridges.opcua.mapping import (
    LOST_BEFORE,
    MAYBE_LOST_BEFORE,
    Item,
    items_of,
    reading,
    unreadable,
)
from bridges.opcua.session import Session, Taken, opened
from uns.model.observation import Link, Observation, Reading, SetPoint, Written
from uns.model.plant import Place
from uns.mqtt.reconnect import delay_s

BURST_QUIET_S: Final = 60.0
STEADY_S: Final = 5.0
"""A connection that held so long is a sound one: after it is lost, the next one is made at once."""
NOTHING_KNOWN: Final[Mapping[tuple[str, str], int]] = {}
INTERRUPTED: Final = "the connection was lost meanwhile: whether the device took it is not known"

log = logging.getLogger(__name__)
jitter = SystemRandom().random


async def observe(  # noqa: PLR0913, PLR0917 - what a bridge that writes and records is given
    settings: OpcUaSettings,
    places: Mapping[str, Place],
    clock: Callable[[], int],
    set_points: asyncio.Queue[SetPoint],
    pki: Path,
    known: Mapping[tuple[str, str], int] = NOTHING_KNOWN,
) -> AsyncGenerator[list[Observation], None]:
    """Batches of observations, for ever: the link's ups and downs and the published values.

    The first batch of a connection has the tags whose nodes the server refuses, the next ones what
    the server's history has of the time between, then comes the value of every other tag.
    clock: plant time in ms, for what the server gives no time for.
    set_points: checked values to write; what became of each is among the observations.
    pki: the folder of the certificates, DATA/pki.
    known: when the newest recorded value of a tag (cell, tag) was so, in ms, for those with
        `record: every`: from there on the history is read.
    """
    items = items_of(settings, places)
    feeds = tuple((path, tag) for path, place in places.items() for tag in place.cell.tags)
    writer = Writer(items, clock)
    history = History(items, settings.history_ms_max, known, clock())
    notices = Notices(settings.url, items)
    attempt, told = 0, ""
    while True:
        up_s = float("inf")
        try:
            async with (
                opened(settings, items, pki, clock) as session,
                writer.at_work(session, set_points),
            ):
                up_s, told = _now_s(), ""
                history.connected()
                log.info("%s: connected, %d nodes refused", settings.url, len(session.refused))
                notices.revised(session.revised)
                yield [
                    Link(settings.url, feeds, up=True, at_ms=clock(), reason=session.warnings),
                    *_refused(items, session.refused, clock()),
                ]
                while True:
                    async for readings in _published(session, items, history, notices):
                        batch: list[Observation] = [*writer.finished(), *readings]
                        if batch:
                            yield batch
        except OpcUaError as error:
            reason, patience_s = str(error), error.retry_s_min
        if answers := writer.finished():
            yield list(answers)
        if reason != told:
            log.warning("%s: %s", settings.url, reason)
            yield [Link(settings.url, feeds, up=False, at_ms=clock(), reason=reason)]
        told = reason
        attempt = 0 if _now_s() - up_s >= STEADY_S else attempt
        await asyncio.sleep(max(patience_s, delay_s(attempt, jitter())))
        attempt += 1


async def _published(
    session: Session, items: Sequence[Item], history: History, notices: "Notices"
) -> AsyncIterator[list[Reading]]:
    """What is missing, then what was published since the last call; at times an empty batch.

    When the connection is lost over the history, only those live values are told that no hole is
    before: the others are in the history too, and are read from there after the next connect.
    """
    taken, lost = await session.take(), None
    notices.overflows(taken)
    try:
        async for readings in history.filled(session, taken):
            yield readings
    except LostError as error:
        lost = error
        taken = [one for one in taken if one.handle not in history.missing]
    yield _readings(items, taken, history)
    history.seen(taken)
    if lost:
        raise lost


def _readings(items: Sequence[Item], taken: Sequence[Taken], history: History) -> list[Reading]:
    """What values say about tags; one with lost values before it says so where every one counts."""
    readings = list[Reading]()
    for handle, sample, heard_ms in taken:
        reason = LOST_BEFORE if sample.is_after_loss and handle in history.unfilled else None
        reason = MAYBE_LOST_BEFORE if handle in history.doubtful else reason
        for address in items[handle].addresses:
            read = reading(address, sample, heard_ms)
            if reason and address.is_recorded and read.quality == "good":
                read = replace(read, quality="uncertain", reason=reason)
            readings.append(read)
    return readings


def _now_s() -> float:
    return asyncio.get_running_loop().time()


def _refused(items: Sequence[Item], refused: Mapping[int, str], now_ms: int) -> list[Reading]:
    return [
        unreadable(address, reason, now_ms)
        for handle, reason in refused.items()
        for address in items[handle].addresses
    ]


class Notices:
    """Says once, over all connections, where the server or we cannot keep up with what is asked."""

    def __init__(self, url: str, items: Sequence[Item]) -> None:
        self._url, self._items = url, items
        self._overflows, self._quiet_at_s = 0, 0.0
        self._revised: str | None = None

    def revised(self, grant: str | None) -> None:
        """The server grants much less than asked for."""
        if grant and grant != self._revised:
            log.warning("%s: %s", self._url, grant)
        self._revised = grant

    def overflows(self, taken: Sequence[Taken]) -> None:
        """Count values whose queue overflowed, on the server or here; one line a burst."""
        lossy = [one.handle for one in taken if one.sample.is_after_loss]
        if not lossy:
            return
        self._overflows += len(lossy)
        now_s = asyncio.get_running_loop().time()
        if now_s >= self._quiet_at_s:
            item = self._items[lossy[0]]
            told = "%s: %s came too fast for a queue of %d; overflows so far: %d"
            log.warning(told, self._url, item.node, item.queue_size, self._overflows)
        self._quiet_at_s = now_s + BURST_QUIET_S


class Writer:
    """Writes set-points, one after the other, beside the reading; outlives the sessions.

    Every set-point that it takes gets one answer, also when the session ends meanwhile.
    """

    def __init__(self, items: Sequence[Item], clock: Callable[[], int]) -> None:
        self._addresses = {
            (a.cell, a.tag): (handle, a)
            for handle, item in enumerate(items)
            for a in item.addresses
        }
        self._clock = clock
        self._finished: list[Written] = []

    @asynccontextmanager
    async def at_work(
        self, session: Session, set_points: asyncio.Queue[SetPoint]
    ) -> AsyncIterator[None]:
        """Write what comes, until the end; what is interrupted then is told as not known."""
        work = asyncio.create_task(self._run(session, set_points))
        try:
            yield
        finally:
            work.cancel()
            await asyncio.wait({work})
            if not work.cancelled():
                work.result()  # it ends by a bug only, which must not pass in silence

    def finished(self) -> list[Written]:
        """What was written since the last call."""
        finished, self._finished = self._finished, []
        return finished

    async def _run(self, session: Session, set_points: asyncio.Queue[SetPoint]) -> None:
        while True:
            set_point = await set_points.get()
            try:
                written = await self._written(session, set_point)
            except asyncio.CancelledError:
                who, cell, tag = set_point.request_id, set_point.cell, set_point.tag
                self._finished.append(Written(who, cell, tag, self._clock(), reason=INTERRUPTED))
                raise
            self._finished.append(written)
            session.nudge()

    async def _written(self, session: Session, set_point: SetPoint) -> Written:
        who, cell, tag = set_point.request_id, set_point.cell, set_point.tag
        handle, address = self._addresses[cell, tag]
        try:
            sample = await session.write(handle, address.steps, set_point.value)
        except OpcUaError as error:
            return Written(who, cell, tag, self._clock(), reason=str(error))
        shown = reading(address, sample, self._clock())
        return Written(who, cell, tag, shown.at_ms, shown.value)
