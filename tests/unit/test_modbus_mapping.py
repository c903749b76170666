import json
import math
import re
import string
import struct
import subprocess
import sys
from collections.abc import Mapping, Sequence
from itertools import combinations
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import settings as settings_of_hypothesis
from hypothesis import strategies as st
from pydantic import ValidationError
from pymodbus.client.mixin import ModbusClientMixin
from ruamel.yaml import YAML

from bridges import PROTOCOLS
from bridges.modbus.config import BIT_TABLES, ModbusSettings, ModbusSource
from bridges.modbus.errors import UnreadableError
from bridges.modbus.mapping import (
    Block,
    Point,
    Refusal,
    changed,
    decode,
    halves,
    next_due_s,
    plan,
    points_of,
    readings,
)
from uns.model.namespace import parse_namespace
from uns.model.observation import Reading
from uns.model.plant import Place, TagSpec

ROOT = Path(__file__).parents[2]
README = ROOT / "bridges" / "modbus" / "README.md"
GOLDEN = sorted((ROOT / "tests" / "golden" / "modbus").iterdir())
PLANT = parse_namespace((ROOT / "namespace.yaml").read_text(), "namespace.yaml", PROTOCOLS)
CELL = "acme/berlin/assembly/pump/press"
NUMBERS = {
    "uint16": (">H", ModbusClientMixin.DATATYPE.UINT16),
    "int16": (">h", ModbusClientMixin.DATATYPE.INT16),
    "uint32": (">I", ModbusClientMixin.DATATYPE.UINT32),
    "int32": (">i", ModbusClientMixin.DATATYPE.INT32),
    "uint64": (">Q", ModbusClientMixin.DATATYPE.UINT64),
    "int64": (">q", ModbusClientMixin.DATATYPE.INT64),
    "float32": (">f", ModbusClientMixin.DATATYPE.FLOAT32),
    "float64": (">d", ModbusClientMixin.DATATYPE.FLOAT64),
}


def settings(**given_: Any) -> ModbusSettings:
    return ModbusSettings(host="plc", **given_)


def source(**keys: Any) -> ModbusSource:
    return ModbusSource.model_validate({"address": 0, **keys})


def places(tags: dict[str, dict[str, Any]]) -> dict[str, Place]:
    specs = {name: TagSpec(source=keys) for name, keys in tags.items()}
    cell = PLANT.cells[CELL].cell.model_copy(update={"tags": specs})
    return {CELL: PLANT.cells[CELL].model_copy(update={"cell": cell})}


def registers_of(encoded: bytes) -> list[int]:
    return list(struct.unpack(f">{len(encoded) // 2}H", encoded))


# --- decoding -------------------------------------------------------------------------------


@given(
    type_=st.sampled_from(sorted(NUMBERS)),
    word_order=st.sampled_from(["big", "little"]),
    pick=st.data(),
)
def test_every_number_reads_as_it_was_written(
    type_: str, word_order: Any, pick: st.DataObject
) -> None:
    layout, foreign_type = NUMBERS[type_]
    raw = pick.draw(st.binary(min_size=struct.calcsize(layout), max_size=struct.calcsize(layout)))
    written = struct.unpack(layout, raw)[0]
    registers = registers_of(raw)
    registers = registers if word_order == "big" else registers[::-1]
    if not math.isfinite(written):
        with pytest.raises(UnreadableError, match="no number"):
            decode(source(type=type_), registers, word_order)
        return
    value = decode(source(type=type_), registers, word_order)
    assert struct.pack(layout, value) == raw
    foreign = ModbusClientMixin.convert_from_registers(
        registers, foreign_type, word_order=word_order
    )
    assert struct.pack(layout, foreign) == struct.pack(layout, value)


def test_word_order_is_about_registers_not_about_bytes() -> None:
    assert decode(source(type="uint32"), [0x0001, 0x0203], "big") == 0x00010203
    assert decode(source(type="uint32"), [0x0203, 0x0001], "little") == 0x00010203
    assert decode(source(type="uint64"), [4, 3, 2, 1], "little") == 0x0001000200030004


def test_a_32_bit_float_reads_as_the_person_wrote_it() -> None:
    assert decode(source(type="float32"), registers_of(struct.pack(">f", 71.3)), "big") == 71.3


@pytest.mark.parametrize(
    ("encoded", "length", "text"),
    [
        (b"PO-1000\0\0\0\0\0\0\0\0\0", 16, "PO-1000"),
        (b"PO-1000         ", 16, "PO-1000"),
        (b"  PO-1000\0junk!\0", 16, "PO-1000"),
        (b"ABCD", 3, "ABC"),
        ("Gehäuse\0".encode() + b"\0", 10, "Gehäuse"),
        (b"\0\0\0\0", 4, ""),
        (b"    ", 4, ""),
    ],
)
def test_a_string_is_what_stands_before_the_first_nul(
    encoded: bytes, length: int, text: str
) -> None:
    registers = registers_of(encoded + b"\0" * (len(encoded) % 2))
    for word_order in ("big", "little"):
        assert decode(source(type="string", length=length), registers, word_order) == text


@pytest.mark.parametrize("encoded", [b"\xff\xfe\x00\x00", b"AB\x01\x02"])
def test_a_string_of_rubbish_is_no_value(encoded: bytes) -> None:
    with pytest.raises(UnreadableError, match="text: "):
        decode(source(type="string", length=4), registers_of(encoded), "big")


def test_scale_and_offset_give_the_engineering_value() -> None:
    assert decode(source(type="int16", scale=0.1), [3], "big") == 0.3
    assert decode(source(type="int16", scale=0.1, offset=-50), [0xFFFF], "big") == -50.1
    assert decode(source(type="uint16", scale=2), [21], "big") == 42
    whole = decode(source(type="uint16"), [21], "big")
    assert isinstance(whole, int)


def test_bits_and_registers_read_as_boolean() -> None:
    assert decode(source(table="coil", type="bool"), [True], "big") is True
    assert decode(source(table="discrete", type="bool"), [False], "big") is False
    assert decode(source(type="bool"), [4], "big") is True


# --- planning -------------------------------------------------------------------------------


@st.composite
def _points(draw: st.DrawFn) -> list[Point]:
    tables = st.sampled_from(["holding", "coil"])
    points = list[Point]()
    for i in range(draw(st.integers(0, 6))):
        table = draw(tables)
        keys: dict[str, Any] = {"table": table, "address": draw(st.integers(0, 40)), "type": "bool"}
        if table == "holding":
            keys |= {"type": draw(st.sampled_from(["uint16", "float32", "int64"]))}
        points.append(Point(CELL, f"t{i}", source(**keys)))
    return points


def _is_allowed(points: Sequence[Point], limits: ModbusSettings) -> bool:
    factor = 16 if points[0].source.table in BIT_TABLES else 1
    ordered = sorted(points, key=lambda point: point.start)
    end = ordered[0].start
    for point in ordered:
        if point.start - end > limits.gap_registers_max * factor:
            return False
        end = max(end, point.end)
    widest = max(point.source.width for point in points)
    return end - ordered[0].start <= max(widest, limits.block_registers_max * factor)


def _fewest(points: Sequence[Point], limits: ModbusSettings) -> int:
    if not points:
        return 0
    first, *rest = points
    return min(
        1 + _fewest([p for p in rest if p not in others], limits)
        for n in range(len(rest) + 1)
        for others in combinations(rest, n)
        if all(p.source.table == first.source.table for p in others)
        and _is_allowed([first, *others], limits)
    )


@settings_of_hypothesis(deadline=None)  # the proof by trying all partitions takes what it takes
@given(points=_points(), room=st.integers(1, 20), gap=st.integers(0, 6))
def test_the_plan_needs_the_fewest_requests(points: list[Point], room: int, gap: int) -> None:
    limits = settings(block_registers_max=room, gap_registers_max=gap)
    blocks = plan(points, limits)
    assert sorted(p.tag for b in blocks for p in b.points) == sorted(p.tag for p in points)
    for block in blocks:
        assert _is_allowed(block.points, limits)
        assert {p.source.table for p in block.points} == {block.table}
        assert block.start == min(p.start for p in block.points)
        assert block.end == max(p.end for p in block.points)
    assert len(blocks) == _fewest(points, limits)


def test_the_pump_line_of_the_example_plant_takes_three_requests() -> None:
    blocks = plan(points_of(PLANT.served_by("plc-assembly")), settings())
    assert [(b.start, b.size) for b in blocks] == [(0, 48), (100, 49), (200, 45)]


def test_a_value_wider_than_a_block_is_not_split() -> None:
    tags: dict[str, dict[str, Any]]
    tags = {"a": {"address": 0}, "wide": {"address": 1, "type": "float64"}, "b": {"address": 5}}
    blocks = plan(points_of(places(tags)), settings(block_registers_max=2))
    assert [(b.start, b.size) for b in blocks] == [(0, 1), (1, 4), (5, 1)]


def test_halves_cover_the_block_and_leave_out_the_gap() -> None:
    tags = {"a": {"address": 0}, "b": {"address": 1}, "c": {"address": 9}}
    (block,) = plan(points_of(places(tags)), settings())
    low, high = halves(block)
    assert (low.start, low.size, high.start, high.size) == (0, 1, 1, 9)
    assert halves(high)[1] == Block("holding", 9, 1, high.points[1:])


# --- readings -------------------------------------------------------------------------------


@pytest.mark.parametrize("folder", GOLDEN, ids=lambda folder: folder.name)
def test_golden_case(folder: Path) -> None:
    config, image, expected = (
        json.loads((folder / f"{name}.json").read_text())
        for name in ("config", "input", "expected")
    )
    limits = settings(**config["settings"])
    blocks = plan(points_of(places(config["tags"])), limits)
    assert [[b.table, b.start, b.size] for b in blocks] == expected["requests"]
    assert {
        reading.tag: [reading.value, reading.quality, reading.reason]
        for block in blocks
        for reading in readings(block, _reply(block, image), limits.word_order, 7)
    } == expected["readings"]


def _reply(block: Block, image: Mapping[str, Any]) -> Sequence[int] | Refusal:
    values = image[block.table]
    if isinstance(values, dict):
        return Refusal(values["exception"])
    return [int(values[i]) for i in range(block.start, block.end)]


def test_an_exception_is_named_in_words_for_every_tag_of_its_block() -> None:
    (block,) = plan(points_of(places({"a": {"address": 0}, "b": {"address": 1}})), settings())
    batch = readings(block, Refusal(11), "big", 99)
    reason = "gateway target device failed to respond (exception 11)"
    assert batch == [Reading(CELL, tag, None, 99, "bad", reason) for tag in "ab"]
    assert Refusal(77).reason == "unknown (exception 77)"


def test_only_what_says_something_new_is_news() -> None:
    known = {(CELL, "a"): Reading(CELL, "a", 1, 10)}
    assert changed(known, [Reading(CELL, "a", 1, 11)]) == []
    bad = {(CELL, "a"): Reading(CELL, "a", None, 10, "bad", "server device busy (exception 6)")}
    other = Reading(CELL, "a", None, 11, "bad", "illegal data address (exception 2)")
    assert changed(bad, [other]) == [other]
    for new in (
        Reading(CELL, "a", 2, 11),
        Reading(CELL, "b", 1, 11),
        Reading(CELL, "a", None, 11, "bad", "illegal data address (exception 2)"),
    ):
        assert changed(known, [new]) == [new]


@given(
    due=st.floats(0, 1e5),
    late=st.floats(0, 1e3),
    period=st.floats(0.01, 60),
    beats=st.integers(1, 9),
)
def test_the_rhythm_neither_drifts_nor_doubles(
    due: float, late: float, period: float, beats: int
) -> None:
    now = due + late
    following = next_due_s(due, now, period)
    assert now - 1e-6 <= following <= now + period + 1e-6
    assert abs((following - due) / period - round((following - due) / period)) < 1e-3
    punctual = due
    for _ in range(beats):
        punctual = next_due_s(punctual, punctual, period)
    assert punctual == pytest.approx(due + beats * period)


# --- configuration --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"type": "string"}, "'length' belongs to type 'string'"),
        ({"type": "uint16", "length": 2}, "'length' belongs to type 'string'"),
        ({"table": "coil"}, "holds bits: say type: bool"),
        ({"table": "discrete", "type": "float32"}, "holds bits: say type: bool"),
        ({"type": "string", "length": 4, "scale": 2}, "belong to numbers"),
        ({"type": "bool", "offset": 1}, "belong to numbers"),
        ({"type": "float32", "address": 65_535}, "pass the table's end"),
        ({"scale": math.nan}, "finite"),
        ({"adress": 3}, "Extra inputs"),
    ],
)
def test_a_source_that_cannot_be_meant_is_refused(keys: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=re.escape(message)):
        source(**keys)


def test_the_readme_shows_what_its_snippet_prints() -> None:
    text = README.read_text()
    (snippet,) = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    printed = subprocess.run(
        [sys.executable, "-c", snippet], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout
    assert printed.strip()
    assert printed.strip() in text


def test_the_readme_sample_is_valid() -> None:
    (sample,) = re.findall(r"```yaml\n(.*?)```", README.read_text(), re.DOTALL)
    document = YAML(typ="safe").load(sample)
    for bridge in document["bridges"].values():
        assert bridge.pop("protocol") == "modbus"
        ModbusSettings.model_validate(bridge)
    assert document["tags"]
    for tag in document["tags"].values():
        ModbusSource.model_validate(TagSpec.model_validate(tag).source)


def test_texts_of_every_length_survive() -> None:
    for length in range(1, 121):
        text = (string.ascii_letters * 3)[:length]
        encoded = text.encode() + b"\0" * (length % 2)
        assert decode(source(type="string", length=length), registers_of(encoded), "big") == text
