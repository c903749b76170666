"""Events and tags: the payload models, one class a type, and the table that lists them.

An event is a fact that happened. `path` repeats the place of its topic, so that history,
outboxes and replays need no topic; `(source, epoch, seq)` is contiguous per source. What bridges
say of devices and orders stands here, what people ask for in asked.py, what processors put out in
derived.py, the common rules in payload.py; everybody else imports from here.
"""

from typing import Annotated, ClassVar, Final, Literal

from pydantic import Field

from uns.model.asked import (
    ChartCommanded,
    InspectionCommanded,
    KanbanCommanded,
    OperationGated,
    OrderCommanded,
    OrderMoved,
    StopCommanded,
    WaitingOrder,
)
from uns.model.derived import (
    Alerted,
    Edge,
    Folded,
    Gap,
    InspectionClosed,
    InspectionOpened,
    Judged,
    LimitsFrozen,
    OeeInterval,
    OrderClosed,
    PointExcluded,
    PullRequested,
    SpcViolated,
    StopChange,
    StopClassified,
    StopEnded,
    StopMerged,
    Stopped,
    StopSplit,
    VerdictGiven,
)
from uns.model.hold import HoldCommanded, HoldOpened, HoldReleased, HoldSaid
from uns.model.observation import Quality
from uns.model.payload import (
    CHART_POINTS_MAX,
    EVIDENCE_MAX,
    IDENTIFIER_LENGTH_MAX,
    RUNS_MAX,
    SAMPLES_MAX,
    TRACED_LENGTH_MAX,
    WORDS_LENGTH_MAX,
    Count,
    Defect,
    Event,
    Finite,
    Identifier,
    Millis,
    Payload,
    Pieces,
    Priority,
    Quantity,
    StopCommand,
    Tag,
    UnitOfMeasure,
    Value,
    Verdict,
    Words,
)

__all__ = [
    "BRIDGE_EVENTS",
    "CHART_POINTS_MAX",
    "EVENTS",
    "EVIDENCE_MAX",
    "IDENTIFIER_LENGTH_MAX",
    "PROCESSOR_EVENTS",
    "RUNS_MAX",
    "SAMPLES_MAX",
    "TRACED_LENGTH_MAX",
    "WORDS_LENGTH_MAX",
    "Alerted",
    "ChartCommanded",
    "Consumed",
    "Count",
    "Counted",
    "Defect",
    "Edge",
    "Event",
    "Finite",
    "Folded",
    "Gap",
    "HoldCommanded",
    "HoldOpened",
    "HoldReleased",
    "HoldSaid",
    "Identifier",
    "Inspected",
    "InspectionClosed",
    "InspectionCommanded",
    "InspectionOpened",
    "Judged",
    "KanbanCommanded",
    "LimitsFrozen",
    "Loaded",
    "Millis",
    "OeeInterval",
    "OperationGated",
    "OrderClosed",
    "OrderCommanded",
    "OrderMoved",
    "Payload",
    "Pieces",
    "PointExcluded",
    "Priority",
    "Produced",
    "PullRequested",
    "Quantity",
    "Rejected",
    "Released",
    "Reply",
    "Sample",
    "Sampled",
    "SpcViolated",
    "StateChanged",
    "StopChange",
    "StopClassified",
    "StopCommand",
    "StopCommanded",
    "StopEnded",
    "StopMerged",
    "StopSplit",
    "Stopped",
    "Tag",
    "Traced",
    "UnitOfMeasure",
    "Value",
    "Verdict",
    "VerdictGiven",
    "WaitingOrder",
    "Words",
    "WriteAttempted",
]


class StateChanged(Event):
    """A cell entered a PackML state (or `UNKNOWN`); `fault` is the device's own code."""

    type_name: ClassVar[str] = "state-changed"
    type: Literal["state-changed"] = "state-changed"
    state: Identifier
    fault: Identifier | None = None


class Counted(Event):
    """Pieces a cell finished since its last count, by device counters (never by messages)."""

    type_name: ClassVar[str] = "counted"
    type: Literal["counted"] = "counted"
    good: Count
    scrap: Count
    rework: Count = 0
    order_id: Identifier | None = None
    item: Identifier | None = None


class Consumed(Event):
    """A quantity of a lot went into what the cell makes (ISA-95 MaterialUse Consumed)."""

    type_name: ClassVar[str] = "consumed"
    type: Literal["consumed"] = "consumed"
    lot: Identifier
    item: Identifier | None = None
    quantity: Quantity
    unit: UnitOfMeasure
    order_id: Identifier | None = None


class Produced(Event):
    """A quantity of a lot, or one serial-numbered unit of it, came out (MaterialUse Produced)."""

    type_name: ClassVar[str] = "produced"
    type: Literal["produced"] = "produced"
    lot: Identifier
    unit_id: Identifier | None = None
    item: Identifier | None = None
    quantity: Quantity
    unit: UnitOfMeasure
    order_id: Identifier | None = None


class Inspected(Event):
    """A sample was measured; a characteristic without a value yet is null (verdict pending).

    uncertain: characteristics whose value has the quality `uncertain`.
    """

    type_name: ClassVar[str] = "inspected"
    type: Literal["inspected"] = "inspected"
    sample_id: Identifier
    values: Annotated[dict[Identifier, Finite | None], Field(max_length=64)]
    uncertain: Annotated[tuple[Identifier, ...], Field(max_length=64)] = ()
    unit_id: Identifier | None = None
    lot: Identifier | None = None
    item: Identifier | None = None
    order_id: Identifier | None = None


class Loaded(Event):
    """A cell took up an order (or none: it was unloaded)."""

    type_name: ClassVar[str] = "loaded"
    type: Literal["loaded"] = "loaded"
    order_id: Identifier | None = None
    item: Identifier | None = None


class Released(Event):
    """An order was released to a line by the ERP (ISA-95 job order, command Store).

    split_from: the order of another line that its pieces were moved from.
    """

    type_name: ClassVar[str] = "released"
    type: Literal["released"] = "released"
    order_id: Identifier
    item: Identifier
    quantity: Pieces
    due_ms: Millis | None = None
    priority: Priority = 50
    revision: Annotated[int, Field(ge=1)] = 1
    content_hash: Annotated[str, Field(max_length=128)] = ""
    split_from: Identifier | None = None


class Reply(Event):
    """The answer to a command, in words an operator understands."""

    type_name: ClassVar[str] = "reply"
    type: Literal["reply"] = "reply"
    request_id: Identifier
    outcome: Literal["accepted", "refused"]
    reason: str


class WriteAttempted(Event):
    """A request to write a tag was answered: who asked for what, and what became of it.

    `new_value` is what the device showed afterwards; null where nothing was read back.
    """

    type_name: ClassVar[str] = "write-attempted"
    type: Literal["write-attempted"] = "write-attempted"
    request_id: Identifier
    tag: Identifier
    value: Value
    old_value: Value
    new_value: Value
    actor: Annotated[str, Field(max_length=IDENTIFIER_LENGTH_MAX)] | None = None
    outcome: Literal["accepted", "refused"]
    reason: str


class Sample(Payload):
    """One value of one tag, as its device told it at `at_ms`."""

    tag: Identifier
    value: Value
    at_ms: Millis
    quality: Quality
    unit: UnitOfMeasure | None = None
    reason: str | None = None


class Sampled(Event):
    """Values of a cell's tags that say `record: every`, each of them, in the order of their coming.

    dropped: how many were here until they had to give way, when the disk was full or they were too
    old; then there are none.
    """

    type_name: ClassVar[str] = "sampled"
    type: Literal["sampled"] = "sampled"
    samples: Annotated[tuple[Sample, ...], Field(max_length=SAMPLES_MAX)] = ()
    dropped: Count = 0


class Traced(Event):
    """What a partner told of things in an EPCIS event, whole: said again, it is the same one.

    event_id: its hash id (CBV 2.0, 8.9.2). document: the event in JSON with its @context.
    is_error_declared: the event is said not to have happened so; it is never taken back.
    """

    type_name: ClassVar[str] = "traced"
    type: Literal["traced"] = "traced"
    event_id: Identifier
    event_type: Identifier
    action: Literal["ADD", "OBSERVE", "DELETE"] | None = None
    biz_step: Words | None = None
    is_error_declared: bool = False
    document: Annotated[str, Field(max_length=TRACED_LENGTH_MAX)]


class Rejected(Event):
    """Input a bridge refused, with its original bytes (base64, at most 64 kB) and their hash."""

    type_name: ClassVar[str] = "rejected"
    type: Literal["rejected"] = "rejected"
    reject_class: str
    origin: str
    reason: str
    original_base64: str
    original_sha256: str


BRIDGE_EVENTS: Final[tuple[type[Event], ...]] = (
    StateChanged,
    Counted,
    Consumed,
    Produced,
    Inspected,
    Loaded,
    Released,
    OrderCommanded,
    OrderMoved,
    KanbanCommanded,
    ChartCommanded,
    InspectionCommanded,
    OperationGated,
    HoldCommanded,
    HoldSaid,
    StopCommanded,
    Reply,
    WriteAttempted,
    Sampled,
    Traced,
    Rejected,
)
PROCESSOR_EVENTS: Final[tuple[type[Event], ...]] = (
    VerdictGiven,
    InspectionOpened,
    InspectionClosed,
    HoldOpened,
    HoldReleased,
    SpcViolated,
    LimitsFrozen,
    Edge,
    Stopped,
    StopEnded,
    StopClassified,
    StopSplit,
    StopMerged,
    OeeInterval,
    Alerted,
    PullRequested,
    OrderClosed,
    Gap,
    Folded,
)
EVENTS: Final[dict[str, type[Event]]] = {
    model.type_name: model for model in (*BRIDGE_EVENTS, *PROCESSOR_EVENTS)
}
