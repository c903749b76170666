"""Rows on their way into PostgreSQL: binary COPY, and the temporary tables that are merged from.

Owns the staging tables of one connection: they are empty between writes. Knows neither series nor
transactions: the store has them.
"""

from collections import Counter
from collections.abc import Sequence
from typing import Any, Final

from psycopg import Connection
from psycopg.sql import SQL

from uns.historian import merging, projecting
from uns.historian.rows import DUE, NEWEST, TABLES, Table

JSONB_TABLES: Final = {
    name: table._replace(types=tuple("jsonb" if kind == "json" else kind for kind in table.types))
    for name, table in TABLES.items()
}
STAGED: Final = (*JSONB_TABLES.values(), DUE, NEWEST)
DEAD_ROWS_MAX: Final = 4_000
"""How many rows are deleted from a staging table before it is truncated. To truncate it each time
costs more than all else that a small write does; never, and each write reads what all others left.
"""


class Staging:
    """The staging tables of a connection. They are made with it."""

    def __init__(self, db: Connection[Any]) -> None:
        self._db = db
        self._rows: Counter[str] = Counter()
        for table in STAGED:
            db.execute(ours(f"CREATE TEMP TABLE {table.staging} ({table.declaration})"))

    def fill(self, table: Table, rows: Sequence[tuple[Any, ...]]) -> None:
        """Copy rows into the staging table of theirs."""
        copy(self._db, table.staging, table, rows)
        self._rows[table.staging] += len(rows)

    def clear(self, table: Table) -> None:
        """Empty the staging table again."""
        if self._rows[table.staging] > DEAD_ROWS_MAX:
            self._db.execute(ours(f"TRUNCATE {table.staging}"), prepare=True)
            del self._rows[table.staging]
        else:
            delete = f"DELETE FROM {table.staging}"  # noqa: S608 - a name of ours
            self._db.execute(ours(delete), prepare=True)

    def merge(self, table: Table, rows: Sequence[tuple[Any, ...]]) -> None:
        """Bring rows into their table, each at most once, and to the read models."""
        self.fill(table, rows)
        self._db.execute(ours(merging.POSTGRES[table.name]), prepare=True)
        self._project(table, rows)
        if afterwards := merging.AFTERWARDS.get(table.name):
            self._db.execute(ours(afterwards), prepare=True)
        self.clear(table)

    def project(self, table: Table, rows: Sequence[tuple[Any, ...]]) -> None:
        """Bring rows that stand in their table to the read models."""
        self.fill(table, rows)
        self._project(table, rows)
        self.clear(table)

    def _project(self, table: Table, rows: Sequence[tuple[Any, ...]]) -> None:
        for sql in projecting.due(table.name, rows):
            self._db.execute(ours(sql), prepare=True)


def copy(db: Connection[Any], name: str, table: Table, rows: Sequence[tuple[Any, ...]]) -> None:
    """Copy rows of a table's kind into the table of a name."""
    if not rows:
        return
    columns = ", ".join(table.columns)
    with (
        db.cursor() as cursor,
        cursor.copy(ours(f"COPY {name} ({columns}) FROM STDIN (FORMAT BINARY)")) as into,
    ):
        into.set_types(table.types)
        for row in rows:
            into.write_row(row)


def ours(sql: str) -> SQL:
    """SQL of this package: it holds no value from outside."""
    return SQL(sql)
