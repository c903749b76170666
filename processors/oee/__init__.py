"""PURE: OEE after ISO 22400-2, from the states a cell was in and the pieces it made.

Reads state-changed, loaded, counted. Writes stopped, stop-ended and oee-interval events, and live
documents by cell, line, shift and order. README.md has the rules.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from processors.base import cell_at, replace
from processors.oee import orders
from processors.oee.account import Account, first_seen
from processors.oee.documents import line_documents
from processors.oee.state import LineTime
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
        return 1

    @property
    def inputs(self) -> frozenset[str]:
        """What a cell's time and pieces follow from."""
        return frozenset({StateChanged.type_name, Loaded.type_name, Counted.type_name})

    @property
    def state_type(self) -> type[LineTime]:
        """The line's cells and orders."""
        return LineTime

    def initial(self, key: str) -> LineTime:
        """A line nothing is known of."""
        return LineTime(line=key)

    def fold(self, state: LineTime, event: Event | Tick) -> Step[LineTime]:
        """One fact of a cell, or the time."""
        now_ms = max(state.now_ms, event.at_ms)
        place = None if isinstance(event, Tick) else cell_at(self.plant, state.line, event.path)
        if isinstance(event, Tick) or place is None:
            return Step(replace(state, now_ms=now_ms))
        known = state.cells.get(place.path)
        account = Account(self.plant, place, known or first_seen(self.plant, place, event.at_ms))
        account.take(event)
        after = replace(
            state,
            now_ms=now_ms,
            cells={**state.cells, place.path: account.cell},
            orders=_orders(state, account, place, event),
        )
        return Step(after, tuple(account.drafts))

    def documents(self, state: LineTime) -> Mapping[str, Document]:
        """The documents of the line, its cells, their shifts and stops, and its orders."""
        return line_documents(self.plant, state)


def _orders(state: LineTime, account: Account, place: Place, event: Event) -> orders.Orders:
    if place.path != f"{state.line}/{place.line.bottleneck}":
        return state.orders
    after = orders.booked(state.orders, account.booked) if account.booked else state.orders
    if isinstance(event, Loaded):
        return orders.loaded(after, event.order_id, event.item, event.at_ms)
    return after


def build(plant: Plant) -> Oee:
    """The processor for a plant."""
    return Oee(plant)
