"""PURE: what is said about the order that a line has now -> the order, and its release.

Owns when an order is the same one again, and its revision: a foreign namespace shows what is, so
other content under the same identity is a change. What an order must say is judged where every
order is (uns.model.releasing). Knows neither topics nor payloads.
"""

import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Final, NamedTuple

from bridges.mqtt.config import ORDER_FIELDS, OrderRule, Origin
from bridges.mqtt.payload import Unfit, word_of
from uns.model.observation import BadInput, Fact, Scalar
from uns.model.plant import Plant
from uns.model.releasing import Document, Known, New, Outcome, Refused, release

REJECT_CLASS: Final = "bad-order"
NEEDED: Final = frozenset({"order_id", "item", "quantity"})
CONTEXT: Final = frozenset({"order_id", "item"})
"""Without one, the line has none: it is unloaded."""
EMPTY: Final = Unfit("empty", is_absent=True)
_KINDS: Final = {"quantity": "number", "priority": "number"}

KnownReleases = Callable[[str, str], Known]
"""The recorded releases of a line's order, by line and order id."""


class Part(NamedTuple):
    """One of the topics that a field of an order is read from."""

    order: "LineOrder"
    field: str
    number: int
    rule: Origin
    kind: str


class LineOrder:
    """The order that a line has, as far as it was said; `said_ms`: when it last changed there."""

    def __init__(self, rule: OrderRule, line: str) -> None:
        self.line = line
        self.leaves: list[tuple[str, str, str]] = []
        self.said_ms = 0
        self._rule = rule
        self._heard: dict[tuple[str, int], Scalar | Unfit] = {}
        self._changed_ms: int | None = None
        self._judged: dict[str, Scalar | Unfit] = {}

    def parts(self) -> Iterator[Part]:
        """Everything that must be heard of it."""
        for field in ORDER_FIELDS:
            for number, origin in enumerate(self._rule.origins(field)):
                kind = origin.type if origin.type != "as-is" else _KINDS.get(field, "text")
                yield Part(self, field, number, origin, kind)

    def hear(self, part: Part, value: Scalar | Unfit, came_ms: int, said_ms: int) -> None:
        """A part came at `came_ms` (plant time), said at `said_ms`; the same again is no change."""
        value = EMPTY if value == "" else value
        key = (part.field, part.number)
        if key not in self._heard or self._heard[key] != value:
            self._heard[key] = value
            self._changed_ms, self.said_ms = came_ms, max(self.said_ms, said_ms)

    def forget(self) -> None:
        """Nobody listens any more: what the order is must be said again. What was judged stays."""
        self._heard.clear()
        self._changed_ms = None

    def is_settled(self, before_ms: int) -> bool:
        """Whether it has changed, and the last time not after `before_ms`; asked once, it has."""
        if self._changed_ms is None or self._changed_ms > before_ms:
            return False
        self._changed_ms = None
        return True

    def value(self, field: str) -> Scalar | Unfit:
        """A field as it was said last; None while it was not; Unfit for one that is none."""
        parts = list[Scalar]()
        for number in range(len(self._rule.origins(field))):
            part = self._heard.get((field, number))
            if part is None or isinstance(part, Unfit):
                return part
            parts.append(part)
        if len(parts) == 1:
            return _whole(parts[0])
        words = [word_of(part) for part in parts if part is not None]
        return self._rule.separator.join(words) if words else None

    def to_judge(self) -> dict[str, Scalar | Unfit] | None:
        """What is known of the order; None where that was judged, or something needed is absent."""
        found = {name: self.value(name) for name in ORDER_FIELDS}
        said = {name: one for name, one in found.items() if not _is_none(one)}
        if said == self._judged or not said.keys() >= NEEDED:
            return None
        self._judged = said
        return said


def _is_none(value: Scalar | Unfit) -> bool:
    return value is None or (isinstance(value, Unfit) and value.is_absent)


def _whole(value: Scalar) -> Scalar:
    return int(value) if isinstance(value, float) and value.is_integer() else value


def judged(
    order: LineOrder, plant: Plant, known: KnownReleases, at_ms: int
) -> Iterator[Fact | BadInput]:
    """The release of an order that is new or changed; why, for one that cannot be released."""
    said = order.to_judge()
    if said is None:
        return
    document = {name: one for name, one in said.items() if not isinstance(one, Unfit)}
    unfit = [Refused(name, one.reason) for name, one in said.items() if isinstance(one, Unfit)]
    outcome = unfit[0] if unfit else _released(order.line, document, plant, known, at_ms)
    if isinstance(outcome, New):
        fact = outcome.fact
        yield replace(fact, business_key=f"{order.line}:{fact.business_key}")
    elif isinstance(outcome, Refused):
        original = json.dumps(document, ensure_ascii=False).encode()
        yield BadInput(f"{order.line}/order", REJECT_CLASS, str(outcome), original, at_ms)


def _released(
    line: str, document: Document, plant: Plant, known: KnownReleases, at_ms: int
) -> Outcome:
    """The judgement beside the newest revision, and above it when that has other content."""

    def of_line(order_id: str) -> Known:
        return known(line, order_id)

    recorded = of_line(str(document["order_id"])).values()
    newest = max((int(one["revision"]) for one in recorded), default=1)
    asked = {**document, "line": line.partition("/")[2]}
    outcome = release({**asked, "revision": newest}, plant, of_line, at_ms)
    if isinstance(outcome, Refused) and outcome.key == "revision":
        outcome = release({**asked, "revision": newest + 1}, plant, of_line, at_ms)
    return outcome
