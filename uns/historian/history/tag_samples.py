"""A tag's samples as questions about time need them: in their order, summed up by steps.

Owns the order of samples: by their source's time, then by when they came. A fault is stamped with
its tag's last value, and the end of it may be, too; what `shown_again` knows of such counts from
when it came, unless the source had told something newer by then. Long periods are taken from
roll-ups by minute or hour where these are made and agree with that, the rest from every sample.
"""

from collections.abc import Iterator, Sequence
from typing import Any, Final, NamedTuple

from uns.historian.answers import ROWS_MAX, TIMEOUT_S_MAX
from uns.historian.history.period import INSTANT_MAX, Period
from uns.historian.history.sampling import HOLD_FOREVER_MS, Held, Piece, origin
from uns.historian.reader import Reader
from uns.historian.rollups import MEASURED_MAX

HOUR_MS: Final = 3_600_000
MINUTE_MS: Final = 60_000
ROLLED_UP: Final = {HOUR_MS: "tag_hours", MINUTE_MS: "tag_minutes"}
"""The roll-ups by the length of their buckets, the longest first."""
LOOK_BACK_MS: Final = (HOUR_MS, 24 * HOUR_MS, 720 * HOUR_MS, HOLD_FOREVER_MS)
MOVED_MAX: Final = 50
_INSTANT: Final = "^([0-9]{1,15}([.]0{1,20})?|[0-9]([.][0-9]{1,20})?[eE][+]?(0?[0-9]|1[0-4]))$"
"""An instant in ms, as publishers write it: a whole number, one with zeros behind it, or 1.7e12."""
_AGAIN: Final = f"""
SELECT received_ms, stated_ms, shown, raw FROM (
    SELECT received_ms, CAST(payload AS JSON) AS shown,
        CASE WHEN (CAST(payload AS JSON) ->> 'timestamp_ms') ~ '{_INSTANT}' THEN CAST(CAST(
            (CAST(payload AS JSON) ->> 'timestamp_ms') AS DOUBLE PRECISION) AS BIGINT)
            END AS stated_ms,
        CAST((CAST(payload AS JSON) -> 'value') AS TEXT) AS raw
    FROM shown_again WHERE topic = $1 AND received_ms >= $2 AND received_ms < $3
) AS a
WHERE stated_ms IS NOT NULL AND ((shown ->> 'quality') <> 'good' OR EXISTS (
    SELECT 1 FROM tag_samples AS fault
    WHERE fault.topic = $1 AND fault.at_ms = a.stated_ms AND fault.quality <> 'good'))
AND NOT EXISTS (
    SELECT 1 FROM tag_samples AS newer WHERE newer.topic = $1
        AND newer.at_ms > a.stated_ms AND newer.at_ms <= a.received_ms)
"""  # noqa: S608 - a constant of ours
"""What of topic $1 in [$2, $3) counts from when it came: faults, and the ends of such."""
TOLD: Final = f"""
SELECT at_ms, received_ms, value, quality, unit, reason, 1 AS samples FROM tag_samples AS t
WHERE topic = $1 AND at_ms >= $2 AND at_ms < $3 AND (quality = 'good' OR NOT EXISTS (
    SELECT 1 FROM shown_again AS a WHERE a.topic = $1 AND a.received_ms = t.received_ms))
UNION ALL
SELECT received_ms, received_ms,
    CASE WHEN raw = 'true' THEN 1 WHEN raw = 'false' THEN 0
        WHEN raw LIKE '"%' OR raw = 'null' THEN NULL ELSE CAST(raw AS DOUBLE PRECISION) END,
    shown ->> 'quality', shown ->> 'unit', shown ->> 'reason',
    CASE WHEN (shown ->> 'quality') = 'good' THEN 0 ELSE 1 END
FROM ({_AGAIN}) AS again
"""  # noqa: S608 - constants of ours
"""The samples of topic $1 in [$2, $3)."""
BY_TIME: Final = (
    "at_ms, received_ms, CASE quality WHEN 'good' THEN 0 WHEN 'uncertain' THEN 1 ELSE 2 END"
)
_MEASURED: Final = f"CASE WHEN abs(value) <= {MEASURED_MAX} THEN value END"
"""As roll-ups have it: what lies beyond is no measurement, and no sum of it can be made."""
_BEFORE: Final = f"""
WITH told AS ({TOLD}), numbered AS (
    SELECT *, row_number() OVER (ORDER BY {BY_TIME}) AS number FROM told
)
SELECT at_ms, {_MEASURED}, quality, unit, reason FROM numbered ORDER BY number DESC LIMIT 1
"""  # noqa: S608 - constants of ours
_PIECES: Final = f"""
WITH told AS (
    SELECT at_ms, received_ms, quality, samples,
        CASE WHEN quality = 'good' THEN {_MEASURED} END AS value,
        at_ms - (at_ms - $4) % $5 AS step_ms
    FROM ({TOLD}) AS every_sample
), followed AS (
    SELECT *, LEAD(at_ms) OVER (PARTITION BY step_ms ORDER BY {BY_TIME}) AS next_ms FROM told
), held AS (
    SELECT *, LEAST(COALESCE(next_ms, step_ms + $5), $3, at_ms + $6) - at_ms AS ms FROM followed
)
SELECT GREATEST(step_ms, $2), LEAST(step_ms + $5, $3), sum(samples),
    min(value) FILTER (WHERE ms > 0), max(value) FILTER (WHERE ms > 0),
    COALESCE(sum(value * ms), 0), COALESCE(sum(ms) FILTER (WHERE value IS NOT NULL), 0),
    COALESCE(sum(ms) FILTER (WHERE quality = 'good'), 0),
    COALESCE(sum(ms) FILTER (WHERE quality = 'uncertain'), 0),
    min(at_ms), max(at_ms),
    max(value) FILTER (WHERE next_ms IS NULL), max(quality) FILTER (WHERE next_ms IS NULL)
FROM held GROUP BY step_ms ORDER BY step_ms
"""  # noqa: S608 - constants of ours
_WAITING: Final = """
SELECT min(d.hour_ms) FROM rollups_due AS d JOIN tag_series AS s ON s.series = d.series
WHERE s.topic = $1
"""
_MOVED: Final = f"SELECT received_ms, stated_ms FROM ({_AGAIN}) AS again ORDER BY received_ms"  # noqa: S608 - constants of ours
_ROLLED: Final = """
SELECT at_ms, at_ms + $4, n, value_min, value_max, COALESCE(value_ms, 0),
    CASE WHEN good_n > 0 THEN good_ms ELSE 0 END, good_ms, uncertain_ms, first_ms, last_ms,
    value_last, quality_last
FROM {table} WHERE topic = $1 AND at_ms >= $2 AND at_ms < $3 ORDER BY at_ms, first_ms
"""


class Told(NamedTuple):
    """The newest sample before an instant."""

    held: Held
    unit: str | None
    reason: str | None


def told_before(reader: Reader, topic: str, at_ms: int) -> Told | None:
    """What a tag was told to be before an instant; None: nothing yet."""
    for back_ms in LOOK_BACK_MS:
        window = (topic, max(at_ms - back_ms, 0), at_ms)
        for since_ms, value, quality, unit, reason in reader.query(_BEFORE, window, 1).rows:
            return Told(Held(since_ms, value, quality), unit, reason)
        if back_ms >= at_ms:
            break
    return None


def pieces(
    reader: Reader, topic: str, asked: Period, every_ms: int, hold_ms: int | None = None
) -> list[Piece]:
    """The samples of a period, by time; no piece lies in two steps of `every_ms`."""
    size_ms = next((ms for ms in ROLLED_UP if every_ms % ms == 0 and hold_ms is None), None)
    rolled = _rolled_up(reader, topic, asked, size_ms) if size_ms else []
    found, reached_ms = list[Piece](), asked.from_ms
    for part in rolled:
        between = Period(from_ms=reached_ms, to_ms=part.from_ms)
        found += _from_samples(reader, topic, between, (asked, every_ms, None))
        found += _from_rollups(reader, topic, part, size_ms or 0)
        reached_ms = part.to_ms
    rest = Period(from_ms=reached_ms, to_ms=asked.to_ms)
    return [*found, *_from_samples(reader, topic, rest, (asked, every_ms, hold_ms))]


def _rolled_up(reader: Reader, topic: str, asked: Period, size_ms: int) -> list[Period]:
    """The parts of a period that whole buckets of a roll-up tell right."""
    moved = reader.query(_MOVED, (topic, asked.from_ms, INSTANT_MAX), MOVED_MAX)
    if moved.truncated:
        return []
    waiting_ms = reader.query(_WAITING, (topic,)).rows[0][0]
    made_ms = min(asked.to_ms, asked.to_ms if waiting_ms is None else waiting_ms)
    start_ms = -(-asked.from_ms // size_ms) * size_ms
    wrong = {at_ms - at_ms % size_ms for row in moved.rows for at_ms in row}
    found = list[Period]()
    for at_ms in (*sorted(wrong), made_ms - made_ms % size_ms):
        end_ms = min(at_ms, made_ms - made_ms % size_ms)
        if start_ms < end_ms:
            found.append(Period(from_ms=start_ms, to_ms=end_ms))
        start_ms = max(start_ms, at_ms + size_ms)
    return found


def _from_samples(
    reader: Reader, topic: str, part: Period, steps: tuple[Period, int, int | None]
) -> Iterator[Piece]:
    if part.length_ms <= 0:
        return
    asked, every_ms, hold_ms = steps
    held = HOLD_FOREVER_MS if hold_ms is None else hold_ms
    params = (topic, part.from_ms, part.to_ms, origin(asked, every_ms), every_ms, held)
    yield from map(_piece, reader.query(_PIECES, params, ROWS_MAX, TIMEOUT_S_MAX).rows)


def _from_rollups(reader: Reader, topic: str, part: Period, size_ms: int) -> Iterator[Piece]:
    from_ms, sql = part.from_ms, _ROLLED.format(table=ROLLED_UP[size_ms])
    while from_ms < part.to_ms:
        found = reader.query(sql, (topic, from_ms, part.to_ms, size_ms), ROWS_MAX, TIMEOUT_S_MAX)
        yield from map(_piece, found.rows)
        from_ms = found.rows[-1][0] + size_ms if found.truncated else part.to_ms


def _piece(row: Sequence[Any]) -> Piece:
    return Piece._make((*row[:10], Held(*row[10:])))
