"""`make faults`: the figures that the fault tests found, as the matrix in docs/reliability.md.

Owns the matrix between two marks in the page; the words around it are written by people. Reads the
results, one JSON line a run: of each way to inject a fault the newest full run counts. Knows no
fault but by name.
"""

import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

ROOT: Final = Path(__file__).parents[1]
RESULTS: Final = ROOT / "docs" / "reliability.jsonl"
PAGE: Final = ROOT / "docs" / "reliability.md"
BEGIN: Final = "<!-- matrix: written by tools/reliability.py -->"
END: Final = "<!-- end of the matrix -->"
FAULTS: Final[Mapping[str, str]] = {
    "F1": "processors: kill -9 at random",
    "F2": "runner, historian, source: a crash at every step",
    "F3": "broker: kill -9, its default persistence",
    "F3b": "the same without an outbox at the source",
    "F5": "power cut of broker, outboxes and store",
    "F6": "store down while events queue",
    "F7": "disk full",
    "F9": "partition and half-open connections",
    "F10": "slow and broken-up network",
    "F11": "two live instances, zombie owners",
    "F12": "clock jumps",
    "F13": "duplicates, reordering, late facts",
    "F24": "all of it in simulated time, by seeds (`make sim`)",
}
VERDICT: Final = {True: "holds", False: "**fails**"}
Row = Mapping[str, Any]


def newest(results: Path = RESULTS) -> list[Row]:
    """The newest full run of each fault; of one that was injected in several ways, of each way."""
    if not results.exists():
        return []
    rows = map(json.loads, results.read_text(encoding="utf-8").splitlines())
    full = (row for row in rows if row["profile"] == "full")
    return list({(row["fault"], row["injected"]): row for row in full}.values())


def matrix(rows: Sequence[Row]) -> Iterator[str]:
    """The lines of the table, in the order of FAULTS, then of whatever else was run."""
    yield "| | fault | figures | verdict | day |"
    yield "|---|---|---|---|---|"
    others = sorted({row["fault"] for row in rows} - FAULTS.keys())
    for fault in [*FAULTS, *others]:
        ran = [row for row in rows if row["fault"] == fault]
        yield from map(_shown_run, ran) if ran else [_not_run(fault)]


def _not_run(fault: str) -> str:
    return f"| {fault} | {FAULTS[fault]} | no full run yet |  |  |"


def _shown_run(row: Row) -> str:
    verdict = VERDICT[row["passed"]]
    cells = row["fault"], row["injected"], _figures(row["figures"]), verdict, row["day"]
    return f"| {' | '.join(cells)} |"


def written(page: str, lines: Sequence[str]) -> str:
    """The page with the matrix between its marks. ValueError: the marks are not there."""
    before, begin, rest = page.partition(BEGIN)
    _old, end, after = rest.partition(END)
    if not (begin and end):
        raise ValueError(f"the page has no {BEGIN} ... {END}")
    return "\n".join((before + begin, *lines, end + after))


def _figures(figures: Mapping[str, Any]) -> str:
    return ", ".join(f"{name.replace('_', ' ')} {_shown(value)}" for name, value in figures.items())


def _shown(value: object) -> str:
    if isinstance(value, bool):
        return "equal" if value else "**different**"
    return f"{value:,}" if isinstance(value, int | float) else str(value)


def main() -> int:
    """Write the matrix, and print it; 1 if a fault was not survived."""
    rows = newest()
    lines = list(matrix(rows))
    PAGE.write_text(written(PAGE.read_text(encoding="utf-8"), lines), encoding="utf-8")
    print("\n".join(lines))
    return int(not all(row["passed"] for row in rows))


if __name__ == "__main__":
    sys.exit(main())
