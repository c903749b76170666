"""`uns export parquet`: the record as Parquet files, day by day, and only what changed since.

Owns the order of effects: rows are staged, sorted and split beside the export, put in place file by
file, and then the manifest says so. Whatever is killed, every file is whole, and the next run does
what is left. The layout is parquet_folder's, what a data set is datasets' business.

Days that the store has dropped since stay in the export; so does a day of which it dropped a part.
"""

import fcntl
import shutil
from collections.abc import Callable, Iterator, Sequence
from collections.abc import Set as AbstractSet
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, NamedTuple

from duckdb import DuckDBPyConnection

from uns.historian.answers import ROWS_MAX, TIMEOUT_S_MAX, Question
from uns.historian.datasets import (
    ALWAYS,
    DATASETS,
    Dataset,
    Window,
    arrived,
    day_name,
    day_of,
    filed_name,
    fingerprints,
    placed,
    rows_of,
)
from uns.historian.errors import ExportRefused
from uns.historian.extracts import extracted
from uns.historian.filing import file_rows, workbench
from uns.historian.parquet_folder import Day, Exported, ExportFolder, Manifest, settle
from uns.historian.quoting import literal, quoted
from uns.historian.reader import Reader, open_reader
from uns.historian.store import locate

STAGING: Final = ".staging"
LOCK: Final = ".lock"
STORE: Final = "SELECT min(applied_ms), max(version) FROM schema_version"


class Done(NamedTuple):
    """Of a read model: days written, their rows, and days kept, of which the store has less."""

    days: int = 0
    rows: int = 0
    kept: int = 0


class Staged(NamedTuple):
    """The rows of a partition, filed beside the export."""

    file: Path
    site: str | None
    line: str | None
    rows: int


class Marked(NamedTuple):
    """A day of the store, counted from 1970-01-01; its mark changes with its rows."""

    day: int
    mark: str


@dataclass(frozen=True)
class Job:
    """What is exported whereto. `on_day` is told about every day that was written."""

    location: str | Path
    folder: ExportFolder
    window: Window = ALWAYS
    tables: Sequence[str] = tuple(DATASETS)
    on_day: Callable[[str, str, int], None] = field(default=lambda _table, _day, _rows: None)

    @property
    def staging(self) -> Path:
        """Where rows are prepared: on the same file system as the export."""
        return self.folder.root / STAGING


def export(job: Job) -> dict[str, Done]:
    """Bring the files of an export up to date with its store; by read model what was done.

    Raises ExportRefused, and what a Reader raises: what was in place stays so.
    """
    if unknown := [name for name in job.tables if name not in DATASETS]:
        raise ExportRefused(f"no read model {unknown[0]!r}: use {', '.join(DATASETS)}")
    with (
        _alone(job.folder.root),
        _staging(job.staging),
        workbench(job.staging) as db,
        open_reader(job.location) as reader,
    ):
        at = _Bench(job, reader, db, _manifest(job.folder, reader))
        return {name: _Table(at, DATASETS[name]).bring_up() for name in job.tables}


class _Bench(NamedTuple):
    """What an export works with."""

    job: Job
    reader: Reader
    db: DuckDBPyConnection
    manifest: Manifest


class _Table:
    """One read model of an export."""

    def __init__(self, at: _Bench, dataset: Dataset) -> None:
        self._job, self._reader, self._db, self._manifest = at
        self._set = dataset
        self._known = at.manifest.tables.setdefault(dataset.name, Exported())
        self._columns = self._known.columns

    def bring_up(self) -> Done:
        """Export the days that changed."""
        before = self._known.model_copy(deep=True)
        if not self._known.current:
            self._take_columns()
        found = self._found()
        changed = [c for c in found if self._job.window.holds(c.day) and not self._is_known(c)]
        written = [self._write(one) for one in changed]
        if self._set.arrivals and self._job.window.is_open:
            self._known.reached_ms = max([self._known.reached_ms, *(int(c.mark) for c in found)])
        if not self._set.ages:
            self._remove({day_name(one.day) for one in found})
        if self._known != before:
            self._job.folder.save(self._manifest)
        rows = [count for count in written if count is not None]
        return Done(len(rows), sum(rows), len(written) - len(rows))

    def _take_columns(self) -> None:
        """Learn the columns; where they are not those of the export, every day is written anew."""
        with self._rows(None) as file:
            found = self._db.execute(f"DESCRIBE FROM {_parquet(file)}").fetchall()
        self._columns = {name: sql_type for name, sql_type, *_ in found}
        if self._columns != self._known.columns:
            self._known.reached_ms = 0
            for day in self._known.days.values():
                day.mark = ""
        self._settle_columns(at_once=not self._known.days)

    def _settle_columns(self, *, at_once: bool = True) -> None:
        """The export has the columns of the store as soon as it has a file with them."""
        if at_once or self._columns == self._known.columns:
            self._known.columns, self._known.current = self._columns, True

    def _found(self) -> list[Marked]:
        """Every day of the store; of rows that never change, those where rows were added."""
        if self._set.arrivals:
            sql, since = arrived(self._set), self._known.reached_ms
        else:
            is_file = locate(self._job.location).path is not None
            sql, since = fingerprints(self._set, "duckdb" if is_file else "postgres"), 0
        found = self._reader.query(sql, (since,), ROWS_MAX, TIMEOUT_S_MAX).rows
        return [Marked(int(day), str(mark)) for day, mark in found]

    def _is_known(self, changed: Marked) -> bool:
        known = self._known.days.get(day_name(changed.day))
        return known is not None and known.mark == changed.mark

    def _write(self, changed: Marked) -> int | None:
        """Put a day in place; the number of its rows, or None where the export has more of them."""
        day = day_name(changed.day)
        known = self._known.days.get(day)
        with self._rows(changed.day) as file:
            staged = self._split(file)
        rows = sum(one.rows for one in staged)
        if self._set.ages and known and rows < known.rows:
            self._known.days[day] = Day(rows=known.rows, mark=changed.mark)
            return None
        self._put(staged, day)
        self._settle_columns()
        self._known.days[day] = Day(rows=rows, mark=changed.mark)
        self._job.folder.save(self._manifest)
        self._job.on_day(self._set.name, day, rows)
        return rows

    def _split(self, file: Path) -> list[Staged]:
        """The rows of a day in a file for each site and line, in the order of place and time."""
        rows = f"({placed(self._set, _parquet(file))})"
        places = f"SELECT DISTINCT in_site, in_line FROM {rows} ORDER BY ALL"  # noqa: S608 - of ours
        found = self._db.execute(places).fetchall()
        return [self._part(rows, number, *place) for number, place in enumerate(found)]

    def _part(self, rows: str, number: int, site: str | None, line: str | None) -> Staged:
        selected = ", ".join(f"{quoted(c)} AS {quoted(filed_name(c))}" for c in self._columns)
        there = f"{_is('in_site', site)} AND {_is('in_line', line)}"
        order = f"{self._set.place}, {self._set.at_ms}"
        sql = f"SELECT {selected} FROM {rows} WHERE {there} ORDER BY {order}"  # noqa: S608 - of ours
        file = self._job.staging / f"{number}.parquet"
        count = file_rows(self._db, sql, file)
        settle(file)
        return Staged(file, site, line, count)

    def _put(self, staged: Sequence[Staged], day: str) -> None:
        """Replace the files of a day, and remove those of places that have no rows any more."""
        folder, table = self._job.folder, self._set.name
        gone = set(folder.files(table, day))
        for one in staged:
            file = folder.file(table, one.site, one.line, day)
            file.parent.mkdir(parents=True, exist_ok=True)
            one.file.replace(file)
            settle(file.parent)
            gone.discard(file)
        for file in gone:
            file.unlink()

    def _remove(self, found: AbstractSet[str]) -> None:
        """Take away the days in the window whose rows have all moved to other days."""
        for day in [day for day in self._known.days if day not in found]:
            if self._job.window.holds(day_of(day)):
                self._put([], day)
                del self._known.days[day]

    @contextmanager
    def _rows(self, day: int | None) -> Iterator[Path]:
        question = Question(rows_of(self._set, day), timeout_s=TIMEOUT_S_MAX)
        with extracted(self._job.location, question, self._job.staging) as file:
            yield file


def _manifest(folder: ExportFolder, reader: Reader) -> Manifest:
    made_ms, schema = (int(value) for value in reader.query(STORE).rows[0])
    manifest = folder.load() or Manifest(store_ms=made_ms, schema_version=schema)
    if manifest.store_ms != made_ms:
        raise ExportRefused(f"{folder.root} holds the export of another store: name another folder")
    if manifest.schema_version != schema:
        manifest.schema_version = schema
        for exported in manifest.tables.values():
            exported.current = False
    return manifest


def _parquet(file: Path) -> str:
    return f"read_parquet({literal(str(file))})"


def _is(column: str, value: str | None) -> str:
    return f"{column} IS NULL" if value is None else f"{column} = {literal(value)}"


@contextmanager
def _alone(root: Path) -> Iterator[None]:
    """Hold an export for one writer. Raises ExportRefused while another has it."""
    try:
        root.mkdir(parents=True, exist_ok=True)
        lock = (root / LOCK).open("w")
    except OSError as error:
        raise ExportRefused(f"{root}: {error.strerror}") from error
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise ExportRefused(f"{root} is being written by another export") from error
        yield


@contextmanager
def _staging(folder: Path) -> Iterator[None]:
    """An empty folder, gone afterwards; what a killed run left in it is removed."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(mode=0o700)
    try:
        yield
    finally:
        shutil.rmtree(folder, ignore_errors=True)
