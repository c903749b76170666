"""Carrying one cell's time forward: pieces close, stops open and end, shifts turn.

Rules, each with a test in tests/golden/oee:
- A state or order stamped before the open piece began takes back what was closed since, as far as
  `past` reaches (late.py), but never behind the last change of its own kind: it counts from there.
- Time before the first fact with a stamp that can be believed is no time.
- Pieces are cut at the edges of shifts and of their breaks. A cell silent for more than
  WINDOWS_MAX windows is unknown for the rest of its silence, in one interval.
- A stop runs from leaving EXECUTE until EXECUTE, unloading or planned time; unknown time does not
  end it. Shorter than the cell's micro-stop threshold, its pieces are production time. Until that
  is known they wait; more than UNDECIDED_MAX of them make it a real stop.
- A count of another order, or of a shift that is over, becomes an interval without length there.
"""

from collections.abc import Iterable
from itertools import takewhile
from typing import Any, NamedTuple

from processors.base import replace
from processors.oee import days, ledger, micro_stops
from processors.oee.elements import (
    added,
    counted,
    element_in,
    element_of,
    is_micro,
    is_stopped,
    timed,
)
from processors.oee.state import (
    PAST_MAX,
    SHIFTS_KEPT,
    UNDECIDED_MAX,
    WINDOWS_MAX,
    CellTime,
    Closed,
    Part,
    Piece,
    ShiftSums,
    ShiftWindow,
    Stop,
)
from uns.fold import Draft
from uns.model.equipment import UNKNOWN, Element
from uns.model.events import (
    Alerted,
    Counted,
    Event,
    Loaded,
    OeeInterval,
    StateChanged,
    StopEnded,
    Stopped,
)
from uns.model.kpi import Sums
from uns.model.path import to_dotted
from uns.model.plant import Place, Plant
from uns.model.reckoning import policy_id


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

    def take(self, event: Event, at_ms: int) -> None:
        """One fact of this cell, taken to be of `at_ms`."""
        self.advance_to(at_ms)
        match event:
            case StateChanged():
                self._change(at_ms, state=event.state, fault=event.fault)
            case Loaded():
                self._change(at_ms, order_id=event.order_id, item=event.item)
            case Counted():
                self._count(event, at_ms)

    def become(self, at_ms: int, **context: Any) -> None:
        """The cell stands in a state, with an order, from `at_ms` on, if it did not yet."""
        self.advance_to(at_ms)
        self._change(at_ms, **context)

    def advance_to(self, at_ms: int) -> None:
        """Cut the open piece at every edge of a shift or break up to and including `at_ms`."""
        if self._calendar.covers(at_ms) and not self._calendar.covers(self.cell.open.start_ms):
            self._begin(at_ms)
        for _ in range(WINDOWS_MAX):
            self._pass_breaks(at_ms)
            edge_ms = self.cell.open.window.end_ms
            if at_ms < edge_ms:
                return
            self._turn(edge_ms, window=self._window_at(edge_ms), rest=self._rests(edge_ms))
        if at_ms >= self.cell.open.window.end_ms:
            self._skip_to(self._window_at(at_ms))
        self._pass_breaks(at_ms)

    def _pass_breaks(self, at_ms: int) -> None:
        """Cut the open piece at the edges of its shift's breaks up to and including `at_ms`."""
        open_ = self.cell.open
        until_ms = min(at_ms, open_.window.end_ms - 1)
        for edge_ms in self._calendar.break_edges(open_.start_ms, until_ms):
            self._turn(edge_ms, rest=self._rests(edge_ms))

    def _rests(self, at_ms: int) -> bool:
        return self._calendar.is_break(at_ms)

    def _begin(self, at_ms: int) -> None:
        window = self._window_at(at_ms)
        kept = (ShiftSums(window=window),)
        today = days.opened((), window)
        self.cell = replace(self.cell, since_ms=at_ms, at_ms=at_ms, shifts=kept, days=today)
        rest = self._rests(at_ms)
        self._open(replace(self.cell.open, start_ms=at_ms, window=window, rest=rest))

    def _change(self, at_ms: int, **changes: Any) -> None:
        """The cell has another state or order from `at_ms` on."""
        open_ = self.cell.open
        if changes.items() <= vars(open_).items():
            return
        at_ms = max(at_ms, self._reach(changes))
        if changes.get("state", open_.state) != open_.state:
            self.cell = replace(self.cell, since_ms=at_ms)
        if at_ms >= open_.start_ms:
            self._turn(at_ms, **changes)
        else:
            self._change_back(at_ms, changes)

    def _reach(self, changes: dict[str, Any]) -> int:
        """Since when nothing of the kind of `changes` has changed, as far as the past tells."""
        open_, past = self.cell.open, reversed(self.cell.past)
        same = [c.piece for c in takewhile(lambda c: _agree(c.piece, open_, changes), past)]
        return same[-1].start_ms if same else open_.start_ms

    def _change_back(self, at_ms: int, changes: dict[str, Any]) -> None:
        """Take back what was closed since `at_ms`, and pass it again with the changes."""
        open_, past = self.cell.open, self.cell.past
        gone = [one for one in past if one.end_ms > at_ms]
        for one in reversed(gone):
            self._take_back(one, max(at_ms, one.piece.start_ms))
        first = replace(gone[0].piece, start_ms=at_ms, made=Sums())
        self.cell = replace(self.cell, open=first, past=past[: len(past) - len(gone)])
        self._remember(gone[0].piece, at_ms)
        self._turn(at_ms, **changes)
        for piece in (*(one.piece for one in gone[1:]), open_):
            self._turn(piece.start_ms, **{**_context(piece), **changes})
        self.cell = replace(self.cell, open=added(self.cell.open, open_.made))

    def _window_at(self, at_ms: int) -> ShiftWindow:
        return ShiftWindow.of(self._calendar.window_at(at_ms))

    def _skip_to(self, window: ShiftWindow) -> None:
        silent = replace(self.cell.open, state=UNKNOWN, fault=None)
        self._book(silent, "unknown", window.start_ms)
        self.cell = replace(self.cell, past=())
        rest = self._rests(window.start_ms)
        self._open(replace(self.cell.open, start_ms=window.start_ms, window=window, rest=rest))

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
                self.cell = replace(self.cell, undecided=waiting, past=())
                return
        elif self.cell.stop is not None and self.cell.stop.is_open:
            self._judge(micro=False)
        self._settle(piece, end_ms)
        self._remember(piece, end_ms)

    def _settle(self, piece: Piece, end_ms: int) -> None:
        """Book a closed piece; if it is of the open stop, that remembers it."""
        stop = self.cell.stop
        element = element_in(self._plant, stop, piece)
        self._book(piece, element, end_ms)
        if stop is not None and stop.is_open and is_stopped(self._plant, piece):
            known = ledger.extended(stop, piece, element, end_ms)
            self.cell = replace(self.cell, stop=known)

    def _remember(self, piece: Piece, end_ms: int) -> None:
        if end_ms > piece.start_ms:
            closed = Closed(piece=replace(piece, made=Sums()), end_ms=end_ms)
            self.cell = replace(self.cell, past=(*self.cell.past, closed)[-PAST_MAX:])

    def _open(self, piece: Piece) -> None:
        if piece.window.start_ms > self.cell.shifts[-1].window.start_ms:
            self._open_window(piece.window)
        self.cell = replace(self.cell, open=piece, at_ms=max(self.cell.at_ms, piece.start_ms))
        if is_stopped(self._plant, piece):
            self._stop(piece)
        elif element_of(self._plant, piece) != "unknown":
            self._end_stop(piece.start_ms)

    def _open_window(self, window: ShiftWindow) -> None:
        shifts = (*self.cell.shifts[-SHIFTS_KEPT:], ShiftSums(window=window))
        suspects = self.cell.suspects if self.cell.days[-1].holds(window) else ()
        known = days.opened(self.cell.days, window)
        self.cell = replace(self.cell, shifts=shifts, days=known, suspects=suspects)

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
        self.cell = replace(self.cell, stop=stop, past=())
        body = {key: getattr(stop, key) for key in ("stop_id", "state", "reason", "order_id")}
        self._draft(Stopped.type_name, piece.start_ms, body)

    def _end_stop(self, at_ms: int) -> None:
        stop = self.cell.stop
        if stop is None or not stop.is_open:
            return
        self._judge(micro=not stop.decided)
        self.cell = replace(ledger.ended(self.cell, stop, at_ms), past=())
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
        if not stop.decided:
            self._count_micro_stop(at_ms)

    def _count_micro_stop(self, at_ms: int) -> None:
        before, after = self.cell.micro, micro_stops.with_one_more(self.cell.micro)
        self.cell = replace(self.cell, micro=after)
        if after.rising and not before.rising:
            self._draft(Alerted.type_name, at_ms, micro_stops.alert(after))

    def _judge(self, *, micro: bool) -> None:
        """Book what waited for the open stop to be known as a micro-stop or a real one."""
        waiting, stop = self.cell.undecided, self.cell.stop
        if stop is not None:
            self.cell = replace(self.cell, undecided=(), stop=replace(stop, decided=not micro))
        for one in waiting:
            if micro:
                self._book(one.piece, "apt", one.end_ms)
            else:
                self._settle(one.piece, one.end_ms)

    def _count(self, event: Counted, at_ms: int) -> None:
        open_ = self.cell.open
        order_id, item = event.order_id or open_.order_id, event.item or open_.item
        made = counted(self._place.cell, item, event)
        window = self._window_of(at_ms)
        if (window, order_id, item) == (open_.window, open_.order_id, open_.item):
            at_ms = max(at_ms, self.cell.at_ms)
            self.cell = replace(self.cell, open=added(open_, made), at_ms=at_ms)
            return
        context = {"order_id": order_id, "item": item, "window": window}
        beside = replace(open_, start_ms=at_ms, made=made, **context)
        self._book(beside, element_of(self._plant, beside), at_ms)

    def _window_of(self, at_ms: int) -> ShiftWindow:
        """The window of a fact, as the cell knows it: a long pause has its pieces by who asks."""
        known = (one.window for one in self.cell.shifts)
        inside = (window for window in known if window.start_ms <= at_ms < window.end_ms)
        return next(inside, None) or self._window_at(at_ms)

    def _book(self, piece: Piece, element: Element, end_ms: int) -> None:
        """Sum up a closed piece where it belongs: its shift, its order, and an interval."""
        sums = timed(piece, element, end_ms)
        if sums.elapsed_ms or sums.pq:
            self._sum_up(piece, sums, end_ms)
            self._draft(OeeInterval.type_name, end_ms, self._interval(piece, element, end_ms))

    def _take_back(self, closed: Closed, from_ms: int) -> None:
        """The time of a closed piece from an instant on: an interval that runs backwards."""
        stop = self.cell.stop
        element = element_in(self._plant, stop, closed.piece)
        self._shift(closed.piece, element, closed.end_ms, from_ms)
        if stop is not None and stop.is_open:
            known = replace(stop, parts=ledger.before(stop.parts, from_ms))
            self.cell = replace(self.cell, stop=known)

    def move(self, part: Part, element: Element) -> None:
        """Book a part of a stop under another element: its time back, and forward again."""
        piece = Piece(
            state=part.state,
            fault=None,
            order_id=part.order_id,
            item=part.item,
            window=self._window_named(part.window_id),
            start_ms=part.start_ms,
        )
        self._shift(piece, part.element, part.end_ms, part.start_ms)
        self._shift(piece, element, part.start_ms, part.end_ms)

    def _window_named(self, window_id: str) -> ShiftWindow:
        """The window of an id; of one that has no sums any more the id, which says its day."""
        known = (one.window for one in self.cell.shifts if one.id == window_id)
        gone = ShiftWindow(id=window_id, shift="", start_ms=0, end_ms=0)
        return next(known, gone)

    def _shift(self, piece: Piece, element: Element, start_ms: int, end_ms: int) -> None:
        """Time without pieces, by an interval that may run backwards."""
        sums = Sums().model_copy(update={f"{element}_ms": end_ms - start_ms})
        self._sum_up(piece, sums, max(start_ms, end_ms))
        body = self._interval(replace(piece, start_ms=start_ms), element, end_ms)
        self._draft(OeeInterval.type_name, end_ms, body)

    def _sum_up(self, piece: Piece, sums: Sums, end_ms: int) -> None:
        self.cell = replace(
            self.cell,
            shifts=tuple(
                one.plus(sums) if one.holds(piece.window) else one for one in self.cell.shifts
            ),
            days=days.booked(self.cell.days, piece, sums),
            micro=micro_stops.ran(self.cell.micro, sums.apt_ms),
        )
        if piece.order_id is not None:
            self.booked.append(Booked(piece.order_id, piece.item, sums, end_ms))

    def _interval(self, piece: Piece, element: Element, end_ms: int) -> dict[str, Any]:
        counts = ("pq", "gq", "sq", "rq", "ideal_ms", "ideal_good_ms")
        return {
            "element": element,
            "state": piece.state,
            "start_ms": piece.start_ms,
            "end_ms": end_ms,
            "shift_id": piece.window.id,
            "policy_id": policy_id(self._plant, self._place),
            "order_id": piece.order_id,
            "item": piece.item,
            **{key: getattr(piece.made, key) for key in counts},
        }

    def _draft(self, event_type: str, at_ms: int, body: dict[str, Any]) -> None:
        self.drafts.append(Draft(self._place.path, event_type, at_ms, body))


def first_seen(plant: Plant, place: Place, at_ms: int) -> CellTime:
    """A cell nothing is known of yet: unknown since now."""
    calendar = plant.calendar_of(place.path)
    window = ShiftWindow.of(calendar.window_at(at_ms))
    piece = Piece(
        state=UNKNOWN,
        fault=None,
        order_id=None,
        item=None,
        window=window,
        start_ms=at_ms,
        rest=calendar.is_break(at_ms),
    )
    kept = (ShiftSums(window=window),)
    today = days.opened((), window)
    return CellTime(open=piece, since_ms=at_ms, at_ms=at_ms, shifts=kept, days=today)


def _agree(piece: Piece, other: Piece, fields: Iterable[str]) -> bool:
    return all(getattr(piece, name) == getattr(other, name) for name in fields)


def _context(piece: Piece) -> dict[str, Any]:
    return {name: value for name, value in vars(piece).items() if name not in ("start_ms", "made")}
