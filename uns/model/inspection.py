"""PURE: inspection plans: what of an operation is inspected, when, and how many pieces of it.

Owns the shape of a plan and the sampling of lots. Does not know results or who takes them.
"""

from typing import Annotated, Final, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from uns.model.path import SEGMENT
from uns.model.sampling.plans import LOT_MIN, SinglePlan, aql_named, plan_for
from uns.model.sampling.switching import Scheme, Standard
from uns.model.sampling.tables import AQLS, Level, Severity

When = Literal["first-article", "change-over", "every-n", "per-time", "per-lot"]
InspectionCommand = Literal["record", "cancel", "resume"]
PIECES_MAX: Final = 1_000
DEFECTS_MAX: Final = 16
OPEN_MAX: Final = 20
"""Inspections that may be open at a cell."""
WAITING_MAX: Final = 6
"""Orders that may wait for one of them."""


def _known_aql(text: str) -> str:
    known = aql_named(text)
    if known is None:
        raise ValueError(f"no AQL {text}: use one of {', '.join(AQLS)}")
    return known


Aql = Annotated[str, Field(coerce_numbers_to_str=True), AfterValidator(_known_aql)]


class Sampling(BaseModel):
    """Sampling of lots by attributes: level, AQL, and by whose rules severity is switched.

    may_reduce: whether good lots lead to reduced inspection.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    level: Level = "II"
    aql: Aql
    standard: Standard = "iso2859-1"
    may_reduce: bool = False

    @property
    def scheme(self) -> Scheme:
        """The switching rules."""
        return Scheme(self.standard, self.may_reduce)

    def plan(self, lot: int, severity: Severity) -> SinglePlan:
        """The plan of a lot; of one too small for the tables, that of the smallest."""
        return plan_for(max(LOT_MIN, lot), self.level, self.aql, severity)


class InspectionPlan(BaseModel):
    """One inspection of an operation.

    when: `first-article` after set-up or a new revision of the specification, until one passes;
        `change-over` once after another item was made; `every-n` once `every` pieces; `per-time`
        with the first piece after `every_min` minutes; `per-lot` of each lot that is made.
    characteristics: those of the specification that are inspected; without it, all.
    pieces: how many are inspected; none of them may be nonconforming.
    sampling: of lots, instead of `pieces`.
    gauge: what it is measured with.
    defects: codes that people may give; without it, any.
    by_hand: only what people record counts, not the cell's own samples.
    gate: while it is open, the operation is not complete and the next one does not start.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    when: When
    characteristics: tuple[str, ...] = ()
    pieces: Annotated[int, Field(ge=1, le=PIECES_MAX)] = 1
    every: Annotated[int, Field(ge=1, le=10_000_000)] | None = None
    every_min: Annotated[int, Field(ge=1, le=100_000)] | None = None
    sampling: Sampling | None = None
    gauge: Annotated[str, Field(max_length=64)] | None = None
    defects: tuple[Annotated[str, Field(pattern=f"^{SEGMENT.pattern}$")], ...] = ()
    by_hand: bool = False
    gate: bool = True

    @model_validator(mode="after")
    def _keys_fit_together(self) -> "InspectionPlan":
        for key, when in (("every", "every-n"), ("every_min", "per-time"), ("sampling", "per-lot")):
            is_given = getattr(self, key) is not None
            if is_given and self.when != when:
                raise ValueError(f"'{key}' is for when: {when}")
            if not is_given and self.when == when and key != "sampling":
                raise ValueError(f"when: {when} needs the key '{key}'")
        return self
