"""PURE: the answer to a query: bounded, of values that JSON knows, the same from any store.

Instants are ISO 8601 in UTC (`2026-11-23T07:36:17.123Z`), bytes are hex, JSON columns are parsed.
"""

import math
import re
from collections.abc import Callable, Iterable, Sequence
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from typing import Any, Final, NamedTuple

from uns.historian.errors import QueryRefused

ROWS_DEFAULT: Final = 10_000
ROWS_MAX: Final = 100_000
BYTES_MAX: Final = 32_000_000
TIMEOUT_S_DEFAULT: Final = 30.0
TIMEOUT_S_MAX: Final = 300.0
SQL_LENGTH_MAX: Final = 100_000
CHUNK_ROWS: Final = 1_000
SCALAR_BYTES: Final = 16
EXTRACTS: Final = "extracts"
"""The folder beside a DuckDB store through which its rows are handed out as files."""
EXTRACT_NAME: Final = re.compile(r"[a-z0-9]{1,64}\.parquet")


class Result(NamedTuple):
    """Rows in the order of the query. `truncated`: there were more than the bound."""

    columns: tuple[str, ...]
    rows: list[tuple[Any, ...]]
    truncated: bool

    def documents(self) -> list[dict[str, Any]]:
        """The rows as objects by column."""
        return [dict(zip(self.columns, row, strict=True)) for row in self.rows]


class Question(NamedTuple):
    """One statement that reads, with values for `$1`, `$2` and so on, and its bounds.

    into: the name of a file beside a DuckDB store that takes all rows, whatever the limit; the
    answer is their number.
    """

    sql: str
    params: Sequence[Any] = ()
    limit: int = ROWS_DEFAULT
    timeout_s: float = TIMEOUT_S_DEFAULT
    into: str | None = None

    def checked(self) -> "Question":
        """Itself, or QueryRefused naming the bound that it breaks."""
        if not 1 <= self.limit <= ROWS_MAX:
            raise QueryRefused(f"limit {self.limit}: use 1 to {ROWS_MAX} rows")
        if not 0 < self.timeout_s <= TIMEOUT_S_MAX:
            raise QueryRefused(f"timeout {self.timeout_s} s: use up to {TIMEOUT_S_MAX:.0f} s")
        if len(self.sql) > SQL_LENGTH_MAX:
            raise QueryRefused(f"{len(self.sql)} characters: at most {SQL_LENGTH_MAX}")
        return self


def gather(columns: Sequence[str], chunks: Iterable[Sequence[Sequence[Any]]], limit: int) -> Result:
    """A Result of at most `limit` rows and about BYTES_MAX from rows that come in chunks."""
    rows: list[tuple[Any, ...]] = []
    size = 0
    for chunk in chunks:
        for row in chunk:
            if len(rows) == limit or size > BYTES_MAX:
                return Result(tuple(columns), rows, truncated=True)
            rows.append(tuple(plain(value) for value in row))
            size += sum(map(_weight, row))
    return Result(tuple(columns), rows, truncated=False)


def plain(value: Any) -> Any:
    """A store's value as JSON knows it."""
    return _PLAIN.get(type(value), str)(value)


def instant(at: datetime) -> str:
    """An instant of UTC, with or without a zone, to the millisecond or finer where it is finer."""
    fine = "microseconds" if at.microsecond % 1000 else "milliseconds"
    return at.replace(tzinfo=None).isoformat(timespec=fine) + "Z"


def _number(value: float) -> float | str:
    return value if math.isfinite(value) else str(value)


def _decimal(value: Decimal) -> float | int | str:
    if not value.is_finite():
        return str(value)
    return int(value) if value == value.to_integral_value() else float(value)


def _same(value: Any) -> Any:
    return value


def _list(values: Iterable[Any]) -> list[Any]:
    return [plain(value) for value in values]


def _object(value: dict[Any, Any]) -> dict[str, Any]:
    return {str(key): plain(inner) for key, inner in value.items()}


_PLAIN: Final[dict[type, Callable[[Any], Any]]] = {
    **dict.fromkeys((type(None), bool, int, str), _same),
    float: _number,
    Decimal: _decimal,
    datetime: instant,
    date: date.isoformat,
    time: time.isoformat,
    timedelta: timedelta.total_seconds,
    bytes: bytes.hex,
    dict: _object,
    list: _list,
    tuple: _list,
}
"""By type; what is not listed becomes its text."""


_SIZED: Final = frozenset((str, bytes, list, dict))


def _weight(value: Any) -> int:
    return len(value) if type(value) in _SIZED else SCALAR_BYTES
