"""The watermark: every order of arrival ends at the same place, and none passes a hole."""

from hypothesis import given
from hypothesis import strategies as st

from uns.historian.progress import SPANS_MAX, Progress, Span

SEQS = st.lists(st.integers(1, 40), max_size=80)


def contiguous(seqs: set[int], start: int = 0) -> int:
    """The watermark by the simplest means."""
    while start + 1 in seqs:
        start += 1
    return start


@given(SEQS)
def test_it_is_the_end_of_the_unbroken_run(seqs: list[int]) -> None:
    progress = Progress()
    for seq in seqs:
        progress.add(seq)
    assert progress.seq == contiguous(set(seqs))
    ahead = {seq for span in progress.ahead for seq in range(span.first, span.last + 1)}
    assert ahead == {seq for seq in seqs if seq > progress.seq}
    assert progress.hole_to == (min(ahead) - 1 if ahead else None)


@given(st.permutations(range(1, 30)), st.lists(st.integers(1, 29)))
def test_reorder_and_duplicates_lose_nothing(order: list[int], again: list[int]) -> None:
    progress = Progress()
    for seq in (*order, *again):
        progress.add(seq)
    assert (progress.seq, progress.ahead) == (29, [])


@given(SEQS, SEQS)
def test_a_restart_from_what_was_stored_changes_nothing(first: list[int], then: list[int]) -> None:
    whole = Progress()
    for seq in first:
        whole.add(seq)
    again = Progress(whole.seq, whole.first_seq, whole.ahead)
    for seq in then:
        whole.add(seq)
        again.add(seq)
    assert (again.seq, again.ahead) == (whole.seq, whole.ahead)


@given(SEQS, st.integers(1, 45), SEQS)
def test_what_cannot_come_any_more_is_skipped(
    before: list[int], settled: int, after: list[int]
) -> None:
    progress = Progress()
    for seq in before:
        progress.add(seq)
    reached = progress.seq
    progress.skip_to(settled)
    for seq in after:
        progress.add(seq)
    start = max(reached, settled)
    assert progress.seq == contiguous({*before, *after} | set(range(1, start + 1)))
    assert progress.first_seq == (settled + 1 if settled > reached else 1)


def test_holes_are_bounded_and_what_is_forgotten_may_come_again() -> None:
    progress = Progress()
    for seq in range(2, 10 * SPANS_MAX, 2):
        progress.add(seq)
    assert len(progress.ahead) == SPANS_MAX - 1
    for seq in range(1, 10 * SPANS_MAX):
        progress.add(seq)
    assert (progress.seq, progress.ahead) == (10 * SPANS_MAX - 1, [])


def test_one_three_two() -> None:
    progress = Progress()
    progress.add(1)
    progress.add(3)
    assert (progress.seq, progress.ahead) == (1, [Span(3, 3)])
    progress.add(2)
    assert (progress.seq, progress.ahead) == (3, [])
