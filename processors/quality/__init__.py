"""PURE: a verdict for each sample, and the inspections that a plan asks for.

Judges samples against the specification of their item at their cell. Opens inspections as a plan
says, takes their results and ends them. Writes a `verdict` a sample, one document a cell of each.
README.md has the rules.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from processors.base import cell_at, replace
from processors.quality import fold as rules
from processors.quality import inspections, results
from processors.quality.documents import cell_document
from processors.quality.inspection_documents import inspections_document
from processors.quality.inspections import Here, Subject, Turn
from processors.quality.state import CellQuality, LineQuality
from uns.fold import Document, Draft, Step, Tick
from uns.model.events import Counted, Event, Inspected, InspectionCommanded, Loaded, Produced
from uns.model.plant import Plant

VERDICT_INPUTS: Final = frozenset({Inspected.type_name, Loaded.type_name})
INSPECTION_INPUTS: Final = frozenset(
    {Counted.type_name, Produced.type_name, InspectionCommanded.type_name}
)


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
        return 3

    @property
    def inputs(self) -> frozenset[str]:
        """What a verdict follows from; where the plant has inspection plans, they too."""
        items = self.plant.items.values()
        has_plans = any(s.inspections for item in items for s in item.specifications.values())
        return VERDICT_INPUTS | INSPECTION_INPUTS if has_plans else VERDICT_INPUTS

    @property
    def states(self) -> frozenset[str]:
        """What stands below `_state` of its cells."""
        return frozenset({"quality", "inspections"})

    @property
    def state_type(self) -> type[LineQuality]:
        """The line's cells."""
        return LineQuality

    def initial(self, key: str) -> LineQuality:
        """A line without samples."""
        return LineQuality(line=key)

    def fold(self, state: LineQuality, event: Event | Tick) -> Step[LineQuality]:
        """One fact. Time alone changes nothing."""
        if isinstance(event, Tick) or cell_at(self.plant, state.line, event.path) is None:
            return Step(state)
        before = state.cells.get(event.path, CellQuality())
        cell, outputs = self._folded(self._here(before, event), before, event)
        if cell == before:
            return Step(state, outputs)
        return Step(replace(state, cells={**state.cells, event.path: cell}), outputs)

    def _here(self, cell: CellQuality, event: Event) -> Here:
        """The cell, and when the fact was: of a lost clock, the last change of its inspections."""
        is_sound = self.plant.calendar_of(event.path).covers(event.at_ms)
        return Here(self.plant, event.path, event.at_ms if is_sound else cell.inspections.at_ms)

    def _folded(
        self, here: Here, cell: CellQuality, event: Event
    ) -> tuple[CellQuality, tuple[Draft, ...]]:
        match event:
            case Loaded():
                cell = rules.loaded(cell, event)
                return _turned(cell, inspections.loaded(here, cell.inspections, event))
            case Counted() if subject := _subject(cell, event):
                return _turned(cell, inspections.counted(here, cell.inspections, event, subject))
            case Produced() if subject := _subject(cell, event):
                return _turned(cell, inspections.produced(here, cell.inspections, event, subject))
            case Inspected():
                before = cell.samples.get(event.sample_id)
                cell, verdict = rules.inspected(self.plant, cell, rules.told(event))
                turn, sample = Turn(cell.inspections, (verdict,)), cell.samples[event.sample_id]
                return _turned(cell, results.sampled(here, turn, before, sample))
            case InspectionCommanded():
                return results.commanded(here, cell, event)
        return cell, ()

    def documents(self, state: LineQuality) -> Mapping[str, Document]:
        """Of each cell that has inspected a sample, or has had an inspection, one of that."""
        judged = {
            f"{path}/_state/quality": cell_document(cell, cell.last)
            for path, cell in state.cells.items()
            if cell.last is not None
        }
        return judged | {
            f"{path}/_state/inspections": inspections_document(
                Here(self.plant, path, cell.inspections.at_ms), cell.inspections
            )
            for path, cell in state.cells.items()
            if cell.inspections.opened
        }


def build(plant: Plant) -> Quality:
    """The processor for a plant."""
    return Quality(plant)


def _subject(cell: CellQuality, event: Counted | Produced) -> Subject | None:
    """What pieces are of: what the fact names, else what the cell has loaded."""
    item = event.item or cell.item
    return Subject(item, event.order_id or cell.order_id) if item else None


def _turned(cell: CellQuality, turn: Turn) -> tuple[CellQuality, tuple[Draft, ...]]:
    return replace(cell, inspections=turn.state), turn.drafts
