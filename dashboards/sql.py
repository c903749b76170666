"""PURE: the pieces of SQL that boards share, and how a statement is put together from them.

Owns what a line's OEE is in SQL (uns.model.kpi in sums), what a stop cost within the chosen time,
and what is refused or missing. Must not know any board. `${__from}` and `${__to}` are the chosen
time in ms, as `at_ms` is. What is read are the record's public views and read models, and the
tables that hold how far each source is on record (watermarks) and the documents (states).
"""

from typing import Final


def statement(*parts: str, select: str) -> str:
    """A query over named parts (`name AS (…)`), each of which may use those before it."""
    named = ",\n".join(part.strip() for part in parts)
    return "\nWITH " + named + select


def recursive(*parts: str, select: str) -> str:
    """As `statement`; a part may also use itself."""
    return statement(*parts, select=select).replace("WITH ", "WITH RECURSIVE ", 1)


NECKS: Final = """
necks AS (
    SELECT line, cell, regexp_replace(cell, '/[^/]+$', '') AS filed, reference, all_count
    FROM (
        SELECT line, reference, all_count, CASE WHEN own_time THEN line ELSE reference END AS cell
        FROM (
            SELECT line, line || '/' || (told ->> 'bottleneck') AS reference,
                told ->> 'method' = 'parallel' AS all_count,
                told ->> 'method' IN ('first-down', 'parallel') AS own_time
            FROM (
                SELECT line, (
                    SELECT document FROM states
                    WHERE topic = line || '/_state/oee' ORDER BY rev DESC LIMIT 1
                ) AS told
                FROM unnest(ARRAY[${line:sqlstring}]::text[]) AS line
            ) AS newest
        ) AS by_method
    ) AS chosen
)"""
"""What the time of each chosen line goes by: a cell, or the line itself by a time of its own.

`filed`: what its intervals name as their line; `reference`: the cell whose pieces are the line's,
but with all_count those of all its cells are.
"""

OF_NECKS: Final = """
    SELECT necks.line, i.cell, i.element, i.shift_id, i.order_id, i.item, i.start_ms, i.end_ms,
        i.end_ms - i.start_ms AS elapsed_ms,
        i.pq, i.gq, i.sq, i.rq, i.ideal_ms, i.ideal_good_ms
    FROM necks JOIN oee_intervals AS i ON i.line = necks.filed AND i.cell = necks.cell"""
"""Intervals of the lines' own time, each with its line."""

KNOWN_UNTIL: Final = """
known_until AS (
    SELECT LEAST(MAX(at_ms), ${__to}) AS at_ms FROM watermarks
)"""
"""How far the record goes within the chosen time: what came later is not known."""

LONGEST_MS: Final = 17 * 86_400_000
"""No shift is longer than a day, no pause between shifts than the days that a calendar looks at."""

_CLOSED_IN: Final = f"""
        start_ms BETWEEN ${{__from}} - {LONGEST_MS} AND ${{__to}}
        AND GREATEST(start_ms, end_ms) > ${{__from}} AND GREATEST(start_ms, end_ms) <= ${{__to}}"""
"""Closed in the chosen time, each interval whole; none is longer than a shift or a pause.

One that runs backwards takes back its like.
"""

CLOSED: Final = f"""
closed AS (
    SELECT *, end_ms - start_ms AS elapsed_ms
    FROM oee_intervals
    WHERE line = ANY (ARRAY[${{line:sqlstring}}]::text[]) AND {_CLOSED_IN}
)"""  # noqa: S608 - a constant of ours

CLOSED_AT_NECKS: Final = f"""
at_necks AS ({OF_NECKS}
    WHERE {_CLOSED_IN}
)"""

OF_SHIFTS: Final = f"""
of_shifts AS ({OF_NECKS}
    WHERE start_ms BETWEEN ${{__from}} - 86400000 AND ${{__to}} + 86400000
)"""
"""No shift is longer than a day, so a day around the chosen time has it whole."""

_SUMS: Final = """
sums AS (
    SELECT <by>, MIN(start_ms) AS start_ms, MAX(end_ms) AS end_ms, SUM(elapsed_ms) AS elapsed,
        SUM(elapsed_ms) FILTER (WHERE element IN ('apt', 'aust', 'adet', 'adot')) AS pbt,
        SUM(elapsed_ms) FILTER (WHERE element = 'apt') AS apt,
        SUM(elapsed_ms) FILTER (WHERE element = 'adet') AS adet,
        SUM(elapsed_ms) FILTER (WHERE element = 'aust') AS aust,
        SUM(elapsed_ms) FILTER (WHERE element = 'adot') AS adot,
        SUM(elapsed_ms) FILTER (WHERE element = 'planned') AS planned,
        SUM(elapsed_ms) FILTER (WHERE element = 'unknown') AS unknown,
        SUM(pq)::int8 AS pq, SUM(gq)::int8 AS gq, SUM(sq)::int8 AS sq, SUM(rq)::int8 AS rq,
        SUM(ideal_ms) AS ideal, SUM(ideal_good_ms) AS ideal_good
    FROM <of>
    GROUP BY <by>
)"""

RATIOS: Final = """
ratios AS (
    SELECT *,
        COALESCE(apt, 0)::float8 / NULLIF(pbt, 0) AS availability,
        ideal::float8 / NULLIF(apt, 0) AS effectiveness,
        CASE WHEN ideal > 0 THEN ideal_good::float8 / ideal
            ELSE gq::float8 / NULLIF(pq, 0) END AS quality_ratio
    FROM sums
), figures AS (
    SELECT *, CASE WHEN availability IS NOT NULL
        THEN COALESCE(availability * effectiveness * quality_ratio, 0) END AS oee
    FROM ratios
)"""
"""As uns.model.kpi forms them, from sums only."""

MINUTES_LOST: Final = """
minutes AS (
    SELECT *,
        pbt::float8 / 60000 AS busy_min,
        adet::float8 / 60000 AS delay_min,
        aust::float8 / 60000 AS set_up_min,
        adot::float8 / 60000 AS no_order_min,
        (apt - ideal)::float8 / 60000 AS speed_min,
        (ideal - ideal_good)::float8 / 60000 AS quality_min
    FROM figures
)"""

LOST: Final = """
lost AS (
    SELECT stop_id, cell, state, COALESCE(reason, state) AS reason, order_id, start_ms,
        COALESCE(end_ms, k.at_ms) AS end_ms, end_ms IS NULL AS is_open, micro,
        LEAST(COALESCE(end_ms, k.at_ms), ${__to}) - GREATEST(start_ms, ${__from}) AS lost_ms
    FROM stops CROSS JOIN known_until AS k
    WHERE cell = ANY (ARRAY[${cell:sqlstring}]::text[])
        AND start_ms < ${__to} AND (end_ms IS NULL OR end_ms > ${__from})
)"""
"""Stops of the chosen cells, cut to the chosen time; an open one lasts as far as is known."""

_PARETO: Final = """
SELECT <by>,
    SUM(lost_ms)::float8 / 60000 AS minutes,
    COUNT(*) AS stops,
    (SUM(SUM(lost_ms)) OVER (ORDER BY SUM(lost_ms) DESC, <by>)
        / SUM(SUM(lost_ms)) OVER ())::float8 AS cumulative
FROM lost
WHERE lost_ms > 0 AND micro IS NOT TRUE
GROUP BY <by>
ORDER BY minutes DESC, <by>
LIMIT 50"""

CELL_STATES: Final = """
SELECT to_timestamp(at_ms / 1000.0) AS time, cell, state
FROM (
    SELECT at_ms, cell, state FROM state_changes
    WHERE cell = ANY (ARRAY[${cell:sqlstring}]::text[])
        AND at_ms > ${__from} AND at_ms <= ${__to}
    UNION ALL
    SELECT ${__from}, cell, state
    FROM unnest(ARRAY[${cell:sqlstring}]::text[]) AS chosen (cell)
    CROSS JOIN LATERAL (
        SELECT state FROM state_changes AS s
        WHERE s.cell = chosen.cell AND at_ms <= ${__from}
        ORDER BY at_ms DESC LIMIT 1
    ) AS before
    ORDER BY 1 DESC
    LIMIT 10000
) AS newest
ORDER BY at_ms, cell"""
"""A longer time shows its newest changes: more than can be seen are not drawn."""

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

REFUSED_OR_MISSING: Final = """
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


def sums(by: str, of: str) -> str:
    """The part `sums`: the sums of intervals (`of` names their part) for each value of `by`."""
    return _SUMS.replace("<by>", by).replace("<of>", of)


def pareto(by: str) -> str:
    """Lost minutes by a column of stops, falling, with the running share. Micro-stops left out."""
    return statement(KNOWN_UNTIL, LOST, select=_PARETO.replace("<by>", by))
