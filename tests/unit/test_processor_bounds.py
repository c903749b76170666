"""Everything a processor keeps has a bound, and what happens beyond it is designed."""

from collections import Counter
from collections.abc import Iterable
from typing import Any

import pytest
from pydantic import TypeAdapter

from processors import PROCESSORS
from processors.base import DOCUMENT_BYTES_MAX, fit
from processors.genealogy.state import EDGES_SHOWN
from processors.oee.state import ITEMS_MAX, ORDERS_MAX, UNDECIDED_MAX, WINDOWS_MAX
from processors.order_progress.state import (
    ENDED_ORDERS_MAX,
    OPEN_ORDERS_MAX,
    UNRELEASED_ORDERS_MAX,
)
from processors.quality.state import SAMPLES_MAX
from tests.example import (
    EARLY_MS,
    FIT,
    HOUR_MS,
    HOUSING,
    MILL,
    PRESS,
    PUMP,
    SAW,
    TEST,
    numbered,
    plant,
)
from uns.codec import BYTES_MAX, encode_document
from uns.fold import Document, Draft, Tick, advance
from uns.model.events import IDENTIFIER_LENGTH_MAX
from uns.model.plant import Plant

Row = dict[str, Any]
BAD = {"bore": 41.0, "flatness": 99.0}
LINE_OF = {
    "oee": HOUSING,
    "quality": HOUSING,
    "order-progress": PUMP,
    "genealogy": PUMP,
    "kanban": PUMP,
    "spc": HOUSING,
}


def played(name: str, rows: Iterable[Row], now_ms: int = 0) -> tuple[Any, list[Draft]]:
    processor = PROCESSORS[name](plant())
    state, outputs = processor.initial(LINE_OF[name]), list[Draft]()
    for event in numbered({"at_ms": EARLY_MS, **row} for row in rows):
        step = advance(processor, state, event)
        state, outputs = step.state, [*outputs, *step.outputs]
    return processor.fold(state, Tick(now_ms)).state, outputs


def documents(name: str, state: Any) -> dict[str, Document]:
    return dict(PROCESSORS[name](plant()).documents(state))


def released(order_id: str, **more: Any) -> Row:
    order = {"order_id": order_id, "item": "pump-a", "quantity": 5}
    return {"type": "released", "path": PUMP, **order, **more}


def counted(order_id: str, path: str = TEST, **more: Any) -> Row:
    return {"type": "counted", "path": path, "good": 5, "scrap": 0, "order_id": order_id, **more}


def test_a_release_beyond_the_open_orders_is_not_taken_and_said() -> None:
    many = [released(f"PO-{n}") for n in range(OPEN_ORDERS_MAX + 2)]
    state, _ = played("order-progress", many)
    queue = documents("order-progress", state)[f"{PUMP}/_state/queue/orders"]
    assert (queue["open"], queue["refused"]) == (OPEN_ORDERS_MAX, 2)
    assert "2 releases not taken" in queue["summary"]
    assert len(queue["orders"]) + queue["omitted"] == OPEN_ORDERS_MAX
    room, _ = played("order-progress", [*many, counted("PO-0"), released("PO-201")])
    assert "PO-201" in room.orders


def test_a_full_line_fits_a_resume_document() -> None:
    orders = [f"PO-2026-{n:06}-AB" for n in range(OPEN_ORDERS_MAX)]
    rows = [released(order, content_hash="a" * 64) for order in orders]
    rows += [counted(order, cell, good=1) for order in orders for cell in (PRESS, FIT, TEST)]
    state, _ = played("order-progress", rows)
    assert len(TypeAdapter(type(state)).dump_json(state)) < BYTES_MAX["_hub"]


def test_of_orders_the_erp_never_released_the_oldest_is_forgotten() -> None:
    rows = [counted(f"PO-{n}") for n in range(UNRELEASED_ORDERS_MAX + 3)]
    state, _ = played("order-progress", [*rows, released("PO-0"), released("PO-9")])
    assert sum(o.released_ms is None for o in state.orders.values()) <= UNRELEASED_ORDERS_MAX
    assert state.orders["PO-0"].cells == {}
    assert state.orders["PO-9"].cells["test"].good == 5


def test_completed_orders_are_remembered_up_to_their_bound() -> None:
    rows = list[Row]()
    for n in range(ENDED_ORDERS_MAX + 5):
        rows += [released(f"PO-{n}"), counted(f"PO-{n}", at_ms=EARLY_MS + n)]
    state, outputs = played("order-progress", rows)
    assert len(state.orders) == ENDED_ORDERS_MAX
    assert min(state.orders, key=lambda key: int(key[3:])) == "PO-5"
    assert len(outputs) == ENDED_ORDERS_MAX + 5
    again, more = played("order-progress", [*rows, released("PO-9", revision=2), counted("PO-9")])
    assert more == outputs
    assert again.orders["PO-9"].cells["test"].good == 10


def test_an_id_that_fits_no_topic_is_shown_in_the_queue_only() -> None:
    state, _ = played("order-progress", [released("X" * 128)])
    shown = documents("order-progress", state)
    assert not any("/_state/order/" in topic for topic in shown)
    assert shown[f"{PUMP}/_state/queue/orders"]["orders"][0]["order_id"] == "X" * 128


def test_a_forecast_beyond_a_year_is_none() -> None:
    rows = [released("PO-1", quantity=10_000_000), counted("PO-1", good=1)]
    state, _ = played("order-progress", rows, EARLY_MS + HOUR_MS)
    order = documents("order-progress", state)[f"{PUMP}/_state/order/po-1--u3"]
    assert order["forecast_finish_ms"] is None
    assert order["summary"] == "PO-1 pump-a 1 of 10000000 good, running"


def test_pieces_of_a_cell_off_the_routing_are_shown_and_its_scrap_counts() -> None:
    short = plant().model_dump()
    short["items"]["pump-a"]["routing"]["operations"] = ["press", "test"]
    short["items"]["pump-a"]["specifications"].pop("fit")
    processor = PROCESSORS["order-progress"](Plant.model_validate(short))
    state = processor.initial(PUMP)
    rows = [released("PO-1", quantity=50), counted("PO-1", FIT, scrap=2), counted("PO-1")]
    for event in numbered({"at_ms": EARLY_MS, **row} for row in rows):
        state = advance(processor, state, event).state
    order = processor.documents(state)[f"{PUMP}/_state/order/po-1--u3"]
    assert [o["cell"] for o in order["operations"]] == ["press", "test", "fit"]
    assert (order["good"], order["scrap"]) == (5, 2)


def state_changed(state: str, at_ms: int, fault: str | None = None) -> Row:
    return {"type": "state-changed", "path": MILL, "state": state, "fault": fault, "at_ms": at_ms}


LOADED = {"type": "loaded", "path": MILL, "order_id": "PO-1", "item": "housing-a"}


def test_a_flutter_within_the_threshold_is_a_real_stop() -> None:
    rows: list[Row] = [LOADED, state_changed("EXECUTE", EARLY_MS)]
    rows += [
        state_changed(("HELD", "HOLDING")[n % 2], EARLY_MS + 1_000 + n * 10)
        for n in range(UNDECIDED_MAX + 2)
    ]
    rows.append(state_changed("EXECUTE", EARLY_MS + 2_000))
    state, outputs = played("oee", rows)
    ended = outputs[-1]
    assert (ended.type, ended.body["micro"], ended.body["duration_ms"]) == (
        "stop-ended",
        False,
        1_000,
    )
    assert state.cells[MILL].shifts[-1].sums.adet_ms == 1_000
    assert state.cells[MILL].undecided == ()


def test_two_stops_of_one_millisecond_have_two_ids() -> None:
    at = EARLY_MS + 1_000
    rows = [LOADED, *(state_changed(s, at) for s in ("EXECUTE", "HELD", "EXECUTE", "ABORTED"))]
    _, outputs = played("oee", rows)
    ids = [o.body["stop_id"] for o in outputs if o.type == "stopped"]
    dotted = MILL.replace("/", ".")
    assert ids == [f"{dotted}-{at}", f"{dotted}-{at}-1"]


def test_a_long_silence_is_unknown_in_one_interval_and_the_state_comes_back() -> None:
    end_ms = EARLY_MS + 40 * 24 * HOUR_MS
    rows = [LOADED, state_changed("EXECUTE", EARLY_MS), state_changed("HELD", end_ms)]
    state, outputs = played("oee", rows)
    intervals = [o.body for o in outputs if o.type == "oee-interval"]
    length = Counter[str]()
    for one in intervals:
        length[one["element"]] += one["end_ms"] - one["start_ms"]
    assert length["apt"] == WINDOWS_MAX * 8 * HOUR_MS
    assert [one["state"] for one in intervals if one["element"] == "unknown"] == ["UNKNOWN"]
    assert sum(length.values()) == end_ms - EARLY_MS
    assert state.cells[MILL].open.state == "HELD"
    assert len(documents("oee", state)[f"{MILL}/_state/oee"]) > 0


def test_the_loaded_order_outlives_the_bound_of_remembered_ones() -> None:
    before = {**LOADED, "order_id": "PO-0"}
    rows: list[Row] = [LOADED, before, LOADED, state_changed("EXECUTE", EARLY_MS)]
    rows += [counted(f"PO-{n}", MILL) for n in range(2, ORDERS_MAX + 10)]
    state, _ = played("oee", rows)
    assert len(state.orders) == ORDERS_MAX
    assert "PO-1" in state.orders


def test_a_line_is_shown_before_its_bottleneck_is_heard_of() -> None:
    row = {"type": "state-changed", "path": SAW, "state": "EXECUTE"}
    state, _ = played("oee", [row], EARLY_MS + 10_000)
    line = documents("oee", state)[f"{HOUSING}/_state/oee"]
    assert (line["oee"], line["bottleneck"], line["cells"]) == (None, "mill", {"saw": 0.0})


def test_of_items_the_first_of_a_day_are_shown_and_all_are_in_the_day() -> None:
    rows: list[Row] = [LOADED, state_changed("EXECUTE", EARLY_MS)]
    rows += [{**counted("PO-1", MILL), "item": f"item-{n}"} for n in range(ITEMS_MAX + 3)]
    state, _ = played("oee", rows, EARLY_MS + 1_000)
    shown = documents("oee", state)
    items = [t for t in shown if "/oee-item/" in t]
    assert len(items) == ITEMS_MAX
    assert shown[f"{HOUSING}/_state/oee-day/2026-11-23"]["sums"]["pq"] == 5 * (ITEMS_MAX + 3)


def test_off_shift_time_is_planned() -> None:
    one_shift = plant().model_dump()
    one_shift["sites"]["berlin"]["shifts"] = {"early": plant().sites["berlin"].shifts["early"]}
    processor = PROCESSORS["oee"](Plant.model_validate(one_shift))
    state = processor.initial(HOUSING)
    rows = [LOADED, state_changed("ABORTED", EARLY_MS + 7 * HOUR_MS)]
    for event in numbered({"at_ms": EARLY_MS, **row} for row in rows):
        state = advance(processor, state, event).state
    state = processor.fold(state, Tick(EARLY_MS + 9 * HOUR_MS)).state
    shown = processor.documents(state)
    now = shown[f"{MILL}/_state/oee"]
    assert now["summary"] == "OEE - % (A -, E -, Q -) off shift"
    assert (now["sums"]["planned_ms"], now["sums"]["pbt_ms"]) == (HOUR_MS, 0)
    assert shown[f"{MILL}/_state/oee-shift/2026-11-23-early"]["sums"]["adet_ms"] == HOUR_MS
    assert not shown[f"{MILL}/_state/stop"]["open"]


def test_samples_are_remembered_up_to_their_bound() -> None:
    values = {"bore": 40.0, "flatness": 1.0}
    sample = {"type": "inspected", "path": MILL, "item": "housing-a", "values": values}
    rows = [{**sample, "sample_id": f"s{n}"} for n in (*range(SAMPLES_MAX + 1), SAMPLES_MAX, 0)]
    state, _ = played("quality", rows)
    assert len(state.cells[MILL].samples) == SAMPLES_MAX
    assert state.cells[MILL].total.passed == SAMPLES_MAX + 2


def test_the_last_edges_are_shown() -> None:
    lot = {"path": PRESS, "quantity": 1.0, "unit": "pcs"}
    rows = [
        {**lot, "type": kind, "lot": f"{kind[0]}-{n}"}
        for n in range(EDGES_SHOWN + 5)
        for kind in ("consumed", "produced")
    ]
    state, _ = played("genealogy", rows)
    edges = documents("genealogy", state)[f"{PRESS}/_state/genealogy"]["edges"]
    assert [e["input_id"] for e in edges] == [f"c-{n}" for n in range(14, 4, -1)]


@pytest.mark.parametrize("letter", ["x", "\N{PILE OF POO}", "\x01"])
@pytest.mark.parametrize("name", PROCESSORS)
def test_the_longest_ids_leave_documents_within_their_bound(name: str, letter: str) -> None:
    ids = [f"{n:03}".ljust(IDENTIFIER_LENGTH_MAX, letter) for n in range(60)]
    rows = list[Row]()
    for one in ids:
        context = {"order_id": one, "item": one}
        made = {"lot": one, "quantity": 1.0, "unit": "pcs", **context}
        sample = {"sample_id": one, "unit_id": one, "lot": one, "values": {}, **context}
        rows += [
            {"type": "loaded", "path": MILL, **context},
            {"type": "state-changed", "path": MILL, "state": one, "fault": one},
            {"type": "counted", "path": MILL, "good": 1, "scrap": 1, **context},
            {"type": "consumed", "path": PRESS, **made},
            {"type": "produced", "path": FIT, **made, "unit_id": one},
            {"type": "inspected", "path": MILL, **sample},
            {"type": "inspected", "path": MILL, **sample, "values": BAD, "item": "housing-a"},
            released(one, item=one),
        ]
    state, _ = played(name, rows)
    for topic, document in documents(name, state).items():
        assert len(encode_document(document)) <= DOCUMENT_BYTES_MAX, topic


def test_a_document_is_cut_to_its_bound_and_says_so() -> None:
    document: Document = {"summary": "s", "rows": [{"text": "ä" * 100}] * 100}
    cut = fit(document, "rows")
    assert len(encode_document(cut)) <= DOCUMENT_BYTES_MAX
    assert len(cut["rows"]) + cut["omitted"] == 100
    assert fit(cut, "rows") is cut
