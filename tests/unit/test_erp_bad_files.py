"""Order files that nobody should be able to stop the bridge with: each is refused, or passed by."""

import os
from pathlib import Path
from typing import Any

import pytest

from bridges.erp import tree
from bridges.erp.client import FolderLink, Inbox
from bridges.erp.config import ErpSettings
from bridges.erp.formats import FORMATS, read
from bridges.erp.mapping import MappingRules
from bridges.erp.office import Office
from tests.simulated import START_MS, example_plant
from tests.unit.test_erp_formats import WORKBOOK, workbook
from uns.model.observation import BadInput, Fact, Link, Observation, sayable
from uns.model.releasing import REVISION_MAX, Refused, release

RULES = MappingRules()
PLANT = example_plant()
SETTINGS = ErpSettings(settle_ms=0, half_ms_max=0)
ORDER = b'{"order_id": "PO-1", "item": "pump-a", "quantity": 12}'


def looked_at(folder: Path) -> list[Observation]:
    """What one look at a folder says; all of it is durable."""
    office = Office(PLANT, lambda: START_MS, lambda _prefix: {})
    inbox = Inbox(folder, SETTINGS, FolderLink(str(folder), lambda: START_MS), office)
    return [sayable(one) for told in inbox.look(0.0) for one in told]


def names(folder: Path) -> list[str]:
    return sorted(os.fsencode(path.name).decode("latin-1") for path in folder.iterdir())


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "in").mkdir()
    return tmp_path


@pytest.mark.parametrize("encoding", ["Shift_JIS", "GB2312", "foo", "utf-7", "idna", "hex"])
def test_xml_in_an_encoding_that_is_not_read_is_refused_with_its_place(encoding: str) -> None:
    raw = f'<?xml version="1.0" encoding="{encoding}"?><JobOrder/>'.encode()
    assert not FORMATS[".xml"].is_half(raw)
    refused = read(".xml", raw, RULES)
    assert isinstance(refused, Refused)
    assert refused.reason.startswith("line 1, column 1: not XML that is read: ")


def test_a_number_of_more_digits_than_python_reads_is_refused() -> None:
    raw = b'{"order_id": "PO-1", "item": "pump-a", "quantity": ' + b"1" * 5_000 + b"}"
    assert not FORMATS[".json"].is_half(raw)
    assert isinstance(read(".json", raw, RULES), Refused)


def test_a_revision_has_a_bound() -> None:
    document = {"order_id": "PO-1", "item": "pump-a", "quantity": 1}
    for revision, is_taken in ((REVISION_MAX, True), (REVISION_MAX + 1, False)):
        outcome = release({**document, "revision": revision}, PLANT, lambda _id: {}, START_MS)
        assert isinstance(outcome, Refused) is not is_taken


def test_a_day_that_no_calendar_has_is_refused() -> None:
    raw = workbook(
        xl__workbook_xml=WORKBOOK["xl/workbook.xml"].replace(
            "<sheets>", '<workbookPr date1904="1"/><sheets>'
        ),
        xl__worksheets__sheet1_xml='<worksheet xmlns="urn:s"><sheetData><row r="1">'
        '<c r="A1" s="1"><v>2958464</v></c></row></sheetData></worksheet>',
    )
    refused = read(".xlsx", raw, RULES)
    assert isinstance(refused, Refused)
    assert "no workbook" in refused.reason


def test_xml_of_more_elements_than_an_order_file_has_is_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(tree, "ELEMENTS_MAX", 1_000)
    sheet = (
        '<worksheet xmlns="urn:s"><sheetData>' + '<c r=""/>' * 1_000 + "</sheetData></worksheet>"
    )
    refused = read(".xlsx", workbook(xl__worksheets__sheet1_xml=sheet), RULES)
    assert isinstance(refused, Refused)
    assert "more than 1000 elements" in refused.reason
    many = read(".xml", b"<JobList>" + b"<a/>" * 1_000 + b"</JobList>", RULES)
    assert isinstance(many, Refused)
    assert "more than 1000 elements" in many.reason


def test_a_file_that_cannot_be_read_stops_no_other(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder / "in" / "1-locked.json").write_bytes(ORDER)
    (folder / "in" / "2-open.json").write_bytes(ORDER)
    opened = Path.open

    def guarded(path: Path, *args: Any, **options: Any) -> Any:
        if path.name == "1-locked.json":
            raise PermissionError(13, "Permission denied", str(path))
        return opened(path, *args, **options)

    monkeypatch.setattr(Path, "open", guarded)
    told = looked_at(folder)
    assert [one.up for one in told if isinstance(one, Link)] == [True]
    assert len([one for one in told if isinstance(one, Fact)]) == 1
    (bad,) = (one for one in told if isinstance(one, BadInput))
    assert bad.reason == "1-locked.json: cannot be read: Permission denied"
    assert names(folder / "done") == ["2-open.json"]
    assert names(folder / "error") == ["1-locked.json", "1-locked.json.reason.txt"]


FOREIGN_NAMES = [("json", b"{}"), ("csv", b"order_id,item,quantity\nPO-1,nothing,1\n")]


@pytest.mark.parametrize(("suffix", "raw"), FOREIGN_NAMES)
def test_a_file_whose_name_is_not_utf_8_is_refused_like_any_other(
    folder: Path, suffix: str, raw: bytes
) -> None:
    name = b"Auftr\xe4ge." + suffix.encode()
    with open(os.fsencode(folder / "in") + b"/" + name, "wb") as file:  # noqa: PTH123 - bytes
        file.write(raw)
    told = looked_at(folder)
    (bad,) = (one for one in told if isinstance(one, BadInput))
    assert bad.origin == f"in/Auftr?ge.{suffix}"
    assert bad.reason.startswith(f"Auftr?ge.{suffix}:")
    assert names(folder / "in") == []
