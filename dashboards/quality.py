"""PURE: the board of quality: verdicts, charts with both kinds of limits, and what violates them.

Owns its queries. Limits of a specification come with each sample; control limits are made here from
the chosen time: individuals and moving range, sigma = mean moving range / 1.128 (ISO 7870-2, d2 of
two), by cell, characteristic and item, because each item has a mean of its own.
"""

from typing import Final

from dashboards import places, sql
from dashboards.looks import GAUGE, LINES, STACKED, fixed
from dashboards.model import Columns, Dashboard, Panel, Target, Variable
from dashboards.places import link, of_row

ITEMS: Final = """
SELECT DISTINCT COALESCE(item, '-') AS __value, COALESCE(item, '-') AS __text
FROM measurements
WHERE cell = ANY (ARRAY[${cell:sqlstring}]::text[]) AND at_ms BETWEEN ${__from} AND ${__to}
ORDER BY 1
LIMIT 500"""

CHARACTERISTICS: Final = """
SELECT DISTINCT cell || ' ' || characteristic AS __value,
    substring(cell FROM '[^/]+$') || ' ' || characteristic AS __text
FROM measurements
WHERE cell = ANY (ARRAY[${cell:sqlstring}]::text[]) AND at_ms BETWEEN ${__from} AND ${__to}
ORDER BY 1
LIMIT 500"""

MEASURED: Final = """
measured AS (
    SELECT at_ms, cell, characteristic, cell || ' ' || characteristic AS chart,
        COALESCE(item, '-') AS item, order_id, COALESCE(unit_id, lot) AS lot, sample_id,
        value, lower, upper, unit, verdict
    FROM measurements
    WHERE cell = ANY (ARRAY[${cell:sqlstring}]::text[])
        AND COALESCE(item, '-') = ANY (ARRAY[${item:sqlstring}]::text[])
        AND at_ms BETWEEN ${__from} AND ${__to}
)"""

JUDGED: Final = """
moved AS (
    SELECT *, ABS(value - LAG(value) OVER (
        PARTITION BY chart, item ORDER BY at_ms, sample_id)) AS moving_range
    FROM measured WHERE value IS NOT NULL
), centred AS (
    SELECT *, AVG(value) OVER alike AS centre, AVG(moving_range) OVER alike / 1.128 AS sigma
    FROM moved WINDOW alike AS (PARTITION BY chart, item)
), judged AS (
    SELECT *, centre + 3 * sigma AS ucl, centre - 3 * sigma AS lcl,
        CASE
            WHEN verdict = 'fail' THEN 'outside specification'
            WHEN ABS(value - centre) > 3 * sigma THEN 'beyond 3 sigma'
            WHEN ABS(SUM(SIGN(value - centre)) OVER (
                PARTITION BY chart, item ORDER BY at_ms, sample_id ROWS 8 PRECEDING)) = 9
                THEN 'nine on one side'
        END AS why
    FROM centred
)"""

CHART: Final = sql.statement(
    MEASURED,
    JUDGED,
    select="""
SELECT to_timestamp(at_ms / 1000.0) AS time, value, centre, ucl, lcl,
    lower AS lower_limit, upper AS upper_limit,
    CASE WHEN why IS NOT NULL THEN value END AS violation
FROM judged
WHERE chart = ${characteristic:sqlstring}
ORDER BY at_ms
LIMIT 5000""",
)

RANGES: Final = sql.statement(
    MEASURED,
    JUDGED,
    select="""
SELECT to_timestamp(at_ms / 1000.0) AS time, moving_range,
    sigma * 1.128 AS mean_range, sigma * 1.128 * 3.267 AS upper_range
FROM judged
WHERE chart = ${characteristic:sqlstring} AND moving_range IS NOT NULL
ORDER BY at_ms
LIMIT 5000""",
)
"""3.267 is D4 of two (ISO 7870-2)."""

VIOLATIONS: Final = sql.statement(
    MEASURED,
    JUDGED,
    select="""
SELECT to_timestamp(at_ms / 1000.0) AS time, cell, characteristic, why,
    value, unit, lower, upper, centre, item, order_id, lot, chart
FROM judged
WHERE why IS NOT NULL
ORDER BY at_ms DESC
LIMIT 200""",
)

CAPABILITY: Final = sql.statement(
    MEASURED,
    JUDGED,
    select="""
SELECT chart, cell, characteristic, item, COUNT(*) AS samples,
    COUNT(*) FILTER (WHERE verdict = 'fail') AS failed,
    AVG(value) AS mean, MIN(sigma) AS sigma, MIN(unit) AS unit,
    MIN(upper - lower) / NULLIF(6 * MIN(sigma), 0) AS cp,
    LEAST(MIN(upper) - AVG(value), AVG(value) - MAX(lower)) / NULLIF(3 * MIN(sigma), 0) AS cpk,
    COUNT(*) FILTER (WHERE verdict = 'pass')::float8 / COUNT(*) AS passed
FROM judged
GROUP BY chart, cell, characteristic, item
ORDER BY cpk NULLS LAST, chart, item
LIMIT 500""",
)
"""cpk of a limit that is open counts the other one only."""

FAILED: Final = sql.statement(
    MEASURED,
    select="""
SELECT substring(cell FROM '[^/]+$') || ' ' || characteristic AS what,
    COUNT(*) FILTER (WHERE verdict = 'fail') AS failed, COUNT(*) AS samples, MIN(chart) AS chart
FROM measured
GROUP BY cell, characteristic
HAVING COUNT(*) FILTER (WHERE verdict = 'fail') > 0
ORDER BY failed DESC, what
LIMIT 50""",
)

OF_VERDICTS: Final = {"pass": "green", "fail": "red", "pending": "blue"}
DASHED: Final = {"custom.lineStyle": {"fill": "dash", "dash": [10, 10]}}
POINTS: Final = {
    "custom.drawStyle": "points",
    "custom.pointSize": 12,
    "custom.showPoints": "always",
}
ONE_CHART: Final = link(
    places.QUALITY, cell=of_row("cell"), characteristic=of_row("chart"), item=of_row("item")
)

QUALITY: Final = Dashboard(
    places.QUALITY,
    "Quality",
    "Samples against their specification and their own past, and what violates either.",
    (
        *places.CHAIN,
        Variable("item", "Item", ITEMS, timed=True),
        Variable("characteristic", "Characteristic", CHARACTERISTICS, multi=False, timed=True),
    ),
    (
        Panel(
            "timeseries",
            "Values and limits",
            "Of the chosen characteristic: specification dashed in red, control limits in orange;"
            " a large point violates one or is the ninth on one side of the mean.",
            (0, 0, 16, 10),
            Target(CHART, "time_series"),
            defaults={"custom": {**LINES, "showPoints": "always"}},
            columns=(
                Columns(("value",), fixed("blue")),
                Columns(("centre",), fixed("green")),
                Columns(("ucl", "lcl"), fixed("orange")),
                Columns(("lower_limit", "upper_limit"), {**fixed("red"), **DASHED}),
                Columns(("violation",), {**fixed("red"), **POINTS}),
            ),
            url=link(places.GENEALOGY),
        ),
        Panel(
            "timeseries",
            "Verdicts",
            "Samples judged, by the newest verdict of each.",
            (16, 0, 8, 10),
            Target(sql.VERDICTS, "time_series"),
            defaults={"custom": STACKED, "min": 0},
            columns=tuple(
                Columns((verdict,), fixed(colour)) for verdict, colour in OF_VERDICTS.items()
            ),
            url=link(places.LINE),
            interval_min="5m",
        ),
        Panel(
            "timeseries",
            "Moving range",
            "How far each value of the chosen characteristic lies from the one before it.",
            (0, 10, 16, 6),
            Target(RANGES, "time_series"),
            defaults={"custom": {**LINES, "showPoints": "always"}, "min": 0},
            columns=(
                Columns(("mean_range",), fixed("green")),
                Columns(("upper_range",), fixed("orange")),
            ),
            url=link(places.LINE),
        ),
        Panel(
            "barchart",
            "Failed characteristics",
            "Samples outside their specification.",
            (16, 10, 8, 6),
            Target(FAILED),
            options={"xField": "what", "orientation": "horizontal"},
            defaults={"min": 0, "decimals": 0},
            url=link(places.QUALITY, characteristic=of_row("chart")),
        ),
        Panel(
            "table",
            "Capability",
            "By item, worst first; sigma from the moving range. Says little below 25 samples.",
            (0, 16, 24, 8),
            Target(CAPABILITY),
            defaults={"decimals": 3},
            columns=(
                Columns(("passed",), GAUGE),
                Columns(("samples", "failed"), {"decimals": 0}),
            ),
            url=ONE_CHART,
        ),
        Panel(
            "table",
            "Violations",
            "The newest first. A click leads to what the lot was made of and went into.",
            (0, 24, 24, 8),
            Target(VIOLATIONS),
            url=link(places.GENEALOGY, lot=of_row("lot")),
        ),
    ),
)
