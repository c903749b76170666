"""Quality holds: opened by verdicts, people and what held lots become; released by who may."""

from collections.abc import Iterable
from typing import Any

import pytest

from bridges.desk.holding import held
from bridges.desk.mapping import Refused, asked
from processors import PROCESSORS
from processors.quality.state import HOLDS_MAX, LineQuality
from tests.example import EARLY_MS, HOUSING, MILL, PUMP, numbered, plant
from uns.fold import Document, Draft, advance
from uns.model.commands import AskForHold
from uns.model.path import parse_topic
from uns.model.plant import Plant

Row = dict[str, Any]
H1 = "acme.berlin.machining.housing-hold-1"
H2 = "acme.berlin.machining.housing-hold-2"
FAILS: Row = {"type": "inspected", "values": {"bore": 41.0, "flatness": 5.0}, "item": "housing-a"}
DAY_MS = 86_400_000


def held_plant(**rule: Any) -> Plant:
    """The example plant, whose mill holds what fails; only anna may release."""
    document = plant().model_dump()
    document["items"]["housing-a"]["specifications"]["mill"]["on_fail"] = rule
    return Plant.model_validate({**document, "may_release_holds": ["anna"]})


def played(
    of: Plant, rows: Iterable[Row], state: LineQuality | None = None
) -> tuple[LineQuality, list[Draft]]:
    processor = PROCESSORS["quality"](of)
    state = state or processor.initial(HOUSING)
    outputs = list[Draft]()
    for event in numbered({"at_ms": EARLY_MS, "path": MILL, **row} for row in rows):
        step = advance(processor, state, event)
        state, outputs = step.state, [*outputs, *step.outputs]
    return state, outputs


def shown(of: Plant, state: LineQuality, hold_id: str = H1) -> Document:
    documents = dict(PROCESSORS["quality"](of).documents(state))
    found = [one for path, one in documents.items() if "/_state/hold/" in path]
    return next((one for one in found if one["hold_id"] == hold_id), {})


def fails(sample: str, lot: str | None = "L-1", **more: Any) -> Row:
    return {**FAILS, "sample_id": sample, "lot": lot, "order_id": "PO-1", **more}


def command(name: str, request: str, **more: Any) -> Row:
    fields = {"type": "hold-commanded", "path": HOUSING, "command": name, "request_id": request}
    return {**fields, "reason": "why", "actor": "anna", **more}


def types(outputs: list[Draft]) -> list[str]:
    return [one.type for one in outputs if one.type != "verdict"]


def test_a_failing_sample_holds_its_lot_once_and_says_to_whom() -> None:
    of = held_plant(halt_order=True, alert_role="quality")
    state, outputs = played(of, [fails("s1"), fails("s2"), fails("s1")])
    assert types(outputs) == ["hold-opened", "alert"]
    opened, alert = (one for one in outputs if one.type != "verdict")
    assert (opened.path, alert.path) == (HOUSING, MILL)
    assert (opened.body["lot"], opened.body["halts"]) == ("L-1", True)
    assert alert.body["evidence"]["role"] == "quality"
    document = shown(of, state)
    assert (document["state"], document["fails"], document["sample_id"]) == ("held", 2, "s1")
    assert document["reason"] == "bore 41 in 39.98..40.02 mm"
    assert document["values"][0]["value"] == 41.0


def test_without_a_rule_nothing_is_held() -> None:
    assert types(played(plant(), [fails("s1")])[1]) == []


def test_a_unit_is_held_alone_and_a_sample_of_nothing_halts_its_order() -> None:
    of = held_plant(hold="unit", halt_order=True)
    state, _ = played(of, [fails("s1", unit_id="U-1"), fails("s2", unit_id="U-2")])
    assert [(one.lot, one.unit_id) for one in state.holds.open.values()] == [
        (None, "U-1"),
        (None, "U-2"),
    ]
    state, _ = played(of, [fails("s1", lot=None)])
    assert [(one.order_id, one.halts) for one in state.holds.open.values()] == [("PO-1", True)]


def test_a_hold_is_released_by_who_may_and_a_later_failure_holds_again() -> None:
    of = held_plant()
    rows = [
        fails("s1"),
        command("release", "r-1", hold_id=H1, actor="ben"),
        command("release", "r-2", hold_id=H2),
        command("release", "r-3", hold_id=H1, reason="measured again"),
        fails("s1"),
        fails("s2"),
    ]
    state, outputs = played(of, rows)
    replies = [(o.body["outcome"], o.body["reason"]) for o in outputs if o.type == "reply"]
    assert replies == [
        ("refused", "ben may not release holds: anna may"),
        ("refused", f"no hold {H2} is open on {HOUSING} (did you mean '{H1}'?)"),
        ("accepted", f"L-1 is released from {H1}"),
    ]
    (released,) = [one.body for one in outputs if one.type == "hold-released"]
    assert (released["reason"], released["actor"], released["fails"]) == (
        "measured again",
        "anna",
        1,
    )
    assert list(state.holds.open) == [H2]
    assert shown(of, state)["state"] == "released"
    assert shown(of, state)["summary"] == "L-1 released by anna: measured again"


def test_a_lot_is_held_by_hand_once() -> None:
    of = held_plant()
    place = command("place", "r-1", lot="L-7", order_id="PO-1", halts=True)
    state, outputs = played(of, [place, {**place, "request_id": "r-2"}])
    replies = [o.body["reason"] for o in outputs if o.type == "reply"]
    assert replies == [f"L-7 is on hold: {H1}", f"L-7 is on hold already: {H1}, why"]
    assert shown(of, state)["actor"] == "anna"


def said(state: str, *, lot: str = "B-1", **more: Any) -> Row:
    fields = {"hold_id": "x-hold-1", "of_line": PUMP, "lot": lot, "unit_id": None, "item": None}
    told = {"order_id": None, "halts": False, "reason": "why", "actor": None, "state": state}
    return {"type": "hold-said", "path": HOUSING, **fields, **told, **more}


def uses(lot: str) -> Row:
    return {"type": "consumed", "lot": lot, "quantity": 1.0, "unit": "pcs", "order_id": "PO-1"}


def makes(lot: str) -> Row:
    return {"type": "produced", "lot": lot, "quantity": 1.0, "unit": "pcs", "item": "housing-a"}


def test_what_is_made_of_a_held_lot_of_another_line_is_held_too() -> None:
    of = held_plant()
    rows = [said("held"), uses("B-1"), uses("B-1"), uses("B-2"), makes("L-1"), makes("L-2")]
    state, outputs = played(of, rows)
    assert types(outputs) == ["alert", "hold-opened", "alert"]
    assert outputs[0].body["code"] == "held-lot-used"
    assert outputs[0].body["summary"] == "B-1 is on hold (x-hold-1) and was used"
    (hold,) = state.holds.open.values()
    assert (hold.lot, hold.cause_id) == ("L-1", "x-hold-1")


def test_what_was_released_may_be_used() -> None:
    rows = [said("held"), said("released"), uses("B-1"), makes("L-1")]
    state, outputs = played(held_plant(), rows)
    assert (types(outputs), state.holds.open) == ([], {})


def test_a_lot_held_here_that_goes_into_the_next_cell_holds_what_it_makes() -> None:
    wash = f"{HOUSING}/wash"
    rows = [fails("s1"), {**uses("L-1"), "path": wash}, {**makes("W-1"), "path": wash}]
    state, _ = played(held_plant(halt_order=True), rows)
    assert [(one.lot, one.cause_id) for one in state.holds.open.values()] == [
        ("L-1", None),
        ("W-1", H1),
    ]


def test_beyond_the_bound_is_told_of_and_never_forgotten() -> None:
    of = held_plant()
    state, _ = played(of, [fails(f"s{n}", f"L-{n}") for n in range(HOLDS_MAX)])
    state, outputs = played(of, [fails("last", "L-last")], state)
    assert len(state.holds.open) == HOLDS_MAX
    assert [one.body["summary"] for one in outputs if one.type == "alert"] == [
        f"L-last is NOT on hold, for {HOLDS_MAX} are open: bore 41 in 39.98..40.02 mm"
    ]


@pytest.mark.parametrize(
    ("name", "fields", "why"),
    [
        ("place", {}, "hold/place needs one of lot, unit_id"),
        ("release", {}, "hold/release needs hold_id"),
        ("release", {"hold_id": H1, "lot": "L-1"}, "hold/release takes no lot"),
    ],
)
def test_what_nobody_understands_is_refused(name: str, fields: Row, why: str) -> None:
    given = AskForHold.model_validate(
        {"request_id": "r-1", "reason": "why", "actor": "anna", **fields}
    )
    topic = parse_topic(f"{HOUSING}/_cmd/hold/{name}")
    assert asked(topic, given, EARLY_MS, 30) == Refused(why)


def test_all_lines_hear_of_a_hold_once() -> None:
    of = held_plant()
    document = shown(of, played(of, [fails("s1")])[0])
    facts = held(HOUSING, document, of.lines, EARLY_MS, DAY_MS)
    assert [one.path for one in facts] == list(of.lines)
    assert len({one.business_key for one in facts}) == len(of.lines)
    assert held(HOUSING, {"summary": "?"}, of.lines, EARLY_MS, DAY_MS) == []


def orders(rows: Iterable[Row]) -> tuple[Document, list[str]]:
    """The order's document, and what was answered."""
    processor = PROCESSORS["order-progress"](plant())
    state, answers = processor.initial(HOUSING), list[str]()
    release = {"type": "released", "order_id": "PO-1", "item": "housing-a", "quantity": 10}
    events = numbered({"at_ms": EARLY_MS, "path": HOUSING, **row} for row in (release, *rows))
    for event in events:
        step = advance(processor, state, event)
        state = step.state
        answers += [one.body["reason"] for one in step.outputs if one.type == "reply"]
    documents = dict(processor.documents(state))
    return next(one for path, one in documents.items() if "/_state/order/" in path), answers


def asks(name: str) -> Row:
    fields = {"type": "order-commanded", "request_id": f"r-{name}", "order_id": "PO-1"}
    return {**fields, "command": name}


LOADED: Row = {"type": "loaded", "path": MILL, "order_id": "PO-1", "item": "housing-a"}
HALTS: Row = {"hold_id": H1, "of_line": HOUSING, "order_id": "PO-1", "halts": True}
HALTED = f"PO-1 is halted by hold {H1}: release that first"


def test_a_hold_halts_its_running_order_until_it_is_released_and_people_go_on() -> None:
    hold = said("held", **HALTS)
    document, answers = orders([LOADED, hold, asks("unhold")])
    assert (document["dispatch_status"], answers) == ("held", [HALTED])
    assert document["reason"] == f"{H1}: why"
    document, answers = orders([LOADED, hold, said("released", **HALTS), asks("unhold")])
    assert (document["dispatch_status"], answers) == ("running", ["PO-1 is running"])


def test_an_order_that_has_not_begun_does_not_start() -> None:
    document, answers = orders([said("held", **HALTS), asks("start")])
    assert (document["dispatch_status"], answers) == ("waiting", [HALTED])


def test_a_hold_of_another_line_or_without_halting_leaves_orders_alone() -> None:
    for other in ({"of_line": PUMP}, {"halts": False}):
        document, _ = orders([LOADED, said("held", **{**HALTS, **other})])
        assert document["dispatch_status"] == "running"
