"""`uns bridge test`: what can be tested, and how ages are said."""

from pathlib import Path

import pytest

from tests.example import ROOT
from tests.pasting import plant_text
from tests.terminal import Cli
from uns.cli import bridge_test


def test_what_cannot_be_tested_is_said(uns: Cli, tmp_path: Path) -> None:
    example = ("--file", ROOT / "namespace.yaml")
    said = uns.fails(2, "bridge", "test", "packing-edge", *example)
    assert "`uns sparkplug nodes` shows who is heard" in said
    assert "speaks erp" in uns.fails(2, "bridge", "test", "erp", *example)
    assert "name one" in uns.fails(2, "bridge", "test", "127.0.0.1", *example)
    missing = ("--file", tmp_path / "none.yaml")
    assert "No such file" in uns.fails(2, "bridge", "test", "x", *missing)
    nobody = ("--data", tmp_path / "none")
    assert "holds no hub" in uns.fails(1, "bridge", "test", "x", *nobody)
    empty = tmp_path / "empty.yaml"
    bridge = {"protocol": "modbus", "host": "127.0.0.1"}
    empty.write_text(plant_text(bridge, {}).replace("tags:\n", "tags: {}\n"))
    assert "nothing to test" in uns.fails(1, "bridge", "test", "device", "--file", empty)


@pytest.mark.parametrize(
    ("age_ms", "said"),
    [(0, "0.0 s"), (1_250, "1.2 s"), (180_000, "3 min"), (7_200_000, "2 h"), (172_800_000, "2 d"),
     (-500, "0.5 s ahead")],
)  # fmt: skip
def test_ages_are_said_in_the_unit_that_fits(age_ms: int, said: str) -> None:
    assert bridge_test._age(age_ms) == said
