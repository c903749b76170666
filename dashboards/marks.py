"""PURE: what is marked on every time axis: downtime, change-overs, failed samples, refused input.

Owns the annotation queries. Each is bounded by the chosen time and in number.
"""

from typing import Final

from dashboards import sql
from dashboards.model import Annotation

DOWNTIME: Final = sql.statement(
    sql.KNOWN_UNTIL,
    sql.LOST,
    select="""
SELECT to_timestamp(GREATEST(start_ms, ${__from}) / 1000.0) AS time,
    to_timestamp(LEAST(end_ms, ${__to}) / 1000.0) AS timeend,
    reason || ' at ' || substring(cell FROM '[^/]+$') AS text,
    'downtime' AS tags
FROM lost
WHERE lost_ms > 0 AND micro IS NOT TRUE
ORDER BY lost_ms DESC
LIMIT 100""",
)

CHANGEOVER: Final = """
SELECT to_timestamp(at_ms / 1000.0) AS time,
    COALESCE(payload ->> 'order_id', 'no order') || ' ' || COALESCE(payload ->> 'item', '')
        || ' at ' || substring(path FROM '[^/]+$') AS text,
    'changeover' AS tags
FROM events
WHERE type = 'loaded' AND at_ms BETWEEN ${__from} AND ${__to}
    AND path = ANY (ARRAY[${cell:sqlstring}]::text[])
ORDER BY at_ms DESC
LIMIT 200"""

FAILED: Final = """
SELECT to_timestamp(at_ms / 1000.0) AS time,
    'sample failed at ' || substring(cell FROM '[^/]+$') || ', lot ' || COALESCE(lot, unit_id, '?')
        AS text,
    'quality_hold' AS tags
FROM verdicts
WHERE verdict = 'fail' AND at_ms BETWEEN ${__from} AND ${__to}
    AND cell = ANY (ARRAY[${cell:sqlstring}]::text[])
ORDER BY at_ms DESC
LIMIT 200"""

REFUSED: Final = """
SELECT to_timestamp(at_ms / 1000.0) AS time, text, tags
FROM (
    SELECT at_ms, reject_class || ': ' || COALESCE(origin, topic) AS text, 'reject' AS tags
    FROM rejects
    UNION ALL
    SELECT at_ms, source || ' misses ' || from_seq || ' to ' || to_seq, 'gap' FROM gaps
) AS losses
WHERE at_ms BETWEEN ${__from} AND ${__to}
ORDER BY at_ms DESC
LIMIT 200"""

MARKS: Final = (
    Annotation("Downtime", "red", DOWNTIME),
    Annotation("Change-over", "blue", CHANGEOVER),
    Annotation("Failed samples", "orange", FAILED),
    Annotation("Rejects and gaps", "purple", REFUSED),
)
