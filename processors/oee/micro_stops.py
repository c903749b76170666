"""Whether a cell's micro-stops come more often than before: a warning before it breaks down.

Rates are over production time, so that breaks, stops and nights dilute nothing. The last WINDOW_MS
of it are compared with up to PAST_WINDOWS windows before them: rising means at least RECENT_MIN
micro-stops, and more than SIGMAS standard deviations of a Poisson count above what that past lets
expect. Without PAST_MIN_MS of past nothing is said.
"""

from math import sqrt
from typing import Any, Final, NamedTuple

from processors.base import replace
from processors.oee.state import MICRO_STOPS_KEPT, MicroStops

WINDOW_MS: Final = 900_000
PAST_WINDOWS: Final = 8
PAST_MIN_MS: Final = 2 * WINDOW_MS
RECENT_MIN: Final = 5
SIGMAS: Final = 3
CODE: Final = "micro-stops-rising"


class Pace(NamedTuple):
    """Micro-stops in the last window, and how many the past lets expect (None: too little past)."""

    recent: int
    expected: float | None
    past_ms: int

    @property
    def rising(self) -> bool:
        """Whether they come more often than before."""
        if self.expected is None or self.recent < RECENT_MIN:
            return False
        return self.recent > self.expected + SIGMAS * sqrt(max(self.expected, 1.0))


def pace(micro: MicroStops) -> Pace:
    """How often they came lately."""
    from_ms = micro.ran_ms - WINDOW_MS
    recent = sum(end_ms > from_ms for end_ms in micro.ends_ms)
    begin_ms = max(0, from_ms - PAST_WINDOWS * WINDOW_MS)
    if len(micro.ends_ms) >= MICRO_STOPS_KEPT:
        begin_ms = max(begin_ms, micro.ends_ms[0])
    past_ms = max(0, from_ms - begin_ms)
    if past_ms < PAST_MIN_MS:
        return Pace(recent, None, past_ms)
    past = sum(begin_ms < end_ms <= from_ms for end_ms in micro.ends_ms)
    return Pace(recent, past * WINDOW_MS / past_ms, past_ms)


def ran(micro: MicroStops, more_ms: int) -> MicroStops:
    """After more production time; less than none, where it was taken back."""
    return replace(micro, ran_ms=max(0, micro.ran_ms + more_ms)) if more_ms else micro


def with_one_more(micro: MicroStops) -> MicroStops:
    """After a micro-stop that ended just now.

    Where too little of the past is known, the verdict stays.
    """
    ends_ms = (*micro.ends_ms, micro.ran_ms)[-MICRO_STOPS_KEPT:]
    after = replace(micro, ends_ms=ends_ms)
    now = pace(after)
    return after if now.expected is None else replace(after, rising=now.rising)


def alert(micro: MicroStops) -> dict[str, Any]:
    """The body of the early warning."""
    now = pace(micro)
    minutes = WINDOW_MS // 60_000
    return {
        "code": CODE,
        "summary": f"micro-stops are rising: {now.recent} in {minutes} min of production,"
        f" {now.expected or 0:.1f} were to be expected",
        "evidence": {
            "micro_stops": now.recent,
            "expected": now.expected,
            "window_ms": WINDOW_MS,
            "past_ms": now.past_ms,
        },
    }
