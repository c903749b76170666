"""Owns what an edge node could not say yet: values in order of arrival, bounded by number and age.

It knows no session and no disk. `Backlog` is the contract; a shell may keep one that survives a
restart. Positions only grow, so that a place in it stays a place whatever is forgotten before it;
only what is replaced loses its place.
"""

from __future__ import annotations

from collections import deque
from itertools import islice
from typing import TYPE_CHECKING, NamedTuple, Protocol

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence


class Entry(NamedTuple):
    """A value that a metric had at `at_ms` (UTC ms); `device` None is the edge node itself."""

    device: str | None
    name: str
    value: bool | float | str | None
    at_ms: int
    quality: int


class Kept(NamedTuple):
    """An entry and its place in the backlog."""

    position: int
    entry: Entry


class BacklogLimits(NamedTuple):
    """At most so many entries, none of them older than `age_ms_max` when it is read."""

    entries_max: int = 100_000
    age_ms_max: int = 72 * 3_600_000


class Backlog(Protocol):
    """Values that wait, oldest first; `dropped` counts what the limits took, and nothing else."""

    @property
    def dropped(self) -> int:
        """How many were lost so far."""

    def append(self, entries: Iterable[Entry]) -> None:
        """Add behind all others; beyond `entries_max` the oldest are dropped."""

    def after(self, position: int, limit: int, now_ms: int) -> Sequence[Kept]:
        """Give up to `limit` entries behind a position (0 is before the first)."""

    def replace(self, position: int, entries: Iterable[Entry]) -> None:
        """Have these in the place of all behind a position, in one step; the limit applies."""

    def forget(self, position: int) -> None:
        """Remove everything up to a position: it was said."""

    def __len__(self) -> int: ...


class MemoryBacklog:
    """A backlog that ends with the process."""

    def __init__(self, limits: BacklogLimits | None = None) -> None:
        self.dropped = 0
        self._limits = limits or BacklogLimits()
        self._kept: deque[Kept] = deque()
        self._last = 0

    def append(self, entries: Iterable[Entry]) -> None:
        """Add behind all others; beyond `entries_max` the oldest are dropped."""
        for entry in entries:
            self._last += 1
            self._kept.append(Kept(self._last, entry))
        while len(self._kept) > self._limits.entries_max:
            self._drop_first()

    def after(self, position: int, limit: int, now_ms: int) -> list[Kept]:
        """Give up to `limit` entries behind a position (0 is before the first)."""
        oldest_ms = now_ms - self._limits.age_ms_max
        while self._kept and self._kept[0].entry.at_ms < oldest_ms:
            self._drop_first()
        first = self._kept[0].position if self._kept else 0
        start = max(0, position + 1 - first)
        return list(islice(self._kept, start, start + limit))

    def replace(self, position: int, entries: Iterable[Entry]) -> None:
        """Have these in the place of all behind a position, in one step; the limit applies."""
        while self._kept and self._kept[-1].position > position:
            self._last = self._kept.pop().position - 1
        self.append(entries)

    def forget(self, position: int) -> None:
        """Remove everything up to a position: it was said."""
        while self._kept and self._kept[0].position <= position:
            self._kept.popleft()

    def __len__(self) -> int:
        return len(self._kept)

    def _drop_first(self) -> None:
        self._kept.popleft()
        self.dropped += 1
