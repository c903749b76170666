"""What the adapter to Tryton refuses to guess, and what it shows before anything was asked."""

import json
from pathlib import Path
from typing import Any

import pytest

from bridges.erp_rest.client import exchange_of
from bridges.erp_rest.config import ErpRestSettings
from bridges.erp_rest.contract import Answer
from bridges.erp_rest.errors import MappingError
from bridges.erp_rest.mapping import terms_of
from bridges.erp_rest.posting import STEPS_MAX, Line, Poster
from bridges.erp_rest.store import Store
from bridges.erp_rest.tryton import TRYTON
from tests.brokers import bounded, small_plant
from tests.counterpart import Asked, Said, confirmation, counterpart

SETTINGS = ErpRestSettings(url="https://erp", credentials_file="t", units={"pcs": "u"})
TERMS = terms_of(SETTINGS, small_plant())
DAY = {"__class__": "date", "year": 2026, "month": 3, "day": 28}
ROW: dict[str, Any] = {
    "number": "MO-1",
    "product": {"code": "FG-100"},
    "quantity": 7.0,
    "unit": {"symbol": "u"},
    "planned_date": DAY,
    "write_date": {**DAY, "__class__": "datetime", "hour": 9},
}
OUTPUT: dict[str, Any] = {
    "id": 3,
    "product": 1,
    "unit": 1,
    "quantity": 7.0,
    "state": "draft",
    "to_location": {"type": "storage"},
}
STANDING: dict[str, Any] = {
    "id": 1,
    "state": "running",
    "company": 1,
    "location": 9,
    "product": 1,
    "unit": 1,
    "warehouse": {"waste_locations": []},
    "outputs": [OUTPUT],
}
END = confirmation(final=True, status="completed", good_total=6, scrap_total=2)


def answered(*rows: dict[str, Any]) -> Answer:
    return Answer(200, (), json.dumps(rows).encode())


def test_a_planned_day_ends_at_the_sites_midnight_also_when_the_clocks_change() -> None:
    assert TRYTON.order(ROW, TERMS)["due"] == "2026-03-29T00:00:00+01:00"
    summer = {**ROW, "planned_date": {**DAY, "day": 29}}
    assert TRYTON.order(summer, TERMS)["due"] == "2026-03-30T00:00:00+02:00"
    assert TRYTON.order({**ROW, "planned_date": None}, TERMS)["due"] is None


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"unit": {"symbol": "kg"}}, "unit: 'kg'"),
        ({"unit": None}, "unit: None"),
        ({"product": None}, "code"),
        ({"product": {"code": None}}, "code"),
        ({"quantity": 7.5}, "quantity: 7.5"),
        ({"number": None}, "number"),
        ({"write_date": None}, "write_date: None"),
        ({"planned_date": {**DAY, "month": 13}}, "planned_date"),
    ],
)
def test_an_order_that_says_too_little_is_refused(changes: dict[str, Any], reason: str) -> None:
    with pytest.raises(MappingError, match=reason):
        TRYTON.order({**ROW, **changes}, TERMS)


@pytest.mark.parametrize(
    ("rows", "reason"),
    [
        ([], "0 orders PO-1"),
        ([STANDING, STANDING], "2 orders PO-1"),
        ([{**STANDING, "outputs": []}], "0 outputs"),
        ([{**STANDING, "outputs": [OUTPUT, OUTPUT]}], "2 outputs"),
        ([{**STANDING, "outputs": [{**OUTPUT, "unit": 2}]}], "another unit"),
        ([{**STANDING, "outputs": None}], "no production order"),
        ([{"id": 1}], "no production order"),
    ],
)
def test_an_order_that_stands_otherwise_is_left_to_people(
    rows: list[dict[str, Any]], reason: str
) -> None:
    with pytest.raises(MappingError, match=reason):
        TRYTON.post(END, TERMS, answered(*rows))


def test_what_is_no_output_of_the_order_is_left_alone() -> None:
    others = [{**OUTPUT, "product": 2}, {**OUTPUT, "state": "cancelled"}]
    request = TRYTON.post(END, TERMS, answered({**STANDING, "outputs": [*others, OUTPUT]}))
    assert request is not None
    assert request.document == {"outputs": [["write", [3], {"quantity": 6}]]}


def test_scrap_that_is_there_is_corrected_and_not_made_twice() -> None:
    waste = {**OUTPUT, "id": 4, "quantity": 1.0, "to_location": {"type": "lost_found"}}
    standing = {**STANDING, "warehouse": {"waste_locations": [7]}, "outputs": [OUTPUT, waste]}
    request = TRYTON.post(END, TERMS, answered(standing))
    assert request is not None
    assert request.document == {
        "outputs": [["write", [3], {"quantity": 6}], ["write", [4], {"quantity": 2}]]
    }


def test_it_is_shown_as_far_as_it_is_known() -> None:
    begun, end = TRYTON.post(confirmation(), TERMS, None), TRYTON.post(END, TERMS, None)
    assert begun is not None
    assert end is not None
    assert begun.path.partition("?")[0] == "/rest/model/production/%3Cid%3E/run"
    assert end.document is not None
    assert end.document["outputs"][0] == ["write", ["<id>"], {"quantity": 6}]
    assert TRYTON.post(confirmation(good=0), TERMS, None) is None


@bounded
async def test_a_yes_that_changes_nothing_is_not_asked_for_again_and_again(tmp_path: Path) -> None:
    def yes(asked: Asked) -> Said:
        standing = {**STANDING, "outputs": [{**OUTPUT, "quantity": 6.0}]}
        return Said(200, [standing] if asked.method == "GET" else {"state": "running"})

    store = Store(tmp_path / "posts.sqlite")
    store.post([END], 0)
    with counterpart(yes) as server:
        settings = SETTINGS.model_copy(update={"url": server.url})
        exchange = exchange_of(settings, tmp_path, "Bearer x")
        line = Line(TRYTON, exchange, TERMS, lambda: 1_000, lambda: 1.0)
        assert await Poster(store, line, settings, lambda _trouble: None).step() == 1
    (post,) = store.posts(["unsure"])
    store.close()
    assert post.reason == f"not told whole after {STEPS_MAX} requests"
    assert [asked.method for asked in server.asked] == ["GET", "POST"] * STEPS_MAX
