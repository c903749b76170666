"""Events and tags: the payload models, one class a type, and the table that lists them.

An event is a fact that happened. `path` repeats the place of its topic, so that history,
outboxes and replays need no topic; `(source, epoch, seq)` is contiguous per source.
Bridges write the first group, processors the second, the hub the third.
"""

from typing import Annotated, Any, ClassVar, Final, Literal

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    StrictBool,
    StrictFloat,
    StrictInt,
    StrictStr,
)

from uns.model.observation import Quality

IDENTIFIER_LENGTH_MAX: Final = 128
SAMPLES_MAX: Final = 200
RUNS_MAX: Final = 1_000
Identifier = Annotated[str, Field(min_length=1, max_length=IDENTIFIER_LENGTH_MAX)]
Count = Annotated[int, Field(ge=0)]
Finite = Annotated[float, Field(allow_inf_nan=False)]
Quantity = Annotated[float, Field(ge=0, le=1e18, allow_inf_nan=False)]
UnitOfMeasure = Annotated[str, Field(max_length=32)]
Millis = Annotated[int, Field(ge=0, lt=2**53)]
Value = StrictBool | StrictInt | StrictFloat | StrictStr | None
Verdict = Literal["pass", "fail", "pending"]


class Payload(BaseModel):
    """The common rules: immutable, unknown keys refused, NaN and infinity refused."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Tag(Payload):
    """A value from a device, latest wins. `timestamp_ms` is the source's clock."""

    value: Value
    timestamp_ms: Millis
    quality: Quality
    unit: str | None = None
    reason: str | None = None


class Event(Payload):
    """What every event carries; subclasses add what happened."""

    type_name: ClassVar[str]

    id: Identifier
    type: str
    at_ms: Millis
    path: str
    source: Identifier
    epoch: Count
    seq: Annotated[int, Field(ge=1)]


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
    """A sample was measured; a characteristic without a value yet is null (verdict pending)."""

    type_name: ClassVar[str] = "inspected"
    type: Literal["inspected"] = "inspected"
    sample_id: Identifier
    values: Annotated[dict[Identifier, Finite | None], Field(max_length=64)]
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
    """An order was released to a line by the ERP (ISA-95 job order, command Store)."""

    type_name: ClassVar[str] = "released"
    type: Literal["released"] = "released"
    order_id: Identifier
    item: Identifier
    quantity: Annotated[int, Field(gt=0, le=10_000_000)]
    due_ms: Millis | None = None
    priority: Annotated[int, Field(ge=0, le=100)] = 50
    revision: Annotated[int, Field(ge=1)] = 1
    content_hash: Annotated[str, Field(max_length=128)] = ""


class Judged(Payload):
    """One characteristic of a sample against its limits; a missing limit is open."""

    name: str
    value: Finite | None
    lower: Finite | None
    upper: Finite | None
    unit: str
    verdict: Verdict


class VerdictGiven(Event):
    """The quality verdict of a sample, with the values and limits it used."""

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


class OrderClosed(Event):
    """The final document of an order; its live topic is cleared once this is in history."""

    type_name: ClassVar[str] = "order-closed"
    type: Literal["order-closed"] = "order-closed"
    order_id: Identifier
    document: dict[str, Any]


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


class Rejected(Event):
    """Input a bridge refused, with its original bytes (base64, at most 64 kB) and their hash."""

    type_name: ClassVar[str] = "rejected"
    type: Literal["rejected"] = "rejected"
    reject_class: str
    origin: str
    reason: str
    original_base64: str
    original_sha256: str


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


BRIDGE_EVENTS: Final[tuple[type[Event], ...]] = (
    StateChanged,
    Counted,
    Consumed,
    Produced,
    Inspected,
    Loaded,
    Released,
    Reply,
    WriteAttempted,
    Sampled,
    Rejected,
)
PROCESSOR_EVENTS: Final[tuple[type[Event], ...]] = (
    VerdictGiven,
    Edge,
    Stopped,
    StopEnded,
    OeeInterval,
    OrderClosed,
    Gap,
    Folded,
)
EVENTS: Final[dict[str, type[Event]]] = {
    model.type_name: model for model in (*BRIDGE_EVENTS, *PROCESSOR_EVENTS)
}
