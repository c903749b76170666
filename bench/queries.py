"""What readers wait for on a record of a size: a lot's genealogy, OEE of a shift and of a year.

The rows are made by SQL, straight into the read models, the same in every store. A figure is a p95
in ms; its ceiling is what it may be at most, so a ratio below 1 is good.
"""

import asyncio
import time
from collections.abc import Callable
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
from uns.historian import queries
from uns.historian.reader import Reader, open_reader
from uns.historian.store import locate, open_store
from uns.runtime.clock import wall_ms

LINE: Final = "acme/berlin/machining/housing"
YEAR_BEGIN_MS: Final = 1_767_225_600_000
MONTH_MS: Final = 2_628_000_000
TREES: Final = 99
TREE_EDGES: Final = 10_110
"""Of fan-out 10 and five deep: what is made of one lot."""
CELLS: Final = 8
ROUNDS: Final = 20

EDGES: Final = f"""
INSERT INTO edges
SELECT 't' || t || '-' || CAST(floor((n - 1) / 10.0) AS BIGINT), 't' || t || '-' || n, 1, 'pcs',
    'PO-' || t, '{LINE}/mill', {YEAR_BEGIN_MS} + n
FROM generate_series(0, {TREES - 1}) AS a(t), generate_series(1, {TREE_EDGES}) AS b(n)
"""  # noqa: S608 - constants of ours
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


def _trace(reader: Reader) -> int:
    return len(queries.trace(reader, "t50-0")["where_used"])


def _shift(reader: Reader) -> int:
    return len(queries.oee_by_shift(reader, LINE, "shift-600"))


def _year(reader: Reader) -> int:
    return len(reader.query(BY_MONTH, (LINE,)).rows)


ASKED: Final[dict[str, tuple[Callable[[Reader], int], float]]] = {
    "trace of a lot with 10,110 descendants": (_trace, 100),
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
            for sql in (EDGES, INTERVALS, SUMS):
                file.execute(sql)
        return
    with psycopg.connect(dsn or "", autocommit=True) as db:
        for sql in (EDGES, INTERVALS, SUMS, "VACUUM ANALYZE"):
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
            found = ask(reader)
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
