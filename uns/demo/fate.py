"""What becomes of piece n of a cell: a pure function of the seed, the cell and n.

So the same seed gives the same plant, whatever the speed and however often it was restarted.
Every SEASON pieces the story repeats: a breakdown, a drift out of the limits, short stops.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from random import Random
from typing import Final, NamedTuple

from uns.model.plant import Limits

SEASON: Final = 60
BREAKDOWN_AT: Final = 4
BREAKDOWN_MS: Final = (6_000, 7_500)
BREAKDOWN_FAULTS: Final = (11, 12, 13)
DRIFT: Final = range(6, 12)
DRIFT_STEP: Final = 0.5
MICRO_STOP_EVERY: Final = 30
MICRO_STOP_MS: Final = (2_000, 3_600)
MICRO_STOP_FAULTS: Final = (21, 22)
MICRO_STOP_SHARE: Final = 0.01
SLOW_SHARE: Final = 0.04
SLOW_FACTOR: Final = 1.3
SPEED_LOSS_MAX: Final = 0.08
SCRAP_SHARE: Final = 0.01
REWORK_SHARE: Final = 0.03
RETEST_PASSES_SHARE: Final = 0.5
SPREAD: Final = 0.22
ONE_SIDED_LOWER: Final = 1.08
ONE_SIDED_UPPER: Final = 0.6


class Stop(NamedTuple):
    """A stop after the piece: the fault shown and how long."""

    fault: int
    duration_ms: int
    breakdown: bool


@dataclass(frozen=True, slots=True)
class Fate:
    """A piece's way through one cell.

    measured: by characteristic what an inspection finds; `good` follows from it.
    rework: it is reworked and tested once more before it ends good or as scrap.
    noise: -1 to 1, for process values that are only shown.
    """

    cycle_ms: int
    measured: Mapping[str, float]
    good: bool
    rework: bool
    noise: float
    stop: Stop | None


@dataclass(frozen=True, slots=True)
class Habits:
    """What is peculiar to a cell. index: its place on the line; moves its short stops."""

    path: str
    index: int
    drifts: bool
    breaks_down: bool
    reworks: bool


def fate_of(habits: Habits, ideal_ms: int, limits: Mapping[str, Limits], n: int, seed: int) -> Fate:
    """The fate of the cell's n-th piece, n from 1."""
    rng = Random(f"{seed}/{habits.path}/{n}")
    measured = _measured(rng, limits, _drift(habits, n))
    inside = all(_inside(measured[name], one) for name, one in limits.items())
    good = inside and rng.random() >= SCRAP_SHARE
    rework = habits.reworks and (not inside or rng.random() < REWORK_SHARE)
    return Fate(
        cycle_ms=_cycle_ms(rng, ideal_ms),
        measured=measured,
        good=good or (rework and rng.random() < RETEST_PASSES_SHARE),
        rework=rework,
        noise=rng.uniform(-1.0, 1.0),
        stop=_stop(rng, habits, n),
    )


def _cycle_ms(rng: Random, ideal_ms: int) -> int:
    slow = SLOW_FACTOR if rng.random() < SLOW_SHARE else 1.0
    return round(ideal_ms * slow * (1.0 + rng.uniform(0.0, SPEED_LOSS_MAX)))


def _drift(habits: Habits, n: int) -> float:
    """How far the process has left the middle, in half tolerances."""
    at = (n - 1) % SEASON
    return DRIFT_STEP * (at - DRIFT.start + 1) if habits.drifts and at in DRIFT else 0.0


def _measured(rng: Random, limits: Mapping[str, Limits], drift: float) -> dict[str, float]:
    """Values of all characteristics; the drift is in the last one."""
    last = list(limits)[-1:]
    return {
        name: _value(one, rng.gauss(0.0, SPREAD) + (drift if name in last else 0.0))
        for name, one in limits.items()
    }


def _value(limits: Limits, deviation: float) -> float:
    """A value `deviation` half tolerances off the middle, towards the limit there is."""
    match limits.lower, limits.upper:
        case float(lower), float(upper):
            value = (lower + upper) / 2 + deviation * (upper - lower) / 2
        case None, float(upper):
            value = upper * (ONE_SIDED_UPPER + deviation * (1.0 - ONE_SIDED_UPPER))
        case float(lower), None:
            value = lower * (ONE_SIDED_LOWER - deviation * (ONE_SIDED_LOWER - 1.0))
        case _:
            value = deviation
    return round(value, 4)


def _inside(value: float, limits: Limits) -> bool:
    above = limits.lower is None or value >= limits.lower
    return above and (limits.upper is None or value <= limits.upper)


def _stop(rng: Random, habits: Habits, n: int) -> Stop | None:
    if habits.breaks_down and (n - 1) % SEASON == BREAKDOWN_AT:
        return Stop(rng.choice(BREAKDOWN_FAULTS), rng.randint(*BREAKDOWN_MS), breakdown=True)
    due = n % MICRO_STOP_EVERY == 2 * (habits.index + 1)
    if due or rng.random() < MICRO_STOP_SHARE:
        return Stop(rng.choice(MICRO_STOP_FAULTS), rng.randint(*MICRO_STOP_MS), breakdown=False)
    return None
