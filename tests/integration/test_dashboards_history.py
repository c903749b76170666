"""Every query of every board, expanded as Grafana does, on TimescaleDB after an hour of the plant.

The hour crosses a change of shift. Some input is refused, some is missing, a tag is bad: so that
each panel, variable and mark has something to show.
"""

import re
from collections.abc import Iterator
from datetime import datetime
from typing import Any, NamedTuple

import psycopg
import pytest

from dashboards.expand import Query, Value, Window, choices, expanded, queries, window
from dashboards.export import BOARDS
from dashboards.sql import CLOSED, statement
from tests.plant_history import PlantHistory
from tests.simulated import example_plant
from tests.speech import LINE, MILL, Sent, event, new_writer, output
from tests.speech import record as wrote
from tests.stores import own_database
from uns.codec import encode_tag
from uns.historian.store import open_store

pytestmark = pytest.mark.timescale

SHIFT_EDGE_MS = 1_765_458_000_000  # 14:00 in Berlin
START_MS = SHIFT_EDGE_MS - 40 * 60_000
END_MS = SHIFT_EDGE_MS + 20 * 60_000
BRIDGE = "plc-machining:acme.berlin.machining.housing"
GAP = {"of_source": BRIDGE, "of_epoch": 1, "from_seq": 7, "to_seq": 9, "seen_by": "oee"}
TYPES = {"text", "int4", "int8", "float8", "timestamptz", "bool"}
NUMBERS = {"int8", "float8"}
BOARD = {board.uid: board.to_json() for board in BOARDS}
ALL = [(uid, query) for uid, board in BOARD.items() for query in queries(board)]
WITHOUT_TIME = {
    "Made of, and went into",
    "Steps",
    "Found in samples",
    "Orders it passed through",
    "enterprise",
    "site",
    "area",
    "line",
    "cell",
}
"""What is chosen says what they show; they ask for nothing of the time."""
ALWAYS = "At the end of the time"
"""A row of zeros is an answer."""


class Answer(NamedTuple):
    """Rows, and the type of each column."""

    types: dict[str, str]
    rows: list[dict[str, Any]]


class Record:
    """A recorded hour, asked as Grafana's user does: reading only."""

    def __init__(self, db: "psycopg.Connection[Any]") -> None:
        self._db = db
        self._chosen = dict[str, dict[str, Value]]()

    def answer(self, uid: str, query: Query, during: Window, **chosen: Value) -> Answer:
        """A query with what is chosen when its board is opened, or else with `chosen`."""
        if uid not in self._chosen:
            hour = window(START_MS, END_MS)
            self._chosen[uid] = choices(BOARD[uid], hour, lambda sql: self.ask(sql).rows)
        choice = {**self._chosen[uid], **chosen}
        return self.ask(expanded(query.sql, during, choice, timescale=True))

    def panel(self, uid: str, title: str, **chosen: Value) -> list[dict[str, Any]]:
        """The rows of a panel in the hour."""
        query = next(q for q in queries(BOARD[uid]) if (q.kind, q.title) == ("panel", title))
        return self.answer(uid, query, hour_of(query), **chosen).rows

    def ask(self, sql: str) -> Answer:
        """The answer to SQL."""
        cursor = self._db.execute(sql.encode())
        types = {column.name: column.type_display for column in cursor.description or ()}
        return Answer(types, [dict(zip(types, row, strict=True)) for row in cursor])


def hour_of(query: Query) -> Window:
    return window(START_MS, END_MS, query.interval_min)


@pytest.fixture(scope="module")
def record(servers: dict[str, str]) -> Iterator[Record]:
    with own_database(servers["timescaledb"]) as dsn:
        store = open_store(dsn, lambda: START_MS)
        plant = PlantHistory(store, START_MS)
        plant.run(END_MS - START_MS - 60_000)
        at_ms = plant.now_ms
        plant.say(
            Sent(f"{MILL}/_tag/bore", b"broken"),
            output(1, "oee", "gap", GAP, path=LINE, epoch=2, at_ms=at_ms),
            event(100_000, "loaded", {"order_id": None}, source=BRIDGE, at_ms=at_ms),
        )
        plant.run(END_MS - plant.now_ms)
        cut = encode_tag(None, END_MS, "bad", "um", "cable")
        plant.say(Sent(f"{MILL}/_tag/flatness", cut))
        store.close()
        options = "-c default_transaction_read_only=on -c statement_timeout=20s"
        with psycopg.connect(dsn, autocommit=True, options=options) as db:
            yield Record(db)


def named(case: tuple[str, Query]) -> str:
    uid, query = case
    return f"{uid}-{query.kind}-{query.title}"


@pytest.mark.parametrize("case", ALL, ids=named)
def test_a_query_gives_rows_of_types_that_grafana_draws(
    record: Record, case: tuple[str, Query]
) -> None:
    uid, query = case
    found = record.answer(uid, query, hour_of(query))
    assert found.rows
    assert set(found.types.values()) <= TYPES, found.types
    match query.kind:
        case "variable":
            assert found.types == {"__value": "text", "__text": "text"}
        case "annotation":
            assert (
                {"time", "text", "tags"} <= set(found.types) <= {"time", "timeend", "text", "tags"}
            )
            assert found.types["time"] == "timestamptz"
        case _ if query.format == "time_series":
            assert_is_series(found)


def assert_is_series(found: Answer) -> None:
    (time, *others) = found.types
    assert (time, found.types[time]) == ("time", "timestamptz")
    labels = [name for name in others if found.types[name] == "text"]
    assert labels in ([], ["metric"])
    assert {found.types[name] for name in others if name not in labels} <= NUMBERS
    times = [row["time"] for row in found.rows]
    assert times == sorted(times)


@pytest.mark.parametrize("case", ALL, ids=named)
def test_a_query_keeps_within_the_chosen_time(record: Record, case: tuple[str, Query]) -> None:
    uid, query = case
    during = window(END_MS - 600_000, END_MS - 300_000, query.interval_min)
    for row in record.answer(uid, query, during).rows:
        for column in ("time", "timeend"):
            assert_lies_in(row.get(column), during)
    before = Window(START_MS - 10**9, START_MS - 10**9 + 3_600_000)
    rows = record.answer(uid, query, before).rows
    if query.title == ALWAYS:
        assert [{*row.values()} for row in rows] == [{0}]
    elif query.title not in WITHOUT_TIME:
        assert rows == []


def assert_lies_in(instant: datetime | None, during: Window) -> None:
    if instant is not None:
        at_ms = instant.timestamp() * 1_000
        assert during.from_ms - during.interval_ms <= at_ms <= during.to_ms


@pytest.mark.parametrize("case", ALL, ids=named)
def test_nothing_chosen_shows_nothing_and_nothing_is_injected(
    record: Record, case: tuple[str, Query]
) -> None:
    uid, query = case
    evil = "' OR true; DROP TABLE events; --"
    of_choices = [v for v in BOARD[uid]["templating"]["list"] if v["name"] != "quiet_ms"]
    for value in ([], [evil]):
        chosen = {v["name"]: value if v["multi"] else "".join(value) for v in of_choices}
        rows = record.answer(uid, query, hour_of(query), **chosen).rows
        if any(f"${{{name}:" in query.sql for name in chosen) and query.title not in PARTLY:
            assert rows == []


PARTLY = {ALWAYS, "Open matters"}
"""Rejects and gaps are of the whole hub, whatever is chosen."""


def test_shifts_of_both_sides_of_the_edge_are_offered(record: Record) -> None:
    (query,) = (q for q in queries(BOARD["uns-handover"]) if q.title == "shift")
    rows = record.answer("uns-handover", query, hour_of(query)).rows
    assert [row["__value"] for row in rows] == ["2025-12-11-late", "2025-12-11-early"]
    late, early = (record.panel("uns-handover", "The shift", shift=row["__value"]) for row in rows)
    assert [row["oee_before"] for row in late] == [row["oee"] for row in early]
    assert all(row["oee_before"] is None for row in early)


def test_the_loss_tree_adds_up_step_by_step(record: Record) -> None:
    tree = [row["minutes"] for row in record.panel("uns-losses", "Loss tree")]
    known, unknown, planned, busy, no_order, set_up, delay, run, speed, net, scrap, good = tree
    assert busy == pytest.approx(known - unknown - planned)
    assert run == pytest.approx(busy - no_order - set_up - delay)
    assert net == pytest.approx(run - speed)
    assert good == pytest.approx(net - scrap)
    lines = record.panel("uns-losses", "Lines")
    assert busy == pytest.approx(sum(row["busy_min"] for row in lines))
    assert good / busy == pytest.approx(sum(row["oee"] * row["busy_min"] for row in lines) / busy)
    assert all(0.9 < row["coverage"] <= 1 for row in lines)


def test_the_losses_of_two_times_add_up_to_those_of_both(record: Record) -> None:
    query = next(q for q in queries(BOARD["uns-losses"]) if q.title == "Lines")
    middle_ms = START_MS + 1_234_567

    def total(from_ms: int, to_ms: int, column: str) -> float:
        rows = record.answer("uns-losses", query, window(from_ms, to_ms)).rows
        return sum(row[column] or 0 for row in rows)

    for column in ("pq", "gq", "busy_min", "delay_min", "speed_min"):
        halves = total(START_MS, middle_ms, column), total(middle_ms, END_MS, column)
        assert all(halves)
        assert sum(halves) == pytest.approx(total(START_MS, END_MS, column))


def test_a_violation_is_outside_its_limits_or_the_ninth_on_a_side(record: Record) -> None:
    rows = record.panel("uns-quality", "Violations")
    outside = [row for row in rows if row["why"] == "outside specification"]
    assert outside
    for row in outside:
        lower, upper = row["lower"], row["upper"]
        assert (lower is not None and row["value"] < lower) or (
            upper is not None and row["value"] > upper
        )
    chart = record.panel("uns-quality", "Values and limits", characteristic=outside[0]["chart"])
    assert all(row["lcl"] < row["centre"] < row["ucl"] for row in chart)
    shown = [row["value"] for row in chart if row["violation"] is not None]
    assert shown == [row["value"] for row in reversed(rows) if row["chart"] == outside[0]["chart"]]


def test_the_graph_of_a_unit_reaches_the_first_lots_and_each_edge_has_its_ends(
    record: Record,
) -> None:
    found = [q for q in queries(BOARD["uns-genealogy"]) if q.title == "Made of, and went into"]
    nodes, edges = (record.answer("uns-genealogy", q, hour_of(q)).rows for q in found)
    ids = {node["id"] for node in nodes}
    assert {end for edge in edges for end in (edge["source"], edge["target"])} == ids
    assert sum(node["color"] == "blue" for node in nodes) == 1
    steps = record.panel("uns-genealogy", "Steps")
    assert max(row["depth"] for row in steps) >= 3
    bought = ids - {edge["target"] for edge in edges}
    items = {node["subtitle"] for node in nodes if node["id"] in bought}
    assert {"bearing", "impeller"} <= items <= {*example_plant().items}
    assert all(re.fullmatch(r"\d+(\.\d+)? (pcs|kg)", edge["mainstat"]) for edge in edges)
    made = {node["subtitle"] for node in nodes if node["id"] not in bought}
    assert made <= {place.rpartition("/")[2] for place in example_plant().cells}


def test_the_graph_is_what_an_independent_walk_finds_in_both_directions(record: Record) -> None:
    rows = record.ask("SELECT DISTINCT input_id, output_id FROM genealogy_edges").rows
    pairs = {(row["input_id"], row["output_id"]) for row in rows}
    lot = min({i for i, _ in pairs} & {o for _, o in pairs if o.startswith("HOU-mill")})
    *_, query = (q for q in queries(BOARD["uns-genealogy"]) if q.title == "Made of, and went into")
    shown = record.answer("uns-genealogy", query, hour_of(query), lot=lot).rows
    into = beyond(lot, pairs)
    made_of = {(i, o) for o, i in beyond(lot, {(o, i) for i, o in pairs})}
    assert into
    assert made_of
    assert len(into | made_of) < 1_000
    assert {(edge["source"], edge["target"]) for edge in shown} == into | made_of


def test_a_weekend_counts_where_it_ends(servers: dict[str, str]) -> None:
    weekend_ms = 64 * 3_600_000
    planned = dict.fromkeys(("pq", "gq", "sq", "rq", "ideal_ms", "ideal_good_ms"), 0)
    body = {"element": "planned", "state": "IDLE", "shift_id": "off", "policy_id": "p", **planned}
    span = {"start_ms": END_MS - weekend_ms, "end_ms": END_MS, "order_id": None, "item": None}
    with own_database(servers["timescaledb"]) as dsn:
        store = open_store(dsn, lambda: END_MS)
        said = output(1, "oee", "oee-interval", {**body, **span}, at_ms=END_MS)
        wrote(new_writer(store), said, received_ms=END_MS)
        store.close()
        asked = statement(CLOSED, select="\nSELECT elapsed_ms FROM closed")
        during = window(END_MS - 3_600_000, END_MS + 3_600_000)
        with psycopg.connect(dsn, autocommit=True) as db:
            found = Record(db).ask(expanded(asked, during, {"line": [LINE]}, timescale=True))
    assert [row["elapsed_ms"] for row in found.rows] == [weekend_ms]


def beyond(start: str, pairs: set[tuple[str, str]]) -> set[tuple[str, str]]:
    """Every step that begins at `start` or where another one of them ends."""
    reached, found = {start}, set[tuple[str, str]]()
    while fresh := {pair for pair in pairs - found if pair[0] in reached}:
        found |= fresh
        reached |= {end for _, end in fresh}
    return found


def test_health_says_which_source_waits_and_which_tag_is_bad(record: Record) -> None:
    sources = {row["source"]: row["standing"] for row in record.panel("uns-health", "Sources")}
    assert sources.pop(BRIDGE).startswith("waits for ")
    assert set(sources.values()) == {"in time"}
    first, *_ = record.panel("uns-health", "Tags, the oldest first")
    assert (first["cell"], first["tag"], first["standing"]) == (MILL, "flatness", "bad")
    (row,) = record.panel("uns-health", ALWAYS)
    assert (row["not_good"], row["rejects"], row["sources_not_in_time"]) == (1, 1, 1)
    (strict,) = record.panel("uns-health", ALWAYS, quiet_ms="60000")
    assert strict["stale"] > row["stale"]
