"""What is remembered of a cell: its last verdicts and their numbers, and its inspections."""

from typing import Final

from pydantic import Field

from processors.base import State
from uns.model.events import Defect, Verdict
from uns.model.inspection import When
from uns.model.sampling.switching import Standing
from uns.model.sampling.tables import Severity

SAMPLES_MAX: Final = 30
NO_RUN: Final = -1
ENDED_MAX: Final = 5
PRESENTED_MAX: Final = 20
HOLDS_MAX: Final = 200
"""Holds that may be open on a line; what fails beyond is told of, and not held."""
RELEASED_SHOWN: Final = 5
ELSEWHERE_MAX: Final = 1_000
USED_MAX: Final = 8


class Judgement(State):
    """One characteristic against its limits; a missing limit is open, a missing value pends."""

    name: str
    value: float | None
    lower: float | None
    upper: float | None
    unit: str
    verdict: Verdict
    gauge: str | None = None


class Sample(State):
    """A sample as judged last.

    run: the run of its cell it is counted in; NO_RUN if it belongs to another order.
    operator, inspection_id: of a sample that somebody recorded.
    """

    sample_id: str
    verdict: Verdict
    characteristics: tuple[Judgement, ...]
    specification: str | None
    unit_id: str | None
    lot: str | None
    item: str | None
    order_id: str | None
    at_ms: int
    run: int
    operator: str | None = None
    inspection_id: str | None = None


class Tally(State):
    """Samples by their latest verdict; of those `decided`, `first_pass` passed when they were."""

    passed: int = 0
    failed: int = 0
    pending: int = 0
    decided: int = 0
    first_pass: int = 0


class Inspection(State):
    """An open inspection: what it is of, how many pieces, and what was found so far.

    specification: as it was when the inspection opened. severity: of a sampled lot.
    attempt: of a first article. also: orders that were taken up since and wait for it too.
    """

    inspection_id: str
    name: str
    when: When
    item: str
    specification: str
    order_id: str | None
    lot: str | None
    lot_size: int | None
    size: int
    accept: int
    reject: int
    severity: Severity | None
    attempt: int
    opened_ms: int
    inspected: int = 0
    nonconforming: int = 0
    defects: tuple[Defect, ...] = ()
    also: tuple[str, ...] = ()


class EndedInspection(State):
    """How an inspection ended."""

    inspection_id: str
    name: str
    verdict: str
    order_id: str | None
    lot: str | None
    inspected: int
    nonconforming: int
    at_ms: int


class MadeLot(State):
    """The lot that a cell makes, as far as it is made."""

    lot: str
    item: str
    order_id: str | None
    quantity: float


class CellInspections(State):
    """A cell's inspections.

    opened: how many there ever were, which numbers them. missed: due while the one before was
    open, or OPEN_MAX were. item, revision: what the cell is set up for. pieces, since_ms: since the
    last inspection of a plan, or the set-up. presented: the last lots that were presented.
    series: where the lots of an item stand, by item and plan. at_ms: the last change.
    """

    opened: int = 0
    missed: int = 0
    open: dict[str, Inspection] = Field(default_factory=dict)
    ended: tuple[EndedInspection, ...] = ()
    item: str | None = None
    revision: str | None = None
    pieces: dict[str, int] = Field(default_factory=dict)
    since_ms: dict[str, int] = Field(default_factory=dict)
    lot: MadeLot | None = None
    presented: tuple[str, ...] = ()
    series: dict[str, Standing] = Field(default_factory=dict)
    at_ms: int = 0


class CellQuality(State):
    """One cell: what it works on, its last SAMPLES_MAX samples, oldest first, and the counts.

    run: how often the current counts began anew.
    """

    order_id: str | None = None
    item: str | None = None
    is_loaded: bool = False
    run: int = 0
    samples: dict[str, Sample] = Field(default_factory=dict)
    last: Sample | None = None
    last_fail: Sample | None = None
    current: Tally = Tally()
    total: Tally = Tally()
    inspections: CellInspections = CellInspections()


class Hold(State):
    """What is held, and why; `released_ms` and by whom, once it is released.

    fails: verdicts that failed in it. sample_id, specification, values: of the first of them.
    cause_id: the hold of what it was made of. role: whom the alert is for.
    """

    hold_id: str
    lot: str | None
    unit_id: str | None
    item: str | None
    order_id: str | None
    halts: bool
    reason: str
    actor: str | None
    opened_ms: int
    fails: int = 0
    sample_id: str | None = None
    specification: str | None = None
    values: tuple[Judgement, ...] = ()
    cause_id: str | None = None
    role: str | None = None
    released_ms: int | None = None

    @property
    def number(self) -> str:
        """Which of its line's holds it is: the last part of its id."""
        return self.hold_id.rpartition("-")[2]


class Named(State):
    """The lot or the unit that another line holds."""

    lot: str | None
    unit_id: str | None


class LineHolds(State):
    """A line's holds.

    opened: how many there ever were, which numbers them. released: the last ones, which are still
    shown. elsewhere: what other lines hold, by hold. used: holds of what went into a cell since its
    last output, by path.
    """

    opened: int = 0
    open: dict[str, Hold] = Field(default_factory=dict)
    released: tuple[Hold, ...] = ()
    elsewhere: dict[str, Named] = Field(default_factory=dict)
    used: dict[str, tuple[str, ...]] = Field(default_factory=dict)


class LineQuality(State):
    """The cells of one line by path, and what the line holds."""

    line: str
    cells: dict[str, CellQuality] = Field(default_factory=dict)
    holds: LineHolds = LineHolds()
