"""PURE: the board of stops: what costs the most time, where, in which order, and how often.

Owns its queries over the stops of the chosen cells. Micro-stops count as lost speed, not as
downtime: they are only counted here.
"""

from typing import Final

from dashboards import places, sql
from dashboards.looks import GAUGE, HIDDEN, IN_HINT, MINUTES, SHARE, STACKED
from dashboards.model import Columns, Dashboard, Panel, Target
from dashboards.places import link, of_row

OVER_TIME: Final = sql.statement(
    sql.KNOWN_UNTIL,
    sql.LOST,
    select="""
SELECT to_timestamp(bucket_ms / 1000.0) AS time, reason AS metric,
    SUM(LEAST(end_ms, bucket_ms + ${__interval_ms}, ${__to})
        - GREATEST(start_ms, bucket_ms, ${__from}))::float8 / 60000 AS minutes
FROM lost
CROSS JOIN LATERAL generate_series(
    GREATEST(start_ms, ${__from}) / ${__interval_ms} * ${__interval_ms},
    LEAST(end_ms, ${__to}) - 1, ${__interval_ms}
) AS bucket_ms
WHERE lost_ms > 0 AND micro IS NOT TRUE
GROUP BY 1, 2
ORDER BY 1, 2""",
)

RELIABILITY: Final = sql.statement(
    sql.KNOWN_UNTIL,
    sql.LOST,
    sql.CLOSED,
    """
ran AS (
    SELECT cell, SUM(elapsed_ms) FILTER (WHERE element = 'apt') AS apt,
        SUM(elapsed_ms) FILTER (WHERE element IN ('apt', 'aust', 'adet', 'adot')) AS pbt
    FROM closed WHERE cell = ANY (ARRAY[${cell:sqlstring}]::text[])
    GROUP BY cell
), stopped AS (
    SELECT cell, COUNT(*) FILTER (WHERE micro IS NOT TRUE) AS stops,
        COUNT(*) FILTER (WHERE micro) AS micro_stops,
        SUM(lost_ms) FILTER (WHERE micro IS NOT TRUE) AS lost_ms
    FROM lost WHERE lost_ms > 0
    GROUP BY cell
)""",
    select="""
SELECT ran.cell, COALESCE(stops, 0) AS stops, COALESCE(micro_stops, 0) AS micro_stops,
    COALESCE(lost_ms, 0)::float8 / 60000 AS lost_min,
    lost_ms::float8 / NULLIF(stops, 0) / 60000 AS mean_stop_min,
    apt::float8 / NULLIF(stops, 0) / 60000 AS mean_run_min,
    COALESCE(apt, 0)::float8 / NULLIF(pbt, 0) AS availability
FROM ran LEFT JOIN stopped ON stopped.cell = ran.cell
ORDER BY lost_min DESC, ran.cell""",
)

STOPS: Final = sql.statement(
    sql.KNOWN_UNTIL,
    sql.LOST,
    select="""
SELECT to_timestamp(start_ms / 1000.0) AS began, cell, reason, state, order_id,
    lost_ms::float8 / 60000 AS minutes, is_open AS still_open
FROM lost
WHERE lost_ms > 0 AND micro IS NOT TRUE
ORDER BY lost_ms DESC, start_ms
LIMIT 200""",
)

DOWNTIME: Final = Dashboard(
    places.DOWNTIME,
    "Downtime",
    "Stops by what they cost: reasons, cells, orders, and each one.",
    places.CHAIN,
    (
        Panel(
            "barchart",
            "Pareto of reasons",
            "Lost minutes; a state stands for a stop without a reason. Share: see the table.",
            (0, 0, 14, 9),
            Target(sql.pareto("reason")),
            options={"xField": "reason", "orientation": "vertical", "showValue": "auto"},
            defaults={**MINUTES, "min": 0},
            columns=(
                Columns(("cumulative",), {**SHARE, **IN_HINT}),
                Columns(("stops",), {"unit": "none", **IN_HINT}),
            ),
            url=link(places.LINE),
        ),
        Panel(
            "table",
            "Reasons and their running share",
            "The first rows are those worth working on.",
            (14, 0, 10, 9),
            Target(sql.pareto("reason")),
            columns=(Columns(("minutes",), MINUTES), Columns(("cumulative",), GAUGE)),
            url=link(places.LINE),
        ),
        Panel(
            "timeseries",
            "Lost minutes over time",
            "By reason; a stop counts in each piece of time it lies in.",
            (0, 9, 14, 8),
            Target(OVER_TIME, "time_series"),
            defaults={"custom": STACKED, **MINUTES, "min": 0},
            url=link(places.LINE),
            interval_min="5m",
        ),
        Panel(
            "table",
            "Cells",
            "Mean run: production time by stop; mean stop: lost time by stop.",
            (14, 9, 10, 8),
            Target(RELIABILITY),
            columns=(
                Columns(("lost_min", "mean_stop_min", "mean_run_min"), MINUTES),
                Columns(("availability",), GAUGE),
            ),
            url=link(places.LINE, cell=of_row("cell")),
        ),
        Panel(
            "barchart",
            "Orders",
            "Lost minutes by the order that was loaded.",
            (0, 17, 8, 9),
            Target(sql.pareto("order_id")),
            options={"xField": "order_id", "orientation": "horizontal"},
            defaults={**MINUTES, "min": 0},
            columns=(Columns(("cumulative", "stops"), IN_HINT),),
            url=link(places.LINE, order=of_row("order_id")),
        ),
        Panel(
            "table",
            "Stops",
            "The longest ones, as far as they lie in the chosen time.",
            (8, 17, 16, 9),
            Target(STOPS),
            columns=(Columns(("minutes",), MINUTES), Columns(("state",), HIDDEN)),
            url=link(places.LINE, cell=of_row("cell")),
        ),
    ),
)
