"""The example plant and well-formed events of it, for tests."""

from collections.abc import Iterable, Mapping
from functools import cache
from pathlib import Path
from typing import Any

from bridges import PROTOCOLS
from uns.model.events import EVENTS, Event
from uns.model.namespace import parse_namespace
from uns.model.plant import Plant

ROOT = Path(__file__).parents[1]
MINUTE_MS = 60_000
HOUR_MS = 60 * MINUTE_MS
EARLY_MS = 1_795_410_000_000  # 2026-11-23 06:00 in Berlin, where the early shift opens

HOUSING = "acme/berlin/machining/housing"
SAW, MILL, WASH = (f"{HOUSING}/{cell}" for cell in ("saw", "mill", "wash"))
PUMP = "acme/berlin/assembly/pump"
PRESS, FIT, TEST = (f"{PUMP}/{cell}" for cell in ("press", "fit", "test"))


@cache
def plant() -> Plant:
    """What namespace.yaml says."""
    return parse_namespace((ROOT / "namespace.yaml").read_text(), "namespace.yaml", PROTOCOLS)


def numbered(rows: Iterable[Mapping[str, Any]], source: str = "plc:test") -> list[Event]:
    """Events of one source, from rows that hold `type`, `path`, `at_ms` and the type's fields."""
    return [
        EVENTS[row["type"]].model_validate(
            {"id": f"{source}:1:{seq}", "source": source, "epoch": 1, "seq": seq, **row}
        )
        for seq, row in enumerate(rows, 1)
    ]
