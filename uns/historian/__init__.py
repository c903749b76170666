"""The record: what was said in the tree, in a store that outlives the broker.

Owns the stores (DuckDB, PostgreSQL, TimescaleDB), what is written to them and how it is read back.
Does not know bridges or processors: it sees decoded messages only.

    recorder     PURE  messages -> rows, watermarks, what a source may forget
    sources      PURE  how far each epoch of a source is on record (progress: its spans)
    owners       PURE  who owns a processor; former owners are fenced
    samples      PURE  a tag's payload as a row and back
    quarantine   PURE  what was refused, counted
    writer             messages -> one transaction, with bad rows put aside
    service            MQTT in, writer, acks, watermarks out
    store              what a store must do; duckdb_store and postgres_store do it
    reader             read-only SQL, while the hub runs and after it stopped
    queries            the questions that commands ask; the tree as it was
    gaps               what is missing, from whom and why
    sql/               the schema as numbered files; read models are its views
    datasets     PURE  the read models as data sets of files: places and days
    parquet            an export brought up to date; parquet_folder is what it looks like
    extracts           the rows of a query as one Parquet file, from any store
    analysis           `uns.historian.query`: Arrow and data frames for notebooks
"""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypedDict, Unpack

if TYPE_CHECKING:
    from uns.historian.analysis import Answer


class Limits(TypedDict, total=False):
    """What bounds an answer, see analysis.Bounds."""

    rows: int
    timeout_s: float
    memory_mb: int


def query(
    sql: str, over: str | Path, params: Sequence[Any] = (), **limits: Unpack[Limits]
) -> "Answer":
    """Answer one SELECT over an export or a store, for notebooks: `.df()`, `.arrow()`, `.rows`.

    over: an export's folder, a DuckDB file, or `postgresql://…`. Raises as analysis.query does.
    """
    from uns.historian import analysis  # noqa: PLC0415 - others of this package are small

    return analysis.query(sql, over, params, analysis.Bounds(**limits))
