"""The orders of a line as facts leave them: what was released, loaded and counted, by cell.

Statuses and totals are not stored: they follow from these facts (figures.py).
"""

from typing import Final

from pydantic import Field

from processors.base import State

OPEN_ORDERS_MAX: Final = 200
UNRELEASED_ORDERS_MAX: Final = 20
ENDED_ORDERS_MAX: Final = 50


class Tally(State):
    """What one cell did for an order, in pieces. `since_ms` is its first load or count, by stamp.

    loaded: whether the cell has the order now; `was_loaded` whether it ever had.
    """

    since_ms: int
    good: int = 0
    scrap: int = 0
    rework: int = 0
    loaded: bool = False
    was_loaded: bool = False


class Order(State):
    """One order. `released_ms` None: cells know it already, the ERP's release is yet to come.

    cells: tallies by the cell's name, `at_ms` the time of the last fact about the order.
    corrections: how many facts changed it after it was closed, the last one at `corrected_ms`.
    """

    order_id: str
    item: str | None = None
    quantity: int = 0
    due_ms: int | None = None
    priority: int = 0
    revision: int = 0
    content_hash: str = ""
    released_ms: int | None = None
    started_ms: int | None = None
    completed_ms: int | None = None
    at_ms: int = 0
    corrections: int = 0
    corrected_ms: int = 0
    cells: dict[str, Tally] = Field(default_factory=dict)


class LineOrders(State):
    """All orders of one line by id, in the order they became known.

    now_ms: the latest time heard of; the only thing a tick moves.
    loaded: the order each cell has now, by the cell's name.
    refused: releases that were not taken because OPEN_ORDERS_MAX were open.
    """

    line: str
    now_ms: int = 0
    orders: dict[str, Order] = Field(default_factory=dict)
    loaded: dict[str, str] = Field(default_factory=dict)
    refused: int = 0
