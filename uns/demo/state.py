"""What the simulated plant remembers: plain values that survive JSON. Knows no behaviour."""

from dataclasses import dataclass, field
from typing import Literal, NamedTuple

Phase = Literal["off", "idle", "wait", "suspended", "change", "sample", "finish", "retest"]
Effect = Literal["load", "clear"]
Result = Literal["good", "scrap", "rework"]


class Leg(NamedTuple):
    """One PackML state to pass through: how long, with which fault shown, and what it does."""

    packml: str
    fault: int
    duration_ms: int
    effect: Effect | None = None


@dataclass(slots=True)
class CellState:
    """One machine: what it shows, what it has counted since it was built, what it does next.

    legs: the states still to pass through; when none is left, `phase` says what to do.
    due_ms: nothing happens before this plant time.
    lots_in: by tag the lot that is being consumed; `left` is how much there is of a component.
    lot_pieces: good pieces in `lot_out` so far.
    measured: by characteristic the values of the last sample.
    noise: -1 to 1, moves the process values that are only shown.
    begun: pieces ever begun; the fate of each is a function of this number.
    wip_lot: the lot of the piece in work, from the cell before.
    """

    packml: str = "STOPPED"
    fault: int = 0
    order_id: str = ""
    item: str = ""
    last_item: str = ""
    next_order_id: str = ""
    next_item: str = ""
    lots_in: dict[str, str] = field(default_factory=dict)
    left: dict[str, float] = field(default_factory=dict)
    lot_out: str = ""
    lot_pieces: int = 0
    measured: dict[str, float] = field(default_factory=dict)
    cycle_ms: int = 0
    noise: float = 0.0
    good: int = 0
    scrap: int = 0
    rework: int = 0
    samples: int = 0
    begun: int = 0
    wip_lot: str = ""
    phase: Phase = "off"
    legs: list[Leg] = field(default_factory=list)
    due_ms: int = 0
    piece_at_ms: int = 0
    waiting_since_ms: int = 0
    sampled_at_ms: int = 0


@dataclass(slots=True)
class Order:
    """A job order as the ERP gives it. announced: its file was dropped."""

    order_id: str
    item: str
    quantity: int
    due_ms: int
    priority: int
    released_ms: int
    revision: int = 1
    announced: bool = False


@dataclass(slots=True)
class LineState:
    """One line: its orders, and how far the running one is.

    begun, scrapped, good: pieces of the running order, over all cells.
    buffers: by cell the lots of the pieces that wait before it, oldest first.
    """

    waiting: list[Order] = field(default_factory=list)
    running: Order | None = None
    orders: int = 0
    begun: int = 0
    scrapped: int = 0
    good: int = 0
    buffers: list[list[str]] = field(default_factory=list)


@dataclass(slots=True)
class PlantState:
    """The whole plant.

    numbers: the last number given for each prefix of lots and orders; never goes back.
    stock: by item the lots on the shelf with their quantities, oldest first.
    log_bytes: how much of the PLC's log belongs to this state.
    """

    lines: dict[str, LineState] = field(default_factory=dict)
    cells: dict[str, CellState] = field(default_factory=dict)
    numbers: dict[str, int] = field(default_factory=dict)
    stock: dict[str, list[tuple[str, float]]] = field(default_factory=dict)
    log_bytes: int = 0


class Finished(NamedTuple):
    """One line of the PLC's own log: a piece was finished, or sent to rework.

    good, scrap, rework: the cell's totals after it. serial: of the unit, where units have one.
    """

    at_ms: int
    cell: str
    order_id: str
    item: str
    result: Result
    good: int
    scrap: int
    rework: int
    lot: str
    serial: int | None = None
