"""PURE: which lot went into which: edges from consumption and production.

Reads consumed and produced. Writes `edge` events and one document a cell. README.md has the rules.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from processors.base import cell_at, replace
from processors.genealogy import fold as rules
from processors.genealogy.documents import cell_document
from processors.genealogy.state import CellGenealogy, LineGenealogy
from uns.fold import Document, Draft, Step, Tick
from uns.model.events import Consumed, Event, Produced
from uns.model.plant import Plant


@dataclass(frozen=True, slots=True)
class Genealogy:
    """The fold over one line's material, for one plant."""

    plant: Plant = field(repr=False)

    @property
    def name(self) -> str:
        """`genealogy`."""
        return "genealogy"

    @property
    def version(self) -> int:
        """Raised when old states can no longer be read."""
        return 1

    @property
    def inputs(self) -> frozenset[str]:
        """What an edge follows from."""
        return frozenset({Consumed.type_name, Produced.type_name})

    @property
    def states(self) -> frozenset[str]:
        """What stands below `_state` of its cells."""
        return frozenset({"genealogy"})

    @property
    def state_type(self) -> type[LineGenealogy]:
        """The line's cells."""
        return LineGenealogy

    def initial(self, key: str) -> LineGenealogy:
        """A line that has consumed nothing."""
        return LineGenealogy(line=key)

    def fold(self, state: LineGenealogy, event: Event | Tick) -> Step[LineGenealogy]:
        """One consumption or one production. Time alone changes nothing."""
        if isinstance(event, Tick) or cell_at(self.plant, state.line, event.path) is None:
            return Step(state)
        cell = state.cells.get(event.path, CellGenealogy())
        outputs: tuple[Draft, ...] = ()
        match event:
            case Consumed():
                cell = rules.consumed(cell, event)
            case Produced():
                cell, outputs = rules.produced(cell, event)
        return Step(replace(state, cells={**state.cells, event.path: cell}), outputs)

    def documents(self, state: LineGenealogy) -> Mapping[str, Document]:
        """One document for each cell that has consumed or produced."""
        return {
            f"{path}/_state/genealogy": cell_document(cell) for path, cell in state.cells.items()
        }


def build(plant: Plant) -> Genealogy:
    """The processor for a plant."""
    return Genealogy(plant)
