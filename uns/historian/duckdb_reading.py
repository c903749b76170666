"""Read-only SQL on DuckDB: for the historian's own thread, and for the file when nobody owns it.

A statement that is not a query is refused by its type; whatever it calls runs in a read-only
transaction of a connection that may touch no other file. Rows may be asked for as a Parquet file in
a folder beside the store.
"""

import json
import re
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import duckdb
from duckdb import DuckDBPyConnection, Statement, StatementType

from uns.historian.answers import (
    CHUNK_ROWS,
    EXTRACT_NAME,
    EXTRACTS,
    Question,
    Result,
    gather,
)
from uns.historian.errors import (
    QueryFailed,
    QueryRefused,
    QueryTimeout,
    StoreUnavailable,
    TooMuchMemory,
    one_line,
)
from uns.historian.quoting import literal

SETTINGS: Final[dict[str, str | bool | int | float | list[str]]] = {
    "threads": "2",
    "memory_limit": "128MB",
    "autoload_known_extensions": "false",
    "autoinstall_known_extensions": "false",
    "python_enable_replacements": "false",
}
"""How every process opens the file; `sealed` before any SQL from outside."""

_EXPLAIN: Final = re.compile(
    r"EXPLAIN\s+(?:ANALYZE\s+|\(\s*(?:ANALYZE|FORMAT)\b[\w\s,]*\))?", re.IGNORECASE
)
"""What stands before the statement that is explained; with ANALYZE that one is run."""
AS_PARQUET: Final = "FORMAT parquet, COMPRESSION zstd, ROW_GROUP_SIZE 20480"
IN_ANY_ORDER: Final = ", PRESERVE_ORDER false, ROW_GROUP_SIZE_BYTES '4MB'"
"""A group of rows is held in memory until it is written; without an order, it ends by its size."""


def opened(path: Path, *, read_only: bool = False) -> DuckDBPyConnection:
    """A connection to the file of a store, sealed."""
    db = duckdb.connect(str(path), read_only=read_only, config=SETTINGS)
    try:
        return sealed(db, path.parent / EXTRACTS)
    except BaseException:
        db.close()
        raise


def sealed(db: DuckDBPyConnection, folder: Path) -> DuckDBPyConnection:
    """Itself; from here on it touches its own file and those in a folder, whatever SQL says."""
    db.execute(f"SET allowed_directories = [{literal(str(folder.resolve()))}]")
    db.execute("SET enable_external_access = false")
    db.execute("SET lock_configuration = true")
    return db


def answer(cursor: DuckDBPyConnection, question: Question, store: Path | None = None) -> Result:
    """Run one query on a connection of its own; `store`: where its EXTRACTS are.

    Raises QueryRefused, QueryFailed, QueryTimeout or StoreUnavailable.
    """
    with reading(cursor, question) as statement:
        cursor.execute(_form(statement, question, store), list(question.params))
        return gather(_columns(cursor), _chunks(cursor), question.limit)


@contextmanager
def reading(cursor: DuckDBPyConnection, question: Question) -> Iterator[Statement]:
    """The one statement of a question, in a read-only transaction that ends with the context.

    Raises as `answer` does, also for what runs inside.
    """
    with _guarded(question), _stopping(cursor, question.timeout_s):
        statements = cursor.extract_statements(question.checked().sql)
        if len(statements) != 1:
            raise QueryRefused(f"{len(statements)} statements: only one is taken")
        if not _reads(cursor, statements[0]):
            raise QueryRefused(f"{statements[0].type.name} is refused: only SELECT is taken")
        cursor.execute("BEGIN TRANSACTION READ ONLY")
        try:
            yield statements[0]
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
            db = opened(self._path, read_only=True)
        except duckdb.Error as error:
            raise StoreUnavailable(f"{self._path}: {one_line(error)}") from error
        with db:
            return answer(db, question, self._path.parent)


def _reads(cursor: DuckDBPyConnection, statement: Statement) -> bool:
    """Whether it is a SELECT, or explains one."""
    if statement.type is not StatementType.EXPLAIN:
        return statement.type is StatementType.SELECT
    explained = cursor.extract_statements(_EXPLAIN.sub("", statement.query, count=1))
    return [one.type for one in explained] == [StatementType.SELECT]


def _form(statement: Statement, question: Question, store: Path | None) -> Statement | str:
    """A statement as it is run: by itself, or into the file that its rows shall fill."""
    if question.into is None:
        return statement
    if store is None or not EXTRACT_NAME.fullmatch(question.into):
        raise QueryRefused(f"{question.into!r} is no place for an extract")
    file = store.resolve() / EXTRACTS / question.into
    sql = statement.query.strip().removesuffix(";")
    order = "" if "order by" in sql.lower() else IN_ANY_ORDER
    return f"COPY ({sql}\n) TO {literal(str(file))} ({AS_PARQUET}{order})"


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
    except duckdb.OutOfMemoryException:
        raise TooMuchMemory("it takes more memory than it may: ask for less at a time") from None
    except (duckdb.IOException, duckdb.FatalException, duckdb.ConnectionException) as error:
        raise StoreUnavailable(one_line(error)) from error
    except (duckdb.Error, UnicodeError) as error:
        raise QueryFailed(one_line(error)) from error
