"""The independent auditor: the journal against the record (plain SQL) and the retained tree.

Imports nothing of the hub. Every event of the journal is on record exactly once and as it was;
what processors made of them is there exactly once and adds up to what the journal says.
"""

import json
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import duckdb
import psycopg

from tests.faults.expected import Expected, expect

PAGE: Final = 20_000
SHOWN: Final = 5
OUTPUT: Final = "processor:"
ALLOWED_REJECTS: Final = frozenset({"stale-epoch"})
_EVENTS: Final = "SELECT id, source, epoch, seq, CAST(payload AS TEXT) FROM events"
_REJECTS: Final = "SELECT reject_class, count(*) FROM quarantine GROUP BY reject_class"
_GAPS: Final = "SELECT source, epoch, from_seq, to_seq, seen_by FROM gaps"


@dataclass
class Audit:
    """What was found.

    made: events of the journal. lost, doubled, changed, foreign: ids of them. outputs: events that
    processors made. wrong: what does not add up, in words. gaps: rows of the view. rejects: times
    by class.
    """

    made: int = 0
    lost: list[str] = field(default_factory=list)
    doubled: list[str] = field(default_factory=list)
    changed: list[str] = field(default_factory=list)
    foreign: list[str] = field(default_factory=list)
    outputs: int = 0
    wrong: list[str] = field(default_factory=list)
    gaps: list[tuple[Any, ...]] = field(default_factory=list)
    rejects: dict[str, int] = field(default_factory=dict)

    @property
    def clean(self) -> bool:
        """Whether nothing is amiss."""
        bad = self.lost or self.doubled or self.changed or self.foreign or self.wrong or self.gaps
        return not bad and self.rejects.keys() <= ALLOWED_REJECTS

    @property
    def figures(self) -> dict[str, int]:
        """The numbers of the matrix."""
        ids = ("lost", "doubled", "changed", "foreign", "wrong", "gaps")
        counts = {name: len(getattr(self, name)) for name in ids}
        shown = {name: n for name, n in counts.items() if n or name in ("lost", "doubled", "wrong")}
        return {"events": self.made, "outputs": self.outputs, **shown}

    def __str__(self) -> str:
        ids = ("lost", "doubled", "changed", "foreign", "wrong", "gaps")
        found = {name: getattr(self, name) for name in ids}
        said = [f"{len(v)} {name}, e.g. {v[:SHOWN]}" for name, v in found.items() if v]
        counts = f"{self.made} made, {self.outputs} outputs, {self.rejects}"
        return f"{counts}: {'; '.join(said) or 'clean'}"


@dataclass
class _Recorded:
    """What the outputs on record add up to; the keys are those of Expected."""

    pieces: dict[str, tuple[int, int]] = field(default_factory=dict)
    state_ms: Counter[tuple[str, str]] = field(default_factory=Counter)
    orders: dict[str, tuple[int, int]] = field(default_factory=dict)
    verdicts: dict[str, str] = field(default_factory=dict)
    edges: Counter[tuple[str, str, str, float]] = field(default_factory=Counter)
    stops: Counter[str] = field(default_factory=Counter)
    ended: Counter[str] = field(default_factory=Counter)
    times: Counter[str] = field(default_factory=Counter)

    def take(self, event: dict[str, Any]) -> None:
        """One output of a processor."""
        if add := _ADD.get(event["type"]):
            add(self, event)


def audit(journal: Path, store: str, tree: Mapping[str, bytes]) -> Audit:
    """Count everything. `store`: `duckdb://path`, a path, or a PostgreSQL address."""
    expected, recorded, found = expect(journal), _Recorded(), Audit()
    found.made = len(expected.events)
    seen, places = Counter[str](), Counter[tuple[str, int, int]]()
    for event_id, source, epoch, seq, payload in rows(store, _EVENTS):
        seen[event_id] += 1
        places[source, epoch, seq] += 1
        if source.startswith(OUTPUT):
            found.outputs += 1
            recorded.take(json.loads(payload))
        elif event_id not in expected.events:
            found.foreign.append(event_id)
        elif not _same(expected.events[event_id], json.loads(payload)):
            found.changed.append(event_id)
    found.lost = [event_id for event_id in expected.events if not seen[event_id]]
    found.doubled = [event_id for event_id, times in seen.items() if times > 1]
    found.doubled += [str(place) for place, times in places.items() if times > 1]
    found.gaps = list(rows(store, _GAPS))
    found.rejects = dict(rows(store, _REJECTS))
    found.wrong = [*_differences(expected, recorded), *_in_tree(expected, tree)]
    return found


def _same(made: dict[str, Any], stored: dict[str, Any]) -> bool:
    said = {key: made[key] for key in ("id", "type", "path", "at_ms")} | made["body"]
    return all(stored.get(key) == value for key, value in said.items())


def _differences(expected: Expected, recorded: _Recorded) -> Iterator[str]:
    for name in ("pieces", "state_ms", "orders", "verdicts", "edges", "stops"):
        mine, theirs = _told(getattr(expected, name)), _told(getattr(recorded, name))
        for key in sorted(mine.keys() | theirs.keys(), key=str):
            if mine.get(key) != theirs.get(key):
                yield f"{name} {key}: {mine.get(key)} made, {theirs.get(key)} on record"
    if recorded.stops != recorded.ended:
        yield f"stops begun {recorded.stops.total()}, ended {recorded.ended.total()}"
    yield from (f"{what} is said {n} times" for what, n in recorded.times.items() if n > 1)


def _told(counts: Mapping[Any, Any]) -> dict[Any, Any]:
    """Without zeros, which nobody needs to say."""
    return {key: value for key, value in counts.items() if value}


def _in_tree(expected: Expected, tree: Mapping[str, bytes]) -> Iterator[str]:
    """The public documents of genealogy and quality have totals of their own."""
    verdicts = Counter(
        (sample.split("-")[1], verdict) for sample, verdict in expected.verdicts.items()
    )
    for cell, count in expected.traced.items():
        shown = json.loads(tree.get(f"{cell}/_state/genealogy", b"{}")).get("totals", {})
        if shown.get("produced") != count:
            yield f"{cell}/_state/genealogy: {count} productions made, {shown} shown"
    for line in {name for name, _ in verdicts}:
        place = next((t for t in tree if t.endswith(f"/{line}/pack/_state/quality")), "")
        shown = json.loads(tree.get(place, b"{}")).get("total", {})
        mine = {verdict: verdicts[line, verdict] for verdict in ("pass", "fail")}
        if {verdict: shown.get(verdict) for verdict in mine} != mine:
            yield f"{place or line}: verdicts {mine} made, {shown} shown"


def _interval(recorded: _Recorded, event: dict[str, Any]) -> None:
    cell, state = event["path"], event["state"]
    recorded.state_ms[cell, state] += event["end_ms"] - event["start_ms"]
    good, scrap = recorded.pieces.get(cell, (0, 0))
    recorded.pieces[cell] = good + event["gq"], scrap + event["sq"]


def _closed(recorded: _Recorded, event: dict[str, Any]) -> None:
    document = event["document"]
    recorded.orders[event["order_id"]] = document["good"], document["scrap"]
    recorded.times[f"the end of order {event['order_id']}"] += 1


def _verdict(recorded: _Recorded, event: dict[str, Any]) -> None:
    recorded.verdicts[event["sample_id"]] = event["verdict"]
    recorded.times[f"the verdict of {event['sample_id']}"] += 1


def _edge(recorded: _Recorded, event: dict[str, Any]) -> None:
    ends = event["path"], event["input_id"], event["output_id"], event["quantity"]
    recorded.edges[ends] += 1


def _stopped(recorded: _Recorded, event: dict[str, Any]) -> None:
    recorded.stops[event["path"]] += 1
    recorded.times[f"the stop {event['stop_id']}"] += 1


def _ended(recorded: _Recorded, event: dict[str, Any]) -> None:
    recorded.ended[event["path"]] += 1


_ADD: Final[dict[str, Callable[[_Recorded, dict[str, Any]], None]]] = {
    "oee-interval": _interval,
    "order-closed": _closed,
    "verdict": _verdict,
    "edge": _edge,
    "stopped": _stopped,
    "stop-ended": _ended,
}


def rows(store: str, sql: str) -> Iterator[tuple[Any, ...]]:
    """What a query of the record gives, page by page."""
    if store.startswith("postgres"):
        with psycopg.connect(store) as connection, connection.cursor("audit") as cursor:
            cursor.itersize = PAGE
            cursor.execute(sql.encode())
            yield from cursor
        return
    with duckdb.connect(store.removeprefix("duckdb://"), read_only=True) as database:
        result = database.execute(sql)
        while page := result.fetchmany(PAGE):
            yield from page
