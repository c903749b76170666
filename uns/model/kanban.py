"""PURE: kanban loops: how many cards circulate, and what may become of a card.

A card stands for one bin of an item. Emptied, it asks for another one, once; ordered, somebody has
taken that up; full, the bin is back. Does not know lines, events or who says so.
"""

from typing import Annotated, Final, Literal

from pydantic import BaseModel, ConfigDict, Field

from uns.model.path import SEGMENT

CARDS_MAX: Final = 40
CardState = Literal["full", "empty", "ordered"]
CardCommand = Literal["empty", "ordered", "full"]


class KanbanLoop(BaseModel):
    """A loop: `cards` bins of `quantity` of an item each, in its unit."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    item: Annotated[str, Field(pattern=f"^{SEGMENT.pattern}$")]
    cards: Annotated[int, Field(ge=1, le=CARDS_MAX)]
    quantity: Annotated[float, Field(gt=0, le=1e9, allow_inf_nan=False)]


NEXT: Final[dict[tuple[CardState, CardCommand], CardState]] = {
    ("full", "empty"): "empty",
    ("empty", "ordered"): "ordered",
    ("empty", "full"): "full",
    ("ordered", "full"): "full",
}
"""The state of a card after a command; a command without a row is refused."""
