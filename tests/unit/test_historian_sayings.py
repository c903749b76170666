"""What the historian says: documents that fit the contract, at topics that obey the grammar."""

import json
from typing import Any

import pytest

from tests.brokers import small_plant
from tests.speech import PLC
from uns.codec import BYTES_MAX, Codec, Message
from uns.historian.quarantine import RejectNote
from uns.historian.recorder import Watermark
from uns.historian.sayings import (
    Health,
    last_will,
    own_topics,
    say_health,
    say_reject,
    say_watermark,
    watermark_topic,
)
from uns.mqtt.message import Outgoing, Will

CODEC = Codec(small_plant())
NOTE = RejectNote("bad-json", "not JSON", "acme/berlin/_tag/x", None, 7, "e30=", "0" * 64, 5)
HEALTH = Health(
    "main", "duckdb", available=True, reason=None, rows=10, rows_per_s=2.5, lag_ms=120, at_ms=5
)


def document(said: Outgoing | Will | None) -> dict[str, Any]:
    """The document of a message that our own codec takes."""
    assert said
    assert said.retain
    decoded = CODEC.decode(said.topic, said.payload, retain=True)
    assert isinstance(decoded, Message)
    found: dict[str, Any] = json.loads(said.payload)
    assert next(iter(found)) == "summary"
    return found


@pytest.mark.parametrize(
    ("source", "topic"),
    [
        (PLC, "acme/_hub/watermark/plc/acme/berlin/machining/housing"),
        ("processor:oee:acme.b.c.d", "acme/_hub/watermark/processor/oee/acme/b/c/d"),
        ("erp:acme.berlin", "acme/_hub/watermark/erp/acme/berlin"),
        ("A b", "acme/_hub/watermark/a-b--x412062"),
        ("x/../#", "acme/_hub/watermark/x--x782f2e2e2f23"),
        ("ä" * 60, None),
    ],
)
def test_a_source_has_a_topic_by_writer_and_place(source: str, topic: str | None) -> None:
    assert watermark_topic("acme", source) == topic
    said = say_watermark("acme", Watermark(source, 1, 2, 1), 5)
    assert (said and said.topic) == topic


def test_a_watermark_says_stored_and_settled() -> None:
    found = document(say_watermark("acme", Watermark(PLC, 3, 20, 15), 99))
    assert found == {
        "summary": "20 stored, 15 settled",
        "source": PLC,
        "epoch": 3,
        "seq": 20,
        "settled": 15,
        "at_ms": 99,
    }


def test_a_reject_carries_count_reason_and_original() -> None:
    assert document(say_reject("acme", NOTE)) == {
        "summary": "7 bad-json: not JSON",
        "reject_class": "bad-json",
        "reason": "not JSON",
        "topic": "acme/berlin/_tag/x",
        "count": 7,
        "original_base64": "e30=",
        "original_sha256": "0" * 64,
        "at_ms": 5,
    }
    from_bridge = document(say_reject("acme", NOTE._replace(origin="orders/1.json")))
    assert (from_bridge["origin"], "topic" in from_bridge) == ("orders/1.json", False)


def test_a_huge_original_is_cut_and_a_strange_class_has_a_place() -> None:
    said = say_reject("acme", NOTE._replace(original_base64="A" * 2_000_000))
    assert len(said.payload) < BYTES_MAX["_hub"]
    assert len(document(said)["original_base64"]) % 4 == 0
    strange = say_reject("acme", NOTE._replace(reject_class="#" * 60))
    assert strange.topic == "acme/_hub/reject/other"
    assert document(strange)["reject_class"] == "#" * 60


def test_health_and_the_last_will_share_a_topic() -> None:
    well = say_health("acme", HEALTH)
    assert document(well)["summary"] == "main on duckdb: 2 rows/s, 120 ms behind"
    away = say_health("acme", HEALTH._replace(available=False, reason="disk full"))
    assert document(away)["summary"] == "main on duckdb: store away: disk full"
    gone = last_will("acme", "main", 5)
    assert (gone.topic, document(gone)["connected"]) == (well.topic, False)
    assert well.topic.startswith(own_topics("acme"))
