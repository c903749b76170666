"""How likely a single plan accepts a lot: operating characteristics, after ISO 2859-1, 10 to 12.

Binomial for items nonconforming out of a process, Poisson for nonconformities per 100 items,
hypergeometric for one lot of known size. Each is a sum of few terms without approximation.
"""

from collections.abc import Callable
from math import comb, exp, fsum
from typing import Final, Literal

Distribution = Literal["binomial", "poisson", "hypergeometric"]
PER_CENT_MAX: Final = 10.0
"""The greatest AQL that may mean per cent nonconforming."""
_STEPS: Final = 200


def usual(aql: float) -> Distribution:
    """What the standard uses for an AQL if nobody says what is counted."""
    return "binomial" if aql <= PER_CENT_MAX else "poisson"


def binomial(size: int, accept: int, fraction: float) -> float:
    """Of a process with this fraction nonconforming (0 to 1)."""
    terms = (
        comb(size, k) * fraction**k * (1 - fraction) ** (size - k)
        for k in range(min(accept, size) + 1)
    )
    return min(1.0, fsum(terms))


def poisson(size: int, accept: int, per_item: float) -> float:
    """Of a process with this many nonconformities an item."""
    mean = size * per_item
    term, terms = exp(-mean), list[float]()
    for k in range(accept + 1):
        terms.append(term)
        term *= mean / (k + 1)
    return min(1.0, fsum(terms))


def hypergeometric(size: int, accept: int, lot: int, nonconforming: int) -> float:
    """Of a lot with this many items nonconforming."""
    size = min(size, lot)
    ways = sum(
        comb(nonconforming, k) * comb(lot - nonconforming, size - k)
        for k in range(min(accept, size) + 1)
    )
    return ways / comb(lot, size)


def quality_at(probability: float, accepted: Callable[[float], float], worst: float) -> float:
    """The quality, from 0 to `worst`, that is accepted with a probability: the curve inverted."""
    best = 0.0
    for _ in range(_STEPS):
        middle = (best + worst) / 2
        best, worst = (middle, worst) if accepted(middle) > probability else (best, middle)
    return best
