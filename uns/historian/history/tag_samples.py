"""A tag's samples as questions about time need them: in their order, summed up by steps.

Owns the order of samples: by their source's time, then by when they came. A fault is stamped with
its tag's last value, and the end of it may be, too; what `shown_again` knows of such counts from
when it came, unless the source had told something newer by then. Knows roll-ups only for what a tag
was at an instant whose samples were let go (see summed).
"""

from collections.abc import Iterator
from typing import Any, Final, NamedTuple

from uns.historian.answers import ROWS_MAX, TIMEOUT_S_MAX
from uns.historian.history.period import Period
from uns.historian.history.sampling import HOLD_FOREVER_MS, Held, Piece, Steps, origin
from uns.historian.reader import Reader
from uns.historian.rollups import MEASURED_MAX

HOUR_MS: Final = 3_600_000
LOOK_BACK_MS: Final = (HOUR_MS, 24 * HOUR_MS, 720 * HOUR_MS, HOLD_FOREVER_MS)
_INSTANT: Final = "^([0-9]{1,15}([.]0{1,20})?|[0-9]([.][0-9]{1,20})?[eE][+]?(0?[0-9]|1[0-4]))$"
"""An instant in ms, as publishers write it: a whole number, one with zeros behind it, or 1.7e12."""
AGAIN: Final = f"""
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
FROM ({AGAIN}) AS again
"""  # noqa: S608 - constants of ours
"""The samples of topic $1 in [$2, $3)."""
_BY_TIME: Final = (
    "at_ms",
    "received_ms",
    "CASE quality WHEN 'good' THEN 0 WHEN 'uncertain' THEN 1 ELSE 2 END",
)
BY_TIME: Final = ", ".join(_BY_TIME)
_MEASURED: Final = f"CASE WHEN abs(value) <= {MEASURED_MAX} THEN value END"
"""As roll-ups have it: what lies beyond is no measurement, and no sum of it can be made."""
_BEFORE: Final = f"""
SELECT at_ms, {_MEASURED}, quality, unit, reason FROM ({TOLD}) AS told
ORDER BY {", ".join(f"{column} DESC" for column in _BY_TIME)} LIMIT 1
"""  # noqa: S608 - constants of ours
_LET_GO: Final = f"""
SELECT at_ms, value, quality, unit, reason FROM (
    SELECT at_ms, {_MEASURED} AS value, quality, unit, reason, 0 AS summed FROM tag_samples_kept
    WHERE topic = $1 AND at_ms < $2
    UNION ALL
    SELECT last_ms, value_last, quality_last, unit, CAST(NULL AS TEXT), 1 FROM tag_minutes
    WHERE topic = $1 AND at_ms >= $2 - {HOUR_MS} AND at_ms < $2 AND last_ms < $2
    UNION ALL
    SELECT last_ms, value_last, quality_last, unit, CAST(NULL AS TEXT), 2 FROM tag_hours
    WHERE topic = $1 AND at_ms < $2 AND last_ms < $2
) AS known ORDER BY at_ms DESC, summed LIMIT 1
"""  # noqa: S608 - a constant of ours
"""What is known of samples that were let go: the newest of each series, and the last of sums."""
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


class Told(NamedTuple):
    """The newest sample before an instant."""

    held: Held
    unit: str | None
    reason: str | None


def told_before(reader: Reader, topic: str, at_ms: int) -> Told | None:
    """What a tag was told to be before an instant; None: nothing yet."""
    found = list[tuple[Any, ...]]()
    for back_ms in LOOK_BACK_MS:
        window = (topic, max(at_ms - back_ms, 0), at_ms)
        found = reader.query(_BEFORE, window, 1).rows
        if found or back_ms >= at_ms:
            break
    for since_ms, value, quality, unit, reason in (
        found or reader.query(_LET_GO, (topic, at_ms), 1).rows
    ):
        return Told(Held(since_ms, value, quality), unit, reason)
    return None


def summed_up(reader: Reader, topic: str, part: Period, steps: Steps) -> Iterator[Piece]:
    """A part of a period from all its samples, step by step."""
    first_ms = origin(steps.asked, steps.every_ms)
    params = (topic, part.from_ms, part.to_ms, first_ms, steps.every_ms, steps.held_ms)
    for row in reader.query(_PIECES, params, ROWS_MAX, TIMEOUT_S_MAX).rows:
        yield Piece._make((*row[:10], Held(*row[10:])))
