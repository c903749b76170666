"""Carrying one cell's time forward: pieces close, stops open and end, shifts turn.

Rules, each with a test in tests/golden/oee:
- A fact stamped before the open piece began counts from there: time never runs back.
- Pieces are cut at shift edges. A cell silent for more than WINDOWS_MAX windows is unknown for
  the rest of its silence, in one interval.
- A stop runs from leaving EXECUTE until EXECUTE, unloading or planned time; unknown time does not
  end it. Shorter than the cell's micro-stop threshold, its pieces are production time. Until that
  is known they wait; more than UNDECIDED_MAX of them make it a real stop.
- A count of another order, or of the shift before, becomes an interval without length.
"""

from typing import Any, NamedTuple

from processors.base import replace
from processors.oee.elements import (
    added,
    counted,
    element_of,
    is_micro,
    is_stopped,
    timed,
)
from processors.oee.state import (
    UNDECIDED_MAX,
    WINDOWS_MAX,
    CellTime,
    Closed,
    Piece,
    ShiftSums,
    ShiftWindow,
    Stop,
)
from uns.fold import Draft
from uns.model.equipment import UNKNOWN, Element
from uns.model.events import Counted, Event, Loaded, OeeInterval, StateChanged, StopEnded, Stopped
from uns.model.kpi import Sums
from uns.model.path import to_dotted
from uns.model.plant import Place, Plant


class Booked(NamedTuple):
    """A closed piece that belonged to an order, as sums."""

    order_id: str
    item: str | None
    sums: Sums
    end_ms: int


class Account:
    """One cell's time being carried forward: `cell` is where it stands, the rest what came of it.

    drafts: the events it put out; booked: the closed pieces that belonged to orders.
    """

    def __init__(self, plant: Plant, place: Place, cell: CellTime) -> None:
        self._plant = plant
        self._place = place
        self._calendar = plant.calendar_of(place.path)
        self.cell = cell
        self.drafts: list[Draft] = []
        self.booked: list[Booked] = []

    def take(self, event: Event) -> None:
        """One fact of this cell."""
        open_ = self.cell.open
        at_ms = max(event.at_ms, open_.start_ms)
        self.advance_to(at_ms)
        match event:
            case StateChanged() if (event.state, event.fault) != (open_.state, open_.fault):
                if event.state != open_.state:
                    self.cell = replace(self.cell, since_ms=at_ms)
                self._turn(at_ms, state=event.state, fault=event.fault)
            case Loaded() if (event.order_id, event.item) != (open_.order_id, open_.item):
                self._turn(at_ms, order_id=event.order_id, item=event.item)
            case Counted():
                self._count(event, at_ms)

    def advance_to(self, at_ms: int) -> None:
        """Cut the open piece at every shift edge up to and including `at_ms`."""
        for _ in range(WINDOWS_MAX):
            edge_ms = self.cell.open.window.end_ms
            if at_ms < edge_ms:
                return
            self._turn(edge_ms, window=self._window_at(edge_ms))
        if at_ms >= self.cell.open.window.end_ms:
            self._skip_to(self._window_at(at_ms))

    def _window_at(self, at_ms: int) -> ShiftWindow:
        return ShiftWindow.of(self._calendar.window_at(at_ms))

    def _skip_to(self, window: ShiftWindow) -> None:
        silent = replace(self.cell.open, state=UNKNOWN, fault=None)
        self._book(silent, "unknown", window.start_ms)
        self._open(replace(self.cell.open, start_ms=window.start_ms, window=window))

    def _turn(self, at_ms: int, **changes: Any) -> None:
        """Close the open piece and open the next one, which differs in `changes`."""
        self._close(at_ms)
        self._open(replace(self.cell.open, start_ms=at_ms, made=Sums(), **changes))

    def _close(self, end_ms: int) -> None:
        piece = self.cell.open
        young = is_micro(self._place.cell, self.cell.stop, end_ms)
        if young and len(self.cell.undecided) < UNDECIDED_MAX:
            if is_stopped(self._plant, piece):
                waiting = (*self.cell.undecided, Closed(piece=piece, end_ms=end_ms))
                self.cell = replace(self.cell, undecided=waiting)
                return
        elif self.cell.stop is not None and self.cell.stop.is_open:
            self._judge(micro=False)
        self._book(piece, element_of(self._plant, piece), end_ms)

    def _open(self, piece: Piece) -> None:
        if piece.window != self.cell.open.window:
            over = ShiftSums(window=self.cell.open.window, sums=self.cell.shift)
            self.cell = replace(self.cell, last=over, shift=Sums())
        self.cell = replace(self.cell, open=piece, at_ms=piece.start_ms)
        if is_stopped(self._plant, piece):
            self._stop(piece)
        elif element_of(self._plant, piece) != "unknown":
            self._end_stop(piece.start_ms)

    def _stop(self, piece: Piece) -> None:
        reason = piece.fault if piece.fault in self._plant.reasons else None
        last = self.cell.stop
        if last is not None and last.is_open:
            if last.reason is None and reason is not None:
                self.cell = replace(self.cell, stop=replace(last, reason=reason))
            return
        again = last.again + 1 if last is not None and last.start_ms == piece.start_ms else 0
        stop_id = f"{to_dotted(self._place.path)}-{piece.start_ms}{f'-{again}' if again else ''}"
        stop = Stop(
            stop_id=stop_id,
            state=piece.state,
            reason=reason,
            order_id=piece.order_id,
            start_ms=piece.start_ms,
            again=again,
        )
        self.cell = replace(self.cell, stop=stop)
        body = {key: getattr(stop, key) for key in ("stop_id", "state", "reason", "order_id")}
        self._draft(Stopped.type_name, piece.start_ms, body)

    def _end_stop(self, at_ms: int) -> None:
        stop = self.cell.stop
        if stop is None or not stop.is_open:
            return
        self._judge(micro=not stop.decided)
        self.cell = replace(self.cell, stop=replace(stop, end_ms=at_ms))
        body = {
            "stop_id": stop.stop_id,
            "state": stop.state,
            "reason": stop.reason,
            "order_id": stop.order_id,
            "start_ms": stop.start_ms,
            "duration_ms": at_ms - stop.start_ms,
            "micro": not stop.decided,
        }
        self._draft(StopEnded.type_name, at_ms, body)

    def _judge(self, *, micro: bool) -> None:
        """Book what waited for the open stop to be known as a micro-stop or a real one."""
        waiting, stop = self.cell.undecided, self.cell.stop
        if stop is not None:
            self.cell = replace(self.cell, undecided=(), stop=replace(stop, decided=not micro))
        for one in waiting:
            element = "apt" if micro else element_of(self._plant, one.piece)
            self._book(one.piece, element, one.end_ms)

    def _count(self, event: Counted, at_ms: int) -> None:
        open_, last = self.cell.open, self.cell.last
        order_id, item = event.order_id or open_.order_id, event.item or open_.item
        made = counted(self._place.cell, item, event)
        window = open_.window
        if last is not None and event.at_ms < window.start_ms:
            window = last.window
        if (window, order_id, item) == (open_.window, open_.order_id, open_.item):
            self.cell = replace(self.cell, open=added(open_, made), at_ms=at_ms)
            return
        stamp_ms = max(window.start_ms, min(event.at_ms, window.end_ms))
        context = {"order_id": order_id, "item": item, "window": window}
        late = replace(open_, start_ms=stamp_ms, made=made, **context)
        self._book(late, element_of(self._plant, late), stamp_ms)

    def _book(self, piece: Piece, element: Element, end_ms: int) -> None:
        """Sum up a closed piece where it belongs: its shift, its order, and an interval."""
        sums = timed(piece, element, end_ms)
        if end_ms <= piece.start_ms and not sums.pq:
            return
        last = self.cell.last
        if piece.window == self.cell.open.window or last is None:
            self.cell = replace(self.cell, shift=self.cell.shift + sums)
        else:
            self.cell = replace(self.cell, last=replace(last, sums=last.sums + sums))
        if piece.order_id is not None:
            self.booked.append(Booked(piece.order_id, piece.item, sums, end_ms))
        self._draft(OeeInterval.type_name, end_ms, self._interval(piece, element, end_ms))

    def _interval(self, piece: Piece, element: Element, end_ms: int) -> dict[str, Any]:
        counts = ("pq", "gq", "sq", "rq", "ideal_ms", "ideal_good_ms")
        return {
            "element": element,
            "state": piece.state,
            "start_ms": piece.start_ms,
            "end_ms": end_ms,
            "shift_id": piece.window.id,
            "policy_id": self._plant.policy.id,
            "order_id": piece.order_id,
            "item": piece.item,
            **{key: getattr(piece.made, key) for key in counts},
        }

    def _draft(self, event_type: str, at_ms: int, body: dict[str, Any]) -> None:
        self.drafts.append(Draft(self._place.path, event_type, at_ms, body))


def first_seen(plant: Plant, place: Place, at_ms: int) -> CellTime:
    """A cell nothing is known of yet: unknown since now."""
    window = ShiftWindow.of(plant.calendar_of(place.path).window_at(at_ms))
    piece = Piece(
        state=UNKNOWN, fault=None, order_id=None, item=None, window=window, start_ms=at_ms
    )
    return CellTime(open=piece, since_ms=at_ms, at_ms=at_ms)
