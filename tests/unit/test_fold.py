"""The guard takes each event once and in order; what a fold puts out is named by its input."""

import pytest

from processors.quality import build
from tests.example import EARLY_MS, HOUSING, MILL, numbered, plant
from uns.fold import Admission, Mark, admit, advance, key_of_event

SAMPLE = {"type": "inspected", "path": MILL, "at_ms": EARLY_MS, "sample_id": "s1", "values": {}}


@pytest.mark.parametrize(
    ("mark", "epoch", "seq", "says"),
    [
        (None, 1, 1, Admission.NEXT),
        (None, 1, 2, Admission.EARLY),
        (Mark(1, 1), 1, 1, Admission.DUPLICATE),
        (Mark(1, 1), 1, 2, Admission.NEXT),
        (Mark(1, 1), 1, 3, Admission.EARLY),
        (Mark(1, 7), 2, 1, Admission.NEXT),
        (Mark(1, 7), 2, 8, Admission.EARLY),
        (Mark(2, 7), 1, 8, Admission.DUPLICATE),
    ],
)
def test_the_guard(mark: Mark | None, epoch: int, seq: int, says: Admission) -> None:
    assert admit(mark, epoch, seq) is says


def test_a_hole_is_waited_for() -> None:
    mark, taken = None, list[int]()
    waiting = [1, 3, 2]
    while waiting:
        seq = next(s for s in waiting if admit(mark, 1, s) is Admission.NEXT)
        waiting.remove(seq)
        taken.append(seq)
        mark = Mark(1, seq)
    assert taken == [1, 2, 3]


def test_an_output_is_named_by_its_input() -> None:
    quality = build(plant())
    (event,) = numbered([SAMPLE])
    first, again = (advance(quality, quality.initial(HOUSING), event) for _ in range(2))
    assert [draft.id for draft in first.outputs] == [f"{event.id}>quality.0"]
    assert first == again


def test_an_event_of_another_type_changes_nothing() -> None:
    quality = build(plant())
    state = quality.initial(HOUSING)
    (event,) = numbered(
        [{"type": "consumed", "path": MILL, "at_ms": 1, "lot": "l", "quantity": 1, "unit": "kg"}]
    )
    step = advance(quality, state, event)
    assert step.state is state
    assert step.outputs == ()


def test_the_unit_of_work_is_a_line() -> None:
    reply = {"type": "reply", "request_id": "r", "outcome": "accepted", "reason": "", "at_ms": 1}
    at_site, at_line = numbered([{**reply, "path": "acme/berlin"}, {**reply, "path": HOUSING}])
    assert key_of_event(numbered([SAMPLE])[0]) == HOUSING
    assert key_of_event(at_line) == HOUSING
    assert key_of_event(at_site) is None
