"""What an order's facts add up to: its operations, totals, status, gates and rank.

Pure functions of an order and the plant; nothing here changes a state.
"""

from collections.abc import Iterable
from typing import Final, NamedTuple

from processors.order_progress.state import LineOrders, Order, Tally
from uns.model.order import DispatchStatus, OrderFact, after
from uns.model.path import LEVELS
from uns.model.plant import Plant

NOT_DUE: Final = 2**63
_NOTHING: Final = Tally(since_ms=0)


class Totals(NamedTuple):
    """An order's pieces: `started` at the first operation, `good` at the last one."""

    started: int
    good: int
    scrap: int
    rework: int

    @property
    def in_process(self) -> int:
        """Pieces between the first and the last operation, as far as the counters tell."""
        return max(0, self.started - self.good - self.scrap)


def routing(plant: Plant, line: str, order: Order) -> tuple[str, ...]:
    """The names of the cells an order passes; all of the line's for an item routed elsewhere."""
    operations = plant.operations(order.item or "")
    if not operations or not operations[0].startswith(f"{line}/"):
        operations = tuple(place.path for place in plant.lines.get(line, ()))
    return tuple(path.split("/")[len(LEVELS) - 1] for path in operations)


def totals(order: Order, cells: tuple[str, ...]) -> Totals:
    """Scrap and rework are summed over every cell that counted, on the routing or off it."""
    first = order.cells.get(cells[0], _NOTHING) if cells else _NOTHING
    last = order.cells.get(cells[-1], _NOTHING) if cells else _NOTHING
    return Totals(
        started=first.good + first.scrap,
        good=last.good,
        scrap=sum(tally.scrap for tally in order.cells.values()),
        rework=sum(tally.rework for tally in order.cells.values()),
    )


def ending(order: Order, cells: tuple[str, ...]) -> OrderFact | None:
    """What ends an open order by itself: all of it is made, or was given away."""
    if not order.quantity:
        return "given-away"
    is_made = totals(order, cells).good >= order.quantity
    return "made" if is_made and order.started_ms is not None else None


def is_left(order: Order, cells: tuple[str, ...]) -> bool:
    """Whether every operation has had the order and none has it any more."""
    had = [order.cells.get(cell, _NOTHING).was_loaded for cell in cells]
    return all(had) and not any(tally.loaded for tally in order.cells.values())


def is_open(order: Order) -> bool:
    """Released and not ended."""
    return order.released_ms is not None and order.completed_ms is None


def may_start(plant: Plant, line: str, order: Order) -> bool:
    """Whether an order may start once it is its turn: asked for, or by itself on such a line."""
    if order.allowed is not None:
        return order.allowed
    return all(place.line.auto_start for place in plant.lines.get(line, ()))


def next_up(plant: Plant, state: LineOrders) -> str | None:
    """The order whose turn it is: the first of the queue that waits and may start."""
    waiting = (
        order
        for order in state.orders.values()
        if is_open(order) and order.status == "waiting" and may_start(plant, state.line, order)
    )
    first = min(waiting, key=rank, default=None)
    return first.order_id if first else None


def status(order: Order, turn: str | None) -> DispatchStatus:
    """The dispatch state; `turn` is the order whose turn it is. Who was told to start is ready."""
    if order.allowed or order.order_id == turn:
        return after(order.status, "turn")
    return order.status


def begun(order: Order, cells: tuple[str, ...]) -> int:
    """Pieces that cannot be given away any more: the good ones, and those in process."""
    made = totals(order, cells)
    return made.good + made.in_process


def inspected(order: Order, cells: Iterable[str]) -> str | None:
    """Which open inspection the order waits for at some cells; None for none."""
    waited = ((name, cell) for cell in cells for name in order.inspections.get(cell, ()))
    return next((f"inspection {name} is open at {cell}" for name, cell in waited), None)


def gate(order: Order, cells: tuple[str, ...], cell: str) -> str | None:
    """Why an order should not be at a cell yet; None where it may be."""
    if cell not in cells:
        return f"not on the routing: {' > '.join(cells)}"
    before, here = cells[: cells.index(cell)][-1:], order.cells.get(cell)
    for name in before:
        if here is None and (why := inspected(order, before)):
            return why
        first = order.cells.get(name)
        if first is None or (here is not None and first.since_ms > here.since_ms):
            return f"previous operation {name} not started"
    return None


def in_front(order: Order, cells: tuple[str, ...], cell: str) -> int:
    """WIP: pieces that wait at a cell or are in it, made before it and neither good nor scrap here.

    At the first operation none is in front: what was not begun is no work in process.
    """
    if cell not in cells[1:]:
        return 0
    before = order.cells.get(cells[cells.index(cell) - 1], _NOTHING)
    here = order.cells.get(cell, _NOTHING)
    return max(0, before.good - here.good - here.scrap)


def rank(order: Order) -> tuple[int, int, int, str]:
    """The place in the queue: higher priority first (OPC 10031-4, 6.3.4), then the due date."""
    due_ms = NOT_DUE if order.due_ms is None else order.due_ms
    return -order.priority, due_ms, order.released_ms or 0, order.order_id
