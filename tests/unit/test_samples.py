"""Every value of a tag that says so is kept; what must give way is the oldest, and is told."""

import json
import sqlite3
from pathlib import Path

import pytest

from tests.example import MILL, plant
from uns.codec import Codec, Message
from uns.model.events import SAMPLES_MAX, Sampled
from uns.model.observation import Reading
from uns.model.plant import Place
from uns.runtime.clock import wall_ms
from uns.runtime.errors import OutboxFull
from uns.runtime.outbox import Outbox
from uns.runtime.samples import AGE_MS_MAX, Samples

SOURCE = "plc-machining:acme.berlin.machining.housing"
TAG = "spindle-load"
NOON = 1_790_000_000_000


def places() -> dict[str, Place]:
    place = plant().cells[MILL]
    tag = place.cell.tags[TAG].model_copy(update={"record": "every"})
    cell = place.cell.model_copy(update={"tags": {**place.cell.tags, TAG: tag}})
    return {MILL: place.model_copy(update={"cell": cell})}


def readings(first: int, count: int, tag: str = TAG) -> list[Reading]:
    return [Reading(MILL, tag, n / 7, NOON + n) for n in range(first, first + count)]


def store(samples: Samples, outbox: Outbox, taken: list[Reading]) -> None:
    drafts = samples.drafts(taken)
    outbox.append([(SOURCE, draft) for draft in drafts], samples.memory(drafts))


def fill(samples: Samples, outbox: Outbox) -> None:
    for first in range(0, 100_000, 100):
        store(samples, outbox, readings(first, 100))


def kept(outbox: Outbox) -> list[Sampled]:
    codec, events = Codec(plant()), list[Sampled]()
    for entry in outbox.unsettled():
        decoded = codec.decode(entry.topic, entry.payload)
        assert isinstance(decoded, Message), decoded
        assert isinstance(decoded.value, Sampled)
        events.append(decoded.value)
    return events


@pytest.fixture
def outbox(tmp_path: Path) -> Outbox:
    return Outbox(tmp_path / "outbox.sqlite", bytes_max=400_000)


def test_each_value_is_kept_once_and_in_order(outbox: Outbox) -> None:
    samples = Samples(places(), outbox)
    store(samples, outbox, readings(0, 450))
    events = kept(outbox)
    assert [len(event.samples) for event in events] == [SAMPLES_MAX, SAMPLES_MAX, 50]
    told = [(one.value, one.at_ms, one.unit) for event in events for one in event.samples]
    assert told == [(r.value, r.at_ms, "percent") for r in readings(0, 450)]
    assert [event.at_ms for event in events] == [NOON + 199, NOON + 399, NOON + 449]


def test_tags_that_do_not_ask_for_it_are_not_kept(outbox: Outbox) -> None:
    assert Samples(places(), outbox).drafts(readings(0, 3, tag="good")) == []


def test_it_knows_up_to_when_a_tag_is_recorded_over_a_restart(outbox: Outbox) -> None:
    samples = Samples(places(), outbox)
    store(samples, outbox, readings(5, 3))
    store(samples, outbox, readings(2, 3))
    store(samples, outbox, [Reading(MILL, TAG, None, NOON + 99, "bad", "no such node")])
    assert samples.known == {(MILL, TAG): NOON + 7}
    assert Samples(places(), outbox).known == samples.known


def test_when_the_disk_is_full_the_oldest_samples_give_way_and_are_counted(outbox: Outbox) -> None:
    samples = Samples(places(), outbox)
    with pytest.raises(OutboxFull):
        fill(samples, outbox)
    before = kept(outbox)
    assert outbox.used > 0.8
    assert samples.give_way()
    after = kept(outbox)
    assert [event.seq for event in after] == [event.seq for event in before]
    assert [event.id for event in after] == [event.id for event in before]
    assert {(event.dropped, event.samples) for event in after} == {(100, ())}
    store(samples, outbox, readings(0, 100))
    assert len(kept(outbox)[-1].samples) == 100


def test_the_oldest_give_way_first_and_each_once(outbox: Outbox) -> None:
    samples = Samples(places(), outbox)
    for n in range(300):
        store(samples, outbox, readings(n, 1))
    assert samples.give_way()
    assert [event.dropped for event in kept(outbox)] == [1] * 200 + [0] * 100
    assert samples.give_way()
    assert {event.dropped for event in kept(outbox)} == {1}
    assert not samples.give_way()


@pytest.mark.parametrize(("each", "more"), [(1, 5), (5, 50), (100, 20)])
def test_what_gives_way_makes_room(outbox: Outbox, each: int, more: int) -> None:
    samples, n, lost = Samples(places(), outbox), 0, 0
    while not lost:
        try:
            store(samples, outbox, readings(n, each))
        except OutboxFull:
            lost += samples.give_way()
        n += 1
    before = [event.dropped for event in kept(outbox)].count(0)
    for _ in range(more):
        store(samples, outbox, readings(0, each))
    assert [event.dropped for event in kept(outbox)].count(0) == before + more


def test_an_outbox_of_before_is_taken_over(tmp_path: Path) -> None:
    path = tmp_path / "outbox.sqlite"
    outbox = Outbox(path)
    store(Samples(places(), outbox), outbox, readings(0, 3))
    outbox.close()
    with sqlite3.connect(path) as old:
        old.execute("alter table entry drop column entered_ms")
    again = Outbox(path)
    store(Samples(places(), again), again, readings(3, 3))
    assert [event.seq for event in kept(again)] == [1, 2]
    assert not Samples(places(), again).age(wall_ms())


def test_what_waits_for_too_long_gives_way(outbox: Outbox) -> None:
    samples = Samples(places(), outbox)
    for n in range(3):
        store(samples, outbox, readings(n, 1))
    assert not samples.age(wall_ms() + AGE_MS_MAX - 60_000)
    assert {event.dropped for event in kept(outbox)} == {0}
    assert samples.age(wall_ms() + AGE_MS_MAX + 60_000)
    assert {event.dropped for event in kept(outbox)} == {1}


def test_a_long_text_is_kept_as_its_tag_shows_it(outbox: Outbox) -> None:
    samples = Samples(places(), outbox)
    store(samples, outbox, [Reading(MILL, TAG, "x" * 1_000, NOON)])
    (event,) = kept(outbox)
    assert 50 < len(str(event.samples[0].value)) < 150
    assert len(json.loads(outbox.unsettled()[0].payload)["samples"]) == 1
