"""PURE: a verdict for each sample, against the specification of its item at its cell.

Reads inspected and loaded. Writes a `verdict` a sample and one document a cell. README.md has
the rules.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from processors.base import cell_at, replace
from processors.quality import fold as rules
from processors.quality.documents import cell_document
from processors.quality.state import CellQuality, LineQuality
from uns.fold import Document, Draft, Step, Tick
from uns.model.events import Event, Inspected, Loaded
from uns.model.plant import Plant


@dataclass(frozen=True, slots=True)
class Quality:
    """The fold over one line's samples, for one plant."""

    plant: Plant = field(repr=False)

    @property
    def name(self) -> str:
        """`quality`."""
        return "quality"

    @property
    def version(self) -> int:
        """Raised when a state is folded otherwise, or old ones can no longer be read."""
        return 2

    @property
    def inputs(self) -> frozenset[str]:
        """What a verdict follows from."""
        return frozenset({Inspected.type_name, Loaded.type_name})

    @property
    def states(self) -> frozenset[str]:
        """What stands below `_state` of its cells."""
        return frozenset({"quality"})

    @property
    def state_type(self) -> type[LineQuality]:
        """The line's cells."""
        return LineQuality

    def initial(self, key: str) -> LineQuality:
        """A line without samples."""
        return LineQuality(line=key)

    def fold(self, state: LineQuality, event: Event | Tick) -> Step[LineQuality]:
        """One sample or one load. Time alone changes nothing."""
        if isinstance(event, Tick) or cell_at(self.plant, state.line, event.path) is None:
            return Step(state)
        cell = state.cells.get(event.path, CellQuality())
        outputs: tuple[Draft, ...] = ()
        match event:
            case Loaded():
                cell = rules.loaded(cell, event)
            case Inspected():
                cell, draft = rules.inspected(self.plant, cell, event)
                outputs = (draft,)
        return Step(replace(state, cells={**state.cells, event.path: cell}), outputs)

    def documents(self, state: LineQuality) -> Mapping[str, Document]:
        """One document for each cell that has inspected a sample."""
        return {
            f"{path}/_state/quality": cell_document(cell, cell.last)
            for path, cell in state.cells.items()
            if cell.last is not None
        }


def build(plant: Plant) -> Quality:
    """The processor for a plant."""
    return Quality(plant)
