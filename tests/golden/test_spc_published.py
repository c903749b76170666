"""Charts, capability and rules against published results, to the last digit that was printed.

Each file under spc/published names its source. Numbers are kept as they were printed.
"""

import json
from collections.abc import Iterator
from decimal import Decimal
from functools import reduce
from pathlib import Path
from typing import Any

import pytest

from uns.model.spc.capability import Tolerance, capability
from uns.model.spc.limits import Basis, Subgroup, estimate, given, measured
from uns.model.spc.points import Drawn, drawn, panel_lines
from uns.model.spc.settings import Chart, GivenLimits

ROOT = Path(__file__).parent / "spc"
FILES = sorted((ROOT / "published").glob("*.json"))
RULES: list[dict[str, Any]] = json.loads((ROOT / "rules.json").read_text())["cases"]
WANTED = {"xbar-r", "xbar-s", "i-mr", "p", "np", "c", "u", "ewma", "cusum"}


def is_printed(value: float, text: str) -> bool:
    """Whether a value is what was printed: within half of its last digit; `0` is a bound."""
    if text == "0":
        return value == 0
    printed = Decimal(text)
    half = Decimal(5).scaleb(int(printed.as_tuple().exponent) - 1)
    return abs(Decimal(value) - printed) <= half * (1 + Decimal("1e-9"))


def subgroups(case: dict[str, Any]) -> list[Subgroup]:
    if "samples" in case:
        return [measured(sample) for sample in case["samples"]]
    sizes = case.get("sizes") or [case["size"]] * len(case["counts"])
    return [Subgroup(size, count) for size, count in zip(sizes, case["counts"], strict=True)]


def solved(case: dict[str, Any]) -> tuple[Chart, Basis, list[Drawn]]:
    """The chart of a case: limits of phase I without its exclusions, all points drawn."""
    chart = Chart.model_validate(case["chart"])
    found, out = subgroups(case), case.get("excluded", [])
    kept = [one for n, one in enumerate(found, 1) if n <= case["phase_one"] and n not in out]
    basis = given(chart) or estimate(chart, kept)
    return chart, basis, drawn(chart, basis, found)


def lookup(chart: Chart, basis: Basis, at: Drawn, name: str) -> float:
    """A figure by its name in a file: `centre` and `sigma`, or of a panel: `xbar.upper`."""
    panel, _, line = name.rpartition(".")
    if not panel:
        return float(getattr(basis, line))
    lines = {str(key): value for key, value in panel_lines(chart, basis, at).items()}
    return float(getattr(lines[panel], line))


def wrong(case: dict[str, Any]) -> Iterator[str]:
    chart, basis, points = solved(case)
    wanted = [(points[-1], case["printed"])]
    wanted += [(points[int(n) - 1], printed) for n, printed in case.get("at", {}).items()]
    for point, printed in wanted:
        for name, text in printed.items():
            value = lookup(chart, basis, point, name)
            if not is_printed(value, text):
                yield f"{name} at point {point.place}: {value!r} instead of {text}"


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_limits_are_those_that_were_published(file: Path) -> None:
    case = json.loads(file.read_text())
    assert case["source"]
    assert list(wrong(case)) == []


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_points_and_what_they_break_are_those_that_were_published(file: Path) -> None:
    case = json.loads(file.read_text())
    chart, _, points = solved(case)
    for panel, printed in case.get("values", {}).items():
        number = [str(one) for one in chart.panels].index(panel)
        values = [point.values[number] or 0.0 for point in points]
        pairs = zip(values, printed, strict=True)
        assert [text for value, text in pairs if not is_printed(value, text)] == []
    if "broken" in case:
        found = dict[str, list[int]]()
        for point in points:
            for one in point.broken:
                found.setdefault(f"{one.panel} {one.rule}", []).append(point.place)
        assert found == case["broken"]


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_capability_is_what_was_published(file: Path) -> None:
    case = json.loads(file.read_text())
    chart, basis, points = solved(case)
    kept = [point.subgroup for point in points[: case["phase_one"]]]
    for one in case.get("capability", []):
        found = capability(
            kept, basis.sigma, Tolerance(one["lower"], one["upper"], one.get("target"))
        )
        assert not isinstance(found, str)
        for name, text in one["printed"].items():
            path = name.split(".") if "." in name else [name, "value"]
            value = reduce(lambda at, key: getattr(at, key, at), path, found)
            assert is_printed(float(str(value)), text), (chart.kind, name, value, text)


@pytest.mark.parametrize("case", RULES, ids=lambda case: f"{case['rule']}:{len(case['values'])}")
def test_rules_fire_where_they_were_published_to(case: dict[str, Any]) -> None:
    standard = GivenLimits(version="1", centre=0, sigma=1)
    chart = Chart(kind="i-mr", rules=(case["rule"],), limits=standard)
    points = drawn(chart, Basis(0.0, 1.0), [measured([value]) for value in case["values"]])
    found = [p.place for p in points if any(one.rule == case["rule"] for one in p.broken)]
    assert found == case["points"]


def test_every_kind_of_chart_has_published_results() -> None:
    assert {json.loads(file.read_text())["chart"]["kind"] for file in FILES} == WANTED
