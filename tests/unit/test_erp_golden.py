"""Each golden case of order files: a file, its mapping if it has one, and what becomes of it."""

import json
from pathlib import Path

import pytest

from bridges.erp.rules_file import read_rules
from tests.example import ROOT
from tests.simulated import example_plant
from uns.cli.erp_check import Way, examined

PLANT = example_plant()
FOLDERS = sorted(path.parent for path in (ROOT / "tests/golden/erp").glob("*/expected.json"))


@pytest.mark.parametrize("folder", [pytest.param(each, id=each.name) for each in FOLDERS])
def test_case(folder: Path) -> None:
    (file,) = folder.glob("input.*")
    mapping = folder / "mapping.yaml"
    way = Way(read_rules(mapping)) if mapping.exists() else Way()
    kind, lines = examined(file, way, PLANT)
    found = {"format": kind, "orders": [line._asdict() for line in lines]}
    assert json.loads(json.dumps(found)) == json.loads((folder / "expected.json").read_text())
    assert (folder / "README.md").read_text().startswith("# ")


def test_every_format_has_a_case() -> None:
    suffixes = {file.suffix for folder in FOLDERS for file in folder.glob("input.*")}
    assert suffixes == {".json", ".xml", ".csv", ".xlsx"}
