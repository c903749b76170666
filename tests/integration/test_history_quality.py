"""Yields and the Pareto of defects, from each store."""

import random
from collections import Counter
from collections.abc import Iterator
from math import prod
from typing import Any, Final

import pytest

from tests.brokers import small_plant
from tests.speech import LINE, MILL, NOON, WASH, Sent, new_writer, output, record
from uns.historian.errors import QueryRefused
from uns.historian.history.defects import defects
from uns.historian.history.period import period
from uns.historian.history.yields import By, Yield, yields
from uns.historian.reader import Reader, open_reader
from uns.historian.store import open_store
from uns.model.plant import Plant

MINUTE_MS: Final = 60_000
MINUTES: Final = 60
ASKED: Final = period(NOON - MINUTE_MS, NOON + 120 * MINUTE_MS)
BEFORE: Final = period(NOON - 120 * MINUTE_MS, NOON - MINUTE_MS)
ROUTED: Final = {"title": "A", "routing": {"line": LINE[5:], "operations": ["wash", "mill"]}}
PLANT: Final = Plant.model_validate(
    {**small_plant().model_dump(), "items": {"a": ROUTED, "c": ROUTED, "b": {"title": "B"}}}
)
CLOSED: Final[dict[str, Any]] = {
    "name": "looks",
    "when": "per-lot",
    "item": "b",
    "specification": "s-1",
    "severity": None,
    "order_id": None,
    "lot": "l-1",
    "lot_size": 90,
    "size": 9,
    "accept": 0,
    "reject": 1,
    "attempt": 1,
    "inspected": 9,
    "nonconforming": 3,
    "opened_ms": NOON,
    "operator": "ann",
    "reason": None,
    "next_severity": None,
}
Made = tuple[str, str, str, str | None, int, int, int]
SHIFTS: Final = ("2025-12-10-early", "2025-12-11-early")


def made() -> list[Made]:
    """Cell, shift, order, item, good, scrap and rework of each minute."""
    dice = random.Random(7)
    return [
        (
            dice.choice((MILL, WASH)),
            SHIFTS[minute * 2 // MINUTES],
            f"o{minute % 3}",
            dice.choice(("a", "b", None)),
            dice.randrange(90),
            dice.randrange(9),
            dice.randrange(5),
        )
        for minute in range(MINUTES)
    ] + [(MILL, SHIFTS[1], "o9", "c", 8, 1, 1)]


MADE: Final = made()


def pieces() -> Iterator[Sent]:
    for n, (cell, shift_id, order_id, item, good, scrap, rework) in enumerate(MADE):
        start_ms = NOON + n * MINUTE_MS
        body: dict[str, Any] = {"element": "apt", "state": "EXECUTE", "policy_id": "p"}
        body |= {"start_ms": start_ms, "end_ms": start_ms + MINUTE_MS, "shift_id": shift_id}
        body |= {"order_id": order_id, "item": item, "pq": good + scrap + rework, "gq": good}
        body |= {"sq": scrap, "rq": rework, "ideal_ms": 0, "ideal_good_ms": 0}
        yield output(n + 1, "oee", "oee-interval", body, path=cell, at_ms=start_ms + MINUTE_MS)


def judged() -> Iterator[Sent]:
    """Ten pieces: three bores and one length out of limits, one bore that is not known yet."""
    for n in range(10):
        told = ("fail" if n < 3 else "pending" if n == 9 else "pass", "fail" if n == 5 else "pass")
        parts = [
            {"name": name, "value": 1.0, "lower": 0, "upper": 2, "unit": "mm", "verdict": verdict}
            for name, verdict in zip(("bore", "length"), told, strict=True)
        ]
        body = {"sample_id": f"s{n}", "verdict": "fail", "item": "a", "characteristics": parts}
        yield output(n + 1, "quality", "verdict", body, path=MILL, at_ms=NOON + n)
    found = [{"code": "scratch", "place": "rim", "count": 2}, {"code": "dent", "count": 1}]
    for n, some in enumerate((found, [{"code": "scratch", "place": "hub", "count": 3}], [])):
        body = {**CLOSED, "inspection_id": f"i{n}", "verdict": "fail", "defects": some}
        yield output(20 + n, "quality", "inspection-closed", body, path=WASH, at_ms=NOON + n)


@pytest.fixture(scope="module")
def filled(shared_location: str) -> str:
    store = open_store(shared_location, lambda: NOON)
    record(new_writer(store), *pieces(), *judged())
    store.close()
    return shared_location


@pytest.fixture
def reader(filled: str) -> Iterator[Reader]:
    with open_reader(filled) as found:
        yield found


COLUMNS: Final[tuple[By, ...]] = ("cell", "shift", "order", "item")


@pytest.mark.parametrize("by", COLUMNS)
def test_the_counts_of_each_group_and_step_are_the_sums_of_what_was_told(
    reader: Reader, by: By
) -> None:
    told = Counter[tuple[str | None, str, str]]()
    for one in MADE:
        for name, count in zip(("good", "scrap", "rework"), one[4:], strict=True):
            told[one[:4][COLUMNS.index(by)], one[0], name] += count
    found = yields(reader, PLANT, LINE, ASKED, by)
    shown = {
        (group.key, step.cell, name): getattr(step, name)
        for group in found.groups
        for step in group.steps
        for name in ("good", "scrap", "rework")
        if step.started
    }
    assert shown == dict(told)
    assert found.total.started == told.total()


@pytest.mark.parametrize("by", ["all", "day", "week", "month", *COLUMNS])
def test_a_yield_divides_sums_and_the_rolled_one_multiplies_its_steps(
    reader: Reader, by: By
) -> None:
    found = yields(reader, PLANT, LINE, ASKED, by)
    for group in (*found.groups, found.total):
        assert group.started == group.good + group.scrap + group.rework
        assert group.fpy == group.good / group.started
        assert [s.fpy for s in group.steps if s.started] == [
            s.good / s.started for s in group.steps if s.started
        ]
        if group.rty is not None:
            assert group.rty == prod(s.fpy for s in group.steps if s.fpy is not None)
    assert sum(group.started for group in found.groups) == found.total.started


def of_item(reader: Reader, item: str) -> Yield:
    found = yields(reader, PLANT, LINE, ASKED, "item").groups
    return next(group for group in found if group.key == item)


def test_the_steps_of_an_item_are_the_operations_of_its_routing(reader: Reader) -> None:
    assert [step.cell for step in of_item(reader, "a").steps] == [WASH, MILL]
    assert of_item(reader, "a").rty is not None
    assert [step.cell for step in of_item(reader, "b").steps] == [MILL, WASH]


def test_without_a_denominator_there_is_no_figure(reader: Reader) -> None:
    unfinished = of_item(reader, "c")
    assert [(step.cell, step.fpy) for step in unfinished.steps] == [(WASH, None), (MILL, 0.8)]
    assert (unfinished.fpy, unfinished.rty) == (0.8, None)
    nothing = yields(reader, PLANT, LINE, BEFORE)
    assert (nothing.groups, nothing.total.fpy, nothing.total.rty) == ((), None, None)


def test_defects_stand_most_frequent_first_with_opportunities_where_known(reader: Reader) -> None:
    found = defects(reader, [MILL, WASH], ASKED)
    shown = [(bar.key, bar.kind, bar.defects, bar.opportunities) for bar in found.bars]
    assert shown == [
        ("scratch", "defect", 5, None),
        ("bore", "characteristic", 3, 9),
        ("length", "characteristic", 1, 10),
        ("dent", "defect", 1, None),
    ]
    assert [bar.dpmo for bar in found.bars] == [None, pytest.approx(1e6 / 3), 1e5, None]
    assert [bar.cumulative for bar in found.bars] == [0.5, 0.8, 0.9, 1.0]
    assert (found.defects, found.rest) == (10, 0)


def test_defects_go_by_place_item_and_cell_and_stay_within_the_limit(reader: Reader) -> None:
    cells = [MILL, WASH]
    by_place = defects(reader, cells, ASKED, by="place").bars
    assert [(bar.key, bar.defects) for bar in by_place] == [
        (None, 4),
        ("hub", 3),
        ("rim", 2),
        (None, 1),
    ]
    assert [bar.key for bar in defects(reader, cells, ASKED, by="item").bars] == ["b", "a"]
    assert [bar.key for bar in defects(reader, cells, ASKED, by="cell").bars] == [WASH, MILL]
    assert defects(reader, cells, ASKED, limit=1).rest == 5
    assert defects(reader, cells, BEFORE).bars == ()
    with pytest.raises(QueryRefused, match="limit 0"):
        defects(reader, cells, ASKED, limit=0)
