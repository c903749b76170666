"""What an EPCIS event must look like: refused with place and fix, as GS1's own schema would."""

import copy
import json
import random
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft7Validator, FormatChecker

from bridges.epcis.checks import faults_of_document, faults_of_event
from bridges.epcis.document import BrokenDocument, Entry, read_json
from bridges.epcis.folder import read
from bridges.epcis.xml_document import read_xml
from tests.example import ROOT

DATA = ROOT.parent / "shared" / "data" / "epcis"
SOUND = json.loads((ROOT / "tests" / "golden" / "epcis" / "sound.jsonld").read_text())
EVENTS: list[dict[str, Any]] = SOUND["epcisBody"]["eventList"]
OBJECT, AGGREGATION, TRANSFORMATION, ASSOCIATION, TRANSACTION = EVENTS[:5]
beside = pytest.mark.skipif(not DATA.exists(), reason=f"no schema at {DATA}")


@pytest.mark.parametrize("event", EVENTS, ids=lambda event: event["type"])
def test_a_sound_event_has_no_fault(event: dict[str, Any]) -> None:
    assert faults_of_event(event) == []


REFUSED: list[tuple[dict[str, Any], dict[str, Any], str]] = [
    (OBJECT, {"type": "ObjectEvnt"}, "type: 'ObjectEvnt' is no event type (did you mean 'Ob"),
    (OBJECT, {"eventTime": "2026-11-23"}, "eventTime: '2026-11-23' is no time with an offset"),
    (OBJECT, {"eventTime": "2026-02-30T00:00:00Z"}, "eventTime: '2026-02-30T00:00:00Z' is no time"),
    (OBJECT, {"eventTime": "2026-11-23T06:00:00"}, "write 2026-11-23T06:00:00.000+01:00"),
    (OBJECT, {"eventTimeZoneOffset": "+15:00"}, "eventTimeZoneOffset: '+15:00' is no offset"),
    (OBJECT, {"eventTimeZoneOffset": "Z"}, "write it as +01:00, up to ±14:00"),
    (OBJECT, {"eventTimeZoneOffset": None}, "eventTimeZoneOffset: None is no offset"),
    (OBJECT, {"action": "observe"}, "action: 'observe' is no word for it (did you mean 'OBSERVE"),
    (OBJECT, {"action": "OBSERVE"}, "ilmd: goes with action ADD only"),
    (OBJECT, {"bizStep": "comissioning"}, "(did you mean 'commissioning'?)"),
    (OBJECT, {"bizStep": "urn:epcglobal:cbv:bizstep:packing"}, "no word for it: write 'packing'"),
    (OBJECT, {"bizStp": "packing"}, "bizStp: there is no such field (did you mean 'bizStep'?)"),
    (OBJECT, {"epcList": ["no uri"]}, "epcList[0]: 'no uri' is no URI"),
    (OBJECT, {"epcList": ["urn:a:1", "urn:a:1"]}, "epcList: names something twice"),
    (OBJECT, {"quantityList": [{"quantity": 1}]}, "quantityList[0].epcClass: is missing"),
    (OBJECT, {"quantityList": [{"epcClass": "urn:a:1", "quantity": "3"}]}, "write it without quo"),
    (OBJECT, {"quantityList": [{"epcClass": "urn:a:1", "uom": "kg"}]}, "kg is KGM"),
    (OBJECT, {"readPoint": "urn:a:1"}, "readPoint: 'urn:a:1' is no object"),
    (OBJECT, {"sourceList": {"type": "location"}}, "is no list: put it in [ ]"),
    (OBJECT, {"sensorElementList": [{}]}, "sensorElementList[0].sensorReport: is missing"),
    (OBJECT, {"persistentDisposition": {}}, "says neither 'set' nor 'unset'"),
    (OBJECT, {"errorDeclaration": {}}, "errorDeclaration.declarationTime: is missing"),
    (AGGREGATION, {"childEPCs": [], "childQuantityList": []}, "name the children, or say DELETE"),
    (ASSOCIATION, {"parentID": 5}, "parentID: 5 is no URI"),
    (TRANSACTION, {"bizTransactionList": []}, "bizTransactionList: is empty: name at least one"),
    (
        TRANSFORMATION,
        {"outputQuantityList": [], "transformationID": None},
        "transformationID: None is no URI",
    ),
]


@pytest.mark.parametrize(("event", "change", "said"), REFUSED, ids=[said for *_, said in REFUSED])
def test_a_fault_is_said_with_its_place_and_its_fix(
    event: dict[str, Any], change: dict[str, Any], said: str
) -> None:
    faults = faults_of_event({**event, **change})
    assert any(said in str(fault) for fault in faults), faults


@pytest.mark.parametrize("event", [None, [], "ObjectEvent", {}, {"type": 7}])
def test_what_is_no_event_is_told_from_one(event: object) -> None:
    (fault,) = faults_of_event(event)
    assert "one of ObjectEvent" in str(fault)


def test_inputs_alone_need_what_joins_them_to_the_outputs() -> None:
    event = {k: v for k, v in TRANSFORMATION.items() if k != "outputQuantityList"}
    assert faults_of_event(event) == []
    del event["transformationID"]
    assert "one that joins them" in str(faults_of_event(event)[0])


def test_a_document_says_its_version_its_date_and_its_context() -> None:
    faults = faults_of_document({"type": "EPCISDocument", "epcisBody": {}, "creationDate": "x"})
    assert {fault.place for fault in faults} == {"@context", "schemaVersion", "creationDate"}


TIME = re.compile(r"\d{4}-\d\d-\d\dT[\d:.]+(Z|[+-]\d\d:\d\d)$")
URI = re.compile(r"(_|[A-Za-z][A-Za-z0-9+.-]*):\S+$")
OPEN = ("id", "type", "comment", "persistentDisposition")  # where the standard's examples have them


def is_no_text(one: object) -> bool:
    return not isinstance(one, str)


def schema() -> Draft7Validator:
    """GS1's schema; a URI and a time are as the standard's own examples write them."""
    checker = FormatChecker(formats=())
    checker.checks("uri")(lambda one: is_no_text(one) or one in OPEN or bool(URI.match(one)))
    checker.checks("date-time")(lambda one: is_no_text(one) or bool(TIME.match(one)))
    document = json.loads((DATA / "EPCIS-JSON-Schema.json").read_text())
    return Draft7Validator(document, format_checker=checker)


def examples() -> list[Path]:
    return sorted((DATA / "examples").glob("*.jsonld"))


@beside
def test_the_examples_of_the_standard_are_taken_but_for_the_two_that_break_it() -> None:
    judge, refused = schema(), dict[str, str]()
    for path in examples():
        *entries, header = read(path)
        assert isinstance(header, dict)
        faults = faults_of_document(header)
        for entry in entries:
            assert isinstance(entry, Entry)
            faults += faults_of_event(entry.value)
        assert (faults == []) == judge.is_valid(json.loads(path.read_text())), (path.name, faults)
        if faults:
            refused[path.name] = str(faults[0])
    assert {name[:24]: said for name, said in refused.items()} == {
        "Example-TransactionEvent": refused["Example-TransactionEvents-2020_07_03y.jsonld"],
        "WithFullCombinationOfFie": "ilmd: goes with action ADD only: leave it out, or say that "
        "things began",
    }
    assert "put it in [ ]" in refused["Example-TransactionEvents-2020_07_03y.jsonld"]


VALUES: list[Any] = [
    None, 7, "x", "", [], {}, True, "urn:a:1", ["urn:a:1"], "ADD", "DELETE", "OBSERVE", "+25:00",
    "2026-11-23T06:00:00Z", "packing", "urn:epcglobal:cbv:bizstep:packing", -1.5, [{}], [[]],
]  # fmt: skip


def spoilt(event: dict[str, Any], chance: random.Random) -> dict[str, Any]:
    """The event with a field gone, added or changed, somewhere."""
    changed = copy.deepcopy(event)
    place: Any = changed
    while True:
        inner = list(place.values() if isinstance(place, dict) else place)
        below = [one for one in inner if isinstance(one, dict | list) and one]
        if not below or chance.random() < 0.4:
            break
        place = chance.choice(below)
    keys = list(place) if isinstance(place, dict) else list(range(len(place)))
    match chance.choice(["gone", "added", "changed", "changed"]):
        case "gone":
            del place[chance.choice(keys)]
        case "added" if isinstance(place, dict):
            place[chance.choice(["epcList", "ilmd", "x", "acme:x", "uom"])] = chance.choice(VALUES)
        case _:
            place[chance.choice(keys)] = chance.choice(VALUES)
    return changed


@beside
def test_a_spoilt_event_is_judged_as_the_schema_of_the_standard_judges_it() -> None:
    judge, chance, differ = schema(), random.Random(8), list[Any]()
    verdicts = {True: 0, False: 0}
    for n in range(600):
        event = spoilt(EVENTS[n % 6], chance)
        document = {**SOUND, "epcisBody": {"eventList": [event]}}
        is_sound = faults_of_event(event) == []
        verdicts[is_sound] += 1
        if is_sound != judge.is_valid(document):
            differ.append((event, [str(fault) for fault in faults_of_event(event)]))
    assert differ == []
    assert min(verdicts.values()) > 50


def told(text: str, size: int = 7) -> list[Entry | dict[str, Any]]:
    return list(read_json(text[start : start + size] for start in range(0, len(text), size)))


def test_a_document_is_read_in_pieces_of_any_size() -> None:
    text = (ROOT / "tests" / "golden" / "epcis" / "sound.jsonld").read_text()
    for size in (1, 64, len(text)):
        *entries, header = told(text, size)
        assert [entry.value for entry in entries if isinstance(entry, Entry)] == EVENTS
        assert header == {**SOUND, "epcisBody": {"eventList": []}}
        assert [entry.line for entry in entries if isinstance(entry, Entry)][:2] == [11, 24]


def test_a_query_document_and_a_single_event_are_read_too() -> None:
    body = {"queryResults": {"queryName": "q", "resultsBody": {"eventList": EVENTS[:2]}}}
    assert len(told(json.dumps({"type": "EPCISQueryDocument", "epcisBody": body}))) == 3
    entry, header = told(json.dumps(OBJECT))
    assert isinstance(entry, Entry)
    assert entry.value == header == OBJECT


BROKEN = {
    "": "line 1: no JSON object",
    "[]": "no JSON object",
    '{"type": "EPCISDocument"}': "no eventList in epcisBody",
    '{"epcisBody": {"eventList": [{"a": 1}': ", or ] is missing before the end of the file",
    '{"epcisBody": {"eventList": [{}]}} x': "something stands behind the document",
    '{"a": 1, "a": 2}': "the field 'a' stands twice",
    '{"epcisBody": {"eventList": [{"a": 1, "a": 2}]}}': "the field 'a' stands twice",
    '{"epcisBody": {"eventList": [\n{"a": NaN}]}}': "line 2: NaN is not JSON",
    '{"epcisBody": {"eventList": [' + "[" * 100_000: "nested too deep",
    '{"a": "' + "x" * 3_000_000: "longer than 1000000 characters, or never closed",
}


@pytest.mark.parametrize("text", BROKEN, ids=lambda text: text[:40])
def test_a_broken_document_is_refused_with_its_line(text: str) -> None:
    with pytest.raises(BrokenDocument) as broken:
        told(text, 50_000)
    assert BROKEN[text] in str(broken.value)


XML = "<EPCISDocument><EPCISBody><EventList>{}</EventList></EPCISBody></EPCISDocument>"
BROKEN_XML = {
    "<a/>": "<a> is no EPCIS document",
    "<EPCISDocument/>": "no EventList in EPCISBody",
    XML.format("<ObjectEvent>"): "line 1: not XML: mismatched tag",
    XML.format("<x>" * 100): "nested deeper than 64",
    XML.format("<ObjectEvent>" + "y" * 2_000_000): "longer than 1000000 characters",
    f'<!DOCTYPE d [<!ENTITY e "boo">]>{XML}': "uses an entity of its own, 'e': write its text",
    f'<!DOCTYPE d SYSTEM "http://x.invalid/d">{XML.format("&e;")}': "an entity of its own",
}


@pytest.mark.parametrize("text", BROKEN_XML, ids=lambda text: text[:60])
def test_broken_xml_is_refused_with_its_line(text: str) -> None:
    with pytest.raises(BrokenDocument) as broken:
        list(read_xml([text.encode()]))
    assert BROKEN_XML[text] in str(broken.value)


def long_document(events: int) -> Iterator[str]:
    one = json.dumps(OBJECT)
    yield '{"@context": [], "type": "EPCISDocument", "epcisBody": {"eventList": ['
    yield one
    for _ in range(events - 1):
        yield f",\n{one}"
    yield "]}}"


def test_a_long_document_is_read_in_the_memory_of_a_few_events() -> None:
    import tracemalloc  # noqa: PLC0415 - measured here only

    tracemalloc.start()
    count = sum(isinstance(one, Entry) for one in read_json(long_document(5_000)))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert count == 5_000
    assert peak < 2_000_000
