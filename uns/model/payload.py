"""What every payload of an event is made of: the kinds of its fields, and what each carries.

Owns the common rules. Knows no event: those are events.py, which also lists them.
"""

from typing import Annotated, ClassVar, Final, Literal

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
EVIDENCE_MAX: Final = 16
WORDS_LENGTH_MAX: Final = 240
TRACED_LENGTH_MAX: Final = 60_000
CHART_POINTS_MAX: Final = 25
Identifier = Annotated[str, Field(min_length=1, max_length=IDENTIFIER_LENGTH_MAX)]
Count = Annotated[int, Field(ge=0)]
Finite = Annotated[float, Field(allow_inf_nan=False)]
Quantity = Annotated[float, Field(ge=0, le=1e18, allow_inf_nan=False)]
UnitOfMeasure = Annotated[str, Field(max_length=32)]
Millis = Annotated[int, Field(ge=0, lt=2**53)]
Pieces = Annotated[int, Field(gt=0, le=10_000_000)]
Priority = Annotated[int, Field(ge=0, le=100)]
Words = Annotated[str, Field(max_length=WORDS_LENGTH_MAX)]
Value = StrictBool | StrictInt | StrictFloat | StrictStr | None
Verdict = Literal["pass", "fail", "pending"]
StopCommand = Literal["classify", "split", "merge"]


class Payload(BaseModel):
    """The common rules: immutable, unknown keys refused, NaN and infinity refused."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Defect(Payload):
    """What is wrong with pieces of a sample: a code, and where on the piece."""

    code: Identifier
    place: Identifier | None = None
    count: Annotated[int, Field(ge=1, le=10_000)] = 1


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
