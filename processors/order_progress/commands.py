"""What people ask for about orders: judged when the command is folded, so a replay judges the same.

Each is answered with a `reply`. Whether a state takes a command is the table of uns.model.order;
this module owns what the command changes besides, and when there is nothing to change.
"""

from collections.abc import Callable
from typing import Final, NamedTuple

from processors.base import replace, topic_key
from processors.order_progress.figures import (
    begun,
    gate,
    inspected,
    next_up,
    routing,
    status,
    totals,
)
from processors.order_progress.fold import Change, is_full, latest_ms, settled
from processors.order_progress.state import (
    OPEN_ORDERS_MAX,
    REASON_LENGTH_MAX,
    TRANSFERS_MAX,
    LineOrders,
    Order,
    Transfer,
)
from uns.fold import Draft
from uns.model.checks import did_you_mean
from uns.model.events import OrderCommanded, Reply
from uns.model.order import NEXT, DispatchStatus, OrderCommand, refusal
from uns.model.plant import Plant

GOES_ON: Final[frozenset[OrderCommand]] = frozenset({"start", "resume", "unhold"})


class Asked(NamedTuple):
    """A command that its order's state takes: `to` is the state that it leads to."""

    plant: Plant
    state: LineOrders
    order: Order
    event: OrderCommanded
    to: DispatchStatus

    @property
    def cells(self) -> tuple[str, ...]:
        """The order's operations."""
        return routing(self.plant, self.state.line, self.order)

    @property
    def free(self) -> int:
        """Pieces that no cell has begun, and that may be given away."""
        return max(0, self.order.quantity - begun(self.order, self.cells))


class Refused(NamedTuple):
    """Why not, in words for an operator."""

    reason: str


class Done(NamedTuple):
    """What changed, and the words for it."""

    change: Change
    said: str


Outcome = Done | Refused


def commanded(plant: Plant, state: LineOrders, event: OrderCommanded) -> Change:
    """Follow a command or refuse it, and say which."""
    outcome = _judged(plant, state, event)
    change, reason = outcome if isinstance(outcome, Done) else ((state, ()), outcome.reason)
    key = topic_key(event.request_id)
    if key is None:
        return change
    body = {
        "request_id": event.request_id,
        "outcome": "accepted" if isinstance(outcome, Done) else "refused",
        "reason": reason,
    }
    return change[0], (*change[1], Draft(state.line, Reply.type_name, event.at_ms, body, key))


def _judged(plant: Plant, state: LineOrders, event: OrderCommanded) -> Outcome:
    order = state.orders.get(event.order_id)
    if order is None or order.released_ms is None:
        known = [o.order_id for o in state.orders.values() if o.released_ms is not None]
        hint = did_you_mean(event.order_id, known)
        return Refused(f"no order {event.order_id} was released to {state.line}{hint}")
    now = status(order, next_up(plant, state))
    to = NEXT.get((now, event.command))
    if to is None:
        return Refused(refusal(order.order_id, now, event.command))
    if (hold := _halting(state, order)) and event.command in GOES_ON:
        return Refused(f"{order.order_id} is halted by hold {hold}: release that first")
    order = replace(order, reason=(event.reason or "")[:REASON_LENGTH_MAX] or None)
    return _DO.get(event.command, _turned)(Asked(plant, state, order, event, to))


def _halting(state: LineOrders, order: Order) -> str | None:
    """The quality hold that halts an order."""
    return next((key for key, halted in state.holds.items() if halted == order.order_id), None)


def _settled(asked: Asked, order: Order) -> Change:
    return settled(asked.plant, asked.state, order, asked.event.at_ms)


def _turned(asked: Asked) -> Outcome:
    """Only the state changes."""
    order = replace(asked.order, status=asked.to)
    return Done(_settled(asked, order), f"{order.order_id} is {asked.to}")


def _started(asked: Asked) -> Outcome:
    """It may start: at a cell, if the operation before it was."""
    order, cell = asked.order, asked.event.cell
    if cell is not None:
        places = asked.plant.lines.get(asked.state.line, ())
        names = [place.path.rpartition("/")[2] for place in places]
        if cell not in names:
            return Refused(f"{asked.state.line} has no cell {cell!r}{did_you_mean(cell, names)}")
        if why := gate(order, asked.cells, cell):
            return Refused(f"{order.order_id} may not start at {cell}: gate: {why}")
    change = _settled(asked, replace(order, allowed=True))
    where = f" at {cell}" if cell else ""
    return Done(change, f"{order.order_id} is {asked.to}: it may be loaded{where}")


def _revoked(asked: Asked) -> Outcome:
    change = _settled(asked, replace(asked.order, allowed=False))
    return Done(change, f"{asked.order.order_id} is {asked.to} until it is told to start")


def _continued(asked: Asked) -> Outcome:
    """From now on it is left when every operation has had it again."""
    cells = {
        name: replace(tally, was_loaded=tally.loaded) for name, tally in asked.order.cells.items()
    }
    order = replace(asked.order, cells=cells, status=asked.to)
    return Done(_settled(asked, order), f"{order.order_id} is {asked.to}")


def _after_the_end(asked: Asked) -> Outcome:
    """Closed, it is shown once more; cleared, no more."""
    is_cleared = asked.event.command == "clear"
    shown_ms = max(asked.event.at_ms, latest_ms(asked.state))
    order = replace(asked.order, status=asked.to, cleared=is_cleared, corrected_ms=shown_ms)
    said = "cleared from the line" if is_cleared else asked.to
    return Done(_settled(asked, order), f"{order.order_id} is {said}")


def _updated(asked: Asked) -> Outcome:
    """Another quantity, priority or due date; what is made already ends it at once."""
    event = asked.event
    wanted = {
        "quantity": event.quantity,
        "priority": event.priority,
        "due_ms": event.due_ms,
    }
    changes = {name: value for name, value in wanted.items() if value is not None}
    order = replace(asked.order, **changes)
    change, said = _settled(asked, order), f"{order.order_id} is for {order.quantity} pieces now"
    if change[0].orders[order.order_id].completed_ms is not None:
        said += f": {totals(order, asked.cells).good} are made, it is completed"
    return Done(change, said)


def _split(asked: Asked) -> Outcome:
    """Some pieces that no cell has begun become an order of their own on the same line."""
    quantity, state = asked.event.quantity or 0, asked.state
    order, new_id, why = _given(asked, quantity)
    if why is None and not order.quantity:
        why = "that is all of it: nothing would be left to split"
    if why is None and is_full(state):
        why = f"{OPEN_ORDERS_MAX} orders are open on this line: no more fit"
    if why is not None:
        return Refused(f"{asked.order.order_id}: {why}")
    new = replace(
        state.orders.get(new_id) or Order(order_id=new_id),
        item=order.item,
        quantity=quantity,
        due_ms=order.due_ms,
        priority=order.priority,
        revision=1,
        split_from=order.order_id,
        released_ms=asked.event.at_ms,
    )
    state, drafts = _settled(asked, order)
    state, more = settled(asked.plant, state, new, asked.event.at_ms)
    return Done((state, (*drafts, *more)), f"{quantity} of {order.order_id} are {new_id} now")


def _moved(asked: Asked) -> Outcome:
    """The rest, or some of it, waits to be released at another line: see docs/adr/0016."""
    quantity, event = asked.event.quantity or asked.free, asked.event
    to_line = _line_of(asked.plant, event.to_line or "")
    order, new_id, why = _given(asked, quantity)
    why = why or _not_there(asked, to_line)
    if why is not None:
        return Refused(f"{order.order_id}: {why}")
    transfer = Transfer(
        order_id=order.order_id,
        to_line=to_line,
        item=order.item or "",
        quantity=quantity,
        due_ms=order.due_ms,
        priority=order.priority,
        at_ms=event.at_ms,
    )
    why = order.reason or f"moved to {to_line} as {new_id}"[:REASON_LENGTH_MAX]
    state, drafts = _settled(asked, replace(order, reason=why))
    state = replace(state, transfers={**state.transfers, new_id: transfer})
    said = f"{quantity} of {order.order_id} go to {to_line} as {new_id}"
    return Done((state, drafts), said)


def _line_of(plant: Plant, name: str) -> str:
    """The path of a line that may be named with or without its enterprise."""
    return name if name in plant.lines else f"{plant.enterprise}/{name}"


def _not_there(asked: Asked, line: str) -> str | None:
    places, item = asked.plant.lines.get(line, ()), asked.order.item or ""
    if not places:
        return f"no line {asked.event.to_line!r}{did_you_mean(line, asked.plant.lines)}"
    if line == asked.state.line:
        return f"it is on {line} already"
    if not any(item in place.cell.ideal_cycle_ms for place in places):
        return f"no cell of {line} has an ideal cycle for {item}: it cannot be made there"
    return None


class _Given(NamedTuple):
    """An order without the pieces it gives away, the id of the new one, and why not."""

    order: Order
    new_id: str
    why: str | None


def _given(asked: Asked, quantity: int) -> _Given:
    order, given = asked.order, asked.event.new_order_id
    new_id = given or f"{order.order_id}-{order.splits + 2}"
    order = replace(
        order,
        quantity=max(0, order.quantity - quantity),
        split_off=order.split_off + quantity,
        splits=order.splits + 1,
    )
    return _Given(order, new_id, _not_given(asked, new_id, quantity))


def _not_given(asked: Asked, new_id: str, quantity: int) -> str | None:
    state, free = asked.state, asked.free
    known = state.orders.get(new_id)
    if not 0 < quantity <= free:
        return f"{free} of {asked.order.quantity} pieces have not begun: no more can be given away"
    if topic_key(new_id) is None:
        return f"{new_id!r} is too long for an order's id"
    if new_id in state.transfers or (known is not None and known.released_ms is not None):
        return f"there is an order {new_id} already"
    if len(state.transfers) >= TRANSFERS_MAX:
        return f"{TRANSFERS_MAX} moves still wait for the other lines"
    return None


def _completed(asked: Asked) -> Outcome:
    """Not while an operation waits for an inspection."""
    if why := inspected(asked.order, (*asked.cells, *asked.order.inspections)):
        return Refused(f"{asked.order.order_id} may not complete: {why}")
    return _turned(asked)


_DO: Final[dict[OrderCommand, Callable[[Asked], Outcome]]] = {
    "start": _started,
    "revoke-start": _revoked,
    "resume": _continued,
    "unhold": _continued,
    "complete": _completed,
    "stop": _completed,
    "close": _after_the_end,
    "clear": _after_the_end,
    "update": _updated,
    "split": _split,
    "move": _moved,
}
"""What a command does besides turning the state; the others only do that."""
