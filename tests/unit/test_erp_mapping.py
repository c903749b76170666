"""What an order must say, and when it is the same order again."""

import json
import re
import subprocess
import sys
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from ruamel.yaml import YAML

from bridges.erp.config import ErpSettings
from bridges.erp.formats import is_half_json as is_half
from bridges.erp.formats import place_in, read
from bridges.erp.mapping import (
    BomRule,
    FormatRules,
    Kind,
    ListRule,
    MappingRules,
    NumberRule,
    Rule,
    TextRule,
    TimeRule,
    document_of,
)
from tests.simulated import START_MS, example_plant
from uns.model.events import EVENTS
from uns.model.namespace import NamespaceError, parse_yaml
from uns.model.observation import Fact
from uns.model.path import TopicError
from uns.model.releasing import Known, New, Outcome, Refused, Repeated, release, reply

ROOT = Path(__file__).parents[2]
README = ROOT / "bridges" / "erp" / "README.md"
PLANT = example_plant()
GOOD: dict[str, Any] = {
    "order_id": "PO-17",
    "item": "pump-a",
    "quantity": 12,
    "due": "2026-11-23T14:00:00+01:00",
}


def order(**changes: Any) -> dict[str, Any]:
    """A good order with some keys replaced, or left out where None."""
    document = {**GOOD, **changes}
    return {key: value for key, value in document.items() if value is not None}


def judged(document: Any, *recorded: Fact) -> Outcome:
    known: Known = {fact.business_key or "": fact.body for fact in recorded}
    return release(document, PLANT, lambda _id: known, START_MS)


def read_document(raw: bytes) -> Any:
    content = read(".json", raw, MappingRules())
    return content if isinstance(content, Refused) else content.records[0].content


def fact_of(outcome: Outcome) -> Fact:
    assert isinstance(outcome, New), outcome
    return outcome.fact


def test_a_good_order_is_released_to_the_line_that_makes_its_item() -> None:
    fact = fact_of(judged(order(priority=70, revision=2)))
    assert (fact.path, fact.type, fact.at_ms) == ("acme/berlin/assembly/pump", "released", START_MS)
    assert fact.business_key == "PO-17@2"
    assert fact.body["due_ms"] == 1_795_438_800_000
    place = {"id": "e", "at_ms": fact.at_ms, "path": fact.path, "source": "s", "epoch": 1, "seq": 1}
    assert EVENTS["released"].model_validate({**place, **fact.body})


def test_what_the_erp_knows_of_an_item_is_compared_and_not_recorded() -> None:
    plain = fact_of(judged(order()))
    bom = {"housing-a": 1, "bearing": 2.0, "impeller": 1}
    for line in ("pump", "assembly/pump", "acme/berlin/assembly/pump"):
        known = order(unit="pcs", line=line, operations=["press", "fit", "test"], bom=bom)
        assert fact_of(judged(known)) == plain


def test_defaults_are_said() -> None:
    body = fact_of(judged(order(due=None))).body
    assert (body["due_ms"], body["priority"], body["revision"]) == (None, 50, 1)


@pytest.mark.parametrize(
    ("document", "key", "says"),
    [
        (order(order_id=None), "order_id", "missing"),
        (order(order_id=""), "order_id", "at least 1"),
        (order(order_id="x" * 129), "order_id", "at most 128"),
        (order(order_id="PO 17 " * 12), "order_id", "shorten"),
        (order(order_id=17), "order_id", "string"),
        (order(item=None), "item", "missing"),
        (order(item="pump-c"), "item", "did you mean 'pump-"),
        (order(item="bearing"), "item", "no routing"),
        (order(quantity=None), "quantity", "missing"),
        (order(quantity=0), "quantity", "greater than 0"),
        (order(quantity=-3), "quantity", "greater than 0"),
        (order(quantity=10_000_001), "quantity", "less than or equal"),
        (order(quantity="12"), "quantity", "integer"),
        (order(quantity=1.5), "quantity", "integer"),
        (order(quantity=True), "quantity", "integer"),
        (order(due="23.11.2026"), "due", "ISO 8601"),
        (order(due="2026-11-23T14:00:00"), "due", "offset"),
        (order(due="1969-01-01T00:00:00Z"), "due", "before 1970"),
        (order(due=1_795_438_800), "due", "string"),
        (order(priority=101), "priority", "less than or equal"),
        (order(revision=0), "revision", "greater than or equal"),
        (order(quantitiy=3), "quantitiy", "did you mean 'quantity'?"),
        (order(items="pump-a"), "items", "did you mean 'item'?"),
        (order(unit="kg"), "unit", "is counted in pcs"),
        (order(line="pmup"), "line", "unknown line 'pmup' (did you mean 'pump'?)"),
        (order(line="housing"), "line", "is made at acme/berlin/assembly/pump, not at 'housing'"),
        (order(operations=["press", "test"]), "operations", "press > fit > test"),
        (order(bom={"bearings": 2}), "bom", "did you mean 'bearing'?"),
        (order(bom={"bearing": 2, "impeller": 1}), "bom", "1 of 'housing-a'"),
        (order(bom={"housing-a": 1, "bearing": 3, "impeller": 1}), "bom", "2 of 'bearing'"),
        (order(bom={"bearing": 0}), "bom", "greater than 0"),
        ({}, "order_id", "(and 2 more)"),
    ],
)
def test_a_bad_order_names_its_key_and_the_fix(document: Any, key: str, says: str) -> None:
    outcome = judged(document)
    assert isinstance(outcome, Refused)
    assert outcome.key == key
    assert says in outcome.reason


# --- the same order again


def test_the_same_content_is_nothing_new_whatever_its_layout() -> None:
    first = fact_of(judged(order()))
    again = judged(dict(reversed(order(due="2026-11-23T13:00:00Z", priority=50).items())), first)
    assert isinstance(again, Repeated)


def test_other_content_needs_a_higher_revision() -> None:
    first = fact_of(judged(order()))
    conflict = judged(order(quantity=13), first)
    assert isinstance(conflict, Refused)
    assert "raise the revision above 1" in conflict.reason
    second = fact_of(judged(order(quantity=13, revision=2), first))
    assert second.business_key == "PO-17@2"
    late = judged(order(quantity=14, revision=1), first, second)
    assert isinstance(late, Refused)
    assert isinstance(judged(order(), first, second), Repeated)
    stale = judged(order(quantity=14, revision=2), fact_of(judged(order(revision=3))))
    assert isinstance(stale, Refused)
    assert "at revision 3 already" in stale.reason


# --- bytes


@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"])
def test_a_byte_order_mark_does_not_matter(mark: bytes) -> None:
    raw = mark + json.dumps(order()).encode()
    assert read_document(raw) == order()
    assert not is_half(raw)


@given(st.integers(min_value=0, max_value=len(json.dumps(GOOD)) - 1))
def test_every_beginning_of_a_file_is_a_half(length: int) -> None:
    raw = json.dumps(GOOD, indent=1).encode()
    assert is_half(raw[:length])
    assert not is_half(raw)


def test_a_half_character_is_a_half() -> None:
    raw = json.dumps({"item": "Gehäuse"}, ensure_ascii=False).encode()
    assert is_half(raw[: raw.index(b"\xc3") + 1])


@pytest.mark.parametrize(
    ("raw", "says"),
    [
        (b'{"order_id": "PO-1",}', "not JSON"),
        (b'{"quantity": NaN}', "NaN"),
        (b'{"a": 1, "a": 2}', "twice"),
        (b"[1, 2]", "object"),
        (b'{"item": "\xff"}', "UTF-8"),
        (b'{"a":' * 100_000 + b"1" + b"}" * 100_000, "nested"),
    ],
)
def test_rubbish_is_refused_not_waited_for(raw: bytes, says: str) -> None:
    assert not is_half(raw)
    outcome = read_document(raw)
    assert isinstance(outcome, Refused)
    assert says in outcome.reason


@given(st.binary(max_size=200))
def test_any_bytes_are_judged(raw: bytes) -> None:
    is_half(raw)
    document = read_document(raw)
    if not isinstance(document, Refused):
        judged(document)


def test_the_place_of_a_key() -> None:
    text = json.dumps(order(), indent=2)
    assert place_in(text, "order_id") == (2, 3)
    assert place_in(text, "quantity") == (4, 3)
    assert place_in(text, "") == (1, 1)
    assert place_in(text, "revision") == (1, 1)


# --- answers


def test_answers_say_the_outcome_in_words() -> None:
    new = judged(order())
    accepted = reply("acme/berlin", "R-1", new, START_MS)
    assert (accepted.path, accepted.type, accepted.key) == ("acme/berlin", "reply", "r-1--u1")
    assert accepted.body["outcome"] == "accepted"
    assert "PO-17" in accepted.body["reason"]
    again = reply("acme/berlin", "R-1", judged(order(), fact_of(new)), START_MS)
    assert again.body["outcome"] == "accepted"
    refused = reply("acme/berlin", "R-1", judged(order(item="pump-c")), START_MS)
    assert (refused.body["outcome"], refused.body["reason"][:5]) == ("refused", "item:")
    with pytest.raises(TopicError):
        reply("acme/berlin", "r" * 100, new, START_MS)


# --- README


def test_the_readme_shows_what_its_snippet_prints() -> None:
    text = README.read_text()
    (snippet,) = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    printed = subprocess.run(
        [sys.executable, "-c", snippet], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout
    assert printed.strip()
    assert printed.strip() in text


def test_the_readme_samples_are_valid() -> None:
    text = README.read_text()
    rules, sample = re.findall(r"```yaml\n(.*?)```", text, re.DOTALL)
    assert parse_yaml(rules, "sap.yaml", MappingRules).of("csv")
    for bridge in YAML(typ="safe").load(sample)["bridges"].values():
        assert bridge.pop("protocol") == "erp"
        ErpSettings.model_validate(bridge)
    (file,) = re.findall(r"```json\n(.*?)```", text, re.DOTALL)
    fact_of(judged(json.loads(file)))


# --- rules


RULE_FIELDS: dict[str, type[Rule]] = {
    "text": TextRule,
    "list": ListRule,
    "number": NumberRule,
    "time": TimeRule,
    "bom": BomRule,
}
FIELD_OF = {
    "text": "order_id",
    "list": "operations",
    "number": "quantity",
    "time": "due",
    "bom": "bom",
}


BERLIN = {"time_zone": "Europe/Berlin"}
DAY = datetime(2026, 11, 27)  # noqa: DTZ001 - as a workbook says it


def mapped(kind: str, rule: dict[str, Any], record: dict[str, Any], source: Kind = "xml") -> Any:
    """What a rule makes of a record: the value, or why not."""
    needed = {name: {"constant": 1} for name in ("order_id", "item", "quantity")}
    fields = {**needed, FIELD_OF[kind]: RULE_FIELDS[kind].model_validate(rule)}
    rules = FormatRules.model_validate({"fields": fields})
    document = document_of(record, rules, source)
    return str(document) if isinstance(document, Refused) else document.get(FIELD_OF[kind])


@pytest.mark.parametrize(
    ("kind", "rule", "record", "gives"),
    [
        ("text", {}, {"x": " a "}, "a"),
        ("text", {}, {"x": 17}, "17"),
        ("text", {}, {}, None),
        ("text", {"default": "d"}, {"x": " "}, "d"),
        ("text", {"values": {"1": "one"}}, {"x": 1}, "one"),
        ("text", {}, {"x": "y" * 300}, "order_id: longer than 256 characters (from 'x')"),
        ("text", {}, {"x": True}, "order_id: 'True' is no text (from 'x')"),
        ("number", {}, {"x": "12"}, 12),
        ("number", {}, {"x": "12.0"}, 12),
        ("number", {}, {"x": 12.0}, 12),
        ("number", {"decimal": ","}, {"x": 12.0}, 12),
        ("number", {"decimal": ","}, {"x": "1.000"}, "quantity: '1.000' is no number (from 'x')"),
        ("number", {"decimal": ",", "thousands": "."}, {"x": "1.000,0"}, 1_000),
        ("number", {"factor": 0.001}, {"x": "5000"}, 5),
        ("number", {"factor": 0.1}, {"x": "3"}, "quantity: '3' is 0.3: not a whole number"),
        ("number", {}, {"x": "1e9"}, "quantity: '1e9' is no number"),
        ("number", {}, {"x": "9" * 40}, "is no number"),
        ("number", {}, {"x": True}, "quantity: 'True' is no number"),
        ("number", {"unit_from": "u", "factors": {"KAR": 12}}, {"x": "2", "u": "KAR"}, 24),
        ("number", {"unit_from": "u", "factors": {"KAR": 12}}, {"x": "2"}, "for the unit ''"),
        ("list", {}, {"x": "a, b,"}, ["a", "b"]),
        ("list", {"separator": "/"}, {"x": "a/b"}, ["a", "b"]),
        ("list", {}, {"x": ["a", "b,c"]}, ["a", "b,c"]),
        ("list", {"values": {"1": "a", "2": "b"}}, {"x": ["2", "1"]}, ["b", "a"]),
        ("list", {"values": {"1": "a", "2": "b"}}, {"x": "2,1"}, ["b", "a"]),
        ("list", {}, {"x": ["a"] * 201}, "operations: more than 200 entries"),
        ("list", {}, {}, None),
        ("bom", {"values": {"M1": "bearing"}}, {"x": {"M1": 2.0}}, {"bearing": 2.0}),
        ("bom", {"values": {"M1": "bearing"}}, {"x": {"M2": 2.0}}, "bom: no value stands for 'M2'"),
        ("bom", {}, {"x": "M1"}, "bom: no components"),
        ("time", {}, {"x": "2026-11-27T14:00Z"}, "2026-11-27T14:00:00+00:00"),
        ("time", {}, {"x": "2026-11-27T14:00"}, "has no offset"),
        ("time", BERLIN, {"x": "2026-07-01 08:00"}, "2026-07-01T08:00:00+02:00"),
        ("time", BERLIN, {"x": "2026-11-27"}, "is a day"),
        ("time", {**BERLIN, "at": "17:00"}, {"x": "2026-11-27"}, "2026-11-27T17:00:00+01:00"),
        ("time", {**BERLIN, "at": "17:00"}, {"x": DAY}, "2026-11-27T17:00:00+01:00"),
        (
            "time",
            {**BERLIN, "format": "%d.%m.%y %H"},
            {"x": "27.11.26 8"},
            "2026-11-27T08:00:00+01:00",
        ),
        ("time", {"format": "%d.%m.%Y"}, {"x": "31.2.2026"}, "is not written as %d.%m.%Y"),
        ("time", {}, {"x": "soon"}, "'soon' is no ISO 8601 time"),
    ],
)
def test_a_rule(kind: str, rule: dict[str, Any], record: dict[str, Any], gives: Any) -> None:
    found = mapped(kind, {"from": "x", **rule}, record)
    if isinstance(gives, str) and isinstance(found, str):
        assert gives in found
    else:
        assert found == gives


@pytest.mark.parametrize(
    ("rule", "value", "gives"),
    [
        ({}, "1.000", "quantity: '1.000' may be 1000: say `decimal` in the mapping (from 'x')"),
        ({"decimal": "."}, "1.000", 1),
        ({"thousands": ".", "decimal": ","}, "1.000", 1_000),
        ({}, "1000.000", 1_000),
        ({}, "12.00", 12),
    ],
)
def test_a_thousand_in_a_table_is_no_riddle(rule: dict[str, Any], value: Any, gives: Any) -> None:
    assert mapped("number", {"from": "x", **rule}, {"x": value}, "csv") == gives


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("      item: {form: Material}", "m.yaml:5:14 unknown key 'form' (did you mean 'from'?)"),
        ("      item: {}", "say 'from' or 'constant'"),
        ("      item: {from: a, constant: b}", "say 'from' or 'constant'"),
        ("      item: {from: a, factor: 2}", "m.yaml:5:23 unknown key 'factor'"),
        ("      quantity: {from: a, decimal: ',', thousands: ','}", "same sign"),
        ("      quantity: {from: a, unit_from: b}", "'factors' goes with 'unit_from'"),
        ("      due: {from: a, time_zone: Berlin}", "m.yaml:5:33 Value error, unknown time zone"),
        ("      due: {from: a, at: noon}", "m.yaml:5:26"),
    ],
)
def test_a_fault_of_a_mapping_file_has_its_place(line: str, says: str) -> None:
    fields = {"order_id": "a", "item": "b", "quantity": "c"}
    name = line.strip().partition(":")[0]
    rules = [f"      {key}: {{from: {value}}}" for key, value in fields.items() if key != name]
    text = "\n".join(["formats:", "  csv:", "    fields:", rules.pop(0), line, *rules])
    with pytest.raises(NamespaceError) as error:
        parse_yaml(text, "m.yaml", MappingRules)
    assert says in str(error.value)


def test_an_unknown_format_is_named() -> None:
    with pytest.raises(NamespaceError, match=r"m.yaml:2:3 unknown value 'cvs' .did you mean 'csv'"):
        parse_yaml("formats:\n  cvs: {fields: {}}\n", "m.yaml", MappingRules)
