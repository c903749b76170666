"""`uns epcis`: documents in and out of a hub that stopped."""

import json
from pathlib import Path
from typing import Any

import pytest

from bridges.epcis.checks import faults_of_document, faults_of_event
from bridges.epcis.event_hash import hash_id
from tests.example import ROOT
from tests.speech import LINE, MILL, NOON, PROCESSORS, Sent, event, output
from tests.terminal import Cli
from uns.cli.folder import Folder
from uns.cli.run import store_url
from uns.codec import Codec
from uns.historian.history import made as history
from uns.historian.owners import line_readers
from uns.historian.store import open_store
from uns.historian.writer import Writer
from uns.model.plant import Plant

SOUND = ROOT / "tests" / "golden" / "epcis" / "sound.jsonld"
GTIN = "4012345111224"
LATER = NOON + 60_000
TOLD: list[dict[str, Any]] = json.loads(SOUND.read_text())["epcisBody"]["eventList"]


def produced(seq: int, at_ms: int, **body: Any) -> Sent:
    whole = {"lot": "L1", "quantity": 1, "unit": "pcs", "order_id": "PO-1", **body}
    return event(seq, "produced", whole, at_ms=at_ms)


def edge(seq: int, used: str, made: str, **amount: Any) -> Sent:
    body = {"input_id": used, "output_id": made, **amount}
    return output(seq, "genealogy", "edge", body, at_ms=LATER)


def traced(seq: int, document: dict[str, Any]) -> Sent:
    body = {"event_id": hash_id(document, {}), "event_type": "ObjectEvent"}
    body["document"] = json.dumps(document)
    where = {"path": "acme/berlin", "source": "partners:acme.berlin", "at_ms": NOON}
    return event(seq, "traced", body, **where)


@pytest.fixture
def past(stopped_hub: Folder) -> Folder:
    """Two units of a lot, the second made of the first and of a lot in kg; an event told."""
    document = stopped_hub.load_plant().model_dump(mode="json")
    document["bridges"]["partners"] = {"protocol": "epcis", "items": {"pump": GTIN}}
    document["items"]["pump"] = {"title": "Pump"}
    plant = Plant.model_validate(document)
    stopped_hub.plant.write_text(plant.model_dump_json())
    store = open_store(store_url("duckdb", stopped_hub.root), lambda: NOON)
    readers = line_readers([LINE], {**PROCESSORS, "genealogy": frozenset({"genealogy"})})
    writer = Writer(Codec(plant), store, readers, ("acme/_hub/reject/",))
    writer.start()
    said = [
        event(20, "consumed", {"lot": "B7", "item": "bar", "quantity": 2, "unit": "kg"}),
        produced(21, NOON, unit_id="U1", item="pump"),
        produced(22, LATER, unit_id="U2", item="pump"),
        edge(20, "B7", "U2", quantity=2.5, unit="kg"),
        edge(21, "U1", "U2", quantity=1, unit="pcs"),
        edge(22, "U2", "L1", quantity=1, unit="pcs"),
        produced(23, LATER + 1, quantity=3.5, unit="kg", order_id=None),
        traced(1, TOLD[0]),
    ]
    writer.commit(writer.prepare(said, LATER))
    store.close()
    return stopped_hub


def exported(uns: Cli, past: Folder, *options: str) -> list[dict[str, Any]]:
    """The events of an export that is sound."""
    file = past.root / "out.jsonld"
    answer = uns("epcis", "export", file, "--data", past.root, *options)
    assert answer.code == 0, answer.err
    document = json.loads(file.read_text())
    events: list[dict[str, Any]] = document["epcisBody"]["eventList"]
    assert answer.err == f"{len(events)} events\n" or "--json" in options
    assert faults_of_document(document) == []
    assert [faults_of_event(one) for one in events] == [[] for _ in events]
    return events


def test_what_was_made_goes_out_with_all_that_went_in(uns: Cli, past: Folder) -> None:
    first, second, third = exported(uns, past)
    assert (first["type"], first["epcList"]) == (
        "ObjectEvent",
        [f"https://id.gs1.org/01/0{GTIN}/21/U1"],
    )
    assert second["inputEPCList"] == first["epcList"]
    assert second["inputQuantityList"] == [
        {"epcClass": "https://acme.invalid/class/B7", "quantity": 2.5, "uom": "KGM"}
    ]
    assert second["outputEPCList"] == [f"https://id.gs1.org/01/0{GTIN}/21/U2"]
    assert second["ilmd"] == {"cbvmda:lotNumber": "L1"}
    assert second["readPoint"] == {"id": f"https://acme.invalid/loc/{MILL}"}
    assert third["quantityList"][0]["quantity"] == 3.5
    for one in (first, second, third):
        assert one["eventID"] == hash_id(one, {})
        assert one["eventTimeZoneOffset"] == "+01:00"


def test_an_export_is_of_a_line_a_time_or_a_lot(uns: Cli, past: Folder) -> None:
    assert len(exported(uns, past, "--line", "housing")) == 3
    assert exported(uns, past, "--line", "packing") == []
    assert len(exported(uns, past, "--from", str(NOON + 1))) == 2
    assert len(exported(uns, past, "--to", str(NOON + 1))) == 1
    assert len(exported(uns, past, "--lot", "B7")) == 1
    assert len(exported(uns, past, "--lot", "U1")) == 2


def test_what_partners_told_goes_out_as_they_told_it(uns: Cli, past: Folder) -> None:
    assert exported(uns, past, "--received", "--json") == [TOLD[0]]


def test_long_answers_are_asked_for_in_parts(
    uns: Cli, past: Folder, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = exported(uns, past)
    monkeypatch.setattr(history, "PAGE", 5)
    monkeypatch.setattr(history, "IDS_A_QUESTION", 1)
    assert exported(uns, past) == whole
    monkeypatch.setattr(history, "PAGE", 2)
    said = uns.fails(2, "epcis", "export", past.root / "x.json", "--data", past.root)
    assert "more than 2 facts in the millisecond" in said
    assert not (past.root / "x.json").exists()


def test_an_export_can_be_piped(uns: Cli, past: Folder) -> None:
    answer = uns("epcis", "export", "-", "--data", past.root)
    assert len(json.loads(answer.out)["epcisBody"]["eventList"]) == 3


def test_an_export_asked_for_in_a_wrong_way_is_exit_2(uns: Cli, past: Folder) -> None:
    asked = ("epcis", "export", past.root / "x", "--data", past.root)
    assert "--from lies behind" in uns.fails(2, *asked, "--from", "5", "--to", "4")
    assert "no line 'x'" in uns.fails(2, *asked, "--line", "x")
    assert "goes without --line" in uns.fails(2, *asked, "--received", "--line", "housing")
    assert "Name one of protocol epcis" in uns.fails(2, *asked, "--bridge", "plc")


def test_a_document_is_handed_over_once_it_was_judged(
    uns: Cli, past: Folder, tmp_path: Path
) -> None:
    answer = uns("epcis", "import", SOUND, "--data", past.root)
    assert (answer.code, answer.out) == (0, "7 events are partners's to take, 0 refused\n")
    assert "it takes them when it does" in answer.err
    assert (past.root / "epcis" / "in" / "sound.jsonld").read_bytes() == SOUND.read_bytes()
    document = json.loads(SOUND.read_text())
    document["epcisBody"]["eventList"][1]["action"] = "PACK"
    bad = tmp_path / "sound.jsonld"
    bad.write_text(json.dumps(document))
    answer = uns("epcis", "import", bad, "--data", past.root, "--json")
    assert answer.code == 1
    assert "eventList[1] (line 1): action: 'PACK' is no word" in answer.err
    target = str(past.root / "epcis" / "in" / "sound.2.jsonld")
    assert answer.json == {"file": target, "bridge": "partners", "sound": 6, "refused": 1}


def test_what_cannot_be_handed_over_is_said(uns: Cli, past: Folder, tmp_path: Path) -> None:
    data = ("--data", past.root)
    assert "its name ends in .json" in uns.fails(2, "epcis", "import", tmp_path / "a.txt", *data)
    assert "No such file" in uns.fails(2, "epcis", "import", tmp_path / "a.json", *data)
    (tmp_path / "a.json").write_text("{}")
    assert "no eventList" in uns.fails(1, "epcis", "import", tmp_path / "a.json", *data)
    (tmp_path / "a.json").write_text('{"epcisBody": {"eventList": []}, "type": "EPCISDocument"}')
    assert "@context: is missing" in uns.fails(1, "epcis", "import", tmp_path / "a.json", *data)
    assert not (past.root / "epcis").exists()


def test_events_are_judged_without_a_hub_one_line_each(uns: Cli) -> None:
    plant = ("--namespace", ROOT / "namespace.yaml")
    answer = uns("epcis", "check", SOUND, "--json", *plant)
    lines = [json.loads(line) for line in answer.out.splitlines()]
    assert (answer.code, len(lines)) == (0, 7)
    assert {line["outcome"] for line in lines} == {"sound"}
    assert lines[0]["event_id"] == hash_id(TOLD[0], {"acme": "https://acme.example/epcis/"})
