"""The overview's figures on a record made by hand, and the files that the boards are written to."""

import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

import psycopg
import pytest
from ruamel.yaml import YAML

from dashboards.expand import Value, Window, choices, expanded
from dashboards.export import BOARDS, files
from dashboards.model import DATA_SOURCE
from dashboards.plant_overview import PLANT_OVERVIEW
from tests.speech import (
    LINE,
    MILL,
    NOON,
    WASH,
    Sent,
    event,
    new_writer,
    output,
    record,
    resume,
    state,
)
from tests.stores import own_database
from tools.ground import ROOT
from uns.historian.store import open_store
from uns.model.kpi import Sums, oee

MINUTE_MS = 60_000
HOUR = Window(NOON, NOON + 60 * MINUTE_MS, MINUTE_MS)
COMPOSE: dict[str, Any] = YAML(typ="safe").load(ROOT / "docker-compose.yml")
MADE = (
    {"pq": 10, "gq": 8, "sq": 2, "ideal_ms": 6 * MINUTE_MS, "ideal_good_ms": 288_000},
    {"pq": 7, "gq": 7, "ideal_ms": 5 * MINUTE_MS, "ideal_good_ms": 5 * MINUTE_MS},
)
"""Two items with cycles of their own, so that a mean of ratios is not the ratio of sums."""


class Answer(NamedTuple):
    """Rows by column, and the type of each column."""

    types: dict[str, str]
    rows: list[dict[str, Any]]


class Board:
    """The overview as Grafana would ask for it."""

    def __init__(self, dsn: str) -> None:
        self._dsn = dsn
        self.json: dict[str, Any] = PLANT_OVERVIEW.to_json()
        self.during = HOUR
        self.chosen: dict[str, Value] = {}

    def choose_everything(self) -> None:
        """Set each variable to all it offers, in their order."""
        self.chosen = choices(self.json, self.during, lambda sql: self._rows(sql).rows)

    def panel(self, title: str) -> Answer:
        """The answer to a panel's query."""
        (found,) = (panel for panel in self.json["panels"] if panel["title"] == title)
        return self.ask(found["targets"][0]["rawSql"])

    def ask(self, sql: str) -> Answer:
        """The answer to a query with its placeholders filled in."""
        return self._rows(expanded(sql, self.during, self.chosen))

    def _rows(self, query: str) -> Answer:
        with psycopg.connect(self._dsn) as db:
            cursor = db.execute(query.encode())
            columns = {column.name: column.type_display for column in cursor.description or ()}
            rows = [dict(zip(columns, row, strict=True)) for row in cursor.fetchall()]
        return Answer(columns, rows)


def interval(element: str, from_min: int, to_min: int, **more: Any) -> dict[str, Any]:
    """The body of a closed piece of time, in minutes of noon."""
    times = {"start_ms": NOON + from_min * MINUTE_MS, "end_ms": NOON + to_min * MINUTE_MS}
    fixed = {"element": element, "state": "EXECUTE", "shift_id": "late-1", "policy_id": "p"}
    return {**fixed, **times, **more}


def order(order_id: str, status: str, at_ms: int = NOON) -> Sent:
    """An order's document."""
    counts = {"good": 40, "scrap": 2, "quantity": 100, "released_ms": NOON - 9, "due_ms": NOON + 9}
    body = {"order_id": order_id, "item": "housing-a", "dispatch_status": status, "at_ms": at_ms}
    return state(f"order/{order_id}", 1, {**body, **counts})


def told() -> Iterator[Sent]:
    """An hour of a line and a little around it: the mill is the bottleneck, the wash idle."""
    yield resume("oee", 1, {})
    yield state("oee", 1, {"bottleneck": "wash", "cells": {}})
    yield state("oee", 2, {"bottleneck": "mill", "cells": {"mill": 0.5, "wash": None}})
    for seq, (minute, name) in enumerate([(-90, "IDLE"), (-30, "EXECUTE"), (20, "ABORTED")], 1):
        yield event(seq, "state-changed", {"state": name}, at_ms=NOON + minute * MINUTE_MS)
    yield event(4, at_ms=NOON + 55 * MINUTE_MS)
    yield Sent(f"{MILL}/_tag/tag-0", b"broken")
    yield order("po-1", "running")
    yield order("po-2", "closed", NOON - 1)
    for seq, (kind, where, body) in enumerate(outputs(), 1):
        yield output(seq, "any", kind, body, **where)


def outputs() -> Iterator[tuple[str, dict[str, Any], dict[str, Any]]]:
    """What processors told of that hour: type, place and time, body."""
    yield "oee-interval", {}, interval("apt", -60, -10, **MADE[0])
    yield "oee-interval", {}, interval("apt", -10, 10)
    yield "oee-interval", {}, interval("adet", 10, 30)
    yield "oee-interval", {}, interval("apt", 70, 80, **MADE[1])
    yield "oee-interval", {}, interval("planned", 40, 50)
    yield "oee-interval", {}, interval("apt", -300, -200, shift_id="early-1")
    yield "oee-interval", {"path": WASH}, interval("adot", 0, 60)
    for stop, reason, ended, micro in (
        ("a", "jam", 10, False),
        ("b", "tool", 35, False),
        ("c", "jam", 1, True),
    ):
        body = {"stop_id": stop, "state": "ABORTED", "reason": reason, "order_id": None}
        times = {"start_ms": NOON - 5 * MINUTE_MS, "duration_ms": (ended + 5) * MINUTE_MS}
        at = {"at_ms": NOON + ended * MINUTE_MS}
        yield "stop-ended", at, {**body, **times, "micro": micro}
    yield "stopped", {"at_ms": NOON + 40 * MINUTE_MS}, {"stop_id": "d", "state": "HELD"}
    for sample, verdict, second in (("1", "pass", 1), ("2", "pass", 2), ("3", "fail", 61)):
        judged = {"sample_id": sample, "verdict": verdict, "characteristics": []}
        yield "verdict", {"at_ms": NOON + second * 1_000}, judged
    gap = {"of_source": "plc:x", "of_epoch": 1, "from_seq": 2, "to_seq": 3, "seen_by": "oee"}
    yield "gap", {"path": LINE, "at_ms": NOON + 5}, gap


@pytest.fixture
def empty(servers: dict[str, str]) -> Iterator[Board]:
    with own_database(servers["postgresql"]) as dsn:
        store = open_store(dsn, lambda: NOON)
        record(new_writer(store))
        store.close()
        yield Board(dsn)


@pytest.fixture
def board(servers: dict[str, str]) -> Iterator[Board]:
    with own_database(servers["postgresql"]) as dsn:
        store = open_store(dsn, lambda: NOON)
        record(new_writer(store), *told(), received_ms=NOON + 50 * MINUTE_MS)
        store.close()
        found = Board(dsn)
        found.choose_everything()
        yield found


def at(minute: float) -> datetime:
    return datetime.fromtimestamp(NOON / 1000 + minute * 60, UTC)


@pytest.mark.postgres
def test_variables_chain_from_site_to_cell(board: Board) -> None:
    assert board.chosen == {
        "enterprise": ["acme"],
        "site": ["acme/berlin"],
        "area": ["acme/berlin/machining"],
        "line": [LINE],
        "cell": [MILL, WASH],
    }
    cells = board.ask(board.json["templating"]["list"][-1]["query"])
    assert [row["__text"] for row in cells.rows] == ["housing/mill", "housing/wash"]
    for variable in board.json["templating"]["list"][1:]:
        board.chosen = {name: ["acme/elsewhere' OR true --"] for name in board.chosen}
        assert board.ask(variable["query"]).rows == []


@pytest.mark.postgres
def test_oee_of_a_line_is_made_from_the_sums_of_its_bottleneck(board: Board) -> None:
    found = board.panel("OEE by line and shift")
    (row,) = found.rows
    times = {"apt_ms": 80 * MINUTE_MS, "adet_ms": 20 * MINUTE_MS, "planned_ms": 10 * MINUTE_MS}
    sums = Sums(**times) + Sums(**MADE[0]) + Sums(**MADE[1])
    ratios = ("oee", "availability", "effectiveness", "quality_ratio")
    expected = {key: oee(sums)[key] for key in ratios}
    assert (row["line"], row["shift"]) == (LINE, "late-1")
    assert {key: row[key] for key in expected} == pytest.approx(expected, rel=1e-12)
    minutes = {"busy": 100, "delay": 20, "set_up": None, "speed": 69, "quality": 1.2}
    assert {key: row[f"{key}_min"] for key in minutes} == pytest.approx(minutes)
    assert set(list(found.types.values())[2:]) == {"float8"}


@pytest.mark.postgres
@pytest.mark.parametrize("method", ["first-down", "parallel"])
def test_a_line_with_a_time_of_its_own_is_shown_by_it(servers: dict[str, str], method: str) -> None:
    own = [interval("apt", 0, 20, **MADE[0]), interval("adet", 20, 50)]
    said = [state("oee", 3, {"bottleneck": "mill", "method": method, "cells": {}})]
    said += [
        output(n, "oee", "oee-interval", body, path=LINE, epoch=2) for n, body in enumerate(own, 1)
    ]
    with own_database(servers["postgresql"]) as dsn:
        store = open_store(dsn, lambda: NOON)
        record(new_writer(store), *told(), *said, received_ms=NOON + 50 * MINUTE_MS)
        store.close()
        board = Board(dsn)
        board.choose_everything()
        (row,) = board.panel("OEE by line and shift").rows
    assert (row["line"], row["availability"], row["busy_min"]) == (LINE, pytest.approx(0.4), 50)


@pytest.mark.postgres
def test_states_begin_with_the_one_that_held_before(board: Board) -> None:
    found = board.panel("States")
    assert found.types == {"time": "timestamptz", "cell": "text", "state": "text"}
    assert [tuple(row.values()) for row in found.rows] == [
        (at(0), MILL, "EXECUTE"),
        (at(20), MILL, "ABORTED"),
    ]


@pytest.mark.postgres
def test_orders_are_open_or_of_the_chosen_time(board: Board) -> None:
    found = board.panel("Orders")
    assert [(row["order_id"], row["progress"]) for row in found.rows] == [("po-1", 0.4)]
    assert {found.types[name] for name in ("good", "scrap", "quantity")} == {"int8"}
    assert (found.types["due"], found.types["progress"]) == ("timestamptz", "float8")


@pytest.mark.postgres
def test_downtime_is_cut_to_the_chosen_time_and_falls(board: Board) -> None:
    found = board.panel("Downtime by reason")
    assert found.types == {
        "reason": "text",
        "minutes": "float8",
        "stops": "int8",
        "cumulative": "float8",
    }
    assert [tuple(row.values()) for row in found.rows] == [
        ("tool", 35, 1, pytest.approx(35 / 55)),
        ("HELD", 10, 1, pytest.approx(45 / 55)),
        ("jam", 10, 1, 1),
    ]


@pytest.mark.postgres
def test_verdicts_are_counted_by_time(board: Board) -> None:
    found = board.panel("Verdicts")
    assert list(found.types.values()) == ["timestamptz", "int8", "int8", "int8"]
    assert [tuple(row.values()) for row in found.rows] == [(at(0), 2, 0, 0), (at(1), 0, 1, 0)]


@pytest.mark.postgres
def test_rejects_and_gaps_say_what_and_where(board: Board) -> None:
    found = board.panel("Rejects and gaps")
    assert found.types == {
        "time": "timestamptz",
        **dict.fromkeys(("kind", "what", "place", "reason"), "text"),
    }
    reject, gap = found.rows
    assert (reject["kind"], reject["place"]) == ("reject", f"{MILL}/_tag/tag-0")
    assert (gap["kind"], gap["place"], gap["reason"]) == ("gap", "plc:x", "oee misses 2 to 3")


@pytest.mark.postgres
@pytest.mark.parametrize("title", [panel.title for panel in PLANT_OVERVIEW.panels])
def test_a_panel_is_empty_outside_its_time_and_without_a_choice(board: Board, title: str) -> None:
    assert board.panel(title).rows
    board.during = Window(NOON - 10**10, NOON - 9 * 10**9)
    assert board.panel(title).rows == []
    board.during, board.chosen = HOUR, {name: [] for name in board.chosen}
    assert bool(board.panel(title).rows) == (title == "Rejects and gaps")


@pytest.mark.postgres
def test_an_empty_record_is_no_error(empty: Board) -> None:
    empty.choose_everything()
    assert [empty.panel(panel.title).rows for panel in PLANT_OVERVIEW.panels] == [[]] * 6


def test_the_committed_files_are_what_the_code_makes(tmp_path: Path) -> None:
    subprocess.run([sys.executable, "-m", "dashboards", tmp_path], cwd=ROOT, check=True)
    made = {str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*.*")}
    assert made == set(files())
    for name in made:
        assert (ROOT / "dashboards" / name).read_text() == (tmp_path / name).read_text(), name
    kept = {path.name for path in (ROOT / "dashboards/json").iterdir()}
    assert kept == {f"{board.uid}.json" for board in BOARDS}


def test_a_folder_that_cannot_be_written_is_told_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "json").write_text("in the way")
    command = [sys.executable, "-m", "dashboards", str(tmp_path)]
    told = subprocess.run(command, cwd=ROOT, check=False, capture_output=True, text=True)
    assert (told.returncode, told.stderr) == (2, f"{tmp_path}: File exists\n")


def test_compose_mounts_every_file_where_grafana_looks() -> None:
    volumes = [volume.split(":")[:2] for volume in COMPOSE["services"]["grafana"]["volumes"]]
    mounted = {source: target for source, target in volumes if source.startswith("./dashboards")}
    (provider,) = YAML(typ="safe").load(files()["provisioning/dashboards/uns.yaml"])["providers"]
    assert mounted.pop("./dashboards/json") == provider["options"]["path"]
    folders = {Path(name).parent for name in files() if name.startswith("provisioning/")}
    assert mounted == {f"./dashboards/{one}": f"/etc/grafana/{one}" for one in folders}


def test_the_data_source_only_reads() -> None:
    (source,) = YAML(typ="safe").load(files()["provisioning/datasources/uns.yaml"])["datasources"]
    assert {"type": source["type"], "uid": source["uid"]} == DATA_SOURCE
    assert source["user"] == "reader"
