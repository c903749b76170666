"""Where staged rows lie in time: few spans, each narrow."""

from hypothesis import given
from hypothesis import strategies as st

from uns.historian.merging import APART_MS, SPANS_MAX, spans


def test_what_is_far_apart_is_looked_for_apart() -> None:
    today, year_2000 = 20_000 * APART_MS, 11_000 * APART_MS
    assert spans([today + 5, year_2000, today, year_2000 + APART_MS]) == [
        (year_2000, year_2000 + APART_MS),
        (today, today + 5),
    ]
    assert spans([7, 7]) == [(7, 7)]


def test_the_widest_gaps_are_left_out() -> None:
    days = [n * (2 * APART_MS + n) for n in range(3 * SPANS_MAX)]
    found = spans(days)
    assert len(found) == SPANS_MAX
    assert found[0] == (0, days[2 * SPANS_MAX])
    assert all(first == last for first, last in found[1:])


@given(st.lists(st.integers(0, 2**53), min_size=1))
def test_every_instant_lies_in_one_span(instants: list[int]) -> None:
    found = spans(instants)
    assert len(found) <= SPANS_MAX
    assert all(sum(first <= n <= last for first, last in found) == 1 for n in instants)
    assert {n for span in found for n in span} <= set(instants)
