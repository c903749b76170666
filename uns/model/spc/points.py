"""Point by point: what a chart draws for a subgroup under its limits, and what the point breaks."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from math import sqrt
from typing import Final, NamedTuple

from uns.model.spc.limits import Basis, Lines, Subgroup, lines
from uns.model.spc.rules import LOOK_BACK, Mark, broken, is_beyond, marked
from uns.model.spc.settings import RULED, BrokenRule, Chart, Panel


class Broken(NamedTuple):
    """A rule that a point breaks on a panel. points: how many it looks at, this one the last."""

    panel: Panel
    rule: BrokenRule
    points: int


class Drawn(NamedTuple):
    """A point as drawn. place: how many since the limits' start, itself included.

    values: by the chart's panels; None where there is none, as the first moving range.
    """

    subgroup: Subgroup
    place: int
    values: tuple[float | None, ...]
    broken: tuple[Broken, ...]


def drawn(chart: Chart, basis: Basis, subgroups: Iterable[Subgroup]) -> list[Drawn]:
    """A whole chart from its first point on."""
    found = list[Drawn]()
    for subgroup in subgroups:
        found.append(following(chart, basis, found[-LOOK_BACK:], subgroup))
    return found


def following(chart: Chart, basis: Basis, before: Sequence[Drawn], subgroup: Subgroup) -> Drawn:
    """The next point. before: the points so far, of which the last LOOK_BACK count."""
    last = before[-1] if before else None
    values = _VALUES[chart.kind](chart, basis, last, subgroup)
    bare = Drawn(subgroup, last.place + 1 if last else 1, values, ())
    recent = (*before[-LOOK_BACK:], bare)
    found = (one for n in range(len(chart.panels)) for one in _broken_on(chart, basis, n, recent))
    return bare._replace(broken=tuple(found))


def panel_lines(chart: Chart, basis: Basis, point: Drawn) -> dict[Panel, Lines]:
    """The lines of each panel at a point."""
    return {p: lines(chart, basis, p, point.subgroup.n, point.place) for p in chart.panels}


def _broken_on(
    chart: Chart, basis: Basis, number: int, points: Sequence[Drawn]
) -> Iterator[Broken]:
    panel = chart.panels[number]
    marks = list(_marks(chart, basis, number, points if panel in RULED else points[-1:]))
    if panel in RULED:
        for rule, looked_at in broken(marks, chart.rules):
            yield Broken(panel, rule, looked_at)
    elif marks and is_beyond(marks[-1]):
        yield Broken(panel, "limits", 1)


def _marks(chart: Chart, basis: Basis, number: int, points: Sequence[Drawn]) -> Iterator[Mark]:
    panel = chart.panels[number]
    for point in points:
        value = point.values[number]
        if value is not None:
            yield marked(value, lines(chart, basis, panel, point.subgroup.n, point.place))


_Values = tuple[float | None, ...]


def _means_and_ranges(_: Chart, __: Basis, ___: Drawn | None, subgroup: Subgroup) -> _Values:
    return subgroup.value, subgroup.r


def _means_and_deviations(_: Chart, __: Basis, ___: Drawn | None, subgroup: Subgroup) -> _Values:
    return subgroup.value, subgroup.s


def _single_values(_: Chart, __: Basis, last: Drawn | None, subgroup: Subgroup) -> _Values:
    return subgroup.value, abs(subgroup.value - last.subgroup.value) if last else None


def _rate(_: Chart, __: Basis, ___: Drawn | None, subgroup: Subgroup) -> _Values:
    return (subgroup.value / subgroup.n,)


def _count(_: Chart, __: Basis, ___: Drawn | None, subgroup: Subgroup) -> _Values:
    return (subgroup.value,)


def _ewma(chart: Chart, basis: Basis, last: Drawn | None, subgroup: Subgroup) -> _Values:
    before = last.values[0] if last else None
    smooth = basis.centre if before is None else before
    return (chart.weight * subgroup.value + (1 - chart.weight) * smooth,)


def _cusum(chart: Chart, basis: Basis, last: Drawn | None, subgroup: Subgroup) -> _Values:
    high, low = ((value or 0.0) for value in last.values) if last else (0.0, 0.0)
    off = subgroup.value - basis.centre
    allowed = chart.reference * basis.sigma / sqrt(subgroup.n)
    return max(0.0, high + off - allowed), max(0.0, low - off - allowed)


_VALUES: Final[dict[str, Callable[[Chart, Basis, Drawn | None, Subgroup], _Values]]] = {
    "xbar-r": _means_and_ranges,
    "xbar-s": _means_and_deviations,
    "i-mr": _single_values,
    "p": _rate,
    "u": _rate,
    "np": _count,
    "c": _count,
    "ewma": _ewma,
    "cusum": _cusum,
}
