"""Samples by minute and by hour: how they are summed up, in bounded steps that may be cut short.

Owns the SQL, the same for every store. An hour of a series waits in `rollups_due` as soon as a
sample of it is written, a late one too; a step takes some series of one hour that is over, makes
their buckets anew from all their samples and lets them wait no more, in one transaction. A bucket
depends on its own samples only, so it does not matter in which order hours are taken: they take
turns, so that an hour which late samples make wait again and again holds up no other. A bucket that
was made from as many samples or more stays: retention took the others.

These sums are ours on every edition of TimescaleDB: how long a value was good is the time to the
sample behind it, which no continuous aggregate can look at.
"""

from collections.abc import Callable, Sequence
from typing import Any, Final

from uns.historian.rows import DueRow
from uns.historian.series import HOUR_MS, NONE_YET

Run = Callable[[str, Sequence[Any]], list[tuple[Any, ...]]]
"""Runs a statement with values for $1, $2… in the open transaction; the rows it gives, if any."""

GRACE_MS: Final = 60_000
SERIES_A_STEP: Final = 32
MEASURED_MAX: Final = 1e290
"""A number beyond it is no measurement, and sums of it would overflow."""
TABLES: Final = {"samples_by_minute": 60_000, "samples_by_hour": HOUR_MS}
"""Each with the length of its buckets in ms."""
STAGING: Final = "CREATE TEMP TABLE new_buckets AS SELECT * FROM samples_by_minute WHERE false"

_WAITING: Final = f"""
SELECT series, hour_ms FROM rollups_due
WHERE (hour_ms, series) > ($2, $3) AND hour_ms = (
    SELECT min(hour_ms) FROM rollups_due WHERE hour_ms <= $1 AND (hour_ms, series) > ($2, $3))
ORDER BY series LIMIT {SERIES_A_STEP}
"""  # noqa: S608 - a constant of ours
_DONE: Final = "DELETE FROM rollups_due WHERE hour_ms = $1 AND series BETWEEN $2 AND $3"
_SUM_UP: Final = f"""
INSERT INTO new_buckets
WITH taken AS (
    SELECT t.series, t.at_ms, t.received_ms, t.quality, t.at_ms - t.at_ms % {{size}} AS bucket_ms,
        CASE WHEN abs(t.value) <= {MEASURED_MAX} THEN t.value END AS value
    FROM samples AS t JOIN rollups_due AS d ON d.series = t.series AND d.hour_ms = $1
    WHERE t.at_ms >= $1 AND t.at_ms < $2 AND d.series BETWEEN $3 AND $4
), held AS (
    SELECT *,
        COALESCE(LEAD(at_ms) OVER bucket, bucket_ms + {{size}}) - at_ms AS held_ms,
        LAG(at_ms) OVER bucket IS NULL AS is_first, LEAD(at_ms) OVER bucket IS NULL AS is_last
    FROM taken
    WINDOW bucket AS (PARTITION BY series, bucket_ms ORDER BY at_ms, received_ms, quality)
)
SELECT series, bucket_ms, count(*), count(value) FILTER (WHERE quality = 0),
    min(value) FILTER (WHERE quality = 0), max(value) FILTER (WHERE quality = 0),
    sum(value) FILTER (WHERE quality = 0), sum(value * held_ms) FILTER (WHERE quality = 0),
    min(at_ms), max(value) FILTER (WHERE is_first), max(at_ms), max(value) FILTER (WHERE is_last),
    max(quality) FILTER (WHERE is_last),
    COALESCE(sum(held_ms) FILTER (WHERE quality = 0), 0),
    COALESCE(sum(held_ms) FILTER (WHERE quality = 1), 0),
    COALESCE(sum(held_ms) FILTER (WHERE quality = 2), 0)
FROM held
GROUP BY series, bucket_ms
"""  # noqa: S608 - a constant of ours
_REPLACE: Final = """
DELETE FROM {table} AS b
WHERE b.at_ms >= $1 AND b.at_ms < $2 AND EXISTS (
    SELECT 1 FROM new_buckets AS n
    WHERE n.series = b.series AND n.at_ms = b.at_ms AND n.n > b.n)
"""
_ADD: Final = """
INSERT INTO {table} SELECT * FROM new_buckets AS n
WHERE NOT EXISTS (
    SELECT 1 FROM {table} AS b
    WHERE b.series = n.series AND b.at_ms = n.at_ms AND b.at_ms >= $1 AND b.at_ms < $2)
"""


def roll_up(run: Run, now_ms: int, after: DueRow) -> list[DueRow]:
    """Make the buckets of some series of one hour that waits and is over at `now_ms`.

    after: the last one that was taken. Returns those taken now; none if none waits.
    """
    if due := _waiting(run, now_ms, after) or _waiting(run, now_ms, NONE_YET):
        _make(run, due)
    return due


def _waiting(run: Run, now_ms: int, after: DueRow) -> list[DueRow]:
    over_ms = now_ms - HOUR_MS - GRACE_MS
    return [DueRow(*row) for row in run(_WAITING, (over_ms, after.hour_ms, after.series))]


def _make(run: Run, due: Sequence[DueRow]) -> None:
    hour_ms, first, last = due[0].hour_ms, due[0].series, due[-1].series
    hour = hour_ms, hour_ms + HOUR_MS
    for table, size_ms in TABLES.items():
        run("DROP TABLE new_buckets", ())
        run(STAGING, ())
        run(_SUM_UP.format(size=size_ms), (*hour, first, last))
        run(_REPLACE.format(table=table), hour)
        run(_ADD.format(table=table), hour)
    run(_DONE, (hour_ms, first, last))
