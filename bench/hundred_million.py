"""A record of 100,000,000 samples: what a row takes on disk, and how long people wait for answers.

TimescaleDB makes the rows itself, in the hub's own tables: 30 days of tags at a value each five
seconds with their roll-ups, and a year of what lines did. It takes minutes and 10 GB, so it runs by
name only: `python -m bench --only hundred-million --samples 2000000`. Instants are ms, UTC.
"""

import asyncio
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from random import Random
from typing import Any, Final, NamedTuple

import psycopg
from psycopg.sql import SQL

from bench.queries import EDGES_IN, GENEALOGY, SUMS, p95_ms
from bench.rig import LINE, Figure, Rig
from tools import timescale
from tools.postgres import Installation, Server
from uns.historian.history.downtime import downtime_pareto
from uns.historian.history.oee import oee
from uns.historian.history.orders import orders
from uns.historian.history.period import Period
from uns.historian.history.states import state_timeline
from uns.historian.history.values import last, plotted, raw, sampled
from uns.historian.reader import Reader, open_reader
from uns.historian.rollups import TABLES
from uns.historian.store import open_store
from uns.model.calendar import Window
from uns.model.plant import Plant
from uns.runtime.clock import wall_ms

SAMPLES: Final = 100_000_000
EVERY_MS: Final = 5_000
HOUR_MS: Final = 3_600_000
DAY_MS: Final = 24 * HOUR_MS
DAYS: Final = 30
YEAR: Final = Period(from_ms=1_735_689_600_000, to_ms=1_767_225_600_000)
MONTH: Final = Period(from_ms=YEAR.to_ms - DAYS * DAY_MS, to_ms=YEAR.to_ms)
HANDS: Final = 2
SETTINGS: Final = ("shared_buffers=2GB", "max_wal_size=8GB", "checkpoint_timeout=30min")
"""As one would for a database of this size; the rest is as the product has it."""
REASONS: Final = ("breakdown", "minor", "set-up", "logistics")

NAMES: Final = "INSERT INTO tag_series VALUES ($1, $2, 'mm')"
OF_DAY: Final = f"""
INSERT INTO samples
SELECT at_ms, at_ms + 40,
    CAST((at_ms / {EVERY_MS} * 7919 + series * 104729) % 1000 AS double precision) / 10, series, 0
FROM generate_series($1, $2 - 1, 600000::bigint) AS a(since_ms)
CROSS JOIN generate_series(1, CAST($3 AS integer)) AS b(series)
CROSS JOIN LATERAL generate_series(
    since_ms + series % 1000, since_ms + 599999, {EVERY_MS}::bigint) AS c(at_ms)
"""  # noqa: S608 - constants of ours
"""In slices of ten minutes, by series within each, as batches come when there is much."""
ROLL_UP: Final = f"""
INSERT INTO {{table}}
SELECT series, at_ms, n, n, value_min, value_max, value_sum,
    {EVERY_MS} * (value_sum - value_last) + value_last * (at_ms + {{size}} - last_ms),
    first_ms, value_first, last_ms, value_last, 0, at_ms + {{size}} - first_ms, 0, 0
FROM (
    SELECT series, at_ms - at_ms % {{size}} AS at_ms, count(*) AS n,
        min(value) AS value_min, max(value) AS value_max, sum(value) AS value_sum,
        min(at_ms) AS first_ms, first(value, at_ms) AS value_first,
        max(at_ms) AS last_ms, last(value, at_ms) AS value_last
    FROM samples WHERE at_ms >= $1 AND at_ms < $2 GROUP BY 1, 2
) AS summed
"""  # noqa: S608 - constants of ours
NEWEST: Final = """
INSERT INTO newest_tags
SELECT s.topic, t.at_ms, t.value, NULL, 'good', s.unit, t.received_ms, NULL, NULL, t.at_ms
FROM tag_series AS s CROSS JOIN LATERAL (
    SELECT * FROM samples WHERE series = s.series ORDER BY at_ms DESC LIMIT 1) AS t
"""
SHIFTS: Final = "CREATE TABLE shifts (number integer, id text, start_ms bigint, end_ms bigint)"
INTERVALS: Final = """
INSERT INTO intervals
SELECT cell, regexp_replace(cell, '/[^/]+$', ''), CASE WHEN n % 5 = 0 THEN 'adet' ELSE 'apt' END,
    CASE WHEN n % 5 = 0 THEN 'HELD' ELSE 'EXECUTE' END,
    start_ms + n * 120000, LEAST(start_ms + (n + 1) * 120000, end_ms), id,
    split_part(cell, '/', 4) || '-' || number * 3 + n / 80, 'item-' || (number * 3 + n / 80) % 4,
    10, 9, 1, 0, 90000, 81000, 'p'
FROM shifts CROSS JOIN unnest(CAST($1 AS text[])) AS c(cell)
CROSS JOIN LATERAL generate_series(0, (end_ms - start_ms - 1) / 120000) AS n
"""
STOPS: Final = """
INSERT INTO stop_spans
SELECT cell || '-' || start_ms, cell, state,
    (CAST($1 AS text[]))[CAST(1 + start_ms / 120000 % $2 AS integer)],
    start_ms, end_ms, end_ms - start_ms, false, order_id
FROM intervals WHERE element = 'adet'
"""
CHANGES: Final = """
INSERT INTO state_changes
SELECT cell, line, at_ms, becomes, NULL, 'plc', 1, 1
FROM intervals CROSS JOIN LATERAL (
    VALUES (start_ms, 'HELD'), (end_ms, 'EXECUTE')) AS v(at_ms, becomes)
WHERE element = 'adet'
"""
ORDERS: Final = """
INSERT INTO order_documents
SELECT order_id, min(item), 1000, 'closed', sum(gq), sum(sq), sum(rq), sum(pq), 0, line,
    min(start_ms), min(start_ms), max(end_ms), max(end_ms), max(end_ms), 1, NULL, 1
FROM oee_sums GROUP BY order_id, line
"""
SIZES: Final = """
SELECT (SELECT count(*) FROM samples), hypertable_size('samples'),
    hypertable_size('samples_by_minute') + pg_total_relation_size('samples_by_hour')
"""


class Asking(NamedTuple):
    """Who asks, of what; `chance` picks another tag, day or shift each time."""

    reader: Reader
    plant: Plant
    topics: list[str]
    shifts: list[Window]
    chance: Random

    @property
    def topic(self) -> str:
        """Some tag."""
        return self.chance.choice(self.topics)

    def some(self, length_ms: int) -> Period:
        """A part of the month."""
        from_ms = self.chance.randrange(MONTH.from_ms, MONTH.to_ms - length_ms)
        return Period(from_ms=from_ms, to_ms=from_ms + length_ms)

    @property
    def cells(self) -> list[str]:
        """Those of the line."""
        return [place.path for place in self.plant.lines[LINE]]


def _shift(asking: Asking) -> Any:
    shift = asking.chance.choice(asking.shifts)
    asked = Period(from_ms=shift.start_ms, to_ms=shift.end_ms)
    return oee(asking.reader, asking.plant, LINE, asked, "shift").groups


def _genealogy(ask: Callable[[Reader], Any], asking: Asking) -> Any:
    return ask(asking.reader)


ASKED: Final[dict[str, tuple[Callable[[Asking], Any], float | None]]] = {
    "last values of a line": (lambda a: last(a.reader, f"{LINE}/#").items, None),
    "an hour of a tag, raw": (lambda a: raw(a.reader, a.topic, a.some(HOUR_MS)).items, None),
    "a day of a tag, sampled": (lambda a: sampled(a.reader, a.topic, a.some(DAY_MS)).buckets, None),
    "a month of a tag, plotted": (lambda a: plotted(a.reader, a.topic, MONTH).points, None),
    "states of a line, a day": (
        lambda a: state_timeline(a.reader, a.cells, a.some(DAY_MS)).cells[0].spans,
        None,
    ),
    "downtime of a line, a month": (
        lambda a: downtime_pareto(a.reader, a.plant, a.cells, MONTH).bars,
        None,
    ),
    "orders of a line, a month": (
        lambda a: orders(a.reader, path=LINE, from_ms=MONTH.from_ms, to_ms=MONTH.to_ms).items,
        None,
    ),
    "OEE of a line, a shift": (_shift, 100),
    "OEE of a line, a year by month": (
        lambda a: oee(a.reader, a.plant, LINE, YEAR, "month").groups,
        1_000,
    ),
    **{name: (partial(_genealogy, ask), most_ms) for name, (ask, most_ms) in GENEALOGY.items()},
}
"""What is asked, and the ms it may take; an answer's length says how much it was."""


def tags_for(samples: int) -> int:
    """How many tags make so many samples in the month."""
    return max(1, round(samples * EVERY_MS / MONTH.length_ms))


def topics_of(plant: Plant, tags: int) -> list[str]:
    """Names for so many tags, spread over the plant's cells."""
    cells = list(plant.cells)
    return [f"{cells[n % len(cells)]}/_tag/value-{n}" for n in range(tags)]


def shifts_of(plant: Plant) -> list[Window]:
    """The shifts that lie whole in the year."""
    return list(_windows(plant))


def _windows(plant: Plant) -> Iterator[Window]:
    calendar = plant.calendar_of(LINE)
    window = calendar.window_at(YEAR.from_ms)
    while (window := calendar.window_at(window.end_ms)).end_ms <= YEAR.to_ms:
        yield window


@contextmanager
def connected(dsn: str) -> Iterator[Callable[..., Any]]:
    """Runs one statement after the other, each with its values for `$1`, `$2`."""
    with psycopg.connect(dsn, autocommit=True) as db:
        yield lambda sql, *params: psycopg.RawCursor(db).execute(SQL(sql), params)


def fill(dsn: str, plant: Plant, tags: int) -> None:
    """Make the rows in an empty store."""
    store = open_store(dsn, wall_ms)
    store.known()
    store.close()
    with connected(dsn) as run:
        for series, topic in enumerate(topics_of(plant, tags), 1):
            run(NAMES, series, topic)
    with ThreadPoolExecutor(HANDS) as hands:
        lines = hands.submit(_what_lines_did, dsn, plant)
        list(hands.map(partial(_fill_day, dsn, tags), range(DAYS)))
        lines.result()
    with connected(dsn) as run:
        run(NEWEST)
        run("VACUUM ANALYZE")


def _fill_day(dsn: str, tags: int, day: int) -> None:
    from_ms = MONTH.from_ms + day * DAY_MS
    with connected(dsn) as run:
        run(OF_DAY, from_ms, from_ms + DAY_MS, tags)
        for table, size_ms in TABLES.items():
            run(ROLL_UP.format(table=table, size=size_ms), from_ms, from_ms + DAY_MS)


def _what_lines_did(dsn: str, plant: Plant) -> None:
    with connected(dsn) as run:
        run(SHIFTS)
        for number, shift in enumerate(shifts_of(plant)):
            row = number, shift.id, shift.start_ms, shift.end_ms
            run("INSERT INTO shifts VALUES ($1, $2, $3, $4)", *row)
        run(INTERVALS, list(plant.cells))
        run(STOPS, list(REASONS), len(REASONS))
        for sql in (SUMS, CHANGES, ORDERS, EDGES_IN):
            run(sql)


def asked(dsn: str, plant: Plant, tags: int) -> Iterator[Figure]:
    """The p95 of each question, in ms."""
    with open_reader(dsn) as reader:
        chance = Random(1)  # noqa: S311 - no secret
        asking = Asking(reader, plant, topics_of(plant, tags), shifts_of(plant), chance)
        for name, (ask, most_ms) in ASKED.items():
            found = f"{len(ask(asking)):,} in the answer"
            limit = f"<= {most_ms:,.0f} ms" if most_ms else ""
            yield Figure(name, p95_ms(partial(ask, asking)), "ms", most_ms or 0.0, found, limit)


def sizes(dsn: str) -> list[Figure]:
    """What a sample takes on disk, with its index; and its share of the roll-ups."""
    with connected(dsn) as run:
        rows, samples, rollups = map(float, run(SIZES).fetchone())
    parts = {f"one of {rows:,.0f} samples": samples, "its share of the roll-ups": rollups}
    return [Figure(name, size / rows, "bytes", 0, "", "") for name, size in parts.items()]


def measure(samples: int, plant: Plant) -> list[Figure]:
    """Fill a server of its own, ask, and let it go with its data."""
    with Server(_installation()) as server:
        tags = tags_for(samples)
        began_ms = wall_ms()
        fill(server.dsn, plant, tags)
        seconds = Figure("to make the record", (wall_ms() - began_ms) / 1000, "s", 0, "", "")
        return [seconds, *sizes(server.dsn), *asked(server.dsn, plant, tags)]


def _installation() -> Installation:
    found = timescale.installation()
    return replace(found, settings=(*found.settings, *SETTINGS))


async def volume(samples: int, rig: Rig, _folder: Path) -> list[Figure]:
    """The whole of it, for about so many samples; raises SetupError without TimescaleDB."""
    return await asyncio.to_thread(measure, samples, rig.plant)
