"""What happens on a line: an endless tale, the same for the same seed, without a clock.

A piece is cut and packed; every fifth is traced and inspected; now and then the saw stands still;
an order is made of so many pieces, then comes the next. Knows no hub, only what is told to one.
"""

import random
from collections.abc import Iterator
from typing import Any, Final, NamedTuple

ORDER_PIECES: Final = 60
TRACED_EVERY: Final = 5
STOPS_EVERY: Final = 31
LOT_PIECES: Final = 200
SCRAP_SHARE: Final = 0.06
ITEM: Final = "part-a"


class Fact(NamedTuple):
    """One thing that happened: at which place of the line (empty: at the line), and what."""

    place: str
    type: str
    body: dict[str, Any]


def tale(seed: int, line: str) -> Iterator[Fact]:
    """Everything that happens on a line, from its beginning."""
    chance = random.Random(f"{seed}:{line}")
    name, piece, order = line.rpartition("/")[2], 0, 0
    for cell in ("cut", "pack"):
        yield Fact(cell, "state-changed", {"state": "EXECUTE"})
    while True:
        order += 1
        order_id = f"{name}-{order}"
        yield Fact("", "released", {"order_id": order_id, "item": ITEM, "quantity": ORDER_PIECES})
        for cell in ("cut", "pack"):
            yield Fact(cell, "loaded", {"order_id": order_id, "item": ITEM})
        good = 0
        while good < ORDER_PIECES:
            piece += 1
            is_good = chance.random() > SCRAP_SHARE
            good += is_good
            yield from _piece(name, piece, order_id, is_good=is_good, chance=chance)


def ending() -> Iterator[Fact]:
    """The end of a shift's work: both cells are unloaded and stop, so that no time stays open."""
    for cell in ("cut", "pack"):
        yield Fact(cell, "loaded", {"order_id": None, "item": None})
        yield Fact(cell, "state-changed", {"state": "STOPPED"})


def _piece(
    name: str, piece: int, order_id: str, *, is_good: bool, chance: random.Random
) -> Iterator[Fact]:
    made = {"order_id": order_id, "item": ITEM}
    if piece % STOPS_EVERY == 0:
        yield Fact("cut", "state-changed", {"state": "ABORTED", "fault": "e11"})
        yield Fact("cut", "state-changed", {"state": "EXECUTE"})
    bar, unit = f"bar-{name}-{piece // LOT_PIECES}", f"u-{name}-{piece}"
    traced = piece % TRACED_EVERY == 0
    if traced:
        yield Fact("cut", "consumed", {"lot": bar, "quantity": 1.25, "unit": "kg", **made})
    yield Fact("cut", "counted", {"good": 1, "scrap": 0, **made})
    if traced:
        yield Fact("cut", "produced", {"lot": unit, "quantity": 1, "unit": "pcs", **made})
        width = round(chance.gauss(10.0, 0.05), 3)
        sample = {"sample_id": f"s-{name}-{piece}", "values": {"width": width}, **made}
        yield Fact("pack", "inspected", sample)
    yield Fact("pack", "counted", {"good": int(is_good), "scrap": int(not is_good), **made})
