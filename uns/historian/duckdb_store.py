"""The embedded store: one DuckDB file, written by one process.

Events and samples are appended to their tables, the other rows to temporary tables and merged from
there. Equal rows are searched for among those of the same instants: no index is kept over events
and samples. One more thread of the process may read through `answer`.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import duckdb
from duckdb import DuckDBPyConnection

from uns.historian import editions, merging, projecting, retention, rollups
from uns.historian.answers import Question, Result
from uns.historian.duckdb_reading import answer, opened
from uns.historian.errors import StoreUnavailable, Unstorable, one_line
from uns.historian.recorder import Known
from uns.historian.retention import Keep
from uns.historian.rollups import Run
from uns.historian.rows import (
    DUE,
    EVENTS,
    NEWEST,
    SERIES,
    TABLES,
    TAGS,
    Batch,
    EventRow,
    Table,
)
from uns.historian.schema import RECORD, VERSIONS, Migration, upgrade
from uns.historian.series import KnownSeries, Series, Taken
from uns.historian.store import Clock, recall

STRAIGHT: Final = frozenset({TAGS, EVENTS})
"""They are appended to where they belong, past a staging table."""
SERIES_KNOWN: Final = """
SELECT s.series, s.topic, s.unit, GREATEST(k.at_ms, n.at_ms) FROM tag_series AS s
LEFT JOIN (SELECT series, max(at_ms) AS at_ms FROM samples GROUP BY series) AS n
    ON n.series = s.series
LEFT JOIN samples_kept AS k ON k.series = s.series
"""
_REFUSED_VALUE: Final = (
    duckdb.DataError,
    duckdb.IntegrityError,
    duckdb.InvalidInputException,
    UnicodeError,
    OverflowError,
)
_AWAY: Final = (
    duckdb.OperationalError,
    duckdb.FatalException,
    duckdb.InternalError,
    duckdb.PermissionException,
)


class DuckDbStore:
    """The store at a path. `clock` is plant time."""

    kind = "duckdb"

    def __init__(self, path: Path, clock: Clock) -> None:
        self._path = path
        self._clock = clock
        self._root: DuckDBPyConnection | None = None
        self._writer: DuckDBPyConnection | None = None
        self._series = Series()

    def write(self, batch: Batch) -> None:
        """See Store."""
        with self._guarded() as db:
            taken = self._series.take(batch.tags)
            with _transaction(db):
                _write_samples(db, taken)
                _write_events(db, batch.events)
                for name, rows in batch.tables().items():
                    if rows and name not in STRAIGHT:
                        _merge(db, TABLES[name], rows)
            self._series.wrote(taken)

    def known(self) -> Known:
        """See Store."""
        with self._guarded() as db:
            return recall(lambda sql: db.execute(sql).fetchall())

    def tend(self, keep: Keep | None, now_ms: int) -> bool:
        """See Tended."""
        with self._guarded() as db, self._upkeep():
            with _transaction(db):
                due = rollups.roll_up(_run(db), now_ms, self._series.rolled_last)
            self._series.rolled_up(due)
            with _transaction(db):
                gone = retention.let_go(_run(db), editions.DUCKDB, keep, now_ms, {})
        return bool(due) or gone

    @property
    def folder(self) -> Path:
        """See Embedded."""
        return self._path.parent

    def answer(self, question: Question) -> Result:
        """See Embedded."""
        root = self._root
        if root is None:
            raise StoreUnavailable(f"{self._path} is not open yet")
        with root.cursor() as cursor:
            return answer(cursor, question, self.folder)

    def close(self) -> None:
        """See Store."""
        for connection in (self._writer, self._root):
            if connection is not None:
                connection.close()
        self._writer = self._root = None

    @contextmanager
    def _guarded(self) -> Iterator[DuckDBPyConnection]:
        """The open database; its errors by our names. One that broke is opened again."""
        try:
            yield self._writer or self._open()
        except _REFUSED_VALUE as error:
            raise Unstorable(one_line(error)) from error
        except _AWAY as error:
            self.close()
            raise StoreUnavailable(f"{self._path}: {one_line(error)}") from error

    @contextmanager
    def _upkeep(self) -> Iterator[None]:
        """What upkeep does not find in a changed file is no reason to record no more."""
        try:
            yield
        except (duckdb.NotSupportedError, duckdb.ProgrammingError) as error:
            raise StoreUnavailable(f"{self._path}: {one_line(error)}") from error

    def _open(self) -> DuckDBPyConnection:
        root = opened(self._path)
        try:
            writer = root.cursor()
            upgrade(_Schema(writer), ("duckdb",), self._clock)
            for table in (*TABLES.values(), DUE, NEWEST):
                _new_staging(writer, table)
            writer.execute(rollups.STAGING)
            known = writer.execute(SERIES_KNOWN).fetchall()
        except BaseException:
            root.close()
            raise
        self._root, self._writer = root, writer
        self._series = Series(KnownSeries(*row) for row in known)
        return writer


class _Schema:
    """The file as the schema runner sees it."""

    def __init__(self, db: DuckDBPyConnection) -> None:
        self._db = db

    def applied(self) -> set[str]:
        self._db.execute(VERSIONS)
        return {name for (name,) in self._db.execute("SELECT name FROM schema_version").fetchall()}

    def apply(self, migration: Migration, applied_ms: int) -> None:
        try:
            with _transaction(self._db):
                self._db.execute(migration.sql)
                self._db.execute(RECORD, [migration.version, migration.name, applied_ms])
        except _REFUSED_VALUE as error:
            raise StoreUnavailable(f"{migration.name}: {one_line(error)}") from error


@contextmanager
def _transaction(db: DuckDBPyConnection) -> Iterator[None]:
    db.begin()
    try:
        yield
        db.commit()
    except BaseException:
        _rollback(db)
        raise


def _rollback(db: DuckDBPyConnection) -> None:
    try:
        db.rollback()
    except duckdb.Error:
        return  # a failed commit has rolled back already; the first error is the one to tell


def _run(db: DuckDBPyConnection) -> Run:
    return lambda sql, params: db.execute(sql, params).fetchall()


def _write_samples(db: DuckDBPyConnection, taken: Taken) -> None:
    _append(db, SERIES.name, taken.series)
    _append(db, TABLES[TAGS].name, taken.fresh)
    if taken.late:
        _stage(db, TABLES[TAGS], taken.late)
        for span in merging.spans(row[0] for row in taken.late):
            db.execute(merging.KNOWN_SAMPLES, span)
        db.execute(merging.KNOWN_AS_KEPT)
        db.execute(merging.LATE_SAMPLES)
    if taken.due:
        _merge(db, DUE, taken.due)
    if taken.fresh or taken.late:
        _stage(db, NEWEST, taken.newest)
        if taken.late:
            db.execute(merging.LATE_NEWEST)
        db.execute(projecting.NEWEST_TAGS)


def _write_events(db: DuckDBPyConnection, rows: Sequence[EventRow]) -> None:
    if not rows:
        return
    table, fresh = TABLES[EVENTS], merging.new_events(_run(db), rows)
    _append(db, table.name, fresh)
    if read := projecting.projected(fresh):
        _stage(db, table, read)
        _project(db, table, read)


def _append(db: DuckDBPyConnection, name: str, rows: Sequence[tuple[Any, ...]]) -> None:
    if rows:
        with db.appender(name) as appender:
            appender.append_rows(rows)


def _new_staging(db: DuckDBPyConnection, table: Table) -> None:
    """A new one each time: rows that are deleted from a temporary table stay in memory."""
    db.execute(f"CREATE OR REPLACE TEMP TABLE {table.staging} ({table.declaration})")


def _stage(db: DuckDBPyConnection, table: Table, rows: Sequence[tuple[Any, ...]]) -> None:
    _new_staging(db, table)
    _append(db, table.staging, rows)


def _merge(db: DuckDBPyConnection, table: Table, rows: Sequence[tuple[Any, ...]]) -> None:
    _stage(db, table, rows)
    db.execute(merging.DUCKDB[table.name])
    _project(db, table, rows)
    if afterwards := merging.AFTERWARDS.get(table.name):
        db.execute(afterwards)


def _project(db: DuckDBPyConnection, table: Table, rows: Sequence[tuple[Any, ...]]) -> None:
    """Bring staged rows to the read models."""
    for sql in projecting.due(table.name, rows):
        db.execute(projecting.DUCKDB.get(sql, sql))
