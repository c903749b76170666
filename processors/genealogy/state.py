"""What went into a cell and has not come out yet.

Quantities are whole millionths of their unit, so that they add up exactly.
"""

from typing import Final

from pydantic import Field

from processors.base import State

PENDING_LOTS_MAX: Final = 50
EDGES_SHOWN: Final = 10
MILLIONTHS: Final = 1_000_000


class Pending(State):
    """A quantity of an input lot that was consumed and is in no output yet."""

    lot: str
    item: str | None
    millionths: int
    unit: str
    at_ms: int


class Output(State):
    """What came out last: a lot, or a unit of it, and the order it was made for."""

    lot: str
    unit_id: str | None
    item: str | None
    order_id: str | None


class Pair(State):
    """The ends of one edge."""

    input_id: str
    output_id: str


class CellGenealogy(State):
    """One cell. `fed` is the inputs of the last output, `edges` the last EDGES_SHOWN pairs.

    unattributed: millionths that left `pending` because more than PENDING_LOTS_MAX lots pended.
    """

    pending: tuple[Pending, ...] = ()
    fed: tuple[Pending, ...] = ()
    output: Output | None = None
    edges: tuple[Pair, ...] = ()
    consumptions: int = 0
    productions: int = 0
    edges_total: int = 0
    unattributed: int = 0
    at_ms: int = 0


class LineGenealogy(State):
    """The cells of one line by path."""

    line: str
    cells: dict[str, CellGenealogy] = Field(default_factory=dict)
