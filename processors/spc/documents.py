"""The public document of a chart: newest point, limits, whether it is in control, capability."""

from collections.abc import Mapping
from typing import Any, Final

from processors.base import fit, shown
from processors.spc.state import ChartState, Frozen, Point
from uns.fold import Document
from uns.model.plant import Limits
from uns.model.spc.capability import Capability, Index, Tolerance, capability
from uns.model.spc.limits import estimate
from uns.model.spc.points import panel_lines
from uns.model.spc.settings import COUNTED

EXCLUDED_SHOWN: Final = 5
DIGITS: Final = 6
"""Of a capability index behind its point; other figures are told to 10 digits."""


def chart_document(state: ChartState, specified: Limits) -> Document:
    """One chart under its specification; `in_control` is null before there are limits."""
    limits, last = state.limits, state.points[-1] if state.points else None
    capable = _capability(state, specified)
    document: Document = {
        "summary": _summary(state, last, capable),
        "in_control": not last.drawn.broken if last else None,
        "characteristic": state.characteristic,
        "item": state.item,
        "unit": specified.unit,
        "chart": state.chart.kind,
        "last": _last(state, limits, last) if limits and last else None,
        "limits": _limits(limits) if limits else None,
        "phase_one": _phase_one(state),
        "capability": capable,
        "specified": {"lower": specified.lower, "upper": specified.upper},
        "subgroup": {"n": state.chart.n, "filled": len(state.values)},
        "left_out": dict(state.left_out),
        "points": [_shown(state, point) for point in reversed(state.points)],
        "at_ms": state.at_ms,
    }
    return fit(document, "points")


def _summary(state: ChartState, last: Point | None, capable: Mapping[str, Any] | None) -> str:
    name = f"{state.characteristic} of {shown(state.item)}"
    if last is None:
        if state.limits is not None:
            return f"{name}: no point yet under limits {state.limits.version}"
        return f"{name}: {_phase_one_words(state)}"
    panel, value = state.chart.panels[0], last.drawn.values[0]
    if last.drawn.broken:
        one = last.drawn.broken[0]
        return f"{name}: out of control, point {last.number} of {one.panel} breaks {one.rule}"
    cpk = capable.get("cpk") if capable else None
    fits = f", Cpk {cpk['value']:.2f}" if cpk else ""
    return f"{name}: in control, {panel} {value:.6g} at point {last.number}{fits}"


def _phase_one_words(state: ChartState) -> str:
    kept, wanted = len(state.kept), state.chart.phase_one
    told = f"phase I, {min(kept, wanted)} of {wanted} points"
    return f"{told}, which do not vary" if kept >= wanted else told


def _last(state: ChartState, limits: Frozen, point: Point) -> dict[str, Any]:
    at = panel_lines(state.chart, limits.basis, point.drawn)
    panels = {
        panel: {"value": _told(value), **{k: _told(v) for k, v in at[panel]._asdict().items()}}
        for panel, value in zip(state.chart.panels, point.drawn.values, strict=True)
    }
    return {
        "point": point.number,
        "at_ms": point.at_ms,
        "n": _plain(point.drawn.subgroup.n),
        "panels": panels,
        "broken": [f"{one.panel} {one.rule}" for one in point.drawn.broken],
    }


def _limits(limits: Frozen) -> dict[str, Any]:
    return {
        "version": limits.version,
        "centre": limits.basis.centre,
        "sigma": limits.basis.sigma,
        "frozen_ms": limits.at_ms,
        "points": limits.points,
        "first_point": limits.first_point,
        "last_point": limits.last_point,
    }


def _phase_one(state: ChartState) -> dict[str, Any] | None:
    """What limits come from; None where they are of namespace.yaml."""
    if state.chart.limits is not None:
        return None
    shown_ones = state.excluded[-EXCLUDED_SHOWN:]
    return {
        "open": state.is_collecting,
        "points": len(state.kept),
        "wanted": state.chart.phase_one,
        "excluded": [one.model_dump(mode="json") for one in shown_ones],
        "excluded_points": [one.point for one in state.excluded],
    }


def _capability(state: ChartState, specified: Limits) -> dict[str, Any] | None:
    """Of the points shown; why not, where they are not in control. None for counts."""
    if state.chart.kind in COUNTED:
        return None
    if state.limits is None or not state.points:
        return {"refused": "there are no limits yet" if state.limits is None else "no point yet"}
    wrong = next((p for p in reversed(state.points) if p.drawn.broken), None)
    if wrong is not None:
        one = wrong.drawn.broken[0]
        return {"refused": f"not in control: point {wrong.number} of {one.panel} breaks {one.rule}"}
    subgroups = [point.drawn.subgroup for point in state.points]
    if len(subgroups) == 1:
        return {"refused": "too few points"}
    tolerance = Tolerance(specified.lower, specified.upper, state.chart.target)
    found = capability(subgroups, estimate(state.chart, subgroups).sigma, tolerance)
    return {"refused": found} if isinstance(found, str) else _figures(found)


def _figures(found: Capability) -> dict[str, Any]:
    return {
        name: _index(value) if isinstance(value, Index) else value
        for name, value in found._asdict().items()
    }


def _index(one: Index) -> dict[str, float]:
    return {name: round(value, DIGITS) for name, value in one._asdict().items()}


def _shown(state: ChartState, point: Point) -> dict[str, Any]:
    told: dict[str, Any] = {"point": point.number, "at_ms": point.at_ms}
    told |= {"n": _plain(point.drawn.subgroup.n), "place": point.drawn.place}
    told.update(zip(state.chart.panels, map(_told, point.drawn.values), strict=True))
    if point.drawn.broken:
        told["broken"] = [f"{one.panel} {one.rule}" for one in point.drawn.broken]
    return told


def _told(value: float | None) -> float | None:
    return None if value is None else float(f"{value:.10g}")


def _plain(n: float) -> float:
    """A number of pieces without a decimal point; an area as it is."""
    return int(n) if n == int(n) else n
