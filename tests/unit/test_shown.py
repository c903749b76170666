"""Public documents: live at once, on record at most every few seconds, cleared after history."""

import json

from uns.fold import Document
from uns.mqtt.message import Outgoing
from uns.runtime.shown import RECORD_EVERY_S, Documents, Moment

TOPIC = "acme/b/a/l/_state/order/po-1"


def shown(out: list[Outgoing]) -> list[tuple[int, int]]:
    """(good, rev) of what is published; a cleared topic is (-1, -1)."""
    documents: list[Document] = [json.loads(o.payload) if o.payload else {} for o in out]
    return [(d.get("good", -1), d.get("rev", -1)) for d in documents]


def good(count: int) -> dict[str, Document]:
    return {TOPIC: {"summary": "", "good": count}}


def test_facts_are_shown_at_once_and_recorded_later_with_the_newest_value() -> None:
    documents = Documents({})
    assert shown(documents.changed(good(0), Moment(1, 1, 5, 0, moved=True), 0)) == [(0, 1)]
    assert shown(documents.changed(good(1), Moment(2, 1, 5, 1, moved=True), 0)) == [(1, 1)]
    assert shown(documents.changed(good(1), Moment(2, 1, 5, 2, moved=False), 0)) == []
    due = Moment(2, 1, 5, RECORD_EVERY_S, moved=False)
    assert shown(documents.changed(good(1), due, 0)) == [(1, 2)]
    assert shown(documents.changed(good(1), due, 0)) == []


def test_time_alone_gives_no_revision() -> None:
    documents = Documents({})
    documents.changed(good(0), Moment(1, 1, 5, 0, moved=True), 0)
    later = Moment(9, 1, 5, 10 * RECORD_EVERY_S, moved=False)
    assert shown(documents.changed(good(5), later, 0)) == [(5, 1)]


def test_an_ended_topic_is_cleared_when_its_facts_are_on_record_and_stays_cleared() -> None:
    documents = Documents({})
    documents.changed(good(3), Moment(1, 1, 5, 0, moved=True), 7)
    assert documents.changed({}, Moment(2, 1, 5, 1, moved=True), 8) == []
    assert documents.cleared(7) == []
    assert shown(documents.cleared(8)) == [(-1, -1)]
    assert documents.changed({}, Moment(3, 1, 5, 2, moved=False), 8) == []
    told_again = documents.changed({}, Moment(3, 1, 5, 3, moved=True, everything=True), 8)
    assert shown(told_again) == [(-1, -1)]
