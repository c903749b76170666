"""Payloads against the npm package sparkplug-payload, both ways; our host and sparkplug-client.

The packages know no arrays, so they are not here: the examples of the specification stand in.
"""

import asyncio
import json
import os
import shutil
import subprocess
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from bridges.sparkplug.profile import Version
from bridges.sparkplug.profile_host import HostOptions, HostProfile
from tests.brokers import RunningBroker, bounded, until
from uns.sparkplug.datatype import DataType
from uns.sparkplug.edge import EdgeNode
from uns.sparkplug.host import HostSession
from uns.sparkplug.outputs import MetricValue
from uns.sparkplug.payload import decode, encode
from uns.sparkplug.values import (
    DataSet,
    MetaData,
    Metric,
    Parameter,
    Payload,
    Property,
    Template,
)

pytestmark = pytest.mark.node

PEER = Path(__file__).with_name("sparkplug_peer.cjs")
EDGE_PEER = Path(__file__).with_name("sparkplug_edge_peer.cjs")
MODULES = Path(__file__).parents[1] / "node" / "node_modules"
AT_MS = 1_765_432_100_123
REPLY_S_MAX = 30

# name in the package, ours, values
SCALARS: list[tuple[str, DataType, list[Any]]] = [
    ("Int8", DataType.INT8, [0, 1, 127, -1, -87, -128]),
    ("Int16", DataType.INT16, [0, 32_767, -1, -32_768]),
    ("Int32", DataType.INT32, [0, 2**31 - 1, -1, -(2**31)]),
    ("Int64", DataType.INT64, [0, 2**63 - 1, -1, -(2**63)]),
    ("UInt8", DataType.UINT8, [0, 255]),
    ("UInt16", DataType.UINT16, [0, 65_535]),
    ("UInt32", DataType.UINT32, [0, 2**31 - 1]),
    ("UInt64", DataType.UINT64, [0, 2**64 - 1]),
    ("Float", DataType.FLOAT, [0.0, -1.5, 3.4028234663852886e38]),
    ("Double", DataType.DOUBLE, [0.0, 0.1, -1.7976931348623157e308]),
    ("Boolean", DataType.BOOLEAN, [True, False]),
    ("String", DataType.STRING, ["", "Größe ✓"]),
    ("DateTime", DataType.DATETIME, [0, AT_MS]),
    ("Text", DataType.TEXT, ["a\nb"]),
    ("UUID", DataType.UUID, ["a7f1e5d0-0000-4000-8000-000000000000"]),
    ("Bytes", DataType.BYTES, [b"", b"\x00\xff"]),
    ("File", DataType.FILE, [b"\x7fELF"]),
]
CASES = [(name, kind, value) for name, kind, values in SCALARS for value in values]
LONGS = {DataType.INT64, DataType.UINT64, DataType.DATETIME}


@pytest.fixture(scope="module")
def node() -> str:
    program = shutil.which("node")
    if program and (MODULES / "sparkplug-payload").is_dir():
        return program
    reason = "needs Node.js and tests/node/node_modules/sparkplug-payload"
    if os.environ.get("CI") == "true":
        pytest.fail(reason)
    pytest.skip(reason)


def ask(node: str, request: dict[str, Any]) -> Any:
    done = subprocess.run(
        [node, str(PEER)],
        input=json.dumps(request).encode(),
        capture_output=True,
        check=False,
        timeout=REPLY_S_MAX,
        env={**os.environ, "NODE_PATH": str(MODULES)},
    )
    assert done.returncode == 0, done.stderr.decode()
    return json.loads(done.stdout)


def foreign_encode(node: str, payload: dict[str, Any]) -> Payload:
    decoded = decode(bytes.fromhex(ask(node, {"encode": payload})))
    assert isinstance(decoded, Payload), decoded
    return decoded


def foreign_decode(node: str, payload: Payload) -> Any:
    return ask(node, {"decode": encode(payload).hex()})


def to_foreign(kind: DataType, value: Any) -> Any:
    if isinstance(value, bytes):
        return {"hex": value.hex()}
    return {"long": str(value)} if kind in LONGS else value


def long(value: int) -> dict[str, str]:
    return {"long": str(value)}


# --- theirs to ours


def test_every_scalar_that_they_encode_is_read(node: str) -> None:
    metrics = [
        {"name": f"{name} {place}", "type": name, "value": to_foreign(kind, value)}
        for place, (name, kind, value) in enumerate(CASES)
    ]
    read = foreign_encode(node, {"timestamp": long(AT_MS), "seq": 0, "metrics": metrics})
    assert (read.timestamp_ms, read.seq) == (AT_MS, 0)
    assert [(m.datatype, m.value) for m in read.metrics] == [
        (kind, value) for _name, kind, value in CASES
    ]


def test_what_they_say_about_a_metric_is_read(node: str) -> None:
    metric = {
        "name": "m",
        "type": "Int32",
        "value": None,
        "alias": 0,
        "timestamp": long(AT_MS),
        "isHistorical": True,
        "isTransient": True,
        "properties": {
            "Quality": {"type": "Int32", "value": 500},
            "limits": {"type": "PropertySet", "value": {"low": {"type": "Double", "value": -1.5}}},
        },
        "metadata": {"fileName": "a.csv", "size": 7, "isMultiPart": False},
    }
    (read,) = foreign_encode(node, {"timestamp": 1, "metrics": [metric]}).metrics
    assert read == Metric(
        "m",
        None,
        DataType.INT32,
        AT_MS,
        alias=0,
        is_historical=True,
        is_transient=True,
        properties={
            "Quality": Property(DataType.INT32, 500),
            "limits": Property(DataType.PROPERTY_SET, {"low": Property(DataType.DOUBLE, -1.5)}),
        },
        metadata=MetaData(is_multi_part=False, file_name="a.csv", size=7),
    )


def test_their_tables_and_templates_are_read(node: str) -> None:
    table = {
        "numOfColumns": 2,
        "columns": ["id", "ok"],
        "types": ["UInt32", "Boolean"],
        "rows": [[1, True], [2, False]],
    }
    template = {
        "version": "1",
        "isDefinition": False,
        "templateRef": "pump",
        "metrics": [{"name": "rpm", "type": "Int16", "value": -5}],
        "parameters": [{"name": "gain", "type": "Float", "value": 0.5}],
    }
    read = foreign_encode(
        node,
        {
            "timestamp": 1,
            "metrics": [
                {"name": "table", "type": "DataSet", "value": table},
                {"name": "pump", "type": "Template", "value": template},
            ],
        },
    )
    assert [metric.value for metric in read.metrics] == [
        DataSet(("id", "ok"), (DataType.UINT32, DataType.BOOLEAN), ((1, True), (2, False))),
        Template(
            (Metric("rpm", -5, DataType.INT16),),
            (Parameter("gain", DataType.FLOAT, 0.5),),
            template_ref="pump",
            version="1",
        ),
    ]


def test_a_host_session_follows_their_edge_node(node: str) -> None:
    host = HostSession()
    birth = {
        "timestamp": long(AT_MS),
        "seq": 0,
        "metrics": [
            {"name": "bdSeq", "type": "Int64", "value": 0},
            {"name": "level", "type": "Int16", "value": -3, "alias": 1, "timestamp": long(AT_MS)},
        ],
    }
    data = {
        "timestamp": long(AT_MS + 1),
        "seq": 1,
        "metrics": [{"type": "Int16", "value": -4, "alias": 1, "timestamp": long(AT_MS + 1)}],
    }
    host.receive("spBv1.0/g/NBIRTH/e", bytes.fromhex(ask(node, {"encode": birth})), AT_MS)
    (value,) = host.receive("spBv1.0/g/NDATA/e", bytes.fromhex(ask(node, {"encode": data})), AT_MS)
    assert isinstance(value, MetricValue)
    assert (value.name, value.value, value.timestamp_ms) == ("level", -4, AT_MS + 1)


# --- ours to theirs


def test_every_scalar_that_we_encode_is_read_by_them(node: str) -> None:
    metrics = tuple(
        Metric(f"{name} {place}", value, kind, AT_MS, alias=place)
        for place, (name, kind, value) in enumerate(CASES)
    )
    read = foreign_decode(node, Payload(metrics, AT_MS, 255))
    assert (read["timestamp"], read["seq"]) == (long(AT_MS), long(255))
    assert [(m["type"], m["value"]) for m in read["metrics"]] == [
        (name, to_foreign(kind, value)) for name, kind, value in CASES
    ]
    assert [m["alias"] for m in read["metrics"]] == [long(place) for place in range(len(CASES))]


def test_what_we_say_about_a_metric_is_read_by_them(node: str) -> None:
    properties = {
        "Quality": Property(DataType.INT32, 0),
        "limits": Property(DataType.PROPERTY_SET, {"low": Property(DataType.DOUBLE, -1.5)}),
    }
    metric = Metric("m", None, DataType.DOUBLE, AT_MS, is_historical=True, properties=properties)
    (read,) = foreign_decode(node, Payload((metric,), AT_MS))["metrics"]
    assert (read["value"], read["isHistorical"]) == (None, True)
    assert read["properties"]["Quality"] == {"value": 0, "type": "Int32"}
    assert read["properties"]["limits"]["value"] == {"low": {"value": -1.5, "type": "Double"}}


def test_our_tables_and_templates_are_read_by_them(node: str) -> None:
    table = DataSet(("id", "name"), (DataType.UINT32, DataType.STRING), ((7, "a"), (8, "b")))
    template = Template(
        (Metric("rpm", -5, DataType.INT16),), (Parameter("gain", DataType.FLOAT, 0.5),), "pump"
    )
    metrics = (
        Metric("table", table, DataType.DATASET),
        Metric("pump", template, DataType.TEMPLATE),
    )
    seen_table, seen_template = (
        metric["value"] for metric in foreign_decode(node, Payload(metrics))["metrics"]
    )
    assert seen_table["rows"] == [[7, "a"], [8, "b"]]
    assert seen_table["columns"] == ["id", "name"]
    assert (seen_template["templateRef"], seen_template["isDefinition"]) == ("pump", False)
    assert seen_template["metrics"][0]["value"] == -5


def test_our_births_are_read_by_them(node: str) -> None:
    birth = EdgeNode("g", "e", 9).node_birth((Metric("m", -1, DataType.INT8),), AT_MS)
    read = ask(node, {"decode": birth.payload.hex()})
    assert read["seq"] == long(0)
    assert [(m["name"], m["type"], m["value"]) for m in read["metrics"]] == [
        ("bdSeq", "Int64", long(9)),
        ("Node Control/Rebirth", "Boolean", False),
        ("m", "Int8", -1),
    ]


# --- their edge node over a broker


@asynccontextmanager
async def foreign_edge(
    node: str, broker: RunningBroker
) -> AsyncIterator[asyncio.subprocess.Process]:
    where = broker.address()
    url = f"mqtt://{where.host}:{where.port}"
    process = await asyncio.create_subprocess_exec(
        *(node, str(EDGE_PEER), url, where.username or "", where.password or "", "g", "e", "d"),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env={**os.environ, "NODE_PATH": str(MODULES)},
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


async def told_by(process: asyncio.subprocess.Process) -> Any:
    assert process.stdout
    return json.loads(await process.stdout.readline())


def order(process: asyncio.subprocess.Process, line: str) -> None:
    assert process.stdin
    process.stdin.write(f"{line}\n".encode())


@pytest.mark.parametrize("version", ["3.1.1", "5"])
@bounded
async def test_our_host_follows_their_edge_node(
    node: str, mosquitto: RunningBroker, version: Version
) -> None:
    told: list[str] = []

    def say(what: str, **details: Any) -> None:
        told.append(" ".join([what, *(str(each) for each in details.values())]))

    options = HostOptions("h", [mosquitto.address()], version)
    host = HostProfile(options, lambda: time.time_ns() // 1_000_000, say)
    try:
        await host.order("on")
        await until(lambda: any(line.startswith("online") for line in told))
        async with foreign_edge(node, mosquitto) as edge:
            await until(lambda: "value g/e/d level -3" in told)
            order(edge, "level -4")
            await until(lambda: "value g/e/d level -4" in told)
            await host.order("rebirth g/e")
            assert await told_by(edge) == {"ncmd": ["Node Control/Rebirth"]}
            await until(lambda: told.count("born g/e/d") == 2)
            await host.order("write g/e/d -5 level")
            assert await told_by(edge) == {"dcmd": [7, -5]}
            await until(lambda: "value g/e/d level -5" in told)
            edge.kill()
            await until(lambda: any("stale g/e/d" in line and "died" in line for line in told))
        told.clear()
        async with foreign_edge(node, mosquitto) as edge:
            await until(lambda: "value g/e/d level -3" in told)
            order(edge, "stop")
            await until(lambda: any("stale g/e/d" in line and "died" in line for line in told))
        assert not [line for line in told if line.startswith(("rejected", "rebirth asked"))]
    finally:
        await host.close()
