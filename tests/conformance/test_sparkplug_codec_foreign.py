"""What test_sparkplug_foreign leaves: arrays and limits with pysparkplug, compression with npm."""

import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tools.apart import PYSPARKPLUG
from uns.sparkplug.datatype import DataType
from uns.sparkplug.payload import decode, encode
from uns.sparkplug.values import Metric, Payload

HERE = Path(__file__).parent
MODULES = HERE.parent / "node" / "node_modules"
AT_MS = 1_765_432_100_123
REPLY_S_MAX = 30

VALUES: list[tuple[DataType, Any]] = [
    *((DataType.INT8, value) for value in (0, 127)),
    *((DataType.INT16, value) for value in (0, 32_767)),
    *((DataType.INT32, value) for value in (0, 2**31 - 1, -1, -(2**31))),
    *((DataType.INT64, value) for value in (0, 2**63 - 1, -1, -(2**63))),
    *((DataType.UINT8, value) for value in (0, 255)),
    *((DataType.UINT16, value) for value in (0, 65_535)),
    *((DataType.UINT32, value) for value in (0, 2**32 - 1)),
    *((DataType.UINT64, value) for value in (0, 2**64 - 1)),
    *((DataType.FLOAT, value) for value in (0.0, -1.5, 3.4028234663852886e38)),
    *((DataType.DOUBLE, value) for value in (0.1, -1.7976931348623157e308, 5e-324)),
    *((DataType.BOOLEAN, value) for value in (True, False)),
    *((kind, "Größe ✓") for kind in (DataType.STRING, DataType.TEXT, DataType.UUID)),
    *((DataType.DATETIME, value) for value in (0, AT_MS)),
    *((kind, b"\x00\xff") for kind in (DataType.BYTES, DataType.FILE)),
    (DataType.INT8_ARRAY, (-128, 0, 127)),
    (DataType.INT16_ARRAY, (-(2**15), 2**15 - 1)),
    (DataType.INT32_ARRAY, (-(2**31), 2**31 - 1)),
    (DataType.INT64_ARRAY, (-(2**63), 2**63 - 1)),
    (DataType.UINT8_ARRAY, (0, 255)),
    (DataType.UINT16_ARRAY, (0, 65_535)),
    (DataType.UINT32_ARRAY, (0, 2**32 - 1)),
    (DataType.UINT64_ARRAY, (0, 2**64 - 1)),
    (DataType.FLOAT_ARRAY, (-1.5, 0.0)),
    (DataType.DOUBLE_ARRAY, (0.1, -1e308)),
    (DataType.BOOLEAN_ARRAY, (True, False) * 5 + (True,)),
    (DataType.BOOLEAN_ARRAY, ()),
    (DataType.STRING_ARRAY, ("a", "", "ü")),
    (DataType.DATETIME_ARRAY, (0, AT_MS)),
]


def run(argv: list[str | Path], sent: str, **environ: str) -> str:
    done = subprocess.run(
        argv,
        input=sent,
        capture_output=True,
        text=True,
        check=False,
        timeout=REPLY_S_MAX,
        env={**os.environ, **environ},
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def lacking(what: str) -> None:
    if os.environ.get("CI") == "true":
        pytest.fail(f"needs {what}")
    pytest.skip(f"needs {what}")


def decoded(raw: bytes) -> Payload:
    payload = decode(raw)
    assert isinstance(payload, Payload), payload
    return payload


# --- pysparkplug


def ask_python(*metrics: Metric) -> list[list[Any]]:
    if not PYSPARKPLUG.program("python").exists():
        lacking("pysparkplug in its own environment")
    sent = encode(Payload(metrics, AT_MS, 0)).hex()
    answer: list[list[Any]] = json.loads(
        run([PYSPARKPLUG.program("python"), HERE / "pysparkplug_peer.py"], sent)
    )
    return answer


def as_json(value: Any) -> Any:
    if isinstance(value, tuple):
        return [as_json(each) for each in value]
    return value.hex() if isinstance(value, bytes) else value


@pytest.mark.tck("payloads-metric-datatype-value-type", "payloads-metric-datatype-value")
def test_every_type_goes_to_pysparkplug_and_comes_back() -> None:
    metrics = [
        Metric(f"m{place}", value, kind, AT_MS) for place, (kind, value) in enumerate(VALUES)
    ]
    answers = ask_python(*metrics)
    assert [answer[:3] for answer in answers] == [
        [metric.name, metric.datatype, as_json(metric.value)] for metric in metrics
    ]
    again = [decoded(bytes.fromhex(answer[3])).metrics[0] for answer in answers]
    assert again == metrics


def test_a_null_goes_to_pysparkplug_and_comes_back() -> None:
    null = Metric("m", None, DataType.DOUBLE, AT_MS, alias=7, is_transient=True)
    ((name, kind, value, again),) = ask_python(null)
    assert (name, kind, value) == ("m", DataType.DOUBLE, None)
    assert decoded(bytes.fromhex(again)).metrics == (null,)


@pytest.mark.parametrize(("kind", "value"), [(DataType.INT8, -87), (DataType.INT16, -87)])
def test_pysparkplug_refuses_a_short_negative_as_the_reference_implementation_writes_it(
    kind: DataType, value: int
) -> None:
    """Its fault: it takes two's complement of the type's own width only.

    Written that way, sparkplug-payload would take -87 for 169 (see uns.sparkplug.datatype).
    """
    ((_, _, said, _),) = ask_python(Metric("m", value, kind))
    assert "overflow with value 4294967209" in said


# --- npm sparkplug-client


@pytest.mark.node
@pytest.mark.parametrize("options", [{}, {"algorithm": "GZIP"}, {"algorithm": "DEFLATE"}])
def test_what_sparkplug_client_compresses_is_read(options: dict[str, str]) -> None:
    program = shutil.which("node")
    if not program or not (MODULES / "sparkplug-client").is_dir():
        lacking("Node.js and tests/node/node_modules/sparkplug-client")
    metrics = [{"name": f"level {place}", "type": "Int16", "value": -place} for place in range(50)]
    request = {
        "payload": {"timestamp": 5, "seq": 3, "metrics": metrics},
        "options": {"compress": True, **options},
    }
    peer = HERE / "sparkplug_envelope_peer.cjs"
    raw = bytes.fromhex(run([str(program), peer], json.dumps(request), NODE_PATH=str(MODULES)))
    assert b"SPBV1.0_COMPRESSED" in raw
    payload = decoded(raw)
    assert (payload.timestamp_ms, payload.seq) == (5, 3)
    assert [(m.name, m.value) for m in payload.metrics] == [
        (f"level {place}", -place) for place in range(50)
    ]
