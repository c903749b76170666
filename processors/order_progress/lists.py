"""The documents of a line as a whole: its queue, what each cell may take next, work in process."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final, NamedTuple

from processors.base import fit, shown
from processors.order_progress.documents import order_documents, transfer_documents
from processors.order_progress.figures import (
    gate,
    in_front,
    is_open,
    may_start,
    next_up,
    rank,
    routing,
    status,
)
from processors.order_progress.fold import latest_ms
from processors.order_progress.state import LineOrders, Order, Tally
from uns.fold import Document
from uns.model.plant import Plant

QUEUE_LENGTH_MAX: Final = 40
DISPATCH_LENGTH_MAX: Final = 12
NOTHING: Final = Tally(since_ms=0)


class _Line(NamedTuple):
    """A line's open orders by rank, each with its operations, and whose turn it is."""

    plant: Plant
    state: LineOrders
    queue: tuple[tuple[Order, tuple[str, ...]], ...]
    turn: str | None


def line_documents(plant: Plant, state: LineOrders) -> Mapping[str, Document]:
    """Every document of a line by topic; an ended order is listed for another minute."""
    if not state.now_ms:
        return {}
    queue = sorted((o for o in state.orders.values() if is_open(o)), key=rank)
    routed = tuple((order, routing(plant, state.line, order)) for order in queue)
    line = _Line(plant, state, routed, next_up(plant, state))
    cells = [place.path for place in plant.lines.get(state.line, ())]
    return {
        f"{state.line}/_state/queue/orders": _queue_document(line),
        f"{state.line}/_state/wip": _wip_document(line, cells),
        **{f"{cell}/_state/dispatch": _dispatch_document(line, cell) for cell in cells},
        **order_documents(plant, state, line.turn),
        **transfer_documents(state),
    }


def _queue_document(line: _Line) -> Document:
    orders, refused = [order for order, _ in line.queue], line.state.refused
    running = sum(order.started_ms is not None for order in orders)
    not_taken = f", {refused} releases not taken: queue full" if refused else ""
    document = {
        "summary": f"{len(orders)} orders, {running} running, next {shown(line.turn)}{not_taken}",
        "orders": [_queued(order, line.turn) for order in orders[:QUEUE_LENGTH_MAX]],
        "open": len(orders),
        "running": running,
        "refused": refused,
        "at_ms": line.state.listed_ms,
    }
    return _fit(document, len(orders) - QUEUE_LENGTH_MAX)


def _queued(order: Order, turn: str | None) -> dict[str, Any]:
    return {
        "order_id": order.order_id,
        "item": order.item,
        "quantity": order.quantity,
        "due_ms": order.due_ms,
        "priority": order.priority,
        "dispatch_status": status(order, turn),
    }


def _dispatch_document(line: _Line, path: str) -> Document:
    """What a cell has and may take next, the next one first."""
    cell = path.rpartition("/")[2]
    loaded = line.state.orders.get(line.state.loaded.get(cell, ""))
    family = family_of(line.plant, loaded)
    waiting = list(_to_do(line, cell, family))
    rows = [row for _, row in sorted(waiting, key=lambda pair: pair[0])]
    ahead = [row["order_id"] for row in rows if not row["loaded"] and row["gate"] is None]
    document = {
        "summary": f"next {shown(next(iter(ahead), None))}, {len(rows)} orders to do",
        "orders": rows[:DISPATCH_LENGTH_MAX],
        "loaded": loaded.order_id if loaded else None,
        "family": family,
        "at_ms": line.state.listed_ms,
    }
    return _fit(document, len(rows) - DISPATCH_LENGTH_MAX)


def _to_do(
    line: _Line, cell: str, family: str | None
) -> Iterator[tuple[tuple[Any, ...], dict[str, Any]]]:
    """The orders that still have something to do at a cell, each with its place in the list.

    The loaded one stands first; then what counts is priority, within one priority the family of
    what is loaded, then due date and release.
    """
    for place, (order, cells) in enumerate(line.queue):
        if cell not in cells or order.cells.get(cell, NOTHING).good >= order.quantity:
            continue
        own = family_of(line.plant, order)
        needs_set_up = family is not None and own != family
        is_loaded = line.state.loaded.get(cell) == order.order_id
        row = {
            "order_id": order.order_id,
            "item": order.item,
            "family": own,
            "dispatch_status": status(order, line.turn),
            "loaded": is_loaded,
            "set_up": needs_set_up and not is_loaded,
            "quantity": order.quantity,
            "gate": _obstacle(line, order, cells, cell),
            "due_ms": order.due_ms,
            "priority": order.priority,
        }
        yield (not is_loaded, -order.priority, needs_set_up, place), row


def _obstacle(line: _Line, order: Order, cells: tuple[str, ...], cell: str) -> str | None:
    if order.status in ("held", "suspended"):
        return f"order is {order.status}"
    if order.started_ms is None and not may_start(line.plant, line.state.line, order):
        return "not told to start"
    return gate(order, cells, cell)


def family_of(plant: Plant, order: Order | None) -> str | None:
    """The set-up family of an order's item: without one, the item is its own."""
    if order is None or order.item is None:
        return None
    item = plant.items.get(order.item)
    return (item.family if item else None) or order.item


def _wip_document(line: _Line, paths: Iterable[str]) -> Document:
    """Pieces in front of each cell, of all open orders: in less out less scrap."""
    cells = [path.rpartition("/")[2] for path in paths]
    rows = [_wip_row(line, cell) for cell in cells]
    document = {
        "summary": f"{sum(row['pieces'] for row in rows)} pieces in process",
        "operations": rows,
        "at_ms": latest_ms(line.state),
    }
    return fit(document, "operations")


def _wip_row(line: _Line, cell: str) -> dict[str, Any]:
    pieces = [in_front(order, cells, cell) for order, cells in line.queue]
    return {"cell": cell, "pieces": sum(pieces), "orders": sum(map(bool, pieces))}


def _fit(document: Document, omitted: int) -> Document:
    return fit({**document, "omitted": omitted} if omitted > 0 else document, "orders")
