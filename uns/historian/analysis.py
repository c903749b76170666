"""SQL for notebooks: one SELECT over an export or a store, as Arrow or a data frame.

Read-only, with bounds on rows, memory and time. Over an export DuckDB reads Parquet files; a store
hands its rows out as one. Does not know what is asked.

    import uns.historian
    uns.historian.query("SELECT * FROM oee_intervals", over="export").df()
"""

import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from uns.historian.answers import TIMEOUT_S_DEFAULT, Question
from uns.historian.errors import ExtraMissing, QueryRefused
from uns.historian.extracts import extracted
from uns.historian.quoting import literal
from uns.historian.store import locate

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

ROWS_DEFAULT: Final = 1_000_000
ROWS_MAX: Final = 100_000_000
MEMORY_MB_DEFAULT: Final = 512
MEMORY_MB_MAX: Final = 65_536
BATCH_ROWS: Final = 2_048
"""A batch is made before its size is seen, beside the memory that DuckDB may take."""


@dataclass(frozen=True)
class Bounds:
    """How much an answer may take. memory_mb: of the query, and once more of its rows."""

    rows: int = ROWS_DEFAULT
    timeout_s: float = TIMEOUT_S_DEFAULT
    memory_mb: int = MEMORY_MB_DEFAULT

    def checked(self) -> "Bounds":
        """Itself, or QueryRefused naming what is out of bounds."""
        if not 1 <= self.rows <= ROWS_MAX:
            raise QueryRefused(f"rows {self.rows}: use 1 to {ROWS_MAX}")
        if not 1 <= self.memory_mb <= MEMORY_MB_MAX:
            raise QueryRefused(f"memory_mb {self.memory_mb}: use 1 to {MEMORY_MB_MAX}")
        return self


@dataclass(frozen=True)
class Answer:
    """Rows with their types, as a pyarrow.Table. `truncated`: there were more than the bounds."""

    table: Any
    truncated: bool

    @property
    def columns(self) -> tuple[str, ...]:
        """The names, in the order of the query."""
        return tuple(self.table.column_names)

    @property
    def rows(self) -> list[tuple[Any, ...]]:
        """The rows as Python's values."""
        return list(zip(*(column.to_pylist() for column in self.table.columns), strict=True))

    def arrow(self) -> Any:
        """A pyarrow.Table."""
        return self.table

    def df(self) -> Any:
        """A pandas.DataFrame; needs pandas."""
        return self.table.to_pandas()


BOUNDS: Final = Bounds()


def query(
    sql: str, over: str | Path, params: Sequence[Any] = (), bounds: Bounds = BOUNDS
) -> Answer:
    """Answer one SELECT over an export (its folder) or a store (a DuckDB file, `postgresql://…`).

    Values only by `$1`, `$2`… and `params`, which PostgreSQL does not take here. Raises
    ExtraMissing, QueryRefused, QueryFailed, QueryTimeout or StoreUnavailable.
    """
    if not find_spec("pyarrow"):
        raise ExtraMissing("pyarrow is missing: pip install 'uns-mes[analytics]'")
    question = Question(sql, params, timeout_s=bounds.checked().timeout_s)
    path, _ = locate(over)
    opened = _over_export if path is not None and path.is_dir() else _over_store
    with opened(str(over), question, bounds) as (db, text, values):
        from uns.historian.duckdb_reading import reading  # noqa: PLC0415 - 25 MB, if it is used

        with reading(db, question._replace(sql=text)):
            return _taken(db.sql(text, params=list(values)).to_arrow_reader(BATCH_ROWS), bounds)


Opened = tuple["DuckDBPyConnection", str, Sequence[Any]]
"""A database, and the SQL with its values to run there."""


@contextmanager
def _over_export(over: str, question: Question, bounds: Bounds) -> Iterator[Opened]:
    from uns.historian.parquet_folder import ExportFolder, opened_export  # noqa: PLC0415 - as above

    with opened_export(ExportFolder(Path(over)), question.sql, bounds.memory_mb) as db:
        yield db, question.sql, question.params


@contextmanager
def _over_store(over: str, question: Question, bounds: Bounds) -> Iterator[Opened]:
    from uns.historian.filing import workbench  # noqa: PLC0415 - as above

    sql = question.sql.strip().removesuffix(";")
    bounded = f"SELECT * FROM ({sql}\n) AS asked LIMIT {bounds.rows + 1}"  # noqa: S608 - read-only there
    with tempfile.TemporaryDirectory(prefix="uns-") as folder:
        staging = Path(folder)
        with (
            extracted(over, question._replace(sql=bounded), staging) as file,
            workbench(staging) as db,
        ):
            yield db, f"SELECT * FROM read_parquet({literal(str(file))})", ()  # noqa: S608 - a file of ours


def _taken(batches: Any, bounds: Bounds) -> Answer:
    """The rows of Arrow batches, as far as the bounds go."""
    taken, rows, size = [], 0, 0
    for batch in batches:
        taken.append(batch[: bounds.rows - rows])
        rows, size = rows + batch.num_rows, size + batch.nbytes
        if rows > bounds.rows or size > bounds.memory_mb * 1_000_000:
            break
    table = import_module("pyarrow").Table.from_batches(taken, batches.schema)
    return Answer(table, rows > bounds.rows or size > bounds.memory_mb * 1_000_000)
