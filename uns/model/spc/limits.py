"""From subgroups to limits: centre and sigma of a phase I, and the lines they give at a point."""

from collections.abc import Callable, Sequence
from itertools import pairwise
from math import fsum, sqrt
from statistics import fmean, stdev
from typing import Final, NamedTuple

from uns.model.spc.constants import Factors, c4, factors
from uns.model.spc.settings import POINTS_MIN, Chart, Kind, Panel

SIGMAS: Final = 3.0


class Subgroup(NamedTuple):
    """What one point is made of.

    n: how many values, or how much was inspected. value: their mean, or the count.
    r, s: range and standard deviation of at least two measurements; else None.
    """

    n: float
    value: float
    r: float | None = None
    s: float | None = None


class Basis(NamedTuple):
    """What all lines follow from. sigma: of single values; for counts of one piece or unit.

    centre of p and np is the fraction, of u the count for a unit.
    """

    centre: float
    sigma: float


class Lines(NamedTuple):
    """Centre and limits at one point; sigma: the deviation of what is drawn there."""

    lower: float
    centre: float
    upper: float
    sigma: float


def measured(values: Sequence[float]) -> Subgroup:
    """The subgroup of at least one measurement."""
    if len(values) == 1:
        return Subgroup(1.0, values[0])
    return Subgroup(float(len(values)), fmean(values), max(values) - min(values), stdev(values))


def estimate(chart: Chart, subgroups: Sequence[Subgroup]) -> Basis:
    """Centre and sigma of at least two subgroups, which may differ in size."""
    if chart.kind in _OF_COUNTS:
        total, size = fsum(g.value for g in subgroups), fsum(g.n for g in subgroups)
        return of_counts(chart.kind, total / (len(subgroups) if chart.kind == "c" else size))
    size = fsum(g.n for g in subgroups)
    centre = fsum(g.n * g.value for g in subgroups) / size
    return Basis(centre, _sigma(chart, subgroups))


def of_counts(kind: Kind, centre: float) -> Basis:
    """The basis of a chart of counts: its sigma follows from its centre."""
    return Basis(centre, sqrt(max(0.0, _OF_COUNTS[kind](centre))))


def given(chart: Chart) -> Basis | None:
    """The basis that the settings give, if they do."""
    if chart.limits is None:
        return None
    if chart.limits.sigma is None:
        return of_counts(chart.kind, chart.limits.centre)
    return Basis(chart.limits.centre, chart.limits.sigma)


def lines(chart: Chart, basis: Basis, panel: Panel, n: float, place: int) -> Lines:
    """The lines of a panel at a point of size n; place: how many points since the start."""
    return _LINES[panel](chart, basis, n, place)


def _sigma(chart: Chart, subgroups: Sequence[Subgroup]) -> float:
    if chart.n == 1:
        return _sigma_of_single_values(chart, [g.value for g in subgroups])
    match chart.spread:
        case "range":
            return fmean((g.r or 0.0) / _factors(chart, g.n).d2 for g in subgroups)
        case "deviation":
            return fmean((g.s or 0.0) / _factors(chart, g.n).c4 for g in subgroups)
        case "pooled":
            freedom = fsum(g.n - 1 for g in subgroups)
            squares = fsum((g.n - 1) * (g.s or 0.0) ** 2 for g in subgroups)
            return sqrt(squares / freedom) / c4(round(freedom) + 1)


def _sigma_of_single_values(chart: Chart, values: Sequence[float]) -> float:
    if chart.spread == "deviation":
        return stdev(values) / c4(len(values))
    ranges = [abs(after - before) for before, after in pairwise(values)]
    return fmean(ranges) / factors(POINTS_MIN, chart.constants).d2


def _factors(chart: Chart, n: float) -> Factors:
    return factors(round(n), chart.constants)


def _about(centre: float, sigma: float, width: float = SIGMAS) -> Lines:
    return Lines(centre - width * sigma, centre, centre + width * sigma, sigma)


def _above_zero(centre: float, sigma: float) -> Lines:
    """As _about, of what cannot be negative."""
    found = _about(centre, sigma)
    return found._replace(lower=max(0.0, found.lower))


def _of_mean(_: Chart, basis: Basis, n: float, __: int) -> Lines:
    return _about(basis.centre, basis.sigma / sqrt(n))


def _of_range(chart: Chart, basis: Basis, n: float, _: int) -> Lines:
    known = _factors(chart, n)
    return _above_zero(known.d2 * basis.sigma, known.d3 * basis.sigma)


def _of_moving_range(chart: Chart, basis: Basis, _: float, place: int) -> Lines:
    return _of_range(chart, basis, POINTS_MIN, place)


def _of_deviation(chart: Chart, basis: Basis, n: float, _: int) -> Lines:
    known = _factors(chart, n).c4
    return _above_zero(known * basis.sigma, sqrt(1 - known**2) * basis.sigma)


def _of_rate(_: Chart, basis: Basis, n: float, __: int) -> Lines:
    return _above_zero(basis.centre, basis.sigma / sqrt(n))


def _of_pieces(_: Chart, basis: Basis, n: float, __: int) -> Lines:
    return _above_zero(n * basis.centre, sqrt(n) * basis.sigma)


def _of_count(_: Chart, basis: Basis, __: float, ___: int) -> Lines:
    return _above_zero(basis.centre, basis.sigma)


def _of_ewma(chart: Chart, basis: Basis, n: float, place: int) -> Lines:
    memory = 1 - (1 - chart.weight) ** (2 * place)
    sigma = basis.sigma / sqrt(n) * sqrt(chart.weight / (2 - chart.weight) * memory)
    return _about(basis.centre, sigma, chart.width)


def _of_cusum(chart: Chart, basis: Basis, n: float, _: int) -> Lines:
    sigma = basis.sigma / sqrt(n)
    return Lines(0.0, 0.0, chart.interval * sigma, sigma)


_OF_COUNTS: Final[dict[Kind, Callable[[float], float]]] = {
    "p": lambda p: p * (1 - p),
    "np": lambda p: p * (1 - p),
    "c": lambda c: c,
    "u": lambda u: u,
}
"""The variance of one piece or unit, by the centre."""
_LINES: Final[dict[Panel, Callable[[Chart, Basis, float, int], Lines]]] = {
    "xbar": _of_mean,
    "x": _of_mean,
    "r": _of_range,
    "mr": _of_moving_range,
    "s": _of_deviation,
    "p": _of_rate,
    "u": _of_rate,
    "np": _of_pieces,
    "c": _of_count,
    "ewma": _of_ewma,
    "cusum_high": _of_cusum,
    "cusum_low": _of_cusum,
}
