"""The factors between a spread of normal samples and their standard deviation, computed.

d2 and d3 are mean and deviation of the range of n standard normal values, c4 is the mean of their
standard deviation. The usual tables hold the same numbers, rounded.
"""

from functools import cache
from math import erfc, exp, lgamma, pi, sqrt
from typing import Final, Literal, NamedTuple

N_MAX: Final = 25
Rounding = Literal["table", "exact"]
DIGITS: Final = {"d2": 3, "d3": 4, "c4": 4}
"""Of the tables in ISO 7870-2, annex C, and ASTM E2587."""
_STEP: Final = 0.1
_WIDEST: Final = 14.0
_STEPS: Final = 560


class Factors(NamedTuple):
    """For subgroups of n: sigma = mean range / d2 = mean deviation / c4; d3 * sigma of a range."""

    d2: float
    d3: float
    c4: float


@cache
def factors(n: int, rounding: Rounding = "exact") -> Factors:
    """The factors for subgroups of 2 to N_MAX values, exact to 7 digits or as tables print them."""
    first, second = _moments(n)
    found = Factors(first, sqrt(second - first**2), c4(n))
    if rounding == "exact":
        return found
    return Factors(*(round(value, DIGITS[name]) for name, value in found._asdict().items()))


@cache
def c4(n: int) -> float:
    """Mean standard deviation of n standard normal values, n of 2 and more, without a bound."""
    return sqrt(2 / (n - 1)) * exp(lgamma(n / 2) - lgamma((n - 1) / 2))


def _moments(n: int) -> tuple[float, float]:
    """Mean of the range of n standard normal values, and of its square: Simpson over its density.

    The inner integral goes over the whole line, where equal steps are exact to the last digit.
    """
    xs = [k * _STEP for k in range(round(-9 / _STEP), round(9 / _STEP) + 1)]
    below, density = [_below(x) for x in xs], [_density(x) for x in xs]
    first = second = 0.0
    for k in range(1, _STEPS):
        w = k * _WIDEST / _STEPS
        inside = (
            f * _density(x + w) * (_below(x + w) - p) ** (n - 2)
            for x, p, f in zip(xs, below, density, strict=True)
        )
        share = (4 if k % 2 else 2) * n * (n - 1) * _STEP * sum(inside)
        first, second = first + w * share, second + w * w * share
    return first * _WIDEST / _STEPS / 3, second * _WIDEST / _STEPS / 3


def _below(x: float) -> float:
    return erfc(-x / sqrt(2)) / 2


def _density(x: float) -> float:
    return exp(-x * x / 2) / sqrt(2 * pi)
