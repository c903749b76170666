"""PURE: what a control chart of individual values draws, and which values break its rules.

Individuals and moving range chart (ISO 7870-2): sigma within is the mean moving range / d2, with
d2 = 1.128 for ranges of two values. Capability after ISO 22514-2.
"""

from collections.abc import Iterator, Sequence
from itertools import pairwise
from statistics import fmean, stdev
from typing import Final, Literal

from uns.historian.history.period import Answer, Instant
from uns.historian.rollups import MEASURED_MAX

D2: Final = 1.128
RUN_LENGTH: Final = 8
VALUES_MIN: Final = 2


class Limited(Answer):
    """A value with the limits it was judged by; None: open, or not measured."""

    at_ms: Instant
    value: float | None
    lower: float | None
    upper: float | None


class Statistics(Answer):
    """Of n values. sigma: within, by moving ranges; deviation: overall, by their spread.

    lcl, ucl: centre -+ 3 sigma. lower, upper: the limits of all values, None where they differ or
    are open; cp, cpk (by sigma) and pp, ppk (by deviation) where there are limits to compare with.
    """

    n: int
    centre: float
    sigma: float
    deviation: float
    lcl: float
    ucl: float
    lower: float | None
    upper: float | None
    cp: float | None
    cpk: float | None
    pp: float | None
    ppk: float | None


class Violation(Answer):
    """A value that breaks a rule; `index` counts the measurements from 0.

    limits: outside its own limits; control: outside lcl to ucl; run: the eighth or a later one in a
    row on one side of the centre.
    """

    index: int
    at_ms: Instant
    rule: Literal["limits", "control", "run"]


def measured(one: Limited) -> float | None:
    """Its value; None where there is none, or one that is beyond any measurement."""
    return one.value if one.value is not None and abs(one.value) <= MEASURED_MAX else None


def statistics(series: Sequence[Limited]) -> Statistics | None:
    """The chart of the values that were measured, in the order of time; None below two."""
    values = [value for value in map(measured, series) if value is not None]
    if len(values) < VALUES_MIN:
        return None
    centre, deviation = fmean(values), stdev(values)
    sigma = fmean(abs(after - before) for before, after in pairwise(values)) / D2
    lower, upper = _agreed([one.lower for one in series]), _agreed([one.upper for one in series])
    cp, cpk = _capability(centre, sigma, lower, upper)
    pp, ppk = _capability(centre, deviation, lower, upper)
    return Statistics(
        n=len(values),
        centre=centre,
        sigma=sigma,
        deviation=deviation,
        lcl=centre - 3 * sigma,
        ucl=centre + 3 * sigma,
        lower=lower,
        upper=upper,
        cp=cp,
        cpk=cpk,
        pp=pp,
        ppk=ppk,
    )


def violations(series: Sequence[Limited], chart: Statistics | None) -> Iterator[Violation]:
    """The values that break a rule, by time; without a chart only those outside their limits."""
    side, run = 0, 0
    for index, one in enumerate(series):
        if one.value is None:
            continue
        if _outside(one.value, one.lower, one.upper):
            yield Violation(index=index, at_ms=one.at_ms, rule="limits")
        if chart is None or measured(one) is None:
            continue
        if _outside(one.value, chart.lcl, chart.ucl):
            yield Violation(index=index, at_ms=one.at_ms, rule="control")
        here = (one.value > chart.centre) - (one.value < chart.centre)
        side, run = here, run + 1 if here == side else 1
        if here and run >= RUN_LENGTH:
            yield Violation(index=index, at_ms=one.at_ms, rule="run")


def _agreed(limits: Sequence[float | None]) -> float | None:
    return limits[0] if len(set(limits)) == 1 else None


def _capability(
    centre: float, sigma: float, lower: float | None, upper: float | None
) -> tuple[float | None, float | None]:
    """How often the spread fits the limits, and how often it does on the nearer side."""
    if sigma == 0:
        return None, None
    rooms = [upper - centre] if upper is not None else []
    rooms += [centre - lower] if lower is not None else []
    both = None if lower is None or upper is None else (upper - lower) / (6 * sigma)
    return both, min(rooms) / (3 * sigma) if rooms else None


def _outside(value: float, lower: float | None, upper: float | None) -> bool:
    return (lower is not None and value < lower) or (upper is not None and value > upper)
