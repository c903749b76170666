"""The plant store: PostgreSQL 15 or later, TimescaleDB where the extension is.

Rows are copied in binary into temporary tables and merged from there, in one transaction a batch.
A lost connection is made again by the next call.
"""

import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import partial
from typing import Any, Final

import psycopg
from psycopg import Connection, errors
from psycopg.conninfo import conninfo_to_dict
from psycopg.sql import SQL
from psycopg.types.json import set_json_dumps

from uns.historian import editions, merging, projecting, retention, rollups
from uns.historian.errors import StoreUnavailable, Unstorable, one_line
from uns.historian.recorder import Known
from uns.historian.retention import Keep, LastCame
from uns.historian.rollups import Run
from uns.historian.rows import (
    DUE,
    EVENTS,
    NEWEST,
    SERIES,
    TABLES,
    TAGS,
    Batch,
    DueRow,
    EventRow,
    SeriesRow,
    Table,
)
from uns.historian.schema import RECORD, VERSIONS, Migration, upgrade
from uns.historian.series import KnownSeries, Series, Taken
from uns.historian.store import Clock, recall

SERVER_VERSION_MIN: Final = 150_000
CONNECTION: Final[dict[str, Any]] = {
    "application_name": "uns-historian",
    "connect_timeout": 5,
    "keepalives_idle": 5,
    "keepalives_interval": 2,
    "keepalives_count": 3,
    "tcp_user_timeout": 15_000,
}
SERVER_SIDE: Final = {
    "tcp_keepalives_idle": 5,
    "tcp_keepalives_interval": 2,
    "tcp_keepalives_count": 3,
    "tcp_user_timeout": 15_000,
}
"""The server, too, finds out soon that we are gone: it holds WRITER_LOCK for us until then."""
WRITER_LOCK: Final = 0x756E73
LOCK: Final = f"SELECT pg_advisory_lock({WRITER_LOCK}, hashtext(COALESCE(current_schema(), '')))"
"""Two stores may be in one database, each in its schema."""
DIALECTS: Final = {
    "postgresql": ("postgres",),
    "timescaledb": ("postgres", "timescale"),
}
JSONB_TABLES: Final = {
    name: table._replace(types=tuple("jsonb" if kind == "json" else kind for kind in table.types))
    for name, table in TABLES.items()
}
STAGED: Final = (*JSONB_TABLES.values(), DUE, NEWEST)
"""Their staging tables are empty between writes. Each write deletes what it staged: to have them
truncated at each commit costs more than all else that a small write does."""
SWEEP_EVERY: Final = 64
STRAIGHT: Final = frozenset({TAGS, EVENTS})
"""They are copied to where they belong, past a staging table."""
LOCK_WAIT_S: Final = 10
STATEMENT_S_MAX: Final = 60
TEND_WAIT_S: Final = 1
SERIES_KNOWN: Final = """
SELECT s.series, s.topic, s.unit, GREATEST(k.at_ms, (
    SELECT t.at_ms FROM samples AS t WHERE t.series = s.series ORDER BY t.at_ms DESC LIMIT 1))
FROM tag_series AS s LEFT JOIN samples_kept AS k ON k.series = s.series
"""
_REFUSED_VALUE: Final = (
    errors.DataError,
    errors.IntegrityError,
    errors.ProgramLimitExceeded,
    UnicodeError,
    OverflowError,
)
_AWAY: Final = (
    errors.OperationalError,
    errors.InterfaceError,
    errors.InternalError,
    errors.InsufficientPrivilege,
)

log = logging.getLogger(__name__)


class PostgresStore:
    """The store at a DSN. `clock` is plant time."""

    def __init__(self, dsn: str, clock: Clock) -> None:
        self._dsn = dsn
        self._place = place(dsn)
        self._clock = clock
        self._db: Connection[Any] | None = None
        self._series = Series()
        self._edition = editions.POSTGRESQL
        self._came: LastCame = {}
        self._writes = 0
        self.kind = "postgresql"

    def write(self, batch: Batch) -> None:
        """See Store."""
        with self._guarded() as db:
            self._sweep(db)
            taken = self._series.take(batch.tags)
            with db.transaction():
                _write_samples(db, taken)
                _write_events(db, batch.events)
                for name, rows in batch.tables().items():
                    if rows and name not in STRAIGHT:
                        _merge(db, JSONB_TABLES[name], rows)
            self._series.wrote(taken)

    def _sweep(self, db: Connection[Any]) -> None:
        """Now and then, let go of the room that was staged in."""
        self._writes += 1
        if self._writes % SWEEP_EVERY == 0:
            db.execute(_ours(f"TRUNCATE {', '.join(table.staging for table in STAGED)}"))

    def known(self) -> Known:
        """See Store."""
        with self._guarded() as db:
            return recall(lambda sql: _select(db, sql))

    def tend(self, keep: Keep | None, now_ms: int) -> bool:
        """See Tended. What somebody reads for long is tended later."""
        due, gone = list[DueRow](), False
        with self._guarded() as db, self._upkeep():
            with _step(db) as run:
                due = rollups.roll_up(run, now_ms, self._series.rolled_last)
            self._series.rolled_up(due)
            with _step(db) as run:
                gone = retention.let_go(run, self._edition, keep, now_ms, self._came)
        return bool(due) or gone

    def close(self) -> None:
        """See Store."""
        if self._db is not None:
            self._db.close()
            self._db = None

    @contextmanager
    def _guarded(self) -> Iterator[Connection[Any]]:
        """The open connection; its errors by our names. One that broke is made again."""
        try:
            yield self._db or self._open()
        except _REFUSED_VALUE as error:
            raise Unstorable(one_line(error)) from error
        except _AWAY as error:
            self.close()
            raise StoreUnavailable(f"{self._place}: {one_line(error)}") from error

    @contextmanager
    def _upkeep(self) -> Iterator[None]:
        """What upkeep does not find in a changed database is no reason to record no more."""
        try:
            yield
        except (errors.NotSupportedError, errors.ProgrammingError) as error:
            raise StoreUnavailable(f"{self._place}: {one_line(error)}") from error

    def _open(self) -> Connection[Any]:
        db = psycopg.connect(self._dsn, autocommit=True, **CONNECTION)
        try:
            self._prepare(db)
        except BaseException:
            db.close()
            raise
        self._db = db
        return db

    def _prepare(self, db: Connection[Any]) -> None:
        if db.info.server_version < SERVER_VERSION_MIN:
            raise errors.OperationalError("PostgreSQL 15 or later is needed")
        db.execute("SET timezone TO 'UTC'")
        _become_the_writer(db)
        if has_timescale(db):
            self.kind = "timescaledb"
        upgrade(_Schema(db), DIALECTS[self.kind], self._clock)
        self._ask_for_edition(db)
        db.execute("RESET lock_timeout")
        set_json_dumps(str, db)
        for table in STAGED:
            declared = f"{table.staging} ({table.declaration})"
            db.execute(_ours(f"CREATE TEMP TABLE {declared}"))
        db.execute(_ours(rollups.STAGING))
        self._series = Series(KnownSeries(*row) for row in _select(db, SERIES_KNOWN))
        db.execute(_ours(f"SET statement_timeout TO '{STATEMENT_S_MAX}s'"))

    def _ask_for_edition(self, db: Connection[Any]) -> None:
        """Find out what the product does by itself. What it refuses is said; we do without."""
        self._edition = editions.edition_of(self.kind, partial(_select, db))
        for sql in editions.not_yet_asked(self._edition, partial(_select, db)):
            try:
                db.execute(_ours(sql))
            except psycopg.Error as error:
                log.warning("%s: samples are not packed: %s", self._place, one_line(error))
                return


class _Schema:
    """The database as the schema runner sees it."""

    def __init__(self, db: Connection[Any]) -> None:
        self._db = db

    def applied(self) -> set[str]:
        self._db.execute(_ours(VERSIONS))
        return {name for (name,) in _select(self._db, "SELECT name FROM schema_version")}

    def apply(self, migration: Migration, applied_ms: int) -> None:
        values = (migration.version, migration.name, applied_ms)
        try:
            with self._db.transaction():
                self._db.execute(_ours(migration.sql))
                psycopg.RawCursor(self._db).execute(_ours(RECORD), values)
        except _REFUSED_VALUE as error:
            raise StoreUnavailable(f"{migration.name}: {one_line(error)}") from error


def _become_the_writer(db: Connection[Any]) -> None:
    """One process at a time changes the schema and writes, for as long as it is connected.

    Who comes after a connection that broke sees all that was committed over it: the server lets
    the lock go when that is over. StoreUnavailable for who waits too long.
    """
    for name, value in SERVER_SIDE.items():
        db.execute(_ours(f"SET {name} TO {value}"))
    db.execute(_ours(f"SET lock_timeout TO '{LOCK_WAIT_S}s'"))
    try:
        db.execute(_ours(LOCK))
    except errors.LockNotAvailable as error:
        raise errors.OperationalError("another historian writes here") from error


@contextmanager
def _step(db: Connection[Any]) -> Iterator[Run]:
    """A transaction of upkeep, for another time if somebody holds what it needs."""
    with suppress(errors.LockNotAvailable), db.transaction():
        db.execute(_ours(f"SET LOCAL lock_timeout TO '{TEND_WAIT_S}s'"))
        yield _run(db)


def has_timescale(db: Connection[Any]) -> bool:
    """Whether the extension is in the database, or can be put there by us."""
    if not _select(db, "SELECT 1 FROM pg_available_extensions WHERE name = 'timescaledb'"):
        return False
    try:
        db.execute("CREATE EXTENSION IF NOT EXISTS timescaledb")
    except (errors.InsufficientPrivilege, errors.FeatureNotSupported, errors.OperationalError):
        return False
    return True


def place(dsn: str) -> str:
    """A DSN as it may be shown: without user and password. StoreUnavailable if it is none."""
    try:
        known = conninfo_to_dict(dsn)
    except psycopg.Error:
        raise StoreUnavailable("the store's address is no PostgreSQL URL") from None
    return (
        f"postgresql://{known.get('host', '')}:{known.get('port', 5432)}/{known.get('dbname', '')}"
    )


def _run(db: Connection[Any]) -> Run:
    def run(sql: str, params: Sequence[Any]) -> list[tuple[Any, ...]]:
        with psycopg.RawCursor(db) as cursor:
            cursor.execute(_ours(sql), params)
            return cursor.fetchall() if cursor.description else []

    return run


def _write_samples(db: Connection[Any], taken: Taken) -> None:
    table = TABLES[TAGS]
    _name_series(db, taken.series)
    _copy(db, table.name, table, taken.fresh)
    if taken.late:
        _copy(db, table.staging, table, taken.late)
        for span in merging.spans(row[0] for row in taken.late):
            _run(db)(merging.KNOWN_SAMPLES, span)
        db.execute(_ours(merging.KNOWN_AS_KEPT))
        db.execute(_ours(merging.LATE_SAMPLES))
        db.execute(_ours(merging.LATE_NEWEST))
        _clear(db, table)
    if taken.due:
        _merge(db, DUE, taken.due)
    _copy(db, NEWEST.staging, NEWEST, taken.newest)
    if taken.fresh or taken.late:
        db.execute(_ours(projecting.NEWEST_TAGS), prepare=True)
        _clear(db, NEWEST)


def _write_events(db: Connection[Any], rows: Sequence[EventRow]) -> None:
    """Nearly always all of them are new: which are is asked only if one turns out not to be."""
    if not rows:
        return
    table = JSONB_TABLES[EVENTS]
    try:
        with db.transaction():
            _copy(db, table.name, table, rows)
    except errors.UniqueViolation:
        rows = merging.new_events(_run(db), rows)
        _copy(db, table.name, table, rows)
    if read := projecting.projected(rows):
        _copy(db, table.staging, table, read)
        _project(db, table, read)
        _clear(db, table)


def _name_series(db: Connection[Any], series: Sequence[SeriesRow]) -> None:
    """Who finds a number or a name taken remembers an older store: it must be opened again."""
    try:
        _copy(db, SERIES.name, SERIES, series)
    except errors.UniqueViolation as error:
        raise errors.OperationalError("another historian writes here") from error


def _copy(db: Connection[Any], name: str, table: Table, rows: Sequence[tuple[Any, ...]]) -> None:
    """Copy rows of a table's kind into the table of a name."""
    if not rows:
        return
    columns = ", ".join(table.columns)
    with (
        db.cursor() as cursor,
        cursor.copy(_ours(f"COPY {name} ({columns}) FROM STDIN (FORMAT BINARY)")) as copy,
    ):
        copy.set_types(table.types)
        for row in rows:
            copy.write_row(row)


def _merge(db: Connection[Any], table: Table, rows: Sequence[tuple[Any, ...]]) -> None:
    _copy(db, table.staging, table, rows)
    db.execute(_ours(merging.POSTGRES[table.name]), prepare=True)
    _project(db, table, rows)
    if afterwards := merging.AFTERWARDS.get(table.name):
        db.execute(_ours(afterwards), prepare=True)
    _clear(db, table)


def _clear(db: Connection[Any], table: Table) -> None:
    db.execute(_ours(f"DELETE FROM {table.staging}"), prepare=True)  # noqa: S608 - a name of ours


def _project(db: Connection[Any], table: Table, rows: Sequence[tuple[Any, ...]]) -> None:
    """Bring staged rows to the read models."""
    for sql in projecting.due(table.name, rows):
        db.execute(_ours(sql), prepare=True)


def _select(db: Connection[Any], sql: str) -> list[tuple[Any, ...]]:
    return db.execute(_ours(sql)).fetchall()


def _ours(sql: str) -> SQL:
    """SQL of this package: it holds no value from outside."""
    return SQL(sql)
