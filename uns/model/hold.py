"""PURE: quality holds: what is not to be used any more until somebody with the right says so.

Owns what a specification says of a failed verdict, and the facts of a hold. A hold is of a lot, of
a unit, or of both, and may halt the order. Does not know lines or who keeps holds.
"""

from typing import Annotated, ClassVar, Literal

from pydantic import BaseModel, ConfigDict, Field

from uns.model.payload import Count, Event, Identifier, Millis, Words

HoldCommand = Literal["place", "release"]


class OnFail(BaseModel):
    """What follows when a sample fails.

    hold: what of it is held, as far as the sample names it.
    halt_order: whether its order is halted until the hold is released.
    alert_role: whom the alert is for.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    hold: Literal["lot", "unit"] = "lot"
    halt_order: bool = False
    alert_role: Annotated[str, Field(max_length=64)] | None = None


class HoldCommanded(Event):
    """Somebody asked a line to hold a lot or a unit, or to release a hold; answered by a `reply`.

    place takes `lot` or `unit_id`; release takes `hold_id`. halts: the order is halted, too.
    """

    type_name: ClassVar[str] = "hold-commanded"
    type: Literal["hold-commanded"] = "hold-commanded"
    request_id: Identifier
    command: HoldCommand
    hold_id: Identifier | None = None
    lot: Identifier | None = None
    unit_id: Identifier | None = None
    item: Identifier | None = None
    order_id: Identifier | None = None
    halts: bool = False
    reason: Words
    actor: Identifier


class Held(Event):
    """What a hold is of, and why.

    halts: the order is halted, too. cause_id: the hold that it follows from, if it was made of
    something held. sample_id, specification: of the verdict that it follows from.
    """

    hold_id: Identifier
    lot: Identifier | None
    unit_id: Identifier | None
    item: Identifier | None
    order_id: Identifier | None
    halts: bool
    reason: Words
    actor: Identifier | None = None


class HoldOpened(Held):
    """A hold began."""

    type_name: ClassVar[str] = "hold-opened"
    type: Literal["hold-opened"] = "hold-opened"
    sample_id: Identifier | None = None
    specification: str | None = None
    cause_id: Identifier | None = None


class HoldReleased(Held):
    """A hold ended: `reason` and `actor` are of the release. fails: verdicts that failed in it."""

    type_name: ClassVar[str] = "hold-released"
    type: Literal["hold-released"] = "hold-released"
    opened_ms: Millis
    fails: Count


class HoldSaid(Held):
    """A hold of `of_line` began or ended; said at every line, for each to refuse what it names."""

    type_name: ClassVar[str] = "hold-said"
    type: Literal["hold-said"] = "hold-said"
    of_line: Identifier
    state: Literal["held", "released"]
