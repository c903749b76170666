"""What an order must say, and when it is the same order again."""

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from ruamel.yaml import YAML

from bridges.erp.config import ErpSettings
from bridges.erp.mapping import (
    Known,
    New,
    Outcome,
    Refused,
    Repeated,
    is_half,
    place_in,
    read_document,
    release,
    reply,
)
from tests.simulated import START_MS, example_plant
from uns.model.events import EVENTS
from uns.model.observation import Fact
from uns.model.path import TopicError

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
    (sample,) = re.findall(r"```yaml\n(.*?)```", text, re.DOTALL)
    for bridge in YAML(typ="safe").load(sample)["bridges"].values():
        assert bridge.pop("protocol") == "erp"
        ErpSettings.model_validate(bridge)
    (file,) = re.findall(r"```json\n(.*?)```", text, re.DOTALL)
    fact_of(judged(json.loads(file)))
