"""The public document of a cell's genealogy: what is going in, what came out, the last edges."""

from typing import Any

from processors.base import fit, shown
from processors.genealogy.state import MILLIONTHS, CellGenealogy, Pending
from uns.fold import Document


def cell_document(cell: CellGenealogy) -> Document:
    """One cell; `quantity` is what pends of a lot, in its unit (0: all of it is in the output)."""
    lots = {p.lot: p for p in cell.pending}
    inputs = [_input(p, p.millionths) for p in cell.pending]
    inputs += [_input(p, 0) for p in cell.fed if p.lot not in lots]
    document = {
        "summary": _summary(cell, inputs),
        "inputs": inputs,
        "output": cell.output.model_dump() if cell.output else None,
        "totals": {
            "consumed": cell.consumptions,
            "produced": cell.productions,
            "edges": cell.edges_total,
            "unattributed": cell.unattributed / MILLIONTHS,
        },
        "edges": [pair.model_dump() for pair in reversed(cell.edges)],
        "at_ms": cell.at_ms,
    }
    return fit(fit(document, "inputs"), "edges")


def _input(pending: Pending, millionths: int) -> dict[str, Any]:
    return {
        "lot": pending.lot,
        "item": pending.item,
        "quantity": millionths / MILLIONTHS,
        "unit": pending.unit,
    }


def _summary(cell: CellGenealogy, inputs: list[dict[str, Any]]) -> str:
    lots = ", ".join(shown(one["lot"]) for one in inputs[:3]) or "-"
    more = f" and {len(inputs) - 3} more" if len(inputs) > 3 else ""  # noqa: PLR2004 - as above
    out = cell.output
    made = f"{shown(out.unit_id or out.lot)} ({shown(out.order_id)})" if out else "nothing yet"
    return f"{lots}{more} -> {made}"
