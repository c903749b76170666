"""What an order's facts add up to: its operations, totals, status, forecast and rank.

Pure functions of an order and the plant; nothing here changes a state.
"""

from typing import Final, NamedTuple

from processors.order_progress.state import Order, Tally
from uns.model.order import DispatchStatus
from uns.model.path import LEVELS
from uns.model.plant import Plant

FORECAST_MS_MAX: Final = 366 * 24 * 3_600_000
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


def is_complete(order: Order, cells: tuple[str, ...]) -> bool:
    """The quantity is there, or every operation has had the order and none has it any more."""
    if order.released_ms is None or order.started_ms is None:
        return False
    if totals(order, cells).good >= order.quantity:
        return True
    had = [order.cells.get(cell, _NOTHING).was_loaded for cell in cells]
    return all(had) and not any(tally.loaded for tally in order.cells.values())


def is_open(order: Order) -> bool:
    """Released and not ended."""
    return order.released_ms is not None and order.completed_ms is None


def status(order: Order, *, next_up: bool) -> DispatchStatus:
    """The dispatch state; `ready` is the first of the line's queue that has not started."""
    if order.completed_ms is not None:
        return "completed"
    if order.started_ms is not None:
        return "running"
    return "ready" if next_up else "waiting"


def rank(order: Order) -> tuple[int, int, int, str]:
    """The place in the queue: higher priority first (OPC 10031-4, 6.3.4), then the due date."""
    due_ms = NOT_DUE if order.due_ms is None else order.due_ms
    return -order.priority, due_ms, order.released_ms or 0, order.order_id


def forecast_finish_ms(order: Order, cells: tuple[str, ...], now_ms: int) -> int | None:
    """When the last operation will have made the rest at its rate so far; None while unknown."""
    last = order.cells.get(cells[-1]) if cells else None
    if order.completed_ms is not None or last is None or not last.good:
        return None
    left = max(0, order.quantity - last.good) * max(0, now_ms - last.since_ms) // last.good
    return now_ms + left if left <= FORECAST_MS_MAX else None


def is_late(order: Order, forecast_ms: int | None, now_ms: int) -> bool:
    """Completed after its due date, or bound to be."""
    if order.due_ms is None:
        return False
    expected_ms = max(now_ms, forecast_ms or 0)
    return (expected_ms if order.completed_ms is None else order.completed_ms) > order.due_ms
