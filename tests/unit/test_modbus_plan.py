import json
import math
import re
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
from ruamel.yaml import YAML

from bridges import PROTOCOLS
from bridges.modbus.answers import EXCEPTIONS, Refusal, Reply, changed, readings
from bridges.modbus.config import BIT_TABLES, EVERY_DEVICE, ModbusSettings, ModbusSource
from bridges.modbus.plan import Block, Point, halves, next_due_s, plan, units_of
from uns.model.namespace import NamespaceError, parse_namespace
from uns.model.observation import Reading
from uns.model.plant import Place, TagSpec

ROOT = Path(__file__).parents[2]
README = ROOT / "bridges" / "modbus" / "README.md"
GOLDEN = sorted((ROOT / "tests" / "golden" / "modbus").iterdir())
TEXT = (ROOT / "namespace.yaml").read_text()
PLANT = parse_namespace(TEXT, "namespace.yaml", PROTOCOLS)
CELL = "acme/berlin/assembly/pump/press"


def settings(**given_: Any) -> ModbusSettings:
    return ModbusSettings(host="plc", **given_)


def source(**keys: Any) -> ModbusSource:
    return ModbusSource.model_validate({"address": 0, **keys})


def places(tags: dict[str, dict[str, Any]]) -> dict[str, Place]:
    specs = {name: TagSpec(source=keys) for name, keys in tags.items()}
    cell = PLANT.cells[CELL].cell.model_copy(update={"tags": specs})
    return {CELL: PLANT.cells[CELL].model_copy(update={"cell": cell})}


def points_of(places_: dict[str, Place]) -> list[Point]:
    """The points of the one unit that there is."""
    ((_, points),) = units_of(places_, settings()).items()
    return points


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
    is_bits = points[0].source.table in BIT_TABLES
    factor = 16 if is_bits else 1
    room = limits.block_bits_max if is_bits else limits.block_registers_max
    ordered = sorted(points, key=lambda point: point.start)
    end = ordered[0].start
    for point in ordered:
        if point.start - end > limits.gap_registers_max * factor:
            return False
        end = max(end, point.end)
    widest = max(point.source.width for point in points)
    return end - ordered[0].start <= max(widest, room)


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
@given(points=_points(), room=st.integers(1, 20), bits=st.integers(1, 50), gap=st.integers(0, 6))
def test_the_plan_needs_the_fewest_requests(
    points: list[Point], room: int, bits: int, gap: int
) -> None:
    limits = settings(block_registers_max=room, block_bits_max=bits, gap_registers_max=gap)
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
    ((_, points),) = units_of(places(config["tags"]), limits).items()
    blocks = plan(points, limits)
    assert [[b.table, b.start, b.size] for b in blocks] == expected["requests"]
    assert {
        reading.tag: [reading.value, reading.quality, reading.reason]
        for block in blocks
        for reading in readings(block, Reply(_reply(block, image), 7))
    } == expected["readings"]


def _reply(block: Block, image: Mapping[str, Any]) -> Sequence[int] | Refusal:
    values = image[block.table]
    if isinstance(values, dict):
        return Refusal(values["exception"])
    return [int(values[i]) for i in range(block.start, block.end)]


def test_an_exception_is_named_in_words_for_every_tag_of_its_block() -> None:
    (block,) = plan(points_of(places({"a": {"address": 0}, "b": {"address": 1}})), settings())
    batch = readings(block, Reply(Refusal(11), 99))
    reason = "gateway target device failed to respond (exception 11)"
    assert batch == [Reading(CELL, tag, None, 99, "bad", reason) for tag in "ab"]
    assert Refusal(77).reason == "unknown (exception 77)"


def test_every_code_of_the_standard_has_its_words() -> None:
    assert set(EXCEPTIONS) == {1, 2, 3, 4, 5, 6, 8, 10, 11}


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
        ({"scale": 0}, "every value the same"),
        ({"bit": 3}, "'bit' belongs to type 'bool'"),
        ({"table": "coil", "type": "bool", "bit": 3}, "'bit' belongs to type 'bool'"),
        ({"type": "int16", "bits": [1, 2]}, "'bits' belongs to type 'uint16'"),
        ({"bits": [6, 4]}, "the lowest and the highest"),
        ({"type": "bool", "bit": 16}, "less than or equal to 15"),
        ({"adress": 3}, "Extra inputs"),
    ],
)
def test_a_source_that_cannot_be_meant_is_refused(keys: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=re.escape(message)):
        source(**keys)


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({}, "transport 'tcp' needs 'host'"),
        ({"transport": "serial"}, "needs 'device'"),
        ({"transport": "serial", "device": "/dev/ttyS0", "port": 3}, "'port' does not belong"),
        ({"host": "plc", "baud_rate": 9_600}, "'baud_rate' does not belong to transport 'tcp'"),
        ({"host": "plc", "transport": "rtu-over-tcp", "unit": 0}, "unit 0"),
    ],
)
def test_settings_that_cannot_be_meant_are_refused(keys: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=re.escape(message)):
        ModbusSettings.model_validate(keys)


def test_a_tag_of_every_device_of_a_serial_line_is_refused() -> None:
    text = TEXT.replace("address: 0, type: uint16", "address: 0, type: uint16, unit: 0")
    assert parse_namespace(text, "namespace.yaml", PROTOCOLS), "a TCP device may have it"
    text = text.replace("protocol: modbus", "protocol: modbus\n    transport: rtu-over-tcp")
    with pytest.raises(NamespaceError) as caught:
        parse_namespace(text, "namespace.yaml", PROTOCOLS)
    (fault,) = caught.value.faults
    assert fault.message == f"{EVERY_DEVICE}: say which one"
    assert text.splitlines()[fault.line - 1][fault.column - 1 :].startswith("unit: 0}")


def test_a_source_says_what_the_settings_do_not() -> None:
    tags: dict[str, dict[str, Any]]
    tags = {"a": {"address": 0}, "b": {"address": 0, "unit": 3, "byte_order": "little"}}
    units = units_of(places(tags), settings(unit=7, word_order="little"))
    found = {
        unit: [(p.tag, p.source.word_order, p.source.byte_order) for p in points]
        for unit, points in units.items()
    }
    assert found == {7: [("a", "little", "big")], 3: [("b", "little", "little")]}


def test_the_readme_shows_what_its_snippet_prints() -> None:
    text = README.read_text()
    (snippet,) = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    printed = subprocess.run(
        [sys.executable, "-c", snippet], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout
    assert printed.strip()
    assert printed.strip() in text


@pytest.mark.parametrize("sample", re.findall(r"```yaml\n(.*?)```", README.read_text(), re.DOTALL))
def test_the_readme_samples_are_valid_and_can_be_planned(sample: str) -> None:
    document = YAML(typ="safe").load(sample)
    ((_, bridge),) = document["bridges"].items()
    assert bridge.pop("protocol") == "modbus"
    parsed = ModbusSettings.model_validate(bridge)
    specs = {name: TagSpec.model_validate(tag) for name, tag in document["tags"].items()}
    cell = PLANT.cells[CELL].cell.model_copy(update={"tags": specs})
    units = units_of({CELL: PLANT.cells[CELL].model_copy(update={"cell": cell})}, parsed)
    planned = [p.tag for points in units.values() for b in plan(points, parsed) for p in b.points]
    assert sorted(planned) == sorted(specs)
