"""The guard: each event once and in order; a hole waits, then is said as a gap."""

from hypothesis import given
from hypothesis import strategies as st

from uns.fold import Mark
from uns.model.events import Counted
from uns.mqtt.message import Message
from uns.runtime.intake import HOLE_AGE_S_MAX, Intake, Taken

SOURCE = "plc-machining:acme.berlin.machining.housing"
PATH = "acme/berlin/machining/housing/mill"


def taken(seq: int, epoch: int = 1) -> Taken:
    event = Counted(
        id=f"{epoch}.{seq}",
        at_ms=seq,
        path=PATH,
        source=SOURCE,
        epoch=epoch,
        seq=seq,
        good=1,
        scrap=0,
    )
    return Taken(event, Message(f"{PATH}/_event/counted", b"", 1, False, False, seq, 1))  # noqa: FBT003 - fields of a message


def seqs(found: list[Taken]) -> list[int]:
    return [one.event.seq for one in found]


def test_one_three_two_loses_nothing() -> None:
    intake = Intake({}, lambda _: None)
    assert seqs(intake.offer(taken(1), 0)[0]) == [1]
    assert intake.offer(taken(3), 0) == ([], [])
    assert seqs(intake.offer(taken(2), 0)[0]) == [2, 3]
    assert intake.held == 0


def test_a_duplicate_is_acknowledged_and_not_taken() -> None:
    marks = {SOURCE: Mark(1, 5)}
    folded, done = Intake(marks, lambda _: None).offer(taken(5), 0)
    assert (folded, len(done)) == ([], 1)
    assert marks == {SOURCE: Mark(1, 5)}


def test_an_old_epoch_is_a_duplicate_and_a_new_one_starts_at_one() -> None:
    intake = Intake({SOURCE: Mark(2, 9)}, lambda _: None)
    assert intake.offer(taken(10, epoch=1), 0)[0] == []
    assert seqs(intake.offer(taken(1, epoch=3), 0)[0]) == [1]


def test_a_source_never_seen_starts_behind_what_is_settled() -> None:
    intake = Intake({}, {SOURCE: Mark(1, 4_999)}.get)
    assert seqs(intake.offer(taken(5_000), 0)[0]) == [5_000]


def test_a_hole_too_old_becomes_a_gap_and_the_rest_goes_on() -> None:
    marks = {SOURCE: Mark(1, 1)}
    intake = Intake(marks, lambda _: None)
    intake.offer(taken(4), 0)
    intake.offer(taken(5), 0)
    assert list(intake.overdue(HOLE_AGE_S_MAX, "oee", 0)) == []
    ((gap, rest),) = intake.overdue(HOLE_AGE_S_MAX + 1, "oee", 0)
    assert (gap.body["from_seq"], gap.body["to_seq"], gap.path) == (2, 3, PATH.rpartition("/")[0])
    assert seqs(rest) == [4, 5]
    assert marks == {SOURCE: Mark(1, 5)}


@given(st.permutations(list(range(1, 12))), st.lists(st.integers(1, 11), max_size=20))
def test_any_order_with_duplicates_folds_each_once_in_order(
    order: list[int], repeats: list[int]
) -> None:
    intake, folded, acked = Intake({}, lambda _: None), list[int](), 0
    for seq in [*order, *repeats]:
        found, done = intake.offer(taken(seq), 0)
        folded += seqs(found)
        acked += len(found) + len(done)
    assert folded == list(range(1, 12))
    assert acked == 11 + len(repeats)


def test_a_second_hole_has_an_age_of_its_own() -> None:
    intake = Intake({SOURCE: Mark(1, 1)}, lambda _: None)
    intake.offer(taken(3), 0)
    intake.offer(taken(5), 0)
    intake.offer(taken(2), HOLE_AGE_S_MAX - 1)
    assert list(intake.overdue(HOLE_AGE_S_MAX + 1, "oee", 0)) == []
    assert len(list(intake.overdue(2 * HOLE_AGE_S_MAX, "oee", 0))) == 1


def test_the_time_without_a_broker_does_not_age_a_hole() -> None:
    intake = Intake({SOURCE: Mark(1, 1)}, lambda _: None)
    intake.offer(taken(3), 0)
    intake.patient(100)
    assert list(intake.overdue(100 + HOLE_AGE_S_MAX, "oee", 0)) == []
    assert len(list(intake.overdue(101 + HOLE_AGE_S_MAX, "oee", 0))) == 1


def test_what_a_newer_epoch_left_behind_is_acknowledged_and_never_folded() -> None:
    marks = {SOURCE: Mark(1, 1)}
    intake = Intake(marks, lambda _: None)
    intake.offer(taken(3, epoch=1), 0)
    folded, done = intake.offer(taken(1, epoch=2), 0)
    assert (seqs(folded), len(done)) == ([1], 1)
    assert list(intake.overdue(1_000, "oee", 0)) == []
    assert marks == {SOURCE: Mark(2, 1)}
