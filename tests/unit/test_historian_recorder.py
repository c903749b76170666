"""The recorder: messages in any order, twice or not, become each row once."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.brokers import small_plant
from tests.speech import (
    LINE,
    MILL,
    NOON,
    PLC,
    READERS,
    Sent,
    cleared,
    event,
    output,
    resume,
    state,
    tag,
)
from uns.codec import Codec, encode_document, encode_tag
from uns.historian import sources
from uns.historian.recorder import Arrival, Known, Recorder, Watermark
from uns.historian.rows import Batch, ResumeRow
from uns.historian.samples import tag_payload
from uns.historian.sources import EPOCHS_MAX
from uns.model.observation import Scalar
from uns.model.path import to_dotted

CODEC = Codec(small_plant())
OTHER = "plc:acme.berlin"


def take(recorder: Recorder, *messages: Sent) -> Batch:
    """The rows of messages."""
    return recorder.batch(
        (
            (
                Arrival(m.topic, m.payload, m.dup, m.retain),
                CODEC.decode(m.topic, m.payload, retain=m.retain),
            )
            for m in messages
        ),
        NOON,
    )


def restarted(batches: list[Batch]) -> Recorder:
    """A recorder that knows what some batches stored."""
    watermarks = {(w.source, w.epoch): w for batch in batches for w in batch.watermarks}
    resumes = {r.topic: r for batch in batches for r in batch.resumes}
    since = {topic: row.rev for topic, row in resumes.items()}
    return Recorder(READERS, Known(list(watermarks.values()), list(resumes.values()), {}, since))


@given(st.permutations(range(1, 13)), st.lists(st.integers(1, 12)), st.integers(0, 12))
def test_any_order_with_duplicates_and_a_restart_ends_the_same(
    order: list[int], again: list[int], cut: int
) -> None:
    messages = [event(seq) for seq in (*order, *again)]
    first = take(Recorder(READERS), *messages[:cut])
    recorder = restarted([first])
    rest = take(recorder, *messages[cut:])
    assert {row.seq for batch in (first, rest) for row in batch.events} == set(range(1, 13))
    for batch in (first, rest):
        assert len({row.id for row in batch.events}) == len(batch.events)
    assert list(recorder.watermarks()) == [Watermark(PLC, 1, 12, 0)]


@given(
    st.lists(
        st.one_of(
            st.builds(event, st.integers(1, 5)),
            st.builds(tag, st.sampled_from([1, 2.5, "x", True, None]), st.integers(0, 3)),
            st.builds(state, st.just("oee"), st.integers(1, 3), st.just({"oee": 1})),
            st.builds(resume, st.just("oee"), st.integers(1, 3), st.just({PLC: (1, 2)})),
        )
    )
)
def test_a_message_twice_in_a_batch_is_one_row(messages: list[Sent]) -> None:
    once, twice = (take(Recorder(READERS), *messages * times).tables() for times in (1, 2))
    for tables in (once, twice):
        del tables["again"]  # what a tag shows follows from the order of all messages
    assert once == twice


def test_a_sample_is_a_number_or_a_text() -> None:
    values: list[Scalar] = [1, 2.5, "PO-1", True, None, 2**60]
    batch = take(Recorder(READERS), *(tag(value, n) for n, value in enumerate(values)))
    assert [(row.value, row.value_text) for row in batch.tags] == [
        (1.0, None),
        (2.5, None),
        (None, "PO-1"),
        (1.0, "true"),
        (None, None),
        (float(2**60), str(2**60)),
    ]


def test_samples_stand_with_those_of_the_tag_and_are_one_with_them() -> None:
    sample = {"tag": "tag-0", "value": 2.5, "at_ms": NOON, "quality": "good", "unit": "rpm"}
    shown = tag(2.5, NOON)
    kept = event(1, "sampled", {"samples": [sample, {**sample, "value": None, "quality": "bad"}]})
    batch = take(Recorder(READERS), shown, kept)
    assert [(row.topic, row.at_ms, row.value, row.quality) for row in batch.tags] == [
        (shown.topic, NOON, 2.5, "good"),
        (shown.topic, NOON, None, "bad"),
    ]
    assert batch.events == []
    assert [row.seq for row in batch.watermarks] == [1]


def test_an_event_that_was_refused_is_on_record_in_quarantine_and_leaves_no_hole() -> None:
    recorder = Recorder(READERS)
    nowhere = event(2, path=f"{LINE}/renamed")
    batch = take(recorder, event(1), nowhere, event(3))
    assert [row.topic for row in batch.rejects] == [nowhere.topic]
    assert list(recorder.watermarks()) == [Watermark(PLC, 1, 3, 0)]


def test_nobody_is_heard_in_the_name_of_a_source_that_does_not_speak_there() -> None:
    recorder = Recorder(READERS)
    take(recorder, event(1), event(2, path="acme/berlin/elsewhere/line/cell"))
    assert list(recorder.watermarks()) == [Watermark(PLC, 1, 1, 0)]


def test_samples_that_gave_way_are_on_record_as_a_loss() -> None:
    batch = take(Recorder(READERS), event(1, "sampled", {"dropped": 7}))
    assert [json.loads(row.payload)["dropped"] for row in batch.events] == [7]


def test_an_event_is_kept_with_checked_values_only() -> None:
    loose = {"id": "e", "type": "counted", "at_ms": "5", "path": MILL, "source": PLC, "epoch": 1}
    payload = encode_document({**loose, "seq": 1, "good": 2.0, "scrap": "0"})
    batch = take(Recorder(READERS), Sent(f"{MILL}/_event/counted", payload))
    kept = json.loads(batch.events[0].payload)
    assert (kept["at_ms"], kept["good"], kept["scrap"]) == (5, 2, 0)


@pytest.mark.parametrize("rev", [None, -1, True, "1", 1.0, 2**63])
def test_a_state_document_needs_a_whole_rev(rev: object) -> None:
    message = Sent(f"{LINE}/_state/oee", encode_document({"summary": "", "rev": rev}))
    batch = take(Recorder(READERS), message)
    assert ([*batch.states], batch.rejects[0].reject_class) == ([], "bad-payload")
    assert batch.rejects[0].reason.startswith("rev:")


def test_a_probe_and_a_workers_health_are_no_resume_documents() -> None:
    probe = Sent(f"{LINE}/_hub/processor/oee/probe", b'{"at_ms":1}')
    health = Sent("acme/_hub/processor/worker-1", b'{"summary":"worker-1","outbox":0}')
    watermarks = Sent("acme/_meta/watermark", b'{"source":"a","epoch":1,"settled":5}')
    assert len(take(Recorder(READERS), probe, health, watermarks)) == 0


def test_an_older_owner_is_refused_and_an_older_rev_ignored() -> None:
    recorder = Recorder(READERS)
    take(recorder, resume("oee", 5, {PLC: (1, 3)}, owner_epoch=2))
    stale = take(recorder, resume("oee", 9, {PLC: (1, 9)}, owner_epoch=1))
    old = take(recorder, resume("oee", 4, {PLC: (1, 2)}, owner_epoch=2))
    assert [row.reject_class for row in stale.rejects] == ["stale-epoch"]
    assert (len(stale.resumes), len(old)) == (0, 0)
    newer = take(recorder, resume("oee", 1, {PLC: (1, 3)}, owner_epoch=3))
    assert [(row.owner_epoch, row.rev) for row in newer.resumes] == [(3, 1)]


def test_of_a_batch_the_owners_first_its_base_and_its_newest_resume_document_are_written() -> None:
    revs = (resume("oee", rev, {}, base_rev=3 if rev >= 3 else 1) for rev in (1, 2, 3, 4, 6, 5))
    batch = take(Recorder(READERS), *revs)
    assert [row.rev for row in batch.resumes] == [1, 3, 6]


@pytest.mark.parametrize(
    ("marks", "settled"),
    [
        ({}, 0),
        ({"oee": {PLC: (1, 4)}}, 0),
        ({"oee": {PLC: (1, 4)}, "quality": {}}, 0),
        ({"oee": {PLC: (1, 4)}, "quality": {PLC: (1, 2)}}, 2),
        ({"oee": {PLC: (1, 9)}, "quality": {PLC: (1, 9)}}, 4),
        ({"oee": {PLC: (0, 9)}, "quality": {PLC: (1, 4)}}, 0),
        ({"oee": {PLC: (2, 1)}, "quality": {PLC: (1, 3)}}, 3),
        ({"oee": {PLC: (1, 4)}, "quality": {PLC: (1, 4)}, "gone": {}}, 4),
    ],
)
def test_settled_is_what_the_record_and_every_processor_has(
    marks: dict[str, dict[str, tuple[int, int]]], settled: int
) -> None:
    recorder = Recorder(READERS)
    documents = [resume(name, 1, taken) for name, taken in marks.items()]
    take(recorder, *(event(seq) for seq in (1, 2, 3, 4)), *documents)
    assert list(recorder.watermarks()) == [Watermark(PLC, 1, 4, settled)]


def test_what_no_processor_reads_is_settled_when_it_is_stored() -> None:
    edge = {"input_id": "a", "output_id": "b", "quantity": 1, "unit": "pcs"}
    recorder = Recorder(READERS)
    take(recorder, output(1, "genealogy", "edge", edge))
    assert [(w.seq, w.settled) for w in recorder.watermarks()] == [(1, 1)]


def test_the_newest_epoch_is_told() -> None:
    recorder = Recorder(READERS)
    take(recorder, event(1, epoch=7, id="a"), event(1, epoch=3, id="b"), event(2, epoch=3, id="c"))
    assert [(w.epoch, w.seq) for w in recorder.watermarks()] == [(7, 1)]
    known = restarted([take(Recorder(READERS), event(1, epoch=7), event(1, epoch=3, id="b"))])
    assert [(w.epoch, w.seq) for w in known.watermarks()] == [(7, 1)]


def test_a_source_that_may_have_forgotten_is_not_waited_for() -> None:
    recorder = Recorder(READERS)
    told = {"summary": "", "source": PLC, "epoch": 1, "seq": 9, "settled": 8}
    batch = take(
        recorder, event(10), Sent("acme/_hub/watermark/plc", encode_document(told), retain=True)
    )
    row = batch.watermarks[0]
    assert (row.seq, row.first_seq, row.hole_to) == (8, 9, 9)
    take(recorder, event(9))
    assert [w.seq for w in recorder.watermarks()] == [10]
    assert len(take(recorder, Sent("acme/_hub/watermark/plc", encode_document(told)))) == 0


def test_rejects_are_counted_by_class_and_told_once() -> None:
    recorder = Recorder(READERS, Known(reject_counts={"bad-json": 4}))
    bad = Sent(f"{MILL}/_tag/tag-0", b"{", dup=True)
    batch = take(recorder, bad, bad, Sent("acme/\0", b""))
    assert [row.repeated for row in batch.rejects] == [True, True, False]
    notes = {note.reject_class: note for note in recorder.take_notes()}
    assert {name: note.total for name, note in notes.items()} == {"bad-json": 6, "bad-topic": 1}
    assert "\0" not in notes["bad-topic"].topic + notes["bad-topic"].reason
    assert recorder.take_notes() == []


def test_epochs_are_bounded_and_their_events_are_stored_all_the_same() -> None:
    recorder = Recorder(READERS)
    messages = [event(1, epoch=n, id=str(n)) for n in range(EPOCHS_MAX + 5)]
    batch = take(recorder, *messages)
    assert len(batch.events) == EPOCHS_MAX + 5
    assert len(batch.watermarks) == EPOCHS_MAX


def test_a_resume_document_that_is_none_is_refused() -> None:
    row = ResumeRow("t", 1, 1, 0, 0, '{"owner_epoch":1,"rev":1,"marks":{}}')
    recorder = Recorder(READERS, Known(resumes=[row]))
    batch = take(recorder, Sent(f"{LINE}/_hub/processor/oee", b'{"rev":1}'))
    assert [r.reject_class for r in batch.rejects] == ["bad-payload"]


EDGE = {"input_id": "a", "output_id": "b", "quantity": 1, "unit": "pcs"}
PUT_OUT = f"processor:oee:{to_dotted(LINE)}"


def refused(batch: Batch) -> list[str]:
    """The classes and topics of what went to quarantine."""
    return [f"{row.reject_class} {row.topic}" for row in batch.rejects]


def test_what_a_former_owner_puts_out_is_refused_and_not_heard() -> None:
    recorder = Recorder(READERS)
    first = output(1, "oee", "edge", EDGE, epoch=1, id="a")
    take(recorder, first, resume("oee", 5, {}, owner_epoch=2, output_epoch=2))
    late = take(recorder, output(2, "oee", "edge", EDGE, epoch=1, id="b"))
    assert refused(late) == [f"stale-epoch {MILL}/_event/edge"]
    assert (late.events, late.watermarks) == ([], [])
    assert [(w.epoch, w.seq) for w in recorder.watermarks()] == [(1, 1)]
    again = take(recorder, first, output(1, "oee", "edge", EDGE, epoch=2, id="c"))
    assert ([row.id for row in again.events], refused(again)) == (["c"], [])


def test_what_bridges_say_and_what_other_processors_put_out_is_not_fenced() -> None:
    recorder = Recorder(READERS)
    take(recorder, resume("oee", 5, {}, owner_epoch=9, output_epoch=9))
    other = output(1, "quality", "edge", EDGE, epoch=1, id="q")
    assert refused(take(recorder, event(1), other)) == []


def test_a_document_of_a_former_owner_is_refused_unless_it_was_said_in_its_time() -> None:
    recorder = Recorder(READERS)
    take(recorder, resume("oee", 4, {}, owner_epoch=1), resume("oee", 5, {}, owner_epoch=2))
    take(recorder, resume("oee", 8, {}, owner_epoch=2))
    zombie = take(recorder, state("oee", 5, {"owner_epoch": 1}))
    assert refused(zombie) == [f"stale-epoch {LINE}/_state/oee"]
    kept = [
        state("oee", 4, {"owner_epoch": 1}),
        state("oee", 9, {"owner_epoch": 2}),
        state("oee", 10, {}),
        state("quality", 9, {"owner_epoch": 1}),
        state("stranger", 9, {"owner_epoch": 1}),
    ]
    batch = take(recorder, *kept, resume("oee", 4, {}, owner_epoch=1))
    assert (len(batch.states), refused(batch), batch.resumes) == (5, [], [])


def test_what_a_new_owner_does_not_show_stands_no_more_though_nobody_heard_it_cleared() -> None:
    stays, goes = state("oee", 4, {"owner_epoch": 1}), state("oee/po-1", 4, {"owner_epoch": 1})
    other = state("quality", 4, {"owner_epoch": 1})
    first = take(Recorder(READERS), stays, goes, other, resume("oee", 4, {}, owner_epoch=1))
    assert first.cleared == []
    stood = [(row.topic, 1) for row in first.states]
    recorder = Recorder(READERS, Known(stood=stood))
    take(recorder, state("oee", 5, {"owner_epoch": 2}))
    heard_late = resume("oee", 5, {}, owner_epoch=2)
    assert take(recorder, heard_late._replace(retain=True)).cleared == []
    batch = take(recorder, resume("oee", 6, {}, owner_epoch=2))
    assert [row.topic for row in batch.cleared] == [goes.topic]
    again = take(recorder, goes, resume("oee", 7, {}, owner_epoch=2))
    assert [row.topic for row in again.cleared] == [goes.topic]
    assert take(recorder, resume("oee", 8, {}, owner_epoch=2)).cleared == []


def test_an_event_on_record_is_not_written_again_and_a_used_seq_never_counts_twice() -> None:
    recorder = Recorder(READERS)
    take(recorder, event(1), event(3))
    batch = take(recorder, event(1), event(3, id="another"), event(2))
    assert [row.seq for row in batch.events] == [2]
    assert [w.seq for w in recorder.watermarks()] == [3]


def test_what_an_earlier_store_had_is_written_when_it_comes_all_the_same() -> None:
    recorder = Recorder(READERS)
    told = {"summary": "", "source": PLC, "epoch": 1, "seq": 9, "settled": 8}
    take(recorder, Sent("acme/_hub/watermark/plc", encode_document(told), retain=True))
    assert [row.seq for row in take(recorder, event(3), event(8)).events] == [3, 8]


def test_a_thousand_owners_leave_no_more_than_their_last_epochs(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(sources, "EPOCHS_MAX", 9)
    recorder = Recorder(READERS)
    for owner in range(1, 1_001):
        put_out = [output(n, "oee", "edge", EDGE, epoch=owner, id=f"{owner}.{n}") for n in (1, 3)]
        take(recorder, *put_out)
    assert [(w.source, w.epoch, w.seq) for w in recorder.watermarks()] == [(PUT_OUT, 1_000, 1)]
    of_a_former_one = take(recorder, output(1, "oee", "edge", EDGE, epoch=3, id="3.1"))
    assert of_a_former_one.watermarks == []
    assert take(recorder, event(1)).watermarks


def test_a_topic_that_is_filled_again_in_its_batch_was_not_cleared() -> None:
    shown, document = tag(1, NOON), state("oee", 1, {})
    batch = take(Recorder(READERS), cleared(shown.topic), shown, document, cleared(document.topic))
    assert [row.topic for row in batch.cleared] == [document.topic]
    stayed = take(Recorder(READERS), cleared(shown.topic), shown._replace(retain=True))
    assert [row.topic for row in stayed.cleared] == [shown.topic]
    assert take(Recorder(READERS), cleared("acme/_hub/bridge/plc")).cleared == []


def test_batches_are_received_one_after_another_whatever_the_clock_does() -> None:
    recorder = Recorder(READERS)
    stamps = [take(recorder, tag(n, n)).tags[0].received_ms for n in range(3)]
    assert stamps == [NOON, NOON + 1, NOON + 2]


PAYLOADS = st.builds(
    encode_tag,
    st.one_of(st.booleans(), st.integers(-(2**64), 2**64), st.floats(-1e6, 1e6), st.text('ab"é')),
    st.just(NOON),
    st.sampled_from(["good", "bad"]),
    st.sampled_from([None, "mm"]),
    st.sampled_from([None, "lost"]),
)
FOREIGN = b'{ "timestamp_ms": 5, "value": 1e2, "quality": "good" }'


@given(st.one_of(PAYLOADS, st.just(FOREIGN)))
def test_a_sample_gives_back_the_bytes_of_its_tag(payload: bytes) -> None:
    (row,) = take(Recorder(READERS), Sent(f"{MILL}/_tag/tag-0", payload)).tags
    assert tag_payload(row) == payload
    plain = isinstance(json.loads(payload)["value"], int | str) and payload != FOREIGN
    assert not (plain and row.original)


def test_a_recorded_sample_is_the_row_of_the_tag_that_showed_it() -> None:
    payload = encode_tag(71.0, NOON, "bad", "rpm", "lost")
    shown = take(Recorder(READERS), Sent(f"{MILL}/_tag/tag-0", payload)).tags
    sample = {"tag": "tag-0", "value": 71.0, "at_ms": NOON, "quality": "bad", "unit": "rpm"}
    kept = event(1, "sampled", {"samples": [{**sample, "reason": "lost"}]})
    assert take(Recorder(READERS), kept).tags == shown


def test_a_tag_that_shows_no_later_instant_says_so_and_once() -> None:
    recorder = Recorder(READERS)
    bad = Sent(f"{MILL}/_tag/tag-0", encode_tag(1, NOON, "bad", "rpm", "lost"))

    def shown(*messages: Sent, by: Recorder = recorder) -> list[bytes]:
        return [row.original.encode() for row in take(by, *messages).again]

    good, later = tag(1, NOON), tag(2, NOON + 1)
    assert shown(good) == [good.payload]
    assert shown(good, good._replace(retain=True)) == []
    assert shown(bad) == [bad.payload]
    assert shown(good) == [good.payload]
    assert shown(later) == []
    assert shown(good, bad, tag(3, NOON + 2)) == []
    started = Recorder(READERS)
    assert shown(good._replace(dup=True), by=started) == [good.payload]
    assert shown(later._replace(dup=True), by=started) == [later.payload]
