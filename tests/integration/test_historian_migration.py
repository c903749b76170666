"""A store that an older hub made is brought forward with every row, and works as a new one does."""

import hashlib
from typing import Any, Final

import duckdb
import psycopg
import pytest
from psycopg.sql import SQL

from tests.speech import LINE, MILL, NOON, PLC, cleared, event, new_writer, record, state, tag
from uns.historian import schema
from uns.historian.postgres_store import DIALECTS, has_timescale
from uns.historian.queries import newest
from uns.historian.reader import open_reader
from uns.historian.recorder import Watermark
from uns.historian.schema import migrations
from uns.historian.store import open_store

OLD_VERSION: Final = 3
SHIPPED: Final = {
    "duckdb/0001_tables.sql": "2ef40ae9e1136b19",
    "postgres/0001_tables.sql": "690b627e40afe229",
    "0002_read_models.sql": "a1cc5366c00c24d2",
    "timescale/0003_hypertables.sql": "f4f34e9cd0c84b76",
}
"""What ran in stores that are out there never changes: the files' SHA-256, its first 16 digits."""

COUNTED: Final = str(event(1).payload, "utf-8")
RESUME: Final = f'{{"owner_epoch":1,"rev":4,"marks":{{"{PLC}":[1,1]}}}}'
OLD_ROWS: Final = f"""
INSERT INTO events VALUES ('{PLC}:1:1', 'counted', '{MILL}', '{PLC}', 1, 1, {NOON + 1}, {NOON},
    '{MILL}/_event/counted', '{COUNTED}');
INSERT INTO tag_samples VALUES
    ('{MILL}/_tag/tag-0', {NOON}, 1.5, NULL, 'good', 'rpm', {NOON}),
    ('{MILL}/_tag/tag-0', {NOON + 1}, NULL, 'on', 'bad', NULL, {NOON});
INSERT INTO states VALUES ('{LINE}/_state/oee', 4, {NOON}, {NOON}, '{{"rev":4,  "a":1}}');
INSERT INTO processor_states
    VALUES ('{LINE}/_hub/processor/oee', 1, 4, {NOON}, {NOON}, '{RESUME}');
INSERT INTO quarantine VALUES ('bad-json', 'not JSON', '{MILL}/_tag/tag-0', {NOON}, 'ew==', '00');
INSERT INTO watermarks VALUES ('{PLC}', 1, 1, 1, NULL, '[]', {NOON});
"""  # noqa: S608 - constants of this test
STOPPED: Final = '{"stop_id":"a","state":"down"}'
ENDED: Final = f'{{"stop_id":"a","state":"down","start_ms":{NOON},"duration_ms":9}}'
TOLD_TWICE: Final = f"""
INSERT INTO events VALUES
    ('1', 'stopped', '{MILL}', '{PLC}', 1, 1, {NOON}, {NOON}, 't', '{STOPPED}'),
    ('2', 'stopped', '{MILL}', '{PLC}', 1, 2, {NOON}, {NOON}, 't', '{STOPPED}'),
    ('3', 'stop-ended', '{MILL}', '{PLC}', 1, 3, {NOON + 9}, {NOON}, 't', '{ENDED}');
INSERT INTO shown_again VALUES
    ('float', {NOON}, '{{"value":2.5,"timestamp_ms":{NOON}.0,"quality":"good"}}'),
    ('truth', {NOON}, '{{"value":2.5,"timestamp_ms":true,"quality":"good"}}'),
    ('huge', {NOON}, '{{"value":2.5,"timestamp_ms":1e99,"quality":"good"}}');
"""  # noqa: S608 - constants of this test
TABLES: Final = ("events", "states", "processor_states", "rejects", "watermarks", "gaps")


def older_schema(location: str, version: int) -> None:
    """Make the tables of an older hub."""
    run(location, schema.VERSIONS)
    for migration in migrations(dialects(location)):
        if migration.version <= version:
            name = migration.name
            run(location, migration.sql)
            run(location, f"INSERT INTO schema_version VALUES ({migration.version}, '{name}', 1)")  # noqa: S608 - names of ours


def dialects(location: str) -> tuple[str, ...]:
    """Those of a store that is not open."""
    if "://" not in location:
        return ("duckdb",)
    with psycopg.connect(location, autocommit=True) as db:
        return DIALECTS["timescaledb" if has_timescale(db) else "postgresql"]


def run(location: str, sql: str) -> None:
    """Run statements on a store that nobody has open."""
    if "://" in location:
        with psycopg.connect(location, autocommit=True) as db:
            db.execute(SQL(sql))
    else:
        with duckdb.connect(location) as db:
            db.execute(sql)


def table(location: str, name: str) -> list[tuple[Any, ...]]:
    with open_reader(location) as reader:
        return reader.query(f"TABLE {name}").rows


@pytest.fixture
def old_store(location: str) -> str:
    """A store with rows in it, made by the schema of an older hub."""
    older_schema(location, OLD_VERSION)
    run(location, OLD_ROWS)
    return location


def test_what_ran_in_stores_that_are_out_there_never_changes() -> None:
    found = {
        m.name: m for dialect in ("duckdb", "postgres", "timescale") for m in migrations([dialect])
    }
    assert {
        name: hashlib.sha256(m.sql.encode()).hexdigest()[:16]
        for name, m in found.items()
        if m.version <= OLD_VERSION
    } == SHIPPED


def test_an_old_store_is_brought_forward_with_every_row(old_store: str) -> None:
    before = {name: table(old_store, name) for name in TABLES}
    samples = table(old_store, "tags")
    store = open_store(old_store, lambda: NOON)
    writer = new_writer(store)
    assert writer.everything() == [Watermark(PLC, 1, 1, 0)]
    store.close()
    assert {name: table(old_store, name) for name in TABLES} == before
    assert table(old_store, "tags") == [(*row, None) for row in samples]
    with open_reader(old_store) as reader:
        assert newest(reader) == {
            f"{MILL}/_tag/tag-0": b'{"value":"on","timestamp_ms":%d,"quality":"bad"}' % (NOON + 1),
            f"{LINE}/_state/oee": b'{"rev":4,  "a":1}',
        }


def test_what_was_told_twice_or_oddly_is_brought_forward(location: str) -> None:
    older_schema(location, 4)
    run(location, TOLD_TWICE)
    store = open_store(location, lambda: NOON)
    store.known()
    store.close()
    assert [row[0] for row in table(location, "stops")] == ["a"]
    with open_reader(location) as reader:
        shown = reader.query("SELECT topic, at_ms, value FROM newest_tags").rows
    assert shown == [("float", NOON, 2.5)]


def test_counts_are_whole_numbers_on_every_store(location: str) -> None:
    store = open_store(location, lambda: NOON)
    store.known()
    store.close()
    words = (
        "'7'",
        "'-3'",
        "'12.5'",
        "'1e3'",
        "' 7'",
        "'x'",
        "NULL",
        f"'{9 * 10**17}'",
        f"'{10**18}'",
    )
    asked = ", ".join(f"as_count({word})" for word in words)
    with open_reader(location) as reader:
        found = reader.query(f"SELECT {asked}").rows
    assert found == [(7, -3, None, None, None, None, None, 9 * 10**17, None)]


def test_an_old_store_goes_on_as_a_new_one(old_store: str) -> None:
    store = open_store(old_store, lambda: NOON)
    gone = cleared(f"{LINE}/_state/oee")
    record(new_writer(store), event(1), tag(1.5, NOON), tag(7.0, NOON + 2), event(2), gone)
    store.close()
    assert len(table(old_store, "events")) == 2
    assert len(table(old_store, "tags")) == 3
    with open_reader(old_store) as reader:
        assert newest(reader) == {f"{MILL}/_tag/tag-0": tag(7.0, NOON + 2).payload}
    store = open_store(old_store, lambda: NOON)
    record(new_writer(store), state("oee", 5, {}))
    store.close()
    assert len(table(old_store, "states")) == 2
