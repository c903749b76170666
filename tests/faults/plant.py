"""The plant that faults are tried on: so many equal lines, two cells each, one bridge.

Owns places and limits. The auditor knows the limits too, by numbers of its own. The one bridge is
of protocol `erp`, which alone may release orders: so a line has a single source, and an event's
number on its line is its `seq`.
"""

from typing import Any, Final

from uns.model.plant import Plant

BRIDGE: Final = "plc"
ITEM: Final = "part-a"
_SHIFT_MIN: Final = 120
_HOURS: Final = range(0, 24, 2)


def faults_plant(lines: int) -> Plant:
    """`acme/works/hall/l01` and so on: cells `cut` and `pack`, shifts of two hours."""
    cells = {name: {"ideal_cycle_ms": {ITEM: 1_000}, "tags": {}} for name in ("cut", "pack")}
    line = {"bridge": BRIDGE, "bottleneck": "pack", "cells": cells}
    hall = {"lines": {f"l{number:02}": line for number in range(1, lines + 1)}}
    site = {"time_zone": "Europe/Berlin", "shifts": _shifts(), "areas": {"hall": hall}}
    return Plant.model_validate(
        {
            "namespace": 1,
            "enterprise": "acme",
            "sites": {"works": site},
            "items": {ITEM: {"title": "Part A", "specifications": {"pack": _specification()}}},
            "reasons": {"e11": {"title": "Tool broken", "loss": "breakdown"}},
            "bridges": {BRIDGE: {"protocol": "erp", "folder": "erp"}},
        }
    )


def _specification() -> dict[str, Any]:
    return {
        "revision": "1",
        "characteristics": {"width": {"unit": "mm", "lower": 9.9, "upper": 10.1}},
    }


def _shifts() -> dict[str, Any]:
    rule = "FREQ=DAILY;BYHOUR={};BYMINUTE=0;BYSECOND=0"
    return {
        f"h{hour:02}": {"rrule": rule.format(hour), "duration_min": _SHIFT_MIN} for hour in _HOURS
    }
