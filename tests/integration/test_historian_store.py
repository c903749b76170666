"""One suite for every store: what is written once stands once, and nothing acknowledged is lost."""

import base64
import json
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from tests.speech import (
    LINE,
    MILL,
    NOON,
    PLC,
    WASH,
    Sent,
    event,
    new_writer,
    output,
    record,
    resume,
    state,
    tag,
)
from tests.stores import SERVERS
from uns.historian.queries import newest, newest_processor_state
from uns.historian.reader import open_reader
from uns.historian.recorder import Watermark
from uns.historian.rows import RESUMES_KEPT
from uns.historian.store import Store, open_store
from uns.historian.writer import Told, Writer
from uns.model.observation import Scalar


@pytest.fixture
def store(location: str) -> Any:
    opened = open_store(location, lambda: NOON)
    yield opened
    opened.close()


def rows(store: Store, location: str, sql: str) -> list[tuple[Any, ...]]:
    """Rows as a reader sees them; an embedded store has to be let go for it."""
    store.close()
    with open_reader(location) as reader:
        return reader.query(sql).rows


def count(store: Store, location: str, table: str) -> int:
    return len(rows(store, location, f"TABLE {table}"))


def everything(store: Store, location: str) -> list[list[tuple[Any, ...]]]:
    """All rows of all tables but the watermarks, whose `at_ms` moves."""
    return [sorted(rows(store, location, f"TABLE {table}"), key=repr) for table in TABLES[:-1]]


YES: Scalar = True
MIXED = (
    event(1),
    event(2, "state-changed", {"state": "EXECUTE"}),
    tag(1.5, NOON),
    tag(YES, NOON + 1),
    tag("PO-1", NOON + 2),
    tag(None, NOON + 3),
    tag(2**60, NOON + 4),
    state("oee", 1, {"oee": 0.5}),
    resume("oee", 1, {PLC: (1, 2)}),
    Sent(f"{MILL}/_tag/tag-0", b"{"),
)
TABLES = ("events", "tags", "states", "processor_states", "rejects", "watermarks")


def test_every_kind_of_row_is_stored(store: Store, location: str) -> None:
    record(new_writer(store), *MIXED)
    assert [count(store, location, table) for table in TABLES] == [2, 5, 1, 1, 1, 1]
    stored = rows(
        store,
        location,
        'SELECT topic, "at", at_ms, value, value_text, quality, unit FROM tags ORDER BY at_ms',
    )
    speed = f"{MILL}/_tag/tag-0"
    assert stored[0] == (speed, "2025-12-11T12:00:00.000Z", NOON, 1.5, None, "good", "rpm")
    assert [row[3:5] for row in stored[1:]] == [
        (1.0, "true"),
        (None, "PO-1"),
        (None, None),
        (float(2**60), str(2**60)),
    ]


def test_the_same_messages_again_add_no_rows(store: Store, location: str) -> None:
    writer = new_writer(store)
    record(writer, *MIXED, *(m._replace(dup=True) for m in MIXED))
    before = everything(store, location)
    record(writer, *(m._replace(dup=True) for m in MIXED), received_ms=NOON + 5)
    again = new_writer(store)
    record(again, *(m._replace(dup=True) for m in MIXED), received_ms=NOON + 9)
    assert everything(store, location) == before


def test_samples_that_differ_in_anything_are_kept(store: Store, location: str) -> None:
    speed = f"{MILL}/_tag/tag-0"
    bad = Sent(speed, b'{"value":1,"timestamp_ms":%d,"quality":"bad"}' % NOON)
    record(new_writer(store), tag(1, NOON), tag(2, NOON), tag("1", NOON), tag(1, NOON, WASH), bad)
    record(new_writer(store), tag(1, NOON), tag(2, NOON), tag("1", NOON), tag(1, NOON, WASH), bad)
    assert count(store, location, "tags") == 5


def test_old_samples_are_found_among_new_ones(store: Store, location: str) -> None:
    writer = new_writer(store)
    record(writer, *(tag(n, NOON + n) for n in range(2_000)))
    record(writer, tag(0, NOON), tag(0.5, NOON + 1), tag(1_999, NOON + 1_999), tag(1, 5))
    assert count(store, location, "tags") == 2_002


def test_watermarks_do_not_pass_a_hole_and_survive_a_restart(store: Store, location: str) -> None:
    writer = new_writer(store)
    record(writer, event(1), event(3), event(5), event(6))
    assert [w.seq for w in writer.everything()] == [1]
    again = new_writer(store)
    assert [w.seq for w in again.everything()] == [1]
    record(again, event(2))
    assert [w.seq for w in again.everything()] == [3]
    record(again, event(4))
    assert list(again.everything()) == [Watermark(PLC, 1, 6, 0)]
    assert count(store, location, "gaps") == 0


def test_settled_waits_for_stored_resume_documents(store: Store) -> None:
    writer = new_writer(store)
    record(writer, *(event(n) for n in range(1, 6)), resume("oee", 1, {PLC: (1, 5)}))
    assert writer.everything() == [Watermark(PLC, 1, 5, 0)]
    record(writer, resume("quality", 1, {PLC: (1, 3)}))
    assert writer.everything() == [Watermark(PLC, 1, 5, 3)]
    assert new_writer(store).everything() == [Watermark(PLC, 1, 5, 3)]


def test_a_hole_that_an_ended_epoch_left_is_a_gap(store: Store, location: str) -> None:
    writer = new_writer(store)
    record(writer, event(1), event(4))
    assert count(store, location, "gaps") == 0
    record(writer, event(1, epoch=2, at_ms=NOON + 9, id="next"))
    found = rows(store, location, "SELECT source, epoch, from_seq, to_seq, seen_by FROM gaps")
    assert found == [(PLC, 1, 2, 3, "historian")]
    record(writer, event(2), event(3))
    assert count(store, location, "gaps") == 0


def test_an_empty_store_goes_on_where_another_one_was_settled(store: Store, location: str) -> None:
    writer = new_writer(store)
    told = {"source": PLC, "epoch": 1, "seq": 9, "settled": 7}
    record(writer, event(9), Sent("acme/_hub/watermark/x", json.dumps(told).encode(), retain=True))
    assert [w.seq for w in writer.everything()] == [7]
    record(writer, event(8))
    assert [w.seq for w in writer.everything()] == [9]
    found = rows(store, location, "SELECT from_seq, to_seq, seen_by FROM gaps")
    assert found == [(1, 7, "historian")]


def test_a_source_that_repeats_itself_is_told_again(store: Store) -> None:
    writer = new_writer(store)
    assert [w.seq for w in commit(writer, event(1), event(2)).watermarks] == [2]
    assert commit(writer).watermarks == []
    assert [w.seq for w in commit(writer, event(1)).watermarks] == [2]
    assert commit(writer).watermarks == []


def commit(writer: Writer, *sent: Sent) -> Told:
    return writer.commit(writer.prepare(sent, NOON))


def test_the_newest_resume_documents_are_kept_byte_for_byte(store: Store, location: str) -> None:
    writer = new_writer(store)
    for rev in range(1, 8):
        record(writer, resume("oee", rev, {PLC: (1, rev)}), resume("quality", rev, {}))
    record(writer, resume("oee", 1, {PLC: (1, 9)}, owner_epoch=2))
    assert count(store, location, "processor_states") == 2 * RESUMES_KEPT + 1
    with open_reader(location) as reader:
        topic = f"{LINE}/_hub/processor/oee"
        newest = resume("oee", 1, {PLC: (1, 9)}, owner_epoch=2)
        assert newest_processor_state(reader, topic) == newest.payload
        assert newest_processor_state(reader, f"{LINE}/_hub/processor/none") is None


def test_every_base_and_the_first_of_the_newest_owner_are_kept(store: Store, location: str) -> None:
    for owner, first in ((1, 1), (2, 21)):
        for rev in range(first, first + 20):
            base = rev - rev % 10
            record(new_writer(store), resume("oee", rev, {}, owner_epoch=owner, base_rev=base))
    kept = rows(store, location, "SELECT owner_epoch, rev FROM processor_states ORDER BY rev")
    assert kept == [(1, 10), (1, 20), (2, 21), (2, 30), (2, 38), (2, 39), (2, 40)]


def test_a_zombie_is_told_from_what_was_right_in_its_time_also_after_a_restart(
    store: Store, location: str
) -> None:
    old = resume("oee", 5, {}, owner_epoch=1)
    record(new_writer(store), old, *(resume("oee", rev, {}, owner_epoch=2) for rev in (6, 7)))
    record(new_writer(store), *(resume("oee", rev, {}, owner_epoch=2) for rev in range(8, 20)))
    right = (state("oee", 5, {"owner_epoch": 1}), old._replace(dup=True))
    record(new_writer(store), state("oee", 6, {"owner_epoch": 1}), *right)
    assert rows(store, location, "SELECT rev FROM states") == [(5,)]
    assert rows(store, location, "SELECT reject_class FROM rejects") == [("stale-epoch",)]


def test_what_a_former_owner_puts_out_is_refused_also_after_a_restart(
    store: Store, location: str
) -> None:
    edge = {"input_id": "a", "output_id": "b", "quantity": 1, "unit": "pcs"}
    first = output(1, "oee", "edge", edge, epoch=1, id="a")
    record(new_writer(store), first, resume("oee", 2, {}, owner_epoch=2, output_epoch=2))
    late = output(2, "oee", "edge", edge, epoch=1, id="b")
    writer = new_writer(store)
    told = writer.commit(writer.prepare([first._replace(dup=True), late], NOON))
    assert [(w.epoch, w.seq) for w in writer.everything()] == [(1, 1)]
    assert [(note.reject_class, note.total) for note in told.rejects] == [("stale-epoch", 1)]
    assert rows(store, location, "SELECT id FROM events") == [("a",)]


def test_the_last_owners_version_of_a_rev_holds(store: Store, location: str) -> None:
    writer = new_writer(store)
    record(writer, state("oee", 1, {"owner_epoch": 1}), state("oee", 2, {"owner_epoch": 1}))
    last = state("oee", 2, {"owner_epoch": 2})
    record(writer, last)
    store.close()
    with open_reader(location) as reader:
        assert newest(reader) == {last.topic: last.payload}


def test_of_many_owners_the_last_epochs_are_kept_and_none_misses_anything(
    store: Store, location: str
) -> None:
    edge = {"input_id": "a", "output_id": "b", "quantity": 1, "unit": "pcs"}
    for owner in range(1, 9):
        said = [output(n, "oee", "edge", edge, epoch=owner, id=f"{owner}.{n}") for n in (1, 3)]
        record(new_writer(store), *said, event(owner))
    kept = rows(store, location, "SELECT epoch FROM watermarks ORDER BY source DESC, epoch")
    assert kept == [(7,), (8,), (1,)]
    assert count(store, location, "gaps") == 0


def test_an_older_owner_is_refused_also_after_a_restart(store: Store, location: str) -> None:
    record(new_writer(store), resume("oee", 5, {}, owner_epoch=3))
    record(new_writer(store), resume("oee", 6, {}, owner_epoch=2))
    assert rows(store, location, "SELECT reject_class FROM rejects") == [("stale-epoch",)]


@pytest.mark.parametrize("place", [0, 9, 18])
def test_a_row_that_the_store_refuses_is_put_aside_alone(
    store: Store, location: str, place: int
) -> None:
    writer = new_writer(store)
    batch = writer.prepare([*(event(n) for n in range(1, 20)), state("oee", 1, {})], NOON)
    batch.events[place] = batch.events[place]._replace(payload="{")
    batch.states[0] = batch.states[0]._replace(document="no JSON")
    told = writer.commit(batch)
    assert [(note.reject_class, note.total) for note in told.rejects] == [("unstorable", 2)]
    assert [w.seq for w in told.watermarks] == [19]
    assert [count(store, location, t) for t in ("events", "states", "rejects")] == [18, 0, 2]
    writer.commit(batch)
    assert count(store, location, "rejects") == 2


def test_hostile_text_is_stored_as_text(store: Store, location: str) -> None:
    text = "'; DROP TABLE events; -- \U0001f600 %s $1 {}"
    record(new_writer(store), event(1, "loaded", {"order_id": text}), tag(text[:40], NOON))
    stored = rows(store, location, "SELECT payload ->> 'order_id', value_text FROM events, tags")
    assert stored == [(text, text[:40])]


def test_rejects_keep_the_original_and_the_count_goes_on(store: Store, location: str) -> None:
    original = bytes(range(120, 256))
    writer = new_writer(store)
    record(writer, Sent(f"{MILL}/_tag/tag-0", original), Sent(f"{MILL}/_tag/tag-0", original))
    again = new_writer(store)
    told = again.commit(again.prepare([Sent("acme/Bad/_tag/x", b"{}")], NOON))
    assert told.rejects[0].total == 1
    stored = rows(store, location, "SELECT reject_class, original_base64 FROM rejects ORDER BY 1")
    kept = ("bad-json", base64.b64encode(original).decode())
    assert stored == [kept, kept, ("bad-topic", "e30=")]
    told = again.commit(again.prepare([Sent(f"{MILL}/_tag/tag-0", b"{")], NOON))
    assert told.rejects[0].total == 3


def test_what_a_bridge_refused_is_a_reject(store: Store, location: str) -> None:
    body = {
        "reject_class": "unknown-item",
        "origin": "orders/7.json",
        "reason": "no item 'x'",
        "original_base64": "e30=",
        "original_sha256": "0" * 64,
    }
    writer = new_writer(store)
    told = writer.commit(writer.prepare([event(1, "rejected", body)], NOON))
    assert [(n.reject_class, n.origin, n.total) for n in told.rejects] == [
        ("unknown-item", "orders/7.json", 1)
    ]
    assert rows(store, location, "SELECT reject_class, origin FROM rejects") == [
        ("unknown-item", "orders/7.json")
    ]


@pytest.mark.parametrize("location", SERVERS, indirect=True)
def test_two_openings_at_once_make_one_schema(location: str) -> None:
    stores = [open_store(location, lambda: NOON) for _ in range(3)]
    with ThreadPoolExecutor(3) as threads:
        list(threads.map(lambda store: (store.known(), store.close()), stores))
    names = rows(stores[0], location, "SELECT name, count(*) FROM schema_version GROUP BY 1")
    assert {n for _, n in names} == {1}
