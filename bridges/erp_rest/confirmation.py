"""PURE: what has been made of an order, what of that was told, and what is to be told next.

Owns the account of an order and the confirmation, the one document that every counterpart is told
from. Knows no counterpart, queue or clock.

Pieces come from the order's own document, whose totals only grow: one that is lost or comes twice
changes nothing. Consumption and times are sums of events, each taken once by its id. What is told
is the difference to what was told; it is never negative: what was taken back waits until it is made
again.
"""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Annotated, Any, Final, NamedTuple

from pydantic import BaseModel, ConfigDict, Field

from uns.model.events import Consumed, OeeInterval
from uns.model.path import to_dotted

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


class Account(Part):
    """An order at a line.

    item None: no document of it was seen yet. status: the dispatch state last heard.
    ended_ms: since when it is known to have ended (plant time); final: its end was told.
    told_ms: when something was told last. operations: by the cell's name, in their order.
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
    operations: dict[str, Operation] = Field(default_factory=dict)


class Confirmation(Part):
    """What happened at an operation of an order since the last confirmation of it.

    key: the business key, unlike all others for ever: order, cell and counter.
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

    @property
    def is_empty(self) -> bool:
        """Whether nothing was made, used or spent since the last one."""
        spent = (self.good, self.scrap, self.rework, self.run_ms, self.setup_ms)
        return not any(spent) and not self.consumed


class Rules(NamedTuple):
    """When something is told; times in ms of plant time."""

    every_ms: int
    settle_ms: int
    is_partial: bool


class Told(NamedTuple):
    """What is told now, and the account with that told."""

    account: Account
    confirmations: list[Confirmation]


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
        or any(map(_is_news, account.operations.values()))
    )


def tell(account: Account, now_ms: int, rules: Rules, day: str) -> Told:
    """What is to be told at plant time `now_ms`; `day` is its date at the site."""
    if account.item is None or not _is_due(account, now_ms, rules):
        return Told(account, [])
    final = account.ended_ms is not None
    cells = list(_with_news(account, all_of_them=final and not account.final))
    if not cells:
        return Told(account, [])
    operations = {cell: _counted(account.operations[cell]) for cell in cells}
    said = account.model_copy(update={"operations": {**account.operations, **operations}})
    confirmations = [_confirmation(said, account, cell, day) for cell in cells]
    told = {cell: _all_told(operation) for cell, operation in operations.items()}
    after = {
        "operations": {**account.operations, **told},
        "told_ms": now_ms,
        "final": account.final or final,
    }
    return Told(account.model_copy(update=after), confirmations)


def _is_due(account: Account, now_ms: int, rules: Rules) -> bool:
    if account.ended_ms is not None:
        return now_ms >= account.ended_ms + rules.settle_ms
    if not rules.is_partial:
        return False
    return account.told_ms is None or now_ms >= account.told_ms + rules.every_ms


def _with_news(account: Account, *, all_of_them: bool) -> Iterator[str]:
    """The cells to tell of; at the end each operation is told of, also one without news."""
    ordered = sorted(account.operations.items(), key=lambda one: (one[1].number or 2**31, one[0]))
    for cell, operation in ordered:
        if all_of_them or _is_news(operation):
            yield cell


def _is_news(operation: Operation) -> bool:
    return any(operation.news.model_dump().values()) or bool(operation.news_used)


def _confirmation(said: Account, before: Account, cell: str, day: str) -> Confirmation:
    operation, news = said.operations[cell], before.operations[cell].news
    where = to_dotted(f"{said.line}/{cell}".partition("/")[2])
    told = _all_told(before.operations[cell]).told
    return Confirmation(
        key=f"{said.order_id}@{where}#{operation.counter}",
        order_id=said.order_id,
        revision=said.revision,
        item=said.item or "",
        quantity=said.quantity,
        line=said.line,
        operation=cell,
        operation_number=operation.number,
        is_last=0 < operation.number == max(one.number for one in said.operations.values()),
        counter=operation.counter,
        final=said.ended_ms is not None,
        status=said.status,
        **news.model_dump(),
        good_total=told.good,
        scrap_total=told.scrap,
        rework_total=told.rework,
        consumed=tuple(_consumptions(before.operations[cell].news_used.items())),
        started_ms=said.started_ms,
        at_ms=said.at_ms,
        day=day,
    )


def _consumptions(used: Iterable[tuple[str, int]]) -> Iterator[Consumption]:
    for material, millionths in used:
        item, lot, unit = json.loads(material)
        yield Consumption(item=item, lot=lot, quantity=millionths / MILLIONTHS, unit=unit)


def _counted(operation: Operation) -> Operation:
    return operation.model_copy(update={"counter": operation.counter + 1})


def _all_told(operation: Operation) -> Operation:
    """Told is the most that was ever made: what was taken back is not told again."""
    told, made = operation.told.model_dump(), operation.made.model_dump()
    most = {name: max(made[name], told[name]) for name in made}
    used = {key: max(used, operation.used_told.get(key, 0)) for key, used in operation.used.items()}
    return operation.model_copy(update={"told": Made(**most), "used_told": used})


def _operation_at(account: Account, cell_path: str) -> tuple[str, Operation]:
    cell = cell_path.rpartition("/")[2]
    return cell, account.operations.get(cell, Operation())


def _with(account: Account, cell: str, operation: Operation, at_ms: int) -> Account:
    operations = {**account.operations, cell: operation}
    changes = {"operations": operations, "at_ms": max(account.at_ms, at_ms)}
    return account.model_copy(update=changes)


def _material(item: str | None, lot: str | None, unit: str) -> str:
    return json.dumps([item, lot, unit])
