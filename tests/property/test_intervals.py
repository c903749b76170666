"""Intervals are the calendar: whatever the rules, all time is there once, in each shift and day.

And they are what documents say they are: closed ones and what is open give the sums, to the ms.
"""

from collections import Counter
from collections.abc import Iterable, Iterator
from itertools import pairwise
from typing import Any, NamedTuple

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from processors import PROCESSORS
from processors.oee.state import DAYS_KEPT
from tests.example import HOUSING, MILL, SAW, WASH, numbered, plant
from tests.golden.cases import at_ms, merged
from tests.property.strategies import histories
from uns.fold import Document, Draft, Processor, Tick, advance
from uns.model.calendar import Window
from uns.model.equipment import STATES
from uns.model.events import Event
from uns.model.kpi import Sums
from uns.model.path import parse_topic
from uns.model.plant import Plant

TYPES = ("state-changed", "loaded", "counted")
COUNTS = ("pq", "gq", "sq", "rq", "ideal_ms", "ideal_good_ms")
MINUTE_MS = 60_000
DAYS = ("2026-11-23", "2026-03-28", "2026-10-24")
"""Of 24, 23 and 25 hours: each begins with the early shift, the night shift is of its day."""
moderate = settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.too_slow])
Row = dict[str, Any]


def on_the_line(**rules: Any) -> Row:
    return {"sites": {"berlin": {"areas": {"machining": {"lines": {"housing": rules}}}}}}


RULES: dict[str, Row] = {
    "as it comes": {},
    "all counted": {"policy": {"planned_stops": "counted", "unknown_time": "counted"}},
    "one shift": {"sites": {"berlin": {"shifts": {"late": None, "night": None}}}},
    "breaks": {
        "sites": {
            "berlin": {
                "shifts": {
                    "early": {"breaks": ["06:00-06:10", "09:00-09:15", "12:30-13:00"]},
                    "late": {"breaks": ["21:45-22:00"]},
                    "night": {"breaks": ["23:50-00:20", "02:15-02:45"]},
                }
            }
        }
    },
    "key cell": on_the_line(line_method="key-cell", key_cell="wash"),
    "first down": on_the_line(line_method="first-down"),
    "parallel": on_the_line(line_method="parallel", running_min=2),
}
PLANTS = {
    name: Plant.model_validate(merged(plant().model_dump(mode="json"), rule))
    for name, rule in RULES.items()
}
every_rule = pytest.mark.parametrize("rule", RULES)


class Told(NamedTuple):
    """What came of a history: the events put out, and the documents at its end."""

    outputs: list[Draft]
    documents: dict[str, Document]

    def intervals(self, path: str) -> list[Row]:
        """The intervals of a cell or line."""
        told = (one for one in self.outputs if one.type == "oee-interval" and one.path == path)
        return [dict(one.body) for one in told]


def told(rule: str, events: Iterable[Event], now_ms: int) -> Told:
    processor: Processor[Any] = PROCESSORS["oee"](PLANTS[rule])
    state, outputs = processor.initial(HOUSING), list[Draft]()
    for event in events:
        step = advance(processor, state, event)
        state, outputs = step.state, [*outputs, *step.outputs]
    state = processor.fold(state, Tick(now_ms)).state
    return Told(outputs, dict(processor.documents(state)))


def facts(day: str, minutes: Iterable[tuple[int, str, str]]) -> list[Event]:
    """Facts at minutes of a day's first shift; what is no state is an order, or a count."""
    start_ms = at_ms(f"{day}T06:00:00+01:00")
    rows = [
        {"path": path, "at_ms": start_ms + minute * MINUTE_MS, **_fact(word)}
        for minute, path, word in minutes
    ]
    return numbered(rows)


def _fact(word: str) -> Row:
    if word in STATES:
        return {"type": "state-changed", "state": word, "fault": "e51" if word == "HELD" else None}
    if word == "count":
        return {"type": "counted", "good": 30, "scrap": 1}
    return {"type": "loaded", "order_id": word or None, "item": "housing-a" if word else None}


moments = st.tuples(
    st.integers(0, 60 * 60),
    st.sampled_from([SAW, MILL, MILL, WASH]),
    st.sampled_from([*STATES, "EXECUTE", "EXECUTE", "UNKNOWN", "count", "count", "PO-1", ""]),
)
LAST = facts(DAYS[0], [(0, cell, "count") for cell in (SAW, MILL, WASH)])
"""A fact of every cell: what it has not told of its silence, it tells now."""
stories = st.builds(facts, st.sampled_from(DAYS), st.lists(moments, min_size=1, max_size=40))


def windows(rule: str, from_ms: int, to_ms: int) -> Iterator[Window]:
    calendar, now_ms = PLANTS[rule].calendar_of(MILL), from_ms
    while now_ms < to_ms:
        window = calendar.window_at(now_ms)
        yield window
        now_ms = window.end_ms


def spans(documents: dict[str, Document], path: str, kind: str) -> list[Document]:
    """The documents of a place's shifts or days, the current shift's among them."""
    names = (kind, "oee") if kind == "oee-shift" else (kind,)
    own = ((parse_topic(topic), document) for topic, document in documents.items())
    return [document for t, document in own if t.path == path and t.name in names]


def places(found: Told) -> set[str]:
    """Whose time there are documents of: the cells that were heard, and what the line goes by."""
    return {document["intervals"]["path"] for document in _figures(found.documents)}


def _figures(documents: dict[str, Document]) -> list[Document]:
    return [document for document in documents.values() if "intervals" in document]


@every_rule
@moderate
@given(events=stories, more_min=st.integers(0, 600))
def test_every_shift_has_all_its_time(rule: str, events: list[Event], more_min: int) -> None:
    last_ms = max(event.at_ms for event in events)
    events = events + [event.model_copy(update={"at_ms": last_ms}) for event in LAST]
    now_ms = last_ms + more_min * MINUTE_MS
    found = told(rule, events, now_ms)
    for path in places(found):
        first_ms = _first_ms(events, path)
        lengths = Counter[str]()
        for one in found.intervals(path):
            lengths[one["shift_id"]] += one["end_ms"] - one["start_ms"]
        for document in spans(found.documents, path, "oee-shift"):
            if document["intervals"]["path"] == path:
                lengths[document["shift"]["id"]] = document["sums"]["elapsed_ms"]
        for window in windows(rule, first_ms, now_ms):
            there_ms = min(window.end_ms, now_ms) - max(window.start_ms, first_ms)
            assert lengths.pop(window.id, 0) == there_ms, (path, window)
        assert not +lengths


def _first_ms(events: list[Event], path: str) -> int:
    """When the time of a place begins: with the first fact heard of it."""
    return next(event.at_ms for event in events if path in (event.path, HOUSING))


@every_rule
@pytest.mark.parametrize(("day", "hours"), list(zip(DAYS, (24, 23, 25), strict=True)))
@moderate
@given(minutes=st.lists(moments, max_size=20))
def test_a_day_has_24_hours_or_23_or_25(
    rule: str, day: str, hours: int, minutes: list[tuple[int, str, str]]
) -> None:
    opens_ms = at_ms(f"{day}T06:00:00+02:00" if hours == 25 else f"{day}T06:00:00+01:00")
    cells = [(0, cell, "EXECUTE") for cell in (SAW, MILL, WASH)]
    rows = [e.model_copy(update={"at_ms": opens_ms}) for e in facts(day, cells)]
    later = [e for e in facts(day, minutes) if e.at_ms >= opens_ms]
    whole_ms = hours * 60 * MINUTE_MS
    found = told(rule, [*rows, *later], opens_ms + 30 * 60 * MINUTE_MS)
    days = spans(found.documents, HOUSING, "oee-day")
    whole = next((one for one in days if one["day"]["id"] == day), None)
    if whole is None:
        assert len(days) == DAYS_KEPT + 1
        return
    assert whole["sums"]["elapsed_ms"] == whole_ms
    assert whole["day"]["end_ms"] - whole["day"]["start_ms"] == whole_ms
    assert whole["coverage"] == pytest.approx(1 - whole["sums"]["unknown_ms"] / whole_ms)


@every_rule
@moderate
@given(events=stories)
def test_in_the_order_of_time_one_interval_begins_where_another_ends(
    rule: str, events: list[Event]
) -> None:
    in_order = sorted(events, key=lambda event: event.at_ms)
    found = told(rule, in_order, in_order[-1].at_ms)
    for path in places(found):
        lengths = [one for one in found.intervals(path) if one["end_ms"] != one["start_ms"]]
        ordered = sorted(lengths, key=lambda one: (one["start_ms"], one["end_ms"]))
        assert all(one["end_ms"] > one["start_ms"] for one in ordered)
        assert all(one["end_ms"] == other["start_ms"] for one, other in pairwise(ordered))


@every_rule
@moderate
@given(events=stories)
def test_documents_are_what_they_say_they_are_made_of(rule: str, events: list[Event]) -> None:
    last_ms = max(event.at_ms for event in events)
    assert_explained(told(rule, events, last_ms + 7 * MINUTE_MS))


@moderate
@given(events=histories(HOUSING, TYPES))
def test_absurd_histories_are_explained_too(events: list[Event]) -> None:
    assert_explained(told("as it comes", events, events[-1].at_ms))


def assert_explained(found: Told) -> None:
    for topic, document in found.documents.items():
        if "intervals" not in document:
            continue
        behind = document["intervals"]
        mine = [i for i in found.intervals(behind["path"]) if _is_of(topic, document, i)]
        assert len(mine) == behind["closed"], topic
        sums = sum(map(_sums, mine), Sums()) + Sums(**behind["open"])
        assert sums.model_dump() == {key: document["sums"][key] for key in Sums.model_fields}, topic


def _is_of(topic: str, document: Document, interval: Row) -> bool:
    day = interval["shift_id"][:10]
    match parse_topic(topic).name:
        case "oee-order":
            return bool(interval["order_id"] == document["order_id"])
        case "oee-item":
            same = interval["item"] == document["item"]
            return bool(same and day == document["day"]["id"])
        case "oee-day":
            return bool(day == document["day"]["id"])
        case _:
            return bool(interval["shift_id"] == document["shift"]["id"])


def _sums(one: Row) -> Sums:
    counts = {name: one[name] for name in COUNTS}
    return Sums(**{f"{one['element']}_ms": one["end_ms"] - one["start_ms"]}, **counts)
