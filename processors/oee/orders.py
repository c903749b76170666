"""What each order came to at what its line goes by, while it is loaded there and a while after."""

from collections.abc import Iterable

from processors.base import replace
from processors.oee.account import Booked
from processors.oee.state import ORDERS_MAX, CellTime, OrderSums

Orders = dict[str, OrderSums]


def booked(orders: Orders, pieces: Iterable[Booked]) -> Orders:
    """The orders with closed pieces added; one that was never loaded counts as unloaded."""
    out = dict(orders)
    for piece in pieces:
        before = out.get(piece.order_id) or OrderSums(item=piece.item, unloaded_ms=piece.end_ms)
        unloaded_ms = before.unloaded_ms
        if unloaded_ms is not None:
            unloaded_ms = max(unloaded_ms, piece.end_ms)
        out[piece.order_id] = replace(before.plus(piece.sums), unloaded_ms=unloaded_ms)
    return _bounded(out)


def loaded(orders: Orders, order_id: str | None, item: str | None, at_ms: int) -> Orders:
    """The cell took up an order: every other one is unloaded."""
    out = {
        key: order if order.unloaded_ms is not None else replace(order, unloaded_ms=at_ms)
        for key, order in orders.items()
        if key != order_id
    }
    if order_id is not None:
        mine = orders.get(order_id) or OrderSums(item=item)
        out[order_id] = replace(mine, item=item or mine.item, unloaded_ms=None, settled_ms=None)
    return _bounded(out)


def settled(orders: Orders, neck: CellTime, final_ms: int, at_ms: int) -> Orders:
    """The orders; final are those unloaded by `final_ms`, but for time that waits for its stop."""
    waiting = {one.piece.order_id for one in neck.undecided}
    ended = {
        key: replace(order, settled_ms=at_ms)
        for key, order in orders.items()
        if order.settled_ms is None
        and order.unloaded_ms is not None
        and order.unloaded_ms <= final_ms
        and key not in waiting
    }
    return {**orders, **ended} if ended else orders


def corrected(orders: Orders, before: Orders, at_ms: int) -> Orders:
    """The orders, with a correction more for each that was final and has other sums now."""
    return {
        key: replace(order, corrections=order.corrections + 1, settled_ms=at_ms)
        if order.settled_ms is not None and before[key].sums != order.sums
        else order
        for key, order in orders.items()
    }


def _bounded(orders: Orders) -> Orders:
    """Forget the oldest orders beyond ORDERS_MAX, but not the one that is loaded."""
    gone = [key for key, order in orders.items() if order.unloaded_ms is not None]
    for key in gone[: max(0, len(orders) - ORDERS_MAX)]:
        del orders[key]
    return orders
