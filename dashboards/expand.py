"""PURE: a board's SQL as Grafana would send it: variables first, then the data source's macros.

Owns what `${name:format}`, `$__interval` and `$__timeFilter(column)` become. Must not know any
board, nor run a query. Sources: docs "Variable syntax" and "PostgreSQL query editor"; Grafana's
pkg/tsdb/grafana-postgresql-datasource/macros.go; grafana-scenes' formatRegistry.ts. Where Grafana
would send a placeholder as it stands, this raises ExpandError: such SQL is wrong.
"""

import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final, NamedTuple
from urllib.parse import quote

Json = dict[str, Any]
Value = str | int | Sequence[str]
"""What is chosen: one value, or several."""

VARIABLE: Final = re.compile(r"\$\{(\w+)(?::([^}]+))?\}|\[\[(\w+)(?::(\w+))?\]\]|\$(\w+)")
MACRO: Final = re.compile(r"\$(\w+)\(([^)]*)\)")
LEFT_OVER: Final = re.compile(r"\$(?:__\w+|\{[^}]*\})")
DURATION: Final = re.compile(r"(\d+)(ms|s|m|h|d|w|M|y)")
UNITS_MS: Final = {
    "ms": 1,
    "s": 1_000,
    "m": 60_000,
    "h": 3_600_000,
    "d": 86_400_000,
    "w": 604_800_000,
    "M": 2_592_000_000,
    "y": 31_536_000_000,
}
STEPS_MS: Final = (
    (10, 1),
    (15, 10),
    (35, 20),
    (75, 50),
    (150, 100),
    (350, 200),
    (750, 500),
    (1_500, 1_000),
    (3_500, 2_000),
    (7_500, 5_000),
    (12_500, 10_000),
    (17_500, 15_000),
    (25_000, 20_000),
    (45_000, 30_000),
    (90_000, 60_000),
    (210_000, 120_000),
    (450_000, 300_000),
    (750_000, 600_000),
    (1_050_000, 900_000),
    (1_500_000, 1_200_000),
    (2_700_000, 1_800_000),
    (5_400_000, 3_600_000),
    (9_000_000, 7_200_000),
    (16_200_000, 10_800_000),
    (32_400_000, 21_600_000),
    (86_400_000, 43_200_000),
    (604_800_000, 86_400_000),
    (1_814_400_000, 604_800_000),
    (3_628_800_000, 2_592_000_000),
)
"""Below how long a piece (first) which interval is taken (second); else a year."""
POINTS: Final = 1_000
"""How many points a panel of ordinary width asks for."""


class ExpandError(ValueError):
    """A placeholder that Grafana would not fill, or not as its author meant."""


class Window(NamedTuple):
    """The chosen time (plant time, ms) and the length of a piece of it that a panel asks for."""

    from_ms: int
    to_ms: int
    interval_ms: int = 60_000


class Query(NamedTuple):
    """One query of a board. kind: panel, variable or annotation; `format` is the panel's."""

    kind: str
    title: str
    sql: str
    format: str
    interval_min: str | None = None


def queries(board: Mapping[str, Any]) -> Iterator[Query]:
    """Every query of a board's v1 JSON, variables first and in their order."""
    for variable in board["templating"]["list"]:
        if variable["type"] == "query":
            yield Query("variable", variable["name"], variable["query"], "table")
    for annotation in board.get("annotations", {}).get("list", ()):
        target = annotation["target"]
        yield Query("annotation", annotation["name"], target["rawSql"], target["format"])
    for panel in board["panels"]:
        for target in panel.get("targets", ()):
            yield Query(
                "panel", panel["title"], target["rawSql"], target["format"], panel.get("interval")
            )


def window(
    from_ms: int, to_ms: int, interval_min: str | None = None, points: int = POINTS
) -> Window:
    """The time with the interval that Grafana gives a panel, at least `interval_min` (`1m`)."""
    least_ms = duration_ms(interval_min) if interval_min else 1
    piece_ms = (to_ms - from_ms) / points
    rounded_ms = next((step for below, step in STEPS_MS if piece_ms < below), UNITS_MS["y"])
    return Window(from_ms, to_ms, max(least_ms, rounded_ms))


def choices(
    board: Mapping[str, Any],
    during: Window,
    ask: Callable[[str], Sequence[Mapping[str, Any]]],
    given: Mapping[str, Value] | None = None,
) -> dict[str, Value]:
    """What is chosen when a board is opened: all of a variable with `includeAll`, else the first.

    ask: answers a variable's query with rows that have `__value`. given: choices of the reader,
    which hold before what the queries offer. Raises ExpandError and what `ask` raises.
    """
    chosen: dict[str, Value] = {}
    for variable in board["templating"]["list"]:
        name = variable["name"]
        if given and name in given:
            chosen[name] = given[name]
        elif variable["type"] == "query":
            chosen[name] = _offered(variable, ask(expanded(variable["query"], during, chosen)))
        else:
            chosen[name] = variable["current"]["value"]
    return chosen


def expanded(
    sql: str, during: Window, chosen: Mapping[str, Value] | None = None, *, timescale: bool = False
) -> str:
    """SQL with nothing left to fill in. timescale: the data source says it is TimescaleDB.

    Raises ExpandError for an unknown variable, format or macro, and for wrong arguments.
    """
    scope = {**_times(during), **(chosen or {})}
    filled = VARIABLE.sub(lambda found: _variable(found, scope), sql)
    for name, text in _whole(during).items():
        filled = filled.replace(name, text)
    macros = _Macros(during, timescale=timescale)
    filled = MACRO.sub(lambda found: macros.written(found[1], found[2]), filled)
    if left := LEFT_OVER.search(filled):
        raise ExpandError(f"{left[0]} is filled by nothing")
    return filled


def duration_ms(text: str) -> int:
    """`5m` in ms, by Grafana's units (a month is 30 days). Raises ExpandError."""
    found = DURATION.fullmatch(text.strip().strip("'"))
    if found is None:
        raise ExpandError(f"{text} is no duration: use a number and one of {', '.join(UNITS_MS)}")
    return int(found[1]) * UNITS_MS[found[2]]


def duration_text(length_ms: int) -> str:
    """Ms in the largest unit that fits it whole, as `$__interval` is written."""
    units = [(unit, of_ms) for unit, of_ms in UNITS_MS.items() if unit not in {"w", "M"}]
    unit, of_ms = next(pair for pair in reversed(units) if length_ms % pair[1] == 0)
    return f"{length_ms // of_ms}{unit}"


def _offered(variable: Mapping[str, Any], rows: Sequence[Mapping[str, Any]]) -> Value:
    offered = [str(row["__value"]) for row in rows]
    if variable.get("includeAll"):
        return offered
    return offered[:1] if variable.get("multi") else next(iter(offered), "")


def _times(during: Window) -> dict[str, Value]:
    return {
        "__from": during.from_ms,
        "__to": during.to_ms,
        "__interval": duration_text(during.interval_ms),
        "__interval_ms": during.interval_ms,
        "__url_time_range": f"from={during.from_ms}&to={during.to_ms}",
        "__timezone": "browser",
    }


def _whole(during: Window) -> dict[str, str]:
    """What the data source fills in before its macros, in its order."""
    return {
        "$__unixEpochFrom()": str(during.from_ms // 1_000),
        "$__unixEpochTo()": str(during.to_ms // 1_000),
    }


def _variable(found: re.Match[str], scope: Mapping[str, Value]) -> str:
    name = found[1] or found[3] or found[5]
    if name not in scope:
        if found[5] and name.startswith("__"):
            return found[0]
        raise ExpandError(f"{found[0]}: the board has no variable {name}")
    how, _, argument = (found[2] or found[4] or "sql").partition(":")
    if how not in FORMATS:
        raise ExpandError(f"{found[0]}: Grafana knows no format {how}, or SQL has no use for it")
    return FORMATS[how](name, scope[name], argument)


def _several(value: Value) -> list[str]:
    return (
        [value] if isinstance(value, str) else [str(value)] if isinstance(value, int) else [*value]
    )


def _as_sql(_name: str, value: Value, _argument: str) -> str:
    """Without a format: several are quoted, a single one only has its quotes doubled."""
    if isinstance(value, str | int):
        return str(value).replace("'", "''")
    return ",".join("'" + one.replace("'", "''") + "'" for one in value)


def _as_sqlstring(_name: str, value: Value, _argument: str) -> str:
    """Grafana also puts a backslash before `"`, which PostgreSQL takes for a part of the text."""
    quoted = (one.replace("'", "''").replace('"', '\\"') for one in _several(value))
    return ",".join(f"'{one}'" for one in quoted)


def _as_date(name: str, value: Value, argument: str) -> str:
    at_ms = int(_as_csv(name, value, ""))
    match argument:
        case "" | "iso":
            return _iso(at_ms)
        case "seconds":
            return str(round(at_ms / 1_000))
        case "ms":
            return str(at_ms)
        case _:
            raise ExpandError(f"{name}: the date format {argument} depends on who looks")


def _as_csv(_name: str, value: Value, _argument: str) -> str:
    return ",".join(_several(value))


def _as_parameters(name: str, value: Value, _argument: str) -> str:
    return "&".join(f"var-{name}={quote(one, safe='')}" for one in _several(value))


def _as_json(_name: str, value: Value, _argument: str) -> str:
    return value if isinstance(value, str) else json.dumps(value)


FORMATS: Final[Mapping[str, Callable[[str, Value, str], str]]] = {
    "sql": _as_sql,
    "sqlstring": _as_sqlstring,
    "csv": _as_csv,
    "raw": _as_csv,
    "date": _as_date,
    "json": _as_json,
    "queryparam": _as_parameters,
}
"""By Grafana's names, but `sql`: what its PostgreSQL source does when no format is asked for."""


def _iso(at_ms: int) -> str:
    at = datetime.fromtimestamp(at_ms / 1_000, UTC)
    return at.isoformat(timespec="milliseconds").replace("+00:00", "Z")


@dataclass(frozen=True)
class _Macros:
    during: Window
    timescale: bool

    def written(self, name: str, arguments: str) -> str:
        """A macro's SQL."""
        known: Mapping[str, tuple[int, Callable[..., str]]] = {
            "__time": (1, '{} AS "time"'.format),
            "__timeEpoch": (1, 'extract(epoch from {}) as "time"'.format),
            "__timeFilter": (1, self._filter),
            "__timeFrom": (0, lambda *_: f"'{_iso(self.during.from_ms)}'"),
            "__timeTo": (0, lambda *_: f"'{_iso(self.during.to_ms)}'"),
            "__timeGroup": (2, self._group),
            "__timeGroupAlias": (2, lambda *given: f'{self._group(*given)} AS "time"'),
            "__unixEpochFilter": (1, self._epoch_filter),
        }
        if name not in known:
            raise ExpandError(f"Grafana has no macro ${name}, or these boards do not use it")
        least, write = known[name]
        given = [argument.strip(" ") for argument in arguments.split(",") if argument.strip(" ")]
        if len(given) < least:
            raise ExpandError(f"${name} wants {least} arguments, not {len(given)}")
        return write(*given)

    def _filter(self, column: str, *_: str) -> str:
        return f"{column} BETWEEN '{_iso(self.during.from_ms)}' AND '{_iso(self.during.to_ms)}'"

    def _epoch_filter(self, column: str, *_: str) -> str:
        from_s, to_s = self.during.from_ms // 1_000, self.during.to_ms // 1_000
        return f"{column} >= {from_s} AND {column} <= {to_s}"

    def _group(self, column: str, interval: str, *_: str) -> str:
        seconds = duration_ms(interval) / 1_000
        if self.timescale:
            return f"time_bucket('{seconds:.3f}s',{column})"
        return f"floor(extract(epoch from {column})/{seconds:g})*{seconds:g}"
