"""A cell's time as pieces: one state, one order and item, in one shift window each.

Closed pieces are summed up; only the open one, and those of a stop too young to be judged, are
kept as pieces. Times are ms since epoch, counts are pieces.
"""

from typing import Final

from pydantic import Field

from processors.base import State
from uns.model.calendar import OFF_SHIFT, Window
from uns.model.kpi import Sums

ORDERS_MAX: Final = 20
UNDECIDED_MAX: Final = 16
WINDOWS_MAX: Final = 64


class ShiftWindow(State):
    """The shift a piece lies in, or the pause between two."""

    id: str
    shift: str
    start_ms: int
    end_ms: int

    @property
    def planned(self) -> bool:
        """Whether the plant is planned to run."""
        return self.shift != OFF_SHIFT

    @classmethod
    def of(cls, window: Window) -> "ShiftWindow":
        """The calendar's window as a state keeps it."""
        return cls(id=window.id, shift=window.shift, start_ms=window.start_ms, end_ms=window.end_ms)


class Piece(State):
    """A piece of time from `start_ms`; `made` holds what was counted in it, and no time."""

    state: str
    fault: str | None
    order_id: str | None
    item: str | None
    window: ShiftWindow
    start_ms: int
    made: Sums = Sums()


class Closed(State):
    """A piece that ended, and waits for its stop to be judged."""

    piece: Piece
    end_ms: int


class Stop(State):
    """A stop, open while `end_ms` is None. The first reason known is kept.

    decided: it has lasted too long to be a micro-stop.
    again: counts stops of a cell that began in the same millisecond.
    """

    stop_id: str
    state: str
    reason: str | None
    order_id: str | None
    start_ms: int
    end_ms: int | None = None
    decided: bool = False
    again: int = 0

    @property
    def is_open(self) -> bool:
        """Whether it still lasts."""
        return self.end_ms is None


class ShiftSums(State):
    """What a shift that is over came to, so far."""

    window: ShiftWindow
    sums: Sums


class CellTime(State):
    """One cell. `shift` sums the closed pieces of the open piece's window.

    since_ms: when it entered its state; at_ms: its last change.
    stop: the open stop, or the last one.
    """

    open: Piece
    since_ms: int
    at_ms: int
    undecided: tuple[Closed, ...] = ()
    stop: Stop | None = None
    shift: Sums = Sums()
    last: ShiftSums | None = None


class OrderSums(State):
    """What an order came to at the bottleneck; `unloaded_ms` is None while it is loaded there."""

    item: str | None
    sums: Sums = Sums()
    unloaded_ms: int | None = None


class LineTime(State):
    """The cells of a line by path, and the last ORDERS_MAX orders of its bottleneck cell.

    now_ms: the latest time heard of; the only thing a tick moves.
    """

    line: str
    now_ms: int = 0
    cells: dict[str, CellTime] = Field(default_factory=dict)
    orders: dict[str, OrderSums] = Field(default_factory=dict)
