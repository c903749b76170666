"""The parse point: what is let in, and each class of reject with its reason."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.example import HOUSING, MILL, plant
from uns.codec import (
    BYTES_MAX,
    DEPTH_MAX,
    Cleared,
    Codec,
    Message,
    Reject,
    encode_document,
    encode_event,
    encode_tag,
)
from uns.fold import Draft
from uns.model.commands import COMMANDS, ReleaseOrder
from uns.model.events import EVENTS, Counted, Tag
from uns.model.path import RETAINED, Topic, parse_topic

CODEC = Codec(plant())
ERP = "erp:acme.berlin.machining.housing"
GOOD = f"{MILL}/_tag/good"
COUNTED = f"{MILL}/_event/counted"
SOURCE = "plc-machining:acme.berlin.machining.housing"
EVENT: dict[str, Any] = {
    "id": f"{SOURCE}:1:1",
    "type": "counted",
    "at_ms": 1_795_410_000_000,
    "path": MILL,
    "source": SOURCE,
    "epoch": 1,
    "seq": 1,
    "good": 2,
    "scrap": 0,
}
VERDICT = {
    **EVENT,
    "type": "verdict",
    "sample_id": "s1",
    "verdict": "pass",
    "characteristics": [],
}
TAG = {"value": 7, "timestamp_ms": 1_795_410_000_000, "quality": "good"}
RELEASE = {"request_id": "r1", "order": {"order_id": "PO-1"}}


def packed(original: dict[str, Any], **changes: Any) -> bytes:
    return json.dumps({**original, **changes}).encode()


def without(original: dict[str, Any], *keys: str) -> bytes:
    return json.dumps({k: v for k, v in original.items() if k not in keys}).encode()


def test_a_tag_an_event_a_command_and_a_document_come_in() -> None:
    tag = CODEC.decode(GOOD, packed(TAG, unit="pcs"), retain=True)
    assert isinstance(tag, Message)
    assert tag.topic == Topic(MILL, "_tag", "good")
    assert isinstance(tag.value, Tag)
    event = CODEC.decode(COUNTED, packed(EVENT))
    assert isinstance(event, Message)
    assert isinstance(event.value, Counted)
    assert event.value.good == 2
    command = CODEC.decode(f"{HOUSING}/_cmd/order/release", packed(RELEASE))
    assert isinstance(command, Message)
    assert isinstance(command.value, ReleaseOrder)
    document = CODEC.decode(f"{HOUSING}/_state/oee", b'{"summary":"x"}', retain=True)
    assert document == Message(Topic(HOUSING, "_state", "oee"), {"summary": "x"})


def test_an_empty_retained_payload_is_a_deletion() -> None:
    for kind in RETAINED - {"_tag"}:
        topic = parse_topic(f"{MILL}/{kind}/x")
        assert CODEC.decode(str(topic), b"") == Message(topic, Cleared(topic))


def test_a_processor_and_the_erp_may_write_what_is_theirs() -> None:
    verdict = {k: v for k, v in VERDICT.items() if k not in ("good", "scrap")}
    mine = packed(verdict, source=f"processor:quality:{HOUSING.replace('/', '.')}")
    assert isinstance(CODEC.decode(f"{MILL}/_event/verdict", mine), Message)
    order = {"order_id": "PO-1", "item": "housing-a", "quantity": 5}
    released = {
        **EVENT,
        "type": "released",
        "path": HOUSING,
        "source": "erp:acme.berlin.machining.housing",
        **order,
    }
    payload = without(released, "good", "scrap")
    assert isinstance(CODEC.decode(f"{HOUSING}/_event/released", payload), Message)


DEEP = b'{"a":' * (DEPTH_MAX + 1) + b"1" + b"}" * (DEPTH_MAX + 1)
REJECTS: list[tuple[str, str, bytes, str]] = [
    ("bad-topic", "acme/Berlin/_tag/x", packed(TAG), "segment 'Berlin'"),
    ("bad-topic", "acme/berlin", packed(TAG), "no kind"),
    ("unknown-topic", "acme/paris/_tag/x", packed(TAG), "no place 'acme/paris'"),
    ("unknown-topic", f"{MILL}/_tag/oil", packed(TAG), "no tag 'oil'"),
    ("unknown-topic", f"{HOUSING}/_tag/good", packed(TAG), "no tag 'good'"),
    ("empty", COUNTED, b"", "says nothing under _event"),
    ("empty", f"{HOUSING}/_cmd/order/release", b"", "says nothing under _cmd"),
    ("oversize", GOOD, b" " * 151, "151 bytes: at most 150 under _tag"),
    ("oversize", COUNTED, b" " * 96_001, "at most 96000"),
    ("bad-json", GOOD, b"\xff{}", "not UTF-8 at byte 0"),
    ("bad-json", GOOD, b"{", "not JSON"),
    ("bad-json", GOOD, b"[1]", "must be a JSON object"),
    ("bad-json", GOOD, b'{"value":NaN}', "NaN is not JSON"),
    ("bad-json", GOOD, b'{"value":-Infinity}', "-Infinity is not JSON"),
    ("bad-json", GOOD, b'{"value":1e999}', "1e999 is beyond"),
    ("bad-json", COUNTED, b'{"value":' + b"1" * 5_000 + b"}", "not JSON"),
    ("bad-json", GOOD, b'{"value":1,"value":2}', "stands twice"),
    ("bad-json", COUNTED, b"[" * 90_000, "nested deeper than 32"),
    ("bad-json", COUNTED, DEEP, "nested deeper than 32"),
    ("bad-json", GOOD, b'{"value":"a\\u0000b"}', "NUL"),
    ("bad-json", GOOD, b'{"a":[{"\\ud800":1}]}', "surrogate"),
    ("unknown-event", f"{MILL}/_event/exploded", packed(EVENT), "no event type 'exploded'"),
    ("bad-payload", GOOD, without(TAG, "quality"), "quality: Field required"),
    ("bad-payload", GOOD, packed(TAG, value=[1]), "value"),
    ("bad-payload", GOOD, packed(TAG, quality="fine"), "quality"),
    ("bad-payload", GOOD, packed(TAG, extra=1), "extra"),
    ("bad-payload", COUNTED, packed(EVENT, good=-1), "good"),
    ("bad-payload", COUNTED, packed(EVENT, good="many"), "good"),
    ("bad-payload", COUNTED, packed(EVENT, at_ms=2**53), "at_ms"),
    ("bad-payload", COUNTED, packed(EVENT, seq=0), "seq"),
    ("bad-payload", COUNTED, packed(EVENT, order_id="x" * 129), "order_id"),
    ("bad-payload", COUNTED, packed(EVENT, type="loaded"), "type"),
    ("wrong-path", f"{HOUSING}/_event/counted", packed(EVENT), f"path '{MILL}' under"),
    (
        "wrong-writer",
        COUNTED,
        packed(EVENT, source="plc-assembly:x"),
        "only plc-machining may",
    ),
    (
        "wrong-writer",
        f"{MILL}/_event/verdict",
        without(VERDICT, "good", "scrap"),
        "verdict from 'plc-machining': only processor may",
    ),
    ("unknown-command", f"{HOUSING}/_cmd/order/eat", packed(RELEASE), "known: order/release"),
    ("bad-payload", f"{HOUSING}/_cmd/order/release", b'{"request_id":"r1"}', "order"),
]


@pytest.mark.parametrize(
    ("reject_class", "topic", "payload", "says"),
    [pytest.param(*row, id=f"{n}-{row[0]}") for n, row in enumerate(REJECTS)],
)
def test_a_message_outside_the_contract_is_rejected_with_its_bytes(
    reject_class: str, topic: str, payload: bytes, says: str
) -> None:
    reject = CODEC.decode(topic, payload)
    assert isinstance(reject, Reject)
    assert reject.reject_class == reject_class
    assert says in reject.reason
    assert (reject.topic, reject.original) == (topic, payload)


def test_a_retained_command_is_refused() -> None:
    reject = CODEC.decode(f"{HOUSING}/_cmd/order/release", packed(RELEASE), retain=True)
    assert isinstance(reject, Reject)
    assert reject.reject_class == "retained-command"


@given(st.sampled_from([GOOD, COUNTED, f"{HOUSING}/_state/x"]) | st.text(max_size=40), st.binary())
def test_any_message_is_taken_or_rejected(topic: str, payload: bytes) -> None:
    assert isinstance(CODEC.decode(topic, payload), Message | Reject)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=8,
)


@given(
    st.sampled_from([*EVENTS]),
    st.dictionaries(st.sampled_from([*EVENT, "order_id", "values", "lot"]), json_values),
)
def test_any_document_is_taken_or_rejected(name: str, document: dict[str, Any]) -> None:
    payload = json.dumps({**EVENT, **document}).encode()
    assert isinstance(CODEC.decode(f"{MILL}/_event/{name}", payload), Message | Reject)


def test_an_event_is_encoded_in_one_way_and_comes_back() -> None:
    draft = Draft(MILL, "counted", 1_795_410_000_000, {"good": 2, "scrap": 0})
    payload = encode_event(draft, SOURCE, 1, 9)
    assert payload == encode_event(draft, SOURCE, 1, 9)
    assert payload.startswith(b'{"id":"plc-machining:acme.berlin.machining.housing:1:9","type"')
    message = CODEC.decode(draft.topic, payload)
    assert isinstance(message, Message)
    named = Draft(MILL, "counted", 1, {"good": 2, "scrap": 0}, "k1", "input>x.0")
    assert named.topic == f"{MILL}/_event/counted/k1"
    assert json.loads(encode_event(named, SOURCE, 1, 9))["id"] == "input>x.0"


def test_a_document_with_nan_is_never_sent() -> None:
    with pytest.raises(ValueError, match="not JSON compliant"):
        encode_document({"value": float("nan")})


def test_half_a_surrogate_is_sent_as_a_question_mark() -> None:
    text = b"S\xe4ge".decode(errors="surrogateescape")
    assert json.loads(encode_document({"of": {text: [text]}})) == {"of": {"S?ge": ["S?ge"]}}
    assert json.loads(encode_tag(text, 1, "bad", None, text))["reason"] == "S?ge"


@given(
    st.none() | st.booleans() | st.integers(-(2**63), 2**64) | st.text(max_size=300),
    st.none() | st.text(max_size=300),
)
def test_a_tag_payload_is_never_longer_than_its_bound(
    value: str | float | None, reason: str | None
) -> None:
    payload = encode_tag(value, 2**53 - 1, "uncertain", "l/min", reason)
    assert len(payload) <= BYTES_MAX["_tag"]
    assert json.loads(payload)["quality"] == "uncertain"


def test_every_command_says_how_it_is_called() -> None:
    assert set(COMMANDS) == {
        "order/release",
        "order/{command}",
        "stop/{command}",
        "kanban/{command}",
        "chart/{command}",
        "inspection/{command}",
        "hold/{command}",
        "write/{tag}",
    }
