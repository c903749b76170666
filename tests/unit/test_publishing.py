"""What a tag shows and when: dead bands, held-back changes, silent tags, stuck sources."""

from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from uns.model.observation import Quality, Reading, Scalar
from uns.model.plant import TagSpec
from uns.model.publishing import Key, Publishing, Pulses, dead_band_of

CELL, TAG = "acme/berlin/machining/housing/saw", "speed"
KEY = (CELL, TAG)


def spec(**keys: Any) -> TagSpec:
    return TagSpec.model_validate({"source": {}, **keys})


def read(
    value: Scalar, at_ms: int = 0, quality: Quality = "good", reason: str | None = None
) -> Reading:
    return Reading(CELL, TAG, value, at_ms, quality, reason)


def publishing(**keys: Any) -> Publishing:
    return Publishing({KEY: spec(**keys)})


SMALL: list[tuple[dict[str, Any], Scalar, Scalar, bool]] = [
    ({}, 1, 1, False),
    ({}, 1, 2, True),
    ({}, 1, 1.0, False),
    ({}, "a", "a", False),
    ({}, "a", "b", True),
    ({}, True, 1, True),
    ({}, None, 0, True),
    ({}, 2**53, 2**53 + 1, True),
    ({"dead_band": 0.5}, 1.0, 1.5, False),
    ({"dead_band": 0.5}, 1.0, 1.51, True),
    ({"dead_band": 0.5}, 1.0, 0.4, True),
    ({"dead_band": 5}, "1", "2", True),
    ({"dead_band_percent": 1, "range": [-50, 150]}, 10.0, 12.0, False),
    ({"dead_band_percent": 1, "range": [-50, 150]}, 10.0, 12.1, True),
]


@pytest.mark.parametrize(("keys", "old", "new", "is_news"), SMALL)
def test_a_change_is_news_beyond_the_dead_band(
    keys: dict[str, Any], old: Scalar, new: Scalar, *, is_news: bool
) -> None:
    shown = publishing(**keys)
    assert shown.take(read(old), 0.0)
    assert shown.take(read(new), 1.0) is is_news


def test_the_wider_dead_band_counts() -> None:
    assert dead_band_of(spec(dead_band=3, dead_band_percent=1, range=[0, 100])) == 3
    assert dead_band_of(spec(dead_band=3, dead_band_percent=10, range=[0, 100])) == 10


def test_small_steps_do_not_creep_past_the_dead_band() -> None:
    shown = publishing(dead_band=1.0)
    told = [n for n in range(31) if shown.take(read(n / 10), float(n))]
    assert told == [0, 11, 22]


def test_quality_and_its_reason_are_told_at_once() -> None:
    shown = publishing(interval_ms_min=60_000, dead_band=100)
    assert shown.take(read(1), 0.0)
    assert shown.take(read(1, quality="bad", reason="no answer"), 0.1)
    assert shown.take(read(1, quality="bad", reason="no route"), 0.2)
    assert not shown.take(read(2, quality="bad", reason="no route"), 0.3)
    assert shown.take(read(1), 0.4)


def test_of_what_comes_too_soon_the_newest_is_published_when_it_is_time() -> None:
    shown = publishing(interval_ms_min=1_000)
    assert shown.take(read(1), 10.0)
    assert not shown.take(read(2), 10.2)
    assert not shown.take(read(3), 10.9)
    assert shown.due(10.99) == []
    assert shown.due(11.0) == [read(3)]
    assert shown.due(11.5) == []
    assert not shown.take(read(4), 11.9)
    assert shown.take(read(5), 12.0)
    assert shown.due(13.0) == []


def test_a_value_that_went_back_in_time_is_not_published() -> None:
    shown = publishing(interval_ms_min=1_000)
    assert shown.take(read(1), 0.0)
    assert not shown.take(read(2), 0.1)
    assert not shown.take(read(1, at_ms=5), 0.2)
    assert shown.due(2.0) == []


def test_a_silent_tag_is_said_again_with_the_newest_that_was_read() -> None:
    shown = publishing(interval_ms_max=10_000, dead_band=1)
    assert shown.take(read(1.0, at_ms=1), 0.0)
    assert not shown.take(read(1.5, at_ms=2), 5.0)
    assert shown.due(9.0) == []
    assert shown.due(10.0) == [read(1.5, at_ms=2)]
    assert shown.due(11.0) == []
    assert shown.due(20.0) == [read(1.5, at_ms=2)]
    assert shown.newest == {KEY: read(1.5, at_ms=2)}


def test_a_tag_without_a_greatest_interval_stays_silent() -> None:
    shown = publishing(interval_ms_max=None)
    assert shown.take(read(1), 0.0)
    assert shown.due(1e9) == []


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(1, 700)), max_size=60))
def test_in_the_end_the_newest_value_is_shown_and_never_too_often(
    steps: list[tuple[int, int]],
) -> None:
    shown, now_s = publishing(interval_ms_min=1_000, interval_ms_max=None), 0.0
    told = list[tuple[float, Scalar]]()
    for value, wait_ms in steps:
        now_s += wait_ms / 1000
        told += [(now_s, reading.value) for reading in shown.due(now_s)]
        if shown.take(read(value), now_s):
            told.append((now_s, value))
    told += [(now_s + 2, reading.value) for reading in shown.due(now_s + 2)]
    assert all(after - before >= 0.999 for (before, _), (after, _) in pairwise(told))
    assert [value for _, value in told][-1:] == [value for value, _ in steps][-1:]


# --- stuck sources

PLC = (CELL, "plc:1")
OTHER = (CELL, "other")
METER = (CELL, "meter")


def pulses() -> Pulses:
    beat = spec(heartbeat_ms_max=1_000)
    return Pulses({KEY: beat, OTHER: spec(heartbeat_ms_max=2_000), METER: spec()})


def beat_of(key: Key, value: Scalar) -> Reading:
    return Reading(*key, value, 0)


def test_a_source_that_does_not_beat_is_stuck_and_alive_with_the_next_beat() -> None:
    watch = pulses()
    watch.expect("plc:1", [KEY, METER], 0.0)
    assert watch.take(read(1), 0.5) == []
    assert watch.take(read(1), 1.4) == []
    assert watch.stopped(1.5) == {}
    assert watch.stopped(1.6) == {PLC: "speed is stuck for 1000 ms"}
    assert watch.stopped(1.7) == {}
    assert watch.stuck(METER) == PLC
    assert watch.take(read(1), 1.8) == []
    assert watch.take(read(2), 1.9) == [PLC]
    assert watch.stuck(METER) is None


def test_what_another_source_feeds_of_the_cell_is_not_stuck() -> None:
    watch = pulses()
    watch.expect("plc:1", [KEY], 0.0)
    watch.expect("meters", [METER], 0.0)
    assert watch.stopped(1.1) == {PLC: "speed is stuck for 1000 ms"}
    assert watch.stuck(METER) is None
    assert watch.members(PLC) == [KEY]


def test_of_two_heartbeats_both_must_beat() -> None:
    watch = pulses()
    watch.expect("plc:1", [KEY, OTHER], 0.0)
    assert watch.stopped(1.1) == {PLC: "speed is stuck for 1000 ms"}
    assert watch.take(beat_of(OTHER, 1), 1.2) == []
    assert watch.stopped(3.3) == {}
    assert watch.take(beat_of(KEY, 1), 3.4) == []
    assert watch.take(beat_of(OTHER, 2), 3.5) == [PLC]


def test_a_source_that_is_away_is_not_called_stuck() -> None:
    watch = pulses()
    assert watch.stopped(100.0) == {}
    watch.expect("plc:1", [KEY], 0.0)
    assert watch.forget([KEY]) == []
    assert watch.stopped(200.0) == {}
    watch.expect("plc:1", [KEY], 200.0)
    assert list(watch.stopped(201.5)) == [PLC]
    assert watch.forget([KEY]) == [PLC]
    assert watch.stuck(KEY) is None


def test_a_bad_value_is_no_beat() -> None:
    watch = pulses()
    watch.expect("plc:1", [KEY], 0.0)
    assert watch.take(read(None, quality="bad"), 0.9) == []
    assert list(watch.stopped(1.1)) == [PLC]
