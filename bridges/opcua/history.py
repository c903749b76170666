"""The holes in what was recorded, and how they are filled from the server's own history.

Owns when a hole opens (a new connection, an overflow), between which source times it lies, and
what of the history belongs into it. Does not know the wire (session.py) or what a data value means
(mapping.py). A server without history costs a line in the log.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any, Final, NamedTuple

from bridges.opcua.errors import LostError, RefusedHistoryError
from bridges.opcua.mapping import EPOCH, Address, Item, Sample, reading
from bridges.opcua.session import Page, Session, Taken
from uns.model.observation import Reading

VALUES_A_PAGE_MAX: Final = 500
VALUES_MAX: Final = 1_000_000
"""What is read before one batch of live values, which waits for it."""
LAG_S_MAX: Final = 1.0
"""A historian may write later than the subscription tells: so long is waited for its newest."""
LAG_PERIOD_S: Final = 0.1
LATE_S: Final = 10.0
"""So long a node whose history was not there in time is not waited for: its neighbours wait too."""
SAME_TIME_MAX: Final = 1_000
"""Values of one source time that are told apart; more are read again, and are one in the record."""
ATTEMPTS_MAX: Final = 3
STILL_PAGES_MAX: Final = 10
TOGETHER: Final = timedelta(seconds=2)
_TICK: Final = timedelta(milliseconds=1)
_LATEST: Final = datetime.max.replace(tzinfo=UTC)
_EMPTY: Final = frozenset({"BadNoData", "BadBoundNotFound", "BadBoundNotSupported"})
_AGAIN: Final = frozenset({"BadContinuationPointInvalid", "BadNoContinuationPoints"})

log = logging.getLogger(__name__)


class Instant(NamedTuple):
    """A source time and the values of it that were recorded; none where that is not known.

    A coarse clock gives one time to many values.
    """

    at: datetime
    values: tuple[Any, ...] = ()

    def is_before(self, end: "Instant") -> bool:
        """Whether there may be values after this one and before the end."""
        if not self.values:
            return end.at - self.at >= _TICK
        return end.at > self.at or (end.at == self.at and not _has(self.values, end.values[-1]))

    def then(self, at: datetime, value: Any) -> "Instant":
        """A further value was recorded."""
        before = self.values if at == self.at else ()
        if _has(before, value):
            return self
        return Instant(at, (*before, value)[-SAME_TIME_MAX:])


class Live(NamedTuple):
    """A usable value that the subscription told."""

    at: datetime
    value: Any
    is_after_loss: bool


@dataclass
class Hole:
    """The values of an item after `since` and before `until` that were not recorded.

    present: the values inside it that came by the subscription, by their times.
    is_to_the_end: the history has reached `until`; nothing before it is still to be written.
    """

    handle: int
    since: Instant
    until: Instant
    present: Mapping[datetime, Sequence[Any]]
    is_to_the_end: bool = False
    refusal: str | None = None
    continuation: bytes | None = field(default=None, repr=False)


class Walk:
    """From page to page of one history; few in a row may bring no later time."""

    def __init__(self) -> None:
        self._latest, self._still = EPOCH, 0

    def goes_on(self, page: Page) -> bool:
        """Whether the page behind this one is worth asking for."""
        latest = max((sample.at for sample in page.samples if sample.at), default=EPOCH)
        self._still = 0 if latest > self._latest else self._still + 1
        self._latest = max(latest, self._latest)
        return self._still < STILL_PAGES_MAX


class History:
    """What was recorded of the tags that keep every value, over all connections.

    missing: the handles whose live values must wait, as what is before them was not read yet.
    unfilled: the handles whose hole stays: values are lost, or not known to be there.
    doubtful: the handles whose clock went back meanwhile, so that no hole can be known.
    known: the time of a tag's newest recorded value, in ms, from an earlier run; one that is still
        to come says no more than `now_ms`.
    """

    def __init__(
        self,
        items: Sequence[Item],
        age_ms_max: int,
        known: Mapping[tuple[str, str], int],
        now_ms: int,
    ) -> None:
        self.missing: set[int] = set()
        self.unfilled: set[int] = set()
        self.doubtful: set[int] = set()
        recorded = {h: [a for a in item.addresses if a.is_recorded] for h, item in enumerate(items)}
        self._addresses = {handle: some for handle, some in recorded.items() if some}
        self._known = {key: min(at_ms, now_ms) for key, at_ms in known.items()}
        self._last = {h: at for h, some in self._addresses.items() if (at := self._known_at(some))}
        self._age_max = timedelta(milliseconds=age_ms_max)
        self._open = set[int]()
        self._readable = dict[int, bool]()
        self._late_until_s = dict[int, float]()
        self._failures, self._told = 0, ""

    def connected(self) -> None:
        """A new connection: before its first values there may be a hole; ask anew who has one."""
        self._open = set(self._last)
        self._readable = {}

    def seen(self, taken: Iterable[Taken]) -> None:
        """These live values were recorded. A time after they were heard of is not believed."""
        for handle, sample, heard_ms in taken:
            if handle in self._addresses and sample.at and handle not in self._open:
                at = min(sample.at, _end_of(heard_ms))
                self._last[handle] = self._last.get(handle, Instant(EPOCH)).then(at, sample.value)

    async def filled(
        self, session: Session, taken: Sequence[Taken]
    ) -> AsyncIterator[list[Reading]]:
        """What is missing before the live values, oldest first for each tag, in bounded batches.

        LostError when the connection breaks meanwhile: the next one goes on from there.
        """
        by_handle = _usable(one for one in taken if one.handle in self._addresses)
        self.doubtful = set()
        holes = list(self._holes(by_handle))
        self.missing = {hole.handle for hole in holes}
        self.unfilled = {one.handle for one in taken if one.sample.is_after_loss}
        try:
            async for readings in self._read(session, holes):
                yield readings
        except RefusedHistoryError as error:
            self._say(f"the server refuses it: {error}")
            self._readable = dict.fromkeys(self._addresses, False)
        except LostError:
            self._failures += 1
            if self._failures < ATTEMPTS_MAX:
                raise
            self._say(f"given up after {ATTEMPTS_MAX} lost connections")
        self._failures = 0
        self._open -= by_handle.keys()
        self.unfilled -= {hole.handle for hole in holes if hole.is_to_the_end}
        self.missing = set()

    def _holes(self, by_handle: Mapping[int, list[Live]]) -> Iterator[Hole]:
        for handle, live in by_handle.items():
            ends = [one for one in live if one.is_after_loss]
            if handle in self._open:
                ends.append(live[0])
                if self._went_back(handle, live[0].at):
                    self.doubtful.add(handle)
            if self._age_max and ends and handle in self._last:
                end = max(reversed(ends), key=lambda one: one.at)
                until = Instant(end.at, (end.value,))
                since = max(self._last[handle], Instant(end.at - self._age_max), key=_at)
                if since.is_before(until):
                    yield Hole(handle, since, until, _by_time(live))

    def _went_back(self, handle: int, at: datetime) -> bool:
        return handle in self._last and self._last[handle].at - at >= _TICK

    async def _read(self, session: Session, holes: list[Hole]) -> AsyncIterator[list[Reading]]:
        """Read until every hole is filled to its end or nothing more comes in time."""
        now_s = asyncio.get_running_loop().time
        holes = await self._with_history(session, holes)
        patience_s, values = LAG_S_MAX, 0
        while holes:
            before = [hole.since for hole in holes]
            for group in _groups(holes, session.histories_max):
                async for readings in self._pages(session, group):
                    yield readings
                    values += len(readings)
                    if values > VALUES_MAX:
                        self._say(f"more than {VALUES_MAX} values: the rest is not read")
                        return
            is_further = before != [hole.since for hole in holes]
            holes = [hole for hole in holes if not hole.is_to_the_end and not hole.refusal]
            if not is_further:
                holes = [one for one in holes if self._late_until_s.get(one.handle, 0.0) <= now_s()]
                if patience_s <= 0:
                    self._late_until_s |= {hole.handle: now_s() + LATE_S for hole in holes}
                    return
                if holes:
                    patience_s -= LAG_PERIOD_S
                    await asyncio.sleep(LAG_PERIOD_S)

    async def _pages(self, session: Session, group: list[Hole]) -> AsyncIterator[list[Reading]]:
        since = min(hole.since.at for hole in group)
        until = min(max(hole.until.at for hole in group), _LATEST - _TICK) + _TICK
        walks = {hole.handle: Walk() for hole in group}
        while group:
            asked = [(hole.handle, hole.continuation) for hole in group]
            pages = await session.history(since, until, asked, VALUES_A_PAGE_MAX)
            fitting = [
                read
                for hole, page in zip(group, pages, strict=True)
                for read in self._fitting(hole, page)
            ]
            if fitting:
                yield fitting
            for hole, page in zip(group, pages, strict=True):
                if hole.continuation and not walks[hole.handle].goes_on(page):
                    hole.continuation = None
                    self._say("the server takes no notice of continuation points")
            self._last.update((hole.handle, hole.since) for hole in group)
            group = [hole for hole in group if hole.continuation]

    def _fitting(self, hole: Hole, page: Page) -> Iterator[Reading]:
        """What of a page belongs into a hole, which is smaller by it afterwards."""
        hole.continuation = page.continuation
        if page.refusal in _AGAIN:
            hole.continuation = None
        elif page.refusal and page.refusal not in _EMPTY:
            hole.refusal = page.refusal
            self._say(f"the server refuses it: {page.refusal}")
        for sample in page.samples:
            if sample.at and sample.at > hole.until.at:
                hole.is_to_the_end, hole.continuation = True, None
            elif sample.at and sample.at >= hole.since.at:
                yield from self._further(hole, sample.at, sample)

    def _further(self, hole: Hole, at: datetime, sample: Sample) -> Iterator[Reading]:
        if at == hole.since.at and _has(hole.since.values, sample.value):
            return
        hole.since = hole.since.then(at, sample.value)
        hole.is_to_the_end |= at == hole.until.at and _has(hole.until.values, sample.value)
        if not _has(hole.present.get(at, ()), sample.value):
            yield from self._readings(hole.handle, sample)

    def _readings(self, handle: int, sample: Sample) -> Iterator[Reading]:
        for address in self._addresses[handle]:
            read = reading(address, sample, 0)
            if read.at_ms >= self._known.get((address.cell, address.tag), 0):
                yield replace(read, is_history=True)

    async def _with_history(self, session: Session, holes: list[Hole]) -> list[Hole]:
        asked = [hole.handle for hole in holes if hole.handle not in self._readable]
        if asked:
            self._readable |= await session.has_history(asked)
            if without := sum(not self._readable[handle] for handle in asked):
                log.info("%d of %d nodes have no history to be read", without, len(asked))
        return [hole for hole in holes if self._readable[hole.handle]]

    def _known_at(self, addresses: Iterable[Address]) -> Instant | None:
        """Up to when all tags of a node are recorded; of that time itself maybe not every value."""
        known = [self._known[a.cell, a.tag] for a in addresses if (a.cell, a.tag) in self._known]
        return Instant(EPOCH + timedelta(milliseconds=min(known))) if known else None

    def _say(self, reason: str) -> None:
        if reason != self._told:
            log.warning("history: %s", reason)
        self._told = reason


def _usable(taken: Iterable[Taken]) -> dict[int, list[Live]]:
    """The values with a time and a meaning, by handle: where a hole before them ends is known."""
    by_handle: dict[int, list[Live]] = {}
    for handle, sample, _ in taken:
        if sample.at and not sample.is_bad:
            live = Live(sample.at, sample.value, sample.is_after_loss)
            by_handle.setdefault(handle, []).append(live)
    return by_handle


def _by_time(live: Iterable[Live]) -> dict[datetime, list[Any]]:
    by_time: dict[datetime, list[Any]] = {}
    for one in live:
        by_time.setdefault(one.at, []).append(one.value)
    return by_time


def _has(values: Sequence[Any], value: Any) -> bool:
    """Whether a value is among others; not-a-number is one too, which equals nothing."""
    return value in values or repr(value) in map(repr, values)


def _at(instant: Instant) -> datetime:
    return instant.at


def _end_of(at_ms: int) -> datetime:
    return EPOCH + timedelta(milliseconds=at_ms, microseconds=999)


def _groups(holes: Iterable[Hole], size_max: int) -> Iterator[list[Hole]]:
    """Holes that begin at about the same time: one request reads them all from its beginning."""
    group: list[Hole] = []
    for hole in sorted(holes, key=lambda one: one.since.at):
        if group:
            first = group[0]
            together = max(TOGETHER, (first.until.at - first.since.at) / 2)
            if len(group) == size_max or hole.since.at - first.since.at > together:
                yield group
                group = []
        group.append(hole)
    if group:
        yield group
