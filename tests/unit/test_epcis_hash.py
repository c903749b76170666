"""Hash ids of events: CBV 2.0, 8.9.2, against what other people's code computed."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from bridges.epcis.checks import faults_of_document, faults_of_event
from bridges.epcis.digital_link import canonical
from bridges.epcis.document import Entry
from bridges.epcis.event_hash import hash_id, instant, namespaces_of, pre_hash
from bridges.epcis.folder import read
from tests.example import ROOT

GOLDEN = ROOT / "tests" / "golden" / "epcis"
STANDARD = ROOT.parent / "shared" / "data" / "epcis" / "examples"
EXPECTED: dict[str, Any] = json.loads((GOLDEN / "expected.json").read_text())
beside = pytest.mark.skipif(not STANDARD.exists(), reason=f"no examples at {STANDARD}")

REFERENCE: dict[str, Any] = {
    "type": "ObjectEvent",
    "eventTime": "2020-03-04T11:00:30.000+01:00",
    "eventTimeZoneOffset": "+01:00",
    "epcList": [f"urn:epc:id:sscc:4012345.0000000{n}" for n in (333, 111, 222)],
    "action": "OBSERVE",
    "bizStep": "departing",
    "readPoint": {"id": "urn:epc:id:sgln:4012345.00011.987"},
    "my:myField1": {"my:mySubField1": "2", "my:mySubField2": "5"},
    "my:myField2": "0",
    "my:myField3": {"my:mySubField3": ["3", "1"]},
}
NAMESPACES = {"my": "https://ns.example.com/epcis/"}


def events(path: Path) -> Iterator[tuple[dict[str, Any], dict[str, str]]]:
    *entries, header = read(path)
    assert isinstance(header, dict)
    assert faults_of_document(header) == []
    for entry in entries:
        assert isinstance(entry, Entry)
        yield entry.value, namespaces_of(header["@context"])


def ids(path: Path) -> list[str]:
    return [hash_id(event, namespaces) for event, namespaces in events(path)]


def test_the_published_example_has_its_published_hash() -> None:
    """The reference example 1 and its hash id, as its authors published both."""
    published = "6ae96341e0acc6d7a261364751f60e68278a81cdf51da0abb6b4e617014e39d7"
    assert hash_id(REFERENCE, NAMESPACES) == f"ni:///sha-256;{published}?ver=CBV2.0"


@pytest.mark.parametrize("name", ["sound.jsonld", "sound.xml"])
def test_our_documents_have_the_ids_that_others_compute(name: str) -> None:
    assert [faults_of_event(event) for event, _ in events(GOLDEN / name)].count([]) > 3
    assert ids(GOLDEN / name) == EXPECTED[name]


@beside
@pytest.mark.parametrize("name", EXPECTED["standard"])
def test_examples_of_the_standard_have_the_ids_that_others_compute(name: str) -> None:
    wanted = EXPECTED["standard"][name]
    assert ids(STANDARD / name) == [f"ni:///sha-256;{one}?ver=CBV2.0" for one in wanted]


@beside
def test_ways_of_writing_one_event_have_one_id() -> None:
    """Files 4 and 6 are one event. File 2 says another offset, which is a field like any other."""
    two, four, six = (
        next(events(STANDARD / f"WithEventHashID__event_with_identical_hash_id_{n}.xml"))
        for n in (2, 4, 6)
    )
    assert hash_id(*four) == hash_id(*six)
    assert (two[0]["eventTimeZoneOffset"], four[0]["eventTimeZoneOffset"]) == ("-05:00", "-06:00")
    two[0]["eventTimeZoneOffset"] = "-06:00"
    assert hash_id(*two) == hash_id(*four)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("eventTime", "2020-03-04T11:00:30.001+01:00"),
        ("eventTimeZoneOffset", "+02:00"),
        ("epcList", REFERENCE["epcList"][:2]),
        ("action", "DELETE"),
        ("bizStep", "arriving"),
        ("readPoint", {"id": "urn:epc:id:sgln:4012345.00011.986"}),
        ("my:myField2", "1"),
        ("my:myField4", "0"),
        ("bizTransactionList", [{"bizTransaction": "urn:x:1"}]),
    ],
)
def test_another_event_has_another_id(field: str, value: object) -> None:
    assert hash_id({**REFERENCE, field: value}, NAMESPACES) != hash_id(REFERENCE, NAMESPACES)


@pytest.mark.parametrize(
    "same",
    [
        {"eventID": "urn:uuid:1", "recordTime": "2020-03-04T12:00:00Z", "rdfs:comment": "hello"},
        {"errorDeclaration": {"declarationTime": "2020-03-05T00:00:00Z"}},
        {"eventTime": "2020-03-04T05:00:30-05:00"},
        {"eventTime": "2020-03-04T10:00:29.9995Z"},
        {"bizStep": "https://ref.gs1.org/cbv/BizStep-departing"},
        {"bizStep": "cbv:BizStep-departing"},
        {"bizStep": "urn:epcglobal:cbv:bizstep:departing"},
        {"readPoint": {"id": " https://x.example/gln/4012345000115/254/987?a=b "}},
        {"my:myField2": 0.0},
        {"my:myField3": {"my:mySubField3": [{"@value": "01"}, "+3.0"]}},
    ],
)
def test_what_means_the_same_has_the_same_id(same: dict[str, Any]) -> None:
    assert pre_hash({**REFERENCE, **same}, NAMESPACES) == pre_hash(REFERENCE, NAMESPACES)


def test_a_number_in_an_exponent_cannot_be_made_huge() -> None:
    assert "=1e999999999" in pre_hash({**REFERENCE, "my:x": "1e999999999"}, NAMESPACES)


def test_half_a_millisecond_is_rounded_up() -> None:
    assert instant("2026-12-31T23:59:59.9995Z") == "2027-01-01T00:00:00.000Z"
    assert instant("2026-11-23T00:00:00.0004999+00:30") == "2026-11-22T23:30:00.000Z"


@pytest.mark.parametrize(
    ("uri", "link"),
    [
        ("urn:epc:id:sgtin:0614141.107346.2017", "/01/10614141073464/21/2017"),
        ("urn:epc:class:lgtin:4012345.012345.99%2F8", "/01/04012345123456/10/99%2F8"),
        ("urn:epc:idpat:sgtin:4012345.098765.*", "/01/04012345987652"),
        ("urn:epc:id:sscc:0614141.1234567890", "/00/106141412345678908"),
        ("urn:epc:id:sgln:0614141.00777.0", "/414/0614141007776"),
        ("urn:epc:id:sgln:0037000.00729.8202", "/414/0037000007296/254/8202"),
        ("urn:epc:id:pgln:4012345.00225", "/417/4012345002256"),
        ("urn:epc:id:gdti:0614141.00001.1618034", "/253/06141410000121618034"),
        ("urn:epc:id:grai:4012345.55555.987", "/8003/04012345555554987"),
        ("urn:epc:id:giai:4000001.111", "/8004/4000001111"),
        ("urn:epc:id:gsrn:0614141.0000010253", "/8018/061414100000102534"),
        ("urn:epc:id:gsrnp:0614141.0000010253", "/8017/061414100000102534"),
        ("urn:epc:id:gsin:0614141.123456789", "/402/06141411234567890"),
        ("urn:epc:id:cpi:0614141.123ABC.123456789", "/8010/0614141123ABC/8011/123456789"),
        ("urn:epc:id:itip:4012345.012345.01.02.987", "/8006/040123451234560102/21/987"),
        ("urn:epc:id:upui:1234567.098765.51qIgY)", "/01/01234567987651/235/51qIgY%29"),
        ("urn:epc:id:sgcn:4012345.67890.04711", "/255/401234567890104711"),
        ("urn:epc:id:ginc:0614141.xyz3311", "/401/0614141xyz3311"),
        ("https://shop.example/a/gtin/614141777778/lot/987", "/01/00614141777778/10/987"),
        ("https://id.gs1.org/01/04012345111224/22/2A/10/L1/21/25", "/01/04012345111224/21/25"),
    ],
)
def test_gs1_identifiers_have_one_form(uri: str, link: str) -> None:
    assert canonical(uri) == f"https://id.gs1.org{link}"


@pytest.mark.parametrize(
    "text",
    [
        "urn:epc:id:sgtin:0614141.10734.2017",
        "urn:epc:id:sgtin:abc.107346.1",
        "urn:epc:id:nothing:0614141.1",
        "urn:epc:class:lgtin:4012345.012345.99/8",
        "urn:epc:idpat:sgtin:4012345.*.*",
        "https://shop.example/01/123",
        "http://[half",
        "urn:uuid:404d95fc-9457-4a51-bd6a-0bba133845a8",
        "plain words",
    ],
)
def test_other_texts_are_no_gs1_identifiers(text: str) -> None:
    assert canonical(text) is None
