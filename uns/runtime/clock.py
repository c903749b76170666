"""Plant time: the only clock that stamps payloads. It may run faster than the wall's.

plant = origin_plant + (wall - origin_wall) x speed. One file in the data folder gives every
process of the hub the same clock; a second start on the folder never goes back in time.
"""

import json
import time
from dataclasses import asdict, dataclass
from pathlib import Path

CLOCK_FILE = "clock.json"


def wall_ms() -> int:
    """Milliseconds of wall time since 1970 (UTC)."""
    return time.time_ns() // 1_000_000


@dataclass(frozen=True, slots=True)
class PlantClock:
    """Calling it gives plant time in ms; `speed` is plant seconds per wall second."""

    origin_wall_ms: int
    origin_plant_ms: int
    speed: float = 1.0

    def __call__(self) -> int:
        """Plant time now, in ms since 1970 (UTC)."""
        return self.at_wall(wall_ms())

    def at_wall(self, at_wall_ms: int) -> int:
        """Plant time at an instant of wall time."""
        return self.origin_plant_ms + int((at_wall_ms - self.origin_wall_ms) * self.speed)

    def wall_s(self, plant_duration_ms: float) -> float:
        """How long a plant duration takes on the wall, in seconds."""
        return plant_duration_ms / self.speed / 1000


def start_clock(folder: Path, speed: float) -> PlantClock:
    """A clock that goes on where the folder's last one got to, or begins at wall time."""
    now = wall_ms()
    path = folder / CLOCK_FILE
    reached = json.loads(path.read_text())["reached_ms"] if path.exists() else 0
    clock = PlantClock(now, max(now, reached), speed)
    save_clock(folder, clock)
    return clock


def save_clock(folder: Path, clock: PlantClock, ahead_s: float = 0.0) -> None:
    """Write the clock and how far it got; atomic, so that a crash leaves the old file.

    ahead_s: wall seconds until the next save; a fast clock must not go back after a crash.
    """
    path = folder / CLOCK_FILE
    fresh = path.with_suffix(".tmp")
    fresh.write_text(
        json.dumps(
            {**asdict(clock), "reached_ms": clock() + int(ahead_s * 1000 * max(clock.speed - 1, 0))}
        )
    )
    fresh.replace(path)


def load_clock(folder: Path) -> PlantClock:
    """The clock of a running hub."""
    saved = json.loads((folder / CLOCK_FILE).read_text())
    return PlantClock(saved["origin_wall_ms"], saved["origin_plant_ms"], saved["speed"])
