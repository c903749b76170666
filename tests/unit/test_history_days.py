"""Production days, weeks and months: no shift is cut, none is left out."""

from datetime import datetime
from itertools import pairwise
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.simulated import example_plant
from uns.historian.errors import QueryRefused
from uns.historian.history.period import Period
from uns.historian.history.production_days import groups
from uns.model.plant import Site

SITE = example_plant().sites["berlin"]
HOUR_MS = 3_600_000
DAY_MS = 24 * HOUR_MS
JANUARY_2024_MS = 1_704_412_800_000
instants = st.integers(JANUARY_2024_MS, JANUARY_2024_MS + 700 * DAY_MS)


def at(text: str) -> int:
    """An instant of local wall time."""
    return (
        int(datetime.fromisoformat(text).replace(tzinfo=ZoneInfo("Europe/Berlin")).timestamp())
        * 1000
    )


def asked(first: str, last: str) -> Period:
    return Period(from_ms=at(first), to_ms=at(last))


@given(instants, st.integers(1, 20 * DAY_MS), st.sampled_from(["shift", "day", "week", "month"]))
def test_groups_are_the_whole_period_once(from_ms: int, length_ms: int, by: str) -> None:
    period = Period(from_ms=from_ms, to_ms=from_ms + length_ms)
    parts = list(groups(SITE, period, by).values())
    assert (parts[0].from_ms, parts[-1].to_ms) == (period.from_ms, period.to_ms)
    assert all(a.to_ms == b.from_ms for a, b in pairwise(parts))


@given(instants, st.integers(1, 9 * DAY_MS), st.sampled_from(["day", "week", "month", "year"]))
def test_a_shift_lies_in_the_group_of_its_day(from_ms: int, length_ms: int, by: str) -> None:
    period = Period(from_ms=from_ms, to_ms=from_ms + length_ms)
    found = groups(SITE, period, by)
    for shift_id, part in groups(SITE, period, "shift").items():
        (key,) = [k for k, g in found.items() if g.from_ms <= part.from_ms < g.to_ms]
        assert part.to_ms <= found[key].to_ms
        if by != "week":
            assert shift_id.startswith(key)


def test_the_night_of_sunday_is_of_sunday() -> None:
    found = groups(SITE, asked("2026-11-22T22:00", "2026-11-23T22:00"), "week")
    assert list(found) == ["2026-W47", "2026-W48"]
    assert found["2026-W48"].from_ms == at("2026-11-23T06:00")


def test_a_day_across_the_change_of_clocks_has_its_own_length() -> None:
    found = groups(SITE, asked("2026-10-24T06:00", "2026-10-26T06:00"), "day")
    hours = {key: part.length_ms / HOUR_MS for key, part in found.items()}
    assert hours == {"2026-10-24": 25.0, "2026-10-25": 24.0}


def test_a_long_pause_is_counted_once() -> None:
    early = {"rrule": "FREQ=DAILY;BYMONTH=1,2,3,4,5,6,8,9,10,11,12;BYHOUR=6", "duration_min": 480}
    closed = Site.model_validate({**SITE.model_dump(), "shifts": {"early": early}})
    period = asked("2026-06-27T06:00", "2026-08-03T06:00")
    for by in ("shift", "day", "week", "month"):
        parts = list(groups(closed, period, by).values())
        assert (parts[0].from_ms, parts[-1].to_ms) == (period.from_ms, period.to_ms)
        assert all(a.to_ms == b.from_ms for a, b in pairwise(parts)), by


def test_the_last_week_of_the_calendar_has_an_end() -> None:
    found = groups(SITE, asked("2099-12-30T00:00", "2099-12-31T12:00"), "week")
    assert list(found) == ["2099-W53"]


def test_what_no_calendar_covers_is_refused() -> None:
    with pytest.raises(QueryRefused, match="2024 to 2099"):
        groups(SITE, Period(from_ms=0, to_ms=at("2026-01-01T00:00")), "day")
    with pytest.raises(QueryRefused, match="longer than shift"):
        groups(SITE, asked("2024-01-01T00:00", "2099-01-01T00:00"), "shift")
