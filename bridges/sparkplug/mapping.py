"""Sparkplug in pure terms: what the host session's outputs say about tags and links.

Owns the way from (device, metric) to a tag and from Sparkplug's quality to ours. Knows no MQTT
client and no clock; births, aliases and order are the session's (uns.sparkplug.host).
"""

from collections.abc import Iterable, Iterator, Mapping
from math import isfinite
from typing import Final, NamedTuple

from bridges.sparkplug.config import SparkplugSettings, SparkplugSource
from uns.model.observation import BadInput, Link, Observation, Quality, Reading
from uns.model.plant import Place
from uns.sparkplug.node import BD_SEQ, REBIRTH
from uns.sparkplug.outputs import HostOutput, MetricValue, Online, Rejected, Stale
from uns.sparkplug.values import QUALITY_BAD, QUALITY_GOOD, QUALITY_STALE

REJECT_CLASS: Final = "bad-sparkplug"
OWN_METRICS: Final = frozenset({BD_SEQ, REBIRTH})
QUALITIES: Final[Mapping[int, tuple[Quality, str | None]]] = {
    QUALITY_GOOD: ("good", None),
    QUALITY_BAD: ("bad", "quality 0 (bad)"),
    QUALITY_STALE: ("bad", "quality 500 (stale)"),
}
Device = str | None


class Address(NamedTuple):
    """A tag by its cell and name."""

    cell: str
    tag: str


class Directory(NamedTuple):
    """Which tag shows which metric; `node` names the edge node as an endpoint."""

    node: str
    tags: Mapping[tuple[Device, str], Address]

    @property
    def devices(self) -> tuple[Device, ...]:
        """The devices that tags are read from, None being the edge node itself."""
        return tuple(dict.fromkeys(device for device, _ in self.tags))

    def endpoint(self, device: Device) -> str:
        """What a link to a device is called."""
        return self.node if device is None else f"{self.node}/{device}"

    def cells(self, device: Device) -> tuple[str, ...]:
        """The cells that depend on a device."""
        found = (address.cell for (of, _), address in self.tags.items() if of == device)
        return tuple(dict.fromkeys(found))


def directory_of(settings: SparkplugSettings, places: Mapping[str, Place]) -> Directory:
    """Every tag of the cells by its metric; the sources were checked with namespace.yaml."""
    tags = {}
    for path, place in places.items():
        for name, tag in place.cell.tags.items():
            source = SparkplugSource.model_validate(tag.source)
            tags[source.device, source.metric] = Address(path, name)
    return Directory(f"{settings.group}/{settings.edge_node}", tags)


def observations(
    outputs: Iterable[HostOutput], directory: Directory, now_ms: int
) -> list[Observation]:
    """What the outputs say, in order; metrics that no tag shows say nothing."""
    told = list[Observation]()
    for output in outputs:
        match output:
            case MetricValue():
                told += _reading(output, directory)
            case Online():
                told += _online(output, directory)
            case Stale():
                told += down(directory, output.device, output.reason, output.at_ms)
            case Rejected():
                told.append(
                    BadInput(output.topic, REJECT_CLASS, output.reason, output.payload, now_ms)
                )
    return told


def down(directory: Directory, device: Device, reason: str, at_ms: int) -> Iterator[Link]:
    """The link to a device is down, if any tag depends on it."""
    if cells := directory.cells(device):
        yield Link(directory.endpoint(device), cells, up=False, at_ms=at_ms, reason=reason)


def all_down(directory: Directory, reason: str, at_ms: int) -> list[Observation]:
    """Every link is down."""
    return [one for device in directory.devices for one in down(directory, device, reason, at_ms)]


def unmapped(online: Online, directory: Directory) -> list[str]:
    """The metrics of a birth that no tag shows."""
    names = (metric.name for metric in online.metrics if metric.name)
    return [
        name
        for name in names
        if name not in OWN_METRICS and (online.device, name) not in directory.tags
    ]


def _online(online: Online, directory: Directory) -> Iterator[Observation]:
    """The link is up; what the birth lacks is said at once. Its values are outputs of their own."""
    cells = directory.cells(online.device)
    if not cells:
        return
    yield Link(directory.endpoint(online.device), cells, up=True, at_ms=online.at_ms)
    born = {metric.name for metric in online.metrics}
    for (device, name), address in directory.tags.items():
        if device == online.device and name not in born:
            reason = f"no metric {name!r} in the birth"
            yield Reading(*address, value=None, at_ms=online.at_ms, quality="bad", reason=reason)


def _reading(metric: MetricValue, directory: Directory) -> Iterator[Reading]:
    """A live value of a tag. History is not told: it would go back behind what is shown."""
    address = directory.tags.get((metric.device, metric.name))
    if address is None or metric.is_historical:
        return
    quality, reason = QUALITIES.get(metric.quality, ("uncertain", f"quality {metric.quality}"))
    value = metric.value
    if quality == "bad":
        value = None
    elif value is None:
        quality, reason = "bad", "null"
    elif not isinstance(value, bool | int | float | str):
        value, quality, reason = None, "bad", f"a {metric.datatype.name} is no value of a tag"
    elif isinstance(value, float) and not isfinite(value):
        value, quality, reason = None, "bad", f"{value} is no number"
    yield Reading(*address, value=value, at_ms=metric.timestamp_ms, quality=quality, reason=reason)
