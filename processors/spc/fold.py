"""How samples become points, and points limits and violations.

Rules: a subgroup is n measurements one after the other, of one order; what is missing, uncertain,
impossible or empty is left out and counted. Phase I ends by itself at its last point; limits then
hold until somebody decides otherwise. Without any variation there are no limits: phase I goes on.
"""

from typing import Any, Final

from processors.base import replace, shown
from processors.spc.reading import LeftOut, counted_up, read
from processors.spc.state import (
    POINTS_KEPT,
    SAMPLES_KEPT,
    Base,
    ChartState,
    Frozen,
    Point,
)
from uns.fold import Draft
from uns.model.events import Alerted, Inspected, LimitsFrozen, SpcViolated
from uns.model.spc.limits import Basis, Subgroup, estimate, given, measured
from uns.model.spc.points import Broken, drawn, following, panel_lines
from uns.model.spc.settings import POINTS_MIN, Chart

ALERT_CODE: Final = "spc-out-of-control"


def begun(before: ChartState | None, chart: Chart, key: tuple[str, str, str]) -> ChartState:
    """The chart under its settings: as it was, or begun anew because they are others.

    key: cell, item, characteristic.
    """
    if before is not None and before.chart == chart:
        return before
    basis, (cell, item, characteristic) = given(chart), key
    return ChartState(
        cell=cell,
        item=item,
        characteristic=characteristic,
        chart=chart,
        number=before.number if before else 0,
        versions=before.versions if before else 0,
        is_collecting=basis is None,
        limits=Frozen(version=chart.limits.version, basis=basis)
        if chart.limits and basis
        else None,
    )


def sampled(
    state: ChartState, event: Inspected, order_id: str | None
) -> tuple[ChartState, tuple[Draft, ...]]:
    """The chart after one sample of its item at its cell."""
    found = read(state.chart, state.characteristic, event)
    if found is None:
        return state, ()
    state = replace(state, at_ms=event.at_ms)
    if event.sample_id in state.samples:
        found = LeftOut("repeated")
    if isinstance(found, LeftOut):
        return replace(state, left_out=counted_up(state.left_out, found.why)), ()
    samples = (*state.samples, event.sample_id)[-SAMPLES_KEPT:]
    state = replace(state, samples=samples)
    if isinstance(found, Subgroup):
        return _pointed(state, found, event, order_id)
    state = _of_order(state, order_id)
    values = (*state.values, found)
    if len(values) < state.chart.n:
        return replace(state, values=values), ()
    return _pointed(replace(state, values=()), measured(values), event, order_id)


def _of_order(state: ChartState, order_id: str | None) -> ChartState:
    """A subgroup never straddles two orders: the values of the one before are let go."""
    if state.order_id == order_id:
        return state
    left_out = state.left_out
    if state.values:
        left_out = counted_up(left_out, "incomplete", len(state.values))
    return replace(state, order_id=order_id, values=(), left_out=left_out)


def _pointed(
    state: ChartState, subgroup: Subgroup, event: Inspected, order_id: str | None
) -> tuple[ChartState, tuple[Draft, ...]]:
    """The chart after one more point."""
    state = replace(state, number=state.number + 1)
    drafts: tuple[Draft, ...] = ()
    if state.limits is not None:
        state, drafts = _judged(state, state.limits, subgroup, event, order_id)
    if not state.is_collecting:
        return state, drafts
    base = Base(number=state.number, at_ms=event.at_ms, subgroup=subgroup)
    out = {one.point for one in state.excluded}
    counting = [one for one in state.phase_one if one.number not in out]
    phase_one = (*state.phase_one, base)
    if len(counting) >= state.chart.phase_one:
        phase_one = (*counting[1:], base)
    state = replace(state, phase_one=phase_one)
    if len(state.kept) < state.chart.phase_one:
        return state, drafts
    after = frozen(state, event.at_ms)
    return (after[0], (*drafts, after[1])) if after else (state, drafts)


def _judged(
    state: ChartState, limits: Frozen, subgroup: Subgroup, event: Inspected, order_id: str | None
) -> tuple[ChartState, tuple[Draft, ...]]:
    before = [point.drawn for point in state.points]
    new = following(state.chart, limits.basis, before, subgroup)
    point = Point(number=state.number, at_ms=event.at_ms, drawn=new)
    points = (*state.points, point)[-POINTS_KEPT:]
    after = replace(state, points=points, is_alerted=bool(new.broken))
    context = {"sample_id": event.sample_id, "order_id": order_id, "lot": event.lot}
    drafts = tuple(
        Draft(state.cell, SpcViolated.type_name, event.at_ms, {**body, **context})
        for body in (_violation(after, limits, point, one) for one in new.broken)
    )
    if new.broken and not state.is_alerted:
        drafts = (*drafts, Draft(state.cell, Alerted.type_name, event.at_ms, _alert(drafts[0])))
    return after, drafts


def _violation(state: ChartState, limits: Frozen, point: Point, one: Broken) -> dict[str, Any]:
    at = panel_lines(state.chart, limits.basis, point.drawn)[one.panel]
    return {
        "characteristic": state.characteristic,
        "item": state.item,
        "rule": one.rule,
        "panel": one.panel,
        "points": [each.number for each in state.points[-one.points :]],
        "value": point.drawn.values[state.chart.panels.index(one.panel)],
        "lower": at.lower,
        "centre": at.centre,
        "upper": at.upper,
        "chart": state.chart.kind,
        "limits_version": limits.version,
    }


def _alert(violation: Draft) -> dict[str, Any]:
    told = ("characteristic", "item", "rule", "panel", "value", "lower", "centre", "upper")
    evidence = {name: violation.body[name] for name in told}
    point = violation.body["points"][-1]
    summary = (
        f"{evidence['characteristic']} of {shown(evidence['item'])} is out of control:"
        f" point {point} of {evidence['panel']} breaks {evidence['rule']}"
    )
    return {"code": ALERT_CODE, "summary": summary, "evidence": {**evidence, "point": point}}


def frozen(
    state: ChartState, at_ms: int, reason: str | None = None, actor: str | None = None
) -> tuple[ChartState, Draft] | None:
    """The chart with limits of its phase I as it stands, and the fact; None where they cannot be.

    They cannot be of less than two points, or of points without any variation.
    """
    kept = state.kept
    if len(kept) < POINTS_MIN:
        return None
    basis = estimate(state.chart, [base.subgroup for base in kept])
    if not basis.sigma:
        return None
    limits = Frozen(
        version=str(state.versions + 1),
        basis=basis,
        at_ms=at_ms,
        points=len(kept),
        first_point=kept[0].number,
        last_point=kept[-1].number,
    )
    points = _drawn_anew(state, basis)
    state = replace(
        state,
        limits=limits,
        versions=state.versions + 1,
        is_collecting=False,
        points=points,
        is_alerted=False,
    )
    body = {**_frozen(state, limits), "reason": reason, "actor": actor}
    return state, Draft(state.cell, LimitsFrozen.type_name, at_ms, body)


def _drawn_anew(state: ChartState, basis: Basis) -> tuple[Point, ...]:
    """The newest points under other limits, without those that were excluded."""
    out = {one.point for one in state.excluded}
    known = [(p.number, p.at_ms, p.drawn.subgroup) for p in state.points if p.number not in out]
    known = known or [(base.number, base.at_ms, base.subgroup) for base in state.kept]
    found = drawn(state.chart, basis, [subgroup for _, _, subgroup in known])
    points = [
        Point(number=number, at_ms=at_ms, drawn=one)
        for (number, at_ms, _), one in zip(known, found, strict=True)
    ]
    return tuple(points[-POINTS_KEPT:])


def _frozen(state: ChartState, limits: Frozen) -> dict[str, Any]:
    phase_one = drawn(state.chart, limits.basis, [base.subgroup for base in state.kept])
    return {
        "characteristic": state.characteristic,
        "item": state.item,
        "version": limits.version,
        "chart": state.chart.kind,
        "centre": limits.basis.centre,
        "sigma": limits.basis.sigma,
        "points": limits.points,
        "first_point": limits.first_point,
        "last_point": limits.last_point,
        "excluded": [one.model_dump(mode="json") for one in state.excluded],
        "breaking": [
            base.number for base, one in zip(state.kept, phase_one, strict=True) if one.broken
        ],
    }
