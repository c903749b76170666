"""The simulated ERP's planning: which order a line gets next. Pure."""

from dataclasses import dataclass
from random import Random
from typing import Final

from uns.demo.pace import Pace
from uns.demo.state import LineState, Order, PlantState
from uns.model.plant import Plant

WAITING_MIN: Final = 2
FIRST_NUMBER: Final = 1_000
FIRST_QUANTITY: Final = 12
QUANTITY: Final = (14, 24)
DUE_AFTER_MS: Final = 120_000
PRIORITIES: Final = (30, 50, 70)
PREFIX: Final = "PO"


@dataclass(frozen=True, slots=True)
class Office:
    """Where orders are planned; each is a function of the seed and its number."""

    plant: Plant
    state: PlantState
    pace: Pace
    seed: int

    def plan(self, now_ms: int) -> None:
        """Give every line that makes something enough waiting orders; its items take turns."""
        for path in self.plant.lines:
            items = [item for item in self.plant.items if self.plant.line_of_item(item) == path]
            line = self.state.lines[path]
            while items and len(line.waiting) < WAITING_MIN:
                line.waiting.append(self._next_order(line, items, now_ms))

    def _next_order(self, line: LineState, items: list[str], now_ms: int) -> Order:
        number = self.state.numbers.get(PREFIX, FIRST_NUMBER) + 1
        rng = Random(f"{self.seed}/{number}")
        pieces = rng.randint(*QUANTITY) if line.orders else FIRST_QUANTITY
        item = items[line.orders % len(items)]
        self.state.numbers[PREFIX] = number
        line.orders += 1
        return Order(
            order_id=f"{PREFIX}-{number}",
            item=item,
            quantity=pieces * self.pace.scale,
            due_ms=now_ms + DUE_AFTER_MS * self.pace.scale,
            priority=rng.choice(PRIORITIES),
            released_ms=now_ms,
        )
