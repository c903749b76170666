"""PURE: a period by shift, day, week, month or year of a site.

These are of production: a shift belongs to the local day on which it opens, so the night shift of a
Sunday belongs to Sunday, its week and its month. No shift is ever cut. A pause belongs to the day
on which it begins; one of more than eight days is many of that length, one behind the other.
"""

from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime, timedelta
from typing import Final
from zoneinfo import ZoneInfo

from uns.historian.errors import QueryRefused
from uns.historian.history.period import Period
from uns.model.calendar import END_OF_TIME_MS
from uns.model.plant import Site

GROUPS_MAX: Final = 2_000
DAY: Final = timedelta(days=1)


def week(day: date) -> str:
    """The ISO week of a day: `2026-W48`."""
    year, number, _ = day.isocalendar()
    return f"{year}-W{number:02}"


KEYS: Final[dict[str, Callable[[date], str]]] = {
    "day": date.isoformat,
    "week": week,
    "month": lambda day: day.isoformat()[:7],
    "year": lambda day: day.isoformat()[:4],
}
_NEXT: Final[dict[str, Callable[[date], date]]] = {
    "day": lambda day: day + DAY,
    "week": lambda day: day + (7 - day.weekday()) * DAY,
    "month": lambda day: (day.replace(day=1) + 32 * DAY).replace(day=1),
    "year": lambda day: day.replace(year=day.year + 1, month=1, day=1),
}


def groups(site: Site, asked: Period, by: str) -> dict[str, Period]:
    """The parts of the period by their keys, in order: shift ids, or keys of days.

    Raises QueryRefused outside the years of the calendar, and beyond GROUPS_MAX groups.
    """
    if not (site.calendar.covers(asked.from_ms) and site.calendar.covers(asked.to_ms - 1)):
        raise QueryRefused(f"by={by}: shift calendars cover 2024 to 2099, ask for these years")
    found: dict[str, Period] = {}
    for key, start_ms, end_ms in _shifts(site, asked) if by == "shift" else _days(site, asked, by):
        begun_ms = found[key].from_ms if key in found else start_ms
        part = Period(from_ms=asked.clamped(begun_ms), to_ms=asked.clamped(end_ms))
        if part.length_ms > 0:
            found[key] = part
        if len(found) > GROUPS_MAX:
            raise QueryRefused(f"more than {GROUPS_MAX} groups: ask by something longer than {by}")
    return found


def _shifts(site: Site, asked: Period) -> Iterator[tuple[str, int, int]]:
    window, reached_ms = site.calendar.window_at(asked.from_ms), 0
    while reached_ms < asked.to_ms:
        yield window.id, max(window.start_ms, reached_ms), window.end_ms
        reached_ms = window.end_ms
        window = site.calendar.window_at(reached_ms)


def _days(site: Site, asked: Period, by: str) -> Iterator[tuple[str, int, int]]:
    day = date.fromisoformat(site.calendar.window_at(asked.from_ms).day)
    start_ms = asked.from_ms
    while start_ms < asked.to_ms:
        following = _NEXT[by](day)
        end_ms = _opening(site, following)
        yield KEYS[by](day), start_ms, end_ms
        day, start_ms = following, end_ms


def _opening(site: Site, day: date) -> int:
    """When the first shift of a day opens."""
    midnight = datetime(day.year, day.month, day.day, tzinfo=ZoneInfo(site.time_zone))
    window = site.calendar.window_at(int(midnight.astimezone(UTC).timestamp() * 1000))
    while window.day < day.isoformat() and window.end_ms < END_OF_TIME_MS:
        window = site.calendar.window_at(window.end_ms)
    return window.start_ms
