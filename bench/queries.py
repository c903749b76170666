"""What readers wait for on a record of a size: a lot's genealogy, OEE of a shift and of a year.

The rows are made by SQL, straight into the read models, the same in every store. A figure is a p95
in ms; its ceiling is what it may be at most, so a ratio below 1 is good.
"""

import asyncio
import time
from collections.abc import Callable, Sequence, Sized
from functools import partial
from pathlib import Path
from typing import Any, Final

import duckdb
import psycopg
from psycopg.sql import SQL

from bench.rig import Figure, Rig
from tools import postgres as tools_postgres
from tools import timescale
from tools.ground import SetupError
from uns.historian import queries, walks
from uns.historian.history.genealogy import GenealogyEdge, trace
from uns.historian.reader import Reader, open_reader
from uns.historian.store import locate, open_store
from uns.runtime.clock import wall_ms

LINE: Final = "acme/berlin/machining/housing"
YEAR_BEGIN_MS: Final = 1_767_225_600_000
MONTH_MS: Final = 2_628_000_000
LEVELS: Final = 50
WIDE: Final = 200
FAMILIES: Final = 50
LAST: Final = LEVELS * WIDE + 1
CELLS: Final = 8
ROUNDS: Final = 20

EDGES: Final = f"""
SELECT 'lot-' || f || '-' || i AS input_id, 'lot-' || f || '-' || o AS output_id, 1, 'pcs',
    'PO-' || f, '{LINE}/mill', {YEAR_BEGIN_MS} + o
FROM generate_series(0, {FAMILIES - 1}) AS a(f) CROSS JOIN (
    SELECT GREATEST(n - {WIDE}, 0) AS i, n AS o FROM generate_series(1, {LEVELS * WIDE}) AS b(n)
    UNION ALL SELECT n - {WIDE} - (n - 1) % {WIDE} + n * 7 % {WIDE}, n
    FROM generate_series({WIDE + 1}, {LEVELS * WIDE}) AS b(n)
    UNION ALL SELECT n, {LAST} FROM generate_series({LAST - WIDE}, {LEVELS * WIDE}) AS b(n)
    UNION ALL SELECT n, n - 3 * {WIDE}
    FROM generate_series({5 * WIDE}, {LEVELS * WIDE}, 100) AS b(n)
) AS e
ORDER BY o, f
"""  # noqa: S608 - constants of ours
"""Families of lots that go through a plant side by side: one is made into 200, each of these goes
into two of the next, for 50 steps; at the end all are in one. Some go back three steps."""
EDGES_IN: Final = f"INSERT INTO edges {EDGES}"
EDGES_IN_DUCKDB: Final = f"""
INSERT INTO keyed_edges SELECT e.*, as_key(input_id), as_key(output_id) FROM ({EDGES}) AS e
"""  # noqa: S608 - a constant of ours
INTERVALS: Final = f"""
INSERT INTO intervals
SELECT '{LINE}/c' || c, '{LINE}', CASE WHEN n % 5 = 0 THEN 'adet' ELSE 'apt' END, 'EXECUTE',
    {YEAR_BEGIN_MS} + CAST(n AS BIGINT) * 120000, {YEAR_BEGIN_MS} + CAST(n + 1 AS BIGINT) * 120000,
    'shift-' || CAST(floor(n / 240.0) AS BIGINT), 'PO-' || CAST(floor(n / 100.0) AS BIGINT),
    'housing-' || n % 4, 10, 9, 1, 0, 90000, 81000, 'p'
FROM generate_series(1, {CELLS}) AS a(c), generate_series(0, 262799) AS b(n)
"""  # noqa: S608 - constants of ours
SUMS: Final = """
INSERT INTO oee_sums
SELECT cell, line, shift_id, order_id, item, policy_id, element, SUM(end_ms - start_ms),
    SUM(pq), SUM(gq), SUM(sq), SUM(rq), SUM(ideal_ms), SUM(ideal_good_ms),
    MIN(start_ms), MAX(end_ms)
FROM intervals
GROUP BY cell, line, shift_id, order_id, item, policy_id, element
"""
BY_MONTH: Final = f"""
SELECT cell, CAST(floor((start_ms - {YEAR_BEGIN_MS}) / {MONTH_MS}.0) AS BIGINT) AS month,
    SUM(apt_ms), SUM(pbt_ms), SUM(pq), SUM(gq), SUM(ideal_ms), SUM(ideal_good_ms)
FROM oee_by_shift
WHERE line = $1
GROUP BY 1, 2
ORDER BY 1, 2
"""  # noqa: S608 - constants of ours
ROWS: Final = """
SELECT (SELECT count(*) FROM edges), (SELECT count(*) FROM intervals),
    (SELECT count(*) FROM oee_sums)
"""


def where_used(reader: Reader) -> list[str]:
    """All that the first of a family is in."""
    return walks.related(reader, "lot-25-0", "where_used")[0]


def contents_of(reader: Reader) -> list[str]:
    """All that the last of a family is made of."""
    return walks.related(reader, f"lot-25-{LAST}", "contents_of")[0]


def nearest(reader: Reader) -> Sequence[GenealogyEdge]:
    """What a person looks at: the thousand nearest edges each way, and the verdicts."""
    return trace(reader, "lot-25-0").where_used


def _shift(reader: Reader) -> list[dict[str, Any]]:
    return queries.oee_by_shift(reader, LINE, "shift-600")


def _year(reader: Reader) -> list[tuple[Any, ...]]:
    return reader.query(BY_MONTH, (LINE,)).rows


GENEALOGY: Final[dict[str, tuple[Callable[[Reader], Sized], float]]] = {
    "the lots that one is in, 51 steps deep": (where_used, 100),
    "the lots that one is made of": (contents_of, 100),
    "a lot's nearest 1,000 edges, verdicts": (nearest, 100),
}
ASKED: Final[dict[str, tuple[Callable[[Reader], Sized], float]]] = {
    **GENEALOGY,
    "line OEE of a shift": (_shift, 100),
    "a year's OEE by month": (_year, 1_000),
}
"""What is asked, and the ms it may take."""


def fill(location: str) -> None:
    """Make the rows in an empty store."""
    store = open_store(location, wall_ms)
    store.known()
    store.close()
    path, dsn = locate(location)
    if path is not None:
        with duckdb.connect(str(path)) as file:
            for sql in (EDGES_IN_DUCKDB, INTERVALS, SUMS):
                file.execute(sql)
        return
    with psycopg.connect(dsn or "", autocommit=True) as db:
        for sql in (EDGES_IN, INTERVALS, SUMS, "VACUUM ANALYZE"):
            db.execute(SQL(sql))


def p95_ms(ask: Callable[[], Any]) -> float:
    """How long 19 of 20 calls take at most."""
    ask()
    taken = list[float]()
    for _ in range(ROUNDS):
        begun = time.perf_counter()
        ask()
        taken.append((time.perf_counter() - begun) * 1000)
    return sorted(taken)[ROUNDS * 95 // 100 - 1]


def measure(location: str, kind: str) -> list[Figure]:
    """The figures of one store, whose rows are made first."""
    fill(location)
    figures = list[Figure]()
    with open_reader(location) as reader:
        edges, intervals, sums = reader.query(ROWS).rows[0]
        size = f"{edges:,} edges, {intervals:,} intervals, {sums:,} sums"
        for name, (ask, most_ms) in ASKED.items():
            found = len(ask(reader))
            figure = p95_ms(partial(ask, reader))
            limit = f"most, of {size}; {found:,} rows"
            path = f"{kind}: {name}"
            figures.append(Figure(path, figure, "ms", most_ms, limit, f"<= {most_ms:,.0f} ms"))
    return figures


async def answers(_rig: Rig, folder: Path) -> list[Figure]:
    """Every store that is to be had."""
    figures = await asyncio.to_thread(measure, str(folder / "asked.duckdb"), "duckdb")
    installations = {
        "postgresql": tools_postgres.installation,
        "timescaledb": timescale.installation,
    }
    for kind, find in installations.items():
        try:
            server = tools_postgres.Server(find())
        except SetupError as error:
            print(f"left out: {error}")
            continue
        with server:
            figures += await asyncio.to_thread(measure, server.dsn, kind)
    return figures
