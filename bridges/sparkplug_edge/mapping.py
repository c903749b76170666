"""Our tree in Sparkplug's words and back, in pure terms.

Owns the way line = edge node, cell = device, tag = metric, and what quality and a lost source
become. Knows no MQTT client and no clock; births, aliases and order are the session's.
"""

from collections.abc import Iterator, Mapping
from typing import Final, NamedTuple
from urllib.parse import unquote, urlsplit

from bridges.sparkplug_edge.config import SparkplugEdgeSettings
from uns.codec import encode_document
from uns.model.events import Tag
from uns.model.namespace import Finding, did_you_mean
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
    for name, bridge in plant.bridges.items():
        if bridge.protocol == PROTOCOL:
            settings = SparkplugEdgeSettings.model_validate(bridge.settings)
            yield from _unknown_lines(name, settings, plant)
            yield from _twins(name, settings, plant)


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


def request(write: Write, export: Export, request_id: str, now_ms: int) -> Outgoing | Refused:
    """A write by a foreign host as a request on the hub's broker, which checks and answers it."""
    if write.device is None:
        return Refused("a line has no tags of its own")
    if not isinstance(write.value, bool | int | float | str):
        return Refused("null cannot be written")
    document = {
        "request_id": request_id,
        "value": write.value,
        "expires_at_ms": now_ms + EXPIRY_MS,
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


def _twins(name: str, settings: SparkplugEdgeSettings, plant: Plant) -> Iterator[Finding]:
    seen: dict[str, str] = {}
    for export in exports(settings, plant):
        ids = str(export.ids).lower()
        if ids in seen:
            key = "edge_node" if "edge_node" in settings.model_fields_set else "group"
            message = f"{export.line_path} and {seen[ids]} would both be edge node {export.ids}"
            yield ("bridges", name, key), message
        seen.setdefault(ids, export.line_path)
