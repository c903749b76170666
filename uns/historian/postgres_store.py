"""The plant store: PostgreSQL 15 or later, TimescaleDB where the extension is.

Rows are copied in binary into temporary tables and merged from there, in one transaction a batch.
A lost connection is made again by the next call.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Final

import psycopg
from psycopg import Connection, errors
from psycopg.conninfo import conninfo_to_dict
from psycopg.sql import SQL

from uns.historian import merging
from uns.historian.errors import StoreUnavailable, Unstorable, one_line
from uns.historian.recorder import Known
from uns.historian.rows import TABLES, Batch, Row, Table
from uns.historian.schema import RECORD, VERSIONS, Migration, upgrade
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
MIGRATION_LOCK: Final = 0x756E73
DIALECTS: Final = {
    "postgresql": ("postgres",),
    "timescaledb": ("postgres", "timescale"),
}
LOCK_WAIT_S: Final = 10
STATEMENT_S_MAX: Final = 60
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


class PostgresStore:
    """The store at a DSN. `clock` is plant time."""

    def __init__(self, dsn: str, clock: Clock) -> None:
        self._dsn = dsn
        self._place = place(dsn)
        self._clock = clock
        self._db: Connection[Any] | None = None
        self.kind = "postgresql"

    def write(self, batch: Batch) -> None:
        """See Store."""
        with self._guarded() as db, db.transaction():
            for name, rows in batch.tables().items():
                if rows:
                    _merge(db, TABLES[name], rows)

    def known(self) -> Known:
        """See Store."""
        with self._guarded() as db:
            return recall(lambda sql: _select(db, sql))

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
        with _migration_lock(db):
            if has_timescale(db):
                self.kind = "timescaledb"
            upgrade(_Schema(db), DIALECTS[self.kind], self._clock)
        for table in TABLES.values():
            declared = f"{table.staging} ({table.declaration})"
            db.execute(_ours(f"CREATE TEMP TABLE {declared} ON COMMIT DELETE ROWS"))
        db.execute(_ours(f"SET statement_timeout TO '{STATEMENT_S_MAX}s'"))


class _Schema:
    """The database as the schema runner sees it."""

    def __init__(self, db: Connection[Any]) -> None:
        self._db = db

    def applied(self) -> set[str]:
        self._db.execute(_ours(VERSIONS))
        return {name for (name,) in _select(self._db, "SELECT name FROM schema_version")}

    def apply(self, migration: Migration, applied_ms: int) -> None:
        with self._db.transaction():
            self._db.execute(_ours(migration.sql))
            values = (migration.version, migration.name, applied_ms)
            psycopg.RawCursor(self._db).execute(_ours(RECORD), values)


@contextmanager
def _migration_lock(db: Connection[Any]) -> Iterator[None]:
    """One process at a time changes the schema; StoreUnavailable for who waits too long."""
    db.execute(_ours(f"SET lock_timeout TO '{LOCK_WAIT_S}s'"))
    db.execute(_ours(f"SELECT pg_advisory_lock({MIGRATION_LOCK})"))
    try:
        yield
    finally:
        db.execute(_ours(f"SELECT pg_advisory_unlock({MIGRATION_LOCK})"))
        db.execute("RESET lock_timeout")


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


def _merge(db: Connection[Any], table: Table, rows: Sequence[Row]) -> None:
    with db.cursor() as cursor:
        with cursor.copy(_ours(f"COPY {table.staging} FROM STDIN (FORMAT BINARY)")) as copy:
            copy.set_types(table.types)
            for row in rows:
                copy.write_row(row)
        cursor.execute(_ours(merging.POSTGRES[table.name]), prepare=True)
        if afterwards := merging.AFTERWARDS.get(table.name):
            cursor.execute(_ours(afterwards), prepare=True)


def _select(db: Connection[Any], sql: str) -> list[tuple[Any, ...]]:
    return db.execute(_ours(sql)).fetchall()


def _ours(sql: str) -> SQL:
    """SQL of this package: it holds no value from outside."""
    return SQL(sql)
