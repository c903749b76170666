"""A cell's time as pieces: one state, one order and item, in one shift window each.

Closed pieces are summed up; only the open one, and those of a stop too young to be judged, are
kept as pieces, and the last few closed ones, so that a late change finds its place. Times are ms
since epoch, counts are pieces.
"""

from typing import Final

from pydantic import Field

from processors.base import State
from uns.model.calendar import OFF_SHIFT, Window
from uns.model.kpi import Sums

ORDERS_MAX: Final = 20
UNDECIDED_MAX: Final = 16
WINDOWS_MAX: Final = 64
SHIFTS_KEPT: Final = 4
"""Windows (shifts and pauses) before the current one that have sums and a document."""
PAST_MAX: Final = 4
"""Closed pieces behind the open one that a late change may take back."""


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
    """A piece that ended."""

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
    """What the closed pieces of a shift came to, so far."""

    window: ShiftWindow
    sums: Sums = Sums()


class CellTime(State):
    """One cell.

    since_ms: when it entered its state; at_ms: its last change.
    stop: the open stop, or the last one.
    shifts: the open piece's window, last, and up to SHIFTS_KEPT before it.
    past: up to PAST_MAX closed pieces up to the open one, of the time since a stop began or ended.
    waits: it is unknown, or its facts since then have not caught up with its line's event time.
    final_ms: what ended by then was final when it last waited, and stays so.
    corrections: by the id of a shift that was final, how many facts changed it afterwards.
    """

    open: Piece
    since_ms: int
    at_ms: int
    undecided: tuple[Closed, ...] = ()
    stop: Stop | None = None
    shifts: tuple[ShiftSums, ...]
    past: tuple[Closed, ...] = ()
    final_ms: int = 0
    waits: bool = True
    corrections: dict[str, int] = Field(default_factory=dict)


class OrderSums(State):
    """What an order came to at the bottleneck; `unloaded_ms` is None while it is loaded there.

    settled_ms: the event time at which it was found final, or last corrected.
    corrections: how many facts changed it after it was final.
    """

    item: str | None
    sums: Sums = Sums()
    unloaded_ms: int | None = None
    settled_ms: int | None = None
    corrections: int = 0


class LineTime(State):
    """The cells of a line by path, and the last ORDERS_MAX orders of its bottleneck cell.

    now_ms: the latest time heard of; the only thing a tick moves.
    heard_ms: the event time of the line: the latest stamp of its facts, 0 before the first.
    """

    line: str
    now_ms: int = 0
    heard_ms: int = 0
    cells: dict[str, CellTime] = Field(default_factory=dict)
    orders: dict[str, OrderSums] = Field(default_factory=dict)
