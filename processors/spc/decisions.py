"""What people decide about limits: a point does not count, phase I ends now, or begins anew."""

from typing import NamedTuple

from processors.base import replace
from processors.spc.fold import frozen
from processors.spc.state import EXCLUDED_MAX, ChartState
from uns.fold import Draft
from uns.model.events import ChartCommanded, PointExcluded


class Refused(NamedTuple):
    """Why a decision is not followed."""

    said: str


class Followed(NamedTuple):
    """The words for what was done, the chart after it, and the new limits if there are some."""

    said: str
    state: ChartState
    drafts: tuple[Draft, ...] = ()


def decided(state: ChartState, event: ChartCommanded) -> Followed | Refused:
    """One decision. Limits of namespace.yaml are decided there."""
    if state.chart.limits is not None:
        return Refused(f"its limits {state.chart.limits.version} are of namespace.yaml")
    match event.command:
        case "exclude":
            return _excluded(state, event)
        case "freeze":
            if not state.is_collecting:
                return Refused("no phase I is open: restart begins one")
            return _frozen(state, event)
        case "restart":
            return Followed(
                f"a new phase I of {state.chart.phase_one} points begins",
                replace(state, phase_one=(), excluded=(), is_collecting=True),
            )


def _excluded(state: ChartState, event: ChartCommanded) -> Followed | Refused:
    known = {base.number for base in state.kept}
    if foreign := sorted(set(event.points) - known):
        return Refused(f"point {foreign[0]} is none of those that count in phase I")
    if len(state.excluded) + len(set(event.points)) > EXCLUDED_MAX:
        return Refused(f"at most {EXCLUDED_MAX} points are excluded: restart phase I instead")
    new = (
        PointExcluded(point=n, reason=event.reason, actor=event.actor, at_ms=event.at_ms)
        for n in sorted(set(event.points))
    )
    state = replace(state, excluded=(*state.excluded, *new))
    if not state.is_collecting:
        return _frozen(state, event)
    return Followed(f"{len(state.kept)} points of phase I count", state)


def _frozen(state: ChartState, event: ChartCommanded) -> Followed | Refused:
    done = frozen(state, event.at_ms, event.reason, event.actor)
    if done is None:
        return Refused("the points left are too few, or do not vary: no limits follow from them")
    after, draft = done
    return Followed(f"limits {draft.body['version']} hold from now on", after, (draft,))
