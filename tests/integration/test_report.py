"""`uns report`: one file with the record's figures, drawn so that a browser shows all of it."""

import json
import os
import re
import subprocess
import sys
from html import escape, unescape
from pathlib import Path
from typing import Any, Final, NamedTuple
from zoneinfo import ZoneInfo

import pytest

from dashboards.report import charts
from dashboards.report.drawing import Scale, cut, number_ticks, table, time_ticks
from dashboards.report.facts import Facts, gather
from dashboards.report.page import page
from tests import browser
from tests.plant_history import PlantHistory
from tests.simulated import START_MS, example_plant
from tests.stopped import stopped_hub
from tests.stores import SERVERS, own_database
from uns.historian.history.orders import Order
from uns.historian.history.period import Period
from uns.historian.reader import open_reader
from uns.historian.store import open_store

MINUTE_MS: Final = 60_000
LENGTH_MS: Final = 10 * MINUTE_MS
ASKED: Final = Period(from_ms=START_MS, to_ms=START_MS + LENGTH_MS)
PLANT: Final = example_plant()
HOUR_MS: Final = 60 * MINUTE_MS
SPRING_MS: Final = 1_774_738_800_000
"""Midnight in Berlin before the clock goes forward."""
BERLIN: Final = ZoneInfo("Europe/Berlin")
GREEN, BLUE, VERMILION = (0, 158, 115), (86, 180, 233), (213, 94, 0)
LAYOUT: Final = """
<script>
const outside = [];
for (const svg of document.querySelectorAll("svg[role=img]")) {
  const frame = svg.getBoundingClientRect();
  for (const part of svg.querySelectorAll("text, rect, circle, line")) {
    const is = part.getBoundingClientRect();
    if (is.left < frame.left - 1 || is.right > frame.right + 1 || is.bottom > frame.bottom + 1
        || is.top < frame.top - 1)
      outside.push(`${svg.firstChild.textContent}: ${part.tagName} ${part.textContent}`);
  }
}
const sections = {};
for (const section of document.querySelectorAll("section"))
  sections[section.firstChild.textContent] =
    section.querySelectorAll("svg[role=img] :is(rect, circle, polygon, polyline)").length;
document.body.textContent = JSON.stringify({
  outside, sections, page: document.documentElement.scrollWidth, window: innerWidth,
});
</script>"""
"""What a browser makes of the page: what sticks out of its drawing, and the shapes by section."""


class Told(NamedTuple):
    """A report and what it was made from."""

    facts: Facts
    text: str


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A stopped hub with ten minutes of the example plant in DuckDB."""
    root = tmp_path_factory.mktemp("hub")
    return stopped_hub(root, f"duckdb://{root / 'store.duckdb'}", LENGTH_MS)


@pytest.fixture(scope="module")
def told(hub: Path) -> Told:
    facts = facts_of(f"duckdb://{hub / 'store.duckdb'}")
    return Told(facts, page(facts, "made by a test"))


def facts_of(location: str, asked: Period = ASKED) -> Facts:
    with open_reader(location) as reader:
        return gather(reader, PLANT, asked, list(PLANT.lines))


@pytest.fixture
def file(told: Told, tmp_path: Path) -> Path:
    written = tmp_path / "report.html"
    written.write_text(told.text)
    return written


def test_nothing_is_loaded_and_nothing_runs(told: Told) -> None:
    assert not re.search(r"<script|javascript:|@import|\b(src|href|action)=|\son\w+=", told.text)
    assert set(re.findall(r"url\(([^)]*)\)", told.text)) <= {"#rising", "#dotted"}
    assert not re.search(r"https?://", told.text)
    assert told.text.startswith("<!DOCTYPE html>\n<html lang=")


def test_it_tells_what_the_history_answers(told: Told) -> None:
    facts, text = told
    assert [line.title for line in facts.lines] == ["Pump housings", "Pump assembly", "Packing"]
    for line in facts.lines:
        known = line.oee.total
        assert known.oee
        assert f">{100 * known.oee:.1f} %</text>" in text
        assert f">{100 * known.coverage:.0f} %</text>" in text
        bar = line.stops.bars[0]
        assert f"{bar.stops} stops, {100 * bar.cumulative:.1f} %" in text
    good = sum(line.oee.total.sums["gq"] for line in facts.lines)
    assert f"<b>{good:,}</b>good pieces" in text
    for order in facts.orders.items:
        assert f"{order.good} of {order.quantity}, due" in text
    assert {series.characteristic for series in facts.series} >= {"bore", "weight"}
    assert f"{len(facts.series[0].measurements)} values, mean" in text
    assert f"{facts.health.samples:,} samples" in text
    (bore,) = [chart for chart in facts.controls if chart.characteristic == "bore"]
    assert "bore (mm) of housing-a at mill" in text
    assert f"point {bore.points[-1].number}, " in text


def test_a_browser_draws_it(file: Path, tmp_path: Path) -> None:
    kept = Path(os.environ.get("UNS_ARTEFACTS") or tmp_path)
    picture = browser.screenshot(file, kept / "report.png")
    assert (picture.width, picture.height) == browser.SIZE
    seen = picture.colours()
    for colour in (GREEN, BLUE, VERMILION):
        assert seen[colour] > 2_000, f"{colour} is hardly there"
    assert seen[255, 255, 255] < 0.9 * picture.width * picture.height
    assert len(seen) > 100, "text has shades"


@pytest.mark.parametrize("width", [1280, 800])
def test_nothing_sticks_out(file: Path, width: int) -> None:
    tried = file.with_name("tried.html")
    tried.write_text(file.read_text().replace("</body>", f"{LAYOUT}</body>"))
    found = laid_out(browser.content_after(tried, (width, 800)))
    assert found["outside"] == []
    assert found["page"] <= found["window"]
    shapes = found["sections"]
    drawn = {name: shapes[name] for name in shapes if name != "Namespace health"}
    assert list(shapes)[-1] == "Namespace health"
    assert len(drawn) == 5
    assert min(drawn.values()) > 15, shapes


def laid_out(content: str) -> dict[str, Any]:
    (answer,) = re.findall(r"<body[^>]*>(.*)</body>", content, re.DOTALL)
    found: dict[str, Any] = json.loads(unescape(answer))
    return found


@pytest.mark.parametrize("name", ["<script>alert(1)</script>", "a & b", '"><b>', "x" * 200])
def test_words_from_the_plant_are_only_words(told: Told, name: str) -> None:
    line = told.facts.lines[0]
    renamed = line._replace(title=name, titles=dict.fromkeys(line.titles, name))
    rejects = [(name, 3, START_MS, name)]
    health = told.facts.health._replace(rejects=rejects, silent=[(name, START_MS, name, name)])
    text = page(told.facts._replace(title=name, lines=(renamed,), health=health), name)
    assert set(re.findall(r"<(\w+)", text)) == set(re.findall(r"<(\w+)", told.text))
    assert escape(name) in text
    assert name == escape(name) or name not in text


def test_a_time_without_a_record_says_so(hub: Path) -> None:
    before = Period(from_ms=START_MS - LENGTH_MS, to_ms=START_MS - 1)
    text = page(facts_of(f"duckdb://{hub / 'store.duckdb'}", before), "made by a test")
    assert text.count("Nothing on record in this time.") == 4
    assert "0 % of the time known" not in text
    assert text.count(", 0 %</text>") == len(PLANT.cells), "no state is known"


@pytest.fixture(scope="module")
def short(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The report of three minutes in DuckDB."""
    return three_minutes(str(tmp_path_factory.mktemp("short") / "store.duckdb"))


def three_minutes(location: str) -> str:
    store = open_store(location, lambda: START_MS)
    history = PlantHistory(store)
    history.run(3 * MINUTE_MS)
    store.close()
    asked = Period(from_ms=START_MS, to_ms=history.now_ms)
    return page(facts_of(location, asked), "made by a test")


@pytest.mark.parametrize("kind", SERVERS)
def test_every_store_tells_the_same(servers: dict[str, str], kind: str, short: str) -> None:
    with own_database(servers[kind]) as dsn:
        assert three_minutes(dsn) == short


def uns(*arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    program = Path(sys.executable).with_name("uns")
    return subprocess.run(
        [program, *arguments], capture_output=True, text=True, check=False, cwd=cwd
    )


def test_the_command_writes_a_whole_file(hub: Path, tmp_path: Path) -> None:
    (tmp_path / "report.html").write_text("old")
    done = uns(
        "report", "--from", "15m", "--line", "pump", "--json", "--data", str(hub), cwd=tmp_path
    )
    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout)
    text = (tmp_path / said["file"]).read_text()
    assert (said["lines"], said["bytes"]) == (1, len(text.encode()))
    assert said["to_ms"] - said["from_ms"] == 15 * MINUTE_MS
    assert "Pump assembly" in text
    assert "Packing station" not in text
    assert [path.name for path in tmp_path.iterdir()] == ["report.html"]


@pytest.mark.parametrize(
    ("arguments", "status", "why"),
    [
        (("--from", "1h", "--to", "2h"), 2, "lies behind"),
        (("--line", "nowhere"), 2, "use one of"),
        (("-o", "no/such/folder.html"), 1, "No such file"),
    ],
)
def test_what_cannot_be_is_said_in_a_line(
    hub: Path, tmp_path: Path, arguments: tuple[str, ...], status: int, why: str
) -> None:
    done = uns("report", *arguments, "--data", str(hub), cwd=tmp_path)
    assert (done.returncode, done.stderr.count("\n")) == (status, 1)
    assert why in done.stderr
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("from_ms", "to_ms", "first", "last", "count"),
    [
        (START_MS, START_MS + 20 * MINUTE_MS, "06:50", "07:08", 10),
        (START_MS, START_MS + 8 * HOUR_MS, "07:00", "14:00", 8),
        (START_MS, START_MS + 10 * 86_400_000, "12 Dec", "21 Dec", 10),
        (SPRING_MS, SPRING_MS + 6 * HOUR_MS, "29 Mar", "07:00", 13),
    ],
)
def test_ticks_are_full_local_times(
    from_ms: int, to_ms: int, first: str, last: str, count: int
) -> None:
    ticks = time_ticks(from_ms, to_ms, BERLIN)
    assert (ticks[0].caption, ticks[-1].caption, len(ticks)) == (first, last, count)
    assert all(from_ms <= tick.at <= to_ms for tick in ticks)


def test_an_hour_that_the_clock_leaves_out_has_no_tick() -> None:
    captions = [tick.caption for tick in time_ticks(SPRING_MS, SPRING_MS + 12 * HOUR_MS, BERLIN)]
    assert captions[:4] == ["29 Mar", "01:00", "03:00", "04:00"]


def test_scales_ticks_and_words() -> None:
    assert [t.caption for t in number_ticks(0, 9.7)] == ["0", "2", "4", "6", "8"]
    assert [t.caption for t in number_ticks(3, 3)] == ["3"]
    assert Scale(0, 10, 100, 200).at(20) == 200
    assert Scale(5, 5, 100, 200).at(5) == 100
    assert (cut("abcdef", 20), cut("abc", 20), cut("abc", 3)) == ("ab…", "abc", "")
    drawn = table(("a", "b"), [["12 %", "2026-11-23"], ["-", "x"]])
    assert drawn.count('class="number"') == 3


def order(**more: Any) -> Order:
    empty = dict.fromkeys(Order.model_fields)
    return Order.model_validate({**empty, "order_id": "PO-1", "line": "l", "at_ms": 0, **more})


@pytest.mark.parametrize(
    ("known", "planned"),
    [
        ({}, None),
        ({"due_ms": 200, "started_ms": 0}, 0.5),
        ({"due_ms": 200}, 0.0),
        ({"due_ms": 100}, 1.0),
        ({"due_ms": 200, "started_ms": 150}, 0.0),
        ({"due_ms": 200, "started_ms": 300}, 0.0),
    ],
)
def test_what_the_plan_wants_of_an_order(known: dict[str, int], planned: float | None) -> None:
    assert charts.planned_share(order(**known), 100) == planned
