"""PURE: tag samples get the number of their series; which of them are certainly new.

Owns the memory of the one writer: the dictionary of series (a topic with its unit), the newest
instant of each on record, the hour of each that waits to be rolled up. Does not know stores: what
`take` returned holds once it is written, and then `wrote` is told so.
"""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from operator import itemgetter
from typing import Any, Final, NamedTuple

from uns.historian.rows import DueRow, SeriesRow, TagRow
from uns.model.observation import Quality

HOUR_MS: Final = 3_600_000
NUMBER_OF: Final[dict[Quality, int]] = {"good": 0, "uncertain": 1, "bad": 2}
"""How qualities stand in rows."""
NONE_YET: Final = DueRow(-1, -HOUR_MS)
"""Comes before every hour that can wait."""
Key = tuple[str, str | None]
Values = tuple[Any, ...]
_AT_MS: Final = itemgetter(1)


class KnownSeries(NamedTuple):
    """A series on record; newest_ms: of its samples there, None where there are none."""

    series: int
    topic: str
    unit: str | None
    newest_ms: int | None


class Taken(NamedTuple):
    """The rows of one transaction: `fresh` samples cannot be on record, `late` ones may be.

    Both have SampleRow's columns and are in the order of their series, as the index is that they go
    into. newest: the newest sample of each series, if it is fresh, as it was said. reached_ms: of
    each series.
    """

    series: list[SeriesRow]
    fresh: list[Values]
    late: list[Values]
    due: list[DueRow]
    newest: list[TagRow]
    reached_ms: dict[int, int]


class Series:
    """All series of one store, by what it knew when it was opened.

    rolled_last: what was rolled up last.
    """

    def __init__(self, known: Iterable[KnownSeries] = ()) -> None:
        self._numbers: dict[Key, int] = {}
        self._newest_ms: dict[int, int] = {}
        self._due: dict[int, int] = {}
        self.rolled_last = NONE_YET
        for series, topic, unit, newest_ms in known:
            self._numbers[topic, unit] = series
            if newest_ms is not None:
                self._newest_ms[series] = newest_ms
        self._next = max(self._numbers.values(), default=0) + 1

    def take(self, rows: Sequence[TagRow]) -> Taken:
        """Number the rows of a batch and part them. Changes nothing yet."""
        by_key = defaultdict[Key, list[TagRow]](list)
        for row in rows:
            by_key[row[0], row[5]].append(row)  # topic and unit: by their names it takes longer
        taken = Taken([], [], [], [], [], {})
        for key, said in by_key.items():
            series = self._numbers.get(key)
            if series is None:
                series = self._next + len(taken.series)
                taken.series.append(SeriesRow(series, *key))
            self._part(series, said, taken)
        return taken

    def wrote(self, taken: Taken) -> None:
        """Note what is on record now."""
        self._numbers.update(((row.topic, row.unit), row.series) for row in taken.series)
        self._next += len(taken.series)
        self._due.update(taken.due)
        self._newest_ms.update(taken.reached_ms)

    def rolled_up(self, due: Iterable[DueRow]) -> None:
        """Note hours that do not wait any more: their next sample makes them wait again."""
        for one in due:
            self.rolled_last = one
            series, hour_ms = one
            if self._due.get(series) == hour_ms:
                del self._due[series]

    def _part(self, series: int, said: Sequence[TagRow], taken: Taken) -> None:
        newest_ms = self._newest_ms.get(series, -1)
        instants = [row[1] for row in said]
        first_ms, last_ms = min(instants), max(instants)
        values = [
            (at_ms, received_ms, value, series, NUMBER_OF[quality], text, reason, original)
            for _, at_ms, value, text, quality, _, received_ms, reason, original in said
        ]
        if first_ms > newest_ms:
            taken.fresh.extend(values)
        else:
            for one in values:
                (taken.fresh if one[0] > newest_ms else taken.late).append(one)
        if last_ms > newest_ms:
            taken.newest.append(_latest(said, last_ms))
        taken.reached_ms[series] = max(newest_ms, last_ms)
        due = (DueRow(series, hour * HOUR_MS) for hour in _hours(instants, first_ms, last_ms))
        taken.due.extend(one for one in due if self._due.get(series) != one.hour_ms)


def _latest(said: Sequence[TagRow], last_ms: int) -> TagRow:
    """Of the samples of the last instant the one that was said last."""
    return said[-1] if said[-1].at_ms == last_ms else max(reversed(said), key=_AT_MS)


def _hours(instants: Sequence[int], first_ms: int, last_ms: int) -> Iterable[int]:
    first, last = first_ms // HOUR_MS, last_ms // HOUR_MS
    return (first,) if first == last else {at_ms // HOUR_MS for at_ms in instants}
