"""`make boards`: the demo plant for a time, then every query of every board, and the report drawn.

The demo runs as people run it, on TimescaleDB (PostgreSQL where there is none): ten minutes at
speed 60 are ten hours, and a change of shift is among them. Somebody sends one order for an item
that nobody makes, because refused input is what some panels are about. What came of it stays in a
folder: findings.json, report.html, its pictures and the logs. Exit code 1: a query is wrong, slow
or empty.
"""

import argparse
import json
import re
import subprocess
import sys
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from html import unescape
from pathlib import Path
from typing import Any, Final

from tools import browser, timescale
from tools import postgres as tools_postgres
from tools.ground import ROOT, SetupError
from tools.postgres import Installation, Server

Finding = Mapping[str, Any]
WIDTHS: Final = (1280, 800)
FIRST_LOOK: Final = 800
HEIGHT_MAX: Final = 16_000
BAD_ORDER: Final = {"order_id": "PO-typo", "item": "housing-of-nobody", "quantity": 5}
STOP_S_MAX: Final = 180
TALLNESS: Final = """<script>
document.body.textContent = `height ${document.documentElement.scrollHeight}`;
</script></body>"""


def main() -> None:
    """Run, ask, draw; say where it is kept."""
    asked = arguments()
    browser.chromium()  # without it ten minutes were for nothing
    folder: Path = asked.out or ROOT / ".cache" / "boards" / f"{datetime.now(UTC):%Y%m%dT%H%M%S}"
    folder.mkdir(parents=True)
    with Server(installation()) as server:
        run_demo(folder, server.dsn, asked.minutes, asked.speed)
        shown = f"{round(asked.minutes * asked.speed)}m"
        found = findings(folder, shown, asked.slow_ms)
        uns(folder, "report", "--from", shown, "--out", str(folder / "report.html"))
    print(table(found))
    pictures = list(drawn(folder / "report.html"))
    wrong = [one for one in found if not is_fine(one)]
    print(f"{len(found)} queries, {len(wrong)} are not as they should be; {len(pictures)} pictures")
    print(f"kept in {folder}")
    sys.exit(bool(wrong))


def arguments() -> argparse.Namespace:
    """What is asked for."""
    parser = argparse.ArgumentParser(prog="python -m bench.boards")
    parser.add_argument("--minutes", type=float, default=10, help="of wall time")
    parser.add_argument("--speed", type=float, default=60, help="plant seconds per second")
    parser.add_argument("--slow-ms", type=int, default=1_000, help="what takes longer is slow")
    parser.add_argument("--out", type=Path, help="a folder to make (default: in .cache/boards)")
    return parser.parse_args()


def installation() -> Installation:
    """TimescaleDB, else PostgreSQL; raises SetupError where there is neither."""
    try:
        return timescale.installation()
    except SetupError as error:
        print(f"on PostgreSQL: {error}")
        return tools_postgres.installation()


def run_demo(folder: Path, dsn: str, minutes: float, speed: float) -> None:
    """Run it to its end; the bad order comes in the middle."""
    half_s = minutes * 30
    options = ("--speed", f"{speed:g}", "--duration", f"{2 * half_s:g}", "--store", dsn, "--json")
    with (folder / "demo.log").open("wb") as log, (folder / "summary.json").open("wb") as summary:
        demo = subprocess.Popen(command(folder, "demo", *options), stdout=summary, stderr=log)
        try:
            with suppress(subprocess.TimeoutExpired):
                sys.exit(f"the demo ended with {demo.wait(half_s)}: see {log.name}")
            order = folder / "typo.json"
            order.write_text(json.dumps(BAD_ORDER))
            order.rename(folder / "data" / "erp" / "in" / order.name)
            if code := demo.wait(half_s + STOP_S_MAX):
                sys.exit(f"the demo ended with {code}: see {log.name}")
        finally:
            demo.terminate()
            demo.wait()


def command(folder: Path, *words: str) -> list[str]:
    """A command line of `uns` about this run."""
    program = Path(sys.executable).with_name("uns")
    return [str(program), *words, "--data", str(folder / "data")]


def uns(folder: Path, *words: str) -> str:
    """What a command prints; it may find something wrong."""
    done = subprocess.run(command(folder, *words), stdout=subprocess.PIPE, text=True, check=False)
    return done.stdout


def findings(folder: Path, shown: str, slow_ms: int) -> list[Finding]:
    """What `uns grafana verify` says of the whole time; kept as findings.json."""
    words = ("grafana", "verify", "--from", shown, "--slow-ms", str(slow_ms), "--json")
    found = uns(folder, *words)
    (folder / "findings.json").write_text(found)
    told: list[Finding] = json.loads(found)
    return told


def is_fine(found: Finding) -> bool:
    """Whether a query answers in time with something; a rule has a row for what is wrong only."""
    told = found["verdict"]
    return bool(told == "ok" or (told == "empty" and found["kind"] == "rule"))


def table(found: Sequence[Finding]) -> str:
    """The findings for people."""
    rows = [("board", "query", "rows", "ms", "verdict", "why")]
    for f in found:
        query = f"{f['kind']} {f['title']}"
        rows.append((f["board"], query, f["rows"], f["took_ms"], f["verdict"], f["why"]))
    told = [[str(cell) for cell in row] for row in rows]
    widths = [max(len(row[n]) for row in told) for n in range(len(told[0]))]
    return "\n".join("  ".join(map(str.ljust, row, widths)).rstrip() for row in told)


def drawn(report: Path) -> Iterable[Path]:
    """The pictures of the whole report, in windows of some widths."""
    for width in WIDTHS:
        picture = report.with_name(f"report-{width}.png")
        browser.screenshot(report, picture, (width, tallness(report, width)))
        yield picture


def tallness(report: Path, width: int) -> int:
    """How many pixels the whole page takes from top to bottom."""
    tried = report.with_name("measured.html")
    tried.write_text(report.read_text().replace("</body>", TALLNESS))
    found = re.search(r"height (\d+)", unescape(browser.content_after(tried, (width, FIRST_LOOK))))
    tried.unlink()
    return min(int(found[1]), HEIGHT_MAX) if found else FIRST_LOOK


if __name__ == "__main__":
    main()
