"""Capability of a process in control: Cp, Cpk, Pp, Ppk and Cpm, with confidence intervals.

Intervals at 95 %: of Cp and Pp by chi-square (Chou, Owen and Borrego 1990), of Cpk and Ppk by the
normal approximation (Bissell 1990). Values are taken to be normal and independent.
"""

from collections.abc import Sequence
from functools import lru_cache
from math import exp, fsum, inf, lgamma, log, sqrt
from statistics import NormalDist
from typing import Final, NamedTuple

from uns.model.spc.limits import Subgroup

CONFIDENCE: Final = 0.95
SUBGROUPS_ENOUGH: Final = 25
_TINY: Final = 1e-300
_TERMS_MAX: Final = 10_000
_HALVINGS: Final = 64


class Tolerance(NamedTuple):
    """A specification: a missing limit is open; target: None for the middle."""

    lower: float | None
    upper: float | None
    target: float | None = None


class Index(NamedTuple):
    """A capability index and the interval it lies in with 95 % confidence."""

    value: float
    low: float
    high: float


class Capability(NamedTuple):
    """How a process fits its specification. n: values; within, overall: deviations.

    cp, pp, cpm: None where a limit is open; cpk and ppk then are of the limit there is.
    cpl, cpu: None for an open limit. warning: why to read it with care.
    """

    n: int
    mean: float
    within: float
    overall: float
    cp: Index | None
    cpk: Index
    cpl: float | None
    cpu: float | None
    pp: Index | None
    ppk: Index
    cpm: float | None
    warning: str | None


def capability(
    subgroups: Sequence[Subgroup], within: float, tolerance: Tolerance
) -> Capability | str:
    """The capability of measured subgroups with a within-deviation; else why there is none."""
    if tolerance.lower is None and tolerance.upper is None:
        return "the specification has no limit"
    n = round(fsum(g.n for g in subgroups))
    if len(subgroups) < 2:  # noqa: PLR2004 - a deviation needs two
        return "too few points"
    mean, overall = _overall(subgroups, n)
    if not within or not overall:
        return "the values do not vary"
    lower_room, upper_room = _rooms(mean, tolerance)
    nearest = min(room for room in (lower_room, upper_room) if room is not None)
    both = None if lower_room is None or upper_room is None else lower_room + upper_room
    return Capability(
        n=n,
        mean=mean,
        within=within,
        overall=overall,
        cp=None if both is None else _of_both(both / (6 * within), n),
        cpk=_of_nearest(nearest / (3 * within), n),
        cpl=None if lower_room is None else lower_room / (3 * within),
        cpu=None if upper_room is None else upper_room / (3 * within),
        pp=None if both is None else _of_both(both / (6 * overall), n),
        ppk=_of_nearest(nearest / (3 * overall), n),
        cpm=None if both is None else _cpm(mean, both, within, tolerance),
        warning=_warning(len(subgroups)),
    )


def _warning(points: int) -> str | None:
    if points >= SUBGROUPS_ENOUGH:
        return None
    return f"{points} points: {SUBGROUPS_ENOUGH} and more make it reliable"


def _overall(subgroups: Sequence[Subgroup], n: int) -> tuple[float, float]:
    """Mean and standard deviation of all single values."""
    mean = fsum(g.n * g.value for g in subgroups) / n
    inside = fsum((g.n - 1) * (g.s or 0.0) ** 2 for g in subgroups)
    between = fsum(g.n * (g.value - mean) ** 2 for g in subgroups)
    return mean, sqrt((inside + between) / (n - 1))


def _rooms(mean: float, tolerance: Tolerance) -> tuple[float | None, float | None]:
    lower = None if tolerance.lower is None else mean - tolerance.lower
    return lower, None if tolerance.upper is None else tolerance.upper - mean


def _cpm(mean: float, both: float, within: float, tolerance: Tolerance) -> float:
    middle = ((tolerance.lower or 0.0) + (tolerance.upper or 0.0)) / 2
    target = middle if tolerance.target is None else tolerance.target
    return both / (6 * sqrt(within**2 + (mean - target) ** 2))


def _of_both(value: float, n: int) -> Index:
    low, high = _interval(n - 1)
    return Index(value, value * low, value * high)


@lru_cache(maxsize=256)
def _interval(freedom: int) -> tuple[float, float]:
    """How far a ratio of deviations goes, of its value, down and up."""
    tail = (1 - CONFIDENCE) / 2
    return sqrt(chi_square(tail, freedom) / freedom), sqrt(chi_square(1 - tail, freedom) / freedom)


def _of_nearest(value: float, n: int) -> Index:
    z = NormalDist().inv_cdf((1 + CONFIDENCE) / 2)
    half = z * sqrt(1 / (9 * n) + value**2 / (2 * (n - 1)))
    return Index(value, value - half, value + half)


def chi_square(share: float, freedom: int) -> float:
    """The value that a chi-square of `freedom` stays below with probability `share`."""
    low, high = 0.0, freedom + 20 * sqrt(2 * freedom) + 20
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        if _gamma_share(freedom / 2, middle / 2) < share:
            low = middle
        else:
            high = middle
    return (low + high) / 2


def _gamma_share(a: float, x: float) -> float:
    """The regularized lower incomplete gamma function P(a, x) (Abramowitz and Stegun 6.5)."""
    if x <= 0:
        return 0.0
    scale = exp(a * log(x) - x - lgamma(a))
    return scale * _by_series(a, x) if x < a + 1 else 1 - scale * _by_fraction(a, x)


def _by_series(a: float, x: float) -> float:
    term = total = 1 / a
    for k in range(1, _TERMS_MAX):
        term *= x / (a + k)
        total += term
        if term < total * 1e-16:
            break
    return total


def _by_fraction(a: float, x: float) -> float:
    """The continued fraction of the upper part, from its front (modified Lentz)."""
    b, c = x + 1 - a, inf
    d = 1 / b
    found = d
    for k in range(1, _TERMS_MAX):
        by = -k * (k - a)
        b += 2
        d = 1 / (by * d + b or _TINY)
        c = b + by / c or _TINY
        found *= c * d
        if abs(c * d - 1) < 1e-16:  # noqa: PLR2004 - the last digit
            break
    return found
