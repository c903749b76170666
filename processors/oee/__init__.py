"""PURE: OEE after ISO 22400-2, from the states a cell was in and the pieces it made.

Reads state-changed, loaded, counted. Writes stopped, stop-ended and oee-interval events, and live
documents by cell, line, shift and order. README.md has the rules.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from processors.base import cell_at, replace
from processors.oee import late, orders
from processors.oee.account import Account, Booked, first_seen
from processors.oee.documents import line_documents
from processors.oee.state import CellTime, LineTime
from uns.fold import Document, Step, Tick
from uns.model.events import Counted, Event, Loaded, StateChanged
from uns.model.plant import Place, Plant


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
        return 2

    @property
    def inputs(self) -> frozenset[str]:
        """What a cell's time and pieces follow from."""
        return frozenset({StateChanged.type_name, Loaded.type_name, Counted.type_name})

    @property
    def states(self) -> frozenset[str]:
        """What stands below `_state` of its line and cells."""
        return frozenset({"cell", "oee", "oee-order", "oee-shift", "stop"})

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
        return Step(state) if place is None else self._take(state, place, event)

    def _take(self, state: LineTime, place: Place, event: Event) -> Step[LineTime]:
        believed = self.plant.calendar_of(place.path).covers(event.at_ms)
        known = state.cells.get(place.path)
        at_ms = event.at_ms if believed else state.heard_ms or _start_ms(known, event)
        before = known or first_seen(self.plant, place, at_ms)
        account = Account(self.plant, place, before)
        account.take(event, at_ms)
        cell = account.cell
        if believed or state.heard_ms:
            stamp = late.Stamp(at_ms, state.heard_ms)
            cell = late.taken(self.plant, place, before, cell, stamp)
        now_ms, heard_ms = state.now_ms, state.heard_ms
        if believed:
            now_ms, heard_ms = max(now_ms, at_ms), max(heard_ms, at_ms)
        cells = {**state.cells, place.path: cell}
        after = replace(state, now_ms=now_ms, heard_ms=heard_ms, cells=cells)
        if place.path == _neck(after, place):
            after = _with_orders(after, account.booked, event, at_ms)
        return Step(self._settled(after, place), tuple(account.drafts))

    def _settled(self, state: LineTime, place: Place) -> LineTime:
        neck = state.cells.get(_neck(state, place))
        if neck is None:
            return state
        final_ms = late.final_until(self.plant, neck, state.heard_ms)
        settled = orders.settled(state.orders, neck, final_ms, state.heard_ms)
        return state if settled is state.orders else replace(state, orders=settled)

    def documents(self, state: LineTime) -> Mapping[str, Document]:
        """The documents of the line, its cells, their shifts and stops, and its orders."""
        return line_documents(self.plant, state)


def _neck(state: LineTime, place: Place) -> str:
    return f"{state.line}/{place.line.bottleneck}"


def _with_orders(state: LineTime, booked: list[Booked], event: Event, at_ms: int) -> LineTime:
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
