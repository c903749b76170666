import math
import re
import struct
import subprocess
import sys
from base64 import b64decode
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError
from ruamel.yaml import YAML

from bridges import PROTOCOLS
from bridges.opcua.config import OpcUaSettings, OpcUaSource, identifier_of
from bridges.opcua.errors import REASON_LENGTH_MAX, UnreadableError, UnwritableError
from bridges.opcua.mapping import (
    Address,
    Sample,
    Single,
    items_of,
    reading,
    unreadable,
    writable_value,
)
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


@pytest.mark.parametrize(
    ("value", "type_name", "shown"),
    [
        (AT, "DateTime", "2025-12-10T06:00:00.123456Z"),
        (AT.replace(microsecond=0, tzinfo=None), "DateTime", "2025-12-10T06:00:00Z"),
        (datetime(1601, 1, 1, tzinfo=UTC), "DateTime", ""),
        (UUID(int=1), "Guid", "00000000-0000-0000-0000-000000000001"),
        (b"\x00\xff", "ByteString", "AP8="),
        ("text", "LocalizedText", "text"),
        ("ns=2;s=A", "NodeId", "ns=2;s=A"),
        ("BadNodeIdUnknown", "StatusCode", "BadNodeIdUnknown"),
    ],
)
def test_what_is_no_number_is_shown_as_text(value: Any, type_name: str, shown: str) -> None:
    assert said(value, type_name) == Reading(SAW, "good", shown, AT_MS)


def test_a_32_bit_float_reads_as_the_person_wrote_it() -> None:
    assert said(struct.unpack(">f", struct.pack(">f", 71.3))[0], "Float").value == 71.3


@given(st.floats(width=32, allow_nan=False, allow_infinity=False))
def test_a_32_bit_float_stays_the_same_float(value: float) -> None:
    shown = said(value, "Float").value
    assert isinstance(shown, float)
    assert struct.pack(">f", shown) == struct.pack(">f", value)


@pytest.mark.parametrize("type_name", ["String", "LocalizedText", "ByteString"])
def test_a_null_text_clears(type_name: str) -> None:
    assert said(None, type_name) == Reading(SAW, "good", "", AT_MS)


@pytest.mark.parametrize(
    ("value", "type_name", "reason"),
    [
        (math.nan, "Double", "the Double is nan, no value"),
        (math.inf, "Float", "the Float is inf, no value"),
        (None, "Int32", "the Int32 is None, no value"),
        (None, None, "the server sent no value"),
        (b"S\xe4ge".decode(errors="surrogateescape"), "String", "the text is not UTF-8"),
        ([1, 2], "Int32", "an array of Int32: say which element with 'path'"),
        ({"A": 1, "B": 2}, "ExtensionObject", "a structure of A, B: say which field with 'path'"),
        (UnreadableError("no definition"), "ExtensionObject", "no definition"),
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


def test_what_strangers_write_into_a_reason_is_printable_and_not_long() -> None:
    fields = {f"S\udce4ge\n{n}": 1 for n in range(1_000)}
    reason = said(fields, "ExtensionObject").reason
    assert reason is not None
    assert reason.startswith("a structure of S?ge?0, S?ge?1,")
    assert len(reason) == REASON_LENGTH_MAX


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("type_name", ["Double", "Float", "Int32", "Boolean", "String"])
def test_what_is_no_number_is_not_written(value: float, type_name: str) -> None:
    with pytest.raises(UnwritableError, match="is no number to write"):
        writable_value(value, type_name)


@pytest.mark.parametrize(
    ("node", "identifier"),
    [
        ("s=Saw;State=1", "Saw;State=1"),
        ("i=1001", 1001),
        ("g=09087e75-8e5e-499b-954f-f2a9603db28a", UUID("09087e75-8e5e-499b-954f-f2a9603db28a")),
        ("b=0xAB", b"\xd3\x10\x01"),
        ("b=M/RbKBsRVkePCePcx24oRA==", b64decode("M/RbKBsRVkePCePcx24oRA==")),
    ],
)
def test_an_identifier_is_read_by_its_kind(node: str, identifier: Any) -> None:
    assert identifier_of(node) == identifier


STEPS = {"Steps": [{"Temperature": Single(71.300003)}, {"Temperature": 5, "Name": "wash"}]}


@pytest.mark.parametrize(
    ("path", "value", "shown", "reason"),
    [
        ("[1]", [1, 2], 2, None),
        ("[1][0]", [[1, 2], [3, 4]], 3, None),
        ("Steps[0].Temperature", STEPS, 71.3, None),
        ("Steps[1].Name", STEPS, "wash", None),
        ("[2]", [1, 2], None, "[2]: the array has 2 elements"),
        ("[0]", 1, None, "[0]: the value is no array"),
        ("[0]", None, None, "[0]: the value is no array"),
        ("Low", [1, 2], None, "Low: the value is no structure"),
        ("Steps[1].Speed", STEPS, None, "no field Speed among Temperature, Name"),
        ("Steps", STEPS, None, "an array of ExtensionObject: say which element with 'path'"),
        ("Steps[0]", STEPS, None, "a structure of Temperature: say which field with 'path'"),
        ("Steps[0]", UnreadableError("no definition"), None, "no definition"),
    ],
)
def test_a_path_leads_to_a_part(path: str, value: Any, shown: Any, reason: str | None) -> None:
    steps = OpcUaSource(node="s=Recipe", path=path).steps
    read = reading(GOOD._replace(steps=steps), sample(value, "ExtensionObject"), NOW_MS)
    assert (read.value, read.quality, read.reason) == (shown, "bad" if reason else "good", reason)


@pytest.mark.parametrize(
    ("path", "steps"),
    [
        ("[3]", (3,)),
        ("Limits.High", ("Limits", "High")),
        ("Steps[2].Temperature", ("Steps", 2, "Temperature")),
        ("A[1][2].B C", ("A", 1, 2, "B C")),
    ],
)
def test_a_path_is_read_step_by_step(path: str, steps: tuple[int | str, ...]) -> None:
    assert OpcUaSource(node="s=A", path=path).steps == steps


@pytest.mark.parametrize("path", ["", ".A", "A.", "A..B", "[x]", "[-1]", "A[", "A]", "[1]B", "[1"])
def test_a_path_that_leads_nowhere_is_refused(path: str) -> None:
    with pytest.raises(ValidationError):
        OpcUaSource(node="s=A", path=path)


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


@pytest.mark.parametrize(
    ("status", "is_after_loss"),
    [
        (0x0000_0480, True),
        (0x4090_0480, True),
        (0x0000_0400, False),
        (0x0000_0080, False),  # the bit means something else without the info type
        (0x8000_0000, False),
    ],
)
def test_the_overflow_bit_says_that_values_are_missing(status: int, *, is_after_loss: bool) -> None:
    assert sample(status=status).is_after_loss is is_after_loss


SETTINGS = OpcUaSettings(url="opc.tcp://plc:4840", namespace_uri="urn:plc")


def test_every_tag_of_the_example_line_has_its_node() -> None:
    plant = parse_namespace((ROOT / "namespace.yaml").read_text(), "namespace.yaml", PROTOCOLS)
    items = items_of(SETTINGS, plant.served_by("plc-machining"))
    addresses = [address for item in items for address in item.addresses]
    assert GOOD in addresses
    tags = sum(len(place.cell.tags) for place in plant.served_by("plc-machining").values())
    assert len(set(addresses)) == len(addresses) == tags


def test_the_tags_of_a_node_share_one_item() -> None:
    plant = parse_namespace((ROOT / "namespace.yaml").read_text(), "namespace.yaml", PROTOCOLS)
    sources: dict[str, dict[str, Any]] = {
        "a": {"node": "i=1", "path": "[0]", "sampling_interval_ms": 50},
        "b": {"node": "i=1", "path": "[1]", "queue_size": 99},
        "c": {"node": "i=1", "namespace_uri": "urn:other"},
    }
    specs = {
        name: TagSpec(source=source, record="every" if name == "b" else "changes")
        for name, source in sources.items()
    }
    place = plant.cells[SAW]
    place = place.model_copy(update={"cell": place.cell.model_copy(update={"tags": specs})})
    shared, other = items_of(SETTINGS, {SAW: place})
    assert shared[:4] == ("urn:plc", "i=1", 50, 99)
    assert shared.addresses == (
        Address(SAW, "a", "i=1", (0,)),
        Address(SAW, "b", "i=1", (1,), is_recorded=True),
    )
    assert other[:4] == ("urn:other", "i=1", 100, 10)


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
