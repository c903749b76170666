"""Each golden case of a processor: the facts in, the documents and events out."""

import json
from pathlib import Path

import pytest

from processors import PROCESSORS
from tests.golden.cases import case_folders, differences, facts, plant_of, played, shown

ROOT = Path(__file__).parent
CASES = [(name, folder) for name in PROCESSORS for folder in case_folders(ROOT, name)]


@pytest.mark.parametrize(
    ("name", "folder"), [pytest.param(n, f, id=f"{n}/{f.name}") for n, f in CASES]
)
def test_case(name: str, folder: Path) -> None:
    expected = json.loads((folder / "expected.json").read_text())
    steps = facts((folder / "events.jsonl").read_text())
    outputs, documents = played(name, steps, plant_of(folder))
    assert list(differences(expected["outputs"], shown(outputs), "outputs")) == []
    assert sorted(documents) == sorted(expected["documents"])
    assert list(differences(expected["documents"], documents, "documents")) == []


@pytest.mark.parametrize("name", PROCESSORS)
def test_every_processor_has_cases_that_explain_themselves(name: str) -> None:
    folders = case_folders(ROOT, name)
    assert len(folders) >= 3
    for folder in folders:
        assert (folder / "README.md").read_text().startswith("# ")
