"""A foreign namespace for tests: a bottling plant as public "virtual factories" publish theirs.

Owns the story and the messages, in the style of such brokers: one topic a value, bare payloads,
everything retained, cumulative counters, an order id made anew each time the recording starts over,
a standard rate that is 0 or too low, targets that are exceeded, and OEE figures that contradict
their factors. Its own `Ledger` says what was made, so a test need not believe the hub.
"""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final, NamedTuple

from bridges import PROTOCOLS
from tests.example import EARLY_MS, MINUTE_MS
from tests.example import ROOT as PROJECT
from uns.model.namespace import parse_namespace
from uns.model.plant import Plant

GOLDEN: Final = PROJECT / "tests" / "golden" / "foreign" / "virtual-factory"
BRIDGE: Final = "virtual-factory"
"""The bridge of the golden plant that reads this."""
ROOT: Final = "Enterprise V"
FILLING: Final = f"{ROOT}/Site1/fillerproduction/fillingline01"
MIXING: Final = f"{ROOT}/Site1/liquidprocessing/mixroom01"
TICK_MS: Final = 30_000
REPLAY_AT: Final = 64
"""The tick at which the recording starts over."""
TICKS: Final = 76
COUNTED_BEFORE: Final = 84_210
SCRAPPED_BEFORE: Final = 311
A_TICK: Final = 74
"""Bottles in 30 s: 148 a minute, where the standard says 132."""


class Said(NamedTuple):
    """One message; `at_ms` is when it is sent."""

    at_ms: int
    topic: str
    payload: str
    retain: bool = False


class Order(NamedTuple):
    """An order of the filling line, from a tick of the recording on."""

    tick: int
    number: str
    item: str
    target: int


ORDERS: Final = (
    Order(0, "WO-L03-0948", "Cola Soda 0.5L", 3_000),
    Order(48, "WO-L03-0949", "Orange Soda 0.5L", 1_200),
)
DOWN: Final = range(20, 22)
"""Ticks of the recording in which the filler stands still."""
STATES: Final = {True: ("1", "Running"), False: ("3", "Unplanned Downtime")}


@dataclass
class Ledger:
    """What was made, by order number; running and standing time of the filler in ms."""

    good: dict[str, int] = field(default_factory=dict)
    scrap: dict[str, int] = field(default_factory=dict)
    running_ms: int = 0
    down_ms: int = 0


def bottler(server: str | None = "mqtt://127.0.0.1:1883") -> Plant:
    """The golden plant, which reads this from a server, or without one on the hub's own broker."""
    path = GOLDEN / "namespace.yaml"
    where = f"    server: {server}\n" if server else ""
    text = re.sub(r"    server: .*\n", where, path.read_text())
    return parse_namespace(text, path.name, PROTOCOLS)


def virtual_factory() -> tuple[list[Said], Ledger]:
    """The messages of 38 minutes, in order, and what was made in that time."""
    factory = _Factory()
    return [said for tick in range(TICKS) for said in factory.tick(tick)], factory.ledger


def recorded(said: Said) -> str:
    """A line as `mosquitto_sub -F %j` (2.0) prints it: the zone stands twice."""
    at = datetime.fromtimestamp(said.at_ms / 1_000, UTC)
    line = {
        "tst": at.strftime("%Y-%m-%dT%H:%M:%S.%fZ%z"),
        "topic": said.topic,
        "qos": 0,
        "retain": int(said.retain),
        "payloadlen": len(said.payload.encode()),
        "payload": said.payload,
    }
    return json.dumps(line)


class _Factory:
    """What stands in the topics; what does not change is not said again."""

    def __init__(self) -> None:
        self.ledger = Ledger()
        self._shown: dict[str, str] = {}
        self._good = self._scrap = self._of_order = self._scrap_of_order = 0
        self._next_id = 1_476

    def tick(self, tick: int) -> Iterator[Said]:
        at_ms = EARLY_MS + tick * TICK_MS
        step = tick % REPLAY_AT
        if step == 0:
            self._start_over()
        order = next(one for one in reversed(ORDERS) if one.tick <= step)
        if step == order.tick:
            self._of_order = self._scrap_of_order = 0
            self._next_id = self._next_id + 1 if tick < REPLAY_AT else 538
        if tick:
            self._make(order, is_running=step not in DOWN, is_known=step > 0)
        topics = {**self._filling(order, step), **self._mixing(step), **self._clock(step)}
        for topic, value in topics.items():
            payload = value if isinstance(value, str) else json.dumps(value)
            if self._shown.get(topic) != payload:
                self._shown[topic] = payload
                yield Said(at_ms, topic, payload, retain=not tick)

    def _start_over(self) -> None:
        self._good, self._scrap = COUNTED_BEFORE, SCRAPPED_BEFORE
        self._shown.clear()

    def _make(self, order: Order, *, is_running: bool, is_known: bool) -> None:
        """A tick's bottles; those of the tick that changes the order are the new one's.

        Of the tick in which the counters are set, nobody can say what was made.
        """
        made, bad = (A_TICK, 1) if is_running and is_known else (0, 0)
        books = self.ledger
        self._good += made
        self._scrap += bad
        self._of_order += made
        self._scrap_of_order += bad
        books.good[order.number] = books.good.get(order.number, 0) + made
        books.scrap[order.number] = books.scrap.get(order.number, 0) + bad
        if is_running:
            books.running_ms += TICK_MS
        else:
            books.down_ms += TICK_MS

    def _filling(self, order: Order, step: int) -> dict[str, Any]:
        code, name = STATES[step not in DOWN]
        inputs, orders = f"{FILLING}/metric/input", f"{FILLING}/workorder"
        return {
            f"{orders}/workorderid": self._next_id,
            f"{orders}/workordernumber": order.number,
            f"{orders}/quantitytarget": order.target,
            f"{orders}/lotnumber/item/itemname": order.item,
            f"{orders}/quantityactual": self._of_order,
            f"{orders}/quantitydefect": self._scrap_of_order,
            f"{inputs}/countinfeed": self._good + self._scrap - 5,
            f"{inputs}/countoutfeed": self._good,
            f"{inputs}/countdefect": self._scrap,
            f"{inputs}/rateactual": 148.1 if step not in DOWN else 0.0,
            f"{inputs}/ratestandard": '"132"',
            f"{FILLING}/metric/availability": 0.95,
            f"{FILLING}/metric/performance": 1.12,
            f"{FILLING}/metric/quality": 0.99,
            f"{FILLING}/metric/oee": 0.926,
            f"{FILLING}/filler/processdata/state/code": code,
            f"{FILLING}/filler/processdata/state/name": name,
        }

    def _mixing(self, step: int) -> dict[str, Any]:
        """A vat without a standard rate, whose state has a code of its own."""
        return {
            f"{MIXING}/metric/input/ratestandard": 0,
            f"{MIXING}/vat01/processdata/state/code": 12 if step % 40 < 20 else 13,
            f"{MIXING}/vat01/processdata/process/temperature": 71.5 if step < 30 else "n/a",
        }

    def _clock(self, step: int) -> dict[str, Any]:
        """What the simulator tells of itself: the time of the recording, once in ten minutes."""
        at = datetime.fromtimestamp((EARLY_MS - 10_000 * MINUTE_MS) / 1_000, UTC)
        minute = step // 20 * 10
        told = {"progress_pct": minute / 32, "timestamp": at.replace(minute=minute).isoformat()}
        return {f"{ROOT}/metadata": told}
