"""What becomes of an inspection: samples and records count, until it passes or fails.

Rules: a piece counts once, when it is first decided. An inspection fails as soon as too many are
nonconforming, and passes when all its pieces are inspected. A first article that fails is followed
by another one, until one passes. What people ask for is answered with a `reply`.
"""

from collections.abc import Callable
from typing import Final, NamedTuple

from processors.base import replace, topic_key
from processors.quality.fold import Measured
from processors.quality.fold import inspected as judged
from processors.quality.inspections import Here, Subject, Turn, opened, said_of, standing
from processors.quality.judge import overall
from processors.quality.state import (
    ENDED_MAX,
    CellQuality,
    EndedInspection,
    Inspection,
    Sample,
)
from uns.fold import Draft
from uns.model.checks import did_you_mean
from uns.model.events import Defect, InspectionClosed, InspectionCommanded, Reply, Verdict
from uns.model.inspection import DEFECTS_MAX, InspectionCommand, InspectionPlan
from uns.model.sampling.switching import TIGHTENED, Lot, after


class Found(NamedTuple):
    """What was found on some pieces, and by whom."""

    pieces: int
    nonconforming: int
    defects: tuple[Defect, ...] = ()
    operator: str | None = None


class Refused(NamedTuple):
    """Why not, in words for an operator."""

    said: str


class Done(NamedTuple):
    """The cell afterwards, what is to be said, and the words for it."""

    said: str
    cell: CellQuality
    drafts: tuple[Draft, ...]


class Asked(NamedTuple):
    """A command about an open inspection; `plan`: None where namespace.yaml no longer has it."""

    here: Here
    cell: CellQuality
    inspection: Inspection
    plan: InspectionPlan | None
    event: InspectionCommanded


def sampled(here: Here, turn: Turn, before: Sample | None, sample: Sample) -> Turn:
    """Count a sample that the cell told, in each inspection that it is for."""
    for inspection in turn.state.open.values():
        plan = here.plan_of(inspection)
        if plan is None or plan.by_hand or not _is_for(inspection, sample):
            continue
        verdict = _decided(plan, sample)
        if verdict != "pending" and _decided(plan, before) == "pending":
            turn = _counted(here, turn, inspection, Found(1, int(verdict == "fail")))
    return turn


def commanded(
    here: Here, cell: CellQuality, event: InspectionCommanded
) -> tuple[CellQuality, tuple[Draft, ...]]:
    """Follow a command or refuse it, and say which."""
    outcome, drafts = _judged(here, cell, event), tuple[Draft, ...]()
    if isinstance(outcome, Done):
        cell, drafts = outcome.cell, outcome.drafts
    key = topic_key(event.request_id)
    body = {
        "request_id": event.request_id,
        "outcome": "accepted" if isinstance(outcome, Done) else "refused",
        "reason": outcome.said,
    }
    reply = (Draft(here.path, Reply.type_name, event.at_ms, body, key),) if key else ()
    return cell, (*drafts, *reply)


def _is_for(inspection: Inspection, sample: Sample) -> bool:
    """Of the lot; without one, of the item and measured since, whatever the order."""
    if inspection.lot is not None:
        return inspection.lot == sample.lot
    return inspection.item == sample.item and sample.at_ms >= inspection.opened_ms


def _decided(plan: InspectionPlan, sample: Sample | None) -> Verdict:
    """The verdict on the characteristics of a plan."""
    known = sample.characteristics if sample else ()
    return overall(o for o in known if not plan.characteristics or o.name in plan.characteristics)


def _judged(here: Here, cell: CellQuality, event: InspectionCommanded) -> Refused | Done:
    is_open = cell.inspections.open
    inspection = is_open.get(event.inspection_id)
    if inspection is None:
        hint = did_you_mean(event.inspection_id, is_open)
        return Refused(f"no inspection {event.inspection_id} is open here{hint}")
    plan = here.plan_of(inspection)
    return _DO[event.command](Asked(here, cell, inspection, plan, event))


def _recorded(asked: Asked) -> Refused | Done:
    event, plan, inspection = asked.event, asked.plan, asked.inspection
    if plan is None:
        return Refused(f"namespace.yaml no longer has the plan {inspection.name}: cancel it")
    if standing(asked.cell.inspections, inspection.item, inspection.name).discontinued:
        return Refused(f"lots of {inspection.item} are not accepted any more: resume first")
    if (event.values is None) == (event.nonconforming is None):
        return Refused("give the values of one piece, or how many are nonconforming")
    unknown = [o.code for o in event.defects if plan.defects and o.code not in plan.defects]
    if unknown:
        return Refused(f"no defect {unknown[0]!r}{did_you_mean(unknown[0], plan.defects)}")
    return _measured(asked, plan) if event.values is not None else _tallied(asked)


def _measured(asked: Asked, plan: InspectionPlan) -> Refused | Done:
    """One piece, by its values; they are a sample like any other."""
    here, inspection, event = asked.here, asked.inspection, asked.event
    specification, values = here.specification(inspection.item), event.values or {}
    wanted = plan.characteristics or tuple(specification.characteristics if specification else ())
    if why := _misfit(wanted, values, event.inspected):
        return Refused(why)
    measured = Measured(
        path=here.path,
        at_ms=here.at_ms,
        sample_id=f"{inspection.inspection_id}.{inspection.inspected + 1}",
        values=values,
        item=inspection.item,
        order_id=inspection.order_id,
        lot=inspection.lot,
        unit_id=event.unit_id,
        only=wanted,
        gauge=event.gauge or plan.gauge,
        operator=event.actor,
        inspection_id=inspection.inspection_id,
    )
    cell, verdict = judged(here.plant, asked.cell, measured)
    bad = int(cell.samples[measured.sample_id].verdict == "fail")
    found = Found(1, bad, event.defects, event.actor)
    return _done(asked._replace(cell=cell), found, (verdict,))


def _misfit(wanted: tuple[str, ...], values: dict[str, float], pieces: int | None) -> str | None:
    if foreign := [name for name in values if name not in wanted]:
        return f"no characteristic {foreign[0]!r} is inspected{did_you_mean(foreign[0], wanted)}"
    if missing := [name for name in wanted if name not in values]:
        return f"needs {', '.join(missing)} too"
    return "values are of one piece" if pieces not in (None, 1) else None


def _tallied(asked: Asked) -> Refused | Done:
    """Some pieces, by how many are nonconforming."""
    event, inspection = asked.event, asked.inspection
    pieces, bad = event.inspected or 1, event.nonconforming or 0
    left = inspection.size - inspection.inspected
    if bad > pieces:
        return Refused(f"{bad} of {pieces} cannot be nonconforming")
    if pieces > left:
        return Refused(f"{left} of {inspection.size} pieces are left to inspect")
    return _done(asked, Found(pieces, bad, event.defects, event.actor))


def _done(asked: Asked, found: Found, drafts: tuple[Draft, ...] = ()) -> Done:
    inspection = asked.inspection
    turn = _counted(asked.here, Turn(asked.cell.inspections, drafts), inspection, found)
    now = turn.state.open.get(inspection.inspection_id)
    if now is None:
        said = f"{inspection.name}: {turn.state.ended[-1].verdict}"
    else:
        said = f"{inspection.name}: {now.inspected} of {now.size} inspected"
    return Done(said, replace(asked.cell, inspections=turn.state), turn.drafts)


def _cancelled(asked: Asked) -> Refused | Done:
    if asked.event.reason is None:
        return Refused("say why it is cancelled")
    turn = Turn(asked.cell.inspections)
    turn = _closed(asked.here, turn, asked.inspection, "cancelled", asked.event)
    cell = replace(asked.cell, inspections=turn.state)
    return Done(f"{asked.inspection.name}: cancelled", cell, turn.drafts)


def _resumed(asked: Asked) -> Refused | Done:
    """What the supplier did about it is accepted: tightened inspection (ISO 2859-1, 9.4)."""
    state, inspection = asked.cell.inspections, asked.inspection
    if not standing(state, inspection.item, inspection.name).discontinued:
        return Refused(f"lots of {inspection.item} are accepted: there is nothing to resume")
    if asked.event.reason is None:
        return Refused("say what was done about it")
    series = {**state.series, f"{inspection.item}/{inspection.name}": TIGHTENED}
    state = replace(state, series=series, at_ms=max(state.at_ms, asked.here.at_ms))
    said = f"lots of {inspection.item} are inspected again, tightened"
    return Done(said, replace(asked.cell, inspections=state), ())


_DO: Final[dict[InspectionCommand, Callable[[Asked], Refused | Done]]] = {
    "record": _recorded,
    "cancel": _cancelled,
    "resume": _resumed,
}


def _counted(here: Here, turn: Turn, inspection: Inspection, found: Found) -> Turn:
    inspection = replace(
        inspection,
        inspected=inspection.inspected + found.pieces,
        nonconforming=inspection.nonconforming + found.nonconforming,
        defects=_added(inspection.defects, found.defects),
    )
    if inspection.nonconforming >= inspection.reject:
        return _closed(here, turn, inspection, "fail", found)
    if inspection.inspected >= inspection.size:
        return _closed(here, turn, inspection, "pass", found)
    is_open = {**turn.state.open, inspection.inspection_id: inspection}
    return turn.but(open=is_open, at_ms=max(turn.state.at_ms, here.at_ms))


def _added(known: tuple[Defect, ...], more: tuple[Defect, ...]) -> tuple[Defect, ...]:
    """By code and place; kinds beyond DEFECTS_MAX are on record with their commands only."""
    counts = {(one.code, one.place): one.count for one in known}
    for one in more:
        counts[one.code, one.place] = counts.get((one.code, one.place), 0) + one.count
    kinds = [Defect(code=c, place=p, count=min(n, 10_000)) for (c, p), n in counts.items()]
    return tuple(kinds[:DEFECTS_MAX])


def _closed(
    here: Here, turn: Turn, inspection: Inspection, verdict: str, by: Found | InspectionCommanded
) -> Turn:
    operator, reason = (by.operator, None) if isinstance(by, Found) else (by.actor, by.reason)
    turn, next_severity = _switched(here, turn, inspection, verdict)
    body = {
        **said_of(inspection),
        "verdict": verdict,
        "inspected": inspection.inspected,
        "nonconforming": inspection.nonconforming,
        "defects": [one.model_dump() for one in inspection.defects],
        "opened_ms": inspection.opened_ms,
        "operator": operator,
        "reason": reason,
        "next_severity": next_severity,
    }
    state = turn.state
    turn = turn.but(
        open={key: one for key, one in state.open.items() if key != inspection.inspection_id},
        ended=(*state.ended, _ended(here, inspection, verdict))[-ENDED_MAX:],
        at_ms=max(state.at_ms, here.at_ms),
    )
    told = Draft(here.path, InspectionClosed.type_name, here.at_ms, body)
    turn = turn._replace(drafts=(*turn.drafts, told))
    if verdict != "fail" or inspection.when != "first-article":
        return turn
    subject = Subject(inspection.item, inspection.order_id, attempt=inspection.attempt + 1)
    return opened(here, turn, inspection.name, subject)


def _ended(here: Here, inspection: Inspection, verdict: str) -> EndedInspection:
    return EndedInspection(
        inspection_id=inspection.inspection_id,
        name=inspection.name,
        verdict=verdict,
        order_id=inspection.order_id,
        lot=inspection.lot,
        inspected=inspection.inspected,
        nonconforming=inspection.nonconforming,
        at_ms=here.at_ms,
    )


def _switched(
    here: Here, turn: Turn, inspection: Inspection, verdict: str
) -> tuple[Turn, str | None]:
    """A sampled lot's result moves its series; the severity of the next lot."""
    plan = here.plan_of(inspection)
    if plan is None or plan.sampling is None or inspection.severity is None:
        return turn, None
    series = standing(turn.state, inspection.item, inspection.name)
    if verdict != "cancelled" and inspection.severity == series.severity:
        single = plan.sampling.plan(inspection.lot_size or 0, inspection.severity)
        series = after(plan.sampling.scheme, series, Lot(single, inspection.nonconforming))
    key = f"{inspection.item}/{inspection.name}"
    turn = turn.but(series={**turn.state.series, key: series})
    return turn, "discontinued" if series.discontinued else series.severity
