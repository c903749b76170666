"""Every requirement of Sparkplug 3.0 has a test, or says why it has none."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

from tools.conformance import (
    PAGE,
    ROOT,
    Requirement,
    _marked,
    counts,
    faults,
    page,
    requirements,
    shown,
)

SPECIFIED = 299
"""Testable statements of the specification 3.0.0."""

ROWS = requirements()
SHOWN = shown()
MUST = Requirement("a", "edge", "MUST", "x", "test", "")
TESTED = {"a": ["tests/test_a.py::test_a"]}


def test_every_requirement_is_tested_or_says_why_not() -> None:
    assert faults(ROWS, SHOWN) == []


def test_the_table_is_complete() -> None:
    assert len(ROWS) == SPECIFIED
    assert counts(ROWS, SHOWN)["untested"] == 0


def test_the_page_is_what_table_and_marks_say() -> None:
    assert PAGE.read_text(encoding="utf-8") == page(ROWS, SHOWN), "make docs writes it anew"


@pytest.mark.parametrize(
    ("rows", "tests", "fault"),
    [
        ([MUST], {}, "a: MUST without a test"),
        ([MUST], {**TESTED, "b": ["t"]}, "b: no such id, in t"),
        ([MUST, MUST], TESTED, "a: 2 rows"),
        (
            [MUST._replace(standing="n/a", reason="x")],
            TESTED,
            "a: not applicable, yet shown by tests/test_a.py::test_a",
        ),
        (
            [MUST._replace(standing="deviation")],
            TESTED,
            "a: a reason belongs to n/a and deviation, and to them only",
        ),
        ([MUST._replace(standing="later")], TESTED, "a: standing 'later' is none of"),
    ],
)
def test_a_gap_in_the_table_is_found(
    rows: list[Requirement], tests: dict[str, list[str]], fault: str
) -> None:
    assert faults([MUST], TESTED) == []
    assert any(found.startswith(fault) for found in faults(rows, tests))


def test_marks_are_found_on_functions_classes_parameters_and_modules() -> None:
    source = """
pytestmark = [pytest.mark.tck("whole")]
@pytest.mark.parametrize("x", [pytest.param(1, marks=pytest.mark.tck("one"))])
@pytest.mark.tck("a", "b")
async def test_it(): ...
class TestIt:
    @pytest.mark.tck("c")
    def test_inside(self): ...
"""
    found = {name: sorted(ids) for name, ids in _marked(ast.parse(source)) if ids}
    assert found == {"": ["whole"], "test_it": ["a", "b", "one"], "test_inside": ["c"]}


OUTCOMES = """
import sys, pytest
from tools.conformance import Outcomes
outcomes = Outcomes()
pytest.main(["-q", "-p", "no:cacheprovider", *sys.argv[1:]], plugins=[outcomes])
print(outcomes.counts())
"""


def test_one_failed_test_fails_its_requirements(tmp_path: Path) -> None:
    tests = tmp_path / "test_it.py"
    tests.write_text(
        """
import pytest
@pytest.mark.tck("a", "b")
def test_good(): pass
@pytest.mark.tck("b")
def test_bad(): assert False
@pytest.mark.tck("c")
def test_skipped(): pytest.skip()
"""
    )
    done = subprocess.run(
        [sys.executable, "-c", OUTCOMES, "--rootdir", tmp_path, tests],
        capture_output=True,
        text=True,
        check=True,
        cwd=ROOT,
    )
    assert done.stdout.splitlines()[-1] == "{'passed': 1, 'failed': 1, 'not run': 1}"
