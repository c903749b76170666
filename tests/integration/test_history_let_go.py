"""Tags over times of which retention left sums only, and over long times: what is read and said."""

from collections.abc import Iterator
from typing import Final

import pytest

from tests.asked import Remembering
from tests.holding import Told, expected
from tests.integration.test_historian_retention import DAY_MS, days_later, keeping
from tests.integration.test_history_values import (
    END,
    FIRST_HOUR,
    HOUR_MS,
    SAMPLES,
    TOPIC,
    sample,
)
from tests.recorded import KEEP, Recorded
from tests.speech import NOON, record
from uns.historian.errors import QueryRefused
from uns.historian.history import values
from uns.historian.history.drawn import numbers
from uns.historian.history.period import Period, period
from uns.historian.history.sampling import spans
from uns.historian.history.values import Sampled
from uns.historian.reader import Reader, open_reader
from uns.historian.rollups import GRACE_MS
from uns.model.observation import Quality

MINUTE_MS: Final = 60_000
ASKED: Final = Period(from_ms=FIRST_HOUR + 2 * MINUTE_MS, to_ms=END - 5 * MINUTE_MS)
LONG: Final = Period(from_ms=FIRST_HOUR, to_ms=FIRST_HOUR + 2 * DAY_MS)
SINCE: Final = FIRST_HOUR + 6 * 24 * HOUR_MS
"""A good value is told again from here on."""


@pytest.fixture
def reader(recorded: Recorded) -> Iterator[Reader]:
    """Hours of samples that are let go, their minutes not."""
    for n in range(0, len(SAMPLES), 50):
        some = SAMPLES[n : n + 50]
        said = [sample(TOPIC, one.value, one.at_ms, one.quality) for one in some]  # type: ignore[arg-type]  # a quality
        record(recorded.writer, *said, received_ms=some[-1].at_ms)
    record(recorded.writer, sample(TOPIC, 5, SINCE), received_ms=SINCE)
    recorded.tended(SINCE + DAY_MS, keeping(2))
    recorded.store.close()
    with open_reader(recorded.location) as found:
        assert found.query("SELECT count(*) FROM tags").rows == [(1,)], "the rest is let go"
        yield found


def check(found: Sampled, told: list[Told], asked: Period) -> None:
    """Every step is what its samples said, and each that is not known lies in a gap."""
    steps = list(spans(asked, found.every_ms))
    for bucket, step in zip(found.buckets, steps, strict=True):
        wanted = expected(told, step, asked)._asdict()
        assert bucket.model_dump() == pytest.approx(wanted), step
        in_gaps = any(g.from_ms < step.to_ms and g.to_ms > step.from_ms for g in found.gaps)
        assert in_gaps == (bucket.coverage < 1), step


@pytest.mark.parametrize("every_ms", [MINUTE_MS, 25 * MINUTE_MS, HOUR_MS])
def test_sums_tell_what_samples_told(reader: Reader, every_ms: int) -> None:
    found = values.sampled(reader, TOPIC, ASKED, every_ms=every_ms)
    check(found, SAMPLES, ASKED)
    assert {gap.why for gap in found.gaps} <= {"nothing yet", "in part", "bad", "uncertain"}
    across = Period(from_ms=ASKED.from_ms, to_ms=SINCE + HOUR_MS)
    longer = values.sampled(reader, TOPIC, across, every_ms=HOUR_MS)
    check(longer, [*SAMPLES, Told(SINCE, "good", 5.0)], across)


def test_what_needs_samples_that_are_gone_is_refused(reader: Reader) -> None:
    with pytest.raises(QueryRefused, match=r"were let go.*whole minutes"):
        values.sampled(reader, TOPIC, ASKED, every_ms=90_001)
    with pytest.raises(QueryRefused, match="without a hold"):
        values.sampled(reader, TOPIC, ASKED, every_ms=HOUR_MS, hold_ms=1_000)
    young = period(SINCE, SINCE + HOUR_MS)
    found = values.sampled(reader, TOPIC, young, every_ms=90_001, hold_ms=HOUR_MS)
    assert found.coverage == 1.0


def test_a_plot_of_let_go_hours_reaches_as_high_and_as_low(reader: Reader) -> None:
    within = (s for s in SAMPLES if ASKED.from_ms <= s.at_ms < ASKED.to_ms)
    good = [s.value for s in within if s.quality == "good"]
    drawn = [value for _, value in values.plotted(reader, TOPIC, ASKED, 500).points]
    assert len(drawn) > 50
    assert min(drawn) == min(v for v in good if v is not None)
    assert max(drawn) == max(v for v in good if v is not None)


def test_a_set_point_of_long_ago_is_known_though_it_is_let_go(recorded: Recorded) -> None:
    for day in (0, 10, 20):
        record(recorded.writer, sample(TOPIC, 7 + day, days_later(day)), received_ms=NOON)
    recorded.tended(days_later(40), keeping(2, events_days=90))
    recorded.store.close()
    with open_reader(recorded.location) as reader:
        for day, value in ((5, 7.0), (12, 17.0), (25, 27.0)):
            asked = period(days_later(day), days_later(day + 1))
            found = values.sampled(reader, TOPIC, asked, every_ms=HOUR_MS)
            assert {bucket.avg for bucket in found.buckets} == {value}
            assert (found.coverage, found.gaps, found.unit) == (1.0, (), "rpm")


def test_where_minutes_are_gone_too_only_whole_hours_are_known(recorded: Recorded) -> None:
    record(recorded.writer, sample(TOPIC, 3, FIRST_HOUR), sample(TOPIC, 4, FIRST_HOUR + HOUR_MS))
    recorded.tended(days_later(60), keeping(2, events_days=90))
    recorded.store.close()
    with open_reader(recorded.location) as reader:
        hours = period(FIRST_HOUR, FIRST_HOUR + 3 * HOUR_MS)
        found = values.sampled(reader, TOPIC, hours, every_ms=HOUR_MS)
        assert [bucket.avg for bucket in found.buckets] == [3.0, 4.0, 4.0]
        with pytest.raises(QueryRefused, match="whole hours"):
            values.sampled(reader, TOPIC, hours, every_ms=MINUTE_MS)
        half = period(FIRST_HOUR + HOUR_MS // 2, FIRST_HOUR + 2 * HOUR_MS)
        (first, second) = values.sampled(reader, TOPIC, half, every_ms=HOUR_MS).buckets
        assert (first.coverage, second.avg) == (0.0, 4.0)
        (gap,) = values.sampled(reader, TOPIC, half, every_ms=HOUR_MS).gaps
        assert (gap.from_ms, gap.to_ms, gap.why) == (half.from_ms, FIRST_HOUR + HOUR_MS, "let go")
        assert values.plotted(reader, TOPIC, hours, 10).points[0] == (FIRST_HOUR, 3.0)


def rolled_up(recorded: Recorded, *said: tuple[int, float, str]) -> Remembering:
    """A reader of samples whose hours are over and summed up."""
    for at_ms, value, quality in said:
        one = sample(TOPIC, value, at_ms, quality)  # type: ignore[arg-type]  # a quality
        record(recorded.writer, one, received_ms=at_ms)
    recorded.tended(LONG.to_ms + HOUR_MS + GRACE_MS, KEEP)
    recorded.store.close()
    return Remembering(recorded.location)


def read_ms(reader: Remembering) -> int:
    """Over how much time the samples themselves were read, in order."""
    in_order = (one for one in reader.heard if "LEAD(" in one.sql or "DISTINCT ON" in one.sql)
    windows = [one.params[1:3] for one in in_order if "FROM tag_hours" not in one.sql]
    return sum(to_ms - from_ms for from_ms, to_ms in windows)


def test_of_a_long_time_only_what_is_not_known_is_looked_at(recorded: Recorded) -> None:
    every = range(LONG.from_ms, LONG.to_ms, HOUR_MS // 4)
    lost = {every[40], every[41], every[99]}
    said = [(at, float(n % 7), "bad" if at in lost else "good") for n, at in enumerate(every)]
    with rolled_up(recorded, *said) as reader:
        found = values.sampled(reader, TOPIC, LONG, every_ms=HOUR_MS)
        spans_lost = [(every[40], every[42]), (every[99], every[100])]
        assert [(gap.from_ms, gap.to_ms) for gap in found.gaps] == spans_lost
        assert 0 < read_ms(reader) <= 3 * HOUR_MS
        reader.heard.clear()
        drawn = numbers(reader, TOPIC, LONG, 5)
        assert {0.0, 6.0} <= {value for _, value in drawn}
        assert len(drawn) < len(every) / 2
        assert read_ms(reader) <= 3 * HOUR_MS


def test_a_tag_that_stays_bad_is_one_gap_however_long(recorded: Recorded) -> None:
    every = range(LONG.from_ms, LONG.to_ms, HOUR_MS // 4)
    with rolled_up(recorded, *((at, float(n), "bad") for n, at in enumerate(every))) as reader:
        found = values.sampled(reader, TOPIC, LONG, every_ms=HOUR_MS)
        (gap,) = found.gaps
        assert (gap.from_ms, gap.to_ms, gap.why) == (LONG.from_ms, LONG.to_ms, "bad")
        assert read_ms(reader) <= 2 * HOUR_MS


def test_a_gap_may_have_many_samples(recorded: Recorded) -> None:
    """As many as there may be gaps, and more."""
    quality: dict[bool, Quality] = {True: "bad", False: "good"}
    lost = range(FIRST_HOUR + MINUTE_MS, FIRST_HOUR + 11 * MINUTE_MS, 1_000)
    every = range(FIRST_HOUR, FIRST_HOUR + 20 * MINUTE_MS, 1_000)
    said = [sample(TOPIC, n, at_ms, quality[at_ms in lost]) for n, at_ms in enumerate(every)]
    record(recorded.writer, *said)
    recorded.store.close()
    with open_reader(recorded.location) as reader:
        asked = period(FIRST_HOUR, FIRST_HOUR + HOUR_MS)
        (gap,) = values.sampled(reader, TOPIC, asked, points=1).gaps
        assert (gap.from_ms, gap.to_ms) == (lost.start, lost.stop)


def test_a_bucket_of_two_units_is_told_by_its_samples(recorded: Recorded) -> None:
    hour = period(FIRST_HOUR, FIRST_HOUR + HOUR_MS)
    record(
        recorded.writer,
        sample(TOPIC, 1, FIRST_HOUR, unit="mm"),
        sample(TOPIC, 1, FIRST_HOUR + 10 * MINUTE_MS, "bad", unit=None),
        sample(TOPIC, 2, FIRST_HOUR + 50 * MINUTE_MS, unit="mm"),
    )
    recorded.tended(FIRST_HOUR + 2 * HOUR_MS, KEEP)
    recorded.store.close()
    with open_reader(recorded.location) as reader:
        found = values.sampled(reader, TOPIC, hour, every_ms=HOUR_MS)
        assert found.coverage == pytest.approx(1 / 3)
        assert found.buckets[0].avg == pytest.approx(1.5)


def test_many_outages_do_not_make_roll_ups_useless(recorded: Recorded) -> None:
    """A lost source turns its tag bad at the instant of its last value."""
    outages = 60
    for n, at_ms in enumerate(range(LONG.from_ms, LONG.to_ms, HOUR_MS // 2)):
        record(recorded.writer, sample(TOPIC, n, at_ms), received_ms=at_ms)
        if n < outages:
            lost = sample(TOPIC, n, at_ms, "bad")
            record(recorded.writer, lost, received_ms=at_ms + 5 * MINUTE_MS)
    recorded.tended(LONG.to_ms + HOUR_MS + GRACE_MS, KEEP)
    recorded.store.close()
    with Remembering(recorded.location) as reader:
        found = values.sampled(reader, TOPIC, LONG, every_ms=HOUR_MS)
        assert len(found.gaps) == outages
        assert found.coverage == pytest.approx(1 - outages * 25 / (48 * 60))
        assert any("FROM tag_hours" in one.sql and one.rows > 10 for one in reader.heard)
