"""Late facts in OEE: each has its own shift, whatever the order, and what was final says so."""

from collections import Counter, defaultdict
from collections.abc import Iterable
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from processors import PROCESSORS
from processors.oee.state import PAST_MAX, SHIFTS_KEPT, WINDOWS_MAX
from tests.example import EARLY_MS, HOUR_MS, HOUSING, MILL, MINUTE_MS, numbered, plant
from tests.property.strategies import histories, stamps
from uns.fold import Document, Draft, Processor, Tick, advance
from uns.model.equipment import STATES
from uns.model.events import Counted, Event

OEE: Processor[Any] = PROCESSORS["oee"](plant())
TIMES = ("apt_ms", "aust_ms", "adet_ms", "adot_ms", "planned_ms", "unknown_ms")
CALENDAR_MS = range(1_704_063_600_000, 4_102_441_200_000)  # the years 2024 to 2099 in Berlin
CALENDAR = plant().calendar_of(MILL)
Row = dict[str, Any]
moderate = settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
hours = st.integers(0, 36 * 60).map(lambda minute: EARLY_MS + minute * MINUTE_MS)


def folded(events: Iterable[Event]) -> tuple[Any, list[Draft]]:
    state, outputs = OEE.initial(HOUSING), list[Draft]()
    for event in events:
        step = advance(OEE, state, event)
        state, outputs = step.state, [*outputs, *step.outputs]
    return state, outputs


def shifts(documents: dict[str, Document], place: str = MILL) -> dict[str, Document]:
    """The documents of a place's shifts, the current one too, by the shift's id."""
    return {
        document["shift"]["id"]: document
        for topic, document in documents.items()
        if topic == f"{place}/_state/oee" or topic.startswith(f"{place}/_state/oee-shift/")
    }


def by_shift(state: Any, outputs: list[Draft]) -> dict[str, Counter[str]]:
    """What history and the open pieces say of each shift: from intervals, and from documents."""
    found = defaultdict[str, Counter[str]](Counter)
    for one in (o.body for o in outputs if o.type == "oee-interval" and o.path == MILL):
        found[one["shift_id"]][f"{one['element']}_ms"] += one["end_ms"] - one["start_ms"]
        found[one["shift_id"]]["pq"] += one["pq"]
    for shift_id, document in shifts(dict(OEE.documents(state))).items():
        sums = {key: document["sums"][key] for key in (*TIMES, "pq")}
        closed = found.get(shift_id, Counter())
        assert all(sums[key] >= closed[key] for key in (*TIMES, "pq")), shift_id
        found[shift_id] = Counter(sums)
    return {shift_id: +sums for shift_id, sums in found.items() if +sums}


@moderate
@given(events=histories(HOUSING, {"counted", "state-changed", "loaded"}))
def test_each_piece_is_in_the_shift_of_its_own_stamp(events: list[Event]) -> None:
    at_mill = [e for e in events if e.path == MILL and e.at_ms in CALENDAR_MS]
    expected = Counter[str]()
    for event in at_mill:
        if isinstance(event, Counted):
            shift_id = CALENDAR.window_at(event.at_ms).id
            expected[shift_id] += event.good + event.scrap + event.rework
    state, outputs = folded(at_mill)
    found = {shift_id: sums["pq"] for shift_id, sums in by_shift(state, outputs).items()}
    assert +Counter(found) == +expected


def counts(at_ms: Iterable[int]) -> list[Row]:
    return [
        {"type": "counted", "path": MILL, "at_ms": t, "good": 1, "scrap": 0} for t in sorted(at_ms)
    ]


def states(changes: dict[int, str]) -> list[Row]:
    place = {"type": "state-changed", "path": MILL}
    return [{**place, "at_ms": t, "state": state} for t, state in sorted(changes.items())]


@moderate
@given(
    counted=st.sets(hours, min_size=1, max_size=12),
    changes=st.dictionaries(hours, st.sampled_from(STATES), min_size=1, max_size=12),
    data=st.data(),
)
def test_two_bridges_of_a_cell_give_the_same_shifts_however_late_one_is(
    counted: set[int], changes: dict[int, str], data: st.DataObject
) -> None:
    """Without an order there are no stops, so nothing but the kept past bounds how late it is."""
    first: list[Row] = [{"type": "loaded", "path": MILL, "at_ms": EARLY_MS}]
    queues = [counts(counted), states(changes)]
    on_time = sorted([*queues[0], *queues[1]], key=lambda row: row["at_ms"])
    mixed = list(first)
    while any(queues):
        mixed.append(data.draw(st.sampled_from([q for q in queues if q])).pop(0))
    punctual, late = (folded(numbered(rows)) for rows in ([*first, *on_time], mixed))
    last = Tick(EARLY_MS + 38 * HOUR_MS)
    results = [(OEE.fold(state, last).state, outputs) for state, outputs in (punctual, late)]
    one, other = (by_shift(state, outputs) for state, outputs in results)
    assert one == other


@settings(moderate, max_examples=20)
@given(
    events=histories(HOUSING, OEE.inputs, min_size=20),
    clock=st.lists(st.none() | stamps, min_size=40, max_size=40),
)
def test_what_is_final_changes_by_corrections_only(
    events: list[Event], clock: list[int | None]
) -> None:
    state = OEE.initial(HOUSING)
    before: dict[str, Document] = {}
    for event, now_ms in zip(events, clock, strict=False):
        state = advance(OEE, state, event).state
        if now_ms is not None:
            state = OEE.fold(state, Tick(now_ms)).state
        after = {t: d for t, d in OEE.documents(state).items() if "/oee-shift/" in t}
        for topic, document in after.items():
            assert document["provisional"] is not document["final"]
            was = before.get(topic)
            if was is None or not was["final"]:
                continue
            assert document["final"], topic
            changed = document["sums"] != was["sums"]
            assert document["corrections"] == was["corrections"] + changed, topic
        before = after


def test_a_late_state_reaches_as_many_pieces_back_as_are_kept() -> None:
    edges = [EARLY_MS + n * 8 * HOUR_MS for n in range(1, PAST_MAX + 3)]
    rows = [*states({EARLY_MS: "EXECUTE"}), *counts(edges), *states({EARLY_MS + 1: "UNKNOWN"})]
    state, outputs = folded(numbered(rows))
    total = sum(by_shift(state, outputs).values(), Counter[str]())
    assert total["unknown_ms"] == PAST_MAX * 8 * HOUR_MS
    assert total["apt_ms"] == 2 * 8 * HOUR_MS
    assert len(state.cells[MILL].shifts) == SHIFTS_KEPT + 1


def test_a_late_state_does_not_reach_into_a_silence() -> None:
    silent_ms = (WINDOWS_MAX + 8) * 8 * HOUR_MS
    woken = [*states({EARLY_MS: "EXECUTE"}), *counts([EARLY_MS + silent_ms])]
    late = states({EARLY_MS + silent_ms - 12 * HOUR_MS: "HELD"})
    state, outputs = folded(numbered([*woken, *late]))
    elements = [o.body["element"] for o in outputs if o.type == "oee-interval"]
    assert elements == ["apt"] * WINDOWS_MAX + ["unknown", "apt"]
    assert state.cells[MILL].open.state == "HELD"


def test_corrections_are_counted_for_as_many_shifts_as_are_shown() -> None:
    days = [EARLY_MS + n * 8 * HOUR_MS for n in range(40)]
    rows = states({EARLY_MS: "EXECUTE"})
    for day in days:
        rows += [*counts([day]), *counts([max(EARLY_MS, day - 10 * HOUR_MS)])]
    state, _ = folded(numbered(rows))
    assert 0 < len(state.cells[MILL].corrections) <= SHIFTS_KEPT
