"""What commands about orders change: gates, splits, moves, quantities, lists and forecasts."""

from collections.abc import Iterable
from functools import cache
from random import Random
from typing import Any, Final

from processors import PROCESSORS
from processors.base import DOCUMENT_BYTES_MAX
from processors.order_progress.forecast import GAPS_MIN
from processors.order_progress.state import TRANSFERS_MAX
from tests.example import EARLY_MS, FIT, HOUR_MS, MINUTE_MS, PRESS, PUMP, TEST, numbered, plant
from uns.codec import encode_document
from uns.fold import Document, Draft, Tick, advance
from uns.model.plant import Plant

Row = dict[str, Any]
PACKING: Final = "acme/berlin/assembly/packing"


@cache
def a_plant(*, auto_start: bool = True) -> Plant:
    """The example plant; pumps can be packed too, and pump-a and pump-b are one family."""
    document = plant().model_dump()
    lines = document["sites"]["berlin"]["areas"]["assembly"]["lines"]
    lines["packing"]["cells"]["pack"]["ideal_cycle_ms"]["pump-a"] = 900
    lines["pump"]["auto_start"] = auto_start
    for item in ("pump-a", "pump-b"):
        document["items"][item]["family"] = "pumps"
    return Plant.model_validate(document)


class Line:
    """The processor of the pump line, fed by rows."""

    def __init__(self, rows: Iterable[Row] = (), *, auto_start: bool = True) -> None:
        self.processor = PROCESSORS["order-progress"](a_plant(auto_start=auto_start))
        self.state = self.processor.initial(PUMP)
        self.outputs = list[Draft]()
        self._n = 0
        self.take(*rows)

    def take(self, *rows: Row) -> None:
        for row in rows:
            self._n += 1
            (event,) = numbered([{"at_ms": EARLY_MS, **row}])
            event = event.model_copy(update={"id": f"e{self._n}", "seq": self._n})
            step = advance(self.processor, self.state, event)
            self.state = step.state
            self.outputs += step.outputs

    def ask(self, command: str, order_id: str = "PO-1", **fields: Any) -> tuple[str, str]:
        """The outcome and reason of a command."""
        row = {"type": "order-commanded", "path": PUMP, "request_id": "r-1", "command": command}
        self.take({**row, "order_id": order_id, **fields})
        body = self.outputs[-1].body
        assert (self.outputs[-1].topic, body["request_id"]) == (f"{PUMP}/_event/reply/r-1", "r-1")
        return body["outcome"], body["reason"]

    def accepts(self, command: str, order_id: str = "PO-1", **fields: Any) -> str:
        outcome, reason = self.ask(command, order_id, **fields)
        assert outcome == "accepted", reason
        return reason

    def refuses(self, command: str, order_id: str = "PO-1", **fields: Any) -> str:
        outcome, reason = self.ask(command, order_id, **fields)
        assert outcome == "refused", reason
        return reason

    def document(self, name: str, now_ms: int = EARLY_MS) -> Document:
        state = self.processor.fold(self.state, Tick(now_ms)).state
        return self.processor.documents(state).get(name, {})

    def order(self, key: str = "po-1--u3", now_ms: int = EARLY_MS) -> Document:
        return self.document(f"{PUMP}/_state/order/{key}", now_ms)

    def said(self, kind: str) -> list[dict[str, Any]]:
        return [dict(output.body) for output in self.outputs if output.type == kind]


def released(order_id: str = "PO-1", quantity: int = 10, **more: Any) -> Row:
    order = {"order_id": order_id, "item": "pump-a", "quantity": quantity}
    return {"type": "released", "path": PUMP, **order, **more}


def loaded(path: str = PRESS, order_id: str | None = "PO-1", **more: Any) -> Row:
    return {"type": "loaded", "path": path, "order_id": order_id, "item": "pump-a", **more}


def counted(good: int, path: str = TEST, scrap: int = 0, order_id: str = "PO-1", **m: Any) -> Row:
    made = {"good": good, "scrap": scrap, "order_id": order_id, "item": "pump-a"}
    return {"type": "counted", "path": path, **made, **m}


def test_an_unknown_order_is_refused_with_the_nearest_one() -> None:
    line = Line([released("PO-1001"), counted(1, order_id="PO-9")])
    assert "did you mean 'PO-1001'?" in line.refuses("hold", "PO-1010")
    assert line.refuses("hold", "PO-9").startswith(f"no order PO-9 was released to {PUMP}")


def test_a_reason_is_shown_with_the_order() -> None:
    line = Line([released(), loaded()])
    assert line.accepts("hold", reason="torque drifts " * 12) == "PO-1 is held"
    assert line.order()["reason"] == ("torque drifts " * 12)[:80]
    assert line.order()["summary"] == "PO-1 pump-a 0 of 10 good, held"


def test_an_operation_may_not_start_before_the_one_in_front_of_it() -> None:
    line = Line([released()])
    assert line.refuses("start", cell="fit") == (
        "PO-1 may not start at fit: gate: previous operation press not started"
    )
    assert "has no cell 'pres' (did you mean 'press'?)" in line.refuses("start", cell="pres")
    assert line.accepts("start", cell="press") == "PO-1 is ready: it may be loaded at press"
    line.take(loaded(PRESS))
    assert line.accepts("start", cell="fit") == "PO-1 is running: it may be loaded at fit"


def test_a_load_out_of_order_is_a_fact_and_flagged() -> None:
    line = Line([released(), loaded(FIT), counted(2, FIT)])
    order = line.order()
    assert (order["dispatch_status"], order["flags"]) == ("running", ["out-of-order"])
    gates = {row["cell"]: row["gate"] for row in order["operations"]}
    assert gates == {"press": None, "fit": "previous operation press not started", "test": None}


def test_without_automatic_start_an_order_waits_until_it_is_told() -> None:
    line = Line([released()], auto_start=False)
    assert line.order()["dispatch_status"] == "waiting"
    dispatch = line.document(f"{PRESS}/_state/dispatch")
    assert [row["gate"] for row in dispatch["orders"]] == ["not told to start"]
    line.accepts("start")
    assert line.order()["dispatch_status"] == "ready"
    line.accepts("revoke-start")
    line.take(loaded())
    assert (line.order()["dispatch_status"], line.order()["flags"]) == (
        "running",
        ["not-allowed-to-start"],
    )


def test_a_revoked_order_gives_its_turn_away() -> None:
    line = Line([released("PO-1"), released("PO-2")])
    line.accepts("revoke-start")
    turns = {o: line.order(f"{o.lower()}--u3")["dispatch_status"] for o in ("PO-1", "PO-2")}
    assert turns == {"PO-1": "waiting", "PO-2": "ready"}


def test_a_split_takes_pieces_that_no_cell_has_begun() -> None:
    line = Line([released(quantity=24), loaded(), counted(8, PRESS, 1), counted(3)])
    assert "free" not in line.accepts("split", quantity=15)
    assert (line.order()["quantity"], line.order()["split_off"]) == (9, 15)
    new = line.order("po-1-2--u3")
    assert (new["quantity"], new["split_from"], new["dispatch_status"]) == (15, "PO-1", "ready")
    assert line.refuses("split", quantity=2) == (
        "PO-1: 1 of 9 pieces have not begun: no more can be given away"
    )
    assert line.refuses("split", quantity=1, new_order_id="PO-1-2") == (
        "PO-1: there is an order PO-1-2 already"
    )


def test_all_of_an_order_is_no_split() -> None:
    line = Line([released()])
    assert "nothing would be left" in line.refuses("split", quantity=10)


def test_a_release_wants_what_was_split_off_no_more() -> None:
    line = Line([released(quantity=20), loaded()])
    line.accepts("split", quantity=5)
    line.take(released(quantity=30, revision=2))
    assert (line.order()["quantity"], line.order("po-1-2--u3")["quantity"]) == (25, 5)
    line.take(released(quantity=5, revision=3))
    assert line.order()["dispatch_status"] == "cancelled"


def test_a_move_leaves_counts_where_they_are_and_waits_for_the_other_line() -> None:
    line = Line([released(quantity=24, due_ms=EARLY_MS), loaded(), counted(8, PRESS), counted(5)])
    said = line.accepts("move", to_line="berlin/assembly/packing")
    assert said == f"16 of PO-1 go to {PACKING} as PO-1-2"
    order = line.order()
    assert (order["quantity"], order["good"], order["reason"]) == (
        8,
        5,
        f"moved to {PACKING} as PO-1-2",
    )
    transfer = line.document(f"{PUMP}/_state/transfer/po-1-2--u3")
    assert transfer == {
        "summary": f"16 of PO-1 go to {PACKING} as PO-1-2",
        "new_order_id": "PO-1-2",
        "order_id": "PO-1",
        "to_line": PACKING,
        "item": "pump-a",
        "quantity": 16,
        "due_ms": EARLY_MS,
        "priority": 50,
        "at_ms": EARLY_MS,
    }
    done = {"type": "order-moved", "path": PUMP, "new_order_id": "PO-1-2", "to_line": PACKING}
    line.take(done)
    assert line.document(f"{PUMP}/_state/transfer/po-1-2--u3") == {}
    line.take(counted(3))
    assert line.order()["dispatch_status"] == "completed"


def test_an_order_that_was_not_begun_moves_as_a_whole() -> None:
    line = Line([released()])
    line.accepts("move", to_line=PACKING, new_order_id="PO-77")
    assert line.order()["dispatch_status"] == "cancelled"
    assert line.said("order-closed")[0]["document"]["split_off"] == 10
    assert list(line.state.transfers) == ["PO-77"]


def test_where_an_order_cannot_go() -> None:
    line = Line([released(), released("PO-2", item="pump-b")])
    assert "did you mean" in line.refuses("move", to_line="berlin/assembly/pakcing")
    assert line.refuses("move", to_line=PUMP) == f"PO-1: it is on {PUMP} already"
    assert "ideal cycle for pump-b" in line.refuses("move", "PO-2", to_line=PACKING)
    assert "too long" in line.refuses("move", to_line=PACKING, new_order_id="x" * 100)


def test_moves_that_wait_are_bounded() -> None:
    line = Line([released(quantity=1_000)])
    for _ in range(TRANSFERS_MAX):
        line.accepts("move", to_line=PACKING, quantity=1)
    assert "moves still wait" in line.refuses("move", to_line=PACKING, quantity=1)


def test_a_quantity_that_is_made_already_completes_an_order() -> None:
    line = Line([released(), loaded(), counted(6)])
    assert line.accepts("update", quantity=20, priority=80) == "PO-1 is for 20 pieces now"
    said = line.accepts("update", quantity=4)
    assert said == "PO-1 is for 4 pieces now: 6 are made, it is completed"
    assert line.order()["flags"] == ["out-of-order", "over-completed"]
    by_erp = Line([released(), loaded(), counted(6), released(quantity=5, revision=2)])
    assert by_erp.order()["dispatch_status"] == "completed"


def test_what_is_made_beyond_the_quantity_is_counted_and_flagged() -> None:
    line = Line([released(), *(loaded(cell) for cell in (PRESS, FIT, TEST)), counted(12)])
    order = line.order()
    assert (order["good"], order["remaining"], order["dispatch_status"]) == (12, 0, "completed")
    assert order["flags"] == ["over-completed"]


def test_an_order_ends_once_and_its_closing_shows_it_again() -> None:
    line = Line([released(), loaded(), counted(4)])
    line.accepts("complete")
    assert line.order(now_ms=EARLY_MS + 2 * MINUTE_MS) == {}
    line.accepts("close", at_ms=EARLY_MS + 2 * MINUTE_MS)
    assert line.order(now_ms=EARLY_MS + 2 * MINUTE_MS)["dispatch_status"] == "closed"
    assert [closed["document"]["dispatch_status"] for closed in line.said("order-closed")] == [
        "completed"
    ]
    line.accepts("clear")
    assert line.order(now_ms=EARLY_MS + 2 * MINUTE_MS) == {}
    line.take(counted(1))
    assert line.order(now_ms=EARLY_MS + 2 * MINUTE_MS)["good"] == 5


def test_the_dispatch_list_goes_by_priority_then_family_then_due_date() -> None:
    rows = [
        released("PO-1", item="pump-a", due_ms=EARLY_MS + 3 * HOUR_MS),
        released("PO-2", item="housing-a", due_ms=EARLY_MS + HOUR_MS),
        released("PO-3", item="pump-b", due_ms=EARLY_MS + 2 * HOUR_MS),
        released("PO-4", item="housing-b", priority=90),
    ]
    line = Line(rows)
    topic = f"{PRESS}/_state/dispatch"

    def listed() -> list[tuple[str, bool]]:
        return [(row["order_id"], row["set_up"]) for row in line.document(topic)["orders"]]

    assert [order for order, _ in listed()] == ["PO-4", "PO-2", "PO-3", "PO-1"]
    line.take(loaded(PRESS, "PO-1"))
    assert listed() == [("PO-1", False), ("PO-4", True), ("PO-3", False), ("PO-2", True)]
    assert line.document(topic)["family"] == "pumps"
    line.take(counted(10, PRESS))
    assert [order for order, _ in listed()] == ["PO-4", "PO-3", "PO-2"]


def test_a_list_changes_only_with_what_it_says() -> None:
    topic = f"{PRESS}/_state/dispatch"
    line = Line([released(), loaded(PRESS), counted(1, PRESS)])
    line.take(counted(5, PRESS, at_ms=EARLY_MS + MINUTE_MS))
    assert line.document(topic)["at_ms"] == EARLY_MS
    line.take(counted(4, PRESS, at_ms=EARLY_MS + 2 * MINUTE_MS))
    assert (line.document(topic)["orders"], line.document(topic)["at_ms"]) == (
        [],
        EARLY_MS + 2 * MINUTE_MS,
    )


def test_work_in_process_is_what_came_in_less_out_less_scrap() -> None:
    rows = [released(quantity=24), counted(20, PRESS, 1), counted(15, FIT, 2), counted(12)]
    line = Line(rows)
    wip = line.document(f"{PUMP}/_state/wip")
    assert wip["summary"] == "6 pieces in process"
    assert wip["operations"] == [
        {"cell": "press", "pieces": 0, "orders": 0},
        {"cell": "fit", "pieces": 3, "orders": 1},
        {"cell": "test", "pieces": 3, "orders": 1},
    ]
    order = line.order()
    assert order["in_process"] == sum(row["in_front"] for row in order["operations"]) == 6


def paced(gaps_s: Iterable[float]) -> Line:
    line, at_ms = Line([released(quantity=200), loaded(TEST)]), EARLY_MS
    for gap_s in gaps_s:
        at_ms += round(gap_s * 1000)
        line.take(counted(1, at_ms=at_ms))
    return line


def test_without_a_spread_there_is_no_interval() -> None:
    few = paced([60.0] * GAPS_MIN)
    order = few.order(now_ms=EARLY_MS + GAPS_MIN * MINUTE_MS)
    assert order["forecast_finish_ms"] == EARLY_MS + 200 * MINUTE_MS
    assert (order["forecast_early_ms"], order["forecast_late_ms"]) == (None, None)
    steady = paced([60.0] * (GAPS_MIN + 1)).order(now_ms=EARLY_MS + (GAPS_MIN + 1) * MINUTE_MS)
    assert steady["forecast_early_ms"] == steady["forecast_late_ms"] == EARLY_MS + 200 * MINUTE_MS


def test_nine_intervals_of_ten_hold_the_finish() -> None:
    """Piece times are drawn anew (exponential, the worst that is likely): seen at half-way."""
    random, held = Random(7), 0
    for _ in range(100):
        gaps = [random.expovariate(1 / 10) + 0.001 for _ in range(200)]
        line = paced(gaps[:100])
        now_ms = line.state.now_ms
        order = line.order(now_ms=now_ms)
        end_ms = now_ms + round(sum(gaps[100:]) * 1000)
        held += order["forecast_early_ms"] <= end_ms <= order["forecast_late_ms"]
    assert 80 <= held <= 98


def test_an_order_that_is_behind_is_told_once_while_it_can_still_be_in_time() -> None:
    due_ms = EARLY_MS + 100 * MINUTE_MS
    rows = [released(quantity=200, due_ms=due_ms), loaded(TEST)]
    line = Line([*rows, *(counted(1, at_ms=EARLY_MS + n * MINUTE_MS) for n in range(1, 11))])
    order = line.order(now_ms=EARLY_MS + 10 * MINUTE_MS)
    assert (order["schedule"], order["late"]) == ("behind", True)
    (alert,) = line.said("alert")
    assert alert["code"] == "order-behind"
    assert alert["evidence"]["order_id"] == "PO-1"
    hopeless = line.order(now_ms=due_ms - MINUTE_MS)
    assert hopeless["schedule"] == "late"
    in_time = Line([*rows, counted(5, at_ms=EARLY_MS + MINUTE_MS)])
    assert in_time.order(now_ms=EARLY_MS + MINUTE_MS)["schedule"] == "on-time"
    assert in_time.said("alert") == []


def test_full_lists_stay_small() -> None:
    line = Line(released(f"PO-2026-{n:06}-AB", due_ms=EARLY_MS) for n in range(150))
    dispatch = line.document(f"{PRESS}/_state/dispatch")
    assert len(dispatch["orders"]) + dispatch["omitted"] == 150
    assert len(encode_document(dispatch)) <= DOCUMENT_BYTES_MAX
