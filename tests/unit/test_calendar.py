"""Shifts in local time: edges, nights, days of 23 and 25 hours, pauses."""

from datetime import datetime
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from uns.model.calendar import END_OF_TIME_MS, Calendar, Shift

BERLIN = ZoneInfo("Europe/Berlin")
HOUR_MS = 3_600_000
DAILY = "FREQ=DAILY;BYHOUR={};BYMINUTE=0;BYSECOND=0"
WORKDAYS = "FREQ=WEEKLY;BYDAY=MO,TU,WE,TH,FR;BYHOUR={};BYMINUTE=0;BYSECOND=0"


def calendar(**shifts: tuple[str, int]) -> Calendar:
    return Calendar(
        "Europe/Berlin",
        {name: Shift(rrule=rule, duration_min=length) for name, (rule, length) in shifts.items()},
    )


def with_breaks(rule: str, length: int, *breaks: str) -> Calendar:
    shift = Shift(rrule=rule, duration_min=length, breaks=breaks)
    return Calendar("Europe/Berlin", {"shift": shift})


THREE = calendar(
    early=(DAILY.format(6), 480), late=(DAILY.format(14), 480), night=(DAILY.format(22), 480)
)
WEEK = calendar(day=(WORKDAYS.format(8), 480))
WHOLE_DAY = calendar(day=(DAILY.format(0), 1_440))


def ms(text: str) -> int:
    return int(datetime.fromisoformat(text).replace(tzinfo=BERLIN).timestamp() * 1_000)


@pytest.mark.parametrize(
    ("at", "window"),
    [
        ("2026-11-23T06:00", "2026-11-23-early"),
        ("2026-11-23T13:59:59.999", "2026-11-23-early"),
        ("2026-11-23T14:00", "2026-11-23-late"),
        ("2026-11-23T22:00", "2026-11-23-night"),
    ],
)
def test_an_edge_belongs_to_the_shift_it_opens(at: str, window: str) -> None:
    assert THREE.window_at(ms(at)).id == window


@pytest.mark.parametrize("at", ["2026-11-23T23:59", "2026-11-24T00:00", "2026-11-24T05:59"])
def test_a_night_shift_belongs_to_the_day_it_opens(at: str) -> None:
    window = THREE.window_at(ms(at))
    assert (window.id, window.day) == ("2026-11-23-night", "2026-11-23")
    assert (window.start_ms, window.end_ms) == (ms("2026-11-23T22:00"), ms("2026-11-24T06:00"))


@pytest.mark.parametrize(
    ("day", "hours"), [("2026-03-29", 23), ("2026-10-25", 25), ("2026-11-23", 24)]
)
def test_a_day_has_23_24_or_25_hours(day: str, hours: int) -> None:
    window = WHOLE_DAY.window_at(ms(f"{day}T12:00"))
    assert window.day == day
    assert window.end_ms - window.start_ms == hours * HOUR_MS


@pytest.mark.parametrize(
    ("inside", "hours"),
    [("2026-03-29T04:00", 7), ("2026-10-25T04:00", 9), ("2026-11-23T23:00", 8)],
)
def test_a_night_across_the_change_of_time_is_7_or_9_hours_long(inside: str, hours: int) -> None:
    window = THREE.window_at(ms(inside))
    assert window.shift == "night"
    assert window.end_ms - window.start_ms == hours * HOUR_MS


def test_both_hours_of_the_night_that_has_two_are_of_one_shift() -> None:
    first = ms("2026-10-25T02:30")
    assert THREE.window_at(first) == THREE.window_at(first + HOUR_MS)


def test_between_shifts_is_one_unplanned_window() -> None:
    pause = WEEK.window_at(ms("2026-11-23T17:00"))
    assert not pause.planned
    assert (pause.start_ms, pause.end_ms) == (ms("2026-11-23T16:00"), ms("2026-11-24T08:00"))
    assert WEEK.window_at(ms("2026-11-24T08:00")).planned


@pytest.mark.parametrize("at", ["2026-11-20T16:00", "2026-11-21T12:00", "2026-11-23T07:59"])
def test_a_weekend_is_one_window(at: str) -> None:
    window = WEEK.window_at(ms(at))
    assert (window.start_ms, window.end_ms) == (ms("2026-11-20T16:00"), ms("2026-11-23T08:00"))
    assert window.id.startswith("2026-11-20-off-shift-")


def test_an_opening_ends_the_shift_before_it() -> None:
    both = calendar(long=(DAILY.format(6), 720), short=(DAILY.format(10), 120))
    assert both.window_at(ms("2026-11-23T09:00")).end_ms == ms("2026-11-23T10:00")
    assert both.window_at(ms("2026-11-23T11:00")).shift == "short"


def test_a_plant_that_seldom_works_has_its_pauses_in_pieces() -> None:
    yearly = calendar(day=("FREQ=YEARLY;BYMONTH=7;BYMONTHDAY=1;BYHOUR=8", 480))
    at = ms("2026-07-01T16:00")
    seen = 0
    while (window := yearly.window_at(at)).shift != "day":
        assert window.start_ms <= at < window.end_ms
        at, seen = window.end_ms, seen + 1
    assert window.id == "2027-07-01-day"
    assert 20 < seen < 60


@pytest.mark.parametrize("at_ms", [0, ms("2023-12-31T23:59"), ms("2100-01-01T00:00"), 2**53 - 1])
def test_outside_the_calendar_nothing_is_planned(at_ms: int) -> None:
    window = THREE.window_at(at_ms)
    assert not window.planned
    assert window.start_ms <= at_ms < window.end_ms <= END_OF_TIME_MS


@given(
    at_ms=st.integers(ms("2024-01-01T00:00"), ms("2030-01-01T00:00")),
    kind=st.sampled_from([THREE, WEEK, WHOLE_DAY]),
)
def test_every_instant_lies_in_its_window_and_windows_meet(at_ms: int, kind: Calendar) -> None:
    window = kind.window_at(at_ms)
    assert window.start_ms <= at_ms < window.end_ms
    assert kind.window_at(window.end_ms - 1).id == window.id
    after = kind.window_at(window.end_ms)
    assert after.start_ms == window.end_ms


def local(zone: str, text: str) -> int:
    return int(datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(zone)).timestamp() * 1_000)


CHANGES = (  # the local days of 2026 on which clocks change, forwards and back
    ("Europe/Berlin", "2026-03-29"),
    ("Europe/Berlin", "2026-10-25"),
    ("America/St_Johns", "2026-03-08"),
    ("America/St_Johns", "2026-11-01"),
    ("Australia/Lord_Howe", "2026-10-04"),  # by half an hour
    ("Australia/Lord_Howe", "2026-04-05"),
    ("Africa/Cairo", "2026-04-24"),  # at midnight: that day has none
    ("Africa/Cairo", "2026-10-29"),
)


@settings(deadline=None, max_examples=40)
@given(
    where=st.sampled_from(CHANGES),
    opens=st.lists(
        st.tuples(
            st.sampled_from([0, 1, 2, 2, 3, 4, 22]),
            st.sampled_from([0, 15, 30]),
            st.sampled_from([1, 2, 3, 4, 8, 32, 96]),
        ),
        min_size=1,
        max_size=4,
    ),
)
def test_windows_meet_over_every_change_of_time(
    where: tuple[str, str], opens: list[tuple[int, int, int]]
) -> None:
    zone, day = where
    daily = "FREQ=DAILY;BYHOUR={};BYMINUTE={};BYSECOND=0"
    shifts = {
        f"s{n}": Shift(rrule=daily.format(hour, minute), duration_min=quarters * 15)
        for n, (hour, minute, quarters) in enumerate(opens)
    }
    kind = Calendar(zone, shifts)
    at_ms = local(zone, f"{day}T12:00") - 36 * HOUR_MS
    until_ms = at_ms + 72 * HOUR_MS
    seen = list[str]()
    while at_ms < until_ms:
        window = kind.window_at(at_ms)
        assert window.start_ms <= at_ms < window.end_ms
        assert all(kind.window_at(t) == window for t in (window.start_ms, window.end_ms - 1))
        seen.append(window.id)
        at_ms = window.end_ms
    assert len(set(seen)) == len(seen)


def test_a_shift_that_opens_in_the_hour_that_is_left_out_opens_after_it() -> None:
    early = calendar(first=(DAILY.format(2), 480))
    window = early.window_at(ms("2026-03-29T05:00"))
    assert (window.start_ms, window.end_ms) == (ms("2026-03-29T03:00"), ms("2026-03-29T10:00"))


def test_a_shift_that_lies_in_the_hour_that_is_left_out_is_none() -> None:
    short = calendar(
        short=("FREQ=DAILY;BYHOUR=2;BYMINUTE=30;BYSECOND=0", 30), long=(DAILY.format(3), 300)
    )
    window = short.window_at(ms("2026-03-29T03:15"))
    assert (window.id, window.start_ms) == ("2026-03-29-long", ms("2026-03-29T03:00"))
    assert not short.window_at(ms("2026-03-29T03:00") - 1).planned
    assert short.window_at(ms("2026-03-30T02:45")).shift == "short"


def test_a_shift_that_opens_in_the_hour_that_comes_twice_opens_once_in_the_first() -> None:
    half = calendar(half=("FREQ=DAILY;BYHOUR=2;BYMINUTE=30;BYSECOND=0", 60))
    first = ms("2026-10-25T02:30")
    window = half.window_at(first + HOUR_MS)
    assert (window.start_ms, window.end_ms) == (first, first + 2 * HOUR_MS)


def test_the_years_of_a_calendar_are_2024_to_2099() -> None:
    inside, outside = ("2024-01-01T00:00", "2099-12-31T23:59"), ("2023-12-31T23:59", "2100-01-01")
    assert all(THREE.covers(ms(text)) for text in inside)
    assert not any(THREE.covers(ms(text)) for text in outside)


NIGHT = with_breaks(DAILY.format(22), 480, "23:50-00:20", "02:15-02:45")


@pytest.mark.parametrize(
    ("at", "is_break"),
    [
        ("2026-11-23T23:49:59", False),
        ("2026-11-23T23:50", True),
        ("2026-11-24T00:19:59", True),
        ("2026-11-24T00:20", False),
        ("2026-11-24T02:30", True),
        ("2026-11-24T12:00", False),
    ],
)
def test_a_break_lies_in_its_shift_also_behind_midnight(at: str, is_break: bool) -> None:  # noqa: FBT001 - a row
    assert NIGHT.is_break(ms(at)) is is_break


@pytest.mark.parametrize("evening", ["2026-03-28", "2026-10-24", "2026-11-23"])
def test_a_break_has_its_minutes_whatever_clocks_do(evening: str) -> None:
    window = NIGHT.window_at(ms(f"{evening}T22:00"))
    assert [end - start for start, end in window.breaks] == [30 * 60_000] * 2
    assert all(window.start_ms <= start < end <= window.end_ms for start, end in window.breaks)


def test_the_edges_of_breaks_are_those_behind_an_instant_in_its_shift() -> None:
    opens, first = ms("2026-11-23T22:00"), ms("2026-11-23T23:50")
    edges = NIGHT.break_edges(opens, ms("2026-11-25T00:00"))
    assert edges[:2] == [first, first + 30 * 60_000]
    assert len(edges) == 4
    assert NIGHT.break_edges(first, first + 1) == []
    assert NIGHT.break_edges(opens, first) == [first]
    assert THREE.break_edges(opens, ms("2026-11-25T00:00")) == []


def test_a_shift_that_is_cut_short_cuts_its_break() -> None:
    early = Shift(rrule=DAILY.format(6), duration_min=480, breaks=("09:45-10:15", "12:00-12:30"))
    late = Shift(rrule=DAILY.format(10), duration_min=480)
    both = Calendar("Europe/Berlin", {"early": early, "late": late})
    window = both.window_at(ms("2026-11-23T07:00"))
    assert window.breaks == ((ms("2026-11-23T09:45"), ms("2026-11-23T10:00")),)


@pytest.mark.parametrize("text", ["9:00-9:15", "24:00-24:15", "09:00", "09:60-10:00", ""])
def test_what_is_no_break_is_refused(text: str) -> None:
    with pytest.raises(ValidationError):
        Shift(rrule=DAILY.format(6), duration_min=480, breaks=(text,))
