"""The processor's edges: settings that change, orders, decisions, bounds, what it leaves out."""

from collections.abc import Iterable
from typing import Any

import pytest
from pydantic import TypeAdapter

from bridges.desk.mapping import Refused, asked
from processors.spc import build
from processors.spc.state import POINTS_KEPT, LineCharts
from tests.example import EARLY_MS, HOUSING, MILL, numbered, plant
from tests.golden.cases import merged
from uns.codec import BYTES_MAX, Codec, Message
from uns.fold import Document, Draft, advance
from uns.model.checks import cross_checks
from uns.model.commands import AskForChart
from uns.model.events import IDENTIFIER_LENGTH_MAX
from uns.model.observation import Fact, Reading
from uns.model.path import parse_topic
from uns.model.plant import Plant
from uns.model.signals import Memory, derive
from uns.model.spc.settings import CHARTS_OF_LINE_MAX, PHASE_ONE_MAX

Row = dict[str, Any]
TOPIC = f"{MILL}/_state/spc/bore/housing-a"
GIVEN = {"version": "A", "centre": 40.0, "sigma": 0.01}


def charting(chart: Row | None, **more: Any) -> Plant:
    """The example plant with another chart of the bore, or none."""
    bore = {"chart": chart and {"limits": None, **chart}, **more}
    mill = {"characteristics": {"bore": bore}}
    patch = {"items": {"housing-a": {"specifications": {"mill": mill}}}}
    return Plant.model_validate(merged(plant().model_dump(mode="json"), patch))


def measured(values: Iterable[float | None], start: int = 0, **more: Any) -> list[Row]:
    return [
        {
            "type": "inspected",
            "path": MILL,
            "at_ms": EARLY_MS + n * 1_000,
            "sample_id": f"s{n}",
            "values": {"bore": value},
            "item": "housing-a",
            **more,
        }
        for n, value in enumerate(values, start)
    ]


def command(name: str, n: int, **more: Any) -> Row:
    asked_for = {"command": name, "characteristic": "bore", "item": "housing-a", "reason": "x"}
    where = {"type": "chart-commanded", "path": MILL, "at_ms": EARLY_MS + n * 1_000}
    return {**where, "request_id": f"r-{n}", **asked_for, **more}


def folded(
    of_plant: Plant, rows: list[Row], state: LineCharts | None = None
) -> tuple[LineCharts, list[Draft]]:
    processor, outputs = build(of_plant), list[Draft]()
    state = state or processor.initial(HOUSING)
    for event in numbered(rows):
        step = advance(processor, state, event)
        state, outputs = step.state, [*outputs, *step.outputs]
    return state, outputs


def shown(of_plant: Plant, state: LineCharts) -> Document:
    return build(of_plant).documents(state)[TOPIC]


def kinds(outputs: list[Draft]) -> list[str]:
    return [draft.type for draft in outputs]


def test_other_settings_begin_a_chart_anew_and_its_numbers_go_on() -> None:
    first = charting({"kind": "i-mr", "limits": GIVEN})
    state, _ = folded(first, measured([40.0, 40.01, 39.99]))
    second = charting({"kind": "i-mr", "limits": {**GIVEN, "version": "B"}})
    assert TOPIC not in build(second).documents(state)
    state, _ = folded(second, measured([40.0], 3), state)
    document = shown(second, state)
    assert document["limits"]["version"] == "B"
    assert [point["point"] for point in document["points"]] == [4]


def test_a_characteristic_without_a_chart_has_no_document() -> None:
    bare = charting(None)
    state, outputs = folded(bare, measured([40.0, 41.0]))
    assert (state.charts, outputs, build(bare).documents(state)) == ({}, [], {})


def test_a_sample_is_of_what_the_cell_has_loaded() -> None:
    loaded = {"type": "loaded", "path": MILL, "at_ms": EARLY_MS}
    rows = [{**loaded, "item": "housing-a", "order_id": "PO-7"}, *measured([40.05], item=None)]
    _, outputs = folded(charting({"kind": "i-mr", "limits": GIVEN}), rows)
    assert outputs[0].body["order_id"] == "PO-7"
    assert outputs[0].body["item"] == "housing-a"


def test_another_cell_of_the_item_has_no_such_chart() -> None:
    rows = [{**row, "path": f"{HOUSING}/saw"} for row in measured([99.0])]
    state, outputs = folded(plant(), rows)
    assert (state.charts, outputs) == ({}, [])


def test_an_alert_is_told_once_until_the_chart_is_in_control_again() -> None:
    chart = charting({"kind": "i-mr", "limits": GIVEN, "rules": ["nelson-1"]})
    _, outputs = folded(chart, measured([40.0, 40.031, 40.031, 40.0, 40.0, 39.969]))
    alerts = [draft.body["evidence"]["point"] for draft in outputs if draft.type == "alert"]
    assert alerts == [2, 6]
    assert kinds(outputs).count("spc-violated") == 3


def test_capability_is_refused_while_a_shown_point_is_out_of_control() -> None:
    chart = charting({"kind": "i-mr", "limits": GIVEN, "rules": ["nelson-1"]})
    calm = [40.0, 40.01] * POINTS_KEPT
    state, _ = folded(chart, measured([40.031, *calm[:3]]))
    assert "point 1 of x breaks nelson-1" in shown(chart, state)["capability"]["refused"]
    state, _ = folded(chart, measured([40.031, *calm]))
    capable = shown(chart, state)["capability"]
    assert capable["n"] == POINTS_KEPT
    assert capable["warning"] is None
    assert capable["cp"]["low"] < capable["cp"]["value"] < capable["cp"]["high"]


def test_counts_have_no_capability() -> None:
    chart = charting({"kind": "c", "limits": {"version": "1", "centre": 4.0, "sigma": None}})
    state, outputs = folded(chart, measured([4.0, 11.0]))
    assert shown(chart, state)["capability"] is None
    assert "spc-violated" in kinds(outputs)


def test_phase_one_may_be_frozen_before_it_is_full_and_needs_two_points() -> None:
    chart = charting({"kind": "i-mr", "phase_one": 10})
    _, outputs = folded(chart, [*measured([40.0]), command("freeze", 1)])
    assert outputs[-1].body["outcome"] == "refused"
    rows = [*measured([40.0, 40.01, 40.0]), command("freeze", 3), *measured([40.0], 4)]
    state, outputs = folded(chart, rows)
    assert kinds(outputs) == ["limits-frozen", "reply"]
    assert outputs[0].body["points"] == 3
    assert shown(chart, state)["in_control"] is True


def test_limits_of_the_plant_are_not_decided_by_command() -> None:
    chart = charting({"kind": "i-mr", "limits": GIVEN})
    _, outputs = folded(chart, [*measured([40.0]), command("restart", 1)])
    assert outputs[0].body["reason"] == "its limits A are of namespace.yaml"


def test_a_decision_about_nothing_is_refused_with_why() -> None:
    chart = charting({"kind": "i-mr"})
    rows = [command("freeze", 1), command("freeze", 2, characteristic="bor")]
    _, outputs = folded(chart, rows)
    reasons = [draft.body["reason"] for draft in outputs]
    assert reasons[0] == "it has no point yet"
    assert "did you mean 'bore'?" in reasons[1]


def test_an_excluded_point_does_not_count_while_phase_one_is_open() -> None:
    chart = charting({"kind": "i-mr", "phase_one": 3})
    rows = [*measured([40.0, 49.0]), command("exclude", 2, points=[2]), *measured([40.01], 3)]
    state, outputs = folded(chart, rows)
    assert kinds(outputs) == ["reply"]
    assert shown(chart, state)["summary"].endswith("phase I, 2 of 3 points")
    _, outputs = folded(chart, [*rows, *measured([40.0], 4)])
    assert outputs[-1].type == "limits-frozen"
    assert outputs[-1].body["centre"] == pytest.approx(40.01 / 3 + 80 / 3)
    assert [one["point"] for one in outputs[-1].body["excluded"]] == [2]


@pytest.mark.parametrize("value", [1e13, -1e13])
def test_a_value_beyond_any_measurement_is_impossible(value: float) -> None:
    state, outputs = folded(plant(), measured([value]))
    assert outputs == []
    assert shown(plant(), state)["left_out"] == {"impossible": 1}


def test_a_line_full_of_charts_fits_its_resume_document() -> None:
    chart = charting({"kind": "xbar-r", "n": 2, "phase_one": PHASE_ONE_MAX})
    values = [40 + n % 7 / 3_000 + (n > 2 * PHASE_ONE_MAX) * n / 7 for n in range(160)]
    long = [
        {**row, "sample_id": f"{n:03}".ljust(IDENTIFIER_LENGTH_MAX, "x")}
        for n, row in enumerate(measured(values))
    ]
    state, _ = folded(chart, long)
    (one,) = state.charts.values()
    assert any(point.drawn.broken for point in one.points)
    full = state.model_copy(update={"charts": {f"{n}": one for n in range(CHARTS_OF_LINE_MAX)}})
    assert len(TypeAdapter(LineCharts).dump_json(full)) < BYTES_MAX["_hub"]


def test_more_charts_than_a_line_can_follow_are_found_in_the_file() -> None:
    crowded = plant().model_dump(mode="json")
    mill = crowded["items"]["housing-a"]["specifications"]["mill"]["characteristics"]
    for n in range(CHARTS_OF_LINE_MAX):
        mill[f"bore_{n}"] = mill["bore"]
    mill["holes"] = {"unit": "pcs", "chart": {"kind": "u", "size": "areas"}}
    found = [said for _, said in cross_checks(Plant.model_validate(crowded), {})]
    assert any("18 charts at berlin/machining/housing: at most 16" in said for said in found)
    assert any(said.startswith("unknown characteristic 'areas'") for said in found)


def test_a_value_of_uncertain_quality_is_said_to_be_so() -> None:
    place = plant().cells[MILL]
    readings = [Reading(MILL, "bore", 40.0, EARLY_MS, "uncertain"), Reading(MILL, "sample", 1, 1)]
    memory, _ = derive(place, plant().items, Memory(), [Reading(MILL, "sample", 0, 0)])
    memory, facts = derive(place, plant().items, memory, readings)
    assert facts[0].body["uncertain"] == ["bore"]
    sure = [Reading(MILL, "bore", 40.0, EARLY_MS), Reading(MILL, "sample", 2, 2)]
    _, facts = derive(place, plant().items, memory, sure)
    assert "uncertain" not in facts[0].body


def test_the_desk_takes_decisions_at_a_cell_with_their_fields() -> None:
    body = b'{"request_id":"r-1","characteristic":"bore","item":"housing-a","reason":"drift"%s}'
    points = b',"points":[3]'

    def said(topic: str, payload: bytes) -> Fact | Refused:
        message = Codec(plant()).decode(topic, payload)
        assert isinstance(message, Message), message
        assert isinstance(message.value, AskForChart)
        return asked(parse_topic(topic), message.value, EARLY_MS, 30)

    fact = said(f"{MILL}/_cmd/chart/exclude", body % points)
    assert isinstance(fact, Fact)
    assert (fact.type, fact.path, tuple(fact.body["points"])) == ("chart-commanded", MILL, (3,))
    assert said(f"{MILL}/_cmd/chart/exclude", body % b"") == Refused("chart/exclude needs points")
    refused = said(f"{MILL}/_cmd/chart/restart", body % points)
    assert refused == Refused("chart/restart takes no points")
    assert isinstance(said(f"{HOUSING}/_cmd/chart/restart", body % b""), Refused)
