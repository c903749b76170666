"""Lots: their numbers and the shelf between the lines. Pure.

A lot number is given once for ever, also over restarts. Ids have at most 15 characters, because
a PLC keeps them in 16.
"""

from collections.abc import Mapping
from typing import Final

from uns.demo.state import PlantState
from uns.model.plant import Item

PREFIX_LENGTH_MAX: Final = 9
BOUGHT_QUANTITY: Final = 48.0
MADE_QUANTITY: Final = 8.0
SHELF_LOTS_MAX: Final = 50


class Warehouse:
    """The shelf of a plant. What is not on it is bought; what is made here, in small lots."""

    def __init__(self, plant: PlantState, items: Mapping[str, Item]) -> None:
        self._numbers = plant.numbers
        self._stock = plant.stock
        self._items = items

    def number(self, prefix: str) -> str:
        """The next id with a prefix."""
        self._numbers[prefix] = self._numbers.get(prefix, 0) + 1
        return f"{prefix}-{self._numbers[prefix]:05d}"

    def draw(self, item: str) -> tuple[str, float]:
        """Take a whole lot off the shelf, the oldest first, or buy one."""
        if shelf := self._stock.get(item):
            return shelf.pop(0)
        prefix = item.upper()[:PREFIX_LENGTH_MAX].rstrip("-")
        made_here = self._items[item].routing is not None
        return self.number(prefix), MADE_QUANTITY if made_here else BOUGHT_QUANTITY

    def receive(self, item: str, lot: str, quantity: float) -> None:
        """Put a lot on the shelf; what nobody draws leaves the plant."""
        shelf = self._stock.setdefault(item, [])
        shelf.append((lot, quantity))
        del shelf[:-SHELF_LOTS_MAX]
