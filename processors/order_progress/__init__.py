"""PURE: how far each order of a line has come (ISA-95 job orders), from facts to documents.

Reads released, loaded, counted, what people ask for and what operations wait for. Writes one
document an order, the line's queue and work in process, what each cell may take next; one
`order-closed` an order and one `reply` a command. README.md has the rules.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from processors.base import replace
from processors.order_progress import fold as rules
from processors.order_progress.commands import commanded
from processors.order_progress.lists import line_documents
from processors.order_progress.state import LineOrders
from uns.fold import Document, Step, Tick
from uns.model.events import (
    Counted,
    Event,
    HoldSaid,
    Loaded,
    OperationGated,
    OrderCommanded,
    OrderMoved,
    Released,
)
from uns.model.plant import Plant

INPUTS: Final = (Released, OrderCommanded, OrderMoved, OperationGated, HoldSaid, Loaded, Counted)


@dataclass(frozen=True, slots=True)
class OrderProgress:
    """The fold over one line's orders, for one plant."""

    plant: Plant = field(repr=False)

    @property
    def name(self) -> str:
        """`order-progress`."""
        return "order-progress"

    @property
    def version(self) -> int:
        """Raised when a state is folded otherwise, or old ones can no longer be read."""
        return 3

    @property
    def inputs(self) -> frozenset[str]:
        """What an order's progress follows from."""
        return frozenset(model.type_name for model in INPUTS)

    @property
    def states(self) -> frozenset[str]:
        """What stands below `_state` of its line."""
        return frozenset({"order", "queue", "wip", "dispatch", "transfer"})

    @property
    def state_type(self) -> type[LineOrders]:
        """The line's orders."""
        return LineOrders

    def initial(self, key: str) -> LineOrders:
        """A line without orders."""
        return LineOrders(line=key)

    def fold(self, state: LineOrders, event: Event | Tick) -> Step[LineOrders]:
        """One fact, or the time."""
        if isinstance(event, Tick):
            return Step(replace(state, now_ms=max(state.now_ms, event.at_ms)))
        at_ms = rules.stamp(self.plant, state, event)
        event = event.model_copy(update={"at_ms": at_ms})
        state, outputs = self._folded(replace(state, now_ms=max(state.now_ms, at_ms)), event)
        if not isinstance(event, Counted):
            state = rules.listed(state, at_ms)
        return Step(state, outputs)

    def _folded(self, state: LineOrders, event: Event) -> rules.Change:
        change: rules.Change = (state, ())
        match event:
            case Released() if event.path == state.line:
                change = rules.released(self.plant, state, event)
            case OrderCommanded() if event.path == state.line:
                change = commanded(self.plant, state, event)
            case OrderMoved() if event.path == state.line:
                change = rules.moved(state, event)
            case HoldSaid() if event.path == state.line:
                change = rules.held(self.plant, state, event)
            case OperationGated():
                change = rules.gated(self.plant, state, event)
            case Loaded():
                change = rules.loaded(self.plant, state, event)
            case Counted():
                change = rules.counted(self.plant, state, event)
        return change

    def documents(self, state: LineOrders) -> Mapping[str, Document]:
        """The documents of the line's orders, of its queue and of its cells."""
        return line_documents(self.plant, state)


def build(plant: Plant) -> OrderProgress:
    """The processor for a plant."""
    return OrderProgress(plant)
