"""PURE: what has been made of an order, what of that was told, and the document that tells it.

Owns the account of an order and the confirmation, the one document that every counterpart is told
from. When something is told is telling.py. Knows no counterpart, queue or clock.

Pieces come from the order's own document, whose totals only grow: one that is lost or comes twice
changes nothing. Consumption and times are sums of events, each taken once by its id. What is told
is the difference to what was told; it is never negative: what was taken back waits until it is made
again.
"""

import json
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Final

from pydantic import BaseModel, ConfigDict, Field

from uns.model.events import Consumed, OeeInterval

MILLIONTHS: Final = 1_000_000
MATERIALS_MAX: Final = 500
"""Lots of one operation; the quantities of further ones are summed up without a lot."""
OPERATION_STEP: Final = 10
_TIMES: Final = {"apt": "run_ms", "aust": "setup_ms"}
"""Time elements of ISO 22400-2 that a counterpart is told, by our field."""

Count = Annotated[int, Field(ge=0)]


class Part(BaseModel):
    """The common rules."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Made(Part):
    """What one operation did: pieces, and times in ms."""

    good: int = 0
    scrap: int = 0
    rework: int = 0
    run_ms: int = 0
    setup_ms: int = 0


class Consumption(Part):
    """A quantity of a lot, in its unit."""

    item: str | None
    lot: str | None
    quantity: float
    unit: str


class Operation(Part):
    """One operation of an order: all of it, and what of it was told.

    number: 10, 20, … along the routing; 0 for a cell beside it. used: millionths by material (item,
    lot and unit as JSON). counter: confirmations so far.
    """

    number: int = 0
    made: Made = Made()
    told: Made = Made()
    used: dict[str, int] = Field(default_factory=dict)
    used_told: dict[str, int] = Field(default_factory=dict)
    counter: Count = 0

    @property
    def news(self) -> Made:
        """What is to be told; never negative."""
        told = self.told.model_dump()
        left = {name: max(0, made - told[name]) for name, made in self.made.model_dump().items()}
        return Made(**left)

    @property
    def news_used(self) -> dict[str, int]:
        """What was consumed and is not told yet."""
        left = {key: used - self.used_told.get(key, 0) for key, used in self.used.items()}
        return {key: millionths for key, millionths in left.items() if millionths > 0}

    @property
    def has_news(self) -> bool:
        """Whether there is anything to tell."""
        return any(self.news.model_dump().values()) or bool(self.news_used)

    @property
    def all_told(self) -> "Operation":
        """The operation with all of it told: the most that was ever made, none of it again."""
        told, made = self.told.model_dump(), self.made.model_dump()
        most = Made(**{name: max(made[name], told[name]) for name in made})
        used = {key: max(used, self.used_told.get(key, 0)) for key, used in self.used.items()}
        return self.model_copy(update={"told": most, "used_told": used})


class Account(Part):
    """An order at a line.

    item None: no document of it was seen yet. status: the dispatch state last heard.
    ended_ms: since when it is known to have ended (plant time); final: its end was told.
    told_ms: when something was told last. operations: by the cell's name, in their order.
    split_from: of which order it is a part; of_order: which one the counterpart knows, empty: this
    one. gave: parts of it became orders of their own.
    """

    order_id: str
    line: str
    item: str | None = None
    quantity: int = 0
    revision: int = 0
    status: str = ""
    started_ms: int | None = None
    at_ms: int = 0
    ended_ms: int | None = None
    final: bool = False
    told_ms: int | None = None
    split_from: str | None = None
    of_order: str = ""
    gave: bool = False
    operations: dict[str, Operation] = Field(default_factory=dict)

    @property
    def whole(self) -> str:
        """The id of the order as the counterpart knows it."""
        return self.of_order or self.order_id


class Confirmation(Part):
    """What happened at an operation of an order since the last confirmation of it.

    key: the business key, unlike all others for ever: order, cell and counter.
    part: the hub's order, where that is a part of `order_id`; quantity and totals are of all parts.
    operation_number: 10, 20, … along the routing, 0 beside it. is_last: the routing ends there.
    final: the order has ended; status tells how. *_total: with all that was told before.
    run_ms, setup_ms: production and set-up time (ISO 22400-2 APT, AUST). day: of at_ms at the site.
    """

    key: str
    order_id: str
    revision: int
    item: str
    quantity: int
    line: str
    operation: str
    operation_number: int
    is_last: bool
    counter: int
    final: bool
    status: str
    good: Count
    scrap: Count
    rework: Count
    good_total: Count
    scrap_total: Count
    rework_total: Count
    run_ms: Count
    setup_ms: Count
    consumed: tuple[Consumption, ...]
    started_ms: int | None
    at_ms: int
    day: str
    part: str | None = None

    @property
    def is_empty(self) -> bool:
        """Whether nothing was made, used or spent since the last one."""
        spent = (self.good, self.scrap, self.rework, self.run_ms, self.setup_ms)
        return not any(spent) and not self.consumed


def account_id(line: str, order_id: str) -> str:
    """An order may be made at two lines after a move: each has its account."""
    return f"{line} {order_id}"


def with_document(account: Account, document: Mapping[str, Any], routing: Sequence[str]) -> Account:
    """Take the order's document; totals never fall, so an old one changes nothing.

    routing: the names of the cells that the order passes.
    Raises KeyError, TypeError or ValueError for what is no document of an order.
    """
    numbers = {cell: OPERATION_STEP * place for place, cell in enumerate(routing, 1)}
    operations = dict(account.operations)
    for row in document["operations"]:
        known = operations.get(row["cell"], Operation())
        pieces = {
            name: max(int(row[name]), getattr(known.made, name))
            for name in ("good", "scrap", "rework")
        }
        made = known.made.model_copy(update=pieces)
        changes = {"made": made, "number": numbers.get(row["cell"], 0)}
        operations[row["cell"]] = known.model_copy(update=changes)
    started_ms = document.get("started_ms")
    return account.model_copy(
        update={
            "item": str(document["item"]),
            "quantity": int(document["quantity"]),
            "revision": max(account.revision, int(document["revision"])),
            "status": str(document["dispatch_status"]),
            "started_ms": account.started_ms if started_ms is None else int(started_ms),
            "at_ms": max(account.at_ms, int(document["at_ms"])),
            "operations": operations,
            "split_from": document.get("split_from"),
            "gave": bool(document.get("split_off")),
        }
    )


def with_consumed(account: Account, event: Consumed) -> Account:
    """Add what a cell consumed for the order."""
    cell, operation = _operation_at(account, event.path)
    material = _material(event.item, event.lot, event.unit)
    if material not in operation.used and len(operation.used) >= MATERIALS_MAX:
        material = _material(event.item, None, event.unit)
    millionths = operation.used.get(material, 0) + round(event.quantity * MILLIONTHS)
    used = {**operation.used, material: millionths}
    return _with(account, cell, operation.model_copy(update={"used": used}), event.at_ms)


def with_interval(account: Account, event: OeeInterval) -> Account:
    """Add a piece of a cell's time; one that runs backwards takes time away."""
    cell, operation = _operation_at(account, event.path)
    field = _TIMES.get(event.element)
    if field is None:
        return account
    time_ms = getattr(operation.made, field) + event.end_ms - event.start_ms
    made = operation.made.model_copy(update={field: time_ms})
    return _with(account, cell, operation.model_copy(update={"made": made}), event.at_ms)


def ended(account: Account, at_ms: int) -> Account:
    """The order has ended, as far as is known since `at_ms`."""
    if account.ended_ms is not None:
        return account
    return account.model_copy(update={"ended_ms": at_ms})


def has_news(account: Account) -> bool:
    """Whether there is something to tell, now or later."""
    return account.item is not None and (
        (account.ended_ms is not None and not account.final)
        or any(operation.has_news for operation in account.operations.values())
    )


def _operation_at(account: Account, cell_path: str) -> tuple[str, Operation]:
    cell = cell_path.rpartition("/")[2]
    return cell, account.operations.get(cell, Operation())


def _with(account: Account, cell: str, operation: Operation, at_ms: int) -> Account:
    operations = {**account.operations, cell: operation}
    changes = {"operations": operations, "at_ms": max(account.at_ms, at_ms)}
    return account.model_copy(update=changes)


def _material(item: str | None, lot: str | None, unit: str) -> str:
    return json.dumps([item, lot, unit])
