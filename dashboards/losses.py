"""PURE: the board of the OEE loss tree: from all time down to the time in which good pieces came.

Owns its queries over the intervals closed in the chosen time that make each chosen line's time. A
step is minutes, so that it can be added over lines; ratios come from sums.
"""

from typing import Final

from dashboards import places, sql
from dashboards.looks import GAUGE, HIDDEN, IN_HINT, MINUTES, SHARE, STACKED, UNSEEN, fixed
from dashboards.model import Columns, Dashboard, Panel, Target
from dashboards.places import link, of_row

_AT_NECKS: Final = (sql.NECKS, sql.CLOSED_AT_NECKS)

STEPS: Final = """
tree AS (
    SELECT step, what, kind, GREATEST(COALESCE(ms, 0), 0)::float8 / 60000 AS minutes,
        GREATEST(COALESCE(rest, 0), 0)::float8 / 60000 AS rest_min,
        COALESCE(ms, 0)::float8 / NULLIF(pbt, 0) AS of_busy
    FROM (
        SELECT SUM(elapsed_ms) AS elapsed,
            COALESCE(SUM(elapsed_ms) FILTER (WHERE element = 'unknown'), 0) AS unknown,
            COALESCE(SUM(elapsed_ms) FILTER (WHERE element = 'planned'), 0) AS planned,
            COALESCE(SUM(elapsed_ms) FILTER (WHERE element = 'adot'), 0) AS adot,
            COALESCE(SUM(elapsed_ms) FILTER (WHERE element = 'aust'), 0) AS aust,
            COALESCE(SUM(elapsed_ms) FILTER (WHERE element = 'adet'), 0) AS adet,
            COALESCE(SUM(elapsed_ms) FILTER (WHERE element = 'apt'), 0) AS apt,
            SUM(elapsed_ms) FILTER (WHERE element IN ('apt', 'aust', 'adet', 'adot')) AS pbt,
            SUM(ideal_ms) AS ideal, SUM(ideal_good_ms) AS ideal_good
        FROM at_necks
        HAVING COUNT(*) > 0
    ) AS s
    CROSS JOIN LATERAL (VALUES
        (1, 'Known and unknown time', 'time', elapsed, elapsed),
        (2, '- unknown', 'loss', unknown, elapsed - unknown),
        (3, '- planned stops, off shift', 'loss', planned, pbt),
        (4, 'Planned busy time', 'time', pbt, pbt),
        (5, '- no order', 'loss', adot, pbt - adot),
        (6, '- set-up', 'loss', aust, pbt - adot - aust),
        (7, '- delay', 'loss', adet, apt),
        (8, 'Production time', 'time', apt, apt),
        (9, '- speed, micro-stops', 'loss', apt - ideal, ideal),
        (10, 'Net production time', 'time', ideal, ideal),
        (11, '- scrap and rework', 'loss', ideal - ideal_good, ideal_good),
        (12, 'Fully effective time', 'time', ideal_good, ideal_good)
    ) AS steps (step, what, kind, ms, rest)
)"""

TREE: Final = sql.statement(
    *_AT_NECKS,
    STEPS,
    select="""
SELECT step, what, minutes, of_busy FROM tree ORDER BY step""",
)

WATERFALL: Final = sql.statement(
    *_AT_NECKS,
    STEPS,
    select="""
SELECT what,
    CASE kind WHEN 'loss' THEN rest_min ELSE 0 END AS below,
    CASE kind WHEN 'loss' THEN minutes ELSE 0 END AS lost,
    CASE kind WHEN 'time' THEN minutes ELSE 0 END AS left_over
FROM tree ORDER BY step""",
)

BY_LINE: Final = sql.statement(
    *_AT_NECKS,
    sql.KNOWN_UNTIL,
    sql.sums("line", "at_necks"),
    sql.RATIOS,
    sql.MINUTES_LOST,
    select="""
SELECT line, oee, availability, effectiveness, quality_ratio, pq, gq, sq, rq,
    busy_min, delay_min, set_up_min, no_order_min, speed_min, quality_min,
    (elapsed - COALESCE(unknown, 0))::float8
        / NULLIF((SELECT at_ms FROM known_until) - ${__from}, 0) AS coverage
FROM minutes
ORDER BY oee NULLS LAST, line
LIMIT 500""",
)

BY_ITEM: Final = sql.statement(
    *_AT_NECKS,
    sql.sums("item", "at_necks WHERE item IS NOT NULL"),
    sql.RATIOS,
    sql.MINUTES_LOST,
    select="""
SELECT item, oee, availability, effectiveness, quality_ratio, pq, gq,
    busy_min, delay_min, set_up_min, speed_min, quality_min
FROM minutes
ORDER BY oee NULLS LAST, item
LIMIT 500""",
)

OVER_TIME: Final = sql.statement(
    *_AT_NECKS,
    """
pieces AS (
    SELECT GREATEST(start_ms, end_ms) / ${__interval_ms} * ${__interval_ms} AS bucket_ms, *
    FROM at_necks
)""",
    sql.sums("bucket_ms", "pieces"),
    sql.RATIOS,
    sql.MINUTES_LOST,
    select="""
SELECT to_timestamp(bucket_ms / 1000.0) AS time,
    COALESCE(no_order_min, 0) AS no_order_min, COALESCE(set_up_min, 0) AS set_up_min,
    COALESCE(delay_min, 0) AS delay_min, COALESCE(speed_min, 0) AS speed_min,
    COALESCE(quality_min, 0) AS quality_min
FROM minutes
ORDER BY 1""",
)

RATIOS: Final = (
    Columns(("oee",), GAUGE),
    Columns(("availability", "quality_ratio"), SHARE),
    Columns(("effectiveness",), {**SHARE, "displayName": "Performance"}),
    Columns(("coverage",), GAUGE),
    Columns((".+_min",), MINUTES),
)

LOSSES: Final = Dashboard(
    places.LOSSES,
    "OEE losses",
    "Where the time of the chosen lines went, step by step; each by its method.",
    places.CHAIN,
    (
        Panel(
            "barchart",
            "From all time to good pieces",
            "Minutes; what a loss takes is red, what is left green. Summed over the chosen lines.",
            (0, 0, 15, 11),
            Target(WATERFALL),
            options={
                "xField": "what",
                "orientation": "vertical",
                "stacking": "normal",
                "showValue": "never",
                "xTickLabelRotation": -45,
            },
            defaults=MINUTES,
            columns=(
                Columns(("below",), UNSEEN),
                Columns(("lost",), fixed("red")),
                Columns(("left_over",), fixed("green")),
            ),
            url=link(places.DOWNTIME),
        ),
        Panel(
            "table",
            "Loss tree",
            "Each step in minutes and as a share of planned busy time; the last share is the OEE.",
            (15, 0, 9, 11),
            Target(TREE),
            columns=(
                Columns(("step",), HIDDEN),
                Columns(("minutes",), MINUTES),
                Columns(("of_busy",), GAUGE),
            ),
            url=link(places.DOWNTIME),
        ),
        Panel(
            "timeseries",
            "Losses over time",
            "Minutes, at the end of the interval that they belong to.",
            (0, 11, 12, 8),
            Target(OVER_TIME, "time_series"),
            defaults={"custom": STACKED, **MINUTES},
            url=link(places.DOWNTIME),
            interval_min="10m",
        ),
        Panel(
            "barchart",
            "Delay by reason",
            "Stops of the chosen cells, micro-stops left out.",
            (12, 11, 12, 8),
            Target(sql.pareto("reason")),
            options={"xField": "reason", "orientation": "horizontal"},
            defaults={**MINUTES, "min": 0},
            columns=(Columns(("cumulative", "stops"), IN_HINT),),
            url=link(places.DOWNTIME),
        ),
        Panel(
            "table",
            "Lines",
            "Coverage: the share of the time that is known; the rest is unknown, not idle.",
            (0, 19, 24, 7),
            Target(BY_LINE),
            columns=RATIOS,
            url=link(places.LINE, line=of_row("line")),
        ),
        Panel(
            "table",
            "Items",
            "Of the time in which each item was loaded.",
            (0, 26, 24, 7),
            Target(BY_ITEM),
            columns=RATIOS,
            url=link(places.QUALITY, item=of_row("item")),
        ),
    ),
)
