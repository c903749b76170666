"""PURE: the board of a lot or unit: what it was made of, what it went into, and what was found.

Owns the two walks over the edges. They are bounded in depth and number and end in a cycle: a row of
(id, depth) is walked once. Only the choice of lots depends on the time, a lot's past does not.
"""

from typing import Final

from dashboards import places, sql
from dashboards.model import Columns, Dashboard, Panel, Target, Variable
from dashboards.places import link, of_row

LOTS: Final = """
SELECT output_id AS __value, output_id AS __text
FROM (
    SELECT output_id, at_ms FROM edges
    WHERE cell = ANY (ARRAY[${cell:sqlstring}]::text[]) AND at_ms BETWEEN ${__from} AND ${__to}
    ORDER BY at_ms DESC
    LIMIT 10000
) AS newest
GROUP BY output_id
ORDER BY MAX(at_ms) DESC, output_id
LIMIT 500"""

WALKS: Final = """
made_of AS (
    SELECT ${lot:sqlstring}::text AS id, 0 AS depth
    UNION
    SELECT e.input_id, depth + 1 FROM made_of JOIN edges AS e ON e.output_id = made_of.id
    WHERE depth < 20
), went_into AS (
    SELECT ${lot:sqlstring}::text AS id, 0 AS depth
    UNION
    SELECT e.output_id, depth + 1 FROM went_into JOIN edges AS e ON e.input_id = went_into.id
    WHERE depth < 20
), steps AS (
    SELECT 'made of' AS direction, e.input_id, e.output_id, e.input_id AS other,
        w.depth + 1 AS depth, e.quantity, e.unit, e.order_id, e.cell, e.at_ms
    FROM (SELECT id, MIN(depth) AS depth FROM made_of GROUP BY id) AS w
    JOIN edges AS e ON e.output_id = w.id
    UNION ALL
    SELECT 'went into', e.input_id, e.output_id, e.output_id, w.depth + 1,
        e.quantity, e.unit, e.order_id, e.cell, e.at_ms
    FROM (SELECT id, MIN(depth) AS depth FROM went_into GROUP BY id) AS w
    JOIN edges AS e ON e.input_id = w.id
), walked AS (
    SELECT direction, input_id, output_id, other, MIN(depth) AS depth, SUM(quantity) AS quantity,
        unit, order_id, cell, MIN(at_ms) AS at_ms
    FROM steps
    GROUP BY direction, input_id, output_id, other, unit, order_id, cell
    ORDER BY depth, at_ms, input_id, output_id
    LIMIT 1000
)"""

STEPS: Final = sql.recursive(
    WALKS,
    select="""
SELECT direction, depth, other AS id, quantity, unit, cell, order_id,
    to_timestamp(at_ms / 1000.0) AS since
FROM walked
ORDER BY direction, depth, since, id""",
)

NODES: Final = sql.recursive(
    WALKS,
    select="""
SELECT id, id AS title,
    COALESCE(MIN(cell), (SELECT MIN(item) FROM lots WHERE lot = ends.id)) AS subtitle,
    (SELECT trim_scale(round(SUM(produced)::numeric, 6)) || ' ' || MIN(unit)
        FROM lots WHERE lot = ends.id AND produced > 0) AS mainstat,
    CASE WHEN id = ${lot:sqlstring} THEN 'blue' ELSE 'gray' END AS color
FROM (
    SELECT output_id AS id, substring(cell FROM '[^/]+$') AS cell FROM walked
    UNION ALL
    SELECT input_id, NULL FROM walked
) AS ends
GROUP BY id
ORDER BY id""",
)
"""Below a lot stands where it was made, or what it is if it came from elsewhere."""

EDGES: Final = sql.recursive(
    WALKS,
    select="""
SELECT input_id || ' > ' || output_id AS id, input_id AS source, output_id AS target,
    trim_scale(round(SUM(quantity)::numeric, 6)) || ' ' || MIN(unit) AS mainstat
FROM walked
GROUP BY input_id, output_id
ORDER BY 1""",
)

FOUND: Final = sql.recursive(
    WALKS,
    select="""
SELECT COALESCE(unit_id, lot) AS id, to_timestamp(at_ms / 1000.0) AS judged, verdict, cell, item,
    order_id, specification, characteristic, value, unit, lower, upper
FROM measurements
WHERE lot IN (SELECT id FROM made_of) OR unit_id IN (SELECT id FROM made_of)
ORDER BY at_ms DESC, sample_id, characteristic
LIMIT 500""",
)

ORDERS: Final = sql.recursive(
    WALKS,
    select="""
SELECT o.order_id, o.item, o.line, o.dispatch_status, o.good, o.scrap, o.quantity
FROM (SELECT DISTINCT order_id FROM walked) AS w JOIN orders AS o ON o.order_id = w.order_id
ORDER BY o.order_id""",
)

ONE_LOT: Final = link(places.GENEALOGY, lot=of_row("id"))

GENEALOGY: Final = Dashboard(
    places.GENEALOGY,
    "Genealogy",
    "Both directions of a lot or unit. Another one than those offered can be typed in.",
    (*places.CHAIN, Variable("lot", "Lot or unit", LOTS, multi=False, timed=True)),
    (
        Panel(
            "nodeGraph",
            "Made of, and went into",
            "The chosen one is blue; in a lot what was made of it, between two what went over."
            " At most 1000 edges, 20 steps away.",
            (0, 0, 14, 14),
            Target(NODES),
            more=(Target(EDGES),),
            options={"layoutAlgorithm": "layered"},
            url=ONE_LOT,
        ),
        Panel(
            "table",
            "Steps",
            "The nearest first; depth counts the steps from the chosen one.",
            (14, 0, 10, 14),
            Target(STEPS),
            columns=(Columns(("depth",), {"custom.width": 70}),),
            url=ONE_LOT,
        ),
        Panel(
            "table",
            "Found in samples",
            "Of it and of what it was made of, each with the limits it was judged by.",
            (0, 14, 14, 8),
            Target(FOUND),
            url=link(places.QUALITY, cell=of_row("cell")),
        ),
        Panel(
            "table",
            "Orders it passed through",
            "In either direction.",
            (14, 14, 10, 8),
            Target(ORDERS),
            url=link(places.LINE, line=of_row("line"), order=of_row("order_id")),
        ),
    ),
)
