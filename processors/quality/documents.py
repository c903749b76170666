"""The public document of a cell's quality: the last verdict with its limits, and counts."""

from typing import Any, Final

from processors.base import fit, shown
from processors.quality.state import CellQuality, Judgement, Sample, Tally
from uns.fold import Document

CHARACTERISTICS_MAX: Final = 16
FAILED_MAX: Final = 8


def cell_document(cell: CellQuality, last: Sample) -> Document:
    """One cell; characteristics that failed come first, `first_pass_yield` is a fraction."""
    worst_first = sorted(last.characteristics, key=lambda one: one.verdict != "fail")
    total = cell.total
    document: Document = {
        "summary": _summary(cell, last, worst_first),
        "verdict": last.verdict,
        "sample_id": last.sample_id,
        "characteristics": [one.model_dump() for one in worst_first[:CHARACTERISTICS_MAX]],
        "specification": last.specification,
        "unit_id": last.unit_id,
        "lot": last.lot,
        "item": last.item,
        "order_id": last.order_id,
        "first_pass_yield": total.first_pass / total.decided if total.decided else None,
        "current": {"order_id": cell.order_id, "item": cell.item, **_counts(cell.current)},
        "total": _counts(total),
        "last_fail": _last_fail(cell.last_fail),
        "at_ms": last.at_ms,
    }
    if len(worst_first) > CHARACTERISTICS_MAX:
        document["omitted"] = len(worst_first) - CHARACTERISTICS_MAX
    return fit(document, "characteristics")


def _counts(tally: Tally) -> dict[str, int]:
    return {"pass": tally.passed, "fail": tally.failed, "pending": tally.pending}


def _summary(cell: CellQuality, last: Sample, judgements: list[Judgement]) -> str:
    if last.specification is None:
        why = f"no specification for item {shown(last.item)}"
    else:
        why = worded(next((o for o in judgements if o.verdict == last.verdict), judgements[0]))
    decided = cell.current.passed + cell.current.failed
    return f"{last.verdict}: {why}; {cell.current.passed} of {decided} passed"


def worded(one: Judgement) -> str:
    """A value and its limits, for people."""
    value = "not measured yet" if one.value is None else f"{one.value:g}"
    lower = "" if one.lower is None else f"{one.lower:g}"
    upper = "" if one.upper is None else f"{one.upper:g}"
    return f"{one.name} {value} in {lower}..{upper} {one.unit}"


def _last_fail(sample: Sample | None) -> dict[str, Any] | None:
    if sample is None:
        return None
    failed = [one for one in sample.characteristics if one.verdict == "fail"]
    return {
        "sample_id": sample.sample_id,
        "order_id": sample.order_id,
        "failed": [{"name": o.name, "value": o.value} for o in failed[:FAILED_MAX]],
        "at_ms": sample.at_ms,
    }
