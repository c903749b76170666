"""What must be true after a journal: worked out from the generator's log and nothing else.

Independent: imports nothing of the hub and nothing of the generator. The limits and quantities of
the plant are written here a second time, on purpose.
"""

import json
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

WIDTH: Final = (9.9, 10.1)
CELLS: Final = ("cut", "pack")
LAST_CELL: Final = "pack"


@dataclass
class Tally:
    """An order: pieces good at its last cell, scrap anywhere, and where it was and is loaded."""

    quantity: int
    good: int = 0
    scrap: int = 0
    had: set[str] = field(default_factory=set)
    has: set[str] = field(default_factory=set)
    closed: bool = False

    def settle(self) -> None:
        """An order that is full, or has left every cell, is closed and counts no more."""
        left = self.had == set(CELLS) and not self.has
        self.closed = self.closed or self.good >= self.quantity or left


@dataclass
class Expected:
    """All that the record has to say, by place.

    pieces: (good, scrap) by cell. state_ms: (cell, state) -> ms. orders: id -> (good, scrap).
    verdicts: sample -> verdict. edges: (cell, input, output, quantity) -> times. stops: by cell.
    """

    events: dict[str, dict[str, Any]] = field(default_factory=dict)
    pieces: dict[str, tuple[int, int]] = field(default_factory=dict)
    state_ms: Counter[tuple[str, str]] = field(default_factory=Counter)
    orders: dict[str, tuple[int, int]] = field(default_factory=dict)
    verdicts: dict[str, str] = field(default_factory=dict)
    edges: Counter[tuple[str, str, str, float]] = field(default_factory=Counter)
    stops: Counter[str] = field(default_factory=Counter)
    traced: Counter[str] = field(default_factory=Counter)


class _Reckoning:
    """Reads a journal event by event."""

    def __init__(self) -> None:
        self.expected = Expected()
        self._orders: dict[str, Tally] = {}
        self._loaded: dict[str, str | None] = {}
        self._state: dict[str, tuple[str, int]] = {}
        self._pending: defaultdict[str, Counter[str]] = defaultdict(Counter)
        self._take = {
            "released": self._released,
            "loaded": self._load,
            "counted": self._counted,
            "state-changed": self._changed,
            "consumed": self._consumed,
            "produced": self._produced,
            "inspected": self._inspected,
        }

    def take(self, event: dict[str, Any]) -> None:
        self.expected.events[event["id"]] = event
        self._take[event["type"]](event["path"], event["at_ms"], event["body"])

    def end(self) -> Expected:
        closed = {name: order for name, order in self._orders.items() if order.closed}
        self.expected.orders = {name: (o.good, o.scrap) for name, o in closed.items()}
        return self.expected

    def _released(self, _path: str, _at_ms: int, body: dict[str, Any]) -> None:
        self._orders[body["order_id"]] = Tally(body["quantity"])

    def _load(self, path: str, _at_ms: int, body: dict[str, Any]) -> None:
        cell, before = path.rpartition("/")[2], self._loaded.get(path)
        self._loaded[path] = body["order_id"]
        if before:
            self._orders[before].has.discard(cell)
            self._orders[before].settle()
        if body["order_id"]:
            order = self._orders[body["order_id"]]
            order.had.add(cell)
            order.has.add(cell)

    def _counted(self, path: str, _at_ms: int, body: dict[str, Any]) -> None:
        good, scrap = self.expected.pieces.get(path, (0, 0))
        self.expected.pieces[path] = good + body["good"], scrap + body["scrap"]
        order = self._orders[body["order_id"]]
        order.good += body["good"] if path.endswith(f"/{LAST_CELL}") else 0
        order.scrap += body["scrap"]
        order.settle()

    def _changed(self, path: str, at_ms: int, body: dict[str, Any]) -> None:
        if path in self._state:
            state, since_ms = self._state[path]
            self.expected.state_ms[path, state] += at_ms - since_ms
        self._state[path] = body["state"], at_ms
        self.expected.stops[path] += body["state"] == "ABORTED"

    def _consumed(self, path: str, _at_ms: int, body: dict[str, Any]) -> None:
        self._pending[path][body["lot"]] += body["quantity"]

    def _produced(self, path: str, _at_ms: int, body: dict[str, Any]) -> None:
        self.expected.traced[path] += 1
        for lot, quantity in self._pending.pop(path, Counter()).items():
            self.expected.edges[path, lot, body["lot"], float(quantity)] += 1

    def _inspected(self, _path: str, _at_ms: int, body: dict[str, Any]) -> None:
        low, high = WIDTH
        passes = low <= body["values"]["width"] <= high
        self.expected.verdicts[body["sample_id"]] = "pass" if passes else "fail"


def expect(journal: Path) -> Expected:
    """What follows from a journal's file."""
    return reckoned(_lines(journal))


def reckoned(events: Iterable[dict[str, Any]]) -> Expected:
    """What follows from events."""
    reckoning = _Reckoning()
    for event in events:
        reckoning.take(event)
    return reckoning.end()


def _lines(journal: Path) -> Iterator[dict[str, Any]]:
    with journal.open("rb") as file:
        for line in file:
            if line.endswith(b"\n"):
                yield json.loads(line)
