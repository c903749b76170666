"""Inspection plans: what namespace.yaml may say, what the desk makes of it, bounds and set-ups."""

from collections.abc import Iterable
from typing import Any

import pytest
from pydantic import ValidationError

from bridges.desk.mapping import Refused, asked, gated
from processors import PROCESSORS
from processors.base import DOCUMENT_BYTES_MAX
from processors.quality.state import LineQuality
from tests.example import EARLY_MS, HOUR_MS, HOUSING, MILL, numbered
from tests.planned import planned
from tests.terminal import Cli
from uns.cli.errors import UsageError
from uns.cli.inspecting import defects, measured
from uns.codec import encode_document
from uns.fold import Document, Draft, advance
from uns.model.checks import cross_checks
from uns.model.commands import AskForInspection
from uns.model.events import IDENTIFIER_LENGTH_MAX, OperationGated
from uns.model.inspection import OPEN_MAX, WAITING_MAX, InspectionPlan
from uns.model.path import parse_topic
from uns.model.plant import Plant

Row = dict[str, Any]
FIRST: Row = {"when": "first-article"}
INSPECTIONS = f"{MILL}/_state/inspections"
DAYS = 30


def played(
    plant: Plant, rows: Iterable[Row], state: LineQuality | None = None
) -> tuple[LineQuality, list[Draft]]:
    processor = PROCESSORS["quality"](plant)
    state = state or processor.initial(HOUSING)
    outputs = list[Draft]()
    for event in numbered({"at_ms": EARLY_MS, "path": MILL, **row} for row in rows):
        step = advance(processor, state, event)
        state, outputs = step.state, [*outputs, *step.outputs]
    return state, outputs


def shown(plant: Plant, state: LineQuality) -> Document:
    return dict(PROCESSORS["quality"](plant).documents(state))[INSPECTIONS]


def loaded(order_id: str, item: str = "housing-a", **more: Any) -> Row:
    return {"type": "loaded", "order_id": order_id, "item": item, **more}


def waiting(order_id: str) -> Row:
    return {"order_id": order_id, "inspections": ["first"]}


@pytest.mark.parametrize(
    ("plan", "said"),
    [
        ({"when": "every-n"}, "when: every-n needs the key 'every'"),
        ({"when": "per-time", "every": 5}, "'every' is for when: every-n"),
        ({**FIRST, "sampling": {"aql": 1}}, "'sampling' is for when: per-lot"),
        ({"when": "per-lot", "sampling": {"aql": "0.7"}}, "no AQL 0.7: use one of 0.010, 0.015"),
        ({**FIRST, "gates": True}, "Extra inputs are not permitted"),
    ],
)
def test_a_plan_that_cannot_be_is_refused(plan: Row, said: str) -> None:
    with pytest.raises(ValidationError, match=said):
        InspectionPlan.model_validate(plan)


def test_an_aql_may_be_written_as_a_number() -> None:
    plan = InspectionPlan.model_validate({"when": "per-lot", "sampling": {"aql": 0.1}})
    assert plan.sampling is not None
    assert plan.sampling.aql == "0.10"
    assert plan.sampling.plan(1, "normal").size == 125


def test_an_unknown_characteristic_is_found_in_namespace_yaml() -> None:
    found = list(cross_checks(planned({"first": {**FIRST, "characteristics": ["bor"]}}), {}))
    where = ("items", "housing-a", "specifications", "mill", "inspections", "first")
    assert ((*where, "characteristics"), "unknown characteristic 'bor' (did you mean 'bore'?)") in (
        found
    )


def test_without_plans_the_processor_reads_what_it_always_read() -> None:
    assert "counted" not in PROCESSORS["quality"](planned({})).inputs
    assert "counted" in PROCESSORS["quality"](planned()).inputs


def test_a_new_revision_asks_for_a_first_article() -> None:
    before, after = planned({"first": FIRST}), planned({"first": FIRST}, revision="A4")
    passed = {"type": "inspected", "sample_id": "s", "values": {"bore": 40.0, "flatness": 1.0}}
    state, _ = played(before, [loaded("PO-1"), passed, loaded("PO-2")])
    assert shown(before, state)["open"] == []
    state, (opened,) = played(after, [loaded("PO-3")], state)
    assert (opened.type, opened.body["specification"]) == ("inspection-opened", "housing-a/mill/A4")


def test_a_lost_clock_opens_no_inspection_by_time() -> None:
    plant = planned({"hourly": {"when": "per-time", "every_min": 60}})
    made = {"type": "counted", "good": 1, "scrap": 0, "item": "housing-a"}
    rows = [loaded("PO-1"), {**made, "at_ms": 2**52}, {**made, "at_ms": EARLY_MS + HOUR_MS - 1}]
    assert played(plant, rows)[1] == []
    _, outputs = played(plant, [*rows, {**made, "at_ms": EARLY_MS + HOUR_MS}])
    assert [o.type for o in outputs] == ["inspection-opened"]


def test_no_more_are_open_than_the_bound_and_the_rest_is_counted() -> None:
    plant = planned({"lot": {"when": "per-lot", "by_hand": True}})
    lot = {"type": "produced", "quantity": 5, "unit": "pcs", "item": "housing-a"}
    state, _ = played(plant, ({**lot, "lot": f"H-{n}"} for n in range(OPEN_MAX + 4)))
    document = shown(plant, state)
    assert len(document["open"]) + document["omitted"] == OPEN_MAX
    assert document["missed"] == 3


def test_not_more_orders_wait_than_the_bound() -> None:
    plant = planned({"first": {**FIRST, "by_hand": True}})
    state, _ = played(plant, (loaded(f"PO-{n}") for n in range(WAITING_MAX + 4)))
    assert shown(plant, state)["gates"] == [waiting(f"PO-{n}") for n in range(WAITING_MAX)]


def test_the_longest_ids_leave_the_document_within_its_bound() -> None:
    plant = planned({f"p{n}": {**FIRST, "by_hand": True} for n in range(OPEN_MAX)})
    names = [f"{n}".ljust(IDENTIFIER_LENGTH_MAX, "\N{PILE OF POO}") for n in range(9)]
    state, _ = played(plant, map(loaded, names))
    assert len(encode_document(shown(plant, state))) <= DOCUMENT_BYTES_MAX


def a_record(**fields: Any) -> AskForInspection:
    body = {"request_id": "r-1", "inspection_id": "i-1", **fields}
    return AskForInspection.model_validate(body)


def test_what_is_recorded_at_a_cell_becomes_a_fact() -> None:
    topic = parse_topic(f"{MILL}/_cmd/inspection/record")
    command = a_record(values={"bore": 40.0}, gauge="plug", actor="anna")
    fact = asked(topic, command, EARLY_MS, DAYS)
    assert not isinstance(fact, Refused)
    assert (fact.path, fact.type) == (MILL, "inspection-commanded")
    assert fact.body["values"] == {"bore": 40.0}
    assert fact.body["command"] == "record"


@pytest.mark.parametrize(
    ("name", "fields", "said"),
    [
        ("record", {}, "needs one of values, nonconforming"),
        ("cancel", {"values": {"bore": 1.0}}, "takes no values"),
        ("resume", {"gauge": "plug"}, "takes no gauge"),
    ],
)
def test_what_cannot_be_understood_is_refused(name: str, fields: Row, said: str) -> None:
    topic = parse_topic(f"{MILL}/_cmd/inspection/{name}")
    refused = asked(topic, a_record(**fields), EARLY_MS, DAYS)
    assert isinstance(refused, Refused)
    assert said in refused.reason


def test_what_operations_wait_for_is_one_fact_a_change() -> None:
    plant = planned({"first": {**FIRST, "by_hand": True}, "also": {**FIRST, "gate": False}})
    state, _ = played(plant, [loaded("PO-1"), loaded("PO-2")])
    document = shown(plant, state)
    (fact,) = gated(MILL, document, EARLY_MS, DAYS)
    assert fact.body == {"orders": [waiting("PO-1"), waiting("PO-2")]}
    assert gated(MILL, document, EARLY_MS + 1, DAYS)[0].business_key == fact.business_key
    ended = {**document, "gates": []}
    (cleared,) = gated(MILL, ended, EARLY_MS, DAYS)
    assert cleared.body == {"orders": []}
    assert cleared.business_key != fact.business_key
    rows = ({"type": fact.type, **one.body} for one in (fact, cleared))
    both = numbered({"at_ms": EARLY_MS, "path": MILL, **row} for row in rows)
    assert all(isinstance(event, OperationGated) for event in both)
    assert gated(MILL, {"summary": "no inspections"}, EARLY_MS, DAYS) == []


def test_values_and_defects_as_they_are_typed() -> None:
    assert measured(["bore=40.01", "flatness=3"]) == {"bore": 40.01, "flatness": 3.0}
    assert measured([]) is None
    assert defects([]) is None
    assert defects(["scratch", "dent@flange=3"]) == [
        {"code": "scratch", "count": 1},
        {"code": "dent", "place": "flange", "count": 3},
    ]
    for wrong in ("bore", "bore=x"):
        with pytest.raises(UsageError, match="no value"):
            measured([wrong])
    for wrong in ("@flange", "dent=x"):
        with pytest.raises(UsageError, match="no defect"):
            defects([wrong])


def test_a_sampling_plan_at_a_terminal(uns: Cli) -> None:
    plan = uns("sampling", "plan", "--lot", 1200, "--level", "II", "--aql", "0.65", "--json").json
    assert (plan["code_letter"], plan["size"], plan["accept"], plan["reject"]) == ("J", 80, 1, 2)
    assert plan["accepted_at_aql"] == 0.904158
    told = uns("sampling", "plan", "--lot", 40, "--aql", 4, "--state", "reduced").out
    assert "code letter D, by arrows to E" in told
    assert "inspect 5 of 40, accept with 0, not with 2" in told
    assert "in between: accept" in told
    assert "no AQL '3': use one of" in uns.fails(2, "sampling", "plan", "--lot", 40, "--aql", 3)
    poisson = uns("sampling", "plan", "--lot", 40, "--aql", 25, "--json").json
    assert poisson["distribution"] == "poisson"
    asked_wrongly = ("--aql", 25, "--distribution", "binomial")
    assert "that is poisson" in uns.fails(2, "sampling", "plan", "--lot", 40, *asked_wrongly)
