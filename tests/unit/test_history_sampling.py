"""Samples as values that hold over time, against the same worked out the slow way."""

from collections.abc import Sequence
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.holding import Expected, Told, expected, spells
from uns.historian.history.lttb import lttb
from uns.historian.history.period import Period
from uns.historian.history.sampling import Bucket, Held, Piece, buckets, spans

ASKED = Period(from_ms=1_000, to_ms=1_100)
samples = st.lists(
    st.builds(
        Told,
        st.integers(900, 1_099),
        st.sampled_from(["good", "good", "uncertain", "bad"]),
        st.none() | st.integers(-50, 50).map(float),
    ),
    max_size=25,
    unique_by=lambda told: told.at_ms,
).map(sorted)


def piece(told: Sequence[Told], span: Period, hold_ms: int | None) -> Piece:
    """The samples of a span as a store sums them up."""
    inside = [one for one in told if span.from_ms <= one.at_ms < span.to_ms]
    held = list(spells(inside, span, hold_ms))
    good = [s for s in held if s.quality == "good"]
    numbers = [(s.value, s.to_ms - s.from_ms) for s in good if s.value is not None]
    newest = inside[-1]
    return Piece(
        at_ms=span.from_ms,
        end_ms=span.to_ms,
        n=len(inside),
        min=min((v for v, _ in numbers), default=None),
        max=max((v for v, _ in numbers), default=None),
        weight=sum(v * ms for v, ms in numbers),
        number_ms=sum(ms for _, ms in numbers),
        good_ms=sum(s.to_ms - s.from_ms for s in good),
        uncertain_ms=sum(s.to_ms - s.from_ms for s in held if s.quality == "uncertain"),
        first_ms=inside[0].at_ms,
        last=Held(newest.at_ms, newest.value, newest.quality),
    )


def same(bucket: Bucket, other: Expected) -> bool:
    """Whether a bucket says what is expected."""
    found = bucket.model_dump()
    return all(found[name] == pytest.approx(value) for name, value in other._asdict().items())


@given(
    samples,
    st.integers(1, 60),
    st.none() | st.integers(1, 80),
    st.sets(st.integers(1_001, 1_099), max_size=3),
)
def test_a_value_holds_until_the_next_sample_of_any_quality(
    told: list[Told], every_ms: int, hold_ms: int | None, cuts: set[int]
) -> None:
    steps = list(spans(ASKED, every_ms))
    if hold_ms is not None:
        cuts = set()  # roll-ups are for values that hold for ever
    edges = sorted({ASKED.from_ms, *(step.to_ms for step in steps), *cuts})
    parts = [Period(from_ms=a, to_ms=b) for a, b in pairwise(edges)]
    found = [
        piece(told, part, hold_ms)
        for part in parts
        if any(part.from_ms <= one.at_ms < part.to_ms for one in told)
    ]
    earlier = [one for one in told if one.at_ms < ASKED.from_ms]
    before = Held(earlier[-1].at_ms, earlier[-1].value, earlier[-1].quality) if earlier else None
    shown = list(buckets(found, before, ASKED, every_ms, hold_ms or 2**60))
    assert len(shown) == len(steps)
    for bucket, step in zip(shown, steps, strict=True):
        assert same(bucket, expected(told, step, ASKED, hold_ms)), bucket


@given(st.integers(0, 10**7), st.integers(1, 10**7), st.sampled_from([7, 60_000, 900_000]))
def test_steps_are_the_period_cut_where_clocks_cut_it(
    from_ms: int, length_ms: int, every_ms: int
) -> None:
    asked = Period(from_ms=from_ms, to_ms=from_ms + length_ms)
    steps = list(spans(asked, every_ms))
    assert (steps[0].from_ms, steps[-1].to_ms) == (asked.from_ms, asked.to_ms)
    assert all(a.to_ms == b.from_ms for a, b in pairwise(steps))
    assert all(0 < step.length_ms <= every_ms for step in steps)
    if every_ms % 60_000 == 0:
        assert all(step.to_ms % every_ms == 0 for step in steps[:-1])


@given(
    st.lists(st.tuples(st.integers(0, 10**6), st.floats(-1e6, 1e6)), min_size=1).map(sorted),
    st.integers(3, 20),
)
def test_a_thinned_line_keeps_its_ends_and_invents_nothing(
    points: list[tuple[int, float]], most: int
) -> None:
    found = lttb(points, most)
    assert len(found) == min(len(points), most)
    assert (found[0], found[-1]) == (points[0], points[-1])
    assert found == sorted(found, key=lambda point: point[0])
    assert set(found) <= set(points)


def test_a_thinned_line_keeps_its_spike() -> None:
    line = [(at_ms, 500.0 if at_ms == 777 else 1.0 + at_ms % 2) for at_ms in range(2_000)]
    assert (777, 500.0) in lttb(line, 20)
