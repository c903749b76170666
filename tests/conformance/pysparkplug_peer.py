"""Decodes, and encodes again, with the Python package pysparkplug, in its own environment.

Standard input: one birth's payload as hex, a line; standard output: for each a JSON list of
[name, type, value, hex of the metric encoded by it], or [name, type, error, null]. Its values are
shown as Python writes them, a time in milliseconds.
"""

import datetime as dt
import json
import sys
from importlib import import_module
from typing import Any

peer: Any = import_module("pysparkplug")
wires: Any = import_module("pysparkplug._protobuf")


def plain(value: Any) -> Any:
    if isinstance(value, tuple):
        return [plain(each) for each in value]
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, dt.datetime):
        return round(value.timestamp() * 1000)
    return value


def read(wire: Any) -> list[Any]:
    try:
        metric = peer.Metric.from_pb(wire)
    except (OverflowError, NotImplementedError) as error:
        return [wire.name, wire.datatype, str(error), None]
    again = peer.NBirth(timestamp=1, seq=0, metrics=(metric,)).encode().hex()
    return [metric.name, metric.datatype, plain(metric.value), again]


for line in sys.stdin:
    payload = wires.Payload.FromString(bytes.fromhex(line))
    sys.stdout.write(json.dumps([read(wire) for wire in payload.metrics]) + "\n")
