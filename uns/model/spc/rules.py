"""Which rules a point breaks: Western Electric (1956) and Nelson (1984).

A point on a line belongs to the zone inside of it, one on the centre line to neither side. A run
does not begin anew after it was found: its next point breaks the rule again. Of "two of three" and
the like the newest point must be one, and all of the three must be there.
"""

from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise
from typing import Final, NamedTuple

from uns.model.spc.limits import Lines
from uns.model.spc.settings import Rule

NEAR: Final = 1e-9
"""Of sigma: closer than that to a line is on it; numbers carry rounding of about 1e-16."""
ROUNDING: Final = 1e-12
WITHIN_ONE, WITHIN_TWO, WITHIN_LIMITS = 1, 2, 3


class Mark(NamedTuple):
    """A drawn value and its zone; sigma: the deviation there.

    zone: 0 on the centre line, then by side 1 up to one sigma, 2 up to two, 3 up to the limit, 4
    beyond; negative below.
    """

    value: float
    zone: int
    sigma: float


class Pattern(NamedTuple):
    """How many points a rule looks at, the newest last, and when it is broken."""

    points: int
    is_broken: Callable[[Sequence[Mark]], bool]


def marked(value: float, at: Lines) -> Mark:
    """The zone of a value among its lines."""
    if _is_on(value, at.centre, at):
        return Mark(value, 0, at.sigma)
    side = 1 if value > at.centre else -1
    limit = at.upper if side > 0 else at.lower
    steps = (at.centre + side * at.sigma, at.centre + side * 2 * at.sigma, limit)
    outside = sum(side * (value - step) > 0 and not _is_on(value, step, at) for step in steps)
    return Mark(value, side * (1 + outside), at.sigma)


def broken(marks: Sequence[Mark], rules: Sequence[Rule]) -> Iterator[tuple[Rule, int]]:
    """The rules that the newest mark breaks, each with how many points it looks at."""
    for rule in rules:
        points, is_broken = PATTERNS[rule]
        if len(marks) >= points and is_broken(marks[-points:]):
            yield rule, points


def is_beyond(mark: Mark) -> bool:
    """Whether a value lies outside of its limits."""
    return abs(mark.zone) > WITHIN_LIMITS


def _is_on(value: float, line: float, at: Lines) -> bool:
    return abs(value - line) <= NEAR * at.sigma + ROUNDING * max(abs(value), abs(line))


def _newest_beyond(marks: Sequence[Mark]) -> bool:
    return is_beyond(marks[-1])


def _one_side(marks: Sequence[Mark]) -> bool:
    return all(m.zone > 0 for m in marks) or all(m.zone < 0 for m in marks)


def _all_but_one_outside(zone: int) -> Callable[[Sequence[Mark]], bool]:
    def is_broken(marks: Sequence[Mark]) -> bool:
        side = 1 if marks[-1].zone > 0 else -1
        outside = [side * m.zone > zone for m in marks]
        return outside[-1] and sum(outside) >= len(marks) - 1

    return is_broken


def _trend(marks: Sequence[Mark]) -> bool:
    steps = [after.value - before.value for before, after in pairwise(marks)]
    return all(step > 0 for step in steps) or all(step < 0 for step in steps)


def _alternates(marks: Sequence[Mark]) -> bool:
    steps = [after.value - before.value for before, after in pairwise(marks)]
    return all((a > 0 > b) or (a < 0 < b) for a, b in pairwise(steps))


def _hugs_the_centre(marks: Sequence[Mark]) -> bool:
    return all(abs(m.zone) <= WITHIN_ONE and m.sigma > 0 for m in marks)


def _avoids_the_centre(marks: Sequence[Mark]) -> bool:
    is_outside = all(abs(m.zone) > WITHIN_ONE for m in marks)
    return is_outside and not _one_side(marks)


PATTERNS: Final[dict[Rule, Pattern]] = {
    "western-electric-1": Pattern(1, _newest_beyond),
    "western-electric-2": Pattern(3, _all_but_one_outside(WITHIN_TWO)),
    "western-electric-3": Pattern(5, _all_but_one_outside(WITHIN_ONE)),
    "western-electric-4": Pattern(8, _one_side),
    "nelson-1": Pattern(1, _newest_beyond),
    "nelson-2": Pattern(9, _one_side),
    "nelson-3": Pattern(6, _trend),
    "nelson-4": Pattern(14, _alternates),
    "nelson-5": Pattern(3, _all_but_one_outside(WITHIN_TWO)),
    "nelson-6": Pattern(5, _all_but_one_outside(WITHIN_ONE)),
    "nelson-7": Pattern(15, _hugs_the_centre),
    "nelson-8": Pattern(8, _avoids_the_centre),
}
LOOK_BACK: Final = max(pattern.points for pattern in PATTERNS.values()) - 1
"""How many points before the newest a rule can need."""
