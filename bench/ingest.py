"""Rows into a store in batches, each committed, beside a bare insert of the same rows.

The bare insert is what the driver does best, a binary COPY for PostgreSQL, an Arrow table for
DuckDB, into a table without index. An index that answers questions has its price, so on a server
the ceiling is what a bare loader would do in our place: the same rows, already numbered, into a
table with the store's indexes. What is left of a COPY into a table without any is shown beside it.
"""

import gc
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, Final, NamedTuple

import duckdb
import psycopg
import pyarrow as pa  # type: ignore[import-untyped]  # it ships no types
from psycopg.sql import SQL
from psycopg.types.json import set_json_dumps

from bench.rig import Figure, Rig, counted_events
from tools import postgres as tools_postgres
from tools import timescale
from tools.ground import SetupError
from uns.historian.postgres_staging import JSONB_TABLES
from uns.historian.postgres_store import has_timescale
from uns.historian.rows import NEWEST, TABLES, Batch, EventRow, Table, TagRow
from uns.historian.store import open_store
from uns.runtime.clock import wall_ms

TAGS: Final = 200_000
EVENTS: Final = 50_000
SERIES: Final = 500
A_BATCH: Final = 5_000
SINCE_MS: Final = 1_795_046_400_000
HYPERTABLE: Final = (
    "SELECT create_hypertable('{name}', 'at_ms', chunk_time_interval => 86400000::bigint,"
    " create_default_indexes => false)"
)
SIZE: Final = """
SELECT pg_total_relation_size(t.oid) + COALESCE((
    SELECT sum(pg_total_relation_size(c.inhrelid)) FROM pg_inherits AS c WHERE c.inhparent = t.oid
), 0) FROM pg_class AS t WHERE t.relname = %s
"""
TARGET: Final = ">= 0.60"
Rows = Sequence[tuple[Any, ...]]
Insert = Callable[[Rows], None]
_ARROW: Final = {
    "text": pa.string(),
    "json": pa.string(),
    "bigint": pa.int64(),
    "double precision": pa.float64(),
}


class Shape(NamedTuple):
    """Rows for one table. like: the table of the store whose indexes it has, None for none."""

    table: Table
    rows: Rows
    like: str | None = None


class Kind(NamedTuple):
    """Rows of a field of Batch: as they come, and as they stand in the store's table."""

    name: str
    batch: Callable[[Any], Batch]
    bare: Shape
    stored: Shape


def kinds() -> tuple[Kind, Kind]:
    """A value a second of each of SERIES tags, and counted events."""
    tags = [
        TagRow(
            f"acme/berlin/machining/l{n % SERIES // 50}/c{n % 50 // 10}/_tag/value-{n % 10}",
            SINCE_MS + n // SERIES * 1_000 + n % 7,
            n / 7,
            None,
            "good",
            "mm",
            SINCE_MS + n // SERIES * 1_000,
        )
        for n in range(TAGS)
    ]
    events = [
        EventRow(
            f"plc:{seq}",
            "counted",
            "acme/berlin/machining/housing/wash",
            "plc",
            1,
            seq,
            SINCE_MS + seq,
            SINCE_MS + seq,
            said.topic,
            said.payload.decode(),
        )
        for seq, said in enumerate(counted_events(EVENTS), 1)
    ]
    samples, stored = TABLES["tags"], JSONB_TABLES["events"]
    return (
        Kind(
            "tags",
            lambda rows: Batch(tags=rows),
            Shape(NEWEST, tags),
            Shape(samples, _numbered(tags), "samples"),
        ),
        Kind(
            "events",
            lambda rows: Batch(events=rows),
            Shape(TABLES["events"], events),
            Shape(stored, events, "events"),
        ),
    )


def _numbered(tags: Sequence[TagRow]) -> Rows:
    """The samples in the order they were said."""
    numbers = {topic: n for n, topic in enumerate({row.topic: None for row in tags}, 1)}
    return [
        (row.at_ms, row.received_ms, row.value, numbers[row.topic], 0, None, None, None)
        for row in tags
    ]


@contextmanager
def our_store(location: str, kind: Kind) -> Iterator[Insert]:
    """A transaction of the store."""
    store = open_store(location, wall_ms)
    store.known()
    yield lambda rows: store.write(kind.batch(rows))
    store.close()


def rates(inserts: Sequence[tuple[Insert, Rows]]) -> list[float]:
    """Rows a second of each, batch by batch in turn: what else runs here hinders them alike."""
    seconds = [0.0] * len(inserts)
    gc.freeze()  # else each way would be asked again and again about the rows made here
    for start in range(0, len(inserts[0][1]), A_BATCH):
        for n, (insert, rows) in enumerate(inserts):
            began = time.perf_counter()
            insert(rows[start : start + A_BATCH])
            seconds[n] += time.perf_counter() - began
    return [len(rows) / taken for taken, (_, rows) in zip(seconds, inserts, strict=True)]


@contextmanager
def copying(dsn: str, shape: Shape) -> Iterator[Insert]:
    """Binary COPY into a table of a shape."""
    name = f"{shape.table.name}_{shape.like or 'bare'}"
    declared = f"LIKE {shape.like} INCLUDING ALL" if shape.like else shape.table.declaration
    with psycopg.connect(dsn, autocommit=True) as db:
        set_json_dumps(str, db)
        db.execute(SQL(f"CREATE TABLE {name} ({declared})"))
        if shape.like and has_timescale(db):
            db.execute(SQL(HYPERTABLE.format(name=name)))
        yield partial(_copy, db, name, shape.table.types)


def _copy(db: psycopg.Connection[Any], name: str, types: Sequence[str], rows: Rows) -> None:
    into = SQL(f"COPY {name} FROM STDIN (FORMAT BINARY)")
    with db.transaction(), db.cursor() as cursor, cursor.copy(into) as copy:
        copy.set_types(types)
        for row in rows:
            copy.write_row(row)


@contextmanager
def by_arrow(path: Path, shape: Shape) -> Iterator[Insert]:
    """An Arrow table of the rows into a table of a shape."""
    with duckdb.connect(path.with_suffix(f".{shape.table.name}"), config={"threads": 2}) as db:
        db.execute(f"CREATE TABLE bare ({shape.table.declaration})")
        yield partial(_insert_arrow, db, shape.table)


def _insert_arrow(db: duckdb.DuckDBPyConnection, table: Table, rows: Rows) -> None:
    columns = [
        pa.array(column, _ARROW[sql_type])
        for column, sql_type in zip(zip(*rows, strict=True), table.types, strict=True)
    ]
    db.register("arrived", pa.Table.from_arrays(columns, names=list(table.columns)))
    db.execute("INSERT INTO bare SELECT * FROM arrived")


def bytes_a_row(dsn: str, kind: Kind, name: str) -> Figure:
    """What a row takes on disk with its indexes, in all chunks there are."""
    with psycopg.connect(dsn) as db:
        found = db.execute(SIZE, (kind.stored.like,)).fetchone()
    size = float(found[0] if found else 0) / len(kind.bare.rows)
    return Figure(f"one of {kind.name} in {name}", size, "bytes", 0, "", "")


async def duckdb_ingest(_rig: Rig, folder: Path) -> list[Figure]:
    """The embedded store, and what its file takes."""
    path, figures = folder / "ingest.duckdb", list[Figure]()
    for kind in kinds():
        with our_store(f"duckdb://{path}", kind) as ours, by_arrow(path, kind.bare) as arrow:
            rows = kind.bare.rows
            rate, ceiling = rates([(ours, rows), (arrow, rows)])
        path_name = f"{kind.name} -> DuckDB"
        figures.append(Figure(path_name, rate, "rows/s", ceiling, "a bare Arrow insert", TARGET))
    size = path.stat().st_size / (TAGS + EVENTS)
    return [*figures, Figure("one row in DuckDB", size, "bytes", 0, "", "")]


async def postgres_ingest(_rig: Rig, _folder: Path) -> list[Figure]:
    """A PostgreSQL server, and TimescaleDB where it can be had."""
    figures = list[Figure]()
    for name, find in (
        ("PostgreSQL", tools_postgres.installation),
        ("TimescaleDB", timescale.installation),
    ):
        try:
            server = tools_postgres.Server(find())
        except SetupError as error:
            print(f"left out: {error}")
            continue
        with server:
            for kind in kinds():
                figures += _server_ingest(server.dsn, name, kind)
    return figures


def _server_ingest(dsn: str, name: str, kind: Kind) -> list[Figure]:
    bare, stored = kind.bare, kind.stored
    with (
        our_store(dsn, kind) as ours,
        copying(dsn, bare) as plain,
        copying(dsn, stored) as indexed,
    ):
        measured = [(ours, bare.rows), (plain, bare.rows), (indexed, stored.rows)]
        rate, bare_copy, indexed_copy = rates(measured)
    path = f"{kind.name} -> {name}"
    return [
        Figure(path, rate, "rows/s", bare_copy, "COPY without an index", ""),
        Figure(f"{path}, indexed", rate, "rows/s", indexed_copy, "COPY with these indexes", TARGET),
        bytes_a_row(dsn, kind, name),
    ]
