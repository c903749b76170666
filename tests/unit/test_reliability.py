"""The page of reliability: the newest full run of each fault, between two marks."""

import json
from pathlib import Path

import pytest

from tools.reliability import BEGIN, END, FAULTS, PAGE, matrix, newest, written


def row(day: str, profile: str = "full", *, passed: bool = True, injected: str = "kill -9") -> str:
    figures = {"kills": 1_000, "recovery_p99_s": 2.5, "verify": passed}
    return json.dumps(
        {
            "fault": "F1",
            "injected": injected,
            "passed": passed,
            "figures": figures,
            "profile": profile,
            "day": day,
        }
    )


def test_the_newest_full_run_counts(tmp_path: Path) -> None:
    results = tmp_path / "results.jsonl"
    short = row("2026-01-03", "short")
    results.write_text(f"{row('2026-01-01', passed=False)}\n{row('2026-01-02')}\n{short}\n")
    lines = list(matrix(newest(results)))
    figures = "kills 1,000, recovery p99 s 2.5, verify equal"
    assert lines[2] == f"| F1 | kill -9 | {figures} | holds | 2026-01-02 |"
    assert lines[3] == f"| F2 | {FAULTS['F2']} | no full run yet |  |  |"
    assert len(lines) == 2 + len(FAULTS)


def test_of_a_fault_that_was_injected_in_two_ways_both_are_shown(tmp_path: Path) -> None:
    results = tmp_path / "results.jsonl"
    other = row("2026-01-02", injected="kill -STOP", passed=False)
    results.write_text(f"{other}\n{row('2026-01-01')}\n{row('2026-01-03')}\n")
    lines = list(matrix(newest(results)))
    assert lines[2].startswith("| F1 | kill -STOP |")
    assert lines[3].startswith("| F1 | kill -9 |")
    assert lines[3].endswith("| 2026-01-03 |")


def test_a_fault_that_was_not_survived_stands_out() -> None:
    lines = list(matrix([json.loads(row("2026-01-01", passed=False))]))
    assert "verify **different** | **fails**" in lines[2]


def test_only_the_matrix_is_written_anew() -> None:
    page = f"before\n{BEGIN}\nold\n{END}\nafter\n"
    assert written(page, ["new", "lines"]) == f"before\n{BEGIN}\nnew\nlines\n{END}\nafter\n"
    with pytest.raises(ValueError, match="the page has no"):
        written("no marks", [])


def test_the_page_has_a_place_for_it() -> None:
    page = PAGE.read_text(encoding="utf-8")
    assert written(page, list(matrix(newest()))) == page
