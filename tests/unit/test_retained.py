"""What is the newer payload of a topic, and what must be published for the tree to be right."""

from typing import Any

import pytest

from uns.codec import encode_document, encode_tag
from uns.mqtt.message import Outgoing
from uns.runtime.retained import Remembered, Tree, age_of

TAG = "acme/berlin/machining/housing/mill/_tag/speed"
ORDER = "acme/berlin/machining/housing/_state/order/po-1"


def tag(at_ms: int, quality: Any = "good", value: float = 1.5) -> bytes:
    return encode_tag(value, at_ms, quality, "rpm")


def state(rev: int, owner_epoch: int = 1, drawn_ms: int = 0, text: str = "") -> bytes:
    stamp = {"rev": rev, "owner_epoch": owner_epoch, "drawn_ms": drawn_ms}
    return encode_document({"summary": f"rev {rev}{text}", **stamp})


def repaired(
    stands: dict[str, bytes],
    expected: dict[str, bytes] | None = None,
    cleared: dict[str, bytes] | None = None,
) -> dict[str, bytes]:
    """What a tree asks to be published, whichever it heard of first: broker or record."""
    remembered = Remembered(expected or {}, cleared or {})
    heard_first, recorded_first = Tree(), Tree()
    for topic, payload in stands.items():
        heard_first.hear(topic, payload)
    heard_first.remember(remembered)
    recorded_first.remember(remembered)
    for topic, payload in stands.items():
        recorded_first.hear(topic, payload)
    assert heard_first.repairs() == recorded_first.repairs()
    assert all(repair.retain for repair in heard_first.repairs())
    return {repair.topic: repair.payload for repair in heard_first.repairs()}


def test_what_is_missing_is_said_again_byte_for_byte() -> None:
    assert repaired({}, {TAG: tag(5), ORDER: state(3)}) == {TAG: tag(5), ORDER: state(3)}


def test_what_stands_as_recorded_is_left_alone() -> None:
    assert repaired({TAG: tag(5), ORDER: state(3)}, {TAG: tag(5), ORDER: state(3)}) == {}


@pytest.mark.parametrize(
    ("topic", "older", "newer"),
    [
        (TAG, tag(4), tag(5)),
        (TAG, tag(5, "good"), tag(5, "bad")),
        (TAG, tag(5, "uncertain"), tag(5, "bad")),
        (TAG, b"{ no JSON", tag(5)),
        (TAG, b"[1]", tag(5)),
        (TAG, b'{"value":1,"timestamp_ms":"5","quality":["good"]}', tag(5)),
        (ORDER, state(3), state(4)),
        (ORDER, state(9, owner_epoch=1), state(4, owner_epoch=2)),
        (ORDER, state(4, drawn_ms=10), state(4, drawn_ms=20)),
        (ORDER, b'{"summary":"of an older hub","rev":7}', state(4)),
        (ORDER, b"[" * 100_000, state(4)),
    ],
)
def test_an_older_value_gives_way_and_a_newer_one_never(
    topic: str, older: bytes, newer: bytes
) -> None:
    assert repaired({topic: older}, {topic: newer}) == {topic: newer}
    assert repaired({topic: newer}, {topic: older}) == {}


def test_of_two_that_are_as_old_the_one_that_stands_is_kept() -> None:
    assert repaired({ORDER: state(4, text=" here")}, {ORDER: state(4)}) == {}


def test_a_ghost_is_cleared_also_when_it_was_drawn_after_its_last_record() -> None:
    ghost = {ORDER: state(4, drawn_ms=99)}
    assert repaired(ghost, cleared={ORDER: state(4, drawn_ms=10)}) == {ORDER: b""}
    assert repaired({ORDER: state(3)}, cleared={ORDER: state(4)}) == {ORDER: b""}


def test_what_came_back_to_life_after_it_was_cleared_is_no_ghost() -> None:
    assert repaired({ORDER: state(5)}, cleared={ORDER: state(4)}) == {}
    assert repaired({ORDER: state(5)}, cleared={ORDER: b""}) == {}


def test_what_the_record_has_never_seen_is_left_alone() -> None:
    assert repaired({ORDER: state(1), TAG: tag(1)}) == {}


def test_a_topic_cleared_while_we_look_is_not_said_again() -> None:
    tree = Tree()
    tree.hear(ORDER, state(4))
    tree.hear(ORDER, b"")
    assert list(tree.topics) == []
    assert tree.remember(Remembered({ORDER: state(4)}, {})) == 0
    assert tree.repairs() == []
    tree.hear(ORDER, state(4))  # our own repair was under way: it made a ghost
    assert tree.repairs() == [Outgoing(ORDER, b"", retain=True)]
    tree.hear(ORDER, state(5))
    assert tree.repairs() == []


def test_an_owner_who_was_overtaken_by_our_repair_gets_his_last_word_back() -> None:
    tree = Tree()
    assert tree.remember(Remembered({TAG: tag(5)}, {})) == 0
    tree.hear(TAG, tag(7))
    tree.hear(TAG, tag(5))
    assert tree.repairs() == [Outgoing(TAG, tag(7), retain=True)]
    tree.hear(TAG, tag(7))
    assert tree.repairs() == []


def test_how_many_of_the_expected_stand_is_counted() -> None:
    tree = Tree()
    tree.hear(TAG, tag(1))
    tree.hear("acme/berlin/machining/housing/mill/_tag/else", tag(1))
    assert tree.remember(Remembered({TAG: tag(5), ORDER: state(1)}, {})) == 1


def test_the_age_of_no_document_is_below_all_others() -> None:
    assert age_of(ORDER, b"") == age_of(TAG, b"null") < age_of(TAG, tag(0))
