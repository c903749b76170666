"""What the hub says now: the newest documents that the table, the summary and `drained` need."""

import json
from typing import Any, Final

from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from uns.fold import Document
from uns.model.path import Topic, TopicError, parse_topic
from uns.model.plant import Plant

STATE_STYLES: Final = {
    "EXECUTE": "green",
    "UNKNOWN": "magenta",
    "ABORTED": "red",
    "ABORTING": "red",
    "HELD": "red",
    "HOLDING": "red",
    "SUSPENDED": "yellow",
}
VERDICT_STYLES: Final = {"pass": "green", "fail": "red", "pending": "yellow"}


class Live:
    """The newest retained documents by topic, bounded by the plant's own topics."""

    def __init__(self, plant: Plant) -> None:
        self._plant = plant
        self._documents: dict[str, Document] = {}

    def take(self, topic: str, payload: bytes) -> None:
        """Take a message; what is not ours or not JSON is for the historian to reject."""
        try:
            parsed = parse_topic(topic)
            if parsed.kind not in ("_state", "_hub"):
                return
            document = json.loads(payload) if payload else None
        except (TopicError, ValueError, RecursionError):
            return
        if isinstance(document, dict):
            self._documents[topic] = document
        else:
            self._documents.pop(topic, None)

    def get(self, topic: str) -> Document:
        """The newest document of a topic, or an empty one."""
        return self._documents.get(topic, {})

    def select(self, path_prefix: str, kind: str, name: str) -> dict[Topic, Document]:
        """Documents of one kind and name below a place."""
        found = {parse_topic(t): d for t, d in self._documents.items() if t.startswith(path_prefix)}
        return {t: d for t, d in found.items() if (t.kind, t.name) == (kind, name)}

    def bridges(self) -> dict[str, Document]:
        """Health of each bridge by name; what stands deeper is none."""
        found = self.select(self._plant.enterprise, "_hub", "bridge")
        return {t.keys[0]: document for t, document in found.items() if len(t.keys) == 1}

    def all_connected(self) -> bool:
        """Whether every bridge has its sources, and those with tags have read them."""
        health = self.bridges()
        return all(
            health.get(name, {}).get("connected") and health[name]["tags"] >= self._tags_of(name)
            for name in self._plant.bridges
        )

    def drained(self, since_ms: int) -> bool:
        """Whether every owner of an outbox has said since then that it is empty."""
        return not self.waiting(since_ms)

    def waiting(self, since_ms: int) -> list[str]:
        """Owners of outboxes that have not said so; those that are gone say no more."""
        workers = self.select(self._plant.enterprise, "_hub", "worker")
        owners = {t.keys[0]: d for t, d in workers.items()} | self.bridges()
        return [
            name
            for name, d in owners.items()
            if not d.get("gone") and not (d.get("outbox") == 0 and d["at_ms"] >= since_ms)
        ]

    def oee(self) -> dict[str, Document]:
        """The live OEE document of each line by the line's path."""
        found = {line: self.get(f"{line}/_state/oee") for line in self._plant.lines}
        return {line: document for line, document in found.items() if document}

    def table(self) -> Table:
        """The first screen: one row a line."""
        table = Table(expand=True)
        for column in ("line", "state", "order", "good/scrap", "OEE"):
            table.add_column(column, no_wrap=True, min_width=len(column))
        for column in ("last stop", "last verdict"):
            table.add_column(column, no_wrap=True, overflow="ellipsis", ratio=1)
        for line in self._plant.lines:
            table.add_row(*self._row(line))
        return table

    def _tags_of(self, bridge: str) -> int:
        return sum(len(place.cell.tags) for place in self._plant.served_by(bridge).values())

    def _row(self, line: str) -> list[RenderableType]:
        oee = self.get(f"{line}/_state/oee")
        sums = oee.get("sums", {})
        state = str(oee.get("state", "-"))
        return [
            "/".join(line.split("/")[-2:]),
            Text(state, STATE_STYLES.get(state, "white")),
            self._order(line),
            f"{sums.get('gq', 0)}/{sums.get('sq', 0)}",
            per_cent(oee.get("oee")),
            str(self._newest(line, "stop", "since_ms").get("summary", "-")),
            self._verdict(line),
        ]

    def _order(self, line: str) -> str:
        orders = self.select(line, "_state", "order").values()
        running = [d for d in orders if d.get("dispatch_status") == "running"]
        newest = max(running, key=lambda d: d.get("started_ms") or 0, default=None)
        if newest is None:
            return "-"
        return f"{newest['order_id']} {newest['good']}/{newest['quantity']} {newest['item']}"

    def _verdict(self, line: str) -> Text:
        summary = str(self._newest(line, "quality", "at_ms").get("summary", "-"))
        style = VERDICT_STYLES.get(summary.partition(":")[0], "white")
        return Text(summary, style)

    def _newest(self, line: str, name: str, stamp: str) -> dict[str, Any]:
        found = self.select(line, "_state", name).values()
        return max(found, key=lambda d: d.get(stamp) or 0, default={})


def per_cent(fraction: float | None) -> str:
    """A fraction for people: `71.2 %`, or `-` where there is none."""
    return "-" if fraction is None else f"{100 * fraction:.1f} %"
