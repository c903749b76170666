"""Stores that break: killed, full, locked, stopped, forbidden. Nothing acknowledged is lost."""

import os
import secrets
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Final

import duckdb
import psycopg
import pytest
from psycopg.sql import SQL

from tests.speech import MILL, NOON, PLC, Sent, event, new_writer, record, tag
from tests.stores import SERVERS, in_database, installation, own_database
from tools.postgres import Server
from uns.historian import postgres_store
from uns.historian.errors import SchemaTooNew, StoreUnavailable
from uns.historian.postgres_store import has_timescale
from uns.historian.reader import open_reader
from uns.historian.recorder import Watermark
from uns.historian.schema import migrations
from uns.historian.store import open_store

ROOT = Path(__file__).parents[2]
BATCH = 200
WRITES_FOR_EVER = f"""
import sys
from tests.speech import NOON, event, new_writer, tag
from uns.historian.store import open_store
writer = new_writer(open_store(sys.argv[1], lambda: NOON))
seq = writer.everything()[0].seq if writer.everything() else 0
while True:
    batch = [m for n in range(seq + 1, seq + {BATCH} + 1) for m in (event(n), tag(n, NOON + n))]
    writer.commit(writer.prepare(batch, NOON))
    seq += {BATCH}
    print(seq, flush=True)
"""
FILLS_THE_DISK = """
import resource, signal, sys
from tests.speech import NOON, event, new_writer, record
from uns.historian.errors import StoreUnavailable
from uns.historian.store import open_store
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
writer = new_writer(open_store(sys.argv[1], lambda: NOON))
unlimited = resource.getrlimit(resource.RLIMIT_FSIZE)
resource.setrlimit(resource.RLIMIT_FSIZE, (3_000_000, unlimited[1]))
refused = 0
for first in range(1, 60_001, 1_000):
    batch = writer.prepare([event(n, "loaded", {"order_id": f"{n:0>100}"}) for n in
                            range(first, first + 1_000)], NOON)
    while True:
        try:
            writer.commit(batch)
            break
        except StoreUnavailable as error:
            refused += 1
            if refused > 3:
                resource.setrlimit(resource.RLIMIT_FSIZE, unlimited)
print(refused, writer.everything()[0].seq)
"""


def python(script: str, *arguments: str) -> "subprocess.Popen[bytes]":
    """A program of ours, in a process of its own."""
    command = [sys.executable, "-c", script, *arguments]
    return subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE)


def totals(location: str) -> tuple[int, int, int]:
    """Events, the highest seq among them, and samples."""
    with open_reader(location) as reader:
        events, seq = reader.query("SELECT count(*), max(seq) FROM events").rows[0]
        return events, seq, reader.query("SELECT count(*) FROM tags").rows[0][0]


def committed(writing: "subprocess.Popen[bytes]", batches: int) -> int:
    """The last seq that a writer reported, after so many batches."""
    assert writing.stdout
    seq = 0
    for _ in range(batches):
        line = writing.stdout.readline()
        assert line, writing.stderr and writing.stderr.read().decode()
        seq = int(line)
    return seq


def test_a_killed_writer_loses_nothing_and_leaves_no_half_batch(location: str) -> None:
    for delay_s in (0.0, 0.007):
        with python(WRITES_FOR_EVER, location) as writing:
            reached = committed(writing, 5)
            time.sleep(delay_s)
            writing.send_signal(signal.SIGKILL)
        events, seq, samples = totals(location)
        assert events == seq == samples
        assert seq >= reached
        assert seq % BATCH == 0
    store = open_store(location, lambda: NOON)
    writer = new_writer(store)
    assert writer.everything() == [Watermark(PLC, 1, seq, 0)]
    record(writer, *(event(n) for n in range(1, seq + 2)))
    store.close()
    assert totals(location)[:2] == (seq + 1, seq + 1)


def test_a_full_disk_delays_and_loses_nothing(tmp_path: Path) -> None:
    path = tmp_path / "store.duckdb"
    with python(FILLS_THE_DISK, str(path)) as filling:
        out, err = filling.communicate(timeout=60)
    assert filling.returncode == 0, err.decode()
    refused, seq = map(int, out.split())
    assert refused > 3
    assert totals(str(path))[:2] == (60_000, 60_000)
    assert seq == 60_000


def test_a_locked_file_is_opened_when_it_is_free(tmp_path: Path) -> None:
    path = tmp_path / "store.duckdb"
    with python(WRITES_FOR_EVER, str(path)) as writing:
        committed(writing, 1)
        store = open_store(path, lambda: NOON)
        with pytest.raises(StoreUnavailable, match="Conflicting lock"):
            store.known()
        writing.kill()
    assert store.known().watermarks
    store.close()


def test_a_path_that_cannot_be_written_is_unavailable(tmp_path: Path) -> None:
    (tmp_path / "store.duckdb").mkdir()
    with pytest.raises(StoreUnavailable):
        open_store(tmp_path / "store.duckdb", lambda: NOON).known()


def test_a_file_that_is_no_database_is_unavailable_and_untouched(tmp_path: Path) -> None:
    path = tmp_path / "store.duckdb"
    path.write_bytes(b"a letter to grandmother" * 500)
    with pytest.raises(StoreUnavailable):
        open_store(path, lambda: NOON).known()
    assert path.read_bytes() == b"a letter to grandmother" * 500


def test_an_address_that_is_none_is_said_without_its_secrets() -> None:
    address = "postgresql://clerk:secret@host:no-port/db?nonsense=1"
    for opening in (lambda: open_reader(address), lambda: open_store(address, lambda: NOON)):
        with pytest.raises(StoreUnavailable, match="no PostgreSQL URL") as error:
            opening()
        assert "secret" not in str(error.value)


def test_a_store_of_a_later_version_is_left_alone(location: str) -> None:
    store = open_store(location, lambda: NOON)
    store.known()
    store.close()
    insert = "INSERT INTO schema_version VALUES (9999, 'later/9999_new.sql', 1)"
    if "://" in location:
        with psycopg.connect(location) as connection:
            connection.execute(insert)
    else:
        with duckdb.connect(location) as file:
            file.execute(insert)
    with pytest.raises(SchemaTooNew, match="9999_new"):
        store.known()
    with pytest.raises(SchemaTooNew):
        store.known()


def test_migrations_run_once_each_and_in_order(location: str) -> None:
    for _ in range(2):
        store = open_store(location, lambda: NOON)
        store.known()
        store.close()
    with open_reader(location) as reader:
        found = reader.query("SELECT name FROM schema_version ORDER BY version").rows
    kind = {
        "duckdb": ("duckdb",),
        "postgresql": ("postgres",),
        "timescaledb": ("postgres", "timescale"),
    }
    assert [name for (name,) in found] == [m.name for m in migrations(kind[store.kind])]


@pytest.fixture
def own_server(request: pytest.FixtureRequest) -> Iterator[Server]:
    """A server that a test may stop."""
    with Server(installation(request.param)) as server:
        yield server


@pytest.mark.parametrize("own_server", SERVERS, indirect=True)
@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGQUIT])
def test_a_server_that_goes_and_comes_back(own_server: Server, how: signal.Signals) -> None:
    store = open_store(own_server.dsn, lambda: NOON)
    writer = new_writer(store)
    record(writer, event(1), tag(1, NOON))
    own_server.stop(how)
    batch = writer.prepare([event(2), event(3), tag(2, NOON + 1)], NOON)
    for _ in range(3):
        with pytest.raises(StoreUnavailable) as error:
            writer.commit(batch)
        assert "\n" not in str(error.value)
    own_server.start()
    writer.commit(batch)
    writer.commit(batch)
    store.close()
    assert totals(own_server.dsn) == (3, 3, 2)


@pytest.mark.parametrize("own_server", SERVERS[:1], indirect=True)
def test_a_connection_that_was_cut_during_a_commit(own_server: Server) -> None:
    store = open_store(own_server.dsn, lambda: NOON)
    writer = new_writer(store)
    batch = writer.prepare([event(1), event(2)], NOON)
    with psycopg.connect(own_server.dsn, autocommit=True) as admin:
        admin.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE application_name = 'uns-historian'"
        )
    with pytest.raises(StoreUnavailable):
        writer.commit(batch)
    writer.commit(batch)
    store.close()
    assert totals(own_server.dsn)[0] == 2


@pytest.mark.parametrize("own_server", SERVERS[:1], indirect=True)
def test_missing_permission_is_said_and_can_be_given(own_server: Server) -> None:
    with (
        psycopg.connect(own_server.dsn, autocommit=True) as admin,
        own_database(own_server.dsn) as dsn,
    ):
        name = dsn.rpartition("/")[2]
        admin.execute("CREATE ROLE clerk LOGIN")
        store = open_store(
            in_database(own_server.dsn.replace("postgres@", "clerk@"), name), lambda: NOON
        )
        with pytest.raises(StoreUnavailable, match="permission denied"):
            store.known()
        with psycopg.connect(dsn, autocommit=True) as owner:
            owner.execute("GRANT CREATE, USAGE ON SCHEMA public TO clerk")
        record(new_writer(store), event(1))
        store.close()
        assert totals(dsn)[0] == 1


FULL: Final = """
CREATE FUNCTION no_room() RETURNS trigger LANGUAGE plpgsql
    AS $$ BEGIN RAISE 'could not extend file' USING ERRCODE = 'disk_full'; END $$;
CREATE TRIGGER no_room BEFORE INSERT ON watermarks EXECUTE FUNCTION no_room();
"""
READ_ONLY: Final = """
DO $$ BEGIN EXECUTE format('ALTER DATABASE %I SET default_transaction_read_only = {}',
    current_database()); END $$
"""
TROUBLES: Final = {
    "full": (FULL, "DROP TRIGGER no_room ON watermarks", "could not extend file"),
    "read-only": (READ_ONLY.format("on"), READ_ONLY.format("off"), "read-only transaction"),
    "forbidden": (
        "REVOKE INSERT ON samples FROM CURRENT_USER",
        "GRANT INSERT ON samples TO CURRENT_USER",
        "permission denied for table samples",
    ),
}
"""What befalls a database, what ends it, and how it is said."""


def by_owner(dsn: str, sql: str) -> None:
    """Run statements, and make the store connect again."""
    with psycopg.connect(dsn, autocommit=True) as owner:
        owner.execute("SET default_transaction_read_only = off")
        owner.execute(SQL(sql))
        owner.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE application_name = 'uns-historian' AND datname = current_database()"
        )


@pytest.fixture
def clerks(location: str) -> Iterator[str]:
    """The location of a store whose schema belongs to a role that is no superuser."""
    name = f"clerk_{secrets.token_hex(4)}"
    with psycopg.connect(location, autocommit=True) as owner:
        owner.execute("CREATE EXTENSION IF NOT EXISTS plpgsql")
        has_timescale(owner)
        owner.execute(SQL(f"CREATE ROLE {name} LOGIN"))
        owner.execute(SQL(f"GRANT CREATE, USAGE ON SCHEMA public TO {name}"))
        yield location.replace("postgres@", f"{name}@")
        owner.execute(SQL(f"DROP OWNED BY {name} CASCADE"))
        owner.execute(SQL(f"DROP ROLE {name}"))


@pytest.mark.parametrize("location", SERVERS, indirect=True)
@pytest.mark.parametrize("trouble", TROUBLES)
def test_a_database_in_trouble_delays_and_loses_nothing(
    location: str, clerks: str, trouble: str
) -> None:
    befalls, ends, said = TROUBLES[trouble]
    store = open_store(clerks, lambda: NOON)
    writer = new_writer(store)
    record(writer, event(1), tag(1, NOON))
    owner = clerks if trouble == "forbidden" else location
    by_owner(owner, befalls)
    batch = writer.prepare([event(2), tag(2, NOON + 1), tag(1, NOON)], NOON)
    with pytest.raises(StoreUnavailable):
        writer.commit(batch)
    for _ in range(2):
        with pytest.raises(StoreUnavailable, match=said):
            writer.commit(batch)
    by_owner(owner, ends)
    with suppress(StoreUnavailable):
        writer.commit(batch)
    writer.commit(batch)
    store.close()
    assert totals(location) == (2, 2, 2)


@pytest.mark.parametrize("location", SERVERS, indirect=True)
def test_a_database_that_is_too_slow_is_given_up_and_asked_again(
    location: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(postgres_store, "STATEMENT_S_MAX", 1)
    store = open_store(location, lambda: NOON)
    writer = new_writer(store)
    batch = writer.prepare([event(1), tag(1, NOON)], NOON)
    with psycopg.connect(location) as other:
        other.execute("LOCK TABLE samples")
        with pytest.raises(StoreUnavailable, match="timeout"):
            writer.commit(batch)
    writer.commit(batch)
    store.close()
    assert totals(location) == (1, 1, 1)


@pytest.mark.parametrize("location", SERVERS, indirect=True)
def test_one_writes_for_as_long_as_it_is_connected(
    location: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(postgres_store, "LOCK_WAIT_S", 1)
    first, second = open_store(location, lambda: NOON), open_store(location, lambda: NOON)
    record(new_writer(first), event(1), tag(1, NOON))
    with pytest.raises(StoreUnavailable, match="another historian writes here"):
        second.known()
    assert totals(location) == (1, 1, 1)
    first.close()
    record(new_writer(second), event(2), tag(2, NOON + 1))
    with pytest.raises(StoreUnavailable, match="another historian"):
        first.known()
    by_owner(location, "SELECT 1")
    record(new_writer(first), event(3))
    first.close()
    second.close()
    assert totals(location) == (3, 3, 2)


def test_a_topic_like_sql_and_a_megabyte_are_put_aside_whole(location: str) -> None:
    hostile = "acme/x'); DROP TABLE samples; --/_tag/t"
    store = open_store(location, lambda: NOON)
    writer = new_writer(store)
    record(
        writer,
        Sent(hostile, b"{}"),
        Sent(f"{MILL}/_tag/tag-0", b"[" * 1_000_000),
        tag(1, NOON),
    )
    store.close()
    with open_reader(location) as reader:
        refused = reader.query("SELECT topic, length(original_base64) FROM rejects ORDER BY 2").rows
        assert reader.query("SELECT count(*) FROM tags WHERE topic = $1", (hostile,)).rows == [(0,)]
    assert refused[0] == (hostile, 4)
    assert refused[1][1] >= 1_000_000
    assert totals(location)[2] == 1


def test_the_store_stands_on_any_locale(tmp_path: Path) -> None:
    """A process without a UTF-8 locale writes the same bytes."""
    script = (
        "import sys; from tests.speech import *; from uns.historian.store import open_store;"
        "record(new_writer(open_store(sys.argv[1], lambda: NOON)),"
        " event(1, 'loaded', {'order_id': '\\u00e4\\U0001f600'}))"
    )
    path = str(tmp_path / "store.duckdb")
    environ = {**os.environ, "LC_ALL": "C", "PYTHONUTF8": "0"}
    subprocess.run([sys.executable, "-c", script, path], cwd=ROOT, env=environ, check=True)
    with open_reader(path) as reader:
        assert reader.query("SELECT payload ->> 'order_id' FROM events").rows == [("ä😀",)]
