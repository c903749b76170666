"""PURE: kanban loops of a line (replenishment by cards): a card's bin is full, empty or ordered.

Reads what people say of cards. Writes one document a loop, one `pull-requested` an emptied card and
one `reply` a command. README.md has the rules.
"""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from processors.base import fit, replace, shown, topic_key
from processors.kanban.state import LineCards
from uns.fold import Document, Draft, Step, Tick
from uns.model.checks import did_you_mean
from uns.model.events import Event, KanbanCommanded, PullRequested, Reply
from uns.model.kanban import NEXT, KanbanLoop
from uns.model.plant import Plant


class Refused(NamedTuple):
    """Why a command is not followed."""

    said: str


class Followed(NamedTuple):
    """What a command changed, the words for it, and the pull if a bin was emptied."""

    said: str
    state: LineCards
    pulls: tuple[Draft, ...]


@dataclass(frozen=True, slots=True)
class Kanban:
    """The fold over the cards of one line, for one plant."""

    plant: Plant = field(repr=False)

    @property
    def name(self) -> str:
        """`kanban`."""
        return "kanban"

    @property
    def version(self) -> int:
        """Raised when a state is folded otherwise, or old ones can no longer be read."""
        return 1

    @property
    def inputs(self) -> frozenset[str]:
        """What people say of cards."""
        return frozenset({KanbanCommanded.type_name})

    @property
    def states(self) -> frozenset[str]:
        """What stands below `_state` of its line."""
        return frozenset({"kanban"})

    @property
    def state_type(self) -> type[LineCards]:
        """The line's cards."""
        return LineCards

    def initial(self, key: str) -> LineCards:
        """All cards are full."""
        return LineCards(line=key)

    def fold(self, state: LineCards, event: Event | Tick) -> Step[LineCards]:
        """One fact, or the time, which moves nothing."""
        if not isinstance(event, KanbanCommanded) or event.path != state.line:
            return Step(state)
        outcome = _judged(_loops(self.plant, state.line), state, event)
        answer = _answer(state.line, event, outcome)
        if isinstance(outcome, Refused):
            return Step(state, answer)
        return Step(outcome.state, (*outcome.pulls, *answer))

    def documents(self, state: LineCards) -> Mapping[str, Document]:
        """One a loop that the plant has."""
        return {
            f"{state.line}/_state/kanban/{name}": _document(name, loop, state)
            for name, loop in _loops(self.plant, state.line).items()
        }


def build(plant: Plant) -> Kanban:
    """The processor for a plant."""
    return Kanban(plant)


def _loops(plant: Plant, line: str) -> Mapping[str, KanbanLoop]:
    places = plant.lines.get(line, ())
    return places[0].line.kanban if places else {}


def _answer(line: str, event: KanbanCommanded, outcome: Refused | Followed) -> tuple[Draft, ...]:
    key = topic_key(event.request_id)
    body = {
        "request_id": event.request_id,
        "outcome": "refused" if isinstance(outcome, Refused) else "accepted",
        "reason": outcome.said,
    }
    return (Draft(line, Reply.type_name, event.at_ms, body, key),) if key else ()


def _judged(
    loops: Mapping[str, KanbanLoop], state: LineCards, event: KanbanCommanded
) -> Refused | Followed:
    loop, name = loops.get(event.loop), event.loop
    if loop is None:
        return Refused(f"no loop {name!r}{did_you_mean(name, loops)}")
    number = event.card or _first(loop, state, event)
    if number is None:
        return Refused(f"none of the {loop.cards} cards of {name} can become {event.command}")
    if number > loop.cards:
        return Refused(f"{name} has {loop.cards} cards, and no card {number}")
    card = state.card(name, number)
    to = NEXT.get((card.state, event.command))
    if to is None:
        return Refused(f"card {number} of {name} is {card.state}: it cannot become {event.command}")
    is_emptied = to == "empty"
    card = replace(card, state=to, since_ms=event.at_ms, pulls=card.pulls + is_emptied)
    pulls = (_pull(state.line, loop, event, number, card.pulls),) if is_emptied else ()
    return Followed(f"card {number} of {name} is {to}", state.with_card(name, number, card), pulls)


def _first(loop: KanbanLoop, state: LineCards, event: KanbanCommanded) -> int | None:
    """The first card that the command has a row for."""
    numbers = range(1, loop.cards + 1)
    states = ((n, state.card(event.loop, n).state) for n in numbers)
    return next((n for n, card in states if (card, event.command) in NEXT), None)


def _pull(line: str, loop: KanbanLoop, event: KanbanCommanded, number: int, pulls: int) -> Draft:
    body = {
        "pull_id": f"{event.loop}-{number}-{pulls}",
        "loop": event.loop,
        "card": number,
        "item": loop.item,
        "quantity": loop.quantity,
    }
    return Draft(line, PullRequested.type_name, event.at_ms, body)


def _document(name: str, loop: KanbanLoop, state: LineCards) -> Document:
    cards = [_card(name, number, state) for number in range(1, loop.cards + 1)]
    counts = Counter(card["state"] for card in cards)
    told = ", ".join(f"{counts[each]} {each}" for each in ("full", "empty", "ordered"))
    document = {
        "summary": f"{name}: {told} of {shown(loop.item)}",
        "item": loop.item,
        "quantity": loop.quantity,
        "full": counts["full"],
        "empty": counts["empty"],
        "ordered": counts["ordered"],
        "cards": cards,
        "at_ms": max(card["since_ms"] for card in cards),
    }
    return fit(document, "cards")


def _card(name: str, number: int, state: LineCards) -> dict[str, Any]:
    card = state.card(name, number)
    pull = f"{name}-{number}-{card.pulls}" if card.state != "full" else None
    return {"card": number, "state": card.state, "since_ms": card.since_ms, "pull_id": pull}
