"""`uns spc --plot`: the chart on record as SVG and as PNG, and what it says where there is none."""

import struct
import xml.etree.ElementTree as ET
import zlib
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from dashboards.report.control import Control, control_of, panels, picture
from dashboards.report.glyphs import dots
from dashboards.report.raster import SCALE, png
from processors.spc import build
from tests.example import HOUSING, MILL, numbered, plant
from tests.speech import NOON, new_writer, record, state
from tests.terminal import Cli
from uns.cli.folder import Folder
from uns.cli.run import store_url
from uns.fold import Document
from uns.historian.store import open_store

SVG = "{http://www.w3.org/2000/svg}"
BERLIN = ZoneInfo("Europe/Berlin")
BLUE, VERMILION, AMBER = (0, 114, 178), (213, 94, 0), (230, 159, 0)
VALUES = [40.0, 40.004, 39.997, 40.015, 40.0]


def documents(values: list[float]) -> dict[str, Document]:
    sample = {"type": "inspected", "path": MILL, "item": "housing-a"}
    rows: list[dict[str, Any]] = [
        {**sample, "at_ms": NOON + n, "sample_id": f"s{n}", "values": {"bore": value}}
        for n, value in enumerate(values)
    ]
    processor = build(plant())
    at = processor.initial(HOUSING)
    for event in numbered(rows):
        at = processor.fold(at, event).state
    return dict(processor.documents(at))


def control(values: list[float]) -> Control:
    (document,) = documents(values).values()
    found = control_of(plant(), MILL, document)
    assert found is not None
    return found


@pytest.fixture
def charted(stopped_hub: Folder) -> Folder:
    """A stopped hub of the example plant with a control chart on record."""
    stopped_hub.plant.write_text(plant().model_dump_json())
    store = open_store(store_url("duckdb", stopped_hub.root), lambda: NOON)
    for topic, document in documents(VALUES).items():
        record(new_writer(store), state(topic.partition("_state/")[2], 1, document, MILL))
    store.close()
    return stopped_hub


def test_a_chart_draws_each_point_on_each_panel_and_says_what_it_breaks() -> None:
    root = ET.fromstring(picture(control(VALUES), 900, BERLIN))  # noqa: S314 - our own drawing
    hints = [title.text or "" for title in root.iter(f"{SVG}title")]
    assert sum(hint.startswith("point ") for hint in hints) == 2 * len(VALUES) - 1
    (broken,) = [hint for hint in hints if "breaks x western-electric-1" in hint]
    assert broken.startswith("point 4, 2025-12-11")
    words = {text.text for text in root.iter(f"{SVG}text")}
    assert {"bore (mm) of housing-a at mill", "UCL 40.013", "LCL 39.987", "value"} <= words
    assert root.attrib["width"] == "900"


def test_a_chart_without_points_or_settings_is_none() -> None:
    (document,) = documents(VALUES).values()
    assert control_of(plant(), MILL, {**document, "points": []}) is None
    assert control_of(plant(), MILL, {**document, "limits": None}) is None
    assert control_of(plant(), MILL, {**document, "chart": "ewma"}) is None
    assert control_of(plant(), f"{HOUSING}/saw", document) is None


def pixels(image: bytes) -> tuple[int, int, set[tuple[int, ...]]]:
    """Width, height and colours of a PNG of 8-bit RGB without filters, each part checked."""
    assert image[:8] == b"\x89PNG\r\n\x1a\n"
    at, parts = 8, dict[bytes, bytes]()
    while at < len(image):
        (length,) = struct.unpack_from(">I", image, at)
        kind, content = image[at + 4 : at + 8], image[at + 8 : at + 8 + length]
        assert struct.unpack_from(">I", image, at + 8 + length) == (zlib.crc32(kind + content),)
        parts[kind], at = content, at + 12 + length
    width, height, *rest = struct.unpack(">IIBBBBB", parts[b"IHDR"])
    assert rest == [8, 2, 0, 0, 0]
    rows, step = zlib.decompress(parts[b"IDAT"]), width * 3 + 1
    assert len(rows) == step * height
    lines = [rows[n * step + 1 : (n + 1) * step] for n in range(height)]
    return width, height, {tuple(line[n : n + 3]) for line in lines for n in range(0, len(line), 3)}


def test_the_same_chart_is_a_png_with_its_lines_and_marks() -> None:
    width, height, colours = pixels(png(panels(control(VALUES), 600, BERLIN)))
    assert width == 600 * SCALE
    assert height > 400 * SCALE
    assert {BLUE, VERMILION, AMBER, (255, 255, 255)} <= colours
    _, _, calm = pixels(png(panels(control(VALUES[:3]), 600, BERLIN)))
    assert VERMILION not in calm


def test_letters_are_five_dots_wide_and_what_is_unknown_is_a_box() -> None:
    assert set(dots("-")) == {(x, 3) for x in range(5)}
    assert set(dots(" -")) == {(x + 6, 3) for x in range(5)}
    assert set(dots("a")) == set(dots("A"))
    assert set(dots("\N{OHM SIGN}")) == set(dots("#"))


def test_the_command_writes_the_chart_on_record(uns: Cli, charted: Folder, tmp_path: Path) -> None:
    where = ("--data", charted.root)
    told = uns("spc", "mill", "bore", "--plot", tmp_path / "bore.svg", *where).out
    assert "bore of housing-a: in control" in told
    assert (tmp_path / "bore.svg").read_text().startswith("<svg xmlns=")
    found = uns("spc", "mill", "bore", "--plot", tmp_path / "bore.png", "--json", *where).json
    assert (found["points"], found["item"]) == (len(VALUES), "housing-a")
    assert pixels((tmp_path / "bore.png").read_bytes())[0] == 1_120 * SCALE


def test_the_command_says_why_there_is_no_chart(uns: Cli, charted: Folder, tmp_path: Path) -> None:
    where = ("--data", charted.root)
    file = tmp_path / "x.svg"
    assert "charts are SVG or PNG" in uns.fails(2, "spc", "mill", "bore", "--plot", "x.gif", *where)
    assert "charts are of a cell" in uns.fails(2, "spc", "housing", "bore", "--plot", file, *where)
    said = uns.fails(1, "spc", "mill", "flatness", "--plot", file, *where)
    assert "no control chart of flatness on record" in said
    assert not file.exists()
