"""Stops as people changed them, the loss tree, reliability and the bottleneck, from each store."""

from collections.abc import Iterator
from typing import Any, Final

import pytest

from tests.brokers import small_plant
from tests.speech import LINE, MILL, NOON, WASH, Sent, new_writer, output, record
from uns.historian.errors import QueryRefused
from uns.historian.history.bottleneck import bottleneck
from uns.historian.history.downtime import downtime_pareto
from uns.historian.history.losses import loss_tree
from uns.historian.history.period import period
from uns.historian.history.reliability import reliability
from uns.historian.history.stop_list import stops, story
from uns.historian.reader import Reader, open_reader
from uns.historian.store import open_store
from uns.model.plant import Plant

MINUTE_MS: Final = 60_000
ASKED: Final = period(NOON, NOON + 90 * MINUTE_MS)
REASONS: Final = {
    "e11": {"title": "Tool broken", "loss": "breakdown"},
    "e12": {"title": "Overload", "loss": "breakdown"},
    "e21": {"title": "Part jammed", "loss": "minor-stop"},
    "e41": {"title": "No material", "loss": "starved"},
    "e51": {"title": "Maintenance", "loss": "planned", "planned": True},
}
PLANT: Final = Plant.model_validate({**small_plant().model_dump(), "reasons": REASONS})
STARTED: Final = {"pq": 10, "gq": 6, "sq": 4, "ideal_ms": 60_000, "ideal_good_ms": 36_000}
MADE: Final = {"pq": 300, "gq": 290, "sq": 10, "ideal_ms": 1_800_000, "ideal_good_ms": 1_740_000}
INTERVALS: Final[list[tuple[str, str, float, float, dict[str, int]]]] = [
    (MILL, "aust", 0, 5, STARTED),
    (MILL, "apt", 5, 45, MADE),
    (MILL, "adet", 45, 55, {}),
    (MILL, "apt", 55, 60, {}),
    (MILL, "adet", 60, 66, {}),
    (MILL, "adet", 66, 60, {}),
    (MILL, "adet", 60, 66, {}),
    (MILL, "adet", 66, 70, {}),
    (MILL, "adot", 70, 80, {}),
    (MILL, "adet", 80, 85, {}),
    (MILL, "adet", 85, 80, {}),
    (MILL, "planned", 80, 85, {}),
    (WASH, "apt", 0, 20, {}),
    (WASH, "adet", 20, 29.9, {}),
    (WASH, "apt", 29.9, 30, {}),
    (WASH, "adet", 30, 60, {}),
    (WASH, "apt", 60, 90, {}),
]
STOPS: Final[list[tuple[str, str, str, str | None, float, float]]] = [
    (MILL, "s1", "ABORTED", "e11", 45, 55),
    (MILL, "s2", "ABORTED", None, 60, 66),
    (MILL, "m1", "HELD", "e21", 30, 30.05),
    (MILL, "s3", "ABORTED", "e51", 80, 85),
    (WASH, "w1", "SUSPENDED", None, 20, 29.9),
    (WASH, "w2", "SUSPENDED", "e41", 30, 60),
]


def at(minute: float) -> int:
    return NOON + round(minute * MINUTE_MS)


def changed(rev: int, stop_id: str, start: float, end: float, **more: Any) -> dict[str, Any]:
    body = {"stop_id": stop_id, "rev": rev, "state": "ABORTED", "request_id": f"r{rev}"}
    times = {"start_ms": at(start), "end_ms": at(end), "duration_ms": at(end) - at(start)}
    return {**body, **times, "reason": None, "old_reason": None, "order_id": None, **more}


CHANGES: Final[list[tuple[str, str, dict[str, Any]]]] = [
    (MILL, "stop-classified", changed(1, "s1", 45, 55, reason="e41", old_reason="e11", moved_ms=0)),
    (
        MILL,
        "stop-split",
        changed(2, "s2", 60, 62, new_stop_id="s2b", new_end_ms=at(66), new_duration_ms=240_000),
    ),
    (MILL, "stop-classified", changed(3, "s2b", 62, 66, reason="e41", moved_ms=0, actor="ann")),
    (MILL, "stop-classified", changed(4, "s1", 45, 55, reason="e12", old_reason="e41", moved_ms=0)),
    (
        WASH,
        "stop-merged",
        changed(1, "w1", 20, 60, reason="e41", merged_stop_id="w2", merged_reason="e41", moved_ms=0)
        | {"state": "SUSPENDED", "duration_ms": 2_394_000},
    ),
]


def told() -> tuple[list[Sent], list[Sent]]:
    """What the processor of the line said of times and stops, and of their changes."""
    devices, people = list[Sent](), list[Sent]()
    seqs = iter(range(1, 1_000))
    for cell, element, start, end, made in INTERVALS:
        piece = {"element": element, "state": "X", "start_ms": at(start), "end_ms": at(end)}
        piece |= {"shift_id": "2025-12-11-early", "policy_id": "p", **made}
        devices.append(output(next(seqs), "oee", "oee-interval", piece, path=cell, at_ms=at(end)))
    for cell, stop_id, name, reason, start, end in STOPS:
        stop: dict[str, Any] = {"stop_id": stop_id, "state": name, "reason": reason}
        stop["order_id"] = None
        devices.append(output(next(seqs), "oee", "stopped", stop, path=cell, at_ms=at(start)))
        stop |= {"start_ms": at(start), "duration_ms": at(end) - at(start)}
        stop["micro"] = stop_id == "m1"
        devices.append(output(next(seqs), "oee", "stop-ended", stop, path=cell, at_ms=at(end)))
    for cell, kind, body in CHANGES:
        people.append(output(next(seqs), "oee", kind, body, path=cell, at_ms=at(80)))
    return devices, people


@pytest.fixture(scope="module")
def filled(shared_location: str) -> str:
    store = open_store(shared_location, lambda: NOON)
    writer = new_writer(store)
    for batch in told():
        record(writer, *batch)
    store.close()
    return shared_location


@pytest.fixture
def reader(filled: str) -> Iterator[Reader]:
    with open_reader(filled) as found:
        yield found


def shown(reader: Reader) -> list[tuple[Any, ...]]:
    return [
        (one.stop_id, one.reason, (one.start_ms - NOON) / MINUTE_MS, one.minutes)
        for one in stops(reader, PLANT, [MILL, WASH], ASKED, 10)
    ]


CHANGED: Final = [
    ("s3", "e51", 80.0, 5.0),
    ("s2b", "e41", 62.0, 4.0),
    ("s2", None, 60.0, 2.0),
    ("s1", "e12", 45.0, 10.0),
    ("w1", "e41", 20.0, 39.9),
]


def test_stops_are_shown_as_people_changed_them(reader: Reader) -> None:
    assert shown(reader) == CHANGED


@pytest.mark.parametrize("first", ["people", "devices"])
def test_it_matters_not_which_batch_told_of_a_change(location: str, first: str) -> None:
    store = open_store(location, lambda: NOON)
    writer = new_writer(store)
    devices, people = told()
    newest_first = [[one] for one in people[::-1]]
    for batch in (
        [*newest_first, devices] if first == "people" else [devices, *newest_first, people]
    ):
        record(writer, *batch)
    store.close()
    with open_reader(location) as found:
        assert shown(found) == CHANGED


def test_the_pareto_goes_by_the_newest_reason(reader: Reader) -> None:
    found = downtime_pareto(reader, PLANT, [MILL], ASKED)
    bars = [(bar.key, bar.stops, bar.stop_ms // MINUTE_MS) for bar in found.bars]
    assert bars == [("e12", 1, 10), ("e51", 1, 5), ("e41", 1, 4), (None, 1, 2)]
    assert (found.micro_stops, found.micro_ms) == (1, 3_000)
    merged = downtime_pareto(reader, PLANT, [WASH], ASKED)
    assert [(bar.key, bar.stops, bar.stop_ms) for bar in merged.bars] == [("e41", 1, 2_394_000)]


def test_the_story_of_a_stop_has_every_reason_it_ever_had(reader: Reader) -> None:
    said = story(reader, "s1")
    assert [one.type for one in said[:2]] == ["stopped", "stop-ended"]
    assert [(one.old_reason, one.reason) for one in said[2:]] == [("e11", "e41"), ("e41", "e12")]
    assert [one.type for one in story(reader, "s2b")] == ["stop-split", "stop-classified"]
    assert story(reader, "s2b")[1].actor == "ann"
    assert story(reader, "s9") == ()


def test_the_six_losses_add_up_to_what_was_lost(reader: Reader) -> None:
    found = loss_tree(reader, PLANT, LINE, ASKED)
    assert [(one.key, round(one.minutes, 6)) for one in found.losses] == [
        ("unplanned-stops", 20),
        ("reduced-speed", 13.95),
        ("no-order", 10),
        ("set-up-and-adjustment", 5),
        ("process-rejects", 1),
        ("start-up-rejects", 0.4),
        ("minor-stops", 0.05),
    ]
    assert (found.cells, found.busy_min, found.good_min) == ((MILL,), 80, 29.6)
    assert found.total_min == pytest.approx(50.4)
    assert sum(one.minutes for one in found.losses) == pytest.approx(found.total_min)
    pieces = {one.key: one.pieces for one in found.losses}
    assert (pieces["process-rejects"], pieces["start-up-rejects"]) == (10, 4)
    assert pieces["unplanned-stops"] == pytest.approx(200)
    leaves = [(leaf.key, leaf.stops, leaf.minutes) for leaf in found.losses[0].leaves]
    assert leaves == [("e12", 1, 10), (None, 1, 6), ("e41", 1, 4)]


def test_losses_of_parts_of_a_period_add_up(reader: Reader) -> None:
    whole = loss_tree(reader, PLANT, LINE, ASKED)
    middle_ms = at(52) + 123
    halves = [
        loss_tree(reader, PLANT, LINE, period(*ends))
        for ends in ((ASKED.from_ms, middle_ms), (middle_ms, ASKED.to_ms))
    ]
    assert sum(half.total_min for half in halves) == pytest.approx(whole.total_min)
    for key in ("unplanned-stops", "minor-stops", "process-rejects"):
        parts = [one.minutes for half in halves for one in half.losses if one.key == key]
        known = next(one.minutes for one in whole.losses if one.key == key)
        assert sum(parts) == pytest.approx(known)


def test_time_between_failures_leaves_delays_out(reader: Reader) -> None:
    found = reliability(reader, PLANT, LINE, ASKED)
    mill, wash = found.cells
    assert (mill.failures, mill.unexplained, mill.up_min, mill.repair_min) == (1, 1, 50, 10)
    assert (mill.mtbf_min, mill.mttf_min, mill.mttr_min) == (60, 50, 10)
    assert (wash.failures, wash.mtbf_min, wash.mttr_min) == (0, None, None)
    assert (found.total.failures, found.total.mtbf_min) == (1, 110.1)


def test_the_bottleneck_is_what_was_active_most_and_others_wait_for(reader: Reader) -> None:
    found = bottleneck(reader, PLANT, LINE, ASKED)
    assert (found.cell, found.configured) == ("mill", "mill")
    mill, wash = found.cells
    assert mill.active == pytest.approx(66 / 80)
    assert wash.active == pytest.approx(50.1 / 90)
    assert (mill.starved_min, mill.down_min, wash.starved_min) == (4, 16, 39.9)
    assert "wash behind it starved 39.9 min" in found.reason
    nothing = bottleneck(reader, PLANT, LINE, period(NOON - 2, NOON - 1))
    assert (nothing.cell, nothing.cells[0].active) == (None, 0)
    with pytest.raises(QueryRefused, match="no line"):
        bottleneck(reader, PLANT, MILL, ASKED)
