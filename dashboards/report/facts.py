"""What the report tells, asked of the record: the answers of `uns.historian.history`, and health.

Owns which questions are asked and their bounds. Must not know how an answer looks.
"""

from collections.abc import Sequence
from typing import Any, Final, NamedTuple
from zoneinfo import ZoneInfo

from dashboards.report.control import Control, control_of
from uns.historian.history.downtime import Pareto, downtime_pareto
from uns.historian.history.oee import By, Oee, oee
from uns.historian.history.orders import Order, orders
from uns.historian.history.period import Page, Period
from uns.historian.history.spc import Series, spc_series
from uns.historian.history.states import Timeline, state_timeline
from uns.historian.history.values import tree_at
from uns.historian.reader import Reader
from uns.model.path import parent
from uns.model.plant import Plant

LINES_MAX: Final = 20
ORDERS_MAX: Final = 30
ORDERS_OF_LINE_MIN: Final = 5
CHANGES_MAX: Final = 6_000
"""Of all lines together: what a page can still show."""
CHARTS_MAX: Final = 6
CONTROLS_ASKED_MAX: Final = 500
POINTS_MAX: Final = 400
ROWS_MAX: Final = 12
SILENT_MS: Final = 600_000
DAY_MS: Final = 86_400_000
GROUPS: Final[tuple[tuple[int, By], ...]] = ((3 * DAY_MS, "shift"), (62 * DAY_MS, "day"))

TOPICS: Final = """
SELECT count(*), sum(CASE WHEN quality <> 'good' THEN 1 ELSE 0 END),
    sum(CASE WHEN at_ms < $1 THEN 1 ELSE 0 END)
FROM newest_tags"""
SILENT: Final = """
SELECT topic, at_ms, quality, reason FROM newest_tags WHERE at_ms < $1 ORDER BY at_ms, topic"""
SAMPLES: Final = "SELECT count(*) FROM tags WHERE at_ms >= $1 AND at_ms < $2"
EVENTS: Final = """
SELECT type, count(*) FROM events WHERE at_ms >= $1 AND at_ms < $2
GROUP BY type ORDER BY 2 DESC, type"""
REJECTS: Final = """
SELECT reject_class, count(*), max(at_ms), max(reason) FROM rejects
WHERE at_ms >= $1 AND at_ms < $2
GROUP BY reject_class ORDER BY 2 DESC, reject_class"""
GAPS: Final = """
WITH lost AS (
    SELECT *, max(to_seq) OVER (
        PARTITION BY source, epoch ORDER BY from_seq, to_seq, seen_by
        ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING) AS reached
    FROM gaps WHERE at_ms >= $1 AND at_ms < $2
)
SELECT source, sum(GREATEST(to_seq - GREATEST(from_seq - 1, COALESCE(reached, 0)), 0)),
    max(at_ms), max(seen_by)
FROM lost GROUP BY source ORDER BY 2 DESC, source"""
MEASURED: Final = """
SELECT cell, characteristic, count(*) FROM measurements
WHERE at_ms >= $1 AND at_ms < $2 AND value IS NOT NULL
GROUP BY cell, characteristic ORDER BY 3 DESC, cell, characteristic"""
NEWEST: Final = """
SELECT min(at_ms) FROM (
    SELECT at_ms FROM measurements
    WHERE cell = $1 AND characteristic = $2 AND at_ms >= $3 AND at_ms < $4
        AND value IS NOT NULL
    ORDER BY at_ms DESC LIMIT $5
) AS newest"""


class Line(NamedTuple):
    """A line's figures. titles: of its cells, by path."""

    title: str
    oee: Oee
    states: Timeline
    stops: Pareto
    titles: dict[str, str]


class Health(NamedTuple):
    """What the hub took in, and what it did not: rows of the queries above.

    silent: topics whose newest value is older than SILENT_MS before the end of the time.
    """

    topics: int
    not_good: int
    silent_count: int
    samples: int
    silent: list[tuple[Any, ...]]
    events: list[tuple[Any, ...]]
    rejects: list[tuple[Any, ...]]
    gaps: list[tuple[Any, ...]]


class Facts(NamedTuple):
    """All that the report tells. more_lines: how many lines were left out."""

    title: str
    asked: Period
    zone: ZoneInfo
    lines: tuple[Line, ...]
    more_lines: int
    orders: Page[Order]
    series: tuple[Series, ...]
    controls: tuple[Control, ...]
    health: Health


def gather(reader: Reader, plant: Plant, asked: Period, lines: Sequence[str]) -> Facts:
    """Ask everything about lines (paths, at least one) in a time.

    Raises what a Reader raises, and QueryRefused for a time that is too long for a part.
    """
    shown = lines[:LINES_MAX]
    site = plant.sites[parent(shown[0], "site").split("/")[1]]
    return Facts(
        title=site.title or plant.enterprise,
        asked=asked,
        zone=ZoneInfo(site.time_zone),
        lines=tuple(_line(reader, plant, asked, line, CHANGES_MAX // len(shown)) for line in shown),
        more_lines=len(lines) - len(shown),
        orders=_orders(reader, asked, shown),
        series=tuple(_series(reader, asked, shown)),
        controls=controls(reader, plant, asked.to_ms, [f"{line}/+" for line in shown])[:CHARTS_MAX],
        health=_health(reader, asked),
    )


def _line(reader: Reader, plant: Plant, asked: Period, path: str, changes: int) -> Line:
    places = plant.lines[path]
    cells = [place.path for place in places]
    return Line(
        title=places[0].line.title or path.rpartition("/")[2],
        oee=oee(reader, plant, path, asked, _grouped(asked)),
        states=state_timeline(reader, cells, asked, changes),
        stops=downtime_pareto(reader, plant, cells, asked, limit=ROWS_MAX),
        titles={p.path: p.cell.title or p.path.rpartition("/")[2] for p in places},
    )


def _grouped(asked: Period) -> By:
    """As fine as a table of it can still be read."""
    for most_ms, by in GROUPS:
        if asked.length_ms <= most_ms:
            return by
    return "month"


def _orders(reader: Reader, asked: Period, lines: Sequence[str]) -> Page[Order]:
    """The orders of these lines, as many of each, those that are open first."""
    limit = max(ORDERS_MAX // len(lines), ORDERS_OF_LINE_MIN)
    pages = [
        orders(reader, path=line, from_ms=asked.from_ms, to_ms=asked.to_ms, limit=limit)
        for line in lines
    ]
    found = sorted(
        (order for page in pages for order in page.items),
        key=lambda order: (order.completed_ms is not None, order.line, order.due_ms or 0),
    )
    return Page(items=tuple(found), after=next((one.after for one in pages if one.after), None))


def _series(reader: Reader, asked: Period, lines: Sequence[str]) -> list[Series]:
    """The characteristics that were measured most, each with its newest values."""
    rows = reader.query(MEASURED, (asked.from_ms, asked.to_ms)).rows
    wanted = [row for row in rows if row[0].rpartition("/")[0] in lines and row[2] > 1]
    found = list[Series]()
    for cell, characteristic, _ in wanted[:CHARTS_MAX]:
        window = (cell, characteristic, asked.from_ms, asked.to_ms, POINTS_MAX)
        first_ms = reader.query(NEWEST, window).rows[0][0]
        newest = Period(from_ms=first_ms, to_ms=asked.to_ms)
        found.append(spc_series(reader, cell, characteristic, newest, limit=POINTS_MAX))
    return [one for one in found if one.statistics]


def controls(
    reader: Reader, plant: Plant, at_ms: int, places: Sequence[str], name: str = "+"
) -> tuple[Control, ...]:
    """The control charts of cells as they were at an instant, those out of control first.

    places: cells, or `+` for each of a line; name: the characteristic as topics have it.
    """
    found = list[tuple[bool, Control]]()
    for place in places:
        page = tree_at(reader, at_ms, f"{place}/_state/spc/{name}/+", CONTROLS_ASKED_MAX)
        for one in page.items:
            control = control_of(plant, one.topic.partition("/_state/")[0], one.value)
            if control is not None:
                found.append((bool(one.value["in_control"]), control))
    return tuple(control for _, control in sorted(found, key=lambda pair: pair[0]))


def _health(reader: Reader, asked: Period) -> Health:
    window = (asked.from_ms, asked.to_ms)
    before = (asked.to_ms - SILENT_MS,)
    topics, not_good, silent = reader.query(TOPICS, before).rows[0]
    return Health(
        topics=topics,
        not_good=not_good or 0,
        silent_count=silent or 0,
        samples=reader.query(SAMPLES, window).rows[0][0],
        silent=reader.query(SILENT, before, ROWS_MAX).rows,
        events=reader.query(EVENTS, window).rows,
        rejects=reader.query(REJECTS, window, ROWS_MAX).rows,
        gaps=reader.query(GAPS, window, ROWS_MAX).rows,
    )
