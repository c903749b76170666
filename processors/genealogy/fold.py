"""How consumption and production become edges.

Rules: a consumed quantity pends at its cell, by lot and unit of measure. What comes out takes all
that pends there: one edge an input lot. A unit also goes into its lot, with one edge of 1 pcs.
Sum of edge quantities + pending + unattributed = sum consumed, always and exactly. A lot that
goes back into itself (rework) gives an edge onto itself: cycles are the readers' to guard.
"""

from processors.base import replace
from processors.genealogy.state import (
    EDGES_SHOWN,
    MILLIONTHS,
    PENDING_LOTS_MAX,
    CellGenealogy,
    Output,
    Pair,
    Pending,
)
from uns.fold import Draft
from uns.model.events import Consumed, Edge, Produced


def consumed(cell: CellGenealogy, event: Consumed) -> CellGenealogy:
    """Add to what pends; the oldest lot gives way when too many pend."""
    same = (event.lot, event.unit)
    before = next((p.millionths for p in cell.pending if (p.lot, p.unit) == same), 0)
    others = [p for p in cell.pending if (p.lot, p.unit) != same]
    mine = Pending(
        lot=event.lot,
        item=event.item,
        millionths=before + round(event.quantity * MILLIONTHS),
        unit=event.unit,
        at_ms=event.at_ms,
    )
    pending = (*others, mine)
    over = pending[: max(0, len(pending) - PENDING_LOTS_MAX)]
    return replace(
        cell,
        pending=pending[len(over) :],
        unattributed=cell.unattributed + sum(p.millionths for p in over),
        consumptions=cell.consumptions + 1,
        at_ms=max(cell.at_ms, event.at_ms),
    )


def produced(cell: CellGenealogy, event: Produced) -> tuple[CellGenealogy, tuple[Draft, ...]]:
    """Everything that pends goes into the output."""
    output_id = event.unit_id or event.lot
    drafts = [
        _edge(event, p.lot, output_id, p.millionths / MILLIONTHS, p.unit)
        for p in cell.pending
        if p.millionths
    ]
    if event.unit_id is not None and event.unit_id != event.lot:
        drafts.append(_edge(event, event.unit_id, event.lot, 1.0, "pcs"))
    pairs = tuple(Pair(input_id=d.body["input_id"], output_id=d.body["output_id"]) for d in drafts)
    cell = replace(
        cell,
        pending=(),
        fed=cell.pending or cell.fed,
        output=Output(
            lot=event.lot, unit_id=event.unit_id, item=event.item, order_id=event.order_id
        ),
        edges=(*cell.edges, *pairs)[-EDGES_SHOWN:],
        productions=cell.productions + 1,
        edges_total=cell.edges_total + len(drafts),
        at_ms=max(cell.at_ms, event.at_ms),
    )
    return cell, tuple(drafts)


def _edge(event: Produced, input_id: str, output_id: str, quantity: float, unit: str) -> Draft:
    body = {
        "input_id": input_id,
        "output_id": output_id,
        "quantity": quantity,
        "unit": unit,
        "order_id": event.order_id,
    }
    return Draft(event.path, Edge.type_name, event.at_ms, body)
