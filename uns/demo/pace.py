"""How fast plant time runs, and what must keep its distance in wall time all the same.

A bridge that polls every 200 ms can only tell before from after when a change of context (order,
item, lot) and a change of counters lie further apart than that on its own clock.
"""

from dataclasses import dataclass
from typing import Final, Protocol

QUIET_WALL_MS: Final = 500
LOAD_DELAY_WALL_MS: Final = 2_000
RECONNECT_WALL_MS: Final = 3_000
STALL_WALL_MS: Final = 100
LOT_PIECES: Final = 8
SPEED_OF_LOT: Final = 3.0


class Clock(Protocol):
    """Plant time in ms since epoch; runs `speed` times as fast as the wall's."""

    @property
    def speed(self) -> float:
        """Plant ms per wall ms."""

    def __call__(self) -> int:
        """Now, in plant time."""


@dataclass(frozen=True, slots=True)
class Pace:
    """Durations in plant ms for a speed. Beyond speed 3, lots and orders grow with it."""

    speed: float = 1.0

    @property
    def quiet_ms(self) -> int:
        """The least distance between a change of context and a change of counters."""
        return self._plant_ms(QUIET_WALL_MS)

    @property
    def load_delay_ms(self) -> int:
        """From an order's release until the staff loads it at the line."""
        return self._plant_ms(LOAD_DELAY_WALL_MS)

    @property
    def reconnect_ms(self) -> int:
        """How long machines rest after a restart: bridges must read the old values first."""
        return self._plant_ms(RECONNECT_WALL_MS)

    @property
    def stall_ms(self) -> int:
        """The longest time that is simulated in one go; what is longer, the plant slept."""
        return self._plant_ms(STALL_WALL_MS)

    @property
    def scale(self) -> int:
        """How many times larger lots and orders are than at normal speed."""
        return max(1, round(self.speed / SPEED_OF_LOT))

    @property
    def lot_pieces(self) -> int:
        """Good pieces in one lot."""
        return LOT_PIECES * self.scale

    def _plant_ms(self, wall_ms: int) -> int:
        return round(wall_ms * max(1.0, self.speed))
