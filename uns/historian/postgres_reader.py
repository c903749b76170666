"""Read-only SQL on PostgreSQL: a server-side cursor in a read-only transaction with a time limit.

The cursor takes one query and nothing else. What functions a query may call is the business of
the role in the DSN: give readers one that may only SELECT.
"""

import re
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from typing import Any, Final

import psycopg
from psycopg import Connection, RawCursor, RawServerCursor, errors
from psycopg.abc import Buffer
from psycopg.adapt import Loader
from psycopg.sql import SQL

from uns.historian.answers import CHUNK_ROWS, Question, Result, gather, instant
from uns.historian.errors import (
    HistorianError,
    QueryFailed,
    QueryRefused,
    QueryTimeout,
    StoreUnavailable,
    one_line,
)
from uns.historian.postgres_store import CONNECTION, place

READING: Final = frozenset({"select", "with", "values", "table", "explain"})
_FIRST_WORD: Final = re.compile(r"(?:\s|\(|--[^\n]*(?:\n|$)|/\*.*?\*/)*(\w*)", re.DOTALL)
_REFUSED: Final = (
    errors.ReadOnlySqlTransaction,
    errors.InsufficientPrivilege,
    errors.FeatureNotSupported,
)


class PostgresReader:
    """The database at a DSN; the connection is kept between queries."""

    def __init__(self, dsn: str) -> None:
        self._dsn = dsn
        self._place = place(dsn)
        self._db: Connection[Any] | None = None

    def query(self, question: Question) -> Result:
        """See Source."""
        word = checked_word(question)
        with self._guarded(question) as db, db.transaction():
            for sql in reading(question):
                db.execute(SQL(sql))
            return (_explain if word == "explain" else _select)(db, question)

    def close(self) -> None:
        """See Source."""
        if self._db is not None:
            self._db.close()
            self._db = None

    @contextmanager
    def _guarded(self, question: Question) -> Iterator[Connection[Any]]:
        try:
            if self._db is None or self._db.closed:
                self._db = connect(self._dsn)
            yield self._db
        except (psycopg.Error, UnicodeError) as error:
            named = by_our_name(error, question, self._place)
            if isinstance(named, StoreUnavailable):
                self.close()  # it may be broken
            raise named from error


def by_our_name(error: Exception, question: Question, where: str) -> HistorianError:
    """A driver's error by our name; `where`: the database as it may be shown."""
    match error:
        case errors.QueryCanceled():
            return QueryTimeout(f"stopped after {question.timeout_s:g} s")
        case errors.ProtocolViolation():
            return QueryFailed(one_line(error))
        case errors.OperationalError() | errors.InterfaceError():
            return StoreUnavailable(f"{where}: {one_line(error)}")
        case _ if isinstance(error, _REFUSED):
            return QueryRefused(one_line(error))
        case _:
            return QueryFailed(one_line(error))


def reading(question: Question) -> tuple[str, str]:
    """What a transaction begins with that answers a question."""
    timeout_ms = int(question.timeout_s * 1000)
    return "SET TRANSACTION READ ONLY", f"SET LOCAL statement_timeout TO {timeout_ms}"


def checked_word(question: Question) -> str:
    """The first word of a question within its bounds; QueryRefused where it does not read."""
    word = _first_word(question.checked().sql)
    if word not in READING:
        raise QueryRefused(f"{word.upper() or 'no statement'} is refused: only SELECT is taken")
    return word


class _Instants(Loader):
    """Timestamps as text: Python's cannot hold every instant that a store can."""

    def load(self, data: Buffer) -> str:
        text = bytes(data).decode()
        try:
            return instant(datetime.fromisoformat(text))
        except ValueError:
            return text


def connect(dsn: str) -> Connection[Any]:
    """A connection that tells instants as text, in UTC."""
    db = psycopg.connect(dsn, autocommit=True, **{**CONNECTION, "application_name": "uns-reader"})
    db.execute("SET timezone TO 'UTC'")
    db.execute("SET jit TO off")  # to compile a question takes longer than to answer it
    for kind in ("timestamp", "timestamptz"):
        db.adapters.register_loader(kind, _Instants)
    return db


def _select(db: Connection[Any], question: Question) -> Result:
    with RawServerCursor(db, "question") as cursor:
        cursor.execute(question.sql.encode(), question.params)
        return gather(_columns(cursor), _chunks(cursor, question.timeout_s), question.limit)


def _explain(db: Connection[Any], question: Question) -> Result:
    with RawCursor(db) as cursor:
        cursor.execute(question.sql.encode(), question.params, prepare=True)
        return gather(_columns(cursor), [cursor.fetchall()], question.limit)


def _columns(cursor: RawCursor[Any] | RawServerCursor[Any]) -> list[str]:
    return [column.name for column in cursor.description or ()]


def _chunks(cursor: RawServerCursor[Any], timeout_s: float) -> Iterator[Sequence[Sequence[Any]]]:
    """Rows as they come; the server limits each fetch, this limits them all."""
    end_s = time.monotonic() + timeout_s
    while rows := cursor.fetchmany(CHUNK_ROWS):
        yield rows
        if time.monotonic() > end_s:
            raise QueryTimeout(f"stopped after {timeout_s:g} s")


def _first_word(sql: str) -> str:
    found = _FIRST_WORD.match(sql)
    return found.group(1).lower() if found else ""
