"""Sparkplug in pure terms: what the host session's outputs say about tags and links.

Owns the way from Sparkplug's values and quality to ours. Knows no MQTT client and no clock;
births, aliases and order are the session's (uns.sparkplug.host), which tag shows which metric is
the directory's.
"""

from collections.abc import Iterable, Iterator, Mapping
from math import isfinite
from typing import Final

from bridges.sparkplug.directory import Directory, Endpoint
from bridges.sparkplug.rules import Origin
from uns.model.observation import BadInput, Link, Observation, Quality, Reading
from uns.sparkplug.node import BD_SEQ, REBIRTH
from uns.sparkplug.outputs import HostOutput, MetricValue, Online, Rejected, Stale
from uns.sparkplug.values import QUALITY_BAD, QUALITY_GOOD, QUALITY_STALE

REJECT_CLASS: Final = "bad-sparkplug"
UNHEARD: Final = "not heard since the restart"
OWN_METRICS: Final = frozenset({BD_SEQ, REBIRTH})
QUALITIES: Final[Mapping[int, tuple[Quality, str | None]]] = {
    QUALITY_GOOD: ("good", None),
    QUALITY_BAD: ("bad", "quality 0 (bad)"),
    QUALITY_STALE: ("bad", "quality 500 (stale)"),
}


def endpoint_of(output: Online | Stale) -> Endpoint:
    """The edge node or device that an output speaks for."""
    return Endpoint(output.group, output.edge_node, output.device)


def observations(
    outputs: Iterable[HostOutput], directory: Directory, now_ms: int
) -> list[Observation]:
    """What the outputs say, in order; metrics that no tag shows say nothing."""
    outputs = list(outputs)
    heard = {_origin(each) for each in outputs if isinstance(each, MetricValue)}
    told = list[Observation]()
    for output in outputs:
        match output:
            case MetricValue():
                told += _reading(output, directory)
            case Online():
                told += _online(output, directory, heard)
            case Stale():
                told += down(directory, endpoint_of(output), output.reason, output.at_ms)
            case Rejected():
                told.append(
                    BadInput(output.topic, REJECT_CLASS, output.reason, output.payload, now_ms)
                )
    return told


def down(directory: Directory, endpoint: Endpoint, reason: str, at_ms: int) -> Iterator[Link]:
    """The link to an endpoint is down, if any tag depends on it."""
    if feeds := directory.feeds(endpoint):
        yield Link(str(endpoint), feeds, up=False, at_ms=at_ms, reason=reason)


def unmapped(online: Online, directory: Directory) -> list[str]:
    """The metrics of a birth that no tag shows."""
    shown = directory.by_endpoint.get(endpoint_of(online), {})
    names = (metric.name for metric in online.metrics if metric.name)
    return [name for name in names if name not in OWN_METRICS and name not in shown]


def _online(online: Online, directory: Directory, heard: set[Origin]) -> Iterator[Observation]:
    """The link is up; which tags lack a value is said at once. The values are outputs too."""
    endpoint = endpoint_of(online)
    feeds = directory.feeds(endpoint)
    if not feeds:
        return
    yield Link(str(endpoint), feeds, up=True, at_ms=online.at_ms)
    born = {metric.name for metric in online.metrics}
    for name, leaf in directory.by_endpoint[endpoint].items():
        if name not in born:
            reason = f"no metric {name!r} in the birth"
        elif online.kept and Origin(*endpoint, name) not in heard:
            reason = UNHEARD
        else:
            continue
        yield Reading(*leaf, value=None, at_ms=online.at_ms, quality="bad", reason=reason)


def _origin(metric: MetricValue) -> Origin:
    return Origin(metric.group, metric.edge_node, metric.device, metric.name)


def _reading(metric: MetricValue, directory: Directory) -> Iterator[Reading]:
    """A live value of a tag. History is not told: it would go back behind what is shown."""
    leaf = directory.tags.get(_origin(metric))
    if leaf is None or metric.is_historical:
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
    yield Reading(*leaf, value=value, at_ms=metric.timestamp_ms, quality=quality, reason=reason)
