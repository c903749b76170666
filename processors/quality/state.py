"""What is remembered of a cell's samples: the last verdicts, and how many there were of each."""

from typing import Final

from pydantic import Field

from processors.base import State
from uns.model.events import Verdict

SAMPLES_MAX: Final = 30
NO_RUN: Final = -1


class Judgement(State):
    """One characteristic against its limits; a missing limit is open, a missing value pends."""

    name: str
    value: float | None
    lower: float | None
    upper: float | None
    unit: str
    verdict: Verdict


class Sample(State):
    """A sample as judged last.

    run: the run of its cell it is counted in; NO_RUN if it belongs to another order.
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


class Tally(State):
    """Samples by their latest verdict; of those `decided`, `first_pass` passed when they were."""

    passed: int = 0
    failed: int = 0
    pending: int = 0
    decided: int = 0
    first_pass: int = 0


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


class LineQuality(State):
    """The cells of one line by path."""

    line: str
    cells: dict[str, CellQuality] = Field(default_factory=dict)
