"""Which time element of ISO 22400-2 a piece is, and what its pieces are worth in ideal time.

The PackML tables are the kernel's (uns/model/equipment.py); the calendar goes before them, the
reason of a stop behind them.
"""

from typing import Final

from processors.oee.state import Closed, Piece, Stop
from uns.model.equipment import ELEMENT_WITH_ORDER, ELEMENT_WITHOUT_ORDER, Element
from uns.model.events import Counted
from uns.model.kpi import Sums
from uns.model.plant import Cell, Plant

LOSSES: Final[frozenset[Element]] = frozenset({"adet", "aust"})


def element_of(plant: Plant, piece: Piece) -> Element:
    """A reason may turn lost time into planned or set-up time.

    In a break and off shift whatever is no production is planned. By the plant's policy a planned
    reason and a break may leave it lost.
    """
    table = ELEMENT_WITH_ORDER if piece.order_id is not None else ELEMENT_WITHOUT_ORDER
    element = reasoned(plant, table.get(piece.state, "unknown"), piece.fault)
    if not piece.window.planned:
        return element if element == "apt" else "planned"
    return _planned(plant, element) if piece.rest else element


def reasoned(plant: Plant, element: Element, code: str | None) -> Element:
    """The element of a state's time once its reason is known; a code that is none changes none."""
    reason = plant.reasons.get(code or "")
    if reason is None or element in ("apt", "unknown"):
        return element
    if reason.planned:
        return _planned(plant, element)
    return "aust" if element == "adet" and reason.loss == "set-up" else element


def _planned(plant: Plant, element: Element) -> Element:
    """The element of time in which it is planned to stand still."""
    if element in ("apt", "unknown") or plant.policy.planned_stops == "counted":
        return element
    return "planned"


def element_in(plant: Plant, stop: Stop | None, piece: Piece) -> Element:
    """The element of a piece while a stop lasts: what a person said goes before the device."""
    if stop is None or not stop.is_open or not stop.classified or not is_stopped(plant, piece):
        return element_of(plant, piece)
    return reasoned(plant, ELEMENT_WITH_ORDER[piece.state], stop.reason)


def is_stopped(plant: Plant, piece: Piece) -> bool:
    """Whether the cell stands still inside an order, for no planned reason."""
    return piece.order_id is not None and element_of(plant, piece) in LOSSES


def timed(piece: Piece, element: Element, end_ms: int) -> Sums:
    """A piece as sums: its counts, and its length under its element."""
    return piece.made.model_copy(update={f"{element}_ms": max(0, end_ms - piece.start_ms)})


def provisional(plant: Plant, stop: Stop | None, closed: Closed, *, micro: bool) -> Sums:
    """An undecided piece: production time while its stop may still be a micro-stop."""
    element = "apt" if micro else element_in(plant, stop, closed.piece)
    return timed(closed.piece, element, closed.end_ms)


def is_micro(cell: Cell, stop: Stop | None, at_ms: int) -> bool:
    """Whether an open stop is young enough at `at_ms` to end as a micro-stop."""
    if stop is None or not stop.is_open or stop.decided:
        return False
    return at_ms - stop.start_ms < cell.micro_stop_ms


def counted(cell: Cell, item: str | None, event: Counted) -> Sums:
    """The pieces of one count; an item without an ideal cycle is worth no ideal time.

    Produced = good + scrap + rework: a reworked piece was made, and was not good the first time.
    """
    pri_ms = cell.ideal_cycle_ms.get(item or "", 0)
    produced = event.good + event.scrap + event.rework
    return Sums(
        pq=produced,
        gq=event.good,
        sq=event.scrap,
        rq=event.rework,
        ideal_ms=pri_ms * produced,
        ideal_good_ms=pri_ms * event.good,
    )


def added(piece: Piece, more: Sums) -> Piece:
    """The piece with more counts in it."""
    return piece.model_copy(update={"made": piece.made + more})
