"""PURE: the board of a line: what happens now, what is lost, and how its orders stand.

Owns its queries: the state of each cell now, an order's pieces cell by cell against the plan.
"""

from collections.abc import Mapping
from typing import Final

from dashboards import places, sql
from dashboards.looks import (
    BY_CELL,
    GAUGE,
    HIDDEN,
    LINES,
    LOSSES_SHOWN,
    MINUTES,
    OF_STATES,
    RATIOS_SHOWN,
    SHARE,
    STACKED,
    fixed,
)
from dashboards.marks import MARKS
from dashboards.model import Columns, Dashboard, Panel, Target, Variable
from dashboards.places import ONE_CELL, link, of_row

ORDERS: Final = """
SELECT order_id AS __value, order_id || ' ' || item || ', ' || dispatch_status AS __text
FROM orders
WHERE line = ANY (ARRAY[${line:sqlstring}]::text[])
    AND (released_ms IS NULL OR released_ms <= ${__to})
    AND (at_ms >= ${__from}
        OR dispatch_status NOT IN ('completed', 'closed', 'aborted', 'cancelled'))
ORDER BY dispatch_status = 'running' DESC, started_ms DESC NULLS LAST, order_id
LIMIT 500"""

NOW: Final = sql.statement(
    sql.KNOWN_UNTIL,
    select="""
SELECT cell, substring(cell FROM '[^/]+$') AS name, state,
    (k.at_ms - newest.at_ms)::float8 / 60000 AS for_min
FROM known_until AS k
CROSS JOIN unnest(ARRAY[${cell:sqlstring}]::text[]) AS chosen (cell)
CROSS JOIN LATERAL (
    SELECT state, at_ms FROM state_changes AS s
    WHERE s.cell = chosen.cell AND at_ms <= ${__to}
    ORDER BY at_ms DESC LIMIT 1
) AS newest
ORDER BY cell""",
)

OEE_NOW: Final = """
SELECT line, substring(line FROM '[^/]+$') AS name, shift,
    ideal_good::float8 / NULLIF(pbt, 0) AS oee,
    apt::float8 / NULLIF(pbt, 0) AS availability,
    ideal::float8 / NULLIF(apt, 0) AS effectiveness,
    ideal_good::float8 / NULLIF(ideal, 0) AS quality_ratio
FROM unnest(ARRAY[${line:sqlstring}]::text[]) AS line
CROSS JOIN LATERAL (
    SELECT document #>> '{shift,id}' AS shift, document -> 'sums' AS sums FROM states
    WHERE topic = line || '/_state/oee' AND at_ms <= ${__to}
    ORDER BY rev DESC LIMIT 1
) AS newest
CROSS JOIN LATERAL (
    SELECT as_count(sums ->> 'pbt_ms') AS pbt, as_count(sums ->> 'apt_ms') AS apt,
        as_count(sums ->> 'ideal_ms') AS ideal, as_count(sums ->> 'ideal_good_ms') AS ideal_good
) AS counted
ORDER BY line"""
"""From the line's own document, so with the piece of time that is not closed yet."""

LOST_MINUTES: Final = sql.statement(
    sql.NECKS,
    sql.CLOSED_AT_NECKS,
    sql.sums("line", "at_necks"),
    sql.RATIOS,
    sql.MINUTES_LOST,
    select="""
SELECT line, substring(line FROM '[^/]+$') AS name,
    delay_min, set_up_min, no_order_min, speed_min, quality_min
FROM minutes
ORDER BY line""",
)

PLAN: Final = sql.statement(
    sql.KNOWN_UNTIL,
    select="""
SELECT order_id, item, line, dispatch_status, quantity, good, scrap, expected,
    good - expected AS ahead_by,
    good::float8 / NULLIF(quantity, 0) AS progress,
    to_timestamp(due_ms / 1000.0) AS due
FROM orders CROSS JOIN known_until AS k
CROSS JOIN LATERAL (
    SELECT round(quantity * LEAST(1, GREATEST(0, (k.at_ms - released_ms)::float8
        / NULLIF(due_ms - released_ms, 0))))::int8 AS expected
) AS plan
WHERE line = ANY (ARRAY[${line:sqlstring}]::text[])
    AND (released_ms IS NULL OR released_ms <= ${__to})
    AND (orders.at_ms >= ${__from}
        OR dispatch_status NOT IN ('completed', 'closed', 'aborted', 'cancelled'))
ORDER BY dispatch_status = 'running' DESC, due_ms, order_id
LIMIT 500""",
)
"""The plan is even: from the release to the due date. Without a due date there is none."""

PROGRESS: Final = """
WITH chosen AS (
    SELECT quantity, released_ms, due_ms FROM orders WHERE order_id = ${order:sqlstring}
), made AS (
    SELECT at_ms / ${__interval_ms} * ${__interval_ms} AS at_ms, path AS cell,
        SUM((payload ->> 'good')::int8)::int8 AS good
    FROM events
    WHERE type = 'counted' AND payload ->> 'order_id' = ${order:sqlstring}
        AND path = ANY (ARRAY[${cell:sqlstring}]::text[])
        AND at_ms >= (SELECT MIN(released_ms) FROM chosen) AND at_ms <= ${__to}
    GROUP BY 1, 2
), points AS (
    SELECT at_ms, substring(cell FROM '[^/]+$') AS metric,
        SUM(good) OVER (PARTITION BY cell ORDER BY at_ms) AS pieces
    FROM made
    UNION ALL
    SELECT at_ms, 'plan', quantity * (at_ms - released_ms)::float8 / (due_ms - released_ms)
    FROM chosen
    CROSS JOIN LATERAL (VALUES (GREATEST(released_ms, ${__from})), (LEAST(due_ms, ${__to})))
        AS ends (at_ms)
    WHERE due_ms > released_ms AND released_ms < ${__to} AND due_ms > ${__from}
)
SELECT to_timestamp(at_ms / 1000.0) AS time, metric, pieces::float8 AS pieces
FROM points
WHERE at_ms BETWEEN ${__from} AND ${__to}
ORDER BY 1, 2"""
"""What lies between two cells of a line is work in process."""

BY_SHIFT: Final = sql.statement(
    sql.NECKS,
    sql.OF_SHIFTS,
    sql.sums("line, shift_id", "of_shifts"),
    sql.RATIOS,
    select="""
SELECT to_timestamp(GREATEST(start_ms, ${__from}) / 1000.0) AS time,
    substring(line FROM '[^/]+$') AS metric, oee
FROM figures
WHERE end_ms > ${__from} AND start_ms < ${__to}
ORDER BY 1, 2""",
)

MADE: Final = """
SELECT to_timestamp(at_ms / ${__interval_ms} * ${__interval_ms} / 1000.0) AS time,
    SUM((payload ->> 'good')::int8)::int8 AS good,
    SUM((payload ->> 'scrap')::int8)::int8 AS scrap,
    SUM((payload ->> 'rework')::int8)::int8 AS rework
FROM events
WHERE type = 'counted' AND at_ms BETWEEN ${__from} AND ${__to}
    AND path = ANY (ARRAY[${cell:sqlstring}]::text[])
GROUP BY 1
ORDER BY 1"""

OF_COUNTS: Final = {"good": "green", "scrap": "red", "rework": "orange"}


def of_name(captions: Mapping[str, str]) -> tuple[Columns, ...]:
    """A bar's caption: whose it is, beside what it is."""
    return tuple(
        Columns((column,), {"displayName": f"${{__data.fields.name}} {caption}"})
        for column, caption in captions.items()
    )


LINE_BOARD: Final = Dashboard(
    places.LINE,
    "Line",
    "A line now, its losses, states, and the pieces of an order against the plan.",
    (*places.CHAIN, Variable("order", "Order", ORDERS, multi=False, timed=True)),
    (
        Panel(
            "stat",
            "Now",
            "The state of each cell at the end of the chosen time, and since how many minutes.",
            (0, 0, 10, 5),
            Target(NOW),
            options={
                "reduceOptions": {"values": True, "calcs": [], "fields": "/^state$/"},
                "textMode": "value_and_name",
                "colorMode": "background",
                "graphMode": "none",
                "justifyMode": "center",
            },
            defaults={"mappings": [OF_STATES], "displayName": "${__data.fields.name}"},
            url=link(places.DOWNTIME, cell=of_row("cell")),
        ),
        Panel(
            "bargauge",
            "OEE of the current shift",
            "By the line's method, with the minutes that still run.",
            (10, 0, 7, 5),
            Target(OEE_NOW),
            options={
                "reduceOptions": {
                    "values": True,
                    "calcs": [],
                    "fields": "/^(oee|availability|effectiveness|quality_ratio)$/",
                },
                "orientation": "horizontal",
                "displayMode": "basic",
            },
            defaults={**SHARE, "min": 0, "max": 1},
            columns=of_name(RATIOS_SHOWN),
            url=link(places.LOSSES, line=of_row("line")),
        ),
        Panel(
            "bargauge",
            "Lost minutes",
            "Of the intervals closed in the chosen time, by the line's method.",
            (17, 0, 7, 5),
            Target(LOST_MINUTES),
            options={
                "reduceOptions": {"values": True, "calcs": [], "fields": "/_min$/"},
                "orientation": "horizontal",
                "displayMode": "basic",
            },
            defaults={**MINUTES, "min": 0},
            columns=of_name(LOSSES_SHOWN),
            url=link(places.LOSSES, line=of_row("line")),
        ),
        Panel(
            "state-timeline",
            "States",
            "PackML state of each cell.",
            (0, 5, 24, 7),
            Target(sql.CELL_STATES),
            options={"mergeValues": True, "showValue": "auto", "legend": {"showLegend": True}},
            defaults={"mappings": [OF_STATES], "displayName": "${__field.labels.cell}"},
            transformations=(BY_CELL,),
            url=ONE_CELL,
        ),
        Panel(
            "timeseries",
            "Order: good pieces by cell, and the plan",
            "Of the chosen order, from its release on; between two cells lies work in process.",
            (0, 12, 12, 9),
            Target(PROGRESS, "time_series"),
            defaults={"custom": {**LINES, "lineInterpolation": "stepAfter"}, "min": 0},
            columns=(
                Columns(
                    ("plan",),
                    {
                        **fixed("#808080"),
                        "custom.lineInterpolation": "linear",
                        "custom.lineStyle": {"fill": "dash", "dash": [10, 10]},
                    },
                ),
            ),
            url=link(places.HANDOVER),
            interval_min="1m",
        ),
        Panel(
            "table",
            "Orders, plan and actual",
            "Expected: good pieces by an even plan from release to due date.",
            (12, 12, 12, 9),
            Target(PLAN),
            columns=(Columns(("progress",), GAUGE), Columns(("line",), HIDDEN)),
            url=link(places.LINE, line=of_row("line"), order=of_row("order_id")),
        ),
        Panel(
            "timeseries",
            "OEE by shift",
            "By the line's method, each shift whole and at its start.",
            (0, 21, 12, 8),
            Target(BY_SHIFT, "time_series"),
            defaults={"custom": {"drawStyle": "bars", "fillOpacity": 60}, **SHARE, "min": 0},
            url=link(places.LOSSES),
        ),
        Panel(
            "timeseries",
            "Pieces",
            "Good, scrap and rework of the chosen cells; each cell counts its own.",
            (12, 21, 12, 8),
            Target(MADE, "time_series"),
            defaults={"custom": STACKED, "min": 0},
            columns=tuple(Columns((name,), fixed(colour)) for name, colour in OF_COUNTS.items()),
            url=link(places.QUALITY),
            interval_min="1m",
        ),
    ),
    MARKS,
)
