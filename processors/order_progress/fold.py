"""How facts change a line's orders: released, loaded, counted; and the one fact given back.

Rules: counts go to the order the event names, also after completion and also before its release
(kept for UNRELEASED_ORDERS_MAX orders, the oldest is forgotten first). `order-closed` is given
once, when the order completes: at the latest stamp of its facts, the one that completes it may be
late. What changes it later is a correction. Only facts drop orders: time alone changes nothing but
`now_ms`.
"""

from collections.abc import Callable

from processors.base import cell_at, replace
from processors.order_progress.documents import order_document
from processors.order_progress.figures import is_complete, is_open, routing
from processors.order_progress.state import (
    ENDED_ORDERS_MAX,
    OPEN_ORDERS_MAX,
    UNRELEASED_ORDERS_MAX,
    LineOrders,
    Order,
    Tally,
)
from uns.fold import Draft
from uns.model.events import Counted, Event, Loaded, OrderClosed, Released
from uns.model.plant import Plant

Change = tuple[LineOrders, tuple[Draft, ...]]


def stamp(plant: Plant, state: LineOrders, event: Event) -> int:
    """When a fact was: of a clock that was lost, the latest time that the line's orders know."""
    if plant.calendar_of(state.line).covers(event.at_ms):
        return event.at_ms
    return _latest_ms(state)


def _latest_ms(state: LineOrders) -> int:
    return max((order.at_ms for order in state.orders.values()), default=0)


def released(plant: Plant, state: LineOrders, event: Released) -> Change:
    """Take a new order or a higher revision of an open one; anything else changes nothing."""
    known = state.orders.get(event.order_id)
    if known is not None and known.released_ms is not None:
        if known.completed_ms is not None or event.revision <= known.revision:
            return state, ()
    elif sum(map(is_open, state.orders.values())) >= OPEN_ORDERS_MAX:
        return replace(state, refused=state.refused + 1), ()
    order = replace(
        known or Order(order_id=event.order_id),
        item=event.item,
        quantity=event.quantity,
        due_ms=event.due_ms,
        priority=event.priority,
        revision=event.revision,
        content_hash=event.content_hash,
        released_ms=known.released_ms if known and known.released_ms is not None else event.at_ms,
    )
    return _settle(plant, state, order, event.at_ms)


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
        state, drafts = _settle(plant, state, left, event.at_ms)
    if event.order_id is None:
        return replace(state, loaded=others), drafts
    order = state.orders.get(event.order_id) or Order(order_id=event.order_id, item=event.item)
    taken = _tallied(order, cell, event.at_ms, lambda t: replace(t, loaded=True, was_loaded=True))
    state, more = _settle(plant, state, taken, event.at_ms)
    return replace(state, loaded={**others, cell: event.order_id}), (*drafts, *more)


def counted(plant: Plant, state: LineOrders, event: Counted) -> Change:
    """Add the pieces to the cell's tally of the order they were counted for."""
    cell = _cell_of(plant, state.line, event.path)
    if cell is None or event.order_id is None:
        return state, ()
    order = state.orders.get(event.order_id) or Order(order_id=event.order_id, item=event.item)

    def add(tally: Tally) -> Tally:
        return replace(
            tally,
            good=tally.good + event.good,
            scrap=tally.scrap + event.scrap,
            rework=tally.rework + event.rework,
        )

    return _settle(plant, state, _tallied(order, cell, event.at_ms, add), event.at_ms)


def _cell_of(plant: Plant, line: str, path: str) -> str | None:
    return path.rpartition("/")[2] if cell_at(plant, line, path) else None


def _tallied(order: Order, cell: str, at_ms: int, change: Callable[[Tally], Tally]) -> Order:
    tally = change(order.cells.get(cell) or Tally(since_ms=at_ms))
    tally = replace(tally, since_ms=min(tally.since_ms, at_ms))
    started_ms = at_ms if order.started_ms is None else min(order.started_ms, at_ms)
    return replace(order, cells={**order.cells, cell: tally}, started_ms=started_ms)


def _settle(plant: Plant, state: LineOrders, order: Order, at_ms: int) -> Change:
    """Put the order into the state; if that completes it, close it with its final document."""
    order = replace(order, at_ms=max(order.at_ms, at_ms))
    drafts: tuple[Draft, ...] = ()
    if order.completed_ms is not None and not _same_pieces(order, state.orders[order.order_id]):
        corrected_ms = max(at_ms, _latest_ms(state))
        order = replace(order, corrections=order.corrections + 1, corrected_ms=corrected_ms)
    if order.completed_ms is None and is_complete(order, routing(plant, state.line, order)):
        order = replace(order, completed_ms=order.at_ms)
        document = order_document(plant, state.line, order, order.at_ms)
        body = {"order_id": order.order_id, "document": document}
        drafts = (Draft(state.line, OrderClosed.type_name, order.at_ms, body),)
    is_new = order.order_id not in state.orders
    orders = {**state.orders, order.order_id: order}
    return replace(state, orders=_bounded(orders) if drafts or is_new else orders), drafts


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
