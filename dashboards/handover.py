"""PURE: the board for the hand-over of a shift: what was made, what stood still, what is open.

Owns its queries over one shift, which is chosen among those of the chosen time. A shift reaches
from its first to its last interval on record at the chosen lines.
"""

from typing import Final

from dashboards import places, sql
from dashboards.looks import BY_CELL, GAUGE, MINUTES, OF_STATES, SHARE, STACKED, fixed
from dashboards.marks import MARKS
from dashboards.model import Columns, Dashboard, Panel, Target, Variable
from dashboards.places import ONE_CELL, link, of_row

SHIFTS: Final = """
SELECT shift_id AS __value, shift_id AS __text
FROM oee_intervals
WHERE line = ANY (ARRAY[${line:sqlstring}]::text[])
    AND start_ms BETWEEN ${__from} - 86400000 AND ${__to} + 86400000
GROUP BY shift_id
HAVING MAX(end_ms) > ${__from} AND MIN(start_ms) < ${__to}
ORDER BY MAX(end_ms) DESC
LIMIT 100"""

OF_SHIFT: Final = f"""
shift_intervals AS ({sql.OF_NECKS}
    WHERE shift_id = ${{shift:sqlstring}}
        AND start_ms BETWEEN ${{__from}} - 86400000 AND ${{__to}} + 86400000
), span AS (
    SELECT MIN(start_ms) AS from_ms, MAX(end_ms) AS to_ms FROM shift_intervals
)"""  # noqa: S608 - a constant of ours

LINES: Final = sql.statement(
    sql.NECKS,
    f"""
days AS ({sql.OF_NECKS}
    WHERE start_ms BETWEEN ${{__from}} - 172800000 AND ${{__to}} + 86400000
)""",
    sql.sums("line, shift_id", "days"),
    sql.RATIOS,
    sql.MINUTES_LOST,
    """
compared AS (
    SELECT *, LAG(oee) OVER (PARTITION BY line ORDER BY start_ms) AS oee_before FROM minutes
)""",
    select="""
SELECT line, oee, oee_before, availability, effectiveness, quality_ratio, gq AS good, sq AS scrap,
    delay_min, set_up_min, no_order_min, speed_min, quality_min
FROM compared
WHERE shift_id = ${shift:sqlstring}
ORDER BY line""",
)

ORDERS: Final = sql.statement(
    sql.NECKS,
    OF_SHIFT,
    select="""
SELECT i.order_id, MIN(i.item) AS item, i.line, SUM(i.gq)::int8 AS good_in_shift,
    SUM(i.sq)::int8 AS scrap_in_shift, MIN(o.dispatch_status) AS dispatch_status,
    MIN(o.good) AS good, MIN(o.quantity) AS quantity,
    MIN(o.good)::float8 / NULLIF(MIN(o.quantity), 0) AS progress,
    to_timestamp(MIN(o.due_ms) / 1000.0) AS due
FROM shift_intervals AS i LEFT JOIN orders AS o ON o.order_id = i.order_id
WHERE i.order_id IS NOT NULL
GROUP BY i.order_id, i.line
ORDER BY MAX(i.end_ms) DESC, i.order_id
LIMIT 200""",
)

STOPS: Final = sql.statement(
    sql.NECKS,
    OF_SHIFT,
    sql.KNOWN_UNTIL,
    select="""
SELECT COALESCE(s.reason, s.state) AS reason, s.cell, COUNT(*) AS stops,
    SUM(LEAST(COALESCE(s.end_ms, k.at_ms), to_ms) - GREATEST(s.start_ms, from_ms))::float8 / 60000
        AS minutes
FROM span
JOIN stops AS s ON s.start_ms < to_ms AND COALESCE(s.end_ms, to_ms) > from_ms
CROSS JOIN known_until AS k
WHERE s.cell = ANY (ARRAY[${cell:sqlstring}]::text[]) AND s.micro IS NOT TRUE
GROUP BY 1, s.cell
ORDER BY minutes DESC, reason, s.cell
LIMIT 20""",
)

OPEN: Final = sql.statement(
    sql.KNOWN_UNTIL,
    """
matters AS (
    SELECT 'stop' AS what, cell AS place, s.start_ms AS at_ms, COALESCE(reason, state) AS detail
    FROM stops AS s WHERE end_ms IS NULL AND cell = ANY (ARRAY[${cell:sqlstring}]::text[])
    UNION ALL
    SELECT 'order late', line, due_ms, order_id || ', ' || (quantity - good) || ' to go'
    FROM orders CROSS JOIN known_until AS k
    WHERE line = ANY (ARRAY[${line:sqlstring}]::text[]) AND due_ms < k.at_ms
        AND dispatch_status NOT IN ('completed', 'closed', 'aborted', 'cancelled')
    UNION ALL
    SELECT 'order', line, COALESCE(started_ms, released_ms),
        order_id || ' ' || dispatch_status || ', ' || (quantity - good) || ' to go'
    FROM orders
    WHERE line = ANY (ARRAY[${line:sqlstring}]::text[])
        AND dispatch_status IN ('running', 'held', 'suspended')
    UNION ALL
    SELECT 'sample failed', cell, at_ms, 'lot ' || COALESCE(lot, unit_id, '?')
    FROM verdicts
    WHERE cell = ANY (ARRAY[${cell:sqlstring}]::text[]) AND verdict <> 'pass'
    UNION ALL
    SELECT 'gap', source, at_ms, seen_by || ' misses ' || from_seq || ' to ' || to_seq FROM gaps
    UNION ALL
    SELECT 'reject', COALESCE(origin, topic), at_ms, reject_class || ': ' || reason FROM rejects
)""",
    select="""
SELECT to_timestamp(at_ms / 1000.0) AS since, what, place, detail
FROM matters
WHERE at_ms BETWEEN ${__from} AND ${__to}
ORDER BY at_ms DESC, what, place
LIMIT 200""",
)

MADE: Final = sql.statement(
    sql.NECKS,
    select="""
SELECT to_timestamp(at_ms / ${__interval_ms} * ${__interval_ms} / 1000.0) AS time,
    SUM((payload ->> 'good')::int8)::int8 AS good, SUM((payload ->> 'scrap')::int8)::int8 AS scrap
FROM events JOIN necks ON CASE WHEN all_count THEN starts_with(events.path, necks.line || '/')
    ELSE events.path = necks.reference END
WHERE type = 'counted' AND at_ms BETWEEN ${__from} AND ${__to}
GROUP BY 1
ORDER BY 1""",
)

HANDOVER: Final = Dashboard(
    places.HANDOVER,
    "Shift hand-over",
    "What the next shift has to know: figures of this one, and what is left open.",
    (*places.CHAIN, Variable("shift", "Shift", SHIFTS, multi=False, timed=True)),
    (
        Panel(
            "table",
            "The shift",
            "OEE of each line by its method, beside the shift before it; losses in minutes.",
            (0, 0, 24, 6),
            Target(LINES),
            columns=(
                Columns(("oee",), GAUGE),
                Columns(("oee_before", "availability", "quality_ratio"), SHARE),
                Columns(("effectiveness",), {**SHARE, "displayName": "Performance"}),
                Columns((".+_min",), MINUTES),
            ),
            url=link(places.LOSSES, line=of_row("line")),
        ),
        Panel(
            "timeseries",
            "Pieces of the lines",
            "With downtime, change-overs, failed samples and refused input marked on it.",
            (0, 6, 14, 9),
            Target(MADE, "time_series"),
            defaults={"custom": STACKED, "min": 0},
            columns=(Columns(("good",), fixed("green")), Columns(("scrap",), fixed("red"))),
            url=link(places.LINE),
            interval_min="5m",
        ),
        Panel(
            "table",
            "Open matters",
            "Open stops, running and late orders, failed samples, gaps and rejects of the time.",
            (14, 6, 10, 9),
            Target(OPEN),
            url=link(places.LINE),
        ),
        Panel(
            "table",
            "Orders of the shift",
            "Pieces of the line in the shift, and how the order stands now.",
            (0, 15, 14, 8),
            Target(ORDERS),
            columns=(Columns(("progress",), GAUGE),),
            url=link(places.LINE, line=of_row("line"), order=of_row("order_id")),
        ),
        Panel(
            "table",
            "Stops of the shift",
            "What cost the most, micro-stops left out.",
            (14, 15, 10, 8),
            Target(STOPS),
            columns=(Columns(("minutes",), MINUTES),),
            url=link(places.DOWNTIME, cell=of_row("cell")),
        ),
        Panel(
            "state-timeline",
            "States",
            "PackML state of each cell in the chosen time.",
            (0, 23, 24, 7),
            Target(sql.CELL_STATES),
            options={"mergeValues": True, "showValue": "auto", "legend": {"showLegend": False}},
            defaults={"mappings": [OF_STATES], "displayName": "${__field.labels.cell}"},
            transformations=(BY_CELL,),
            url=ONE_CELL,
        ),
    ),
    MARKS,
)
