"""The past as it was: what stood in the tree at an instant, what is missing, what a source said."""

from typing import Any

import pytest

from tests.speech import (
    LINE,
    MILL,
    NOON,
    PLC,
    WASH,
    Sent,
    cleared,
    event,
    new_writer,
    output,
    record,
    resume,
    state,
    tag,
)
from uns.historian import answers, queries
from uns.historian.gaps import BEFORE, ENDED, GIVEN_UP, OPEN, Missing, gaps
from uns.historian.reader import Reader, open_reader
from uns.historian.store import open_store

OEE = state("oee", 3, {"a": 1})
SPEED = f"{MILL}/_tag/tag-0"


class Told:
    """A store to say things to, at given instants, and to read from."""

    def __init__(self, location: str) -> None:
        self.location = location
        self.at()

    def at(self, received_ms: int = NOON, *messages: Sent) -> None:
        """Write messages that were received at an instant, by a historian that has just started."""
        store = open_store(self.location, lambda: NOON)
        record(new_writer(store), *messages, received_ms=received_ms)
        store.close()

    @property
    def reader(self) -> Reader:
        return open_reader(self.location)


@pytest.fixture
def told(location: str) -> Told:
    return Told(location)


def test_a_snapshot_is_the_tree_at_that_instant_byte_for_byte(told: Told) -> None:
    float_71 = Sent(SPEED, b'{"value":71.0,"timestamp_ms":%d,"quality":"good"}' % (NOON + 1))
    lost = Sent(
        SPEED,
        b'{"value":71.0,"timestamp_ms":%d,"quality":"bad","reason":"gone"}' % (NOON + 1),
    )
    told.at(NOON + 10, tag(1, NOON), OEE)
    told.at(NOON + 20, float_71)
    told.at(NOON + 30, lost, state("oee", 4, {"a": 2}), cleared(OEE.topic))
    told.at(NOON + 40, state("oee", 5, {"a": 3}), tag("on", NOON, WASH))
    with told.reader as reader:
        shots = [queries.snapshot(reader, NOON + n) for n in (9, 10, 29, 30, 40)]
        assert queries.newest(reader) == shots[-1]
    assert shots == [
        {},
        {SPEED: tag(1, NOON).payload, OEE.topic: OEE.payload},
        {SPEED: float_71.payload, OEE.topic: OEE.payload},
        {SPEED: lost.payload},
        {
            SPEED: lost.payload,
            OEE.topic: state("oee", 5, {"a": 3}).payload,
            f"{WASH}/_tag/tag-0": tag("on", NOON, WASH).payload,
        },
    ]


def test_a_tag_that_turned_bad_and_good_again_at_one_instant_is_good(told: Told) -> None:
    bad = Sent(SPEED, b'{"value":1,"timestamp_ms":%d,"quality":"bad","reason":"lost"}' % NOON)
    store = open_store(told.location, lambda: NOON)
    writer = new_writer(store)
    for n, said in enumerate((tag(0, NOON - 9), tag(1, NOON), bad, tag(1, NOON), cleared(SPEED))):
        record(writer, said, received_ms=NOON + n)
    store.close()
    with told.reader as reader:
        shots = [queries.snapshot(reader, NOON + n).get(SPEED) for n in range(5)]
    good = tag(1, NOON).payload
    assert shots == [tag(0, NOON - 9).payload, good, bad.payload, good, None]


def test_what_was_cleared_stays_so_when_it_comes_back_from_the_retained_set(told: Told) -> None:
    told.at(NOON + 1, OEE, tag(1, NOON))
    told.at(NOON + 2, cleared(OEE.topic), cleared(SPEED))
    told.at(NOON + 3, OEE._replace(retain=True), tag(1, NOON, retain=True))
    with told.reader as reader:
        assert queries.newest(reader) == {}


def test_a_topic_that_was_cleared_while_the_clock_stepped_back_is_gone(told: Told) -> None:
    told.at(NOON + 9, OEE, event(1))
    told.at(NOON, cleared(OEE.topic), event(2))
    told.at(NOON, tag(1, NOON))
    with told.reader as reader:
        assert queries.newest(reader) == {SPEED: tag(1, NOON).payload}


def test_what_comes_while_a_snapshot_is_read_is_not_in_it(
    told: Told, monkeypatch: pytest.MonkeyPatch
) -> None:
    told.at(NOON, tag(1, NOON), OEE)
    read = queries.newest

    def overtaken(reader: Reader, wanted: queries.Wanted) -> dict[str, bytes]:
        told.at(NOON + 9, tag(2, NOON + 9), cleared(OEE.topic))
        return read(reader, wanted)

    monkeypatch.setattr(queries, "newest", overtaken)
    with told.reader as reader:
        found = queries.snapshot(reader, NOON + 8)
    assert found == {SPEED: tag(1, NOON).payload, OEE.topic: OEE.payload}


def test_a_snapshot_of_more_than_a_page(told: Told, monkeypatch: pytest.MonkeyPatch) -> None:
    documents = [state(f"order/p{n}", 1, {"n": n}) for n in range(7)]
    told.at(NOON, *documents)
    monkeypatch.setattr(queries, "ROWS_MAX", 3)
    with told.reader as reader:
        assert queries.newest(reader) == {one.topic: one.payload for one in documents}


def test_events_of_a_source_in_their_order(told: Told, monkeypatch: pytest.MonkeyPatch) -> None:
    told.at(NOON, event(3), event(1), event(2), event(5), event(1, epoch=2, id="other"))
    with told.reader as reader:
        assert [e.seq for e in queries.events_of(reader, PLC, 1, 2, 5)] == [2, 3, 5]
        assert queries.events_of(reader, "plc:nowhere", 1, 1, 9) == []
        monkeypatch.setattr(answers, "BYTES_MAX", 1)
        assert [e.seq for e in queries.events_of(reader, PLC, 1, 1, 5)] == [1, 2, 3, 5]
        monkeypatch.setattr(queries, "EVENTS_OF_MAX", 2)
        assert [e.seq for e in queries.events_of(reader, PLC, 1, 1, 5)] == [1, 2]


def test_every_gap_says_whose_it_is_and_why(told: Told) -> None:
    gone: dict[str, Any] = {"of_source": PLC, "of_epoch": 1, "from_seq": 3, "to_seq": 4}
    watermark = b'{"source":"%s","epoch":2,"seq":7,"settled":7}' % PLC.encode()
    told.at(NOON, event(1), event(3), event(6))
    told.at(NOON + 1, Sent("acme/_hub/watermark/x", watermark), event(9, epoch=2, id="b"))
    told.at(
        NOON + 2,
        output(1, "oee", "gap", {**gone, "seen_by": "oee"}, path=LINE, at_ms=NOON + 2),
    )
    with told.reader as reader:
        assert gaps(reader) == [
            Missing(PLC, 1, 2, 2, "historian", ENDED, NOON),
            Missing(PLC, 1, 4, 5, "historian", ENDED, NOON),
            Missing(PLC, 2, 1, 7, "historian", BEFORE, NOON + 1),
            Missing(PLC, 2, 8, 8, "historian", OPEN, NOON + 1, open=True),
            Missing(PLC, 1, 3, 4, "oee", GIVEN_UP, NOON + 2),
        ]
        assert len(gaps(reader, 2)) == 2


def test_the_epochs_of_former_owners_miss_nothing(told: Told) -> None:
    edge = {"input_id": "a", "output_id": "b", "quantity": 1, "unit": "pcs"}
    told.at(NOON, output(3, "oee", "edge", edge, epoch=1, id="a"), resume("oee", 1, {}))
    told.at(NOON, output(1, "oee", "edge", edge, epoch=2, id="b"))
    with told.reader as reader:
        assert gaps(reader) == []
