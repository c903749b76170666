"""The id of a policy changes with every rule that changes a number, and only then."""

from itertools import product
from typing import Any

import pytest

from tests.example import HOUSING, MILL, plant
from tests.golden.cases import merged
from uns.model.plant import Plant
from uns.model.policy import Policy, counted_unknown
from uns.model.reckoning import line_policy_id, method_of, policy_id, reckoned_at

ID = "iso22400-bottleneck-1"


def changed(line: dict[str, Any], policy: dict[str, Any] | None = None) -> Plant:
    lines = {"areas": {"machining": {"lines": {"housing": line}}}}
    patch = {"policy": policy or {}, "sites": {"berlin": lines}}
    return Plant.model_validate(merged(plant().model_dump(mode="json"), patch))


def test_the_defaults_have_the_plants_own_word() -> None:
    assert policy_id(plant(), plant().cells[MILL]) == ID
    assert line_policy_id(plant(), plant().cells[MILL]) == ID


def test_no_two_rules_share_an_id() -> None:
    counting = ("excluded", "counted")
    micro: tuple[dict[str, Any], ...] = ({}, {"cells": {"mill": {"micro_stop_ms": 2_000}}})
    lines: list[dict[str, Any]] = [
        {},
        {"line_method": "key-cell", "key_cell": "saw"},
        {"line_method": "key-cell", "key_cell": "mill"},
        {"line_method": "first-down"},
        {"line_method": "parallel", "running_min": 1},
        {"line_method": "parallel", "running_min": 2},
    ]
    ids = list[str]()
    for planned, unknown, cell, line in product(counting, counting, micro, lines):
        one = changed({**cell, **line}, {"planned_stops": planned, "unknown_time": unknown})
        ids.append(line_policy_id(one, one.cells[MILL]))
        assert counted_unknown(ids[-1]) == (unknown == "counted")
    by_saw = sum("key-cell-saw" in one for one in ids)
    assert len(set(ids)) == len(ids) - by_saw // 2  # the threshold of the mill is not the saw's


def test_lateness_is_no_rule_of_a_number() -> None:
    assert Policy(lateness_ms_max=0).policy_id() == Policy().policy_id()


@pytest.mark.parametrize(
    ("line", "method", "path"),
    [
        ({}, "bottleneck", MILL),
        ({"line_method": "key-cell", "key_cell": "wash"}, "key-cell", f"{HOUSING}/wash"),
        ({"line_method": "first-down"}, "first-down", HOUSING),
        ({"line_method": "parallel"}, "parallel", HOUSING),
    ],
)
def test_a_line_is_reckoned_at_one_place(line: dict[str, Any], method: str, path: str) -> None:
    one = changed(line)
    assert method_of(one, one.lines[HOUSING][0].line) == method
    assert reckoned_at(one, HOUSING).path == path


def test_a_piece_of_parallel_cells_is_worth_its_share_of_the_lines_time() -> None:
    one = changed({"line_method": "parallel", "running_min": 2})
    assert reckoned_at(one, HOUSING).cell.ideal_cycle_ms["housing-a"] == 500
    assert one.cells[MILL].cell.ideal_cycle_ms["housing-a"] == 1_000
