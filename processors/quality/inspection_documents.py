"""The public document of a cell's inspections: what is open, and how the last ones ended."""

from typing import Any

from processors.base import DOCUMENT_BYTES_MAX, fit, shown
from processors.quality.inspections import Here, standing
from processors.quality.state import CellInspections, Inspection
from uns.codec import encode_document
from uns.fold import Document


def inspections_document(here: Here, state: CellInspections) -> Document:
    """One cell: what is open, and `gates`, the orders that wait, each with what it waits for.

    discontinued: nothing is recorded before somebody has resumed the series of lots.
    """
    gates = _gates(here, state)
    document: Document = {
        "summary": _summary(state),
        "open": [_open(here, state, one) for one in state.open.values()],
        "gates": gates,
        "ended": [one.model_dump() for one in reversed(state.ended)],
        "opened": state.opened,
        "missed": state.missed,
        "set_up": {"item": state.item, "revision": state.revision},
        "at_ms": state.at_ms,
    }
    return _within_bound({**fit(document, "open"), "gates": gates})


def _within_bound(document: Document) -> Document:
    """With fewer gates, if ids are so long that they do not fit; how many are left out is said.

    A shortened id would be another order's: it is whole here, or it is not here.
    """
    gates = document["gates"]
    kept = len(gates)
    while kept and len(encode_document(document)) > DOCUMENT_BYTES_MAX:
        kept -= 1
        document = {**document, "gates": gates[:kept], "gates_omitted": len(gates) - kept}
    return document


def _gates(here: Here, state: CellInspections) -> list[dict[str, Any]]:
    """By order, the plans that it waits for."""
    gates: dict[str, dict[str, None]] = {}
    for one in state.open.values():
        plan = here.plan_of(one)
        for order_id in (one.order_id, *one.also):
            if plan is not None and plan.gate and order_id is not None:
                gates.setdefault(order_id, {})[one.name] = None
    return [{"order_id": key, "inspections": list(names)} for key, names in gates.items()]


def _open(here: Here, state: CellInspections, inspection: Inspection) -> dict[str, Any]:
    plan = here.plan_of(inspection)
    series = standing(state, inspection.item, inspection.name)
    return {
        **inspection.model_dump(mode="json", exclude={"also"}),
        "gate": plan is not None and plan.gate,
        "gauge": plan.gauge if plan else None,
        "discontinued": series.discontinued,
    }


def _summary(state: CellInspections) -> str:
    if not state.open:
        last = state.ended[-1] if state.ended else None
        return f"none open; {last.name} {last.verdict}" if last else "none open"
    first = next(iter(state.open.values()))
    of = shown(first.lot or first.order_id)
    told = f"{first.name} of {of}: {first.inspected} of {first.size} inspected"
    more = len(state.open) - 1
    return f"{told}; {more} more open" if more else told
