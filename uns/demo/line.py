"""One line: its orders, the pieces and lots that go from cell to cell. Pure.

Law: pieces are conserved. The first cell begins a piece only while the order lacks one, so when
the last cell has made the last good piece, no piece of the order is left anywhere on the line.
"""

from collections.abc import Iterator
from typing import Final

from uns.demo.machine import Machine
from uns.demo.pace import Pace
from uns.demo.sequences import NEXT_BLOCKED, NO_FAULT, NO_MATERIAL
from uns.demo.state import Finished, LineState, Order, PlantState
from uns.demo.station import Station
from uns.demo.warehouse import Warehouse

BUFFER_PIECES: Final = 4


class Line:
    """A line at work; `state` is all that it remembers beside its machines'."""

    def __init__(
        self, stations: tuple[Station, ...], plant: PlantState, pace: Pace, seed: int
    ) -> None:
        self.path = stations[0].place.line_path
        self.state = plant.lines.setdefault(self.path, LineState())
        self.state.buffers = self.state.buffers or [[] for _ in stations]
        self._warehouse = Warehouse(plant, stations[0].items)
        self._pace = pace
        self._stations = stations
        self.machines = tuple(
            Machine(station, plant.cells[station.path], self, pace, seed) for station in stations
        )

    def step(self, now_ms: int) -> Iterator[Finished]:
        """Everything that is due at `now_ms`, in flow order."""
        for machine in self.machines:
            if finished := machine.step(now_ms):
                yield finished
        if self.ended() and not any(machine.state.order_id for machine in self.machines):
            self.state.running = None

    # --- what the machines ask (Supply)

    def order_for(self, index: int, now_ms: int) -> Order | None:
        """The running order; at the first cell the next one begins when the staff has it."""
        if index == 0 and self.state.running is None:
            self._start_next(now_ms)
        if self.ended() or (index and not self.state.buffers[index]):
            return None
        return self.state.running

    def ended(self) -> bool:
        """Whether the running order has all its good pieces."""
        return self.state.running is not None and self.state.good >= self.state.running.quantity

    def lack(self, index: int) -> int:
        """Why the cell cannot begin a piece: no room behind it, or nothing before it."""
        buffers = self.state.buffers
        if not self._stations[index].is_last and len(buffers[index + 1]) >= BUFFER_PIECES:
            return NEXT_BLOCKED
        if index:
            return NO_FAULT if buffers[index] else NO_MATERIAL
        running = self.state.running
        wanted = running.quantity if running else 0
        return NO_FAULT if self.state.begun - self.state.scrapped < wanted else NEXT_BLOCKED

    def next_lot(self, index: int) -> str:
        """The lot of the piece that waits before the cell."""
        return self.state.buffers[index][0] if self.state.buffers[index] else ""

    def take(self, index: int) -> str:
        """Take a piece from the buffer; the first cell begins with material only."""
        if index:
            return self.state.buffers[index].pop(0)
        self.state.begun += 1
        return ""

    def give(self, index: int, lot: str, *, good: bool) -> None:
        """A good piece goes to the next cell, or is the order's when there is none."""
        if not good:
            self.state.scrapped += 1
        elif self._stations[index].is_last:
            self.state.good += 1
        else:
            self.state.buffers[index + 1].append(lot)

    def component(self, item: str) -> tuple[str, float]:
        """The next lot of a component, and its quantity."""
        return self._warehouse.draw(item)

    def open_lot(self, index: int) -> str:
        """A new lot for what the cell makes."""
        line, cell = self.path.rpartition("/")[2], self._stations[index].name
        return self._warehouse.number(f"{line[:3].upper()}-{cell[:5]}")

    def close_lot(self, index: int, item: str, lot: str, pieces: int) -> None:
        """A lot is complete: what the last cell made goes on the shelf."""
        if pieces and self._stations[index].is_last:
            self._warehouse.receive(item, lot, pieces)

    def _start_next(self, now_ms: int) -> None:
        waiting = self.state.waiting
        if waiting and now_ms >= waiting[0].released_ms + self._pace.load_delay_ms:
            self.state.running = waiting.pop(0)
            self.state.begun = self.state.scrapped = self.state.good = 0
