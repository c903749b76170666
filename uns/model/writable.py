"""PURE: that a tag may be written, and within which bounds, as namespace.yaml says it.

Owns the shape. Whether a value may be written now is uns.model.writing's to judge.
"""

from typing import Annotated

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    StrictBool,
    StrictFloat,
    StrictInt,
    StrictStr,
    model_validator,
)

from uns.model.path import SEGMENT

Finite = Annotated[float, Field(allow_inf_nan=False)]
Choice = StrictBool | StrictInt | StrictFloat | StrictStr
Choices = Annotated[tuple[Choice, ...], Field(min_length=1, max_length=64)]


class Interlock(BaseModel):
    """A tag of the same cell that must hold one of some values; a state goes by its PackML name."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    tag: Annotated[str, Field(pattern=f"^{SEGMENT.pattern}$")]
    one_of: Choices


class Writable(BaseModel):
    """That a tag may be written, and within which bounds; without it nothing is ever written.

    minimum, maximum: the range of a number, both included, in the tag's unit.
    one_of: instead of a range, every value that may be written.
    interval_ms_min: the least time between two writes.
    interlock: all of these must hold, with good quality.
    write_timeout_ms: without the device's answer for this long the write counts as failed.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    minimum: Finite | None = None
    maximum: Finite | None = None
    one_of: Choices | None = None
    interval_ms_min: Annotated[int, Field(ge=0, le=86_400_000)] = 1_000
    interlock: Annotated[tuple[Interlock, ...], Field(max_length=16)] = ()
    write_timeout_ms: Annotated[int, Field(ge=100, le=60_000)] = 3_000

    @model_validator(mode="after")
    def _is_bounded(self) -> "Writable":
        if self.one_of is not None:
            if (self.minimum, self.maximum) != (None, None):
                raise ValueError("'one_of' stands instead of 'minimum' and 'maximum'")
        elif self.minimum is None or self.maximum is None:
            raise ValueError("a writable tag needs 'minimum' and 'maximum', or 'one_of'")
        elif self.minimum > self.maximum:
            raise ValueError(f"minimum {self.minimum:g} is above maximum {self.maximum:g}")
        return self
