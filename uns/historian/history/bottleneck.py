"""Which cell holds a line back, and what says so.

After the active period method (Roser, Nakano, Tanaka: "A practical bottleneck detection method",
2001): a cell is active while it produces, is set up, or stands still for a cause of its own; it is
inactive while it starves, is blocked, waits (PackML SUSPENDED) or has no order. The bottleneck is
the cell that was active for the greatest share of its planned busy time. If it is one, cells before
it are blocked and cells behind it starve: that is told with it.
"""

from collections.abc import Iterable, Sequence
from typing import Final

from uns.historian.errors import QueryRefused
from uns.historian.history.lost_time import Elements, Standing, by_element, standing
from uns.historian.history.oee import MINUTE_MS
from uns.historian.history.period import Answer, Instant, Period, Share, share
from uns.historian.reader import Reader
from uns.model.kpi import Sums
from uns.model.plant import Plant

WAITING: Final = frozenset({"SUSPENDING", "SUSPENDED", "UNSUSPENDING"})
"""PackML: the cause lies outside of the machine."""


class CellLoad(Answer):
    """One cell of the line, in flow order; minutes.

    active: share of planned busy time in which it held nobody up but itself. down: own causes;
    waiting: outside causes without a direction; idle: no order.
    """

    cell: str
    active: Share
    running_min: float
    set_up_min: float
    down_min: float
    starved_min: float
    blocked_min: float
    waiting_min: float
    idle_min: float


class Bottleneck(Answer):
    """What holds a line back. cell: by name; None: nothing is known of the line's time.

    configured: which one namespace.yaml names.
    """

    line: str
    from_ms: Instant
    to_ms: Instant
    cell: str | None
    configured: str
    reason: str
    cells: tuple[CellLoad, ...]


def bottleneck(reader: Reader, plant: Plant, line: str, asked: Period) -> Bottleneck:
    """The bottleneck of a line (path) in a period.

    Raises QueryRefused for what is no line, and what a Reader raises.
    """
    places = plant.lines.get(line)
    if places is None:
        raise QueryRefused(f"the plant has no line {line!r}")
    cells = [place.path for place in places]
    elements = by_element(reader, cells, asked)
    stood = standing(reader, cells, asked)
    loads = tuple(_load(plant, cell, elements[cell], stood) for cell in cells)
    found = max(range(len(loads)), key=lambda n: loads[n].active)
    known = loads[found].active > 0
    return Bottleneck(
        line=line,
        from_ms=asked.from_ms,
        to_ms=asked.to_ms,
        cell=loads[found].cell if known else None,
        configured=places[0].line.bottleneck,
        reason=_reason(loads, found) if known else "no cell of the line is known to have worked",
        cells=loads,
    )


def _load(plant: Plant, cell: str, elements: Elements, stood: Iterable[Standing]) -> CellLoad:
    sums = sum(elements.values(), Sums())
    lost = {"starved": 0, "blocked": 0, "waiting": 0}
    for one in stood:
        cause = _outside(plant, one)
        if one.cell == cell and cause is not None:
            lost[cause] += one.ms
    down_ms = max(0, sums.adet_ms - sum(lost.values()))
    minutes = {
        "running": sums.apt_ms,
        "set_up": sums.aust_ms,
        "down": down_ms,
        **lost,
        "idle": sums.adot_ms,
    }
    return CellLoad(
        cell=cell.rpartition("/")[2],
        active=share(sums.apt_ms + sums.aust_ms + down_ms, sums.pbt_ms),
        **{f"{name}_min": ms / MINUTE_MS for name, ms in minutes.items()},
    )


def _outside(plant: Plant, one: Standing) -> str | None:
    """Why a stop lies with others: its reason's loss goes before its state; None: it does not."""
    known = plant.reasons.get(one.reason or "")
    if known is not None:
        return known.loss if known.loss in ("starved", "blocked") else None
    return "waiting" if one.state in WAITING else None


def _reason(loads: Sequence[CellLoad], found: int) -> str:
    one = loads[found]
    others = [load for n, load in enumerate(loads) if n != found]
    words = [f"{one.cell} was active {one.active:.1%} of its planned busy time"]
    if others:
        second = max(others, key=lambda load: load.active)
        words.append(f"more than any other cell ({second.cell} {second.active:.1%})")
    before = [load for load in loads[:found] if load.blocked_min > 0]
    behind = [load for load in loads[found + 1 :] if load.starved_min > 0]
    words += [f"{load.cell} before it was blocked {load.blocked_min:.1f} min" for load in before]
    words += [f"{load.cell} behind it starved {load.starved_min:.1f} min" for load in behind]
    return ", ".join(words)
