"""Shifts: recurring openings (RRULE, RFC 5545) with a duration, in a site's time zone.

An instant belongs to the shift that opened last, until it closes or the next one opens; a night
shift belongs to the day it opens. Wall-clock openings keep their local time over DST, durations are
elapsed time between two local wall times, so a shift across a DST change is 7 or 9 hours long.
A wall time that is left out is read as if clocks had not changed yet, one that comes twice is the
first; a shift that then ends before it opens is none on that day. A break begins at its wall time
and lasts its minutes, whatever clocks do meanwhile.
Before 2024 and from 2100 on nothing is planned: a stamp out there is a broken clock.
"""

from bisect import bisect_right
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Annotated, Final, NamedTuple
from zoneinfo import ZoneInfo

from dateutil.rrule import rrulestr
from pydantic import BaseModel, ConfigDict, Field

LOOK_BACK: Final = timedelta(days=8)
LOOK_AHEAD: Final = timedelta(days=8)
FIRST_DAY: Final = datetime(2024, 1, 1)  # noqa: DTZ001 - local wall time on purpose
LAST_DAY: Final = datetime(2100, 1, 1)  # noqa: DTZ001 - local wall time on purpose
END_OF_TIME_MS: Final = 2**53
OFF_SHIFT: Final = "off-shift"
BREAKS_MAX: Final = 8
MINUTE_MS: Final = 60_000
DAY_MIN: Final = 24 * 60
_TIME: Final = r"([01]\d|2[0-3]):[0-5]\d"
Break = Annotated[str, Field(pattern=f"^{_TIME}-{_TIME}$", examples=["09:00-09:15"])]


class Shift(BaseModel):
    """One recurring shift: local opening times by RRULE and a length in minutes of wall time.

    breaks: planned stops inside of it, in local time: `09:00-09:15`.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    title: str = ""
    rrule: str
    duration_min: Annotated[int, Field(gt=0, le=DAY_MIN)]
    breaks: Annotated[tuple[Break, ...], Field(max_length=BREAKS_MAX)] = ()

    def breaks_after(self, opens: datetime) -> list[tuple[datetime, int]]:
        """Its breaks on the day it opens at a local time: when each begins, and its minutes."""
        return sorted(_break(text, opens) for text in self.breaks)


class Window(NamedTuple):
    """One shift of one day: `id` is `2026-11-23-early`, `day` the local day it opened.

    breaks: beginning and end of each, in order, inside of it.
    """

    id: str
    shift: str
    day: str
    start_ms: int
    end_ms: int
    breaks: tuple[tuple[int, int], ...] = ()

    @property
    def planned(self) -> bool:
        """Whether the plant is planned to run: false between shifts."""
        return self.shift != OFF_SHIFT


class Calendar:
    """The shifts of one site. `window_at` is cached per local day; every instant has a window."""

    def __init__(self, time_zone: str, shifts: Mapping[str, Shift]) -> None:
        self._zone = ZoneInfo(time_zone)
        self._shifts = dict(shifts)
        self._has_breaks = any(shift.breaks for shift in shifts.values())
        self._windows = lru_cache(maxsize=64)(self._windows_around)
        self._first_ms, self._last_ms = self._ms(FIRST_DAY), self._ms(LAST_DAY)

    def covers(self, at_ms: int) -> bool:
        """Whether an instant lies in the years of the calendar; if not, its clock is broken."""
        return self._first_ms <= at_ms < self._last_ms

    def window_at(self, at_ms: int) -> Window:
        """The shift at an instant, or the off-shift window between its neighbours.

        A pause longer than the look-ahead of eight days is given in pieces.
        """
        if at_ms < self._first_ms:
            return self._pause(0, self._first_ms)
        if at_ms >= self._last_ms:
            return self._pause(self._last_ms, END_OF_TIME_MS)
        day = datetime.fromtimestamp(at_ms / 1000, self._zone).date()
        windows = self._windows(day.isoformat())
        i = bisect_right([w.start_ms for w in windows], at_ms) - 1
        return windows[max(i, 0)]

    def is_break(self, at_ms: int) -> bool:
        """Whether an instant lies in a break of its shift."""
        return self._has_breaks and any(
            start <= at_ms < end for start, end in self.window_at(at_ms).breaks
        )

    def break_edges(self, after_ms: int, until_ms: int) -> list[int]:
        """Where breaks of the shift at `after_ms` begin or end: behind that, up to `until_ms`."""
        if not self._has_breaks or until_ms <= after_ms:
            return []
        edges = {edge for pair in self.window_at(after_ms).breaks for edge in pair}
        return sorted(edge for edge in edges if after_ms < edge <= until_ms)

    def _windows_around(self, day: str) -> tuple[Window, ...]:
        middle = datetime.fromisoformat(day)
        openings = sorted(
            (start, name)
            for name, shift in self._shifts.items()
            for start in rrulestr(shift.rrule, dtstart=FIRST_DAY).between(
                middle - LOOK_BACK, middle + LOOK_AHEAD, inc=True
            )
        )
        windows = (self._window(name, start) for start, name in openings)
        planned = sorted((w for w in windows if w.start_ms < w.end_ms), key=lambda w: w.start_ms)
        return tuple(self._with_pauses(planned, middle))

    def _window(self, name: str, start: datetime) -> Window:
        end = start + timedelta(minutes=self._shifts[name].duration_min)
        day = start.date().isoformat()
        breaks = self._breaks(name, start)
        return Window(f"{day}-{name}", name, day, self._ms(start), self._ms(end), breaks)

    def _breaks(self, name: str, start: datetime) -> tuple[tuple[int, int], ...]:
        begins = [(self._ms(at), length) for at, length in self._shifts[name].breaks_after(start)]
        return tuple((at_ms, at_ms + length * MINUTE_MS) for at_ms, length in begins)

    def _with_pauses(self, planned: list[Window], middle: datetime) -> list[Window]:
        edge, out = self._ms(middle - LOOK_BACK), list[Window]()
        for i, window in enumerate(planned):
            end = min([window.end_ms, *(w.start_ms for w in planned[i + 1 : i + 2])])
            if end == window.start_ms:
                continue
            if window.start_ms > edge:
                out.append(self._pause(edge, window.start_ms))
            inside = ((a, min(b, end)) for a, b in window.breaks if window.start_ms <= a < end)
            out.append(window._replace(end_ms=end, breaks=tuple(inside)))
            edge = end
        horizon = self._ms(middle + LOOK_AHEAD)
        return [*out, self._pause(edge, horizon)] if edge < horizon else out

    def _pause(self, start_ms: int, end_ms: int) -> Window:
        day = datetime.fromtimestamp(start_ms / 1000, self._zone).date().isoformat()
        return Window(f"{day}-{OFF_SHIFT}-{start_ms}", OFF_SHIFT, day, start_ms, end_ms)

    def _ms(self, local: datetime) -> int:
        return int(local.replace(tzinfo=self._zone).astimezone(UTC).timestamp() * 1000)


def _break(text: str, opens: datetime) -> tuple[datetime, int]:
    """When a break begins in a shift that opens at a local time, and its minutes."""
    first, last = (int(word[:2]) * 60 + int(word[3:]) for word in text.split("-"))
    midnight = opens.replace(hour=0, minute=0, second=0, microsecond=0)
    begins = midnight + timedelta(minutes=first)
    length = (last - first) % DAY_MIN or DAY_MIN
    return begins if begins >= opens else begins + timedelta(days=1), length
