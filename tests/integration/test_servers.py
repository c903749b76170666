"""The test servers themselves: real PostgreSQL and TimescaleDB, started, crashed, gone."""

import os
import signal
from collections.abc import Callable

import psycopg
import pytest

from tools import postgres, timescale
from tools.ground import SetupError
from tools.postgres import Installation, Server

FLAVOURS = [
    pytest.param(postgres.installation, id="postgresql", marks=pytest.mark.postgres),
    pytest.param(timescale.installation, id="timescale", marks=pytest.mark.timescale),
]


def found(find: Callable[[], Installation]) -> Installation:
    try:
        return find()
    except SetupError as error:
        if os.environ.get("CI"):
            raise
        pytest.skip(str(error))


@pytest.mark.parametrize("find", FLAVOURS)
def test_a_server_keeps_its_rows_over_a_crash_and_leaves_nothing(
    find: Callable[[], Installation],
) -> None:
    with Server(found(find)) as server:
        with psycopg.connect(server.dsn) as connection:
            connection.execute("CREATE TABLE tags (at timestamptz, value float)")
            connection.execute("INSERT INTO tags VALUES (now(), 71.3)")
        server.stop(signal.SIGQUIT)
        server.start()
        with psycopg.connect(server.dsn) as connection:
            assert connection.execute("SELECT value FROM tags").fetchone() == (71.3,)
    assert not server.folder.exists()


@pytest.mark.timescale
def test_timescale_has_hypertables() -> None:
    with (
        Server(found(timescale.installation)) as server,
        psycopg.connect(server.dsn) as connection,
    ):
        connection.execute("CREATE EXTENSION timescaledb")
        connection.execute("CREATE TABLE tags (at timestamptz NOT NULL, value float)")
        connection.execute("SELECT create_hypertable('tags', 'at')")
        connection.execute("INSERT INTO tags VALUES ('2026-01-01T00:30Z', 1), (now(), 2)")
        row = connection.execute("SELECT time_bucket('1h', min(at))::text FROM tags").fetchone()
        assert row == ("2026-01-01 00:00:00+00",)


@pytest.mark.postgres
def test_a_server_that_does_not_start_says_why_and_leaves_nothing() -> None:
    where = found(postgres.installation)
    broken = Installation(where.programs, libraries=where.libraries, settings=("no_such=1",))
    server = Server(broken)
    with pytest.raises(SetupError, match="no_such"), server:
        pass
    assert not server.folder.exists()
