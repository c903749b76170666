"""All lines of the simulated plant on one time grid. Pure: state and time in, finished pieces out.

The grid makes the plant the same at every speed: what happens depends on plant time alone.
"""

from collections.abc import Iterator
from typing import Final

from uns.demo.line import Line
from uns.demo.machine import Machine
from uns.demo.orders import Office
from uns.demo.pace import Pace
from uns.demo.state import CellState, Finished, Order, PlantState
from uns.demo.station import stations
from uns.model.plant import Plant

GRID_MS: Final = 50


class Simulation:
    """The plant at work; `state` is all that it remembers, to go on from after a restart."""

    def __init__(self, plant: Plant, state: PlantState, pace: Pace, seed: int) -> None:
        for path in plant.cells:
            state.cells.setdefault(path, CellState())
        self.state = state
        self._pace = pace
        self._office = Office(plant, state, pace, seed)
        self._lines = tuple(Line(stations(plant, path), state, pace, seed) for path in plant.lines)
        self._at_ms: int | None = None

    @property
    def machines(self) -> Iterator[Machine]:
        """Every machine, in the order of namespace.yaml."""
        for line in self._lines:
            yield from line.machines

    def plan(self, now_ms: int) -> list[Order]:
        """Keep the lines supplied; the orders that the world does not know of yet."""
        self._office.plan(now_ms)
        waiting = [order for line in self.state.lines.values() for order in line.waiting]
        return [order for order in waiting if not order.announced]

    def advance(self, now_ms: int) -> list[Finished]:
        """Go on to `now_ms`. The first call only sets the clock; a stalled plant has slept."""
        at_ms = self._wake(now_ms)
        finished = list[Finished]()
        while at_ms + GRID_MS <= now_ms:
            at_ms += GRID_MS
            for line in self._lines:
                finished += line.step(at_ms)
        self._at_ms = at_ms
        return finished

    def _wake(self, now_ms: int) -> int:
        """Where to go on from: what is too long to go through at once is skipped."""
        if self._at_ms is None:
            self._postpone(0, now_ms + self._pace.reconnect_ms)
            return now_ms
        slept_ms = max(0, now_ms - self._at_ms - self._pace.stall_ms)
        self._postpone(slept_ms, 0)
        return self._at_ms + slept_ms

    def _postpone(self, by_ms: int, until_ms: int) -> None:
        """Move what is due; a machine that was never on has nothing to wait for."""
        for machine in self.machines:
            state = machine.state
            if state.phase != "off":
                state.due_ms = max(state.due_ms + by_ms, until_ms)
                state.waiting_since_ms += by_ms
