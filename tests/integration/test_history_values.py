"""Values of tags from each store: as they were recorded, summed up by steps, drawn, and newest."""

import random
from collections.abc import Iterator
from functools import partial

import pytest

from tests.asked import Remembering
from tests.holding import Told, expected
from tests.speech import LINE, MILL, NOON, WASH, Sent, cleared, event, new_writer, record, state
from uns.codec import encode_tag
from uns.historian.errors import QueryRefused
from uns.historian.history import values
from uns.historian.history.period import Period, period
from uns.historian.history.sampling import Bucket, spans
from uns.historian.history.values import Newest
from uns.historian.reader import Reader, open_reader
from uns.historian.store import Tended, open_store
from uns.model.observation import Quality, Scalar
from uns.model.path import TopicError

TOPIC = f"{MILL}/_tag/tag-0"
QUIET = f"{MILL}/_tag/tag-1"
BACK = f"{WASH}/_tag/tag-0"
HOUR_MS = 3_600_000
FIRST_HOUR = NOON - NOON % HOUR_MS
END = FIRST_HOUR + 4 * HOUR_MS
ASKED = Period(from_ms=FIRST_HOUR + 100_000, to_ms=END - 300_000)


def sample(
    topic: str, value: Scalar, at_ms: int, quality: Quality = "good", unit: str | None = "rpm"
) -> Sent:
    return Sent(topic, encode_tag(value, at_ms, quality, unit, None))


def told(count: int) -> list[Told]:
    """Samples over some hours, the same every time; half an hour is silent."""
    chance, at_ms, found = random.Random(7), FIRST_HOUR + 1_000, []
    for n in range(count):
        at_ms += chance.randrange(1, 2 * 4 * HOUR_MS // count)
        at_ms += HOUR_MS // 2 if n == count // 3 else 0
        quality = chance.choice(["good", "good", "good", "uncertain", "bad"])
        found.append(Told(at_ms, quality, float(chance.randrange(1_000))))
    return [one for one in found if one.at_ms < END]


SAMPLES = told(400)


@pytest.fixture(scope="module")
def filled(shared_location: str) -> str:
    store = open_store(shared_location, lambda: END)
    writer = new_writer(store)
    record(
        writer,
        sample(QUIET, 5, NOON),
        sample(QUIET, "open", NOON + 1),
        sample(QUIET, value=True, at_ms=NOON + 2),
    )
    record(writer, sample(BACK, 42, NOON), received_ms=NOON)
    record(writer, sample(BACK, 42, NOON, "bad"), received_ms=NOON + 1_000)
    record(writer, sample(BACK, 42, NOON), received_ms=NOON + 5_000)
    record(
        writer, state("wip", 1, {"at_ms": NOON}), event(1, at_ms=NOON + 3), event(2, at_ms=NOON + 3)
    )
    sent = [sample(TOPIC, one.value, one.at_ms, one.quality) for one in SAMPLES]  # type: ignore[arg-type]  # a quality
    for n in range(0, len(sent), 50):
        record(writer, *sent[n : n + 50], received_ms=SAMPLES[min(n + 49, len(sent) - 1)].at_ms)
    store.close()
    return shared_location


@pytest.fixture
def reader(filled: str) -> Iterator[Reader]:
    with open_reader(filled) as found:
        yield found


def check(buckets: tuple[Bucket, ...], every_ms: int, hold_ms: int | None) -> None:
    """Every bucket is what its samples say."""
    steps = list(spans(ASKED, every_ms))
    assert len(buckets) == len(steps)
    for bucket, step in zip(buckets, steps, strict=True):
        wanted = expected(SAMPLES, step, ASKED, hold_ms)._asdict()
        assert bucket.model_dump() == pytest.approx(wanted), step


@pytest.mark.parametrize("every_ms", [777_777, 60_000, HOUR_MS, 9 * HOUR_MS])
@pytest.mark.parametrize("hold_ms", [None, 45_000])
def test_a_step_is_what_held_in_it(reader: Reader, every_ms: int, hold_ms: int | None) -> None:
    found = values.sampled(reader, TOPIC, ASKED, every_ms=every_ms, hold_ms=hold_ms)
    check(found.buckets, every_ms, hold_ms)
    (whole,) = values.sampled(reader, TOPIC, ASKED, every_ms=9 * HOUR_MS, hold_ms=hold_ms).buckets
    assert found.coverage == pytest.approx(whole.coverage)
    assert found.unit == "rpm"


@pytest.mark.parametrize("hold_ms", [None, 45_000])
def test_gaps_and_known_time_are_the_period(reader: Reader, hold_ms: int | None) -> None:
    asked = Period(from_ms=ASKED.from_ms, to_ms=ASKED.from_ms + HOUR_MS)
    found = values.sampled(reader, TOPIC, asked, points=10, hold_ms=hold_ms)
    unknown_ms = sum(gap.to_ms - gap.from_ms for gap in found.gaps)
    assert found.coverage == pytest.approx(1 - unknown_ms / asked.length_ms)
    assert {gap.why for gap in found.gaps} >= ({"silent"} if hold_ms else {"bad", "uncertain"})
    assert all(a.to_ms <= b.from_ms for a, b in zip(found.gaps, found.gaps[1:], strict=False))


def test_before_the_first_sample_nothing_is_known(reader: Reader) -> None:
    asked = period(NOON - 10_000, NOON + 10_000)
    found = values.sampled(reader, QUIET, asked, points=1)
    assert (found.gaps[0].from_ms, found.gaps[0].to_ms) == (NOON - 10_000, NOON)
    assert found.gaps[0].why == "nothing yet"
    assert found.coverage == pytest.approx(0.5)
    unheard = values.sampled(reader, f"{MILL}/_tag/none", asked)
    assert (unheard.coverage, unheard.unit, len(unheard.gaps)) == (0, None, 1)


def test_a_tag_that_is_back_with_its_old_value_is_known_again(reader: Reader) -> None:
    found = values.sampled(reader, BACK, period(NOON, NOON + 10_000), points=1)
    assert found.coverage == pytest.approx(0.6)
    assert [(gap.from_ms, gap.to_ms, gap.why) for gap in found.gaps] == [
        (NOON + 1_000, NOON + 5_000, "bad")
    ]
    later = values.sampled(reader, BACK, period(NOON + 6_000, NOON + 7_000), points=1)
    assert (later.coverage, later.buckets[0].avg) == (1.0, 42.0)


def test_rolled_up_hours_say_the_same(location: str) -> None:
    store = open_store(location, lambda: END)
    writer = new_writer(store)
    for one in SAMPLES:
        record(writer, sample(TOPIC, one.value, one.at_ms, one.quality), received_ms=one.at_ms)  # type: ignore[arg-type]  # a quality
    assert isinstance(store, Tended)
    while store.tend(None, END):
        pass
    store.close()
    with open_reader(location) as reader:
        hours = reader.query("SELECT count(*) FROM tag_hours WHERE topic = $1", (TOPIC,)).rows
        assert hours[0][0] >= 2
        for every_ms in (60_000, 1_500_000, HOUR_MS):
            found = values.sampled(reader, TOPIC, ASKED, every_ms=every_ms)
            check(found.buckets, every_ms, None)


def test_a_value_that_never_changes_is_known_but_for_the_fault(location: str) -> None:
    store = open_store(location, lambda: END)
    writer = new_writer(store)
    set_ms, lost_ms, back_ms = FIRST_HOUR + 60_000, FIRST_HOUR + HOUR_MS + 500, NOON + HOUR_MS * 2
    record(writer, sample(BACK, 7, set_ms), received_ms=set_ms)
    record(writer, sample(BACK, 7, set_ms, "bad"), received_ms=lost_ms)
    record(writer, sample(BACK, 7, set_ms), received_ms=back_ms)
    record(writer, sample(BACK, 8, END - HOUR_MS), received_ms=END - HOUR_MS)
    assert isinstance(store, Tended)
    while store.tend(None, END + HOUR_MS):
        pass
    store.close()
    fault = (lost_ms, back_ms)
    with open_reader(location) as reader:
        for every_ms in (60_000, HOUR_MS, 1_234_567):
            found = values.sampled(reader, BACK, period(set_ms, END), every_ms=every_ms)
            assert [(gap.from_ms, gap.to_ms) for gap in found.gaps] == [fault]
            share = 1 - (back_ms - lost_ms) / (END - set_ms)
            assert found.coverage == pytest.approx(share)
            assert found.buckets[-1].last == 8.0


def test_raw_values_come_by_pages_each_once(reader: Reader) -> None:
    found, after = list[tuple[int, object, str]](), None
    for _ in range(50):
        page = values.raw(reader, TOPIC, ASKED, limit=33, after=after)
        found += [(value.at_ms, value.value, value.quality) for value in page.items]
        if page.after is None:
            break
        after = page.after
    wanted = [s for s in SAMPLES if ASKED.from_ms <= s.at_ms < ASKED.to_ms]
    assert found == [(s.at_ms, s.value, s.quality) for s in wanted]


def test_values_of_one_instant_come_by_pages_too(reader: Reader) -> None:
    asked = period(NOON, NOON + 10)
    topic = f"{MILL}/_event/counted"
    first = values.raw(reader, topic, asked, limit=1)
    second = values.raw(reader, topic, asked, limit=1, after=first.after)
    assert [page.items[0].value["seq"] for page in (first, second)] == [1, 2]
    assert second.after is None


def test_a_page_of_a_period_that_moved_on_begins_with_it(reader: Reader) -> None:
    first = values.raw(reader, TOPIC, ASKED, limit=1)
    later = period(first.items[0].at_ms + 1, ASKED.to_ms)
    moved = values.raw(reader, TOPIC, later, limit=2, after=first.after)
    assert moved.items == values.raw(reader, TOPIC, later, limit=2).items


def test_a_number_beyond_any_measurement_is_not_summed_up(location: str) -> None:
    store = open_store(location, lambda: NOON)
    writer = new_writer(store)
    record(writer, sample(TOPIC, 1e308, NOON), sample(TOPIC, 2.0, NOON + 60_000))
    store.close()
    with open_reader(location) as reader:
        asked = period(NOON, NOON + 120_000)
        (bucket,) = values.sampled(reader, TOPIC, asked, every_ms=120_000).buckets
        assert (bucket.avg, bucket.max) == (2.0, 2.0)
        held = values.sampled(reader, TOPIC, period(NOON + 1, NOON + 2), every_ms=1).buckets
        assert held[0].avg is None


def test_raw_values_are_what_the_device_told(reader: Reader) -> None:
    page = values.raw(reader, QUIET, period(NOON, NOON + 10))
    assert [value.value for value in page.items] == [5, "open", True]
    (document,) = values.raw(reader, f"{LINE}/_state/wip", period(NOON, NOON + 1)).items
    assert document.value["summary"] == "rev 1"


def test_a_plot_is_of_good_samples_only(reader: Reader) -> None:
    good = {(s.at_ms, s.value) for s in SAMPLES if s.quality == "good"}
    for points in (5, 20, 5_000):
        plot = values.plotted(reader, TOPIC, ASKED, points)
        assert len(plot.points) <= points
        assert set(plot.points) <= good
        assert list(plot.points) == sorted(plot.points)
    highest = max(v for at_ms, v in good if ASKED.from_ms <= at_ms < ASKED.to_ms and v is not None)
    assert max(value for _, value in values.plotted(reader, TOPIC, ASKED, 20).points) == highest


def test_the_newest_values_are_what_the_tree_shows(reader: Reader) -> None:
    page = values.last(reader, f"{LINE}/+/_tag/tag-1")
    newest = Newest(topic=QUIET, at_ms=NOON + 2, value=True, unit="rpm")
    assert page.items == (newest,)
    assert page.after is None
    everything = values.last(reader, "#")
    assert [one.topic for one in everything.items] == sorted(
        [TOPIC, QUIET, BACK, f"{LINE}/_state/wip"]
    )
    assert values.last_of(reader, [QUIET, f"{MILL}/_tag/none"]) == (newest,)


def test_the_newest_values_come_by_pages(reader: Reader) -> None:
    first = values.last(reader, "#", limit=3)
    second = values.last(reader, "#", limit=3, after=first.after)
    assert [len(first.items), len(second.items)] == [3, 1]
    assert second.after is None


def test_a_page_is_no_more_than_is_asked_for(filled: str) -> None:
    with Remembering(filled) as reader:
        for ask in (values.last, partial(values.tree_at, at_ms=END)):
            (one,) = ask(reader, topic_filter=f"{LINE}/+/_tag/+", limit=1, after=TOPIC).items
            assert one.topic == QUIET
            assert reader.rows <= 4, "two of tags, and when the tree changed"
            reader.heard.clear()
        assert values.last_of(reader, [QUIET])[0].topic == QUIET
        assert reader.rows == 1


def test_a_cleared_topic_shows_nothing(location: str) -> None:
    store = open_store(location, lambda: NOON)
    writer = new_writer(store)
    record(writer, sample(TOPIC, 1, NOON), sample(QUIET, 2, NOON), received_ms=NOON)
    record(writer, cleared(TOPIC), received_ms=NOON + 5)
    store.close()
    with open_reader(location) as reader:
        assert [one.topic for one in values.last(reader, "#").items] == [QUIET]
        then = values.tree_at(reader, NOON + 1)
        assert [one.topic for one in then.items] == [TOPIC, QUIET]


def test_what_cannot_be_asked_is_refused(reader: Reader) -> None:
    with pytest.raises(QueryRefused, match="beginning before the end"):
        period(NOON, NOON)
    with pytest.raises(QueryRefused, match="at most 10000"):
        values.sampled(reader, TOPIC, ASKED, every_ms=1)
    with pytest.raises(QueryRefused, match="limit 0"):
        values.raw(reader, TOPIC, ASKED, limit=0)
    with pytest.raises(QueryRefused, match="is no page"):
        values.raw(reader, TOPIC, ASKED, after="1; DROP TABLE tags")
    with pytest.raises(QueryRefused, match="use a _tag topic"):
        values.sampled(reader, f"{LINE}/_state/wip", ASKED)
    with pytest.raises(TopicError):
        values.raw(reader, "x' OR '1'='1", ASKED)
