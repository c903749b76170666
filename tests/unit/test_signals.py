"""From readings to facts: counters by value, context before counts, and nothing from bad input."""

from collections.abc import Iterable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.example import FIT, MILL, PRESS, TEST, WASH, numbered, plant
from uns.model.events import IDENTIFIER_LENGTH_MAX
from uns.model.observation import Quality, Reading, Scalar
from uns.model.signals import COUNTER_MAX, UNITS_A_BATCH_MAX, CellFact, Memory, delta, derive, lost

AT = 1_795_410_000_000


def batch(cell: str, at_ms: int = AT, **tags: Scalar) -> list[Reading]:
    return [Reading(cell, tag.replace("_", "-"), value, at_ms) for tag, value in tags.items()]


def folded(cell: str, *batches: Iterable[Reading]) -> tuple[Memory, list[CellFact]]:
    memory, facts = Memory(), list[CellFact]()
    for readings in batches:
        memory, more = derive(plant().cells[cell], plant().items, memory, readings)
        facts += more
    return memory, facts


def lost_tags(memory: Memory, at_ms: int, *tags: str) -> tuple[Memory, list[CellFact]]:
    """The mill without the source of some tags; of all when none is named."""
    mill = plant().cells[MILL].cell
    return lost(mill, memory, tags or mill.tags, at_ms)


def of_type(facts: list[CellFact], event_type: str) -> list[dict[str, Any]]:
    return [dict(fact.body) for fact in facts if fact.type == event_type]


def good(facts: list[CellFact]) -> int:
    return sum(body["good"] for body in of_type(facts, "counted"))


@pytest.mark.parametrize(
    ("base", "value", "rollover", "pieces"),
    [
        (None, 500, 10_000, 0),  # the first value ever is the base line
        (7, 7, 10_000, 0),
        (7, 9, 10_000, 2),
        (9_998, 3, 10_000, 5),  # over the end: 9999, 0, 1, 2, 3
        (5_000, 4_999, 10_000, 4_999),  # nearly a whole turn back is no roll-over: reset
        (500, 3, 10_000, 3),  # reset
        (500, 0, None, 0),
        (500, 3, None, 3),
        (65_535, 0, 65_536, 1),
    ],
)
def test_pieces_between_two_counter_values(
    base: int | None, value: int, rollover: int | None, pieces: int
) -> None:
    assert delta(base, value, rollover) == pieces


@pytest.mark.parametrize(
    ("base", "value", "rollover", "pieces"),
    [
        (500, 90, None, 90),  # reset
        (500, 91, None, 0),  # set: a base line again
        (500, 9_000, None, 8_500),  # a rise always counts
        (65_000, 60, 65_536, 596),  # turned over
        (None, 5, None, 0),
    ],
)
def test_a_counter_that_falls_to_more_than_a_reset_can_show_was_set(
    base: int | None, value: int, rollover: int | None, pieces: int
) -> None:
    assert delta(base, value, rollover, reset_max=90) == pieces


@given(st.lists(st.integers(0, 4_000), max_size=20))
def test_a_counter_that_rolls_over_loses_no_piece(steps: list[int]) -> None:
    total, readings = 0, [batch(MILL, good=0)]
    for step in steps:
        total += step
        readings.append(batch(MILL, good=total % 10_000))
    _, facts = folded(MILL, *readings)
    assert good(facts) == total


@given(st.lists(st.integers(0, 50), min_size=1, max_size=20), st.sets(st.integers(0, 19)))
def test_values_missed_in_between_change_no_sum(steps: list[int], missed: set[int]) -> None:
    totals = [sum(steps[: n + 1]) for n in range(len(steps))]
    kept = [t for n, t in enumerate(totals) if n not in missed or n == len(totals) - 1]
    _, facts = folded(MILL, batch(MILL, good=0), *(batch(MILL, good=t) for t in kept))
    assert good(facts) == totals[-1]


def test_the_order_of_a_batch_counts_for_nothing() -> None:
    started = batch(MILL, order="PO-1", item="housing-a", good=10, state=6)
    change = batch(MILL, AT + 200, good=12, order="PO-2", item="housing-b", state=11, fault=21)
    _, facts = folded(MILL, started, change)
    _, backwards = folded(MILL, started, change[::-1])
    assert facts == backwards
    assert of_type(facts, "loaded")[-1] == {"order_id": "PO-2", "item": "housing-b"}
    assert of_type(facts, "counted") == [
        {"good": 2, "scrap": 0, "rework": 0, "order_id": "PO-2", "item": "housing-b"}
    ]
    assert of_type(facts, "state-changed")[-1] == {"state": "HELD", "fault": "e21"}
    assert [fact.type for fact in facts[-3:]] == ["loaded", "counted", "state-changed"]


def test_a_state_that_stays_is_no_fact() -> None:
    _, facts = folded(MILL, batch(MILL, state=6), batch(MILL, AT + 1, state=6))
    assert of_type(facts, "state-changed") == [{"state": "EXECUTE", "fault": None}]


def test_unloading_is_a_fact_with_nothing_in_it() -> None:
    _, facts = folded(MILL, batch(MILL, order="PO-1"), batch(MILL, order="  "))
    assert of_type(facts, "loaded") == [
        {"order_id": "PO-1", "item": None},
        {"order_id": None, "item": None},
    ]


@pytest.mark.parametrize("value", ["x" * (IDENTIFIER_LENGTH_MAX + 1), "\0\0", " \t"])
def test_a_text_that_can_be_no_id_is_none(value: str) -> None:
    memory, _ = folded(PRESS, batch(PRESS, order=value, lot=value, housing_lot=value))
    assert (memory.order_id, memory.lot_out, memory.lots) == (None, None, {})


@pytest.mark.parametrize(
    ("value", "fault"), [(0, None), ("0", None), (21, "e21"), ("021", "e21"), ("jam", None)]
)
def test_a_fault_code_is_a_number(value: Scalar, fault: str | None) -> None:
    memory, _ = folded(MILL, batch(MILL, fault=value))
    assert memory.fault == fault


def test_pieces_consume_their_bom_and_produce_their_lot() -> None:
    context = batch(PRESS, order="PO-1", item="pump-a", housing_lot="H-1", bearing_lot="B-1")
    first = batch(PRESS, lot="P-1", good=0, scrap=0)
    _, facts = folded(PRESS, context + first, batch(PRESS, AT + 1, good=3, scrap=1))
    consumed = [(b["lot"], b["item"], b["quantity"]) for b in of_type(facts, "consumed")]
    assert consumed == [
        ("H-1", "housing-a", 3.0),
        ("B-1", "bearing", 6.0),
        ("H-1", "housing-a", 1.0),
        ("B-1", "bearing", 2.0),
    ]
    produced = of_type(facts, "produced")
    assert [(b["lot"], b["quantity"], b["unit_id"]) for b in produced] == [("P-1", 3, None)]


def test_work_in_process_is_consumed_piece_by_piece() -> None:
    first = batch(WASH, order="PO-1", item="housing-a", part_lot="M-1", good=0)
    _, facts = folded(WASH, first, batch(WASH, good=4))
    (consumed,) = of_type(facts, "consumed")
    assert (consumed["lot"], consumed["item"], consumed["quantity"]) == ("M-1", "housing-a", 4.0)


def test_a_lot_taken_off_is_consumed_no_more() -> None:
    first = batch(WASH, item="housing-a", part_lot="M-1", good=0)
    _, facts = folded(WASH, first, batch(WASH, part_lot="", good=2))
    assert of_type(facts, "consumed") == []


def test_each_serial_number_is_a_unit_with_its_own_consumption() -> None:
    first = batch(TEST, order="PO-1", item="pump-a", pump_lot="F-1", lot="T-1", serial=41, good=0)
    _, facts = folded(TEST, first, batch(TEST, AT + 1, serial=43, good=2))
    units = [b["unit_id"] for b in of_type(facts, "produced")]
    assert units == ["PU-0000042", "PU-0000043"]
    assert len(of_type(facts, "consumed")) == 2
    assert good(facts) == 2


def test_a_leap_of_serial_numbers_is_bounded() -> None:
    first = batch(TEST, item="pump-a", lot="T-1", serial=0)
    _, facts = folded(TEST, first, batch(TEST, serial=4_000_000_000))
    units = of_type(facts, "produced")
    assert len(units) == UNITS_A_BATCH_MAX
    assert units[-1]["unit_id"] == "PU-4000000000"


def test_rework_consumes_nothing() -> None:
    first = batch(TEST, item="pump-a", pump_lot="F-1", rework=0)
    _, facts = folded(TEST, first, batch(TEST, rework=2))
    assert [fact.type for fact in facts] == ["loaded", "counted"]
    assert of_type(facts, "counted")[0]["rework"] == 2


def test_a_sample_carries_the_values_measured_so_far() -> None:
    first = batch(MILL, order="PO-1", item="housing-a", lot="M-1", sample=7, bore=40.0)
    _, facts = folded(MILL, first, batch(MILL, sample=8, flatness=3.5))
    (sample,) = of_type(facts, "inspected")
    assert sample["values"] == {"bore": 40.0, "flatness": 3.5}
    assert (sample["lot"], sample["item"], sample["order_id"]) == ("M-1", "housing-a", "PO-1")
    assert sample["sample_id"] == f"{MILL.replace('/', '.')}.1"


@pytest.mark.parametrize(
    ("value", "quality"),
    [
        (None, "good"),
        (15, "bad"),
        ("15", "good"),
        (-15, "good"),
        (float("nan"), "good"),
        (float("inf"), "uncertain"),
        (COUNTER_MAX, "good"),
    ],
)
def test_a_counter_that_cannot_be_counts_for_nothing(value: Scalar, quality: Quality) -> None:
    odd = Reading(MILL, "good", value, AT, quality)
    memory, facts = folded(MILL, batch(MILL, good=10), [odd], batch(MILL, good=12))
    assert good(facts) == 2
    assert memory.counters == {"good": 12}


def test_an_uncertain_value_counts() -> None:
    _, facts = folded(MILL, batch(MILL, good=10), [Reading(MILL, "good", 12, AT, "uncertain")])
    assert good(facts) == 2


def test_a_state_whose_value_is_bad_is_unknown_until_it_is_good() -> None:
    bad = Reading(MILL, "state", None, AT + 5, "bad", "BadSensorFailure")
    memory, facts = folded(
        MILL, batch(MILL, state=6), [bad], [bad], batch(MILL, AT + 9, state=6), [bad]
    )
    told = [(fact.at_ms, fact.body["state"]) for fact in facts if fact.type == "state-changed"]
    assert told == [(AT, "EXECUTE"), (AT + 5, "UNKNOWN"), (AT + 9, "EXECUTE"), (AT + 9, "UNKNOWN")]
    assert memory.state == "UNKNOWN"


def test_within_a_batch_the_last_word_about_a_state_counts() -> None:
    bad = Reading(MILL, "state", None, AT, "bad", "BadSensorFailure")
    assert folded(MILL, [bad, *batch(MILL, state=6)])[0].state == "EXECUTE"
    assert folded(MILL, [*batch(MILL, state=6), bad])[0].state == "UNKNOWN"


def test_a_lost_source_makes_its_state_unknown_once() -> None:
    running, _ = folded(MILL, batch(MILL, AT + 500, state=6))
    gone, facts = lost_tags(running, AT)
    assert facts == [CellFact("state-changed", AT + 500, {"state": "UNKNOWN", "fault": None})]
    assert lost_tags(gone, AT + 900) == (gone, [])
    assert lost_tags(Memory(), AT)[1] == []
    _, back = derive(plant().cells[MILL], plant().items, gone, batch(MILL, AT + 1_000, state=6))
    assert of_type(back, "state-changed") == [{"state": "EXECUTE", "fault": None}]


scalars = st.one_of(
    st.none(), st.booleans(), st.integers(-10, 2**64), st.floats(), st.text(max_size=150)
)


@given(st.data(), st.sampled_from([MILL, PRESS, FIT, TEST]))
def test_any_reading_leads_to_well_typed_events(data: st.DataObject, cell: str) -> None:
    tags = st.sampled_from([*plant().cells[cell].cell.tags, "no-such-tag"])
    qualities = st.sampled_from(["good", "uncertain", "bad"])
    reading = st.builds(Reading, st.just(cell), tags, scalars, st.just(AT), qualities)
    batches = data.draw(st.lists(st.lists(reading, max_size=8), max_size=4))
    memory, facts = folded(cell, *batches)
    assert Memory.model_validate_json(memory.model_dump_json()) == memory
    numbered({"type": f.type, "at_ms": f.at_ms, "path": cell, **f.body} for f in facts)


def test_a_fault_that_comes_after_its_state_is_said_with_it() -> None:
    _, facts = folded(MILL, batch(MILL, state=9), batch(MILL, AT + 250, fault=17))
    told = [(f["state"], f["fault"]) for f in of_type(facts, "state-changed")]
    assert told == [("ABORTED", None), ("ABORTED", "e17")]


def test_a_bad_sensor_has_no_value_and_does_not_repeat_its_last() -> None:
    bad = Reading(MILL, "bore", 40.0, AT + 1, "bad", "wire break")
    first = batch(MILL, bore=40.0, flatness=5.0, sample=1)
    _, facts = folded(MILL, first, [bad], batch(MILL, AT + 2, sample=2))
    assert of_type(facts, "inspected")[-1]["values"] == {"bore": None, "flatness": 5.0}


def test_a_lost_source_leaves_no_values_behind() -> None:
    memory, _ = folded(MILL, batch(MILL, state=6, bore=40.0))
    gone, _ = lost_tags(memory, AT + 1)
    assert gone.values == {"bore": None}


def test_a_state_that_is_still_read_stays_when_other_tags_are_lost() -> None:
    running, _ = folded(MILL, batch(MILL, state=6, fault=0, good=10, bore=40.0, flatness=5.0))
    left, facts = lost_tags(running, AT + 1, "good", "bore")
    assert facts == []
    assert left == running.model_copy(update={"values": {"bore": None, "flatness": 5.0}})
    _, back = derive(plant().cells[MILL], plant().items, left, batch(MILL, AT + 2, good=13))
    assert good(back) == 3


def test_the_state_is_unknown_when_its_own_tag_is_lost_and_measured_values_stay() -> None:
    running, _ = folded(MILL, batch(MILL, state=6, bore=40.0))
    left, facts = lost_tags(running, AT + 1, "state")
    assert of_type(facts, "state-changed") == [{"state": "UNKNOWN", "fault": None}]
    assert left.values == {"bore": 40.0}


def test_a_fault_code_whose_tag_was_lost_is_no_cause_of_a_later_stop() -> None:
    stopped, _ = folded(MILL, batch(MILL, state=9, fault=17), batch(MILL, AT + 1, state=6))
    left, facts = lost_tags(stopped, AT + 2, "fault")
    assert facts == []
    _, later = derive(plant().cells[MILL], plant().items, left, batch(MILL, AT + 3, state=9))
    assert of_type(later, "state-changed") == [{"state": "ABORTED", "fault": None}]
