"""Sparkplug payloads of 100 metrics, beside what protobuf alone costs: parse, build, field access.

Time is measured in rounds that take ours and the ceiling in turn, so that a slow moment of the
machine meets both; of each the best round counts.
"""

import time
from collections.abc import Callable
from typing import Any, Final

from bench.rig import Figure
from uns.sparkplug.catalogue import Place, declare, values_of_data
from uns.sparkplug.datatype import PLAIN_WRITERS, DataType
from uns.sparkplug.edge import Change, EdgeNode
from uns.sparkplug.payload import encode, parse
from uns.sparkplug.schema import new_payload
from uns.sparkplug.values import Metric, Payload

METRICS: Final = 100
ROUNDS: Final = 60
CALLS: Final = 50
AT_MS: Final = 1_765_432_100_000
PLACE: Final = Place("acme", "packing", "filler")
VALUES: Final[tuple[tuple[DataType, Any], ...]] = (
    (DataType.DOUBLE, 71.25),
    (DataType.INT32, 1_200),
    (DataType.BOOLEAN, True),
    (DataType.FLOAT, -0.5),
    (DataType.INT16, -7),
    (DataType.INT64, 2**40),
    (DataType.DOUBLE, 0.0),
    (DataType.UINT32, 3_000_000_000),
    (DataType.BOOLEAN, False),
    (DataType.STRING, "running"),
)
BORN: Final = tuple(
    Metric(f"metric {place}", value, kind, AT_MS, alias=place)
    for place, (kind, value) in enumerate(VALUES * (METRICS // len(VALUES)), 1)
)
FIELDS: Final = {each.alias: PLAIN_WRITERS[each.datatype][0] for each in BORN if each.datatype}
RAW: Final = {
    each.alias: PLAIN_WRITERS[each.datatype][1](each.value) for each in BORN if each.datatype
}


def figures() -> list[Figure]:
    """Metrics a second of decoding and encoding on one core."""
    return [_decode(), _encode(), _edge_data()]


def _decode() -> Figure:
    """DATA by alias, as `HostSession` reads it."""
    raw, catalogue = _data(), declare(BORN)

    def ours() -> object:
        return values_of_data(PLACE, catalogue, parse(raw), AT_MS)

    def bare() -> object:
        wire = new_payload()
        wire.ParseFromString(raw)
        return [
            (alias := metric.alias, metric.timestamp, getattr(metric, FIELDS[alias]))
            for metric in wire.metrics
        ]

    return _figure("sparkplug decode", ours, bare, "upb parse + field read", ">= 0.56")


def _encode() -> Figure:
    """A payload of metrics by alias, with their types."""
    payload = Payload(tuple(each._replace(name=None) for each in BORN), AT_MS, 1)
    return _figure(
        "sparkplug encode",
        lambda: encode(payload),
        lambda: _build(typed=True),
        "upb build + serialize",
        ">= 0.40",
    )


def _edge_data() -> Figure:
    """DATA of an edge node's session, which also looks up aliases and types."""
    edge, changes = _edge(), [Change(each.name or "", each.value, AT_MS) for each in BORN]
    return _figure(
        "sparkplug edge DATA",
        lambda: edge.data(changes, AT_MS),
        lambda: _build(typed=False),
        "upb build + serialize",
        ">= 0.40",
    )


def _edge() -> EdgeNode:
    edge = EdgeNode(PLACE.group, PLACE.edge_node, 0)
    edge.node_birth(BORN, AT_MS)
    return edge


def _data() -> bytes:
    changes = [Change(each.name or "", each.value, AT_MS) for each in BORN]
    return _edge().data(changes, AT_MS).payload


def _build(*, typed: bool) -> bytes:
    wire = new_payload()
    wire.timestamp = AT_MS
    wire.seq = 1
    for each in BORN:
        metric = wire.metrics.add()
        metric.alias = each.alias
        metric.timestamp = each.timestamp_ms
        if typed:
            metric.datatype = each.datatype
        setattr(metric, FIELDS[each.alias], RAW[each.alias])
    raw: bytes = wire.SerializeToString()
    return raw


def _figure(
    path: str, ours: Callable[[], object], bare: Callable[[], object], ceiling_is: str, target: str
) -> Figure:
    taken: dict[Callable[[], object], list[float]] = {ours: [], bare: []}
    for _ in range(ROUNDS):
        for call, seconds in taken.items():
            seconds.append(_seconds(call))
    rate, ceiling = (METRICS * CALLS / min(seconds) for seconds in taken.values())
    return Figure(path, rate, "metrics/s", ceiling, ceiling_is, target)


def _seconds(call: Callable[[], object]) -> float:
    started = time.perf_counter()
    for _ in range(CALLS):
        call()
    return time.perf_counter() - started
