"""An export on disk: which files it is made of, and SQL over them.

`DIR/<read model>/site=S/line=L/day=D/rows.parquet`, and `manifest.json`, which says what was
exported and from which store. Owns the layout; does not know how rows get there (parquet.py). A
reader sees whole files: each is put in place at once.
"""

import os
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Annotated, Final

import duckdb
from duckdb import DuckDBPyConnection
from pydantic import BaseModel, Field, StringConstraints, ValidationError

from uns.historian.answers import Question, Result
from uns.historian.datasets import DATASETS, PARTITIONS, filed_name
from uns.historian.duckdb_reading import SETTINGS, answer, sealed
from uns.historian.errors import StoreUnavailable, one_line
from uns.historian.quoting import literal, quoted

MANIFEST: Final = "manifest.json"
FORMAT: Final = 1
ROWS: Final = "rows.parquet"
NOWHERE: Final = "__HIVE_DEFAULT_PARTITION__"
"""What Hive and its readers write for a row that belongs to no site or line."""
MEMORY_MB_DEFAULT: Final = 512
PATTERN: Final = re.compile(r"[*?\[]")
"""What DuckDB takes for a pattern in a path."""
TYPES: Final = "hive_types = {'site': VARCHAR, 'line': VARCHAR, 'day': DATE}"
MACROS: Final = """
CREATE MACRO at_utc(ms) AS make_timestamp(ms * 1000);
CREATE MACRO as_document(document) AS document;
CREATE MACRO as_count(number) AS TRY_CAST(number AS BIGINT);
"""
"""What the SQL of a store may call, it may call here."""


SqlType = Annotated[
    str, StringConstraints(pattern=r"^[A-Z][A-Z0-9_ ]*(\([0-9]+(, ?[0-9]+)?\))?(\[\])*$")
]
"""A type's name. It goes into SQL as it stands, and whoever made the folder wrote it."""


class Day(BaseModel):
    """A day that was exported; its `mark` changes with its rows."""

    rows: int
    mark: str


class Exported(BaseModel):
    """A read model that was exported.

    columns: their types, by name; `current` while they are those of the store. reached_ms: what was
    received until then is exported, of every day. days: by date.
    """

    columns: dict[str, SqlType] = Field(default={})
    current: bool = False
    reached_ms: int = 0
    days: dict[str, Day] = Field(default={})


class Manifest(BaseModel):
    """What an export holds. store_ms: when its store was made, which tells stores apart."""

    format: int = FORMAT
    store_ms: int
    schema_version: int
    tables: dict[str, Exported] = Field(default={})


class ExportFolder:
    """The files of one export."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def load(self) -> Manifest | None:
        """The manifest; None where nothing was exported. Raises StoreUnavailable."""
        try:
            manifest = Manifest.model_validate_json((self.root / MANIFEST).read_bytes())
        except FileNotFoundError:
            return None
        except (OSError, ValidationError) as error:
            raise StoreUnavailable(f"{self.root / MANIFEST}: {one_line(error)}") from error
        if manifest.format != FORMAT:
            raise StoreUnavailable(f"{self.root} is of another version: format {manifest.format}")
        return manifest

    def save(self, manifest: Manifest) -> None:
        """Replace the manifest at once."""
        new = self.root / f".{MANIFEST}.new"
        new.write_text(manifest.model_dump_json())
        settle(new)
        new.replace(self.root / MANIFEST)

    def file(self, table: str, site: str | None, line: str | None, day: str) -> Path:
        """Where the rows of a partition are."""
        places = (site or NOWHERE, line or NOWHERE, day)
        keys = (f"{key}={place}" for key, place in zip(PARTITIONS, places, strict=True))
        return self.root.joinpath(table, *keys, ROWS)

    def files(self, table: str, day: str = "*") -> Iterable[Path]:
        """The files of a table, or of one day of it."""
        return self.root.glob(f"{table}/site=*/line=*/day={day}/{ROWS}")


def settle(path: Path) -> None:
    """Return when the content of a file is on disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


class ParquetSource:
    """An export as a source of answers: the same names as in a store, and the same SQL."""

    def __init__(self, root: Path) -> None:
        self._folder = ExportFolder(root)

    def query(self, question: Question) -> Result:
        """See Source."""
        with opened_export(self._folder, question.sql) as db:
            return answer(db, question)

    def close(self) -> None:
        """See Source."""


def opened_export(
    folder: ExportFolder, sql: str, memory_mb: int = MEMORY_MB_DEFAULT
) -> DuckDBPyConnection:
    """A database with the read models that some SQL names; it can touch the export's files only.

    Raises StoreUnavailable where there is no export.
    """
    manifest = folder.load()
    if manifest is None:
        raise StoreUnavailable(f"{folder.root} holds no export: make one with `uns export parquet`")
    settings = {**SETTINGS, "memory_limit": f"{memory_mb}MB", "temp_directory": ""}
    db = duckdb.connect(config=settings)
    try:
        db.execute(MACROS)
        sealed(db, folder.root)
        for table in manifest.tables.keys() & DATASETS.keys():
            if table in sql.lower():  # to look into the files of all others takes time
                db.execute(_view(folder, table, manifest.tables[table].columns))
    except duckdb.Error as error:
        db.close()
        raise StoreUnavailable(f"{folder.root}: {one_line(error)}") from error
    return db


def _view(folder: ExportFolder, table: str, columns: Mapping[str, str]) -> str:
    if next(iter(folder.files(table)), None) is None:
        selected = ", ".join(f"CAST(NULL AS {t}) AS {quoted(c)}" for c, t in columns.items())
        return f"CREATE VIEW {table} AS SELECT {selected} WHERE false"
    selected = ", ".join(
        f"CAST({quoted(filed_name(c))} AS {t}) AS {quoted(c)}" for c, t in columns.items()
    )
    files = _selected(folder, table)
    options = f"hive_partitioning = true, {TYPES}, union_by_name = true"
    return f"CREATE VIEW {table} AS SELECT {selected} FROM read_parquet({files}, {options})"  # noqa: S608 - names of ours


def _selected(folder: ExportFolder, table: str) -> str:
    """The files of a table in SQL: by a pattern, or each where the folder's name is like one."""
    root = folder.root.resolve()
    if not PATTERN.search(str(root)):
        return literal(str(root / table / "site=*/line=*/day=*" / ROWS))
    return f"[{', '.join(literal(str(file.resolve())) for file in folder.files(table))}]"
