"""Read-only SQL over the record, while the hub runs and after it stopped.

One contract for all stores: one statement, `$1` for parameters, bounds on rows and time. Views and
columns are the same everywhere (sql/0002_read_models.sql); a column named `at` is written `"at"`.
"""

from collections.abc import Sequence
from math import inf
from pathlib import Path
from types import TracebackType
from typing import Any, Protocol, Self

from uns.historian.answers import ROWS_DEFAULT, TIMEOUT_S_DEFAULT, Question, Result
from uns.historian.errors import NoHistorian
from uns.historian.query_port import PortReader
from uns.historian.store import locate


class Source(Protocol):
    """Whoever answers questions: a database, a file, the historian that holds the file."""

    def query(self, question: Question) -> Result:
        """Answer, or raise QueryRefused, QueryFailed, QueryTimeout or StoreUnavailable."""

    def close(self) -> None:
        """Release what is held."""


class Reader:
    """Asks one store; a context manager. timeout_s_max: no question may take longer."""

    def __init__(self, source: Source, timeout_s_max: float = inf) -> None:
        self._source = source
        self._timeout_s_max = timeout_s_max

    def within(self, timeout_s_max: float) -> "Reader":
        """The same store, for who cannot wait so long."""
        return Reader(self._source, timeout_s_max)

    def query(
        self,
        sql: str,
        params: Sequence[Any] = (),
        limit: int = ROWS_DEFAULT,
        timeout_s: float = TIMEOUT_S_DEFAULT,
    ) -> Result:
        """Answer one SELECT (or EXPLAIN); values only by `$1`, `$2`… and `params`.

        Raises QueryRefused, QueryFailed, QueryTimeout or StoreUnavailable.
        """
        bounded_s = min(timeout_s, self._timeout_s_max)
        return self._source.query(Question(sql, params, limit, bounded_s))

    def close(self) -> None:
        """Release the store."""
        self._source.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        _kind: type[BaseException] | None,
        _error: BaseException | None,
        _tb: TracebackType | None,
    ) -> None:
        self.close()


def open_reader(location: str | Path) -> Reader:
    """A reader of a store or an export; nothing is opened before the first query."""
    path, dsn = locate(location)
    if path is not None and path.is_dir():
        return open_export(path)
    if path is not None:
        return Reader(FileSource(path))
    from uns.historian.postgres_reader import PostgresReader  # noqa: PLC0415 - 25 MB, if it is used

    return Reader(PostgresReader(dsn or ""))


def open_export(folder: Path) -> Reader:
    """A reader of the Parquet files in a folder; the same SQL runs over them as in a store."""
    from uns.historian.parquet_folder import ParquetSource  # noqa: PLC0415 - 25 MB, if it is used

    return Reader(ParquetSource(folder))


class FileSource:
    """A DuckDB file: by the historian that holds it, else opened here."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._port = PortReader(path.parent)

    def query(self, question: Question) -> Result:
        """See Source."""
        try:
            return self._port.query(question)
        except NoHistorian:
            from uns.historian.duckdb_reading import DuckDbReader  # noqa: PLC0415 - 25 MB, if it is used

            return DuckDbReader(self._path).query(question)

    def close(self) -> None:
        """See Source."""
