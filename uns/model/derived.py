"""Events that processors put out: what follows from the facts of bridges.

Owns what each says; how it comes about is its processor's.
"""

from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field

from uns.model.inspection import DEFECTS_MAX, When
from uns.model.payload import (
    CHART_POINTS_MAX,
    EVIDENCE_MAX,
    RUNS_MAX,
    Count,
    Defect,
    Event,
    Finite,
    Identifier,
    Millis,
    Payload,
    Quantity,
    Value,
    Verdict,
    Words,
)
from uns.model.sampling.tables import Severity
from uns.model.spc.settings import BrokenRule, Kind, Panel


class Judged(Payload):
    """One characteristic of a sample against its limits; a missing limit is open."""

    name: str
    value: Finite | None
    lower: Finite | None
    upper: Finite | None
    unit: str
    verdict: Verdict
    gauge: str | None = None


class VerdictGiven(Event):
    """The quality verdict of a sample, with the values and limits it used.

    operator, inspection_id: of a sample that somebody recorded.
    """

    type_name: ClassVar[str] = "verdict"
    type: Literal["verdict"] = "verdict"
    sample_id: Identifier
    verdict: Verdict
    characteristics: tuple[Judged, ...]
    specification: str | None = None
    unit_id: str | None = None
    lot: str | None = None
    item: str | None = None
    order_id: str | None = None
    operator: str | None = None
    inspection_id: str | None = None


class InspectionEvent(Event):
    """What an inspection is of: a plan, by the revision that its specification had.

    size: how many pieces are inspected; accept, reject: with how many nonconforming it passes and
    fails. severity: of a sampled lot. attempt: of a first article, from 1.
    """

    inspection_id: Identifier
    name: str
    when: When
    item: str
    specification: str
    order_id: str | None
    lot: str | None
    lot_size: Count | None
    size: Count
    accept: Count
    reject: Count
    severity: Severity | None
    attempt: Annotated[int, Field(ge=1)]


class InspectionOpened(InspectionEvent):
    """An inspection is due."""

    type_name: ClassVar[str] = "inspection-opened"
    type: Literal["inspection-opened"] = "inspection-opened"


class InspectionClosed(InspectionEvent):
    """An inspection has its verdict, or was cancelled with a reason.

    operator: who recorded the last result. next_severity: of the next lot; `discontinued` if none
    is accepted any more.
    """

    type_name: ClassVar[str] = "inspection-closed"
    type: Literal["inspection-closed"] = "inspection-closed"
    verdict: Literal["pass", "fail", "cancelled"]
    inspected: Count
    nonconforming: Count
    defects: Annotated[tuple[Defect, ...], Field(max_length=DEFECTS_MAX)]
    opened_ms: Millis
    operator: str | None
    reason: Words | None
    next_severity: Severity | Literal["discontinued"] | None


class SpcViolated(Event):
    """A point of a control chart breaks a rule: the points that made it, and the lines there.

    points: their numbers, the one that broke it last. panel: which of the chart's drawings.
    limits_version: of the limits it was judged by.
    """

    type_name: ClassVar[str] = "spc-violated"
    type: Literal["spc-violated"] = "spc-violated"
    characteristic: Identifier
    item: Identifier
    rule: BrokenRule
    panel: Panel
    points: Annotated[tuple[int, ...], Field(min_length=1, max_length=CHART_POINTS_MAX)]
    value: Finite
    lower: Finite
    centre: Finite
    upper: Finite
    chart: Kind
    limits_version: str
    sample_id: Identifier
    order_id: str | None = None
    lot: str | None = None


class PointExcluded(Payload):
    """A point that was left out of the limits, who decided so, when and why."""

    point: Annotated[int, Field(ge=1)]
    reason: Words
    actor: Identifier | None = None
    at_ms: Millis


class LimitsFrozen(Event):
    """A control chart has other limits from now on.

    centre, sigma: what all lines follow from (sigma of single values). first_point, last_point,
    points: of the phase I they come from; breaking: which of it break a rule under them.
    """

    type_name: ClassVar[str] = "limits-frozen"
    type: Literal["limits-frozen"] = "limits-frozen"
    characteristic: Identifier
    item: Identifier
    version: str
    chart: Kind
    centre: Finite
    sigma: Finite
    points: Count
    first_point: Count
    last_point: Count
    excluded: tuple[PointExcluded, ...] = ()
    breaking: tuple[int, ...] = ()
    reason: Words | None = None
    actor: Identifier | None = None


class Edge(Event):
    """Genealogy: `quantity` more of `input_id` went into `output_id` (increments add up)."""

    type_name: ClassVar[str] = "edge"
    type: Literal["edge"] = "edge"
    input_id: Identifier
    output_id: Identifier
    quantity: Finite
    unit: str
    order_id: str | None = None


class Stopped(Event):
    """A stop opened: the cell left running inside busy time."""

    type_name: ClassVar[str] = "stopped"
    type: Literal["stopped"] = "stopped"
    stop_id: Identifier
    state: str
    reason: str | None = None
    order_id: str | None = None


class StopEnded(Event):
    """A stop closed; `micro` stops are shorter than the cell's threshold and count as speed."""

    type_name: ClassVar[str] = "stop-ended"
    type: Literal["stop-ended"] = "stop-ended"
    stop_id: Identifier
    state: str
    reason: str | None = None
    order_id: str | None = None
    start_ms: Millis
    duration_ms: Count
    micro: bool


class StopChange(Event):
    """What a person changed about a stop: the whole stop as it is now, and who asked for it.

    rev: counts the changes of a cell's stops; of one stop the greatest holds. end_ms, duration_ms:
    None while it lasts. old_reason: what it had before.
    """

    stop_id: Identifier
    rev: Annotated[int, Field(ge=1)]
    state: str
    reason: str | None
    old_reason: str | None
    order_id: str | None = None
    start_ms: Millis
    end_ms: Millis | None
    duration_ms: Count | None
    request_id: Identifier
    actor: Identifier | None = None
    comment: Words | None = None


class StopClassified(StopChange):
    """A stop was given a reason of the plant; `moved_ms` of its time is of another element now."""

    type_name: ClassVar[str] = "stop-classified"
    type: Literal["stop-classified"] = "stop-classified"
    moved_ms: Count


class StopSplit(StopChange):
    """A stop ends at its `end_ms` now; from there on it is `new_stop_id`, with the same reason."""

    type_name: ClassVar[str] = "stop-split"
    type: Literal["stop-split"] = "stop-split"
    new_stop_id: Identifier
    new_end_ms: Millis
    new_duration_ms: Count


class StopMerged(StopChange):
    """A stop took up the next one, `merged_stop_id` of `merged_reason`, which is no more."""

    type_name: ClassVar[str] = "stop-merged"
    type: Literal["stop-merged"] = "stop-merged"
    merged_stop_id: Identifier
    merged_reason: str | None
    moved_ms: Count


class OeeInterval(Event):
    """A closed piece of a cell's time: one time element of ISO 22400-2, and what was made in it.

    Times are milliseconds; `ideal_ms` is the sum of planned run time per item x pieces.
    """

    type_name: ClassVar[str] = "oee-interval"
    type: Literal["oee-interval"] = "oee-interval"
    element: str
    state: str
    start_ms: Millis
    end_ms: Millis
    shift_id: str
    policy_id: str
    order_id: str | None = None
    item: str | None = None
    pq: Count = 0
    gq: Count = 0
    sq: Count = 0
    rq: Count = 0
    ideal_ms: Count = 0
    ideal_good_ms: Count = 0


class PullRequested(Event):
    """A bin was emptied: `quantity` of an item is wanted at a line, once a `pull_id`."""

    type_name: ClassVar[str] = "pull-requested"
    type: Literal["pull-requested"] = "pull-requested"
    pull_id: Identifier
    loop: Identifier
    card: Annotated[int, Field(ge=1)]
    item: Identifier
    quantity: Quantity


class Alerted(Event):
    """A processor found what a person should look at; `code` is stable, `summary` is for reading.

    evidence: the figures that led to it, by name (units in the names): at most EVIDENCE_MAX.
    """

    type_name: ClassVar[str] = "alert"
    type: Literal["alert"] = "alert"
    code: Identifier
    summary: Words
    evidence: Annotated[dict[Identifier, Value], Field(max_length=EVIDENCE_MAX)]


class OrderClosed(Event):
    """The final document of an order; its live topic is cleared once this is in history."""

    type_name: ClassVar[str] = "order-closed"
    type: Literal["order-closed"] = "order-closed"
    order_id: Identifier
    document: dict[str, Any]


class Gap(Event):
    """Events of another source that never arrived: loss is said, never silent."""

    type_name: ClassVar[str] = "gap"
    type: Literal["gap"] = "gap"
    of_source: str
    of_epoch: int
    from_seq: int
    to_seq: int
    seen_by: str


class Folded(Event):
    """In which order a processor folded the events of its line's sources, `number` by number.

    A run is (source, epoch, to_seq): that source was taken next, up to and including to_seq.
    previous: the id of the one before. Two owners that knew nothing of each other may both have
    told a number; who goes back from the last one meets the right ones only.
    """

    type_name: ClassVar[str] = "folded"
    type: Literal["folded"] = "folded"
    processor: Identifier
    number: Annotated[int, Field(ge=1)]
    previous: Identifier | None = None
    runs: Annotated[tuple[tuple[Identifier, Count, Count], ...], Field(max_length=RUNS_MAX)]
