"""What people may change about stops: commands, what they move, what they refuse, and bounds."""

import re
from collections import Counter
from collections.abc import Iterable
from typing import Any, Final

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import TypeAdapter

from processors import PROCESSORS
from processors.oee.micro_stops import CODE, RECENT_MIN, WINDOW_MS, pace, ran, with_one_more
from processors.oee.state import (
    MICRO_STOPS_KEPT,
    PARTS_KEPT,
    PARTS_MAX,
    STOPS_KEPT,
    CellTime,
    LineTime,
    MicroStops,
)
from tests.example import EARLY_MS, HOUSING, MILL, MINUTE_MS, numbered, plant
from uns.cli.errors import UsageError
from uns.cli.stopping import cell_of
from uns.fold import Draft, advance
from uns.model.path import to_dotted

Row = dict[str, Any]
DOTTED: Final = to_dotted(MILL)
PROCESSOR: Final = PROCESSORS["oee"](plant())


def at(minute: float) -> int:
    return EARLY_MS + round(minute * MINUTE_MS)


def entered(minute: float, state: str, fault: str | None = None) -> Row:
    return {
        "type": "state-changed",
        "path": MILL,
        "state": state,
        "fault": fault,
        "at_ms": at(minute),
    }


def asked(command: str, stop_id: str, minute: float = 100, **more: Any) -> Row:
    body = {"command": command, "stop_id": stop_id, "request_id": f"r-{command}", "actor": "ann"}
    return {"type": "stop-commanded", "path": MILL, "at_ms": at(minute), **body, **more}


def stop_id(minute: float) -> str:
    return f"{DOTTED}-{at(minute)}"


LOADED: Final[Row] = {
    "type": "loaded",
    "path": MILL,
    "order_id": "PO-1",
    "item": "housing-a",
    "at_ms": EARLY_MS,
}


def facts(*stops: tuple[float, float]) -> list[Row]:
    """The mill runs from the shift's beginning, but for some stops (minutes)."""
    rows = [LOADED, entered(0, "EXECUTE")]
    for start, end in stops:
        rows += [entered(start, "ABORTED"), entered(end, "EXECUTE")]
    return rows


def played(rows: Iterable[Row]) -> tuple[LineTime, list[Draft]]:
    state, outputs = PROCESSOR.initial(HOUSING), list[Draft]()
    for event in numbered(rows):
        step = advance(PROCESSOR, state, event)
        state, outputs = step.state, [*outputs, *step.outputs]
    return state, outputs


def lengths(outputs: Iterable[Draft]) -> dict[str, int]:
    """The time of all intervals by element."""
    found = Counter[str]()
    for one in outputs:
        if one.type == "oee-interval":
            found[one.body["element"]] += one.body["end_ms"] - one.body["start_ms"]
    return {element: ms for element, ms in found.items() if ms}


def minutes(outputs: Iterable[Draft]) -> dict[str, float]:
    return {element: ms / MINUTE_MS for element, ms in lengths(outputs).items()}


def replies(outputs: Iterable[Draft]) -> list[tuple[str, str]]:
    return [(o.body["outcome"], o.body["reason"]) for o in outputs if o.type == "reply"]


def test_a_planned_reason_moves_the_time_and_another_moves_it_back() -> None:
    rows = facts((10, 20))
    _, outputs = played([*rows, asked("classify", stop_id(10), reason_code="e51")])
    assert minutes(outputs) == {"apt": 10, "planned": 10}
    assert outputs[-1].topic == f"{MILL}/_event/reply/r-classify"
    back = asked("classify", stop_id(10), 101, reason_code="e11")
    state, outputs = played([*rows, asked("classify", stop_id(10), reason_code="e51"), back])
    assert minutes(outputs) == {"apt": 10, "adet": 10}
    changes = [o.body for o in outputs if o.type == "stop-classified"]
    assert [(c["rev"], c["old_reason"], c["reason"]) for c in changes] == [
        (1, None, "e51"),
        (2, "e51", "e11"),
    ]
    assert state.cells[MILL].shifts[-1].sums.adet_ms == 10 * MINUTE_MS
    assert state.orders["PO-1"].sums.planned_ms == 0


def test_an_open_stop_is_classified_for_what_is_to_come() -> None:
    rows = [LOADED, entered(0, "EXECUTE"), entered(10, "ABORTED"), entered(12, "CLEARING")]
    rows.append(asked("classify", stop_id(10), 15, reason_code="e51"))
    state, outputs = played(rows)
    assert minutes(outputs) == {"apt": 10, "planned": 2}
    shown = PROCESSOR.documents(state)[f"{MILL}/_state/stop"]
    assert (shown["open"], shown["reason"], shown["classified"]) == (True, "e51", True)
    state, outputs = played([*rows, entered(20, "EXECUTE"), entered(30, "STOPPED")])
    assert minutes(outputs) == {"apt": 20, "planned": 10}
    assert state.cells[MILL].stops[-1].reason == "e51"


def test_a_late_load_within_a_stop_moves_no_time_twice() -> None:
    rows = [LOADED, entered(0, "EXECUTE"), entered(10, "ABORTED"), entered(20, "HELD")]
    rows += [{**LOADED, "order_id": "PO-2", "at_ms": at(15)}, entered(30, "EXECUTE")]
    _, outputs = played([*rows, asked("classify", stop_id(10), reason_code="e51")])
    assert minutes(outputs) == {"apt": 10, "planned": 20}


def test_a_young_stop_that_was_classified_stays_a_micro_stop() -> None:
    rows = [LOADED, entered(0, "EXECUTE"), entered(10, "HELD")]
    rows.append(asked("classify", stop_id(10), 10.01, reason_code="e51"))
    state, outputs = played([*rows, entered(10.05, "EXECUTE"), entered(11, "HELD")])
    assert minutes(outputs) == {"apt": 11}
    ended = next(o.body for o in outputs if o.type == "stop-ended")
    assert (ended["micro"], ended["reason"]) == (True, "e51")
    assert state.cells[MILL].stops == ()


def test_a_stop_is_split_and_its_parts_take_their_own_reasons() -> None:
    part = f"{DOTTED}-{at(14)}-part"
    split = asked("split", stop_id(10), split_ms=at(14))
    planned = asked("classify", part, reason_code="e51")
    state, outputs = played([*facts((10, 20)), split, planned])
    assert minutes(outputs) == {"apt": 10, "adet": 4, "planned": 6}
    told = next(o.body for o in outputs if o.type == "stop-split")
    assert (told["end_ms"], told["new_stop_id"], told["new_end_ms"]) == (at(14), part, at(20))
    assert [(s.stop_id, s.reason) for s in state.cells[MILL].stops] == [
        (stop_id(10), None),
        (part, "e51"),
    ]


def test_parts_that_are_merged_are_the_stop_that_was_split() -> None:
    part = f"{DOTTED}-{at(14)}-part"
    rows = facts((10, 20))
    split = asked("split", stop_id(10), split_ms=at(14))
    before, _ = played(rows)
    after, outputs = played([*rows, split, asked("merge", part, with_stop_id=stop_id(10))])
    (was,), (now,) = before.cells[MILL].stops, after.cells[MILL].stops
    joined = [(p.start_ms, p.end_ms) for p in now.parts]
    assert joined == [(at(10), at(14)), (at(14), at(20))]
    assert now.model_copy(update={"parts": was.parts}) == was
    assert outputs[-2].body["merged_stop_id"] == part


def test_stops_with_a_short_run_between_them_are_merged_and_the_run_stays() -> None:
    rows = facts((10, 20), (20.05, 30))
    merge = asked("merge", stop_id(10), with_stop_id=stop_id(20.05))
    planned = asked("classify", stop_id(10), reason_code="e51")
    state, outputs = played([*rows, merge, planned])
    assert minutes(outputs) == {"apt": 10.05, "planned": 19.95}
    (stop,) = state.cells[MILL].stops
    assert stop.length_ms(at(30)) == 19.95 * MINUTE_MS
    shown = PROCESSOR.documents(state)[f"{MILL}/_state/stops"]
    assert shown["stops"][0]["duration_ms"] == 19.95 * MINUTE_MS
    inside = asked("split", stop_id(10), split_ms=at(20.02))
    _, outputs = played([*rows, merge, inside])
    assert replies(outputs)[-1][0] == "refused"


def test_merged_stops_have_the_reason_that_a_person_gave() -> None:
    rows = [*facts((10, 20), (20.05, 30)), asked("classify", stop_id(20.05), reason_code="e51")]
    _, outputs = played([*rows, asked("merge", stop_id(10), with_stop_id=stop_id(20.05))])
    told = next(o.body for o in outputs if o.type == "stop-merged")
    assert (told["reason"], told["old_reason"], told["merged_reason"]) == ("e51", None, "e51")
    assert (told["moved_ms"], minutes(outputs)["planned"]) == (10 * MINUTE_MS, 19.95)


LASTING: Final = [*facts((10, 20), (40, 50)), entered(60, "ABORTED"), entered(61, "CLEARING")]
REFUSALS: Final[list[tuple[Row, str]]] = [
    (
        asked("classify", stop_id(10), reason_code="e5l"),
        r"no reason 'e5l' \(did you mean 'e51'\?\)",
    ),
    (asked("classify", stop_id(10)), "no reason"),
    (asked("classify", stop_id(9), reason_code="e51"), "older than .*the last 2, since 06:10"),
    (asked("split", stop_id(60), split_ms=at(60.5)), "still lasts: split it"),
    (asked("split", stop_id(10), split_ms=at(10)), "must lie inside"),
    (asked("split", stop_id(10)), "must lie inside the stop, 06:10 to 06:20"),
    (asked("merge", stop_id(10), with_stop_id=stop_id(40)), "1200.0 s lie between"),
    (asked("merge", stop_id(40), with_stop_id=stop_id(60)), "still lasts: merge"),
    (asked("merge", stop_id(10), with_stop_id=stop_id(10)), "one stop already"),
    (asked("merge", stop_id(10), with_stop_id="x"), "x is older"),
    (asked("merge", stop_id(10)), "say with which stop"),
]


@pytest.mark.parametrize(("request_", "reason"), REFUSALS)
def test_what_cannot_be_done_is_refused_with_the_reason(request_: Row, reason: str) -> None:
    before, told = played(LASTING)
    after, outputs = played([*LASTING, request_])
    assert after == before
    assert [o.type for o in outputs[len(told) :]] == ["reply"]
    ((outcome, why),) = replies(outputs)
    assert outcome == "refused"
    assert re.search(reason, why), why


def test_a_stop_between_keeps_two_apart() -> None:
    rows = facts((10, 20), (20.01, 20.2), (20.21, 30))
    _, outputs = played([*rows, asked("merge", stop_id(10), with_stop_id=stop_id(20.21))])
    assert replies(outputs) == [("refused", "another stop lies between them")]


def test_a_request_for_a_cell_nothing_is_known_of_is_answered() -> None:
    state, outputs = played([asked("classify", "x", reason_code="e51")])
    assert state.cells == {}
    assert replies(outputs)[0][0] == "refused"


def test_the_same_classification_again_changes_nothing() -> None:
    ask = asked("classify", stop_id(10), reason_code="e11")
    _, outputs = played([*facts((10, 20)), ask, {**ask, "request_id": "again"}])
    assert [outcome for outcome, _ in replies(outputs)] == ["accepted", "accepted"]
    assert sum(o.type == "stop-classified" for o in outputs) == 1


def test_a_request_moves_no_event_time() -> None:
    rows = facts((10, 20))
    before, _ = played(rows)
    after, _ = played([*rows, asked("classify", stop_id(10), 600, reason_code="e51")])
    assert (after.heard_ms, after.now_ms) == (before.heard_ms, before.now_ms)


def test_a_final_shift_that_is_classified_otherwise_is_corrected() -> None:
    rows = [*facts((10, 20)), entered(9 * 60, "STOPPED")]
    state, _ = played([*rows, asked("classify", stop_id(10), 9 * 60 + 1, reason_code="e51")])
    cell = state.cells[MILL]
    shift = next(one for one in cell.shifts if one.window.id == "2026-11-23-early")
    assert (shift.sums.planned_ms, cell.corrections[shift.window.id]) == (10 * MINUTE_MS, 1)


def test_only_the_last_stops_are_remembered() -> None:
    many = [(10.0 * n, 10.0 * n + 1) for n in range(1, STOPS_KEPT + 3)]
    state, _ = played(facts(*many))
    kept = state.cells[MILL].stops
    assert len(kept) == STOPS_KEPT
    assert kept[0].stop_id == stop_id(30)
    assert sum(len(stop.model_dump_json()) for stop in kept) < 4_000
    shown = PROCESSOR.documents(state)[f"{MILL}/_state/stops"]
    assert shown["summary"] == f"{STOPS_KEPT} stops, {STOPS_KEPT} without a reason"


def test_a_stop_of_too_many_pieces_keeps_its_time() -> None:
    rows = [LOADED, entered(0, "EXECUTE")]
    states = [("ABORTED", "STARTING")[n % 2] for n in range(PARTS_MAX + 2)]
    rows += [entered(10 + n, name) for n, name in enumerate(states)]
    rows.append(entered(40, "EXECUTE"))
    state, outputs = played([*rows, asked("classify", stop_id(10), reason_code="e51")])
    assert len(state.cells[MILL].stops[0].parts) == PARTS_MAX
    assert "changed its state more than" in replies(outputs)[0][1]
    assert "planned" not in minutes(outputs)


def test_all_stops_together_have_a_bound_of_parts() -> None:
    rows, minute = [LOADED, entered(0, "EXECUTE")], 1.0
    for _ in range(STOPS_KEPT):
        alternating = (("ABORTED", "STARTING")[n % 2] for n in range(PARTS_MAX // 2))
        rows += [entered(minute + n, name) for n, name in enumerate(alternating)]
        minute += PARTS_MAX
        rows.append(entered(minute - 1, "EXECUTE"))
    state, _ = played(rows)
    assert sum(len(stop.parts) for stop in state.cells[MILL].stops) <= PARTS_KEPT
    assert len(state.cells[MILL].stops) == PARTS_KEPT // (PARTS_MAX // 2)


minutes_ = st.integers(1, 300)
codes = st.sampled_from(["e11", "e31", "e51", "e41", "breakdown", "e99"])
states = st.sampled_from(["EXECUTE", "EXECUTE", "ABORTED", "STARTING", "UNKNOWN", "SUSPENDED"])
step = st.one_of(
    st.tuples(st.just("state"), st.sampled_from([0.02, 1, 3, 60]), states, codes),
    st.tuples(st.sampled_from(["classify", "split", "merge"]), st.integers(0, 5), codes, minutes_),
    st.tuples(st.just("load"), st.sampled_from(["PO-1", "PO-2"]), st.sampled_from([0, 0, 2])),
)


@settings(max_examples=60, deadline=None)
@given(steps=st.lists(step, min_size=5, max_size=36))
def test_whatever_is_asked_no_time_is_lost_or_made(steps: list[tuple[Any, ...]]) -> None:
    state, outputs = PROCESSOR.initial(HOUSING), list[Draft]()
    minute, asks = 0.0, 0
    for number, (kind, *words) in enumerate([("load", "PO-1", 0), *steps], 1):
        known = state.cells.get(MILL)
        match kind:
            case "state":
                minute += words[0]
                row = entered(minute, words[1], words[2] if words[1] == "ABORTED" else None)
            case "load":
                row = {**LOADED, "order_id": words[0], "at_ms": at(max(0, minute - words[1]))}
            case _:
                asks += 1
                row = _asked(kind, known, words)
        (event,) = numbered([row])
        event = event.model_copy(update={"id": f"e{number}", "seq": number})
        done = advance(PROCESSOR, state, event)
        state, outputs = done.state, [*outputs, *done.outputs]
    cell = state.cells[MILL]
    waiting = sum(one.end_ms - one.piece.start_ms for one in cell.undecided)
    assert sum(lengths(outputs).values()) + waiting == cell.open.start_ms - EARLY_MS
    assert len(replies(outputs)) == asks
    assert TypeAdapter(LineTime).validate_json(state.model_dump_json()) == state
    for stop in cell.stops:
        assert sum(p.end_ms - p.start_ms for p in stop.parts) <= stop.length_ms(stop.end_ms or 0)
    assert len({stop.stop_id for stop in cell.stops}) == len(cell.stops)
    booked = Counter(lengths(outputs))
    assert {k[:-3]: v for k, v in totals(cell).items() if v} == dict(booked)


def totals(cell: CellTime) -> dict[str, int]:
    """The times of all shifts; the histories here are shorter than what is kept of them."""
    found = Counter[str]()
    for one in cell.shifts:
        found.update({k: v for k, v in one.sums.model_dump().items() if k in TIMES})
    return found


TIMES: Final = ("apt_ms", "aust_ms", "adet_ms", "adot_ms", "planned_ms", "unknown_ms")


def _asked(command: str, cell: CellTime | None, words: list[Any]) -> Row:
    """A request about one of the stops there are, as the words choose."""
    which, code, minute = words
    known = [*cell.stops, *([cell.stop] if cell.stop else [])] if cell else []
    wanted = known[which % len(known)] if known else None
    follows = known[(which + 1) % len(known)] if known else None
    split_ms = wanted.start_ms + minute * 1_000 if wanted else at(1)
    return asked(
        command,
        wanted.stop_id if wanted else "none",
        reason_code=code,
        split_ms=split_ms,
        with_stop_id=follows.stop_id if follows else None,
    )


def steadily(every_ms: int, until_ms: int, micro: MicroStops | None = None) -> MicroStops:
    """A micro-stop each so much production."""
    micro = micro or MicroStops()
    while micro.ran_ms + every_ms <= until_ms:
        micro = with_one_more(ran(micro, every_ms))
    return micro


def test_micro_stops_that_come_as_ever_raise_nothing() -> None:
    usual = steadily(WINDOW_MS // 4, 9 * WINDOW_MS)
    assert not usual.rising
    some_more = steadily(WINDOW_MS // 6, 10 * WINDOW_MS, usual)
    assert (pace(some_more).recent, some_more.rising) == (6, False)


def test_micro_stops_that_come_faster_are_rising_and_calm_down() -> None:
    quiet = steadily(WINDOW_MS // 2, 6 * WINDOW_MS)
    burst = steadily(WINDOW_MS // 12, 7 * WINDOW_MS, quiet)
    assert (quiet.rising, burst.rising) == (False, True)
    assert pace(burst).recent == 12
    assert pace(burst).expected == pytest.approx(2)
    assert not steadily(WINDOW_MS // 2, 9 * WINDOW_MS, burst).rising


def test_few_of_them_or_no_past_raise_nothing() -> None:
    assert not steadily(WINDOW_MS // 40, WINDOW_MS).rising
    first = ran(MicroStops(), 5 * WINDOW_MS)
    assert not steadily(1, first.ran_ms + RECENT_MIN - 1, first).rising
    assert steadily(1, first.ran_ms + RECENT_MIN, first).rising


def test_so_many_micro_stops_that_the_past_is_forgotten_change_no_verdict() -> None:
    burst = steadily(1, 9 * WINDOW_MS + 2 * MICRO_STOPS_KEPT, ran(MicroStops(), 9 * WINDOW_MS))
    assert len(burst.ends_ms) == MICRO_STOPS_KEPT
    assert burst.rising


def test_the_early_warning_is_one_alert_with_its_evidence() -> None:
    rows = [LOADED, entered(0, "EXECUTE")]
    for n in range(20):
        rows += [entered(60 + n * 0.5, "HELD"), entered(60.05 + n * 0.5, "EXECUTE")]
    state, outputs = played(rows)
    (alert,) = [o for o in outputs if o.type == "alert"]
    assert alert.body["code"] == CODE
    assert alert.body["evidence"]["micro_stops"] == RECENT_MIN
    shown = PROCESSOR.documents(state)[f"{MILL}/_state/stop"]
    assert (shown["micro_stops"], shown["micro_stops_rising"]) == (20, True)


def test_the_cell_of_a_stop_is_in_its_id() -> None:
    assert cell_of(plant(), stop_id(10)) == MILL
    with pytest.raises(UsageError, match="no stop"):
        cell_of(plant(), "acme.berlin-1")
