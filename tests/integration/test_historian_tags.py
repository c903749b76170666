"""Samples by series: numbered, each once, rolled up by minute and hour, late ones too."""

from typing import Final

import psycopg
import pytest
from psycopg.sql import SQL

from tests.integration.test_historian_migration import older_schema, run, table
from tests.recorded import AN_HOUR_LATER, KEEP, Recorded
from tests.speech import MILL, NOON, WASH, Sent, tag
from tests.stores import SERVERS
from uns.codec import encode_tag
from uns.historian import postgres_store
from uns.historian.errors import StoreUnavailable
from uns.historian.rollups import SERIES_A_STEP
from uns.historian.rows import Batch, TagRow
from uns.historian.series import HOUR_MS
from uns.model.observation import Quality, Scalar

MINUTE_MS: Final = 60_000
SPEED: Final = f"{MILL}/_tag/tag-0"
SUMS: Final = (
    "n, good_n, value_min, value_max, value_sum, value_ms, first_ms, value_first, last_ms,"
    " value_last, quality_last, good_ms, uncertain_ms, bad_ms"
)
MINUTES: Final = f"SELECT at_ms - $1, {SUMS} FROM tag_minutes ORDER BY at_ms"  # noqa: S608 - constants of this test
HOURS: Final = f"SELECT topic, unit, at_ms, {SUMS} FROM tag_hours"  # noqa: S608 - constants of this test
PAGE: Final = 8_192
STAGED_SIZE: Final = "SELECT pg_relation_size(oid) FROM pg_class WHERE relname = 'new_buckets'"


def said(value: Scalar, at_ms: int, quality: Quality = "good", unit: str | None = "rpm") -> Sent:
    reason = None if quality == "good" else "gone"
    return Sent(SPEED, encode_tag(value, at_ms, quality, unit, reason))


def test_a_topic_with_its_unit_is_named_once(recorded: Recorded) -> None:
    recorded.says(said(1, NOON), said(2, NOON + 1), tag(3, NOON, WASH))
    recorded.says(said(4, NOON + 2, unit="Hz"), said(5, NOON + 3, unit=None), said(6, NOON + 4))
    recorded.restarts()
    recorded.says(said(7, NOON + 5), said(8, NOON + 6, unit=None))
    named = recorded.rows("SELECT topic, unit, series FROM tag_series ORDER BY series")
    assert named == [
        (SPEED, "rpm", 1),
        (f"{WASH}/_tag/tag-0", "rpm", 2),
        (SPEED, "Hz", 3),
        (SPEED, None, 4),
    ]
    found = recorded.rows("SELECT at_ms, value, unit FROM tags WHERE topic = $1 ORDER BY 1", SPEED)
    units = ["rpm", "rpm", "Hz", None, "rpm", "rpm", None]
    values = [1, 2, 4, 5, 6, 7, 8]
    assert found == [(NOON + n, values[n], unit) for n, unit in enumerate(units)]


def test_every_quality_and_value_is_read_as_it_was_said(recorded: Recorded) -> None:
    yes: Scalar = True
    recorded.says(
        said(yes, NOON), said("on", NOON + 1, "uncertain"), said(None, NOON + 2, "bad"),
        said(2**60, NOON + 3),
    )  # fmt: skip
    found = recorded.rows("SELECT value, value_text, quality, reason FROM tags ORDER BY at_ms")
    assert found == [
        (1.0, "true", "good", None),
        (None, "on", "uncertain", "gone"),
        (None, None, "bad", "gone"),
        (float(2**60), str(2**60), "good", None),
    ]


@pytest.mark.parametrize("restarting", [False, True])
def test_late_and_repeated_samples_stand_once(recorded: Recorded, *, restarting: bool) -> None:
    first = [said(n, NOON + 10 * n) for n in range(10)]
    recorded.says(*first)
    if restarting:
        recorded.restarts()
    late = [said(99, NOON + 5), said(99, NOON + 40), said(4, NOON + 40, "bad"), said(10, NOON + 95)]
    recorded.says(*first[3:], *late)
    recorded.says(*late, *first)
    found = recorded.rows("SELECT at_ms - $1, value, quality FROM tags ORDER BY 1, 2, 3", NOON)
    expected = [(10 * n, n, "good") for n in range(10)]
    expected += [(5, 99, "good"), (40, 99, "good"), (40, 4, "bad"), (95, 10, "good")]
    assert found == sorted(expected)


def test_minutes_and_hours_hold_each_value_until_the_next(recorded: Recorded) -> None:
    recorded.says(
        said(10, NOON + 15_000),
        said(20, NOON + 30_000),
        said(5, NOON + 40_000, "uncertain"),
        said(None, NOON + 50_000, "bad"),
        said(2, NOON + MINUTE_MS),
        said("on", NOON + 3 * MINUTE_MS),
    )
    assert recorded.rows("SELECT * FROM tag_minutes") == []
    recorded.restarts()
    assert recorded.tended(AN_HOUR_LATER - 1) == 1
    assert recorded.tended() > 1
    first, second, third = map(list, recorded.rows(MINUTES, NOON))
    assert first == [
        0, 4, 2, 10, 20, 30, 10 * 15_000 + 20 * 10_000,
        NOON + 15_000, 10, NOON + 50_000, None, "bad", 25_000, 10_000, 10_000,
    ]  # fmt: skip
    assert second[:7] == [MINUTE_MS, 1, 1, 2, 2, 2, 2 * MINUTE_MS]
    assert second[-4:] == ["good", MINUTE_MS, 0, 0]
    assert third[:7] == [3 * MINUTE_MS, 1, 0, None, None, None, None]
    assert third[-3:] == [MINUTE_MS, 0, 0]
    (hour,) = recorded.rows(HOURS)
    assert hour[:9] == (SPEED, "rpm", NOON, 6, 3, 2, 20, 32, 350_000 + 2 * 2 * MINUTE_MS)
    assert sum(hour[-3:]) == HOUR_MS - 15_000
    assert recorded.rows("SELECT * FROM rollups_due") == []


def test_a_late_sample_makes_its_bucket_anew(recorded: Recorded) -> None:
    recorded.says(said(1, NOON))
    recorded.tended()
    recorded.says(said(3, NOON + 30_000))
    assert recorded.tended() == 2
    assert recorded.tended() == 1
    recorded.says(said(9, NOON + HOUR_MS))
    minutes = "SELECT n, value_sum, value_ms FROM tag_minutes ORDER BY at_ms"
    assert recorded.rows(minutes) == [(2, 4, 1 * 30_000 + 3 * 30_000)]
    recorded.restarts()
    recorded.says(said(5, NOON + 45_000), said(11, NOON + HOUR_MS + 1))
    recorded.tended(AN_HOUR_LATER + HOUR_MS)
    assert recorded.rows(minutes) == [(3, 9, 30_000 + 45_000 + 75_000), (2, 20, 9 + 11 * 59_999)]
    assert recorded.rows("SELECT n FROM tag_hours ORDER BY at_ms") == [(3,), (2,)]


def test_many_series_take_some_steps_each_resumable(recorded: Recorded) -> None:
    count = 2 * SERIES_A_STEP + 1
    rows = [
        TagRow(f"{MILL}/_tag/t-{n}", NOON + n, n, None, "good", None, NOON) for n in range(count)
    ]
    recorded.store.write(Batch(tags=rows))
    assert recorded.store.tend(KEEP, AN_HOUR_LATER)
    assert recorded.rows("SELECT count(*) FROM rollups_due") == [(count - SERIES_A_STEP,)]
    recorded.restarts()
    assert recorded.tended() == 3
    for view in ("tag_minutes", "tag_hours"):
        assert recorded.rows(f"SELECT count(*), sum(value_sum) FROM {view}") == [  # noqa: S608 - names of ours
            (count, sum(range(count)))
        ]


def test_sums_are_total_whatever_was_measured(recorded: Recorded) -> None:
    recorded.says(*(said(1.7e308, NOON + n) for n in range(3)), said(7, NOON + 3))
    recorded.says(said(1, NOON + 10**13))
    recorded.tended()
    found = recorded.rows("SELECT n, good_n, value_max, value_ms FROM tag_minutes")
    assert found == [(4, 1, 7, 7 * (MINUTE_MS - 3))]


@pytest.mark.parametrize("location", SERVERS, indirect=True)
def test_steps_leave_nothing_behind(recorded: Recorded) -> None:
    sizes = set()
    for hour in range(4):
        minutes = range(NOON + hour * HOUR_MS, NOON + (hour + 1) * HOUR_MS, MINUTE_MS)
        recorded.says(*(said(1, at_ms) for at_ms in minutes))
        assert recorded.tended(AN_HOUR_LATER + hour * HOUR_MS) == 2
        sizes |= set(recorded.rows(STAGED_SIZE))
    assert recorded.rows("SELECT count(*) FROM tag_minutes") == [(4 * 60,)]
    assert sizes == {(PAGE,)}


def test_late_samples_of_all_ages_stand_once(recorded: Recorded) -> None:
    days = [said(day, NOON - day * 40 * HOUR_MS) for day in range(50)]
    recorded.says(*days)
    recorded.restarts()
    recorded.says(*days, *(said(day, NOON - day * 40 * HOUR_MS + 1) for day in range(50)))
    assert recorded.rows("SELECT count(*), count(DISTINCT at_ms) FROM tags") == [(100, 100)]


@pytest.mark.parametrize("location", SERVERS, indirect=True)
def test_who_took_over_late_looks_again_before_it_names_anything(
    recorded: Recorded, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where a lock is worth nothing, as behind a pool of connections."""
    monkeypatch.setattr(postgres_store, "LOCK", "SELECT 1")
    recorded.restarts()
    other = Recorded(recorded.location)
    recorded.says(said(1, NOON))
    batch = other.writer.prepare([said(1, NOON), said(2, NOON + 1)], NOON)
    with pytest.raises(StoreUnavailable, match="another historian"):
        other.writer.commit(batch)
    other.writer.commit(batch)
    other.store.close()
    assert recorded.rows("SELECT value FROM tags ORDER BY 1") == [(1,), (2,)]
    assert recorded.rows("SELECT count(*) FROM tag_series") == [(1,)]


BUILT_ON_TAGS: Final = """
CREATE VIEW speeds AS SELECT topic, value, unit FROM tags;
CREATE MATERIALIZED VIEW counted AS SELECT count(*) AS n FROM tags;
GRANT SELECT ON tags TO pg_monitor
"""
MAY_READ: Final = "SELECT has_table_privilege('pg_monitor', 'tags', 'SELECT')"
REFUSES_COPIES: Final = """
CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql
    AS $$ BEGIN RAISE 'copied' USING ERRCODE = 'disk_full'; END $$;
CREATE TRIGGER refuse BEFORE INSERT ON tag_series EXECUTE FUNCTION refuse()
"""
OLD_SAMPLES: Final = f"""
INSERT INTO tag_samples VALUES
    ('{SPEED}', {NOON}, 71, NULL, 'good', 'rpm', {NOON}, NULL, '{{"value":71.0}}'),
    ('{SPEED}', {NOON + 1}, NULL, NULL, 'bad', 'rpm', {NOON}, 'gone', NULL),
    ('{SPEED}', {NOON + 2}, 3, NULL, 'uncertain', NULL, {NOON}, NULL, NULL),
    ('{SPEED}', {NOON + HOUR_MS}, 1, 'true', 'good', 'rpm', {NOON + HOUR_MS}, NULL, NULL)
"""  # noqa: S608 - constants of this test


def test_samples_of_an_older_hub_are_numbered_and_wait_for_their_sums(location: str) -> None:
    older_schema(location, 5)
    run(location, OLD_SAMPLES)
    before = table(location, "tag_samples")
    recorded = Recorded(location)
    assert sorted(recorded.rows("TABLE tag_samples")) == sorted(before)
    assert len(before) == 4
    assert recorded.rows("SELECT count(*) FROM rollups_due") == [(3,)]
    recorded.restarts()
    recorded.tended(AN_HOUR_LATER + HOUR_MS)
    sums = recorded.rows("SELECT n, good_n, value_sum, unit FROM tag_hours ORDER BY at_ms, n")
    assert sums == [(1, 0, None, None), (2, 1, 71, "rpm"), (1, 1, 1, "rpm")]
    recorded.store.close()


@pytest.mark.parametrize("location", SERVERS, indirect=True)
def test_what_others_built_on_tags_stays(location: str) -> None:
    older_schema(location, 6)
    run(location, OLD_SAMPLES)
    run(location, BUILT_ON_TAGS)
    recorded = Recorded(location)
    recorded.says(said(5, NOON + 5))
    recorded.store.close()
    speeds = recorded.rows("SELECT value FROM speeds WHERE unit = 'rpm' ORDER BY value")
    assert speeds == [(1,), (5,), (71,), (None,)]
    assert recorded.rows(MAY_READ) == [(True,)]
    run(location, "REFRESH MATERIALIZED VIEW counted")
    assert recorded.rows("SELECT n FROM counted") == [(5,)]


@pytest.mark.parametrize("location", SERVERS, indirect=True)
def test_who_reads_for_long_delays_a_step_before_it_copies(
    location: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(postgres_store, "LOCK_WAIT_S", 0.1)
    older_schema(location, 6)
    run(location, OLD_SAMPLES)
    run(location, REFUSES_COPIES)
    with psycopg.connect(location) as reading:
        reading.execute("SELECT * FROM tags").fetchall()
        with pytest.raises(StoreUnavailable, match="lock timeout"):
            Recorded(location)
    with pytest.raises(StoreUnavailable, match="copied"):
        Recorded(location)
    run(location, "DROP TRIGGER refuse ON tag_series")
    recorded = Recorded(location)
    assert recorded.rows("SELECT count(*) FROM tags") == [(4,)]
    recorded.store.close()


@pytest.mark.parametrize("location", SERVERS[1:], indirect=True)
def test_a_plain_server_gets_its_extension_later(
    location: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as plain:
        plain.setattr(postgres_store, "has_timescale", lambda _db: False)
        recorded = Recorded(location)
        recorded.says(said(1, NOON), said(2, NOON + 1))
        recorded.store.close()
    recorded = Recorded(location)
    recorded.says(said(2, NOON + 1), said(3, NOON + 2))
    recorded.store.close()
    assert recorded.rows("SELECT value FROM tags ORDER BY 1") == [(1,), (2,), (3,)]
    with psycopg.connect(location) as db:
        found = db.execute(SQL("SELECT hypertable_name FROM timescaledb_information.hypertables"))
        assert {"events", "samples"} <= {name for (name,) in found}
