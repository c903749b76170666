"""Takes out of births and DATA what cannot be read, so that the rest of a faulty node is examined.

Owns which metrics go, and why. A host that conforms does not believe such a node and asks for its
births; a kit whose own edge node sends values out of range, or metrics that are in no birth, does
not expect that. Does no I/O and keeps nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from uns.sparkplug.catalogue import Catalogue, declare, read_bound, resolve
from uns.sparkplug.errors import DecodeError
from uns.sparkplug.payload import parse, serialize
from uns.sparkplug.reading import read_payload
from uns.sparkplug.schema import new_payload
from uns.sparkplug.topic import BIRTHS, MessageType, Topic
from uns.sparkplug.topic import parse as parse_topic

if TYPE_CHECKING:
    from collections.abc import Mapping

    from uns.sparkplug.node import Node
    from uns.sparkplug.schema import Wire

_DATA = frozenset({MessageType.NDATA, MessageType.DDATA})


class Forgiven(NamedTuple):
    """What is left of a payload, and the reason for each metric that is not."""

    raw: bytes
    reasons: tuple[str, ...] = ()


def forgive(nodes: Mapping[tuple[str, str], Node], topic: str, raw: bytes) -> Forgiven:
    """Give the payload without its unreadable metrics; `nodes` tells what was born."""
    where = parse_topic(topic)
    if not isinstance(where, Topic):
        return Forgiven(raw)
    if where.message_type in BIRTHS:
        return _without(raw, None)
    if where.message_type in _DATA:
        node = nodes.get((where.group, where.edge_node))
        birth = node.places.get(where.device) if node else None
        return _without(raw, birth.catalogue) if birth else Forgiven(raw)
    return Forgiven(raw)


def _without(raw: bytes, catalogue: Catalogue | None) -> Forgiven:
    try:
        wire = parse(raw)
    except DecodeError:
        return Forgiven(raw)
    faults = [_fault(metric, catalogue) for metric in wire.metrics]
    kept = [m for m, fault in zip(wire.metrics, faults, strict=True) if fault is None]
    if len(kept) == len(faults):
        return Forgiven(raw)
    left = new_payload()
    left.CopyFrom(wire)
    del left.metrics[:]
    left.metrics.extend(kept)
    return Forgiven(serialize(left), tuple(fault for fault in faults if fault))


def _fault(metric: Wire, catalogue: Catalogue | None) -> str | None:
    """Say why a metric of a birth, or of DATA as `catalogue` reads it, is wrong."""
    try:
        if catalogue is None:
            alone = new_payload()
            alone.metrics.append(metric)
            declare(read_payload(alone).metrics)
        else:
            read_bound(resolve(catalogue, metric), metric)
    except DecodeError as error:
        return str(error)
    return None
