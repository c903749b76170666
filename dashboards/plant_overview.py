"""PURE: the board for the shop floor: how is the plant doing, what is lost, is all of it known.

Owns its queries; `dashboards.sql` says what a stop or an OEE is. Every panel leads to the board
that shows more of it.
"""

from typing import Final

from dashboards import places, sql
from dashboards.looks import (
    BY_CELL,
    GAUGE,
    IN_HINT,
    MINUTES,
    OF_STATES,
    SHARE,
    STACKED,
    fixed,
)
from dashboards.model import Columns, Dashboard, Panel, Target
from dashboards.places import ONE_CELL, link, of_row

OEE: Final = sql.statement(
    sql.NECKS,
    sql.OF_SHIFTS,
    sql.sums("line, shift_id", "of_shifts"),
    sql.RATIOS,
    sql.MINUTES_LOST,
    select="""
SELECT line, shift_id AS shift, oee, availability, effectiveness, quality_ratio,
    busy_min, delay_min, set_up_min, no_order_min, speed_min, quality_min
FROM minutes
WHERE end_ms > ${__from} AND start_ms < ${__to}
ORDER BY start_ms DESC, line
LIMIT 500""",
)

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

OF_VERDICTS: Final = {"pass": "green", "fail": "red", "pending": "blue"}

PLANT_OVERVIEW: Final = Dashboard(
    places.OVERVIEW,
    "Plant overview",
    "OEE, states, orders, downtime, verdicts, and what the record refused or never got.",
    places.CHAIN,
    (
        Panel(
            "table",
            "OEE by line and shift",
            "Each line by its method, from closed intervals of whole shifts; losses in minutes.",
            (0, 0, 24, 8),
            Target(OEE),
            defaults={"decimals": 1},
            columns=(
                Columns(("oee",), GAUGE),
                Columns(("availability", "quality_ratio"), SHARE),
                Columns(("effectiveness",), {**SHARE, "displayName": "Performance"}),
            ),
            url=link(places.LOSSES, line=of_row("line")),
        ),
        Panel(
            "state-timeline",
            "States",
            "PackML state of each cell.",
            (0, 8, 24, 8),
            Target(sql.CELL_STATES),
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
            url=link(places.LINE, line=of_row("line"), order=of_row("order_id")),
        ),
        Panel(
            "barchart",
            "Downtime by reason",
            "Minutes in the chosen time, micro-stops left out; a bar's hint has the running share.",
            (14, 16, 10, 9),
            Target(sql.pareto("reason")),
            options={"xField": "reason", "orientation": "horizontal"},
            defaults={**MINUTES, "min": 0},
            columns=(
                Columns(("cumulative",), {**SHARE, **IN_HINT}),
                Columns(("stops",), {"unit": "none", **IN_HINT}),
            ),
            url=link(places.DOWNTIME),
        ),
        Panel(
            "timeseries",
            "Verdicts",
            "Samples judged, by the newest verdict of each.",
            (0, 25, 10, 8),
            Target(sql.VERDICTS, "time_series"),
            defaults={"custom": STACKED, "min": 0},
            columns=tuple(
                Columns((verdict,), fixed(colour)) for verdict, colour in OF_VERDICTS.items()
            ),
            url=link(places.QUALITY),
            interval_min="1m",
        ),
        Panel(
            "table",
            "Rejects and gaps",
            "Of the whole hub: what was refused, and events that never arrived.",
            (10, 25, 14, 8),
            Target(sql.REFUSED_OR_MISSING),
            url=link(places.HEALTH),
        ),
    ),
)
