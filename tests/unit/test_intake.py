"""The guard: each event once and in order; a hole waits, then is said as a gap."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from uns.fold import Mark
from uns.model.events import Counted
from uns.mqtt.message import Message
from uns.runtime import intake as module
from uns.runtime.intake import LOOK_UP_AFTER_S, TURNS_S_MAX, Intake, Taken, Want, said
from uns.runtime.resume import Run

SOURCE = "plc-machining:acme.berlin.machining.housing"
OTHER = "erp:acme.berlin.machining.housing"
LINE = "acme/berlin/machining/housing"
PATH = f"{LINE}/mill"
LATE_S = LOOK_UP_AFTER_S + 1


def taken(seq: int, epoch: int = 1, source: str = SOURCE) -> Taken:
    event = Counted(
        id=f"{source}.{epoch}.{seq}",
        at_ms=seq,
        path=PATH,
        source=source,
        epoch=epoch,
        seq=seq,
        good=1,
        scrap=0,
    )
    return Taken(event, Message(f"{PATH}/_event/counted", b"", 1, False, False, seq, 1))  # noqa: FBT003 - fields of a message


def sources(found: list[Taken]) -> list[tuple[str, int]]:
    return [(one.event.source, one.event.seq) for one in found]


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
    intake.searched(Want(SOURCE, 2, 10, None), Mark(3, 1), 0)
    assert seqs(intake.offer(taken(1, epoch=3), 0)[0]) == [1]


def test_a_source_never_seen_starts_behind_what_is_settled() -> None:
    intake = Intake({}, {SOURCE: Mark(1, 4_999)}.get)
    assert seqs(intake.offer(taken(5_000), 0)[0]) == [5_000]


def due(intake: Intake, now_s: float, recorded: dict[str, Mark] | None = None) -> list[Want]:
    return list(intake.wants(recorded or {}, now_s))


def test_an_old_hole_is_looked_up_and_what_its_source_still_has_is_let_go() -> None:
    marks = {SOURCE: Mark(1, 1)}
    intake = Intake(marks, lambda _: None)
    for seq in (4, 5):
        intake.offer(taken(seq), 0)
    assert due(intake, LOOK_UP_AFTER_S) == []
    assert due(intake, LATE_S) == [Want(SOURCE, 1, 2, 3)]
    assert intake.take_let_go() == []
    assert intake.searched(Want(SOURCE, 1, 2, 3), Mark(1, 1), LATE_S) == ([], None)
    assert [message.mid for message in intake.take_let_go()] == [4, 5]
    assert (intake.held, intake.take_let_go(), marks) == (0, [], {SOURCE: Mark(1, 1)})
    for seq in (4, 5):
        assert intake.offer(taken(seq), LATE_S) == ([], [])
    assert due(intake, LATE_S + LOOK_UP_AFTER_S) == []
    assert due(intake, 2 * LATE_S) == [Want(SOURCE, 1, 2, 3)]
    intake.offer(taken(2), LATE_S)
    assert seqs(intake.offer(taken(3), LATE_S)[0]) == [3, 4, 5]


def test_what_is_missing_of_an_epoch_that_is_over_becomes_a_gap() -> None:
    marks = {SOURCE: Mark(1, 1)}
    intake = Intake(marks, lambda _: None)
    for seq in (4, 5):
        intake.offer(taken(seq), 0)
    rest, gap = intake.searched(Want(SOURCE, 1, 2, 3), Mark(2, 1), LATE_S)
    assert seqs(rest) == [4, 5]
    assert gap is not None
    told = said(gap, "oee", 9)
    assert (told.body["from_seq"], told.body["to_seq"], told.path) == (2, 3, LINE)
    assert (told.at_ms, told.body["seen_by"]) == (9, "oee")
    assert marks == {SOURCE: Mark(1, 5)}


def test_more_than_can_be_held_is_let_go_and_sent_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "HELD_MAX", 2)
    intake = Intake({SOURCE: Mark(1, 1)}, lambda _: None)
    for seq in (3, 4):
        assert intake.offer(taken(seq), 0) == ([], [])
    folded, done = intake.offer(taken(5), 0)
    assert (folded, len(done), intake.held) == ([], 1, 2)
    assert seqs(intake.offer(taken(2), 0)[0]) == [2, 3, 4]
    assert seqs(intake.offer(taken(5), 0)[0]) == [5]


def test_what_the_record_has_is_taken_in_its_place() -> None:
    intake = Intake({SOURCE: Mark(1, 1)}, lambda _: None)
    intake.offer(taken(4), 0)
    found = intake.found([taken(2).event, taken(3).event], LATE_S)
    assert seqs(found) == [2, 3, 4]
    assert [one.message is None for one in found] == [True, True, False]
    assert intake.searched(Want(SOURCE, 1, 2, 3), None, LATE_S) == ([], None)


def test_what_the_record_counts_and_has_not_as_an_event_is_no_gap() -> None:
    marks = {SOURCE: Mark(1, 1)}
    intake = Intake(marks, lambda _: None)
    intake.offer(taken(3), 0)
    rest, gap = intake.searched(Want(SOURCE, 1, 2, 2), Mark(1, 3), LATE_S)
    assert (seqs(rest), gap, marks) == ([3], None, {SOURCE: Mark(1, 3)})


def test_what_the_record_has_and_nobody_sends_is_looked_up() -> None:
    marks = {SOURCE: Mark(1, 1)}
    intake, recorded = Intake(marks, lambda _: None), {SOURCE: Mark(1, 3)}
    assert due(intake, 0, recorded) == []
    assert due(intake, LATE_S, recorded) == [Want(SOURCE, 1, 2, 3)]
    assert seqs(intake.found([taken(2).event, taken(3).event], LATE_S)) == [2, 3]
    assert due(intake, 2 * LATE_S, recorded) == []


def test_a_source_that_moves_is_not_behind_the_record() -> None:
    intake, recorded = Intake({SOURCE: Mark(1, 1)}, lambda _: None), {SOURCE: Mark(1, 9)}
    assert due(intake, 0, recorded) == []
    intake.offer(taken(2), LATE_S / 2)
    assert due(intake, LATE_S, recorded) == []


def test_the_end_of_an_old_epoch_is_looked_up_before_a_new_one_begins() -> None:
    marks = {SOURCE: Mark(1, 5)}
    intake = Intake(marks, lambda _: None)
    assert intake.offer(taken(1, epoch=2), 0) == ([], [])
    assert due(intake, 0) == [Want(SOURCE, 1, 6, None)]
    assert seqs(intake.found([taken(6).event], 0)) == [6]
    rest, gap = intake.searched(Want(SOURCE, 1, 6, None), Mark(2, 1), 0)
    assert (seqs(rest), gap, marks) == ([1], None, {SOURCE: Mark(2, 1)})


def test_after_a_crash_sources_take_their_turns_again() -> None:
    turns = [Run(SOURCE, 1, 2), Run(OTHER, 1, 1), Run(SOURCE, 1, 3)]
    intake = Intake({SOURCE: Mark(1, 1)}, lambda _: None, turns)
    assert intake.offer(taken(1, source=OTHER), 0) == ([], [])
    assert sources(intake.offer(taken(2), 0)[0]) == [(SOURCE, 2), (OTHER, 1)]
    assert intake.offer(taken(2, source=OTHER), 0) == ([], [])
    assert sources(intake.offer(taken(3), 0)[0]) == [(SOURCE, 3), (OTHER, 2)]


def test_a_turn_that_does_not_come_is_given_up() -> None:
    intake = Intake({}, lambda _: None, [Run(OTHER, 1, 1)])
    intake.offer(taken(1), 0)
    assert intake.go_on(0) == []
    assert intake.go_on(TURNS_S_MAX - 1) == []
    assert seqs(intake.go_on(TURNS_S_MAX)) == [1]


def test_turns_that_were_taken_before_the_crash_are_over() -> None:
    intake = Intake({OTHER: Mark(1, 1)}, lambda _: None, [Run(OTHER, 1, 1)])
    assert seqs(intake.offer(taken(1), 0)[0]) == [1]


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
    intake.offer(taken(2), LATE_S - 1)
    assert due(intake, LATE_S) == []
    assert due(intake, 2 * LATE_S) == [Want(SOURCE, 1, 4, 4)]


def test_the_time_without_a_broker_does_not_age_a_hole() -> None:
    intake = Intake({SOURCE: Mark(1, 1)}, lambda _: None)
    intake.offer(taken(3), 0)
    intake.patient(100)
    assert due(intake, 100 + LOOK_UP_AFTER_S) == []
    assert len(due(intake, 100 + LATE_S)) == 1


def test_a_hole_of_the_old_epoch_is_settled_before_the_new_one_begins() -> None:
    marks = {SOURCE: Mark(1, 1)}
    intake = Intake(marks, lambda _: None)
    intake.offer(taken(3, epoch=1), 0)
    intake.offer(taken(1, epoch=2), 0)
    (hole,) = due(intake, LATE_S)
    rest, gap = intake.searched(hole, Mark(2, 1), LATE_S)
    assert gap is not None
    assert (seqs(rest), gap.body["from_seq"]) == ([3], 2)
    (end,) = due(intake, LATE_S)
    assert end == Want(SOURCE, 1, 4, None)
    assert seqs(intake.searched(end, Mark(1, 3), LATE_S)[0]) == []
    assert seqs(intake.searched(end, Mark(2, 1), LATE_S)[0]) == [1]
    assert marks == {SOURCE: Mark(2, 1)}
    assert (intake.held, due(intake, 1_000)) == (0, [])
