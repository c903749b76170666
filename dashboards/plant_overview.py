"""PURE: the board for the shop floor: how is the plant doing, what is lost, and is all of it known.

Owns its queries. They read the record's public views and tables and form ratios of sums only.
`${__from}` and `${__to}` are the chosen time in ms, as `at_ms` is; an empty choice selects nothing.
"""

from typing import Final

from dashboards.model import Columns, Dashboard, Panel, Target, Variable

UID: Final = "uns-plant-overview"
CHOSEN: Final = f"/d/{UID}?${{__url_time_range}}&${{site:queryparam}}&${{area:queryparam}}"
ONE_LINE: Final = f"{CHOSEN}&var-line=${{__data.fields.line}}&var-cell=$__all"
ONE_CELL: Final = f"{CHOSEN}&${{line:queryparam}}&var-cell=${{__field.labels.cell}}"

SITES: Final = """
SELECT DISTINCT substring(topic FROM '^[^/]+/[^/]+') AS __value, split_part(topic, '/', 2) AS __text
FROM processor_states
ORDER BY 1"""

AREAS: Final = """
SELECT DISTINCT area AS __value, substring(area FROM '[^/]+/[^/]+$') AS __text
FROM processor_states, substring(topic FROM '^[^/]+/[^/]+/[^/]+') AS area
WHERE substring(topic FROM '^[^/]+/[^/]+') = ANY (ARRAY[${site:sqlstring}]::text[])
ORDER BY 1"""

LINES: Final = """
SELECT DISTINCT line AS __value, substring(line FROM '[^/]+/[^/]+$') AS __text
FROM processor_states, split_part(topic, '/_hub/', 1) AS line
WHERE substring(topic FROM '^[^/]+/[^/]+/[^/]+') = ANY (ARRAY[${area:sqlstring}]::text[])
ORDER BY 1"""

CELLS: Final = """
SELECT cell AS __value, substring(cell FROM '[^/]+/[^/]+$') AS __text
FROM unnest(ARRAY[${line:sqlstring}]::text[]) AS line
CROSS JOIN LATERAL (
    SELECT document -> 'cells' AS cells FROM states
    WHERE topic = line || '/_state/oee' ORDER BY rev DESC LIMIT 1
) AS newest
CROSS JOIN json_object_keys(CASE json_typeof(cells) WHEN 'object' THEN cells END) AS word
CROSS JOIN LATERAL (SELECT line || '/' || replace(word, '_', '-') AS cell) AS place
ORDER BY 1"""
"""A document key has `_` where a cell's name has `-`."""

OEE: Final = """
WITH necks AS (
    SELECT line, line || '/' || (
        SELECT document ->> 'bottleneck' FROM states
        WHERE topic = line || '/_state/oee' ORDER BY rev DESC LIMIT 1
    ) AS cell
    FROM unnest(ARRAY[${line:sqlstring}]::text[]) AS line
), sums AS (
    SELECT i.line, shift_id, MIN(start_ms) AS start_ms,
        SUM(end_ms - start_ms) FILTER (WHERE element IN ('apt', 'aust', 'adet', 'adot')) AS pbt,
        SUM(end_ms - start_ms) FILTER (WHERE element = 'apt') AS apt,
        SUM(end_ms - start_ms) FILTER (WHERE element = 'adet') AS adet,
        SUM(end_ms - start_ms) FILTER (WHERE element = 'aust') AS aust,
        SUM(end_ms - start_ms) FILTER (WHERE element = 'adot') AS adot,
        SUM(pq) AS pq, SUM(gq) AS gq, SUM(ideal_ms) AS ideal, SUM(ideal_good_ms) AS ideal_good
    FROM oee_intervals AS i JOIN necks AS n ON n.cell = i.cell
    WHERE end_ms > ${__from} - 86400000 AND start_ms < ${__to} + 86400000
    GROUP BY i.line, shift_id
    HAVING MAX(end_ms) > ${__from} AND MIN(start_ms) < ${__to}
), ratios AS (
    SELECT *,
        COALESCE(apt, 0)::float8 / NULLIF(pbt, 0) AS availability,
        ideal::float8 / NULLIF(apt, 0) AS effectiveness,
        CASE WHEN ideal > 0 THEN ideal_good::float8 / ideal
            ELSE gq::float8 / NULLIF(pq, 0) END AS quality_ratio
    FROM sums
)
SELECT line, shift_id AS shift,
    CASE WHEN availability IS NOT NULL
        THEN COALESCE(availability * effectiveness * quality_ratio, 0) END AS oee,
    availability, effectiveness, quality_ratio,
    pbt::float8 / 60000 AS busy_min,
    adet::float8 / 60000 AS delay_min,
    aust::float8 / 60000 AS set_up_min,
    adot::float8 / 60000 AS no_order_min,
    (apt - ideal)::float8 / 60000 AS speed_min,
    (ideal - ideal_good)::float8 / 60000 AS quality_min
FROM ratios
ORDER BY start_ms DESC, line
LIMIT 500"""
"""As uns.model.kpi. No shift is longer than a day, so a day around the chosen time has it whole."""

CELL_STATES: Final = """
SELECT to_timestamp(at_ms / 1000.0) AS time, cell, state
FROM (
    SELECT at_ms, path AS cell, payload ->> 'state' AS state FROM events
    WHERE type = 'state-changed' AND at_ms > ${__from} AND at_ms <= ${__to}
        AND path = ANY (ARRAY[${cell:sqlstring}]::text[])
    UNION ALL
    SELECT ${__from}, cell, state
    FROM unnest(ARRAY[${cell:sqlstring}]::text[]) AS cell
    CROSS JOIN LATERAL (
        SELECT payload ->> 'state' AS state FROM events
        WHERE topic = cell || '/_event/state-changed' AND at_ms <= ${__from}
        ORDER BY at_ms DESC LIMIT 1
    ) AS before
) AS changes
ORDER BY at_ms, cell"""

ORDERS: Final = """
SELECT order_id, item, line, dispatch_status, good, scrap, quantity,
    good::float8 / NULLIF(quantity, 0) AS progress,
    to_timestamp(due_ms / 1000.0) AS due
FROM orders
WHERE line = ANY (ARRAY[${line:sqlstring}]::text[])
    AND (released_ms IS NULL OR released_ms <= ${__to})
    AND (at_ms >= ${__from}
        OR dispatch_status NOT IN ('completed', 'closed', 'aborted', 'cancelled'))
ORDER BY dispatch_status = 'running' DESC, due_ms, order_id
LIMIT 500"""

DOWNTIME: Final = """
WITH lost AS (
    SELECT COALESCE(reason, state) AS reason,
        LEAST(COALESCE(end_ms, (SELECT MAX(at_ms) FROM watermarks)), ${__to})
            - GREATEST(start_ms, ${__from}) AS lost_ms
    FROM stops
    WHERE cell = ANY (ARRAY[${cell:sqlstring}]::text[]) AND micro IS NOT TRUE
        AND start_ms < ${__to} AND (end_ms IS NULL OR end_ms > ${__from})
)
SELECT reason,
    SUM(lost_ms)::float8 / 60000 AS minutes,
    COUNT(*) AS stops,
    (SUM(SUM(lost_ms)) OVER (ORDER BY SUM(lost_ms) DESC, reason)
        / SUM(SUM(lost_ms)) OVER ())::float8 AS cumulative
FROM lost
WHERE lost_ms > 0
GROUP BY reason
ORDER BY minutes DESC, reason
LIMIT 50"""
"""An open stop lasts until the record's newest watermark: what came later is not known."""

VERDICTS: Final = """
SELECT to_timestamp(at_ms / ${__interval_ms} * ${__interval_ms} / 1000.0) AS time,
    COUNT(*) FILTER (WHERE verdict = 'pass') AS pass,
    COUNT(*) FILTER (WHERE verdict = 'fail') AS fail,
    COUNT(*) FILTER (WHERE verdict = 'pending') AS pending
FROM verdicts
WHERE cell = ANY (ARRAY[${cell:sqlstring}]::text[])
    AND at_ms BETWEEN ${__from} AND ${__to}
GROUP BY 1
ORDER BY 1"""

LOSSES: Final = """
SELECT to_timestamp(at_ms / 1000.0) AS time, kind, what, place, reason
FROM (
    SELECT at_ms, 'reject' AS kind, reject_class AS what, COALESCE(origin, topic) AS place, reason
    FROM rejects
    UNION ALL
    SELECT at_ms, 'gap', 'epoch ' || epoch, source,
        seen_by || ' misses ' || from_seq || ' to ' || to_seq
    FROM gaps
) AS losses
WHERE at_ms BETWEEN ${__from} AND ${__to}
ORDER BY at_ms DESC
LIMIT 500"""

COLOURS: Final = {
    "green": ("EXECUTE",),
    "blue": ("STARTING", "RESETTING", "COMPLETING", "CLEARING"),
    "yellow": ("IDLE", "COMPLETE", "SUSPENDING", "SUSPENDED", "UNSUSPENDING"),
    "orange": ("HOLDING", "HELD", "UNHOLDING"),
    "red": ("ABORTING", "ABORTED"),
    "purple": ("STOPPING", "STOPPED"),
    "#808080": ("UNKNOWN",),
}
OF_STATES: Final = {
    "type": "value",
    "options": {s: {"color": colour} for colour, states in COLOURS.items() for s in states},
}
SHARE: Final = {"unit": "percentunit", "decimals": 1, "max": 1}
GAUGE: Final = {"custom.cellOptions": {"type": "gauge", "mode": "basic"}, "min": 0, **SHARE}
IN_HINT: Final = {"custom.hideFrom": {"viz": True, "legend": True, "tooltip": False}}
STACKED: Final = {"drawStyle": "bars", "fillOpacity": 80, "stacking": {"mode": "normal"}}
BY_CELL: Final = {
    "id": "partitionByValues",
    "options": {"fields": ["cell"], "keepFields": False, "naming": {"asLabels": True}},
}

PLANT_OVERVIEW: Final = Dashboard(
    UID,
    "Plant overview",
    "OEE, states, orders, downtime, verdicts, and what the record refused or never got.",
    (
        Variable("site", "Site", SITES),
        Variable("area", "Area", AREAS),
        Variable("line", "Line", LINES),
        Variable("cell", "Cell", CELLS),
    ),
    (
        Panel(
            "table",
            "OEE by line and shift",
            "Of each line's bottleneck, from closed intervals of whole shifts; losses in minutes.",
            (0, 0, 24, 8),
            Target(OEE),
            defaults={"decimals": 1},
            columns=(
                Columns(("oee",), GAUGE),
                Columns(("availability", "quality_ratio"), SHARE),
                Columns(("effectiveness",), {**SHARE, "displayName": "Performance"}),
            ),
            url=ONE_LINE,
        ),
        Panel(
            "state-timeline",
            "States",
            "PackML state of each cell.",
            (0, 8, 24, 8),
            Target(CELL_STATES),
            options={"mergeValues": True, "showValue": "auto", "legend": {"showLegend": False}},
            defaults={"mappings": [OF_STATES], "displayName": "${__field.labels.cell}"},
            transformations=(BY_CELL,),
            url=ONE_CELL,
        ),
        Panel(
            "table",
            "Orders",
            "Open now or changed in the chosen time.",
            (0, 16, 14, 9),
            Target(ORDERS),
            columns=(Columns(("progress",), GAUGE),),
            url=ONE_LINE,
        ),
        Panel(
            "barchart",
            "Downtime by reason",
            "Minutes in the chosen time, micro-stops left out; a bar's hint has the running share.",
            (14, 16, 10, 9),
            Target(DOWNTIME),
            options={"xField": "reason", "orientation": "horizontal"},
            defaults={"unit": "m", "min": 0},
            columns=(
                Columns(("cumulative",), {**SHARE, **IN_HINT}),
                Columns(("stops",), {"unit": "none", **IN_HINT}),
            ),
        ),
        Panel(
            "timeseries",
            "Verdicts",
            "Samples judged, by the newest verdict of each.",
            (0, 25, 10, 8),
            Target(VERDICTS, "time_series"),
            defaults={"custom": STACKED, "color": {"mode": "fixed"}, "min": 0},
            columns=tuple(
                Columns((verdict,), {"color": {"mode": "fixed", "fixedColor": colour}})
                for verdict, colour in {"pass": "green", "fail": "red", "pending": "blue"}.items()
            ),
            interval_min="1m",
        ),
        Panel(
            "table",
            "Rejects and gaps",
            "Of the whole hub: what was refused, and events that never arrived.",
            (10, 25, 14, 8),
            Target(LOSSES),
        ),
    ),
)
