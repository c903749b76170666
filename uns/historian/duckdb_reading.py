"""Read-only SQL on DuckDB: for the historian's own thread, and for the file when nobody owns it.

A statement that is not a query is refused by its type; whatever it calls runs in a read-only
transaction of a connection that may touch no other file.
"""

import json
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import duckdb
from duckdb import DuckDBPyConnection, StatementType

from uns.historian.answers import CHUNK_ROWS, Question, Result, gather
from uns.historian.errors import (
    QueryFailed,
    QueryRefused,
    QueryTimeout,
    StoreUnavailable,
    one_line,
)

SETTINGS: Final[dict[str, str | bool | int | float | list[str]]] = {
    "threads": "2",
    "memory_limit": "128MB",
    "enable_external_access": "false",
    "autoload_known_extensions": "false",
    "autoinstall_known_extensions": "false",
    "python_enable_replacements": "false",
    "lock_configuration": "true",
}
"""How every process opens the file: no other file is ever touched, whatever SQL says."""

READING: Final = (StatementType.SELECT, StatementType.EXPLAIN)


def answer(cursor: DuckDBPyConnection, question: Question) -> Result:
    """Run one query on a connection of its own.

    Raises QueryRefused, QueryFailed, QueryTimeout or StoreUnavailable.
    """
    with _guarded(question), _stopping(cursor, question.timeout_s):
        statements = cursor.extract_statements(question.checked().sql)
        if len(statements) != 1:
            raise QueryRefused(f"{len(statements)} statements: only one is taken")
        if statements[0].type not in READING:
            raise QueryRefused(f"{statements[0].type.name} is refused: only SELECT is taken")
        cursor.execute("BEGIN TRANSACTION READ ONLY")
        try:
            cursor.execute(statements[0], list(question.params))
            return gather(_columns(cursor), _chunks(cursor), question.limit)
        finally:
            cursor.rollback()


class DuckDbReader:
    """A DuckDB file that no process writes now, opened for one query at a time."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def query(self, question: Question) -> Result:
        """See Source."""
        if not self._path.exists():
            raise StoreUnavailable(f"{self._path} does not exist: no hub has recorded here")
        try:
            db = duckdb.connect(str(self._path), read_only=True, config=SETTINGS)
        except duckdb.Error as error:
            raise StoreUnavailable(f"{self._path}: {one_line(error)}") from error
        with db:
            return answer(db, question)


def _columns(cursor: DuckDBPyConnection) -> list[str]:
    return [column[0] for column in cursor.description or ()]


def _chunks(cursor: DuckDBPyConnection) -> Iterator[Sequence[Sequence[Any]]]:
    types = [str(column[1]) for column in cursor.description or ()]
    documents = [n for n, sql_type in enumerate(types) if sql_type == "JSON"]
    while rows := cursor.fetchmany(CHUNK_ROWS):
        yield [_parsed(row, documents) for row in rows] if documents else rows


def _parsed(row: Sequence[Any], documents: Sequence[int]) -> Sequence[Any]:
    values = list(row)
    for n in documents:
        values[n] = None if values[n] is None else json.loads(values[n])
    return values


@contextmanager
def _stopping(cursor: DuckDBPyConnection, timeout_s: float) -> Iterator[None]:
    timer = threading.Timer(timeout_s, cursor.interrupt)
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


@contextmanager
def _guarded(question: Question) -> Iterator[None]:
    try:
        yield
    except duckdb.InterruptException:
        raise QueryTimeout(f"stopped after {question.timeout_s:g} s") from None
    except duckdb.PermissionException as error:
        raise QueryRefused(one_line(error)) from error
    except (duckdb.IOException, duckdb.FatalException, duckdb.ConnectionException) as error:
        raise StoreUnavailable(one_line(error)) from error
    except (duckdb.Error, UnicodeError) as error:
        raise QueryFailed(one_line(error)) from error
