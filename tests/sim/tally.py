"""What is simulated: a small plant and a processor that counts.

Each fact carries a name of its own in `item`, so that an auditor finds it again by whatever source,
epoch and seq it went; each makes one output, the edge from that name to `OUT`.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Final

from uns.fold import Document, Draft, Step, Tick
from uns.model.events import Counted, Edge, Event
from uns.model.plant import Plant

NAME: Final = "tally"
STATE: Final = "tally"
OUT: Final = "out"
ENTERPRISE: Final = "acme"
HOUSING: Final = "acme/berlin/machining/housing"
PACKING: Final = "acme/berlin/machining/packing"
CELLS: Final = {
    f"{bridge}:{line.replace('/', '.')}": f"{line}/{cell}"
    for line in (HOUSING, PACKING)
    for bridge, cell in (("plc", "mill"), ("meter", "wash"))
}
"""The sources that there may be, each with the cell it speaks of: two on each line."""


@dataclass(frozen=True, slots=True)
class Total:
    """What a line made, in which order: `chain` tells two orders of the same facts apart."""

    line: str
    good: int = 0
    scrap: int = 0
    facts: int = 0
    chain: int = 0


class Tally:
    """Adds up the pieces of a line."""

    name, version, state_type = NAME, 1, Total
    inputs, states = frozenset({"counted"}), frozenset({STATE})

    def initial(self, key: str) -> Total:
        """Nothing was made."""
        return Total(key)

    def fold(self, state: Total, event: Event | Tick) -> Step[Total]:
        """One more fact, one more edge."""
        if not isinstance(event, Counted):
            return Step(state)
        chain = (state.chain * 31 + int(str(event.item)[1:])) % 1_000_003
        made = (state.good + event.good, state.scrap + event.scrap, state.facts + 1, chain)
        quantity = float(event.good)
        body = {"input_id": event.item, "output_id": OUT, "quantity": quantity, "unit": "pcs"}
        edge = Draft(event.path, Edge.type_name, event.at_ms, body)
        return Step(Total(state.line, *made), (edge,))

    def documents(self, state: Total) -> Mapping[str, Document]:
        """The totals."""
        summary = f"{state.good} good, {state.scrap} scrap"
        totals = {"good": state.good, "scrap": state.scrap, "facts": state.facts}
        document = {"summary": summary, **totals, "chain": state.chain}
        return {f"{state.line}/_state/{STATE}": document}


@cache
def plant() -> Plant:
    """One site with two lines, each read by two bridges."""
    cells = {"mill": _cell("plc"), "wash": _cell("meter")}
    line = {"bridge": "plc", "bottleneck": "mill", "cells": cells}
    area = {"lines": {"housing": line, "packing": line}}
    opcua = {"protocol": "opcua", "url": "opc.tcp://127.0.0.1:4840"}
    day = {"rrule": "FREQ=DAILY;BYHOUR=6;BYMINUTE=0;BYSECOND=0", "duration_min": 480}
    site = {"time_zone": "Europe/Berlin", "shifts": {"early": day}, "areas": {"machining": area}}
    return Plant.model_validate(
        {
            "namespace": 1,
            "enterprise": ENTERPRISE,
            "sites": {"berlin": site},
            "items": {},
            "bridges": {"plc": opcua, "meter": opcua},
        }
    )


def _cell(bridge: str) -> dict[str, object]:
    tag = {"source": {"node": "n"}, "bridge": bridge}
    return {"ideal_cycle_ms": {}, "tags": {"tag": tag}}
