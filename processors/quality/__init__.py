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
from processors.quality import holds, inspections, results
from processors.quality.documents import cell_document
from processors.quality.hold_documents import hold_document
from processors.quality.inspection_documents import inspections_document
from processors.quality.inspections import Here, Subject, Turn
from processors.quality.state import CellQuality, LineHolds, LineQuality
from uns.fold import Document, Draft, Step, Tick
from uns.model.events import (
    Consumed,
    Counted,
    Event,
    HoldCommanded,
    HoldSaid,
    Inspected,
    InspectionCommanded,
    Loaded,
    Produced,
)
from uns.model.plant import Plant

VERDICT_INPUTS: Final = frozenset({Inspected.type_name, Loaded.type_name})
INSPECTION_INPUTS: Final = frozenset(
    {Counted.type_name, Produced.type_name, InspectionCommanded.type_name}
)


HOLD_INPUTS: Final = frozenset({HoldCommanded.type_name, HoldSaid.type_name})
USE_INPUTS: Final = frozenset({Consumed.type_name, Produced.type_name})


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
        """What verdicts and holds follow from; and what the plant's settings make count."""
        known = [s for item in self.plant.items.values() for s in item.specifications.values()]
        inputs = VERDICT_INPUTS | HOLD_INPUTS
        if any(one.inspections for one in known):
            inputs |= INSPECTION_INPUTS
        if self.plant.may_release_holds or any(one.on_fail for one in known):
            inputs |= USE_INPUTS
        return inputs

    @property
    def states(self) -> frozenset[str]:
        """What stands below `_state` of its cells, and of its line."""
        return frozenset({"quality", "inspections", "hold"})

    @property
    def state_type(self) -> type[LineQuality]:
        """The line's cells."""
        return LineQuality

    def initial(self, key: str) -> LineQuality:
        """A line without samples."""
        return LineQuality(line=key)

    def fold(self, state: LineQuality, event: Event | Tick) -> Step[LineQuality]:
        """One fact. Time alone changes nothing."""
        if isinstance(event, Tick):
            return Step(state)
        if event.path != state.line and cell_at(self.plant, state.line, event.path) is None:
            return Step(state)
        before = state.cells.get(event.path, CellQuality())
        cell, outputs = self._folded(self._here(before, event), before, event)
        held = self._held(state, before, cell, event)
        if cell != before:
            state = replace(state, cells={**state.cells, event.path: cell})
        if held.holds != state.holds:
            state = replace(state, holds=held.holds)
        return Step(state, (*outputs, *held.drafts))

    def _held(
        self, state: LineQuality, before: CellQuality, cell: CellQuality, event: Event
    ) -> holds.Held:
        line, known = state.line, state.holds
        match event:
            case HoldCommanded() if event.path == line:
                return holds.commanded(self.plant, line, known, event)
            case HoldSaid() if event.path == line:
                return holds.Held(holds.said(line, known, event))
            case Consumed():
                return holds.consumed(known, event)
            case Produced():
                return holds.produced(line, known, event)
        return self._failed(line, known, event.path, before, cell)

    def _failed(
        self, line: str, known: LineHolds, path: str, before: CellQuality, cell: CellQuality
    ) -> holds.Held:
        """Hold what the samples are of that failed by this fact."""
        held = holds.Held(known)
        if cell.samples is before.samples:
            return held
        for sample in cell.samples.values():
            was = before.samples.get(sample.sample_id)
            if sample is was or sample.verdict != "fail" or (was and was.verdict == "fail"):
                continue
            if rule := holds.on_fail(self.plant, path, sample.item):
                more = holds.failed(line, held.holds, path, rule, sample)
                held = holds.Held(more.holds, (*held.drafts, *more.drafts))
        return held

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
        shown = {
            f"{state.line}/_state/hold/{hold.number}": hold_document(hold)
            for hold in (*state.holds.released, *state.holds.open.values())
        }
        return (
            judged
            | shown
            | {
                f"{path}/_state/inspections": inspections_document(
                    Here(self.plant, path, cell.inspections.at_ms), cell.inspections
                )
                for path, cell in state.cells.items()
                if cell.inspections.opened
            }
        )


def build(plant: Plant) -> Quality:
    """The processor for a plant."""
    return Quality(plant)


def _subject(cell: CellQuality, event: Counted | Produced) -> Subject | None:
    """What pieces are of: what the fact names, else what the cell has loaded."""
    item = event.item or cell.item
    return Subject(item, event.order_id or cell.order_id) if item else None


def _turned(cell: CellQuality, turn: Turn) -> tuple[CellQuality, tuple[Draft, ...]]:
    return replace(cell, inspections=turn.state), turn.drafts
