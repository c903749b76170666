"""Which values of a tag are worth drawing, before they are thinned out.

Owns that a line through them reaches as high and as low as the tag did in every short step of time.
What roll-ups tell stands at the instant of their first sample: a minute or an hour is no longer
than a step, or all that is kept.
"""

from collections.abc import Iterator, Sequence
from typing import Any, Final

from uns.historian.answers import ROWS_MAX, TIMEOUT_S_MAX
from uns.historian.history.period import Period
from uns.historian.history.summed import MINUTE_MS, ROLLED_UP, Kept, Part, kept, told_by
from uns.historian.history.tag_samples import HOUR_MS
from uns.historian.reader import Reader

STEPS_PER_POINT: Final = 2
_GOOD: Final = """
SELECT at_ms, value FROM tags
WHERE topic = $1 AND at_ms >= $2 AND at_ms < $3 AND quality = 'good' AND value IS NOT NULL
"""
_SUMMED: Final = f"""
SELECT first_ms AS at_ms, unnest(ARRAY[value_min, value_max]) AS value FROM {{table}}
WHERE topic = $1 AND at_ms > $2 - {HOUR_MS} AND at_ms < $3
    AND first_ms >= $2 AND first_ms < $3 AND value_min IS NOT NULL
"""  # noqa: S608 - a constant of ours
_EXTREMES: Final = """
WITH good AS (
    SELECT at_ms, value, at_ms - (at_ms - $2) % $4 AS step_ms FROM ({numbers}) AS numbers
), low AS (
    SELECT DISTINCT ON (step_ms) at_ms, value FROM good ORDER BY step_ms, value, at_ms
), high AS (
    SELECT DISTINCT ON (step_ms) at_ms, value FROM good ORDER BY step_ms, value DESC, at_ms
)
SELECT at_ms, value FROM low UNION SELECT at_ms, value FROM high
"""


def numbers(reader: Reader, topic: str, asked: Period, points: int) -> list[tuple[int, float]]:
    """Every good number by time, or where there are too many the extremes of short steps."""
    known, steps = kept(reader, topic, asked), STEPS_PER_POINT * points
    if known.samples_ms == asked.from_ms:
        window = (topic, asked.from_ms, asked.to_ms, 2 * steps + 1)
        every = reader.query(f"{_GOOD} ORDER BY at_ms LIMIT $4", window, 2 * steps)
        if not every.truncated:
            return [_pair(row) for row in every.rows]
    step_ms = -(-asked.length_ms // steps)
    parts = _parts(reader, topic, asked, step_ms, known)
    return sorted(set(_extremes(reader, topic, step_ms, parts)))


def _extremes(
    reader: Reader, topic: str, step_ms: int, parts: Iterator[Part]
) -> Iterator[tuple[int, float]]:
    for part, size_ms in parts:
        numbers = _SUMMED.format(table=ROLLED_UP[size_ms]) if size_ms else _GOOD
        sql, window = _EXTREMES.format(numbers=numbers), (topic, part.from_ms, part.to_ms, step_ms)
        yield from map(_pair, reader.query(sql, window, ROWS_MAX, TIMEOUT_S_MAX).rows)


def _pair(row: Sequence[Any]) -> tuple[int, float]:
    at_ms, value = row
    return at_ms, value


def _parts(reader: Reader, topic: str, asked: Period, step_ms: int, known: Kept) -> Iterator[Part]:
    """The parts of a period, and the longest buckets that are no longer than a step."""
    size_ms = next((ms for ms in ROLLED_UP if ms <= step_ms), None)
    if asked.from_ms < known.minutes_ms:
        yield Period(from_ms=asked.from_ms, to_ms=known.minutes_ms), HOUR_MS
    if known.minutes_ms < known.samples_ms:
        part = Period(from_ms=known.minutes_ms, to_ms=known.samples_ms)
        yield part, size_ms or MINUTE_MS
    young = Period(from_ms=known.samples_ms, to_ms=asked.to_ms)
    yield from told_by(reader, topic, young, size_ms)
