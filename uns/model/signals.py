"""From tags to facts: what a cell's readings mean, by the role of each tag. A fold like any other.

Counters are taken by value, never by the number of messages, so nothing is lost while a bridge
is away. Within one batch the context (order, item, lots) is applied before the counts.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from math import isfinite
from typing import Any, Final, NamedTuple

from pydantic import BaseModel, ConfigDict

from uns.model.equipment import CODINGS, UNKNOWN, state_name
from uns.model.events import (
    IDENTIFIER_LENGTH_MAX,
    Consumed,
    Counted,
    Inspected,
    Loaded,
    Produced,
    StateChanged,
)
from uns.model.observation import Reading, Scalar
from uns.model.plant import Cell, Item, Place, TagSpec

UNITS_A_BATCH_MAX: Final = 10_000
COUNTER_MAX: Final = 10**12
"""No counter has come so far: a larger value is noise of the line or of the device."""


class Memory(BaseModel):
    """What a cell's last readings were: kept beside the outbox, in the same transaction.

    `counters` holds the last value of each cumulative tag; None of it is an MES total.
    """

    model_config = ConfigDict(extra="ignore")

    state: str | None = None
    fault: str | None = None
    order_id: str | None = None
    item: str | None = None
    lots: dict[str, str] = {}
    lot_out: str | None = None
    counters: dict[str, int] = {}
    samples: int = 0
    values: dict[str, float | None] = {}
    uncertain: set[str] = set()
    seen_ms: int = 0


class CellFact(NamedTuple):
    """One fact of a cell, to become an event of `type` at the cell's path."""

    type: str
    at_ms: int
    body: Mapping[str, Any]


Derivation = Callable[[], Iterable[CellFact]]


def derive(
    place: Place, items: Mapping[str, Item], memory: Memory, readings: Iterable[Reading]
) -> tuple[Memory, list[CellFact]]:
    """Fold a batch of one cell's readings; one that is bad or cannot be counts for nothing."""
    cell, readings = place.cell, list(readings)
    usable = [r for r in readings if r.tag in cell.tags and _is_usable(r, cell.tags[r.tag])]
    batch = _Batch(place, items, memory.model_copy(deep=True))
    batch.blind(r.tag for r in readings if r.quality == "bad" and r.tag in cell.tags)
    facts = list[CellFact]()
    for phase in _PHASES:
        for reading in usable:
            tag = cell.tags[reading.tag]
            if tag.role in phase:
                facts += phase[tag.role](batch, reading, tag)
        if phase is _CONTEXT:
            facts += batch.loaded(memory, usable)
    facts += batch.late_fault(memory, facts, usable)
    if usable:
        batch.memory.seen_ms = max(memory.seen_ms, *(r.at_ms for r in usable))
    after, gone = lost(cell, batch.memory, *_bad(cell, readings))
    return after, [*facts, *gone]


def _bad(cell: Cell, readings: Iterable[Reading]) -> tuple[list[str], int]:
    """The tags that are bad in the end, and since when."""
    last = {r.tag: r for r in readings if r.tag in cell.tags}
    bad = [r for r in last.values() if r.quality == "bad"]
    return [r.tag for r in bad], max((r.at_ms for r in bad), default=0)


def _is_usable(reading: Reading, tag: TagSpec) -> bool:
    value = reading.value
    if reading.quality == "bad" or value is None:
        return False
    if tag.role in _CUMULATIVE:
        return not isinstance(value, str) and 0 <= value < COUNTER_MAX
    return not isinstance(value, float) or isfinite(value)


def lost(
    cell: Cell, memory: Memory, tags: Iterable[str], at_ms: int
) -> tuple[Memory, list[CellFact]]:
    """Tags of a cell have no source since `at_ms`: what they told is unknown, never the old value.

    The state is unknown when its own tag is among them; while that is read, the cell is observed.
    Counters go on from their last value when their source is back.
    """
    gone = [cell.tags[tag] for tag in tags]
    if not gone:
        return memory, []
    roles, measured = {tag.role for tag in gone}, {tag.characteristic for tag in gone}
    values = {name: None if name in measured else value for name, value in memory.values.items()}
    fault = None if "fault" in roles else memory.fault
    memory = memory.model_copy(update={"values": values, "fault": fault})
    if "state" not in roles or memory.state in (None, UNKNOWN):
        return memory, []
    body = {"state": UNKNOWN, "fault": None}
    fact = CellFact(StateChanged.type_name, max(at_ms, memory.seen_ms), body)
    return memory.model_copy(update={"state": UNKNOWN}), [fact]


def delta(base: int | None, value: int, rollover: int | None, reset_max: int | None = None) -> int:
    """Pieces between two values of a cumulative counter.

    The first value ever is a base line. A smaller value is a roll-over when that explains it
    with less than half a turn, else the counter was reset and `value` is what came since; above
    `reset_max` it was set instead, and the value is a base line again.
    """
    if base is None:
        return 0
    if value >= base:
        return value - base
    turned = (value - base) % rollover if rollover else None
    if turned is not None and turned * 2 < (rollover or 0):
        return turned
    return 0 if reset_max is not None and value > reset_max else value


class _Batch:
    """One batch being folded; `memory` is its own copy."""

    def __init__(self, place: Place, items: Mapping[str, Item], memory: Memory) -> None:
        self.cell: Cell = place.cell
        self.place = place
        self.items = items
        self.memory = memory

    def loaded(self, before: Memory, readings: list[Reading]) -> Iterator[CellFact]:
        if (before.order_id, before.item) == (self.memory.order_id, self.memory.item):
            return
        at_ms = max(r.at_ms for r in readings)
        body = {"order_id": self.memory.order_id, "item": self.memory.item}
        yield CellFact(Loaded.type_name, at_ms, body)

    def blind(self, tags: Iterable[str]) -> None:
        """A sensor that is bad has no value: its characteristic waits, it does not repeat."""
        for name in tags:
            characteristic = self.cell.tags[name].characteristic
            if characteristic in self.memory.values:
                self.memory.values[characteristic] = None

    def late_fault(
        self, before: Memory, facts: list[CellFact], readings: list[Reading]
    ) -> Iterator[CellFact]:
        """A fault code that comes after its state: the same state, said again with its cause."""
        fault, state = self.memory.fault, self.memory.state
        told = any(fact.type == StateChanged.type_name for fact in facts)
        if fault and fault != before.fault and state not in (None, UNKNOWN) and not told:
            at_ms = max(r.at_ms for r in readings)
            yield CellFact(StateChanged.type_name, at_ms, {"state": state, "fault": fault})

    def pieces(self, reading: Reading, tag: TagSpec) -> int:
        value = int(reading.value or 0)
        base = self.memory.counters.get(reading.tag)
        pieces = delta(base, value, tag.rollover, tag.reset_max)
        self.memory.counters[reading.tag] = value
        return pieces

    def consume(self, pieces: int, at_ms: int) -> Iterator[CellFact]:
        for name, lot in self.memory.lots.items():
            component = self.cell.tags[name].item
            per_piece = self._per_piece(component)
            body = {
                "lot": lot,
                "item": component or self.memory.item,
                "quantity": round(pieces * per_piece, 6),
                "unit": self.items[component].unit if component else "pcs",
                "order_id": self.memory.order_id,
            }
            yield CellFact(Consumed.type_name, at_ms, body)

    def produce(self, quantity: int, at_ms: int, unit_id: str | None = None) -> Iterator[CellFact]:
        if self.memory.lot_out and quantity:
            body = {
                "lot": self.memory.lot_out,
                "unit_id": unit_id,
                "item": self.memory.item,
                "quantity": quantity,
                "unit": "pcs",
                "order_id": self.memory.order_id,
            }
            yield CellFact(Produced.type_name, at_ms, body)

    def _per_piece(self, component: str | None) -> float:
        made = self.items.get(self.memory.item or "")
        return made.bom.get(component, 1.0) if made and component else 1.0


def _text(value: Scalar) -> str | None:
    """An id as a device shows it; blanks, and what is too long to be an id, are none."""
    text = str(value).replace("\0", " ").strip()
    return text if 0 < len(text) <= IDENTIFIER_LENGTH_MAX else None


def _order(batch: _Batch, reading: Reading, _: TagSpec) -> Iterator[CellFact]:
    batch.memory.order_id = _text(reading.value)
    yield from ()


def _item(batch: _Batch, reading: Reading, _: TagSpec) -> Iterator[CellFact]:
    batch.memory.item = _text(reading.value)
    yield from ()


def _lot_in(batch: _Batch, reading: Reading, _: TagSpec) -> Iterator[CellFact]:
    if lot := _text(reading.value):
        batch.memory.lots[reading.tag] = lot
    else:
        batch.memory.lots.pop(reading.tag, None)
    yield from ()


def _lot_out(batch: _Batch, reading: Reading, _: TagSpec) -> Iterator[CellFact]:
    batch.memory.lot_out = _text(reading.value)
    yield from ()


def _fault(batch: _Batch, reading: Reading, _: TagSpec) -> Iterator[CellFact]:
    code = _text(reading.value)
    batch.memory.fault = f"e{int(code)}" if code and code.isdecimal() and int(code) else None
    yield from ()


def _characteristic(batch: _Batch, reading: Reading, tag: TagSpec) -> Iterator[CellFact]:
    if isinstance(reading.value, int | float) and tag.characteristic:
        batch.memory.values[tag.characteristic] = float(reading.value)
        batch.memory.uncertain.discard(tag.characteristic)
        if reading.quality == "uncertain":
            batch.memory.uncertain.add(tag.characteristic)
    yield from ()


def _counted(batch: _Batch, reading: Reading, tag: TagSpec) -> Iterator[CellFact]:
    pieces = batch.pieces(reading, tag)
    if not pieces:
        return
    kind = tag.role.removesuffix("_count")
    serialised = batch.cell.tag_with_role("serial") is not None
    if kind != "rework" and not (serialised and kind == "good"):
        yield from batch.consume(pieces, reading.at_ms)
    if kind == "good" and not serialised:
        yield from batch.produce(pieces, reading.at_ms)
    counts = {"good": 0, "scrap": 0, "rework": 0, kind: pieces}
    context = {"order_id": batch.memory.order_id, "item": batch.memory.item}
    yield CellFact(Counted.type_name, reading.at_ms, {**counts, **context})


def _serial(batch: _Batch, reading: Reading, tag: TagSpec) -> Iterator[CellFact]:
    last = int(reading.value or 0)
    new = min(batch.pieces(reading, tag), UNITS_A_BATCH_MAX)
    for number in range(last - new + 1, last + 1):
        yield from batch.consume(1, reading.at_ms)
        unit_id = f"{batch.cell.serial_prefix or ''}{number:07d}"
        yield from batch.produce(1, reading.at_ms, unit_id)


def _sample(batch: _Batch, reading: Reading, tag: TagSpec) -> Iterator[CellFact]:
    taken = batch.pieces(reading, tag)
    if not taken:
        return
    batch.memory.samples += taken
    dotted = batch.place.path.replace("/", ".")
    body: dict[str, Any] = {
        "sample_id": f"{dotted}.{batch.memory.samples}",
        "values": dict(batch.memory.values),
        "unit_id": None,
        "lot": batch.memory.lot_out,
        "item": batch.memory.item,
        "order_id": batch.memory.order_id,
    }
    if batch.memory.uncertain:
        body["uncertain"] = sorted(batch.memory.uncertain)
    yield CellFact(Inspected.type_name, reading.at_ms, body)


def _state(batch: _Batch, reading: Reading, _: TagSpec) -> Iterator[CellFact]:
    value = reading.value if isinstance(reading.value, int | str) else int(reading.value or 0)
    state = state_name(value, CODINGS[batch.cell.coding])
    if state != batch.memory.state:
        batch.memory.state = state
        body = {"state": state, "fault": batch.memory.fault}
        yield CellFact(StateChanged.type_name, reading.at_ms, body)


_Handler = Callable[[_Batch, Reading, TagSpec], Iterator[CellFact]]
_CONTEXT: Final[dict[str, _Handler]] = {
    "order": _order,
    "item": _item,
    "lot_in": _lot_in,
    "lot_out": _lot_out,
    "fault": _fault,
    "characteristic": _characteristic,
}
_COUNTS: Final[dict[str, _Handler]] = {
    "good_count": _counted,
    "scrap_count": _counted,
    "rework_count": _counted,
    "serial": _serial,
}
_CUMULATIVE: Final = frozenset({*_COUNTS, "sample"})
_PHASES: Final[tuple[dict[str, _Handler], ...]] = (
    _CONTEXT,
    _COUNTS,
    {"sample": _sample},
    {"state": _state},
)
