"""How facts change a line's orders: released, loaded, counted, moved; and the fact given back.

Rules: counts go to the order the event names, also after completion and also before its release
(kept for UNRELEASED_ORDERS_MAX orders, the oldest is forgotten first). `order-closed` is given
once, when the order ends: at the latest stamp of its facts, the one that completes it may be late.
What changes it later is a correction. Only facts drop orders: time alone changes nothing but
`now_ms`. What follows which state is the table of uns.model.order.
"""

from collections.abc import Callable

from processors.base import cell_at, replace, shown
from processors.order_progress.documents import order_document
from processors.order_progress.figures import ending, inspected, is_left, is_open, routing
from processors.order_progress.forecast import forecast, paced, quickest_ms, schedule
from processors.order_progress.state import (
    ENDED_ORDERS_MAX,
    HOLDS_MAX,
    OPEN_ORDERS_MAX,
    REASON_LENGTH_MAX,
    UNRELEASED_ORDERS_MAX,
    LineOrders,
    Order,
    Tally,
)
from uns.fold import Draft
from uns.model.events import (
    Alerted,
    Counted,
    Event,
    HoldSaid,
    Loaded,
    OperationGated,
    OrderClosed,
    OrderMoved,
    Released,
)
from uns.model.order import ENDED, NEXT, OrderFact, after
from uns.model.plant import Plant

Change = tuple[LineOrders, tuple[Draft, ...]]


def stamp(plant: Plant, state: LineOrders, event: Event) -> int:
    """When a fact was: of a clock that was lost, the latest time that the line's orders know."""
    if plant.calendar_of(state.line).covers(event.at_ms):
        return event.at_ms
    return latest_ms(state)


def latest_ms(state: LineOrders) -> int:
    """The latest time of a fact about one of the orders."""
    return max((order.at_ms for order in state.orders.values()), default=0)


def is_full(state: LineOrders) -> bool:
    """Whether OPEN_ORDERS_MAX are open."""
    return sum(map(is_open, state.orders.values())) >= OPEN_ORDERS_MAX


def released(plant: Plant, state: LineOrders, event: Released) -> Change:
    """Take a new order or a higher revision of an open one; anything else changes nothing.

    Pieces that are wanted and find no place are told of: nobody else knows of them any more.
    A release is for all of an order: what was split off or moved is not wanted here any more.
    """
    known = state.orders.get(event.order_id) or Order(order_id=event.order_id)
    if known.released_ms is not None:
        if known.completed_ms is not None or event.revision <= known.revision:
            is_other = event.split_from not in (None, known.split_from)
            return state, (_not_taken(event, "there is an order of its id"),) if is_other else ()
    elif is_full(state):
        alert = _not_taken(event, f"{OPEN_ORDERS_MAX} orders are open")
        return replace(state, refused=state.refused + 1), (alert,)
    order = replace(
        known,
        item=event.item,
        quantity=max(0, event.quantity - known.split_off),
        due_ms=event.due_ms,
        priority=event.priority,
        revision=event.revision,
        split_from=event.split_from or known.split_from,
        released_ms=event.at_ms if known.released_ms is None else known.released_ms,
    )
    return settled(plant, state, order, event.at_ms, may_be_left=True)


def _not_taken(event: Released, why: str) -> Draft:
    again = "under another id" if event.split_from else "with a higher revision, when there is room"
    body = {
        "code": "order-not-taken",
        "summary": f"{shown(event.order_id)} is not on this line: {why}. Release it again {again}",
        "evidence": {
            "order_id": event.order_id,
            "revision": event.revision,
            "item": event.item,
            "quantity": event.quantity,
            "split_from": event.split_from,
        },
    }
    return Draft(event.path, Alerted.type_name, event.at_ms, body)


def loaded(plant: Plant, state: LineOrders, event: Loaded) -> Change:
    """A cell took up an order: it runs. The one it had before is unloaded there."""
    cell = _cell_of(plant, state.line, event.path)
    before = state.loaded.get(cell) if cell else None
    if cell is None or before == event.order_id:
        return state, ()
    others = {name: order for name, order in state.loaded.items() if name != cell}
    drafts: tuple[Draft, ...] = ()
    if before is not None and before in state.orders:
        left = _tallied(state.orders[before], cell, event.at_ms, lambda t: replace(t, loaded=False))
        state, drafts = settled(plant, state, left, event.at_ms, may_be_left=True)
    if event.order_id is None:
        return replace(state, loaded=others), drafts
    order = state.orders.get(event.order_id) or Order(order_id=event.order_id, item=event.item)
    taken = _tallied(order, cell, event.at_ms, lambda t: replace(t, loaded=True, was_loaded=True))
    state, more = settled(plant, state, taken, event.at_ms)
    return replace(state, loaded={**others, cell: event.order_id}), (*drafts, *more)


def counted(plant: Plant, state: LineOrders, event: Counted) -> Change:
    """Add the pieces to the cell's tally of the order they were counted for."""
    cell = _cell_of(plant, state.line, event.path)
    if cell is None or event.order_id is None:
        return state, ()
    order = state.orders.get(event.order_id) or Order(order_id=event.order_id, item=event.item)
    is_last = routing(plant, state.line, order)[-1:] == (cell,)

    def add(tally: Tally) -> Tally:
        return replace(
            tally,
            good=tally.good + event.good,
            scrap=tally.scrap + event.scrap,
            rework=tally.rework + event.rework,
            pace=paced(tally.pace, event.good, event.at_ms) if is_last else None,
        )

    tallied = _tallied(order, cell, event.at_ms, add)
    state, drafts = settled(plant, state, tallied, event.at_ms)
    if drafts or _is_listed_anew(order, tallied, cell):
        state = listed(state, event.at_ms)
    return _warned(plant, state, event.order_id, drafts)


def listed(state: LineOrders, at_ms: int) -> LineOrders:
    """A fact changed the queue, or what a cell may take."""
    return replace(state, listed_ms=max(state.listed_ms, at_ms))


def _is_listed_anew(before: Order, now: Order, cell: str) -> bool:
    """Whether a count began an operation, or made the quantity there."""
    known, tally = before.cells.get(cell), now.cells[cell]
    return known is None or known.good < now.quantity <= tally.good


def _warned(plant: Plant, state: LineOrders, order_id: str, drafts: tuple[Draft, ...]) -> Change:
    """Say once of an order that it is behind, while it could still be in time."""
    order = state.orders.get(order_id)
    if order is None or order.warned or not is_open(order):
        return state, drafts
    cells, at_ms = routing(plant, state.line, order), order.at_ms
    expected = forecast(order, cells, at_ms)
    if schedule(plant, state.line, order, expected, at_ms) != "behind":
        return state, drafts
    body = {
        "code": "order-behind",
        "summary": f"{shown(order_id)} will be late at this rate; in time at the ideal cycle",
        "evidence": {
            "order_id": order_id,
            "due_ms": order.due_ms,
            "forecast_finish_ms": expected.finish_ms,
            "quickest_ms": quickest_ms(plant, state.line, order),
        },
    }
    orders = {**state.orders, order_id: replace(order, warned=True)}
    alert = Draft(state.line, Alerted.type_name, at_ms, body)
    return replace(state, orders=orders), (*drafts, alert)


def gated(plant: Plant, state: LineOrders, event: OperationGated) -> Change:
    """The inspections that orders wait for at a cell, all of them; one that waited may end now."""
    cell, drafts = _cell_of(plant, state.line, event.path), tuple[Draft, ...]()
    if cell is None:
        return state, ()
    names = {one.order_id: one.inspections for one in event.orders}
    waited = [order_id for order_id, order in state.orders.items() if cell in order.inspections]
    for order_id in dict.fromkeys((*waited, *names)):
        order = state.orders.get(order_id) or Order(order_id=order_id)
        others = {key: open_ for key, open_ in order.inspections.items() if key != cell}
        here = {cell: names[order_id]} if order_id in names else {}
        order = replace(order, inspections={**others, **here})
        state, more = settled(plant, state, order, event.at_ms, may_be_left=not here)
        drafts += more
    return state, drafts


def held(plant: Plant, state: LineOrders, event: HoldSaid) -> Change:
    """A quality hold of this line halts an order, or does no longer: people let it go on."""
    if event.of_line != state.line or not event.halts or event.order_id is None:
        return state, ()
    holds = {key: one for key, one in state.holds.items() if key != event.hold_id}
    if event.state == "held":
        holds[event.hold_id] = event.order_id
    state = replace(state, holds=dict(list(holds.items())[-HOLDS_MAX:]))
    order = state.orders.get(event.order_id)
    if order is None or event.state == "released" or not is_open(order):
        return state, ()
    order = replace(
        order,
        status=NEXT.get((order.status, "hold"), order.status),
        allowed=False if order.status == "waiting" else order.allowed,
        reason=f"{event.hold_id}: {event.reason}"[:REASON_LENGTH_MAX],
    )
    return settled(plant, state, order, event.at_ms)


def moved(state: LineOrders, event: OrderMoved) -> Change:
    """What was given away is an order of the other line now."""
    waiting = {key: one for key, one in state.transfers.items() if key != event.new_order_id}
    return replace(state, transfers=waiting), ()


def _cell_of(plant: Plant, line: str, path: str) -> str | None:
    return path.rpartition("/")[2] if cell_at(plant, line, path) else None


def _tallied(order: Order, cell: str, at_ms: int, change: Callable[[Tally], Tally]) -> Order:
    tally = change(order.cells.get(cell) or Tally(since_ms=at_ms))
    tally = replace(tally, since_ms=min(tally.since_ms, at_ms))
    started_ms = at_ms if order.started_ms is None else min(order.started_ms, at_ms)
    return replace(
        order,
        cells={**order.cells, cell: tally},
        started_ms=started_ms,
        status=after(order.status, "begun"),
    )


def settled(
    plant: Plant, state: LineOrders, order: Order, at_ms: int, *, may_be_left: bool = False
) -> Change:
    """Put the order into the state; if it ended, or this ends it, close it with its document.

    may_be_left: the fact may have taken it from the last of its operations.
    """
    order = _corrected(state, replace(order, at_ms=max(order.at_ms, at_ms)), at_ms)
    if fact := _end(routing(plant, state.line, order), order, may_be_left=may_be_left):
        order = replace(order, status=after(order.status, fact))
    drafts: tuple[Draft, ...] = ()
    if order.completed_ms is None and order.status in ENDED:
        order = replace(order, completed_ms=order.at_ms)
        document = order_document(plant, state.line, order, order.at_ms)
        body = {"order_id": order.order_id, "document": document}
        drafts = (Draft(state.line, OrderClosed.type_name, order.at_ms, body),)
    is_new = order.order_id not in state.orders
    orders = {**state.orders, order.order_id: order}
    return replace(state, orders=_bounded(orders) if drafts or is_new else orders), drafts


def _end(cells: tuple[str, ...], order: Order, *, may_be_left: bool) -> OrderFact | None:
    if not is_open(order):
        return None
    is_over = may_be_left and order.started_ms is not None and is_left(order, cells)
    fact = ending(order, cells) or ("left" if is_over else None)
    return None if fact != "given-away" and inspected(order, order.inspections) else fact


def _corrected(state: LineOrders, order: Order, at_ms: int) -> Order:
    """Of an ended order: whether the fact changed its pieces, then it is shown again."""
    if order.completed_ms is None or _same_pieces(order, state.orders[order.order_id]):
        return order
    return replace(
        order,
        corrections=order.corrections + 1,
        corrected_ms=max(at_ms, latest_ms(state)),
        cleared=False,
    )


def _same_pieces(order: Order, other: Order) -> bool:
    mine, theirs = (
        {name: (t.good, t.scrap, t.rework) for name, t in one.cells.items()}
        for one in (order, other)
    )
    return mine == theirs


def _bounded(orders: dict[str, Order]) -> dict[str, Order]:
    """Forget the oldest of the unreleased and of the ended orders that are over their bounds."""
    if len(orders) <= min(UNRELEASED_ORDERS_MAX, ENDED_ORDERS_MAX):
        return orders
    unreleased = [o.order_id for o in orders.values() if o.released_ms is None]
    ended = sorted(
        (o for o in orders.values() if o.completed_ms is not None),
        key=lambda o: (o.completed_ms or 0, o.order_id),
    )
    dropped = {o.order_id for o in ended[: max(0, len(ended) - ENDED_ORDERS_MAX)]}
    dropped |= set(unreleased[: max(0, len(unreleased) - UNRELEASED_ORDERS_MAX)])
    return {key: order for key, order in orders.items() if key not in dropped}
