"""PURE: how values look on every board: units, colours of states, and what a board leaves unsaid.

Owns captions and colours by Grafana's names. Must not know any query. No meaning rests on colour
alone: the state, the verdict or the kind of a loss stands beside it as text.
"""

from typing import Any, Final

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
SHARE: Final = {"unit": "percentunit", "decimals": 1}
GAUGE: Final = {
    "custom.cellOptions": {"type": "gauge", "mode": "basic"},
    "min": 0,
    "max": 1,
    **SHARE,
}
MINUTES: Final = {"unit": "m", "decimals": 1}
HIDDEN: Final = {"custom.hideFrom": {"viz": True, "legend": True, "tooltip": True}}
IN_HINT: Final = {"custom.hideFrom": {"viz": True, "legend": True, "tooltip": False}}
UNSEEN: Final = {
    "color": {"mode": "fixed", "fixedColor": "transparent"},
    "custom.hideFrom": {"viz": False, "legend": True, "tooltip": True},
}
"""Takes its place in a stack, and no more."""
STACKED: Final = {
    "drawStyle": "bars",
    "fillOpacity": 80,
    "stacking": {"mode": "normal", "group": "A"},
}
LINES: Final = {"drawStyle": "line", "lineWidth": 2, "fillOpacity": 0, "spanNulls": False}
BY_CELL: Final[dict[str, Any]] = {
    "id": "partitionByValues",
    "options": {"fields": ["cell"], "keepFields": False, "naming": {"asLabels": True}},
}

RATIOS_SHOWN: Final = {
    "oee": "OEE",
    "availability": "Availability",
    "effectiveness": "Performance",
    "quality_ratio": "Quality",
}
LOSSES_SHOWN: Final = {
    "delay_min": "delay",
    "set_up_min": "set-up",
    "no_order_min": "no order",
    "speed_min": "speed",
    "quality_min": "quality",
}
"""Captions of columns."""


def fixed(colour: str) -> dict[str, Any]:
    """One colour for a column, whatever its values."""
    return {"color": {"mode": "fixed", "fixedColor": colour}}
