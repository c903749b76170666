"""Our tree in Sparkplug's words and back, in pure terms.

Owns the way line = edge node, cell = device, tag = metric, and what quality and a lost source
become. Knows no MQTT client and no clock; births, aliases and order are the session's.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Final, NamedTuple
from urllib.parse import unquote, urlsplit

from bridges.sparkplug_edge.config import SparkplugEdgeSettings
from uns.codec import encode_document
from uns.model.checks import Finding, did_you_mean
from uns.model.events import Tag
from uns.model.observation import Quality
from uns.model.path import Topic
from uns.model.plant import Place, Plant
from uns.mqtt.message import Address, Outgoing
from uns.sparkplug.datatype import DataType
from uns.sparkplug.edge import Write
from uns.sparkplug.edge_queue import Entry
from uns.sparkplug.naming import Descriptor, descriptor
from uns.sparkplug.values import (
    QUALITY_BAD,
    QUALITY_GOOD,
    QUALITY_STALE,
    Property,
    PropertySet,
)

PROTOCOL: Final = "sparkplug-edge"
UNIT: Final = "engUnit"
MQTT_PORT: Final = 1883
EXPIRY_MS: Final = 10_000
"""How long a write may be on its way to the device, by the wall's clock."""
QUALITIES: Final[Mapping[Quality, int]] = {
    "good": QUALITY_GOOD,
    "uncertain": QUALITY_STALE,
    "bad": QUALITY_BAD,
}


class Export(NamedTuple):
    """One line and the edge node that shows it; `cells` by device id."""

    line_path: str
    ids: Descriptor
    cells: Mapping[str, Place]

    @property
    def filters(self) -> tuple[str, ...]:
        """What is read on the hub's broker: the tags, and the answers to our commands."""
        return f"{self.line_path}/+/_tag/#", f"{self.line_path}/+/_event/reply/+"


class Refused(NamedTuple):
    """A command that is no request to write a tag, and why."""

    reason: str


class _Showing(NamedTuple):
    bridge: str
    line_path: str

    def __str__(self) -> str:
        return f"{self.line_path} of bridge '{self.bridge}'"


def exports(settings: SparkplugEdgeSettings, plant: Plant) -> list[Export]:
    """The lines that the settings name, in the plant's order."""
    wanted = {f"{plant.enterprise}/{line}" for line in settings.lines}
    return [
        Export(
            path,
            descriptor(path, settings.group, settings.edge_node),
            {_device(place.path): place for place in places},
        )
        for path, places in plant.lines.items()
        if not wanted or path in wanted
    ]


def findings(plant: Plant) -> Iterator[Finding]:
    """What is wrong with the edge bridges of a plant: unknown lines, two lines of one name."""
    bridges = {
        name: SparkplugEdgeSettings.model_validate(bridge.settings)
        for name, bridge in plant.bridges.items()
        if bridge.protocol == PROTOCOL
    }
    for name, settings in bridges.items():
        yield from _unknown_lines(name, settings, plant)
    yield from _twins(bridges, plant)


def properties(place: Place, tag: str) -> PropertySet:
    """What a birth says of a tag besides its quality."""
    unit = place.cell.tags[tag].unit
    return {UNIT: Property(DataType.STRING, unit)} if unit else {}


def entry_of(topic: Topic, tag: Tag) -> Entry:
    """A tag as the value of a metric."""
    quality = QUALITIES[tag.quality]
    return Entry(_device(topic.path), topic.name, tag.value, tag.timestamp_ms, quality)


def is_present(qualities: Mapping[str, int]) -> bool:
    """Whether a cell has anything to say: a lost source turns every tag of it bad."""
    return any(quality != QUALITY_BAD for quality in qualities.values())


def request(write: Write, export: Export, request_id: str, end_ms: int) -> Outgoing | Refused:
    """A write by a foreign host as a request on the hub's broker, which checks and answers it.

    end_ms: when it expires, in plant time.
    """
    if write.device is None:
        return Refused("a line has no tags of its own")
    if not isinstance(write.value, bool | int | float | str):
        return Refused("null cannot be written")
    document = {
        "request_id": request_id,
        "value": write.value,
        "expires_at_ms": end_ms,
        "actor": f"sparkplug {export.ids}"[:128],
    }
    topic = f"{export.line_path}/{write.device}/_cmd/write/{write.name}"
    return Outgoing(topic, encode_document(document))


def address_of(server: str) -> Address:
    """A server's URL, which was checked with namespace.yaml."""
    parts = urlsplit(server)
    user, password = (unquote(text) if text else None for text in (parts.username, parts.password))
    return Address(parts.hostname or "", parts.port or MQTT_PORT, user, password)


def _device(cell_path: str) -> str:
    return cell_path.rpartition("/")[2]


def _unknown_lines(name: str, settings: SparkplugEdgeSettings, plant: Plant) -> Iterator[Finding]:
    known = [path.partition("/")[2] for path in plant.lines]
    for place, line in enumerate(settings.lines):
        if line not in known:
            where = ("bridges", name, "lines", place)
            yield where, f"unknown line '{line}'{did_you_mean(line, known)}"


def _twins(bridges: Mapping[str, SparkplugEdgeSettings], plant: Plant) -> Iterator[Finding]:
    """Lines that would be one edge node, and so one MQTT client, at one server.

    Ids that differ by case only count as one (specification 3.0, 1.5.5).
    """
    seen: dict[tuple[str, str], _Showing] = {}
    for name, settings in bridges.items():
        for export in exports(settings, plant):
            here = _Showing(name, export.line_path)
            places = [(server, str(export.ids).lower()) for server in _servers(settings)]
            firsts = {place: seen.setdefault(place, here) for place in places}
            twins = {first: place for place, first in firsts.items() if first != here}
            for first, (server, _) in twins.items():
                where = ("bridges", name, *_naming(settings))
                yield where, f"{here} and {first} would both be edge node {export.ids} at {server}"


def _servers(settings: SparkplugEdgeSettings) -> tuple[str, ...]:
    """Which brokers a bridge goes to, whoever it is there."""
    addresses = [address_of(url) for url in settings.servers]
    return tuple(f"{one.host}:{one.port}" for one in addresses) or ("the hub's broker",)


def _naming(settings: SparkplugEdgeSettings) -> Sequence[str]:
    """Where the file says what an edge node is called, if it does."""
    stated = settings.model_fields_set
    return [key for key in ("edge_node", "group", "lines") if key in stated][:1]
