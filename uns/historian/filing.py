"""A DuckDB in memory that turns rows into Parquet files, with bounds and one thread.

Owns what a file of ours is. Only SQL of this package runs here.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import duckdb
from duckdb import DuckDBPyConnection

from uns.historian.duckdb_reading import AS_PARQUET, IN_ANY_ORDER, SETTINGS
from uns.historian.quoting import literal

MEMORY: Final = "512MB"
SETTINGS_HERE: Final = {**SETTINGS, "memory_limit": MEMORY, "threads": "1"}
"""One thread keeps the order of rows, and leaves the machine to the hub."""


@contextmanager
def workbench(staging: Path) -> Iterator[DuckDBPyConnection]:
    """An empty database; what does not fit into memory goes to a folder."""
    with duckdb.connect(config={**SETTINGS_HERE, "temp_directory": str(staging / "spill")}) as db:
        yield db


def file_rows(db: DuckDBPyConnection, sql: str, file: Path) -> int:
    """Write the rows of a SELECT to a new file; returns how many there were."""
    db.execute(f"COPY ({sql}\n) TO {literal(str(file))} ({AS_PARQUET}{IN_ANY_ORDER})")
    counted = db.fetchone()
    return int(counted[0]) if counted else 0
