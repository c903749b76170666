"""The public document of a hold: what is held, why, since when, and who released it."""

from processors.base import fit, shown
from processors.quality.state import Hold
from uns.fold import Document


def hold_document(hold: Hold) -> Document:
    """One hold; `values` are those that failed, with their limits."""
    what = shown(hold.lot or hold.unit_id or hold.order_id)
    is_over = hold.released_ms is not None
    how = f"released by {hold.actor}" if is_over else "on hold"
    document: Document = {
        "summary": f"{what} {how}: {shown(hold.reason)}",
        "state": "released" if is_over else "held",
        "hold_id": hold.hold_id,
        "lot": hold.lot,
        "unit_id": hold.unit_id,
        "item": hold.item,
        "order_id": hold.order_id,
        "halts": hold.halts,
        "reason": hold.reason,
        "actor": hold.actor,
        "role": hold.role,
        "fails": hold.fails,
        "sample_id": hold.sample_id,
        "specification": hold.specification,
        "cause_id": hold.cause_id,
        "values": [one.model_dump(mode="json") for one in hold.values],
        "opened_ms": hold.opened_ms,
        "released_ms": hold.released_ms,
        "at_ms": hold.opened_ms if hold.released_ms is None else hold.released_ms,
    }
    return fit(document, "values")
