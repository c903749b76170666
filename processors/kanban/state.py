"""The cards of a line's kanban loops, as people left them."""

from typing import Final

from pydantic import Field

from processors.base import State, replace
from uns.model.kanban import CardState


class Card(State):
    """One card: since when it is so, and how often it asked for a bin."""

    state: CardState = "full"
    since_ms: int = 0
    pulls: int = 0


FULL: Final = Card()


class LineCards(State):
    """The cards that somebody touched, by loop and number from 1; all others are full."""

    line: str
    loops: dict[str, dict[int, Card]] = Field(default_factory=dict)

    def card(self, loop: str, number: int) -> Card:
        """One card."""
        return self.loops.get(loop, {}).get(number, FULL)

    def with_card(self, loop: str, number: int, card: Card) -> "LineCards":
        """The same line with another card."""
        cards = {**self.loops.get(loop, {}), number: card}
        return replace(self, loops={**self.loops, loop: cards})
