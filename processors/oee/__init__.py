"""PURE: OEE after ISO 22400-2, from the states a cell was in and the pieces it made.

Reads state-changed, loaded, counted and stop-commanded. Writes oee-interval and alert events, those
of stops (stopped, -ended, -classified, -split, -merged) and replies to what was asked of them, and
live documents by cell, line, shift, day, order and item. README.md has the rules.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from processors.base import cell_at, replace
from processors.oee import late, lines, orders
from processors.oee.account import Account, Booked, first_seen
from processors.oee.documents import line_documents
from processors.oee.state import CellTime, LineTime
from processors.oee.stops import answered
from processors.oee.suspicion import suspected
from uns.fold import Document, Draft, Step, Tick
from uns.model.events import Counted, Event, Loaded, StateChanged, StopCommanded
from uns.model.plant import Place, Plant
from uns.model.reckoning import is_combined, reckoned_at, reference_path

_STATES: Final = frozenset(
    {"cell", "oee", "oee-day", "oee-item", "oee-order", "oee-shift", "stop", "stops"}
)


class _When(NamedTuple):
    """When a fact was: by its stamp, or by its line's event time if that cannot be believed.

    heard_ms: the event time of its line before it came, 0 before the first.
    """

    at_ms: int
    heard_ms: int
    believed: bool


@dataclass(frozen=True, slots=True)
class Oee:
    """The fold over one line's time, for one plant."""

    plant: Plant = field(repr=False)

    @property
    def name(self) -> str:
        """`oee`."""
        return "oee"

    @property
    def version(self) -> int:
        """Raised when old states can no longer be read."""
        return 4

    @property
    def inputs(self) -> frozenset[str]:
        """What a cell's time and pieces follow from."""
        return frozenset(one.type_name for one in (StateChanged, Loaded, Counted, StopCommanded))

    @property
    def states(self) -> frozenset[str]:
        """What stands below `_state` of its line and cells."""
        return _STATES

    @property
    def state_type(self) -> type[LineTime]:
        """The line's cells and orders."""
        return LineTime

    def initial(self, key: str) -> LineTime:
        """A line nothing is known of."""
        return LineTime(line=key)

    def fold(self, state: LineTime, event: Event | Tick) -> Step[LineTime]:
        """One fact of a cell, or the time."""
        if isinstance(event, Tick):
            return Step(replace(state, now_ms=max(state.now_ms, event.at_ms)))
        place = cell_at(self.plant, state.line, event.path)
        if place is None:
            return Step(state)
        if isinstance(event, StopCommanded):
            return self._answer(state, place, event)
        return self._take(state, place, event)

    def _answer(self, state: LineTime, place: Place, asked: StopCommanded) -> Step[LineTime]:
        """A request about a stop: it moves no event time, for it is of another clock."""
        known = state.cells.get(place.path)
        before = known or first_seen(self.plant, place, asked.at_ms)
        account = answered(self.plant, place, before, asked)
        if known is None or account.cell is before:
            return Step(state, tuple(account.drafts))
        cell = late.corrected(self.plant, place, before, account.cell, state.heard_ms)
        after = replace(state, cells={**state.cells, place.path: cell})
        if place.path == reckoned_at(self.plant, state.line).path:
            booked = [one for one in account.booked if one.order_id in state.orders]
            after = _with_orders(after, booked, None, state.heard_ms)
        return Step(after, tuple(account.drafts))

    def _take(self, state: LineTime, place: Place, event: Event) -> Step[LineTime]:
        when = self._when(state, place, event)
        before = state.cells.get(place.path) or first_seen(self.plant, place, when.at_ms)
        account = Account(self.plant, place, before)
        account.take(event, when.at_ms)
        cell, alerts = account.cell, tuple[Draft, ...]()
        if isinstance(event, Counted):
            cell, alerts = suspected(self.plant, place, cell, when.at_ms)
        cells = {**state.cells, place.path: self._late(place, before, cell, when)}
        after = replace(state, cells=cells, **_heard(state, when))
        after, of_line = self._line(after, place, event, account, when)
        drafts = (*account.drafts, *alerts, *of_line)
        return Step(self._settled(after, place), drafts)

    def _when(self, state: LineTime, place: Place, event: Event) -> _When:
        believed = self.plant.calendar_of(place.path).covers(event.at_ms)
        known = state.cells.get(place.path)
        at_ms = event.at_ms if believed else state.heard_ms or _start_ms(known, event)
        return _When(at_ms, state.heard_ms, believed)

    def _late(self, place: Place, before: CellTime, after: CellTime, when: _When) -> CellTime:
        if not when.believed and not when.heard_ms:
            return after
        return late.taken(self.plant, place, before, after, late.Stamp(*when[:2]))

    def _line(
        self, state: LineTime, place: Place, event: Event, account: Account, when: _When
    ) -> tuple[LineTime, Iterable[Draft]]:
        """What a fact of a cell means for its line: its orders, and its own time if it has one."""
        is_reference = place.path == reference_path(self.plant, place)
        drafts, booked = list[Draft](), account.booked if is_reference else []
        if is_combined(self.plant, place.line):
            whole = reckoned_at(self.plant, state.line)
            before = state.combined or first_seen(self.plant, whole, when.at_ms)
            own = lines.taken(self.plant, place, state, event, when.at_ms)
            state = replace(state, combined=self._late(whole, before, own.cell, when))
            drafts, booked = own.drafts, own.booked
        loaded = event if is_reference else None
        return _with_orders(state, booked, loaded, when.at_ms), drafts

    def _settled(self, state: LineTime, place: Place) -> LineTime:
        neck = lines.time_of(self.plant, state, place)
        if neck is None:
            return state
        final_ms = late.final_until(self.plant, neck, state.heard_ms)
        settled = orders.settled(state.orders, neck, final_ms, state.heard_ms)
        return state if settled is state.orders else replace(state, orders=settled)

    def documents(self, state: LineTime) -> Mapping[str, Document]:
        """The documents of the line, its cells, their shifts and stops, and its orders."""
        return line_documents(self.plant, state)


def _heard(state: LineTime, when: _When) -> dict[str, int]:
    if not when.believed:
        return {}
    now_ms, heard_ms = max(state.now_ms, when.at_ms), max(state.heard_ms, when.at_ms)
    return {"now_ms": now_ms, "heard_ms": heard_ms}


def _with_orders(
    state: LineTime, booked: list[Booked], event: Event | None, at_ms: int
) -> LineTime:
    after = state.orders
    if booked:
        after = orders.corrected(orders.booked(after, booked), after, state.heard_ms)
    if isinstance(event, Loaded):
        after = orders.loaded(after, event.order_id, event.item, at_ms)
    return state if after is state.orders else replace(state, orders=after)


def _start_ms(known: CellTime | None, event: Event) -> int:
    """Where time stands still while no stamp of a line can be believed."""
    return event.at_ms if known is None else known.open.start_ms


def build(plant: Plant) -> Oee:
    """The processor for a plant."""
    return Oee(plant)
