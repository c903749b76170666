"""When an order will be finished, how sure that is, and whether its due date can still be met.

The method: the rest takes as long per piece as the good pieces of the last operation took since it
took up the order. Pieces are taken as independent with one variance, from the gaps between counts;
the rate itself is known from `good` pieces only. So the rest r has the variance s² (r + r²/good),
and the interval is SPREADS standard deviations to each side: 90 % where that holds.
"""

from math import isqrt
from typing import Final, NamedTuple

from processors.base import replace
from processors.order_progress.figures import routing, totals
from processors.order_progress.state import Order, Pace
from uns.model.order import Schedule
from uns.model.plant import Plant

FORECAST_MS_MAX: Final = 366 * 24 * 3_600_000
GAPS_MIN: Final = 5
"""Fewer gaps between counts tell no spread: then there is no interval."""
SPREADS: Final = (1_645, 1_000)
"""1.645 standard deviations, as a fraction."""


class Forecast(NamedTuple):
    """When it will be finished, and the interval about that; None while unknown."""

    finish_ms: int | None = None
    early_ms: int | None = None
    late_ms: int | None = None


def paced(pace: Pace | None, good: int, at_ms: int) -> Pace | None:
    """The pace after a count of good pieces."""
    if not good:
        return pace
    if pace is None:
        return Pace(last_ms=at_ms)
    gap_ms = at_ms - pace.last_ms
    if gap_ms <= 0:
        return pace
    return replace(
        pace,
        last_ms=at_ms,
        gaps=pace.gaps + 1,
        pieces=pace.pieces + good,
        elapsed_ms=pace.elapsed_ms + gap_ms,
        squares_ms2=pace.squares_ms2 + gap_ms * gap_ms // good,
    )


def forecast(order: Order, cells: tuple[str, ...], now_ms: int) -> Forecast:
    """When the last operation will have made the rest at its rate so far."""
    last = order.cells.get(cells[-1]) if cells else None
    if order.completed_ms is not None or last is None or not last.good:
        return Forecast()
    rest = max(0, order.quantity - last.good)
    left_ms = rest * max(0, now_ms - last.since_ms) // last.good
    if left_ms > FORECAST_MS_MAX:
        return Forecast()
    spread_ms = _spread_ms(last.pace, rest, last.good)
    if spread_ms is None:
        return Forecast(now_ms + left_ms)
    return Forecast(
        now_ms + left_ms, now_ms + max(0, left_ms - spread_ms), now_ms + left_ms + spread_ms
    )


def _spread_ms(pace: Pace | None, rest: int, good: int) -> int | None:
    """Half the interval, from the variance of a piece's time about its mean over the gaps."""
    if pace is None or pace.gaps < GAPS_MIN:
        return None
    about_mean = pace.squares_ms2 - pace.elapsed_ms * pace.elapsed_ms // pace.pieces
    variance = max(0, about_mean) * rest * (good + rest) // ((pace.gaps - 1) * good)
    times, of = SPREADS
    return min(isqrt(variance) * times // of, FORECAST_MS_MAX)


def is_late(order: Order, expected: Forecast, now_ms: int) -> bool:
    """Ended after its due date, or bound to be."""
    if order.due_ms is None:
        return False
    expected_ms = max(now_ms, expected.finish_ms or 0)
    return (expected_ms if order.completed_ms is None else order.completed_ms) > order.due_ms


def schedule(
    plant: Plant, line: str, order: Order, expected: Forecast, now_ms: int
) -> Schedule | None:
    """How an order stands to its due date; None without one."""
    if order.due_ms is None:
        return None
    if order.completed_ms is not None:
        return "late" if order.completed_ms > order.due_ms else "on-time"
    if now_ms + quickest_ms(plant, line, order) > order.due_ms:
        return "late"
    if (expected.finish_ms or 0) > order.due_ms:
        return "behind"
    return "at-risk" if (expected.late_ms or 0) > order.due_ms else "on-time"


def quickest_ms(plant: Plant, line: str, order: Order) -> int:
    """How long the rest takes at the ideal cycle of the slowest operation."""
    cells = routing(plant, line, order)
    cycles = [
        place.cell.ideal_cycle_ms.get(order.item or "", 0)
        for place in plant.lines.get(line, ())
        if place.path.rpartition("/")[2] in cells
    ]
    return max(0, order.quantity - totals(order, cells).good) * max(cycles, default=0)
