"""The plant store: PostgreSQL 15 or later, TimescaleDB where the extension is.

Each batch is one transaction; how rows get there: postgres_staging.py.
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
from psycopg.types.json import set_json_dumps

from uns.historian import editions, merging, projecting, retention, rollups
from uns.historian.errors import StoreUnavailable, Unstorable, one_line
from uns.historian.postgres_staging import JSONB_TABLES, Staging, copy, ours
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
        self.kind = "postgresql"

    def write(self, batch: Batch) -> None:
        """See Store."""
        with self._guarded() as db:
            taken = self._series.take(batch.tags)
            with db.transaction():
                _write_samples(db, self._staging, taken)
                _write_events(db, self._staging, batch.events)
                for name, rows in batch.tables().items():
                    if rows and name not in STRAIGHT:
                        self._staging.merge(JSONB_TABLES[name], rows)
            self._series.wrote(taken)

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
        self._staging = Staging(db)
        db.execute(ours(rollups.STAGING))
        self._series = Series(KnownSeries(*row) for row in _select(db, SERIES_KNOWN))
        db.execute(ours(f"SET statement_timeout TO '{STATEMENT_S_MAX}s'"))

    def _ask_for_edition(self, db: Connection[Any]) -> None:
        """Find out what the product does by itself. What it refuses is said; we do without."""
        self._edition = editions.edition_of(self.kind, partial(_select, db))
        for sql in editions.not_yet_asked(self._edition, partial(_select, db)):
            try:
                db.execute(ours(sql))
            except psycopg.Error as error:
                log.warning("%s: samples are not packed: %s", self._place, one_line(error))
                return


class _Schema:
    """The database as the schema runner sees it."""

    def __init__(self, db: Connection[Any]) -> None:
        self._db = db

    def applied(self) -> set[str]:
        self._db.execute(ours(VERSIONS))
        return {name for (name,) in _select(self._db, "SELECT name FROM schema_version")}

    def apply(self, migration: Migration, applied_ms: int) -> None:
        values = (migration.version, migration.name, applied_ms)
        try:
            with self._db.transaction():
                self._db.execute(ours(migration.sql))
                psycopg.RawCursor(self._db).execute(ours(RECORD), values)
        except _REFUSED_VALUE as error:
            raise StoreUnavailable(f"{migration.name}: {one_line(error)}") from error


def _become_the_writer(db: Connection[Any]) -> None:
    """One process at a time changes the schema and writes, for as long as it is connected.

    Who comes after a connection that broke sees all that was committed over it: the server lets
    the lock go when that is over. StoreUnavailable for who waits too long.
    """
    for name, value in SERVER_SIDE.items():
        db.execute(ours(f"SET {name} TO {value}"))
    db.execute(ours(f"SET lock_timeout TO '{LOCK_WAIT_S}s'"))
    try:
        db.execute(ours(LOCK))
    except errors.LockNotAvailable as error:
        raise errors.OperationalError("another historian writes here") from error


@contextmanager
def _step(db: Connection[Any]) -> Iterator[Run]:
    """A transaction of upkeep, for another time if somebody holds what it needs."""
    with suppress(errors.LockNotAvailable), db.transaction():
        db.execute(ours(f"SET LOCAL lock_timeout TO '{TEND_WAIT_S}s'"))
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
            cursor.execute(ours(sql), params)
            return cursor.fetchall() if cursor.description else []

    return run


def _write_samples(db: Connection[Any], staging: Staging, taken: Taken) -> None:
    table = TABLES[TAGS]
    _name_series(db, taken.series)
    copy(db, table.name, table, taken.fresh)
    if taken.late:
        staging.fill(table, taken.late)
        for span in merging.spans(row[0] for row in taken.late):
            _run(db)(merging.KNOWN_SAMPLES, span)
        db.execute(ours(merging.KNOWN_AS_KEPT))
        db.execute(ours(merging.LATE_SAMPLES))
        db.execute(ours(merging.LATE_NEWEST))
        staging.clear(table)
    if taken.due:
        staging.merge(DUE, taken.due)
    staging.fill(NEWEST, taken.newest)
    if taken.fresh or taken.late:
        db.execute(ours(projecting.NEWEST_TAGS), prepare=True)
        staging.clear(NEWEST)


def _write_events(db: Connection[Any], staging: Staging, rows: Sequence[EventRow]) -> None:
    """Nearly always all of them are new: which are is asked only if one turns out not to be."""
    if not rows:
        return
    table = JSONB_TABLES[EVENTS]
    try:
        with db.transaction():
            copy(db, table.name, table, rows)
    except errors.UniqueViolation:
        rows = merging.new_events(_run(db), rows)
        copy(db, table.name, table, rows)
    if read := projecting.projected(rows):
        staging.project(table, read)


def _name_series(db: Connection[Any], series: Sequence[SeriesRow]) -> None:
    """Who finds a number or a name taken remembers an older store: it must be opened again."""
    try:
        copy(db, SERIES.name, SERIES, series)
    except errors.UniqueViolation as error:
        raise errors.OperationalError("another historian writes here") from error


def _select(db: Connection[Any], sql: str) -> list[tuple[Any, ...]]:
    return db.execute(ours(sql)).fetchall()
