"""PURE: the board of the namespace itself: is what it shows fresh, complete and in time.

Owns its queries. The record holds no document of `_hub`: what a bridge is like is seen here by what
it delivers. Ages are measured from the record's newest watermark, so they hold at any plant speed.
"""

from typing import Final

from dashboards import places, sql
from dashboards.looks import IN_HINT, LINES, STACKED, fixed
from dashboards.model import Choice, Columns, Dashboard, Panel, Target
from dashboards.places import link, of_row

TAGS: Final = """
tags_now AS (
    SELECT split_part(topic, '/_tag/', 1) AS cell, split_part(topic, '/_tag/', 2) AS tag,
        at_ms, quality, reason
    FROM newest_tags
    WHERE split_part(topic, '/_tag/', 1) = ANY (ARRAY[${cell:sqlstring}]::text[])
        AND at_ms <= ${__to}
), aged AS (
    SELECT t.*, k.at_ms - t.at_ms AS age_ms, k.at_ms - t.at_ms > ${quiet_ms} AS is_stale
    FROM tags_now AS t CROSS JOIN known_until AS k
)"""

SOURCES_NOW: Final = """
sources AS (
    SELECT DISTINCT ON (source) source, epoch, seq, hole_to, at_ms
    FROM watermarks ORDER BY source, epoch DESC
), judged AS (
    SELECT s.*, k.at_ms - s.at_ms AS silent_ms,
        CASE WHEN hole_to IS NOT NULL THEN 'waits for ' || (seq + 1) || ' to ' || hole_to
            WHEN starts_with(s.source, 'processor:') THEN 'in time'
            WHEN k.at_ms - s.at_ms > ${quiet_ms} THEN 'quiet'
            ELSE 'in time' END AS standing
    FROM sources AS s CROSS JOIN known_until AS k
    WHERE s.at_ms >= ${__from} - 86400000 AND s.at_ms <= ${__to} + 86400000
)"""

HEADLINE: Final = sql.statement(
    sql.KNOWN_UNTIL,
    TAGS,
    SOURCES_NOW,
    select="""
SELECT
    (SELECT COUNT(*) FROM aged) AS topics,
    (SELECT COUNT(*) FROM aged WHERE is_stale) AS stale,
    (SELECT COUNT(*) FROM aged WHERE quality <> 'good') AS not_good,
    (SELECT COUNT(*) FROM judged WHERE standing <> 'in time') AS sources_not_in_time,
    (SELECT COUNT(*) FROM rejects WHERE at_ms BETWEEN ${__from} AND ${__to}) AS rejects,
    (SELECT COUNT(*) FROM gaps WHERE at_ms BETWEEN ${__from} AND ${__to}) AS gaps""",
)

SOURCES: Final = sql.statement(
    sql.KNOWN_UNTIL,
    SOURCES_NOW,
    select="""
SELECT source, standing, silent_ms::float8 / 1000 AS silent_s, epoch, seq,
    to_timestamp(at_ms / 1000.0) AS newest
FROM judged
ORDER BY standing = 'in time', silent_ms DESC, source
LIMIT 500""",
)

STALE: Final = sql.statement(
    sql.KNOWN_UNTIL,
    TAGS,
    select="""
SELECT cell, tag, age_ms::float8 / 60000 AS age_min, quality, reason,
    CASE WHEN quality <> 'good' THEN quality WHEN is_stale THEN 'stale' ELSE 'fresh' END
        AS standing,
    to_timestamp(at_ms / 1000.0) AS newest
FROM aged
ORDER BY quality = 'good', age_ms DESC, cell, tag
LIMIT 500""",
)

BY_LINE: Final = sql.statement(
    sql.KNOWN_UNTIL,
    TAGS,
    select="""
SELECT regexp_replace(cell, '/[^/]+$', '') AS line, COUNT(*) AS topics,
    COUNT(*) FILTER (WHERE quality = 'good' AND NOT is_stale) AS fresh,
    COUNT(*) FILTER (WHERE quality = 'good' AND is_stale) AS stale,
    COUNT(*) FILTER (WHERE quality = 'uncertain') AS uncertain,
    COUNT(*) FILTER (WHERE quality = 'bad') AS bad
FROM aged
GROUP BY 1
ORDER BY 1""",
)

RATES: Final = """
SELECT to_timestamp(bucket_ms / 1000.0) AS time, metric, COUNT(*)::float8
    * 1000 / ${__interval_ms} AS messages
FROM (
    SELECT at_ms / ${__interval_ms} * ${__interval_ms} AS bucket_ms, 'events' AS metric
    FROM events WHERE at_ms BETWEEN ${__from} AND ${__to}
    UNION ALL
    SELECT at_ms / ${__interval_ms} * ${__interval_ms}, 'samples'
    FROM tags WHERE at_ms BETWEEN ${__from} AND ${__to}
) AS taken
GROUP BY 1, 2
ORDER BY 1, 2"""

LAG: Final = """
SELECT to_timestamp(at_ms / ${__interval_ms} * ${__interval_ms} / 1000.0) AS time,
    split_part(source, ':', 1) AS metric,
    MAX(received_ms - at_ms)::float8 / 1000 AS lag_s
FROM events
WHERE at_ms BETWEEN ${__from} AND ${__to}
GROUP BY 1, 2
ORDER BY 1, 2"""
"""From the source's time to the record's, the worst in each piece of time."""

REFUSED: Final = """
SELECT reject_class, COUNT(*) AS messages, COUNT(DISTINCT COALESCE(origin, topic)) AS topics
FROM rejects
WHERE at_ms BETWEEN ${__from} AND ${__to}
GROUP BY reject_class
ORDER BY messages DESC, reject_class
LIMIT 50"""

NUMBERS: Final = {
    "reduceOptions": {"values": True, "calcs": [], "fields": ""},
    "textMode": "value_and_name",
    "colorMode": "value",
    "graphMode": "none",
}
WRONG_ABOVE_0: Final = {
    "thresholds": {
        "mode": "absolute",
        "steps": [{"color": "green", "value": None}, {"color": "red", "value": 1}],
    }
}
BY_STANDING: Final = {
    "custom.cellOptions": {"type": "color-text"},
    "mappings": [
        {
            "type": "value",
            "options": {"in time": {"color": "green"}, "fresh": {"color": "green"}},
        },
        {
            "type": "regex",
            "options": {"pattern": "/.*/", "result": {"color": "red"}},
        },
    ],
}

HEALTH: Final = Dashboard(
    places.HEALTH,
    "Namespace health",
    "Stale topics, rates, rejects, gaps, and how far behind each source is.",
    (
        *places.CHAIN,
        Choice(
            "quiet_ms",
            "Quiet after",
            {"15 min": "900000", "1 min": "60000", "5 min": "300000", "1 h": "3600000"},
        ),
    ),
    (
        Panel(
            "stat",
            "At the end of the time",
            "Tags of the chosen cells, and what is wrong; rejects and gaps of the chosen time.",
            (0, 0, 24, 4),
            Target(HEADLINE),
            options=NUMBERS,
            defaults={"color": {"mode": "thresholds"}, **WRONG_ABOVE_0},
            columns=(Columns(("topics",), fixed("text")),),
            url=link(places.OVERVIEW),
        ),
        Panel(
            "table",
            "Sources",
            "Bridges and processors: what of their events is on record, and how long none came.",
            (0, 4, 12, 9),
            Target(SOURCES),
            columns=(
                Columns(("standing",), BY_STANDING),
                Columns(("silent_s",), {"unit": "s", "decimals": 0}),
            ),
            url=link(places.OVERVIEW),
        ),
        Panel(
            "table",
            "Tags, the oldest first",
            "A tag reports when it changes, and now and then: quiet is not wrong at once, bad is.",
            (12, 4, 12, 9),
            Target(STALE),
            columns=(
                Columns(("standing",), BY_STANDING),
                Columns(("age_min",), {"unit": "m", "decimals": 1}),
            ),
            url=link(places.LINE, cell=of_row("cell")),
        ),
        Panel(
            "timeseries",
            "Messages per second",
            "What the record took of the whole hub.",
            (0, 13, 12, 8),
            Target(RATES, "time_series"),
            defaults={"custom": STACKED, "unit": "mps", "min": 0},
            url=link(places.OVERVIEW),
            interval_min="1m",
        ),
        Panel(
            "timeseries",
            "Lag",
            "From the source's clock to the record, the worst event; below 0 a clock is ahead.",
            (12, 13, 12, 8),
            Target(LAG, "time_series"),
            defaults={"custom": LINES, "unit": "s"},
            url=link(places.OVERVIEW),
            interval_min="1m",
        ),
        Panel(
            "barchart",
            "Rejects by class",
            "Messages that were refused; the bytes are kept.",
            (0, 21, 8, 8),
            Target(REFUSED),
            options={"xField": "reject_class", "orientation": "horizontal"},
            defaults={"decimals": 0, "min": 0},
            url=link(places.HEALTH),
        ),
        Panel(
            "table",
            "Rejects and gaps",
            "Of the whole hub: what was refused, and events that never arrived.",
            (8, 21, 16, 8),
            Target(sql.REFUSED_OR_MISSING),
            url=link(places.HEALTH),
        ),
        Panel(
            "barchart",
            "Topics by line",
            "Fresh, stale and bad ones.",
            (0, 29, 24, 7),
            Target(BY_LINE),
            options={"xField": "line", "orientation": "horizontal", "stacking": "normal"},
            defaults={"decimals": 0, "min": 0},
            columns=(Columns(("topics",), IN_HINT),),
            url=link(places.LINE, line=of_row("line")),
        ),
    ),
)
