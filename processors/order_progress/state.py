"""The orders of a line as facts leave them: what was released, asked, loaded and counted, by cell.

Totals, turns and forecasts are not stored: they follow from these facts (figures.py).
"""

from typing import Final

from pydantic import Field

from processors.base import State
from uns.model.order import DispatchStatus

OPEN_ORDERS_MAX: Final = 200
UNRELEASED_ORDERS_MAX: Final = 20
ENDED_ORDERS_MAX: Final = 50
TRANSFERS_MAX: Final = 50
REASON_LENGTH_MAX: Final = 80
HOLDS_MAX: Final = 200


class Pace(State):
    """How regularly good pieces came, as sums over the `gaps` between counts with good ones.

    squares_ms2: sum of gap² / pieces, which is what the variance of a piece's time follows from.
    last_ms: the stamp of the last count; one that came late closes no gap.
    """

    last_ms: int
    gaps: int = 0
    pieces: int = 0
    elapsed_ms: int = 0
    squares_ms2: int = 0


class Tally(State):
    """What one cell did for an order, in pieces. `since_ms` is its first load or count, by stamp.

    loaded: whether the cell has the order now; `was_loaded` whether it had it since the order was
    last interrupted. pace: of the last operation only.
    """

    since_ms: int
    good: int = 0
    scrap: int = 0
    rework: int = 0
    loaded: bool = False
    was_loaded: bool = False
    pace: Pace | None = None


class Order(State):
    """One order. `released_ms` None: cells know it already, the ERP's release is yet to come.

    status: as the table of uns.model.order has it; `ready` is never stored, it is a `waiting`
    order whose turn it is. allowed: what `start` and `revoke-start` said; None, the queue decides.
    cells: tallies by the cell's name, `at_ms` the time of the last fact about the order.
    completed_ms: when it ended, in whichever way. cleared: it is not shown any more.
    corrections: how many facts changed it after it ended, the last change was at `corrected_ms`.
    split_off: pieces that went to other orders, in so many `splits`.
    reason: of the last command, in the asker's words. warned: it was told to be behind.
    inspections: the open ones that its operations wait for, by cell.
    """

    order_id: str
    item: str | None = None
    quantity: int = 0
    due_ms: int | None = None
    priority: int = 0
    revision: int = 0
    status: DispatchStatus = "waiting"
    allowed: bool | None = None
    reason: str | None = None
    released_ms: int | None = None
    started_ms: int | None = None
    completed_ms: int | None = None
    at_ms: int = 0
    corrections: int = 0
    corrected_ms: int = 0
    cleared: bool = False
    split_from: str | None = None
    split_off: int = 0
    splits: int = 0
    warned: bool = False
    cells: dict[str, Tally] = Field(default_factory=dict)
    inspections: dict[str, tuple[str, ...]] = Field(default_factory=dict)


class Transfer(State):
    """Pieces that were moved to another line and wait to be released there as a new order."""

    order_id: str
    to_line: str
    item: str
    quantity: int
    due_ms: int | None
    priority: int
    at_ms: int


class LineOrders(State):
    """All orders of one line by id, in the order they became known.

    now_ms: the latest time heard of; the only thing a tick moves.
    loaded: the order each cell has now, by the cell's name.
    refused: releases that were not taken because OPEN_ORDERS_MAX were open.
    transfers: by the id of the new order.
    listed_ms: the last fact that changed the queue or what a cell may take: few counts do.
    holds: quality holds that halt an order of the line, by hold.
    """

    line: str
    now_ms: int = 0
    orders: dict[str, Order] = Field(default_factory=dict)
    loaded: dict[str, str] = Field(default_factory=dict)
    refused: int = 0
    transfers: dict[str, Transfer] = Field(default_factory=dict)
    listed_ms: int = 0
    holds: dict[str, str] = Field(default_factory=dict)
