"""The rows of one SELECT as a Parquet file, from any store, while the hub runs or not.

Owns the folder through which a historian hands files out. Rows never pass through Python: a DuckDB
file is copied by the historian that holds it, or opened here; PostgreSQL's rows come as Arrow.
"""

import secrets
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from uns.historian.answers import EXTRACTS, Question, Result
from uns.historian.errors import NoHistorian, StoreUnavailable
from uns.historian.query_port import PortReader
from uns.historian.store import locate

STALE_S: Final = 3_600
"""What a killed reader left there this long ago is removed by the next one."""


@contextmanager
def extracted(location: str | Path, question: Question, staging: Path) -> Iterator[Path]:
    """A Parquet file with the rows of a question, for as long as the context lasts.

    staging: a folder of the caller's, for what the store does not hand out itself. Its `limit`
    bounds nothing: put one into the SQL. Raises what a Reader raises, and ExtraMissing.
    """
    path, dsn = locate(location)
    name = f"{secrets.token_hex(8)}.parquet"
    file = (staging if path is None else path.parent / EXTRACTS) / name
    file.parent.mkdir(mode=0o700, exist_ok=True)
    try:
        if path is not None:
            _remove_stale(file.parent)
            _copied_from_file(path, question._replace(into=name))
        else:
            from uns.historian.postgres_extract import copy  # noqa: PLC0415 - 25 MB, if it is used

            copy(dsn or "", question, file)
        if not file.exists():
            raise StoreUnavailable("the running hub is older than this program: start it anew")
        yield file
    finally:
        file.unlink(missing_ok=True)


def _copied_from_file(path: Path, question: Question) -> Result:
    try:
        return PortReader(path.parent).query(question)
    except NoHistorian:
        from uns.historian.duckdb_reading import DuckDbReader  # noqa: PLC0415 - 25 MB, if it is used

        return DuckDbReader(path).query(question)


def _remove_stale(folder: Path) -> None:
    for file in folder.glob("*.parquet"):
        if time.time() - file.stat().st_mtime > STALE_S:
            file.unlink(missing_ok=True)
