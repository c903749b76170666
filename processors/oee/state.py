"""A cell's time as pieces: one state, one order and item, in one shift window each.

Closed pieces are summed up; only the open one, and those of a stop too young to be judged, are
kept as pieces, and the last few closed ones, so that a late change finds its place. Times are ms
since epoch, counts are pieces.
"""

from typing import Final, NamedTuple, Self

from pydantic import Field

from processors.base import State
from uns.model.calendar import OFF_SHIFT, Window
from uns.model.equipment import Element
from uns.model.kpi import Sums

DAY_LENGTH: Final = len("2026-11-23")
ORDERS_MAX: Final = 20
UNDECIDED_MAX: Final = 16
WINDOWS_MAX: Final = 64
SHIFTS_KEPT: Final = 4
"""Windows (shifts and pauses) before the current one that have sums and a document."""
PAST_MAX: Final = 4
"""Closed pieces behind the open one that a late change may take back."""
DAYS_KEPT: Final = 1
"""Production days before the current one that have sums and a document."""
STOPS_KEPT: Final = 10
"""Real stops of a cell, over, that a person may still classify, split or merge."""
PARTS_MAX: Final = 16
"""Pieces of time of one stop; one with more of them keeps its time where it was booked."""
PARTS_KEPT: Final = 32
"""Pieces of time of all stops that are kept."""
MICRO_STOPS_KEPT: Final = 108
ITEMS_MAX: Final = 12
"""Items of a cell's day that have sums; more of them have theirs in history only."""


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

    @property
    def day(self) -> str:
        """The local day it opened, `2026-11-23`: its production day."""
        return self.id[:DAY_LENGTH]

    @classmethod
    def of(cls, window: Window) -> "ShiftWindow":
        """The calendar's window as a state keeps it."""
        return cls(id=window.id, shift=window.shift, start_ms=window.start_ms, end_ms=window.end_ms)


class Piece(State):
    """A piece of time from `start_ms`; `made` holds what was counted in it, and no time.

    rest: it lies in a break of its shift.
    """

    state: str
    fault: str | None
    order_id: str | None
    item: str | None
    window: ShiftWindow
    start_ms: int
    rest: bool = False
    made: Sums = Sums()


class Closed(State):
    """A piece that ended."""

    piece: Piece
    end_ms: int


class Part(NamedTuple):
    """A piece of a stop's time as it was booked: under which element, of which window and order.

    There are many of them: as a tuple, a state says their names only here.
    """

    element: Element
    state: str
    order_id: str | None
    item: str | None
    window_id: str
    start_ms: int
    end_ms: int


class Stop(State):
    """A stop, open while `end_ms` is None. The first reason known is kept.

    decided: it has lasted too long to be a micro-stop.
    again: counts stops of a cell that began in the same millisecond.
    classified: a person gave the reason; it goes before what the device says.
    parts: its booked time, in order, less what was unknown; whole: there are all of them.
    runs: (start, end) of what lay between the stops that were merged into it.
    """

    stop_id: str
    state: str
    reason: str | None
    order_id: str | None
    start_ms: int
    end_ms: int | None = None
    decided: bool = False
    again: int = 0
    classified: bool = False
    parts: tuple[Part, ...] = ()
    whole: bool = True
    runs: tuple[tuple[int, int], ...] = ()

    def length_ms(self, end_ms: int) -> int:
        """How long it stood until an instant."""
        return end_ms - self.start_ms - sum(end - start for start, end in self.runs)

    @property
    def is_open(self) -> bool:
        """Whether it still lasts."""
        return self.end_ms is None


class Tally(State):
    """What closed pieces came to, and how many `oee-interval` events have told of them."""

    sums: Sums = Sums()
    intervals: int = 0

    def plus(self, sums: Sums) -> Self:
        """With one interval more."""
        return self.model_copy(update={"sums": self.sums + sums, "intervals": self.intervals + 1})


class ShiftSums(Tally):
    """A shift so far."""

    window: ShiftWindow

    @property
    def id(self) -> str:
        """The window's."""
        return self.window.id

    @property
    def end_ms(self) -> int:
        """When it ends."""
        return self.window.end_ms

    def holds(self, window: ShiftWindow) -> bool:
        """Whether time of a window is of it."""
        return window == self.window


class DaySums(Tally):
    """A production day so far: the windows that opened on it, and its first ITEMS_MAX items."""

    id: str
    start_ms: int
    end_ms: int
    items: dict[str, Tally] = Field(default_factory=dict)

    def holds(self, window: ShiftWindow) -> bool:
        """Whether time of a window is of it."""
        return window.day == self.id


class MicroStops(State):
    """When the last micro-stops ended, in production time (ms that the cell ran so far).

    rising: they came more often than before when the last of them ended.
    """

    ran_ms: int = 0
    ends_ms: tuple[int, ...] = ()
    rising: bool = False


class CellTime(State):
    """One cell.

    since_ms: when it entered its state; at_ms: its last change.
    stop: the open stop, or the last one.
    stops: the last real ones that are over, oldest first; micro: the others.
    changes: how many times a person changed a stop.
    shifts: the open piece's window, last, and up to SHIFTS_KEPT before it.
    days: the open piece's production day, last, and up to DAYS_KEPT before it.
    suspects: the items whose ideal cycle an alert of the current day was about.
    past: up to PAST_MAX closed pieces up to the open one, of the time since a stop began or ended.
    waits: it is unknown, or its facts since then have not caught up with its line's event time.
    final_ms: what ended by then was final when it last waited, and stays so.
    corrections: by the id of a shift or day that was final, how many facts changed it afterwards.
    """

    open: Piece
    since_ms: int
    at_ms: int
    undecided: tuple[Closed, ...] = ()
    stop: Stop | None = None
    stops: tuple[Stop, ...] = ()
    micro: MicroStops = MicroStops()
    changes: int = 0
    shifts: tuple[ShiftSums, ...]
    days: tuple[DaySums, ...] = ()
    suspects: tuple[str, ...] = ()
    past: tuple[Closed, ...] = ()
    final_ms: int = 0
    waits: bool = True
    corrections: dict[str, int] = Field(default_factory=dict)


class OrderSums(Tally):
    """What an order came to at the bottleneck; `unloaded_ms` is None while it is loaded there.

    settled_ms: the event time at which it was found final, or last corrected.
    corrections: how many facts changed it after it was final.
    """

    item: str | None
    unloaded_ms: int | None = None
    settled_ms: int | None = None
    corrections: int = 0


class LineTime(State):
    """The cells of a line by path, and the last ORDERS_MAX orders of what its figures go by.

    combined: the line's own time, where its method makes one from several cells.
    now_ms: the latest time heard of; the only thing a tick moves.
    heard_ms: the event time of the line: the latest stamp of its facts, 0 before the first.
    """

    line: str
    now_ms: int = 0
    heard_ms: int = 0
    cells: dict[str, CellTime] = Field(default_factory=dict)
    orders: dict[str, OrderSums] = Field(default_factory=dict)
    combined: CellTime | None = None
