"""The public documents of a line's orders: one an order, and the queue."""

from collections.abc import Mapping
from typing import Any, Final

from processors.base import clock_text, fit, shown, topic_key, zone_of
from processors.order_progress.figures import (
    Totals,
    forecast_finish_ms,
    is_late,
    is_open,
    rank,
    routing,
    status,
    totals,
)
from processors.order_progress.state import LineOrders, Order, Tally
from uns.fold import Document
from uns.model.order import DispatchStatus
from uns.model.plant import Plant

SHOWN_AFTER_END_MS: Final = 60_000
QUEUE_LENGTH_MAX: Final = 40


def line_documents(plant: Plant, state: LineOrders) -> Mapping[str, Document]:
    """Every document of a line by topic; a completed order is listed for another minute."""
    if not state.now_ms:
        return {}
    queue = sorted((o for o in state.orders.values() if is_open(o)), key=rank)
    next_up = next((o.order_id for o in queue if o.started_ms is None), None)
    documents = {f"{state.line}/_state/queue/orders": _queue_document(state, queue, next_up)}
    for order in state.orders.values():
        key = topic_key(order.order_id)
        if key is not None and _is_listed(order, state.now_ms):
            documents[f"{state.line}/_state/order/{key}"] = order_document(
                plant, state.line, order, state.now_ms, next_up=order.order_id == next_up
            )
    return documents


def order_document(
    plant: Plant, line: str, order: Order, now_ms: int, *, next_up: bool = False
) -> Document:
    """One order; times in ms since epoch, quantities in pieces.

    `at_ms` is the last fact about the order, or `now_ms` while it runs and its forecast moves.
    """
    cells = routing(plant, line, order)
    made = totals(order, cells)
    forecast_ms = forecast_finish_ms(order, cells, now_ms)
    state = status(order, next_up=next_up)
    ending = _ending(order, forecast_ms, now_ms, zone_of(plant, line))
    progress = f"{made.good} of {order.quantity} good"
    document = {
        "summary": f"{shown(order.order_id)} {shown(order.item)} {progress}, {ending}",
        "order_id": order.order_id,
        "item": order.item,
        "quantity": order.quantity,
        "dispatch_status": state,
        **_figures(order, made),
        "due_ms": order.due_ms,
        "forecast_finish_ms": forecast_ms,
        "late": is_late(order, forecast_ms, now_ms),
        "priority": order.priority,
        "revision": order.revision,
        "released_ms": order.released_ms,
        "started_ms": order.started_ms,
        "completed_ms": order.completed_ms,
        "corrections": order.corrections,
        "operations": _operations(order, cells),
        "at_ms": now_ms if state == "running" else order.at_ms,
    }
    return fit(document, "operations")


def _is_listed(order: Order, now_ms: int) -> bool:
    if order.released_ms is None:
        return False
    if order.completed_ms is None:
        return True
    return now_ms < max(order.completed_ms, order.corrected_ms) + SHOWN_AFTER_END_MS


def _figures(order: Order, made: Totals) -> dict[str, int]:
    return {
        "started": made.started,
        "in_process": made.in_process,
        "good": made.good,
        "scrap": made.scrap,
        "rework": made.rework,
        "remaining": max(0, order.quantity - made.good),
    }


def _ending(order: Order, forecast_ms: int | None, now_ms: int, zone: str) -> str:
    if order.completed_ms is not None:
        return f"completed {clock_text(order.completed_ms, order.at_ms, zone)}"
    if forecast_ms is not None:
        return f"finish {clock_text(forecast_ms, now_ms, zone)}"
    return "not started" if order.started_ms is None else "running"


def _operations(order: Order, cells: tuple[str, ...]) -> list[dict[str, Any]]:
    beside = [cell for cell in order.cells if cell not in cells]
    return [_operation(order, cell, order.cells.get(cell)) for cell in (*cells, *beside)]


def _operation(order: Order, cell: str, tally: Tally | None) -> dict[str, Any]:
    made = tally or Tally(since_ms=0)
    return {
        "cell": cell,
        "started": made.good + made.scrap,
        "good": made.good,
        "scrap": made.scrap,
        "rework": made.rework,
        "status": _operation_status(order, tally),
    }


def _operation_status(order: Order, tally: Tally | None) -> DispatchStatus:
    if order.completed_ms is not None:
        return "completed"
    if tally is None:
        return "waiting"
    gone = tally.was_loaded and not tally.loaded
    return "completed" if gone or tally.good >= order.quantity else "running"


def _queue_document(state: LineOrders, queue: list[Order], next_up: str | None) -> Document:
    running = sum(order.started_ms is not None for order in queue)
    refused = f", {state.refused} releases not taken: queue full" if state.refused else ""
    document = {
        "summary": f"{len(queue)} orders, {running} running, next {shown(next_up)}{refused}",
        "orders": [_queued(order, next_up) for order in queue[:QUEUE_LENGTH_MAX]],
        "open": len(queue),
        "running": running,
        "refused": state.refused,
        "at_ms": max((order.at_ms for order in state.orders.values()), default=0),
    }
    if len(queue) > QUEUE_LENGTH_MAX:
        document["omitted"] = len(queue) - QUEUE_LENGTH_MAX
    return fit(document, "orders")


def _queued(order: Order, next_up: str | None) -> dict[str, Any]:
    return {
        "order_id": order.order_id,
        "item": order.item,
        "quantity": order.quantity,
        "due_ms": order.due_ms,
        "priority": order.priority,
        "dispatch_status": status(order, next_up=order.order_id == next_up),
    }
