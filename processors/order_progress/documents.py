"""The public documents of a line's orders: one an order, and one for pieces on their way out.

What stands for the line and its cells as a whole is lists.py.
"""

from collections.abc import Mapping
from typing import Any, Final

from processors.base import clock_text, fit, shown, topic_key, zone_of
from processors.order_progress.figures import (
    Totals,
    gate,
    in_front,
    may_start,
    routing,
    status,
    totals,
)
from processors.order_progress.forecast import Forecast, forecast, is_late, schedule
from processors.order_progress.state import LineOrders, Order, Tally, Transfer
from uns.fold import Document
from uns.model.order import ENDED, JOB_STATES, DispatchStatus
from uns.model.plant import Plant

SHOWN_AFTER_END_MS: Final = 60_000


def order_documents(plant: Plant, state: LineOrders, turn: str | None) -> Mapping[str, Document]:
    """One an order that is open or ended within the last minute, by topic; `turn`: whose it is."""
    documents = dict[str, Document]()
    for order in state.orders.values():
        key = topic_key(order.order_id)
        if key is not None and _is_listed(order, state.now_ms):
            topic = f"{state.line}/_state/order/{key}"
            documents[topic] = order_document(plant, state.line, order, state.now_ms, turn)
    return documents


def transfer_documents(state: LineOrders) -> Mapping[str, Document]:
    """What was given to other lines and waits to be released there, by topic."""
    return {
        f"{state.line}/_state/transfer/{topic_key(new_id)}": _transfer_document(new_id, transfer)
        for new_id, transfer in state.transfers.items()
    }


def order_document(
    plant: Plant, line: str, order: Order, now_ms: int, turn: str | None = None
) -> Document:
    """One order; times in ms since epoch, quantities in pieces.

    `at_ms` is the last fact about the order, or `now_ms` while it runs and its forecast moves.
    """
    cells = routing(plant, line, order)
    made, state = totals(order, cells), status(order, turn)
    expected = forecast(order, cells, now_ms)
    ending = _ending(order, state, expected, now_ms, zone_of(plant, line))
    progress = f"{made.good} of {order.quantity} good"
    document = {
        "summary": f"{shown(order.order_id)} {shown(order.item)} {progress}, {ending}",
        "order_id": order.order_id,
        "item": order.item,
        "quantity": order.quantity,
        "dispatch_status": state,
        "job_state": JOB_STATES[state],
        "reason": order.reason,
        **_figures(order, made),
        "due_ms": order.due_ms,
        "forecast_finish_ms": expected.finish_ms,
        "forecast_early_ms": expected.early_ms,
        "forecast_late_ms": expected.late_ms,
        "schedule": schedule(plant, line, order, expected, now_ms),
        "late": is_late(order, expected, now_ms),
        "flags": _flags(plant, line, order, cells),
        "priority": order.priority,
        "revision": order.revision,
        "split_from": order.split_from,
        "split_off": order.split_off,
        "released_ms": order.released_ms,
        "started_ms": order.started_ms,
        "completed_ms": order.completed_ms,
        "corrections": order.corrections,
        "operations": _operations(order, cells),
        "at_ms": now_ms if state == "running" else order.at_ms,
    }
    return fit(document, "operations")


def _transfer_document(new_id: str, transfer: Transfer) -> Document:
    to, pieces = transfer.to_line, transfer.quantity
    return {
        "summary": f"{pieces} of {shown(transfer.order_id)} go to {shown(to)} as {shown(new_id)}",
        "new_order_id": new_id,
        **transfer.model_dump(),
    }


def _flags(plant: Plant, line: str, order: Order, cells: tuple[str, ...]) -> list[str]:
    """What is unusual, and was taken all the same: counts and loads are facts."""
    flags = {
        "not-allowed-to-start": order.started_ms is not None and not may_start(plant, line, order),
        "out-of-order": any(gate(order, cells, cell) for cell in order.cells),
        "over-completed": 0 < order.quantity < totals(order, cells).good,
        "inspection-open": any(order.inspections.values()),
    }
    return [flag for flag, is_so in flags.items() if is_so]


def _is_listed(order: Order, now_ms: int) -> bool:
    if order.released_ms is None or order.cleared:
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


def _ending(order: Order, state: DispatchStatus, expected: Forecast, now_ms: int, zone: str) -> str:
    if order.completed_ms is not None:
        return f"{state} {clock_text(order.completed_ms, order.at_ms, zone)}"
    if state in ("held", "suspended"):
        return state
    if expected.finish_ms is not None:
        return f"finish {clock_text(expected.finish_ms, now_ms, zone)}"
    return "not started" if order.started_ms is None else "running"


def _operations(order: Order, cells: tuple[str, ...]) -> list[dict[str, Any]]:
    beside = [cell for cell in order.cells if cell not in cells]
    return [_operation(order, cells, cell) for cell in (*cells, *beside)]


def _operation(order: Order, cells: tuple[str, ...], cell: str) -> dict[str, Any]:
    tally = order.cells.get(cell)
    made = tally or Tally(since_ms=0)
    return {
        "cell": cell,
        "in_front": in_front(order, cells, cell),
        "started": made.good + made.scrap,
        "good": made.good,
        "scrap": made.scrap,
        "rework": made.rework,
        "status": _operation_status(order, tally),
        "gate": gate(order, cells, cell) if tally else None,
    }


def _operation_status(order: Order, tally: Tally | None) -> DispatchStatus:
    if order.status in ENDED:
        return order.status
    if tally is None:
        return "waiting"
    gone = tally.was_loaded and not tally.loaded
    return "completed" if gone or tally.good >= order.quantity else "running"
