"""Old rows go, some at a time: never what is not rolled up, never the newest of anything."""

import asyncio
from collections.abc import Callable
from typing import Final

import psycopg
import pytest

from tests.brokers import RunningBroker, bounded, small_plant, until
from tests.integration.test_historian_migration import run
from tests.recorded import Recorded
from tests.speech import (
    LINE,
    MILL,
    NOON,
    READERS,
    WASH,
    cleared,
    event,
    record,
    resume,
    state,
    tag,
)
from tests.stores import SERVERS
from uns.codec import Codec
from uns.historian import queries, retention, service
from uns.historian.cleared import cleared as ever_cleared
from uns.historian.errors import StoreUnavailable, Unstorable
from uns.historian.history.sampling import Held
from uns.historian.history.tag_samples import Told, told_before
from uns.historian.reader import open_reader
from uns.historian.recorder import Known
from uns.historian.retention import Keep
from uns.historian.rollups import GRACE_MS
from uns.historian.rows import Batch
from uns.historian.series import HOUR_MS
from uns.historian.service import Historian, HistorianWiring
from uns.historian.writer import Writer
from uns.model.plant import Plant, Retention
from uns.mqtt.client import MqttClient

DAY_MS: Final = 86_400_000
YEAR_2000: Final = 946_684_800_000
COUNTS: Final = """
SELECT (SELECT count(*) FROM tags), (SELECT count(*) FROM tag_minutes),
    (SELECT count(*) FROM tag_hours)
"""
SPEED: Final = f"{MILL}/_tag/tag-0"


def keeping(tags_days: int, minutes_days: int = 10, events_days: int = 30) -> Keep:
    kept = Retention(tags_days=tags_days, minutes_days=minutes_days, events_days=events_days)
    return Keep(kept, READERS.topics())


KEEP: Final = keeping(2)


def days_later(days: int) -> int:
    return NOON + days * DAY_MS


def counts(recorded: Recorded) -> tuple[int, int, int]:
    """Samples, minutes and hours on record."""
    ((samples, minutes, hours),) = recorded.rows(COUNTS)
    return samples, minutes, hours


def test_samples_go_then_minutes_then_hours(recorded: Recorded) -> None:
    for day in range(4):
        recorded.says(*(tag(n, days_later(day) + n * 60_000) for n in range(3)))
    recorded.tended(days_later(3) + HOUR_MS + GRACE_MS, KEEP)
    samples, minutes, hours = counts(recorded)
    assert (minutes, hours) == (12, 4)
    assert samples in {6, 9}, "a day's chunk goes as a whole"
    assert recorded.rows("SELECT min(at_ms) FROM tags")[0][0] <= days_later(2)
    recorded.tended(days_later(20), KEEP)
    samples, minutes, hours = counts(recorded)
    assert (samples, hours) == (0, 4)
    assert minutes in {0, 12}, "a week's chunk goes as a whole"
    recorded.tended(days_later(60), KEEP)
    assert counts(recorded) == (0, 0, 0)


def test_nothing_goes_that_is_not_rolled_up(recorded: Recorded) -> None:
    recorded.says(tag(1, NOON), tag(2, NOON + HOUR_MS))
    assert recorded.store.tend(KEEP, NOON + DAY_MS)
    recorded.tended(days_later(9), keeping(8))
    assert recorded.rows("SELECT sum(n) FROM tag_hours") == [(2,)]


def test_a_sample_that_comes_too_late_spoils_no_sum(recorded: Recorded) -> None:
    recorded.says(*(tag(n, NOON + n) for n in range(5)))
    recorded.tended(NOON + HOUR_MS + GRACE_MS, KEEP)
    before = recorded.rows("TABLE tag_hours")
    recorded.tended(days_later(4), KEEP)
    assert recorded.rows("TABLE tags") == []
    recorded.restarts()
    recorded.says(tag(77, NOON + 9))
    recorded.tended(days_later(4), KEEP)
    assert recorded.rows("TABLE rollups_due") == []
    assert recorded.rows("TABLE tag_hours") == before
    recorded.says(tag(78, NOON + 10))
    recorded.tended(days_later(4), keeping(90))
    assert recorded.rows("TABLE tag_hours") == before, "made from more samples than are left"


def test_a_step_is_bounded(recorded: Recorded, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retention, "SLICE_ROWS", 10)
    recorded.says(*(event(n) for n in range(1, 26)))
    recorded.tended(NOON, KEEP)
    left = []
    while recorded.store.tend(KEEP, days_later(60)):
        left.append(recorded.rows("SELECT count(*) FROM events")[0][0])
    assert left in ([15, 5, 0], [0]), "a slice, or a whole chunk"


def test_the_newest_document_of_a_topic_stays(recorded: Recorded) -> None:
    recorded.says(state("oee", 1, {"a": 1}), state("oee", 2, {"a": 2}), state("order", 1, {}))
    recorded.tended(days_later(60), KEEP)
    found = recorded.rows("SELECT topic, rev FROM states ORDER BY topic")
    assert found == [(f"{LINE}/_state/oee", 2), (f"{LINE}/_state/order", 1)]


def test_what_is_young_enough_stays(recorded: Recorded) -> None:
    recorded.says(tag(1, NOON), event(1), state("oee", 1, {}), state("oee", 2, {}))
    recorded.tended(NOON + 2 * DAY_MS - HOUR_MS, KEEP)
    assert counts(recorded) == (1, 1, 1)
    assert len(recorded.rows("TABLE events")) == 1
    assert len(recorded.rows("TABLE states")) == 2


def test_what_came_since_the_newest_base_stays(recorded: Recorded) -> None:
    dead_clock = event(2, at_ms=YEAR_2000)
    recorded.says(event(1), dead_clock, resume("oee", 1, {}, base_rev=1))
    recorded.says(state("oee", 1, {}), state("oee", 2, {}))
    recorded.tended(days_later(60), KEEP)
    assert len(recorded.rows("TABLE events")) == 2
    assert len(recorded.rows("TABLE states")) == 2
    recorded.restarts()
    base = resume("oee", 2, {}, base_rev=2, at_ms=days_later(59))
    record(recorded.writer, base, received_ms=days_later(59))
    recorded.tended(days_later(60), KEEP)
    assert recorded.rows("TABLE events") == []
    assert len(recorded.rows("TABLE states")) == 1


def test_a_base_of_a_line_that_is_gone_holds_up_nothing(recorded: Recorded) -> None:
    recorded.says(event(1), resume("retired", 1, {}, base_rev=1))
    recorded.tended(days_later(60), KEEP)
    assert recorded.rows("TABLE events") == []
    assert len(recorded.rows("TABLE processor_states")) == 1


def test_what_came_late_stays_as_long_as_what_came_then(recorded: Recorded) -> None:
    recorded.says(tag(1, NOON))
    recorded.tended(NOON + HOUR_MS + GRACE_MS, KEEP)
    record(recorded.writer, tag(2, NOON + 1), received_ms=days_later(3))
    recorded.tended(days_later(4), KEEP)
    late = recorded.rows("SELECT value FROM tags WHERE topic = $1 AND at_ms > $2", SPEED, NOON)
    assert late == [(2,)]
    recorded.tended(days_later(6), KEEP)
    assert recorded.rows("TABLE tags") == []


@pytest.mark.parametrize("location", SERVERS[1:], indirect=True)
def test_a_chunk_that_stays_is_searched_once(
    recorded: Recorded, monkeypatch: pytest.MonkeyPatch
) -> None:
    record(recorded.writer, tag(2, NOON), received_ms=days_later(3))
    recorded.tended(days_later(4), KEEP)
    with monkeypatch.context() as blind:
        blind.setattr(retention, "_LAST_CAME", "SELECT 1/0 WHERE $1 < $2")
        recorded.tended(days_later(4), KEEP)
        with pytest.raises(Unstorable, match="division"):
            recorded.tended(days_later(6), KEEP)
    assert recorded.rows("SELECT value FROM tags") == [(2,)]
    recorded.tended(days_later(6), KEEP)
    assert recorded.rows("TABLE tags") == []


def test_the_last_sample_of_a_slow_tag_is_shown_still(
    recorded: Recorded, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retention, "SLICE_ROWS", 2)
    recorded.says(*(tag(n, NOON + HOUR_MS * n) for n in range(6)), tag("on", NOON + 7, WASH))
    recorded.tended(days_later(4), KEEP)
    assert recorded.rows("TABLE tags") == []
    last, at_ms = tag(5, NOON + 5 * HOUR_MS), days_later(3)
    recorded.restarts()
    recorded.says(tag(5, NOON + 5 * HOUR_MS, retain=True))
    assert recorded.rows("TABLE tags") == [], "said again, it is known"
    record(recorded.writer, tag(6, days_later(4)), received_ms=days_later(4))
    record(recorded.writer, cleared(SPEED), received_ms=days_later(4) + 1)
    recorded.store.close()
    with open_reader(recorded.location) as reader:
        tree = {SPEED: last.payload, f"{WASH}/_tag/tag-0": tag("on", NOON + 7).payload}
        assert queries.snapshot(reader, at_ms) == tree
        held = Held(NOON + 5 * HOUR_MS, 5, "good")
        assert told_before(reader, SPEED, at_ms) == Told(held, "rpm", None)
        assert told_before(reader, SPEED, NOON) is None
    recorded.tended(days_later(8), KEEP)
    recorded.store.close()
    with open_reader(recorded.location) as reader:
        assert ever_cleared(reader, [SPEED]) == {SPEED: tag(6, days_later(4)).payload}
        assert told_before(reader, SPEED, days_later(8)) is not None
    assert recorded.rows("SELECT count(*) FROM samples_kept") == [(2,)]


def test_of_what_was_shown_and_cleared_long_ago_the_last_stays(recorded: Recorded) -> None:
    for n in range(3):
        recorded.restarts()
        record(recorded.writer, tag(n, NOON + n), received_ms=NOON + 2 * n)
        record(recorded.writer, cleared(SPEED), received_ms=NOON + 2 * n + 1)
    shown = "SELECT (SELECT count(*) FROM shown_again), (SELECT count(*) FROM cleared)"
    assert recorded.rows(shown) == [(3, 3)]
    recorded.tended(days_later(4), KEEP)
    assert recorded.rows(shown) == [(1, 3)]
    recorded.tended(days_later(60), KEEP)
    assert recorded.rows(shown) == [(1, 1)]
    assert recorded.rows("SELECT received_ms FROM cleared") == [(NOON + 5,)]


def test_a_dead_clock_holds_up_nobody(recorded: Recorded) -> None:
    recorded.says(tag(1, NOON, WASH))
    for n in range(4):
        recorded.says(tag(n, YEAR_2000 + n))
        assert recorded.store.tend(KEEP, days_later(4))
    topic = f"{WASH}/_tag/tag-0"
    recorded.restarts()
    assert recorded.rows("SELECT n FROM tag_hours WHERE topic = $1", topic) == [(1,)]
    assert recorded.rows("SELECT * FROM tags WHERE topic = $1", topic) == []


def test_where_no_limit_is_written_everything_stays(recorded: Recorded) -> None:
    recorded.says(tag(1, NOON), event(1), state("oee", 1, {}), state("oee", 2, {}))
    while recorded.store.tend(None, days_later(9_000)):
        pass
    assert counts(recorded) == (1, 1, 1)
    assert len(recorded.rows("TABLE events")) == 1
    assert len(recorded.rows("TABLE states")) == 2


@pytest.mark.parametrize("written", [None, KEEP.retention])
def test_a_process_is_told_what_the_plant_writes(written: Retention | None) -> None:
    plant = small_plant().model_copy(update={"retention": written})
    assert Plant.model_validate_json(plant.model_dump_json()).retention == written


def test_upkeep_of_a_changed_database_is_put_off(recorded: Recorded, location: str) -> None:
    recorded.says(tag(1, NOON))
    recorded.store.close()
    run(location, "ALTER TABLE quarantine RENAME TO kept_elsewhere")
    with pytest.raises(StoreUnavailable, match="quarantine"):
        recorded.store.tend(KEEP, NOON)
    recorded.says(tag(2, NOON + 1))


@pytest.mark.parametrize("location", SERVERS[1:], indirect=True)
def test_a_long_reader_delays_upkeep_and_breaks_nothing(recorded: Recorded, location: str) -> None:
    recorded.says(tag(1, NOON))
    recorded.tended(NOON + HOUR_MS + GRACE_MS, KEEP)
    with psycopg.connect(location) as reading:
        reading.execute("SELECT * FROM tags").fetchall()
        assert not recorded.store.tend(KEEP, days_later(9))
        recorded.says(tag(2, days_later(9)))
    recorded.tended(days_later(9), KEEP)
    assert recorded.rows("SELECT value FROM tags") == [(2,)]


class Untidy:
    """A store with three steps of upkeep to do, of which the first one fails."""

    kind = "duckdb"

    def __init__(self) -> None:
        self.steps: list[Callable[[], bool]] = [_away, lambda: True, lambda: True, lambda: False]
        self.asked: list[tuple[Keep | None, int]] = []

    def tend(self, keep: Keep | None, now_ms: int) -> bool:
        self.asked.append((keep, now_ms))
        return self.steps.pop(0)() if self.steps else False

    def write(self, batch: Batch) -> None:
        assert batch

    def known(self) -> Known:
        return Known()

    def close(self) -> None:
        """Nothing is held."""


def _away() -> bool:
    raise StoreUnavailable("away")


@bounded
async def test_a_historian_tends_its_store_between_batches(
    mosquitto: RunningBroker, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    for pause in ("IDLE_S", "TEND_EVERY_S", "TEND_REST_S"):
        monkeypatch.setattr(service, pause, 0.05)
    store = Untidy()
    client = MqttClient(mosquitto.address("historian"), "historian")
    writer = Writer(Codec(mosquitto.plant), store, READERS)
    wiring = HistorianWiring("main", "acme", client, store, writer, lambda: NOON, keep=KEEP)
    async with client:
        task = asyncio.create_task(Historian(wiring).run())
        await until(lambda: len(store.asked) >= 4)
        assert not task.done()
        task.cancel()
        await asyncio.wait([task])
    assert set(store.asked) == {(KEEP, NOON)}
    assert caplog.text.count("not rolled up now: away") == 1
