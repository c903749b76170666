"""When to connect again, and when not to: the two rules of reconnecting, without I/O.

Owns the delays and the judgement that a loss was a takeover. Does not know sockets or clocks:
times and randomness are given.
"""

from collections import deque
from typing import Final

DELAY_MIN_S: Final = 0.05
DELAY_MAX_S: Final = 2.0
TAKEOVER_WINDOW_S: Final = 10.0


def delay_s(attempt: int, jitter: float, delay_s_max: float = DELAY_MAX_S) -> float:
    """The pause before an attempt (0 is the first): doubling, bounded, spread over its half.

    jitter: 0 to 1, from the caller's randomness, so that many clients do not come at once.
    """
    ceiling = min(delay_s_max, DELAY_MIN_S * 2.0 ** min(attempt, 16))
    return ceiling * (1.0 + jitter) / 2.0


class Losses:
    """Tells a takeover from a broken broker, for brokers that do not give a reason.

    Two owners of one client id throw each other out, so a connection is lost twice in a short
    time while the broker is there all along. A broker that was away in between, or is away now,
    is no sign of a second owner.
    """

    def __init__(self) -> None:
        self._at_s: deque[float] = deque(maxlen=2)

    def lost(self, at_s: float) -> bool:
        """Record that a working connection ended; True if, with the broker there, it is one."""
        self._at_s.append(at_s)
        return len(self._at_s) > 1 and at_s - self._at_s[0] < TAKEOVER_WINDOW_S

    def broker_absent(self) -> None:
        """Record that the broker did not answer an attempt."""
        self._at_s.clear()
