"""EPCIS events and the record: what an event becomes, and how what was made is told."""

import asyncio
import json
from collections.abc import Sequence
from contextlib import aclosing
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from pydantic import ValidationError

from bridges import PROTOCOLS
from bridges.epcis.checks import faults_of_event
from bridges.epcis.client import Inbox, Receipt, observe
from bridges.epcis.config import EpcisSettings
from bridges.epcis.event_hash import hash_id, namespaces_of
from bridges.epcis.folder import EventFolder
from bridges.epcis.mapping import Refused, Terms, facts_of, findings, terms_of
from bridges.epcis.telling import event_of
from processors.genealogy import Genealogy
from tests.brokers import small_plant
from tests.example import ROOT, numbered
from uns.codec import Codec, Message, encode_event
from uns.fold import Draft
from uns.model.events import EVENTS, Edge
from uns.model.made import Made, Thing, Used
from uns.model.observation import BadInput, Fact, Link, Observation
from uns.model.plant import Plant

GOLDEN = ROOT / "tests" / "golden" / "epcis"
STANDARD = ROOT.parent / "shared" / "data" / "epcis" / "examples"
SOUND = json.loads((GOLDEN / "sound.jsonld").read_text())
EVENTS_SAID: list[dict[str, Any]] = SOUND["epcisBody"]["eventList"]
CONTEXT = SOUND["@context"]
WASH = "acme/berlin/machining/housing/wash"
NOON = 1_765_454_400_000
GTIN = "4012345111224"
BERLIN = ZoneInfo("Europe/Berlin")


def plant_of(settings: dict[str, Any] | None = None) -> Plant:
    """The small plant, whose cell `wash` is told by EPCIS."""
    document = small_plant().model_dump(mode="json")
    document["bridges"]["partners"] = {"protocol": "epcis", **(settings or {})}
    cells = document["sites"]["berlin"]["areas"]["machining"]["lines"]["housing"]["cells"]
    cells["wash"] |= {"bridge": "partners", "tags": {}}
    document["items"]["pump"] = {"title": "Pump"}
    return Plant.model_validate(document)


PLANT = plant_of({"domain": "id.acme.example", "items": {"pump": GTIN}})
SETTINGS = EpcisSettings.model_validate(PLANT.bridges["partners"].settings)
TERMS = terms_of(SETTINGS, PLANT, PLANT.served_by("partners"))


def taken(event: Any, context: Any = CONTEXT, terms: Terms = TERMS) -> Sequence[Fact]:
    found = facts_of(event, context, terms)
    assert not isinstance(found, Refused), str(found)
    return found


def refused(event: Any) -> str:
    found = facts_of(event, CONTEXT, TERMS)
    assert isinstance(found, Refused)
    return str(found)


def washed(**more: Any) -> dict[str, Any]:
    return {
        "type": "TransformationEvent",
        "eventTime": "2025-12-11T12:00:00.000Z",
        "eventTimeZoneOffset": "+01:00",
        "readPoint": {"id": f"https://id.acme.example/loc/{WASH}"},
        "inputQuantityList": [
            {"epcClass": "urn:epc:class:lgtin:4023333.002000.B7", "quantity": 10, "uom": "KGM"}
        ],
        "inputEPCList": ["https://id.acme.example/obj/H-1"],
        "outputEPCList": [f"https://id.gs1.org/01/0{GTIN}/21/{n}" for n in (7, 8, 9)],
        "bizTransactionList": [
            {"type": "prodorder", "bizTransaction": "https://id.acme.example/bt/PO%2F1"}
        ],
        "ilmd": {"cbvmda:lotNumber": "L 1"},
        **more,
    }


def test_the_plant_is_served() -> None:
    assert TERMS.home == "acme/berlin"
    assert TERMS.cells == {WASH}


@pytest.mark.parametrize("event", EVENTS_SAID, ids=lambda event: event["type"])
def test_a_sound_event_goes_on_record_whole_and_comes_out_equal(event: dict[str, Any]) -> None:
    (told,) = taken(event)
    draft = Draft(told.path, told.type, told.at_ms, told.body)
    payload = encode_event(draft, "partners:acme.berlin", 1, 1)
    message = Codec(PLANT).decode("acme/berlin/_event/traced", payload)
    assert isinstance(message, Message), message
    again = json.loads(told.body["document"])
    context = again.pop("@context")
    assert again == event
    assert hash_id(again, namespaces_of(context)) == told.body["event_id"]
    assert taken(json.loads(told.body["document"]), CONTEXT)[0] == told


@pytest.mark.skipif(not STANDARD.exists(), reason=f"no examples at {STANDARD}")
def test_every_sound_example_of_the_standard_comes_out_equal() -> None:
    """Acceptance: imported and exported again equal, hash ids equal."""
    count = 0
    for path in sorted(STANDARD.glob("*.jsonld")):
        document = json.loads(path.read_text())
        for event in document["epcisBody"]["eventList"]:
            if faults_of_event(event):
                continue
            (told,) = taken(event, document["@context"])
            again = json.loads(told.body["document"])
            assert taken(again, None) == (told,)
            assert {k: v for k, v in again.items() if k != "@context"} == event
            count += 1
    assert count == 19


def test_nobody_else_may_say_what_partners_told() -> None:
    (told,) = taken(EVENTS_SAID[0])
    payload = encode_event(Draft(told.path, told.type, 1, told.body), "erp:acme.berlin", 1, 1)
    answer = Codec(PLANT).decode("acme/berlin/_event/traced", payload)
    assert "only partners may" in getattr(answer, "reason", "")


def test_an_event_again_has_the_same_key_and_its_error_declaration_another() -> None:
    first, declared = taken(EVENTS_SAID[1])[0], taken(EVENTS_SAID[5])[0]
    assert first.body["event_id"] == declared.body["event_id"]
    assert declared.business_key == f"{first.business_key}:error:2026-11-23T07:00:00Z"
    assert (first.body["is_error_declared"], declared.body["is_error_declared"]) == (False, True)


def test_a_transformation_at_our_cell_feeds_every_output_and_adds_up() -> None:
    told, *material = taken(washed())
    assert told.type == "traced"
    rows = [{"type": f.type, "path": f.path, "at_ms": f.at_ms, **f.body} for f in material]
    made = [row for row in rows if row["type"] == "produced"]
    assert [(row["lot"], row["unit_id"], row["item"]) for row in made] == [
        ("L 1", str(n), "pump") for n in (7, 8, 9)
    ]
    assert {row["order_id"] for row in rows} == {"PO/1"}
    assert len({fact.business_key for fact in (told, *material)}) == len(rows) + 1
    genealogy, edges = Genealogy(PLANT), list[Any]()
    state = genealogy.initial("acme/berlin/machining/housing")
    for event in numbered(rows):
        step = genealogy.fold(state, event)
        state = step.state
        edges += [d.body for d in step.outputs if d.type == Edge.type_name]
    supplied = "https://id.gs1.org/01/04023333020008/10/B7"
    for unit in "789":
        assert {e["input_id"] for e in edges if e["output_id"] == unit} == {supplied, "H-1"}
    assert sum(e["quantity"] for e in edges if e["input_id"] == supplied) == pytest.approx(10)
    assert sum(e["quantity"] for e in edges if e["input_id"] == "H-1") == pytest.approx(1)


def test_only_a_cell_of_this_bridge_has_its_material_told() -> None:
    mill = WASH.replace("wash", "mill")
    elsewhere = {"readPoint": {"id": f"https://id.acme.example/loc/{mill}"}}
    declared = {"errorDeclaration": {"declarationTime": "2025-12-12T00:00:00Z"}}
    for change in (elsewhere, declared, {"type": "acme:Washed"}):
        assert [fact.type for fact in taken(washed(**change))] == ["traced"]


def test_what_begins_at_our_cell_is_produced() -> None:
    event = washed(type="ObjectEvent", action="ADD", quantityList=[])
    event["epcList"] = event.pop("outputEPCList")[:1]
    del event["inputQuantityList"], event["inputEPCList"]
    assert [fact.type for fact in taken(event)] == ["traced", "produced"]
    del event["ilmd"]
    assert [fact.type for fact in taken({**event, "action": "OBSERVE"})] == ["traced"]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (
            {"inputQuantityList": [{"epcClass": "urn:a:1"}]},
            "inputQuantityList[0].quantity: say how",
        ),
        (
            {"inputQuantityList": [{"epcClass": "urn:epc:idpat:sgtin:4012345.098765.*"}]},
            "inputQuantityList[0].epcClass: names no lot",
        ),
        ({"outputEPCList": ["urn:a:" + "1" * 200]}, "outputEPCList[0]: names no unit that fits"),
        ({"ilmd": {"cbvmda:lotNumber": {"a": 1}}}, "ilmd.cbvmda:lotNumber: no id of at most 128"),
        ({"eventTime": "1969-12-31T23:00:00Z"}, "eventTime: lies before 1970"),
        ({"outputEPCList": [f"urn:a:{n}" for n in range(400)]}, "moves more than 1000 lots"),
        ({"acme:x": "y" * 60_000}, "longer than 60000 characters: split its lists"),
        ({"acme:x": "\ud800"}, "a text holds half a surrogate pair"),
    ],
)
def test_what_the_record_cannot_hold_is_refused(change: dict[str, Any], said: str) -> None:
    assert said in refused(washed(**change))


def test_what_is_nested_without_end_is_refused() -> None:
    nested: Any = "x"
    for _ in range(900):
        nested = {"acme:x": nested}
    assert refused(washed(**{"acme:x": nested})) == "nested too deep"


def test_an_event_about_itself_is_recorded_and_ends() -> None:
    mine = "https://id.acme.example/obj/H-1"
    facts = taken(washed(outputEPCList=[mine], inputEPCList=[mine]))
    assert [fact.type for fact in facts] == ["traced", "consumed", "consumed", "produced"]


MADE = Made(
    WASH,
    NOON,
    Thing("7", is_unit=True, item="pump"),
    "L 1",
    1.0,
    "pcs",
    "PO/1",
    (
        Used(Thing("B7", is_unit=False), 2.5, "kg"),
        Used(Thing("H-1", is_unit=True), 1.0, "pcs"),
        Used(Thing("ÖL/2", is_unit=False), 3.0, "drops"),
    ),
)


def test_what_was_made_is_told_and_taken_again() -> None:
    event = event_of(MADE, TERMS.names, BERLIN)
    assert faults_of_event(event) == []
    assert event == {
        "eventID": hash_id(event, {}),
        "type": "TransformationEvent",
        "eventTime": "2025-12-11T13:00:00.000+01:00",
        "eventTimeZoneOffset": "+01:00",
        "inputEPCList": ["https://id.acme.example/obj/H-1"],
        "inputQuantityList": [
            {"epcClass": "https://id.acme.example/class/B7", "quantity": 2.5, "uom": "KGM"},
            {"epcClass": "https://id.acme.example/class/%C3%96L%2F2"},
        ],
        "outputEPCList": [f"https://id.gs1.org/01/0{GTIN}/21/7"],
        "bizStep": "commissioning",
        "disposition": "active",
        "readPoint": {"id": f"https://id.acme.example/loc/{WASH}"},
        "bizLocation": {"id": "https://id.acme.example/loc/acme/berlin/machining/housing"},
        "bizTransactionList": [
            {"type": "prodorder", "bizTransaction": "https://id.acme.example/bt/PO%2F1"}
        ],
        "ilmd": {"cbvmda:lotNumber": "L 1"},
    }
    whole = MADE._replace(used=MADE.used[:2])
    _, *material = taken(event_of(whole, TERMS.names, BERLIN))
    assert [(fact.type, dict(fact.body)) for fact in material] == [
        ("consumed", {"lot": "H-1", "quantity": 1, "unit": "pcs", "order_id": "PO/1"}),
        ("consumed", {"lot": "B7", "quantity": 2.5, "unit": "kg", "order_id": "PO/1"}),
        (
            "produced",
            {"lot": "L 1", "unit_id": "7", "item": "pump", "quantity": 1, "unit": "pcs"}
            | {"order_id": "PO/1"},
        ),
    ]
    for fact in material:
        EVENTS[fact.type].model_validate(
            {"id": "x", "type": fact.type, "at_ms": 1, "path": WASH, "source": "s", "epoch": 1}
            | {"seq": 1, **fact.body}
        )


def test_what_came_of_nothing_begins() -> None:
    made = MADE._replace(thing=Thing("L 1", is_unit=False), quantity=12.0, used=())
    event = event_of(made, TERMS.names, ZoneInfo("America/St_Johns"))
    assert faults_of_event(event) == []
    assert (event["type"], event["action"]) == ("ObjectEvent", "ADD")
    assert event["quantityList"] == [
        {"epcClass": "https://id.acme.example/class/L%201", "quantity": 12}
    ]
    assert event["eventTimeZoneOffset"] == "-03:30"


def test_a_foreign_name_goes_out_as_it_came() -> None:
    names, uri = TERMS.names, "urn:epc:class:lgtin:4023333.002000.B-77"
    thing = names.thing_of(uri, is_unit=False)
    assert thing == Thing("https://id.gs1.org/01/04023333020008/10/B-77", is_unit=False)
    assert names.thing(thing) == thing.id
    assert names.place_of("https://id.gs1.org/414/4012345000016") is None
    settings = EpcisSettings(places={WASH: "4012345000016"})
    ours = terms_of(settings, PLANT, ()).names
    assert ours.place_of("urn:epc:id:sgln:4012345.00001.0") == WASH
    assert ours.place(WASH) == "https://id.gs1.org/414/4012345000016"
    assert ours.place("acme") == "https://acme.invalid/loc/acme"


def test_settings_that_lead_nowhere_are_found() -> None:
    settings = {
        "site": "hamburg",
        "items": {"pmp": GTIN, "pump": GTIN},
        "places": {"acme/x": "4012345000016"},
    }
    found = {".".join(map(str, where)): said for where, said in findings(plant_of(settings))}
    assert found == {
        "bridges.partners.site": "unknown site 'hamburg' (use one of berlin)",
        "bridges.partners.items.pmp": "unknown item 'pmp' (did you mean 'pump'?)",
        "bridges.partners.items": f"{GTIN} names more than one of them",
        "bridges.partners.places.acme/x": found["bridges.partners.places.acme/x"],
    }
    assert list(findings(PLANT)) == []
    assert PROTOCOLS["epcis"].settings is EpcisSettings
    for bad in ({"items": {"pump": "4012345111225"}}, {"domain": "a b"}, {"places": {"a": "x"}}):
        with pytest.raises(ValidationError):
            EpcisSettings.model_validate(bad)


async def looked(root: Path, known: dict[str, str] | None = None) -> list[Observation]:
    """All that one look at the folder says; what is said is known from then on."""
    kept = {} if known is None else known
    settings = EpcisSettings(settle_ms=0, file_bytes_max=100_000)

    def find(prefix: str) -> dict[str, str]:
        return {key: body for key, body in kept.items() if key.startswith(prefix)}

    inbox = Inbox(EventFolder(root, settings), settings, TERMS, lambda: NOON, find)
    told = list[Observation]()
    async for batch in inbox.look(0.0):
        told += batch
        kept |= {one.business_key or "": "" for one in batch if isinstance(one, Fact)}
    return told


def drop(root: Path, name: str, content: str | bytes) -> None:
    (root / "in").mkdir(parents=True, exist_ok=True)
    raw = content.encode() if isinstance(content, str) else content
    (root / "in" / name).write_bytes(raw)


async def test_a_document_is_taken_and_put_away_and_taken_once(tmp_path: Path) -> None:
    known = dict[str, str]()
    drop(tmp_path, "a.jsonld", (GOLDEN / "sound.jsonld").read_text())
    assert [one.type for one in await looked(tmp_path, known) if isinstance(one, Fact)] == (
        ["traced"] * 7
    )
    assert (tmp_path / "done" / "a.jsonld").exists()
    drop(tmp_path, "a.jsonld", (GOLDEN / "sound.jsonld").read_text())
    drop(tmp_path, "b.xml", (GOLDEN / "sound.xml").read_text())
    assert await looked(tmp_path, known) == []
    note = (tmp_path / "done" / "a.2.jsonld.note.txt").read_text()
    assert note == "7 events: 0 new, 7 known already, 0 refused\n"
    assert "4 known already" in (tmp_path / "done" / "b.xml.note.txt").read_text()


async def test_sound_events_are_taken_and_bad_ones_said(tmp_path: Path) -> None:
    mixed = [EVENTS_SAID[0], {**EVENTS_SAID[1], "bizStep": "packed"}, EVENTS_SAID[0]]
    drop(tmp_path, "m.json", json.dumps({**SOUND, "epcisBody": {"eventList": mixed}}))
    fact, bad = await looked(tmp_path)
    assert isinstance(fact, Fact)
    assert isinstance(bad, BadInput)
    assert bad.reason.startswith("m.json: eventList[1] (line 1): bizStep: 'packed' is no word")
    assert json.loads(bad.original) == mixed[1]
    reason = (tmp_path / "error" / "m.json.reason.txt").read_text().splitlines()
    assert reason == ["3 events: 1 new, 1 known already, 1 refused", bad.reason]


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("a.json", "", "no JSON object"),
        ("a.json", '{"epcisBody": {"eventList": [', "line 1: "),
        ("a.json", b"\xff\xfe", "not UTF-8 at byte 0"),
        ("a.xml", "<a/>", "<a> is no EPCIS document"),
        ("a.json", " " * 100_001, "larger than 100000 bytes: raise file_bytes_max"),
        ("a.json", '{"epcisBody": {"eventList": []}}', "@context: is missing"),
    ],
)
async def test_what_cannot_be_read_to_its_end_is_refused_whole(
    tmp_path: Path, name: str, content: str | bytes, said: str
) -> None:
    drop(tmp_path, name, content)
    (bad,) = await looked(tmp_path)
    assert isinstance(bad, BadInput)
    assert said in bad.reason
    assert said in (tmp_path / "error" / f"{name}.reason.txt").read_text()


async def test_links_hidden_files_and_other_suffixes_are_left_alone(tmp_path: Path) -> None:
    for name in (".a.json", "a.txt", "a.json.part"):
        drop(tmp_path, name, "x")
    (tmp_path / "in" / "b.json").symlink_to(tmp_path / "nowhere")
    assert await looked(tmp_path) == []
    assert len(list((tmp_path / "in").iterdir())) == 4


async def test_a_folder_that_cannot_be_used_is_said_and_tried_again(tmp_path: Path) -> None:
    root = tmp_path / "epcis"
    root.write_text("no folder")
    settings = EpcisSettings(settle_ms=0, poll_ms=50)
    async with (
        asyncio.timeout(10),
        aclosing(observe(settings, TERMS, lambda: NOON, root, lambda _prefix: {})) as told,
    ):
        (down,) = await anext(told)
        assert isinstance(down, Link)
        assert not down.up
        root.unlink()
        (up,) = await anext(told)
        assert isinstance(up, Link)
        assert up.up


def test_only_so_many_reasons_stand_beside_a_file() -> None:
    receipt = Receipt("a.json")
    for n in range(1_000):
        receipt.refuse(str(n))
    assert len(receipt.note().splitlines()) == 101
