"""A line's own time, where its method makes one from several cells (`first-down`, `parallel`).

The line is kept as a cell is (account.py), with a state that follows from those of its cells:

- first-down: the line stands still from the first of its cells that goes down inside an order, for
  as long as one is down, for the cause of the one that has been down longest. A cell that starves
  or is blocked (SUSPENDED) is not down: it waits for one that is.
- parallel: the line runs while at least `running_min` cells are in EXECUTE. It is unknown while it
  depends on cells that are unknown; else it has the state of the one that has stood longest.
- If no cell says otherwise, the line has the state of its reference cell, the bottleneck.

Order, item and pieces are the reference's; in parallel all cells' pieces are the line's. The line
never changes behind its last change: a late fact of a cell counts from there.
"""

from collections.abc import Iterable, Mapping
from typing import Final

from processors.base import replace
from processors.oee.account import Account, first_seen
from processors.oee.elements import is_stopped
from processors.oee.state import CellTime, LineTime, Piece
from uns.model.equipment import UNKNOWN
from uns.model.events import Counted, Event, OeeInterval
from uns.model.plant import Place, Plant
from uns.model.reckoning import (
    is_combined,
    method_of,
    reckoned_at,
    reference_path,
    with_cycles_of,
)

OUTSIDE: Final = frozenset({"SUSPENDING", "SUSPENDED", "UNSUSPENDING"})
"""PackML: waiting for material, or for room, not for itself."""
RUNNING: Final = "EXECUTE"
Shown = tuple[str, str | None]


def taken(plant: Plant, place: Place, state: LineTime, event: Event, at_ms: int) -> Account:
    """The line's time after a fact of one of its cells, taken to be of `at_ms`.

    state: with that cell's time after the fact. Of the drafts only intervals are the line's: what
    stopped is the cells' to say.
    """
    whole = reckoned_at(plant, state.line)
    counting = whole.model_copy(update={"cell": with_cycles_of(plant, whole, place)})
    account = Account(plant, counting, state.combined or first_seen(plant, whole, at_ms))
    from_ms = max(at_ms, account.cell.open.start_ms)
    name, fault = shown(plant, place, state.cells)
    reference = state.cells.get(reference_path(plant, place))
    order = (reference.open.order_id, reference.open.item) if reference else (None, None)
    account.become(from_ms, state=name, fault=fault, order_id=order[0], item=order[1])
    if isinstance(event, Counted) and _counts(plant, place):
        account.take(event, at_ms)
    account.drafts = [one for one in account.drafts if one.type == OeeInterval.type_name]
    return account


def time_of(plant: Plant, state: LineTime, place: Place) -> CellTime | None:
    """The time that a line's figures go by: its own, or that of its reference cell."""
    if is_combined(plant, place.line):
        return state.combined
    return state.cells.get(reference_path(plant, place))


def shown(plant: Plant, place: Place, cells: Mapping[str, CellTime]) -> Shown:
    """The state and the fault that the line of a place has by those of its cells."""
    known = [cells.get(one.path) for one in plant.lines[place.line_path]]
    heard = [cell for cell in known if cell is not None]
    own = cells.get(reference_path(plant, place))
    if method_of(plant, place.line) == "parallel":
        missing = len(known) - len(heard)
        return _parallel(heard, missing, place.line.running_min)
    down = [c for c in heard if _is_down(plant, c.open)]
    return _longest(down) if down else _state(own)


def _is_down(plant: Plant, piece: Piece) -> bool:
    """A break is the line's to take, and at its end nobody says a cell's state again."""
    return is_stopped(plant, replace(piece, rest=False)) and piece.state not in OUTSIDE


def _parallel(heard: list[CellTime], missing: int, running_min: int) -> Shown:
    running = sum(cell.open.state == RUNNING for cell in heard)
    unknown = missing + sum(cell.open.state == UNKNOWN for cell in heard)
    if running >= running_min:
        return RUNNING, None
    if running + unknown >= running_min:
        return UNKNOWN, None
    return _longest(c for c in heard if c.open.state not in (RUNNING, UNKNOWN))


def _longest(cells: Iterable[CellTime]) -> Shown:
    return _state(min(cells, key=_stood_since, default=None))


def _stood_since(cell: CellTime) -> int:
    stop = cell.stop
    return stop.start_ms if stop is not None and stop.is_open else cell.since_ms


def _state(cell: CellTime | None) -> Shown:
    return (UNKNOWN, None) if cell is None else (cell.open.state, cell.open.fault)


def _counts(plant: Plant, place: Place) -> bool:
    """Whether the pieces of a cell are its line's."""
    return method_of(plant, place.line) == "parallel" or place.path == reference_path(plant, place)
