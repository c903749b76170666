import math
import re
import struct
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError
from ruamel.yaml import YAML

from bridges import PROTOCOLS
from bridges.opcua.config import OpcUaSettings, OpcUaSource
from bridges.opcua.mapping import Address, Sample, addresses_of, reading, unreadable
from uns.model.namespace import parse_namespace
from uns.model.observation import Reading
from uns.model.plant import TagSpec

ROOT = Path(__file__).parents[2]
README = ROOT / "bridges" / "opcua" / "README.md"
SAW = "acme/berlin/machining/housing/saw"
GOOD = Address(SAW, "good", "s=Saw.Good")
AT = datetime(2025, 12, 10, 6, 0, 0, 123_456, tzinfo=UTC)
AT_MS = 1_765_346_400_123
NOW_MS = 1_800_000_000_000


def sample(value: Any = 1, type_name: str | None = "Int32", **given_: Any) -> Sample:
    keys = {"status": 0, "status_name": "Good", "source_at": AT, "server_at": None, **given_}
    return Sample(value, type_name, **keys)


def said(value: Any = 1, type_name: str | None = "Int32", **given_: Any) -> Reading:
    return reading(GOOD, sample(value, type_name, **given_), NOW_MS)


@pytest.mark.parametrize(
    ("value", "type_name"),
    [
        (True, "Boolean"),
        (-1, "SByte"),
        (255, "Byte"),
        (-2, "Int16"),
        (65_535, "UInt16"),
        (7, "Int32"),
        (4_294_967_295, "UInt32"),
        (-(2**63), "Int64"),
        (2**64 - 1, "UInt64"),
        (0.1, "Double"),
        ("PO-1000", "String"),
    ],
)
def test_plain_values_pass_unchanged(value: Any, type_name: str) -> None:
    read = said(value, type_name)
    assert read == Reading(SAW, "good", value, AT_MS)
    assert type(read.value) is type(value)


def test_a_32_bit_float_reads_as_the_person_wrote_it() -> None:
    assert said(struct.unpack(">f", struct.pack(">f", 71.3))[0], "Float").value == 71.3


@given(st.floats(width=32, allow_nan=False, allow_infinity=False))
def test_a_32_bit_float_stays_the_same_float(value: float) -> None:
    shown = said(value, "Float").value
    assert isinstance(shown, float)
    assert struct.pack(">f", shown) == struct.pack(">f", value)


def test_a_null_string_clears() -> None:
    assert said(None, "String") == Reading(SAW, "good", "", AT_MS)


@pytest.mark.parametrize(
    ("value", "type_name", "reason"),
    [
        (math.nan, "Double", "the Double is nan, no value"),
        (math.inf, "Float", "the Float is inf, no value"),
        (None, "Int32", "the Int32 is None, no value"),
        (None, None, "the server sent no value"),
        ([1, 2], "Int32", "an array of Int32: a tag holds a number, a text or a boolean"),
        (AT, "DateTime", "of type DateTime: a tag holds a number, a text or a boolean"),
        (b"x", "ByteString", "of type ByteString: a tag holds a number, a text or a boolean"),
        (
            object(),
            "ExtensionObject",
            "of type ExtensionObject: a tag holds a number, a text or a boolean",
        ),
    ],
)
def test_what_no_tag_can_hold_is_bad_with_its_reason(
    value: Any, type_name: str | None, reason: str
) -> None:
    assert said(value, type_name) == Reading(SAW, "good", None, AT_MS, "bad", reason)


@pytest.mark.parametrize(
    ("status", "quality", "value"),
    [
        (0x0000_0000, "good", 1),
        (0x0096_0000, "good", 1),  # GoodLocalOverride
        (0x0000_0480, "good", 1),  # Good, with the overflow bit
        (0x4090_0000, "uncertain", 1),  # UncertainLastUsableValue
        (0x808A_0000, "bad", None),  # BadNotConnected
        (0xC000_0000, "bad", None),  # reserved: bad (part 4, 7.38)
    ],
)
def test_the_severity_of_the_status_is_the_quality(status: int, quality: str, value: Any) -> None:
    read = said(status=status, status_name="TheName")
    assert (read.quality, read.value) == (quality, value)
    assert read.reason == (None if quality == "good" else "TheName")


@pytest.mark.parametrize(
    ("source_at", "server_at", "at_ms"),
    [
        (AT, AT + timedelta(seconds=5), AT_MS),
        (None, AT, AT_MS),
        (AT.replace(tzinfo=None), None, AT_MS),
        (datetime(1601, 1, 1, tzinfo=UTC), AT, AT_MS),
        (None, None, NOW_MS),
    ],
)
def test_the_time_is_the_sources_then_the_servers_then_ours(
    source_at: datetime | None, server_at: datetime | None, at_ms: int
) -> None:
    assert said(source_at=source_at, server_at=server_at).at_ms == at_ms


def test_an_unreadable_tag_has_no_value() -> None:
    assert unreadable(GOOD, "BadNodeIdUnknown", 5) == Reading(
        SAW, "good", None, 5, "bad", "BadNodeIdUnknown"
    )


def test_every_tag_of_the_example_line_has_its_node() -> None:
    plant = parse_namespace((ROOT / "namespace.yaml").read_text(), "namespace.yaml", PROTOCOLS)
    addresses = addresses_of(plant.served_by("plc-machining"))
    assert GOOD in addresses
    tags = sum(len(place.cell.tags) for place in plant.served_by("plc-machining").values())
    assert len(set(addresses)) == len(addresses) == tags


@pytest.mark.parametrize(
    "node",
    ["i=4294967296", "i=-1", "g=no-guid", "b=no base64!", "Saw.Good", "ns=2;s=Saw.Good", "s=", ""],
)
def test_a_node_that_cannot_be_is_refused(node: str) -> None:
    with pytest.raises(ValidationError):
        OpcUaSource(node=node)


@pytest.mark.parametrize(
    "node",
    ["i=0", "i=4294967295", "s=Saw;Good=1", "g=09087e75-8e5e-499b-954f-f2a9603db28a", "b=TTdX"],
)
def test_every_kind_of_identifier_is_taken(node: str) -> None:
    assert OpcUaSource(node=node).node == node


@pytest.mark.parametrize(
    "url", ["http://h:1", "opc.tcp://h", "opc.tcp://u:p@h:4840", "opc.tcp://h:4840/a b"]
)
def test_an_url_that_cannot_be_used_or_would_leak_is_refused(url: str) -> None:
    with pytest.raises(ValidationError):
        OpcUaSettings(url=url, namespace_uri="urn:x")


def test_the_readme_shows_what_its_snippet_prints() -> None:
    text = README.read_text()
    (snippet,) = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    printed = subprocess.run(
        [sys.executable, "-c", snippet], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout
    assert printed.strip()
    assert printed.strip() in text


def test_the_readme_sample_is_valid() -> None:
    (sample_,) = re.findall(r"```yaml\n(.*?)```", README.read_text(), re.DOTALL)
    document = YAML(typ="safe").load(sample_)
    for bridge in document["bridges"].values():
        assert bridge.pop("protocol") == "opcua"
        OpcUaSettings.model_validate(bridge)
    assert document["tags"]
    for tag in document["tags"].values():
        OpcUaSource.model_validate(TagSpec.model_validate(tag).source)
