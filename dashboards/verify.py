"""Runs every query of the boards and the rules on the record, as Grafana would send it.

Owns what is wrong, slow or empty. Must not know Grafana nor how a finding is told. Bounded: each
query has a time limit and a number of rows beyond which no picture is readable.
"""

import time
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any, Final, Literal, NamedTuple

from dashboards import alerts
from dashboards.expand import (
    ExpandError,
    Query,
    Value,
    Window,
    choices,
    expanded,
    queries,
    window,
)
from dashboards.model import Dashboard
from uns.historian.answers import Result
from uns.historian.errors import QueryFailed, QueryRefused, QueryTimeout
from uns.historian.reader import Reader

ROWS_MAX: Final = 20_000
TIMEOUT_S: Final = 30.0
WRONG: Final = (ExpandError, QueryFailed, QueryRefused)
RULES: Final = "alert rules"
SERVER: Final = """
SELECT CAST(current_setting('server_version_num') AS INTEGER) / 10000,
    EXISTS (SELECT FROM pg_extension WHERE extname = 'timescaledb')"""

Verdict = Literal["ok", "empty", "slow", "wrong"]


class Finding(NamedTuple):
    """What one query came to. kind: panel, variable, annotation or rule.

    took_ms: until its rows were here.
    """

    board: str
    kind: str
    title: str
    verdict: Verdict
    rows: int
    took_ms: int
    why: str = ""


class Server(NamedTuple):
    """What answers: PostgreSQL's major version, and whether TimescaleDB is in it."""

    version: int
    timescale: bool


def server(reader: Reader) -> Server:
    """Ask a PostgreSQL store what it is. Raises what a Reader raises."""
    return Server(*reader.query(SERVER).rows[0])


def verify(
    reader: Reader,
    boards: Sequence[Dashboard],
    during: Window,
    slow_ms: int,
    *,
    timescale: bool,
) -> Iterator[Finding]:
    """Every query of the boards, with what is chosen when they are opened, then every rule's.

    The rules look back from the end of the time. Raises StoreUnavailable; whatever is wrong with a
    query is a Finding.
    """
    trial = _Trial(reader, slow_ms, timescale=timescale)
    for board in boards:
        yield from trial.board(board.uid, board.to_json(), during)
    for rule in alerts.RULES:
        back = Window(during.to_ms - rule.back_s * 1_000, during.to_ms)
        yield trial.run(RULES, Query("rule", rule.title, rule.sql, "table"), back, {})


class _Trial:
    def __init__(self, reader: Reader, slow_ms: int, *, timescale: bool) -> None:
        self._reader = reader
        self._slow_ms = slow_ms
        self._timescale = timescale

    def board(self, uid: str, board: Mapping[str, Any], during: Window) -> Iterator[Finding]:
        """The findings of one board; of its variables only, where nothing can be chosen."""
        chosen: dict[str, Value] = {}
        try:
            chosen = choices(board, during, self._offered)
        except (*WRONG, QueryTimeout, KeyError) as error:
            yield Finding(uid, "variable", "all of them", "wrong", 0, 0, f"no choice: {error}")
        for query in queries(board):
            shown = window(during.from_ms, during.to_ms, query.interval_min)
            yield self.run(uid, query, shown, chosen)

    def run(self, uid: str, query: Query, during: Window, chosen: Mapping[str, Value]) -> Finding:
        """One query's finding."""
        found = Finding(uid, query.kind, query.title, "wrong", 0, 0)
        began_s = time.monotonic()
        try:
            sql = expanded(query.sql, during, chosen, timescale=self._timescale)
            answer = self._reader.query(sql, limit=ROWS_MAX, timeout_s=TIMEOUT_S)
        except WRONG as error:
            return found._replace(why=str(error))
        except QueryTimeout as error:
            return found._replace(verdict="slow", took_ms=_since_ms(began_s), why=str(error))
        found = found._replace(rows=len(answer.rows), took_ms=_since_ms(began_s))
        if why := fault(query, answer, during):
            return found._replace(why=why)
        if found.took_ms > self._slow_ms:
            return found._replace(verdict="slow", why=f"over {self._slow_ms} ms")
        return found._replace(verdict="ok" if answer.rows else "empty")

    def _offered(self, sql: str) -> list[dict[str, Any]]:
        return self._reader.query(sql, limit=ROWS_MAX, timeout_s=TIMEOUT_S).documents()


def fault(query: Query, answer: Result, during: Window) -> str:
    """What is wrong with an answer that came; empty if nothing is."""
    columns = set(answer.columns)
    if query.kind == "variable" and "__value" not in columns:
        return "no column __value"
    if query.format == "time_series" and "time" not in columns:
        return "a time series without a column time"
    if answer.truncated:
        return f"more than {ROWS_MAX} rows: nobody can read them"
    if query.kind == "rule" and (count := _numbers(answer)) != 1:
        return f"a rule wants one column of numbers, not {count}"
    return _outside(answer, during) if "time" in columns and query.kind == "panel" else ""


def _numbers(answer: Result) -> int:
    """How many columns hold numbers; without a row nobody can tell, and one is believed."""
    if not answer.rows:
        return 1
    return sum(isinstance(value, int | float) for value in answer.rows[0])


def _outside(answer: Result, during: Window) -> str:
    """An instant that lies outside the chosen time, a bucket's length granted."""
    at = answer.columns.index("time")
    first_ms, last_ms = during.from_ms - during.interval_ms, during.to_ms + during.interval_ms
    for row in answer.rows:
        if row[at] is not None and not first_ms <= _ms(row[at]) <= last_ms:
            return f"a row at {row[at]}, outside the chosen time"
    return ""


def _ms(value: Any) -> float:
    """An instant as a column `time` may give it: text of a timestamp, or seconds since 1970."""
    if isinstance(value, str):
        return datetime.fromisoformat(value).timestamp() * 1_000
    return float(value) * 1_000


def _since_ms(began_s: float) -> int:
    return round((time.monotonic() - began_s) * 1_000)
