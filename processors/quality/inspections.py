"""When inspections open: after a set-up, every so many pieces or minutes, for each lot.

Owns what is due. What comes of it is results.py.

Rules: of a plan, an order and a lot one inspection is open at a time; what comes due meanwhile, or
beyond OPEN_MAX at a cell, is counted as missed. A lot is presented when the cell makes another one
or takes up another order; its size is what was made of it until then. Time passes with pieces: an
hour in which nothing is made makes no inspection due.
"""

from collections.abc import Mapping
from typing import Any, Final, NamedTuple

from processors.base import replace
from processors.quality.state import PRESENTED_MAX, CellInspections, Inspection, MadeLot
from uns.fold import Draft
from uns.model.events import Counted, InspectionOpened, Loaded, Produced
from uns.model.inspection import OPEN_MAX, WAITING_MAX, InspectionPlan, When
from uns.model.path import to_dotted
from uns.model.plant import Plant, Specification
from uns.model.sampling.switching import START, Standing
from uns.model.sampling.tables import Severity

MINUTE_MS: Final = 60_000


class Here(NamedTuple):
    """The cell, and the time of the fact that is folded."""

    plant: Plant
    path: str
    at_ms: int

    @property
    def cell(self) -> str:
        """Its name."""
        return self.path.rpartition("/")[2]

    def specification(self, item: str | None) -> Specification | None:
        """Of an item at this cell."""
        known = self.plant.items.get(item or "")
        return known.specifications.get(self.cell) if known else None

    def plans(self, item: str | None, *when: When) -> Mapping[str, InspectionPlan]:
        """The plans of an item that open then, by name."""
        specification = self.specification(item)
        plans = specification.inspections if specification else {}
        return {name: plan for name, plan in plans.items() if plan.when in when}

    def plan_of(self, inspection: Inspection) -> InspectionPlan | None:
        """None where namespace.yaml no longer has it."""
        specification = self.specification(inspection.item)
        return specification.inspections.get(inspection.name) if specification else None


class Turn(NamedTuple):
    """A cell's inspections, and what is to be said of them, while a fact is folded."""

    state: CellInspections
    drafts: tuple[Draft, ...] = ()

    def but(self, **changes: Any) -> "Turn":
        """With other fields of the state."""
        return self._replace(state=replace(self.state, **changes))


class Subject(NamedTuple):
    """What is to be inspected."""

    item: str
    order_id: str | None
    lot: str | None = None
    lot_size: int | None = None
    attempt: int = 1


class _Numbers(NamedTuple):
    size: int
    accept: int
    reject: int
    severity: Severity | None


def loaded(here: Here, state: CellInspections, event: Loaded) -> Turn:
    """Another order: the lot is complete. Another item or revision: a set-up."""
    turn = Turn(state)
    if state.lot is not None and state.lot.order_id != event.order_id:
        turn = _presented(here, turn)
    specification = here.specification(event.item)
    revision = specification.revision if specification else None
    if event.item is None:
        return turn
    if (event.item, revision) == (state.item, state.revision):
        return _waiting(here, turn, event)
    timed = dict.fromkeys(here.plans(event.item, "per-time"), here.at_ms)
    turn = turn.but(item=event.item, revision=revision, pieces={}, since_ms=timed)
    due = dict(here.plans(event.item, "first-article"))
    if state.item not in (None, event.item):
        due |= here.plans(event.item, "change-over")
    for name in due:
        turn = opened(here, turn, name, Subject(event.item, event.order_id))
    return turn


def counted(here: Here, state: CellInspections, event: Counted, subject: Subject) -> Turn:
    """Pieces make inspections due by their number, and by the time they were made at."""
    turn, made = Turn(state), event.good + event.scrap + event.rework
    if not made or state.item not in (None, subject.item):
        return turn
    for name, plan in here.plans(subject.item, "every-n").items():
        pieces = turn.state.pieces.get(name, 0) + made
        every = plan.every or 1
        turn = turn.but(pieces={**turn.state.pieces, name: pieces % every})
        turn = opened(here, turn, name, subject) if pieces >= every else turn
    for name, plan in here.plans(subject.item, "per-time").items():
        since_ms = turn.state.since_ms.get(name, here.at_ms)
        is_due = here.at_ms - since_ms >= (plan.every_min or 1) * MINUTE_MS
        last_ms = here.at_ms if is_due else since_ms
        turn = turn.but(since_ms={**turn.state.since_ms, name: last_ms})
        turn = opened(here, turn, name, subject) if is_due else turn
    return turn


def produced(here: Here, state: CellInspections, event: Produced, subject: Subject) -> Turn:
    """More of a lot; of another one than before, that one is complete."""
    turn = Turn(state)
    if event.lot in state.presented or not here.plans(subject.item, "per-lot"):
        return turn
    if state.lot is not None and state.lot.lot != event.lot:
        turn = _presented(here, turn)
    lot = turn.state.lot or MadeLot(
        lot=event.lot, item=subject.item, order_id=subject.order_id, quantity=0.0
    )
    return turn.but(lot=replace(lot, quantity=lot.quantity + event.quantity))


def opened(here: Here, turn: Turn, name: str, subject: Subject) -> Turn:
    """Open an inspection, unless one like it is open or there are OPEN_MAX."""
    state, specification = turn.state, here.specification(subject.item)
    if specification is None:
        return turn
    if len(state.open) >= OPEN_MAX or any(
        (one.name, one.item, one.order_id, one.lot)
        == (name, subject.item, subject.order_id, subject.lot)
        for one in state.open.values()
    ):
        return turn.but(missed=state.missed + 1)
    number = state.opened + 1
    plan = specification.inspections[name]
    inspection = Inspection(
        inspection_id=f"{to_dotted(here.path)}-{number}",
        name=name,
        when=plan.when,
        specification=f"{subject.item}/{here.cell}/{specification.revision}",
        opened_ms=here.at_ms,
        **subject._asdict(),
        **_numbers(plan, standing(state, subject.item, name), subject)._asdict(),
    )
    is_open = {**state.open, inspection.inspection_id: inspection}
    turn = turn.but(opened=number, open=is_open, at_ms=max(state.at_ms, here.at_ms))
    return turn._replace(drafts=(*turn.drafts, _draft(here, inspection)))


def standing(state: CellInspections, item: str, name: str) -> Standing:
    """Where the lots of an item stand in a plan."""
    return state.series.get(f"{item}/{name}", START)


def said_of(inspection: Inspection) -> dict[str, Any]:
    """What every event of an inspection says of it."""
    found = {"inspected", "nonconforming", "defects", "opened_ms", "also"}
    return inspection.model_dump(mode="json", exclude=found)


def _waiting(here: Here, turn: Turn, event: Loaded) -> Turn:
    """Another order on the same set-up waits for its first article too."""
    state, order_id = turn.state, event.order_id
    joined = {
        key: replace(one, also=(*one.also, order_id))
        for key, one in state.open.items()
        if one.when == "first-article" and one.item == event.item
        if order_id not in (None, one.order_id, *one.also) and len(one.also) + 1 < WAITING_MAX
    }
    if not joined:
        return turn
    return turn.but(open={**state.open, **joined}, at_ms=max(state.at_ms, here.at_ms))


def _draft(here: Here, inspection: Inspection) -> Draft:
    return Draft(here.path, InspectionOpened.type_name, here.at_ms, said_of(inspection))


def _numbers(plan: InspectionPlan, series: Standing, subject: Subject) -> _Numbers:
    lot_size = subject.lot_size or plan.pieces
    if plan.sampling is None:
        return _Numbers(min(plan.pieces, lot_size), 0, 1, None)
    single = plan.sampling.plan(lot_size, series.severity)
    return _Numbers(single.size_for(lot_size), single.accept, single.reject, series.severity)


def _presented(here: Here, turn: Turn) -> Turn:
    lot = turn.state.lot
    if lot is None:
        return turn
    shown = (*turn.state.presented, lot.lot)[-PRESENTED_MAX:]
    turn, size = turn.but(lot=None, presented=shown), round(lot.quantity)
    for name in here.plans(lot.item, "per-lot") if size else ():
        turn = opened(here, turn, name, Subject(lot.item, lot.order_id, lot.lot, size))
    return turn
