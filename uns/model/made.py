"""What a cell made, and of what: lots and units with their quantities, as values.

Owns the shapes only. The record yields them, and whoever tells others what was made reads them.
"""

from typing import NamedTuple


class Thing(NamedTuple):
    """A lot, or a serial-numbered unit, and its item where that is known."""

    id: str
    is_unit: bool
    item: str | None = None


class Used(NamedTuple):
    """What went into something."""

    thing: Thing
    quantity: float
    unit: str


class Made(NamedTuple):
    """A quantity of a lot, or one unit of it, that came out of a cell; `used` went into it."""

    cell: str
    at_ms: int
    thing: Thing
    lot: str
    quantity: float
    unit: str
    order_id: str | None
    used: tuple[Used, ...]

    def concerns(self, identifier: str) -> bool:
        """Whether a lot or unit of that id is made here, or goes in."""
        things = (self.thing.id, self.lot, *(one.thing.id for one in self.used))
        return identifier in things
