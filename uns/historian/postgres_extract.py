"""The rows of one SELECT on PostgreSQL as a Parquet file: read-only, within a time limit.

They come as Arrow where the ADBC driver is installed (`pip install 'uns-mes[analytics]'`), else as
CSV through psycopg; DuckDB files them. What functions a query may call is the business of the role.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final, NamedTuple

import duckdb
import psycopg
from duckdb import DuckDBPyConnection
from psycopg import Connection
from psycopg.sql import SQL

from uns.historian.answers import Question
from uns.historian.errors import (
    HistorianError,
    QueryFailed,
    QueryRefused,
    QueryTimeout,
    one_line,
)
from uns.historian.filing import file_rows, workbench
from uns.historian.postgres_reader import by_our_name, checked_word, connect, reading
from uns.historian.postgres_store import place
from uns.historian.quoting import literal, quoted

ARROW: Final = "adbc_driver_postgresql"
NULL: Final = r"\N"
LINE_BYTES_MAX: Final = 64_000_000


class Type(NamedTuple):
    """A type in files, and the SQL by which PostgreSQL tells a value so that it fits."""

    filed: str
    told: str = "{}"


_TEXT: Final = Type("VARCHAR", "CAST({} AS text)")
TYPES: Final[dict[str, Type]] = {
    "text": Type("VARCHAR"),
    "varchar": Type("VARCHAR"),
    "int8": Type("BIGINT"),
    "int4": Type("INTEGER"),
    "int2": Type("SMALLINT"),
    "float8": Type("DOUBLE"),
    "float4": Type("FLOAT"),
    "bool": Type("BOOLEAN"),
    "date": Type("DATE"),
    "timestamp": Type("TIMESTAMP"),
    "timestamptz": Type("TIMESTAMP", "{} AT TIME ZONE 'UTC'"),
    "numeric": Type("DOUBLE", "CAST({} AS double precision)"),
    "json": Type("JSON", "CAST({} AS text)"),
    "jsonb": Type("JSON", "CAST({} AS text)"),
}
"""By PostgreSQL's names; what is not listed is filed as its text."""


class Column(NamedTuple):
    """A column of the answer."""

    name: str
    type: Type


def copy(dsn: str, question: Question, file: Path) -> None:
    """File the rows of a question without parameters. Raises what a Reader raises."""
    where = place(dsn)
    if checked_word(question) == "explain" or question.params:
        raise QueryRefused("only a SELECT without parameters fills a file")
    with workbench(file.parent) as db, _named(question, where):
        columns, sql = _told(dsn, question)
        filed = ", ".join(
            f"CAST({quoted(c.name)} AS {c.type.filed}) AS {quoted(c.name)}" for c in columns
        )
        source = _from_arrow if find_spec(ARROW) else _from_csv
        with source(db, Asked(dsn, question, sql, columns, file)) as rows:
            file_rows(db, f"SELECT {filed} FROM {rows}", file)  # noqa: S608 - rows in memory


class Asked(NamedTuple):
    """A question as PostgreSQL gets it: `sql` tells the columns so that they fit."""

    dsn: str
    question: Question
    sql: str
    columns: Sequence[Column]
    file: Path


def _told(dsn: str, question: Question) -> tuple[list[Column], str]:
    """The columns of a question, and the SQL that tells their values."""
    sql = question.sql.strip().removesuffix(";")
    with connect(dsn) as db, db.transaction(), db.cursor() as cursor:
        _begin(db, question)
        columns_only = f"SELECT * FROM ({sql}\n) AS asked LIMIT 0"  # noqa: S608 - read-only there
        cursor.execute(columns_only.encode(), prepare=True)  # takes one statement only
        columns = [
            Column(column.name, TYPES.get(_type_name(db, column.type_code), _TEXT))
            for column in cursor.description or ()
        ]
    told = ", ".join(f"{c.type.told.format(quoted(c.name))} AS {quoted(c.name)}" for c in columns)
    return columns, f"SELECT {told} FROM ({sql}\n) AS asked"  # noqa: S608 - read-only there


@contextmanager
def _from_arrow(db: DuckDBPyConnection, asked: Asked) -> Iterator[str]:
    dbapi = import_module(f"{ARROW}.dbapi")
    with dbapi.connect(asked.dsn) as source, source.cursor() as cursor:
        for sql in ("SET timezone TO 'UTC'", *reading(asked.question)):
            cursor.execute(sql)
        cursor.execute(asked.sql)
        db.register("arrow_rows", cursor.fetch_record_batch())
        yield "arrow_rows"
        db.unregister("arrow_rows")


@contextmanager
def _from_csv(_db: DuckDBPyConnection, asked: Asked) -> Iterator[str]:
    text = asked.file.with_suffix(".csv")
    try:
        with connect(asked.dsn) as source, source.transaction(), source.cursor() as cursor:
            _begin(source, asked.question)
            form = f"FORMAT csv, NULL '{NULL}'"
            with (
                cursor.copy(f"COPY ({asked.sql}) TO STDOUT ({form})".encode()) as rows,
                text.open("wb") as out,
            ):
                for chunk in rows:
                    out.write(chunk)
        columns = ", ".join(f"{literal(c.name)}: '{c.type.filed}'" for c in asked.columns)
        yield (
            f"read_csv({literal(str(text))}, columns = {{{columns}}}, auto_detect = false,"
            f" header = false, delim = ',', quote = '\"', escape = '\"', nullstr = '{NULL}',"
            f" allow_quoted_nulls = false, max_line_size = {LINE_BYTES_MAX}, parallel = false)"
        )
    finally:
        text.unlink(missing_ok=True)


def _begin(db: Connection[Any], question: Question) -> None:
    for sql in reading(question):
        db.execute(SQL(sql))


def _type_name(db: Connection[Any], oid: int) -> str:
    known = db.adapters.types.get(oid)
    return known.name if known else "unknown"


@contextmanager
def _named(question: Question, where: str) -> Iterator[None]:
    """The errors of three libraries by our names; an Arrow stream's come out of DuckDB."""
    try:
        yield
    except (psycopg.Error, UnicodeError) as error:
        raise by_our_name(error, question, where) from error
    except duckdb.Error as error:
        raise _of_stream(error, question) from error
    except Exception as error:
        if type(error).__module__.partition(".")[0] == "adbc_driver_manager":
            raise _of_stream(error, question) from error
        raise


def _of_stream(error: Exception, question: Question) -> HistorianError:
    if "statement timeout" in str(error):
        return QueryTimeout(f"stopped after {question.timeout_s:g} s")
    return QueryFailed(one_line(error).rpartition("ERROR: ")[2])
