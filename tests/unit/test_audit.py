"""The audit of one processor and line: another byte in a document names its topic."""

from typing import Any

import pytest

from processors.quality import build
from tests.example import EARLY_MS, HOUSING, MILL, numbered, plant
from uns.cli.audit import Given, Shown, audit
from uns.codec import Stamps, encode_state
from uns.fold import Mark, advance
from uns.historian.kept import Kept

QUALITY = build(plant())
RESUME = f"{HOUSING}/_hub/processor/quality"
NOW_MS = EARLY_MS + 60_000
MARKS = {"plc:x": Mark(1, 1)}


def given() -> Given[Any]:
    sample = {"type": "inspected", "path": MILL, "at_ms": EARLY_MS, "sample_id": "s1", "values": {}}
    state = advance(QUALITY, QUALITY.initial(HOUSING), *numbered([sample])).state
    kept = Kept(
        version=QUALITY.version, plant="", base_rev=1, rev=3, owner_epoch=1, output_epoch=1,
        output_seq=1, marks=MARKS, order_no=0, order=(), ticked_ms=NOW_MS, clearing={},
        state=state.model_dump(mode="json"),
    )  # fmt: skip
    return Given(QUALITY, RESUME, kept, state, MARKS)


def documents() -> dict[str, bytes]:
    drawn = given().drawn(NOW_MS)
    return {topic: encode_state(d, Stamps(3, 1, NOW_MS)) for topic, d in drawn.items()}


def found(shown: dict[str, bytes]) -> set[str]:
    return {finding.topic for finding in audit(given(), Shown(b"", shown), NOW_MS)}


def test_documents_as_history_gives_them_are_no_finding() -> None:
    assert documents()
    assert found(documents()) == set()


@pytest.mark.parametrize("topic", documents())
def test_any_flipped_byte_names_its_topic(topic: str) -> None:
    whole = documents()[topic]
    for place in range(len(whole)):
        payload = bytearray(whole)
        payload[place] ^= 1
        assert topic in found({**documents(), topic: bytes(payload)}), place
