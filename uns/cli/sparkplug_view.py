"""What is said and who is there on a Sparkplug network; only listens.

Owns how it is shown. Does not know topics (uns.sparkplug) or where births are kept
(bridges.sparkplug.births).
"""

import asyncio
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any, Final, NamedTuple

from bridges.sparkplug.births import BirthFolder
from uns.cli.errors import UsageError
from uns.cli.folder import Folder, find_folder
from uns.cli.options import address_of, iso, topic_filter
from uns.cli.output import note, print_json, print_table, say
from uns.cli.subscribe import messages
from uns.mqtt.message import Address
from uns.sparkplug.errors import SparkplugError
from uns.sparkplug.host import HostSession
from uns.sparkplug.node import REBIRTH, Node
from uns.sparkplug.outputs import KeepBirth
from uns.sparkplug.spectator import Seen, Shown, Spectator
from uns.sparkplug.state import HostState
from uns.sparkplug.topic import NAMESPACE, MessageType

COLUMNS: Final = (
    "edge node",
    "state",
    "bdSeq",
    "gaps",
    "rebirths asked",
    "devices",
    "metrics",
    "last birth",
)
MS: Final = 1_000


class Place(NamedTuple):
    """Where to listen, and the births that the hub has kept."""

    address: Address
    kept: list[KeepBirth]


def place_of(server: str | None, data: Path | None) -> Place:
    """The server that was named, or the broker of the hub; births are known of the hub's only."""
    if server:
        return Place(address_of(server), [])
    folder = find_folder(data)
    return Place(folder.address("operator"), list(_kept(folder)))


def _kept(folder: Folder) -> Iterator[KeepBirth]:
    for path in sorted((folder.root / "births").glob("*/")):
        yield from BirthFolder(path).load()


def selected(text: str) -> str:
    """A filter of Sparkplug topics; UsageError for any other."""
    wanted = topic_filter(text)
    if not wanted.startswith(f"{NAMESPACE}/"):
        raise UsageError(f"{wanted!r} does not begin with {NAMESPACE}/")
    return wanted


def watch(
    wanted: str, place: Place, count: int | None, duration_s: float | None, *, as_json: bool
) -> None:
    """Print decoded messages as they come."""
    with suppress(KeyboardInterrupt, TimeoutError):
        asyncio.run(_watch(wanted, place, count, duration_s, as_json=as_json))


async def _watch(
    wanted: str, place: Place, count: int | None, duration_s: float | None, *, as_json: bool
) -> None:
    spectator = Spectator()
    for birth in place.kept:
        spectator.see(birth.topic, birth.raw)
    seen = 0
    async with asyncio.timeout(duration_s):
        async for message in messages(place.address, wanted):
            told = spectator.see(message.topic, message.payload)
            _print(_document(message.topic, told, retained=message.retain), as_json=as_json)
            seen += 1
            if seen == count:
                return


def _document(
    topic: str, told: Seen | HostState | SparkplugError, *, retained: bool
) -> dict[str, Any]:
    """One message as JSON would have it."""
    document: dict[str, Any] = {"topic": topic}
    if retained:
        document["retained"] = True
    match told:
        case HostState(online, at_ms):
            return document | {"online": online, "timestamp_ms": at_ms}
        case Seen():
            metrics = [_metric(metric) for metric in told.metrics]
            return document | {
                "seq": told.seq,
                "timestamp_ms": told.timestamp_ms,
                "metrics": metrics,
            }
    return document | {"unreadable": str(told)}


def _metric(metric: Shown) -> dict[str, Any]:
    shown = {
        "name": metric.name,
        "value": metric.value,
        "type": metric.datatype,
        "timestamp_ms": metric.timestamp_ms,
    }
    return {**shown, "historical": True} if metric.is_historical else shown


def _print(document: dict[str, Any], *, as_json: bool) -> None:
    if as_json:
        print_json(document)
        return
    metrics = document.pop("metrics", [])
    head = [document.pop("topic")]
    at_ms = document.pop("timestamp_ms", None)
    head += [iso(at_ms) or "-", *(f"{name}={value}" for name, value in document.items())]
    say("  ".join(head))
    for metric in metrics:
        old = "  (history)" if metric.get("historical") else ""
        say(f"    {metric['name']} = {metric['value']}  {metric['type'] or ''}{old}".rstrip())


def nodes(place: Place, duration_s: float, *, as_json: bool) -> None:
    """Listen for a while, then print a row for each edge node."""
    network = Network()
    for birth in place.kept:
        network.take(birth.topic, birth.raw, retained=True)
    with suppress(KeyboardInterrupt, TimeoutError):
        asyncio.run(_listen(place.address, network, duration_s))
    rows = network.rows(_now_ms())
    if as_json:
        print_json({"nodes": rows})
        return
    if not rows:
        note(f"no edge node in {duration_s:g} s")
    print_table(COLUMNS, [list(row.values()) for row in rows])


async def _listen(address: Address, network: "Network", duration_s: float) -> None:
    async with asyncio.timeout(duration_s):
        async for message in messages(address, f"{NAMESPACE}/#"):
            network.take(message.topic, message.payload, retained=message.retain)


class Network:
    """The edge nodes as a host that never sends believes them, and who asked for rebirths."""

    def __init__(self) -> None:
        self._host = HostSession(passive=True)
        self._spectator = Spectator()
        self._asked: dict[tuple[str, str], int] = {}

    def take(self, topic: str, raw: bytes, *, retained: bool) -> None:
        """Take a message, or a kept birth."""
        self._host.receive(topic, raw, _now_ms(), retained=retained)
        seen = self._spectator.see(topic, raw)
        if isinstance(seen, Seen) and seen.topic.message_type is MessageType.NCMD:
            asks = any(metric.name == REBIRTH and metric.value for metric in seen.metrics)
            key = (seen.topic.group, seen.topic.edge_node)
            self._asked[key] = self._asked.get(key, 0) + asks

    def rows(self, now_ms: int) -> list[dict[str, Any]]:
        """One row an edge node, by name."""
        wake_ms = self._host.wake_at_ms
        if wake_ms is not None and wake_ms <= now_ms:
            self._host.tick(now_ms)
        return [
            _row(node, self._asked.get(key, 0), now_ms)
            for key, node in sorted(self._host.nodes.items())
        ]


def _row(node: Node, asked: int, now_ms: int) -> dict[str, Any]:
    births = node.kept | node.places
    born_ms = node.birth_at_ms or max((birth.at_ms for birth in births.values()), default=0)
    return {
        "node": f"{node.group}/{node.edge_node}",
        "state": str(node.phase),
        "bd_seq": node.bd_seq,
        "gaps": node.gaps,
        "rebirths": asked,
        "devices": ", ".join(sorted(device for device in births if device)),
        "metrics": sum(len(birth.metrics) for birth in births.values()),
        "last_birth": f"{(now_ms - born_ms) // MS} s ago" if born_ms else None,
    }


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
