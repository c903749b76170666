"""What TimescaleDB does by itself is asked for where its licence allows it, and only there.

The Community edition cannot be had here. What is tested: by which answer of the server it is found
out (a recorded one), what would be run then, and that the Apache edition refuses each of these
statements for its licence and for nothing else: names and arguments are right.
"""

from typing import Any, Final

import psycopg
import pytest
from psycopg import errors
from psycopg.sql import SQL

from tests.speech import NOON, new_writer, record, tag
from tests.stores import SERVERS
from uns.historian import editions
from uns.historian.editions import Edition
from uns.historian.postgres_store import PostgresStore
from uns.historian.reader import open_reader


class Licensed:
    """Answers as a server does: `licence` as SHOW gives it, `packed` once it was asked to."""

    def __init__(self, licence: str | None, *, packed: bool = False) -> None:
        self.answers: dict[str, list[tuple[Any, ...]]] = {
            editions.LICENCE: [(licence,)],
            editions.COMPRESSED: [(1,)] if packed else [],
        }

    def __call__(self, sql: str) -> list[tuple[Any, ...]]:
        return self.answers[sql]


@pytest.mark.parametrize(
    ("kind", "licence", "edition"),
    [
        ("postgresql", None, editions.POSTGRESQL),
        ("timescaledb", "apache", editions.TIMESCALE_APACHE),
        ("timescaledb", None, editions.TIMESCALE_APACHE),
        ("timescaledb", "timescale", editions.TIMESCALE_COMMUNITY),
    ],
)
def test_the_licence_tells_the_edition(kind: str, licence: str | None, edition: Edition) -> None:
    assert editions.edition_of(kind, Licensed(licence)) is edition


def test_only_the_community_edition_is_asked_to_pack_and_only_once() -> None:
    known = editions.DUCKDB, editions.POSTGRESQL, editions.TIMESCALE_APACHE
    assert {editions.not_yet_asked(one, Licensed("apache")) for one in known} == {()}
    community = editions.TIMESCALE_COMMUNITY
    assert editions.not_yet_asked(community, Licensed("timescale")) == editions.COMPRESSION
    assert editions.not_yet_asked(community, Licensed("timescale", packed=True)) == ()


CATALOGUE: Final = """
CREATE SCHEMA timescaledb_information;
CREATE TABLE timescaledb_information.hypertables AS
    SELECT current_schema() AS hypertable_schema, 'samples' AS hypertable_name,
        true AS compression_enabled;
CREATE TABLE timescaledb_information.jobs AS
    SELECT current_schema() AS hypertable_schema, 'samples' AS hypertable_name, proc_name
    FROM (VALUES ('policy_reorder')) AS known(proc_name);
"""
"""What the Community edition says of itself when it was stopped between two statements."""


@pytest.mark.parametrize("location", SERVERS[:1], indirect=True)
def test_what_was_half_asked_for_is_asked_again(location: str) -> None:
    community = editions.TIMESCALE_COMMUNITY
    with psycopg.connect(location, autocommit=True) as db:

        def missing() -> tuple[str, ...]:
            return editions.not_yet_asked(community, lambda sql: db.execute(SQL(sql)).fetchall())

        db.execute(SQL(CATALOGUE))
        assert missing() == editions.COMPRESSION
        db.execute(
            "INSERT INTO timescaledb_information.jobs"
            " VALUES (current_schema(), 'samples', 'policy_compression')"
        )
        assert missing() == ()


@pytest.mark.parametrize("location", SERVERS[1:], indirect=True)
def test_apache_refuses_what_community_is_asked_for_by_its_licence_only(location: str) -> None:
    store = PostgresStore(location, lambda: NOON)
    record(new_writer(store), tag(1, NOON))
    store.close()
    refused = []
    with psycopg.connect(location, autocommit=True) as db:
        assert db.execute(SQL(editions.LICENCE)).fetchone() == ("apache",)
        for sql in editions.COMPRESSION:
            try:
                db.execute(SQL(sql))
            except errors.FeatureNotSupported as error:
                refused.append((sql, str(error)))
        db.execute("SET search_path TO pg_catalog")
        assert db.execute("SELECT public.samples_now_ms()").fetchone() == (NOON,)
        assert db.execute(SQL(editions.COMPRESSED)).fetchall() == []
    assert [sql for sql, _ in refused] == list(editions.COMPRESSION[-2:])
    assert all("apache" in why for _, why in refused)


@pytest.mark.parametrize("location", SERVERS[1:], indirect=True)
def test_what_is_refused_is_said_and_done_without(
    location: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(editions, "COMMUNITY", "apache")
    store = PostgresStore(location, lambda: NOON)
    record(new_writer(store), tag(1, NOON))
    store.close()
    assert "samples are not packed" in caplog.text
    with open_reader(location) as reader:
        assert reader.query("SELECT count(*) FROM tags").rows == [(1,)]
