"""Read-only SQL: what it answers, what it refuses, and that nothing gets past it."""

import asyncio
import json
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import duckdb
import pytest

from tests.brokers import bounded, until
from tests.speech import NOON, event, new_writer, record, tag
from uns.historian.answers import ROWS_MAX, TIMEOUT_S_MAX, Question, Result
from uns.historian.duckdb_store import DuckDbStore
from uns.historian.errors import (
    HistorianError,
    QueryFailed,
    QueryRefused,
    QueryTimeout,
    StoreUnavailable,
)
from uns.historian.query_port import FILE, query_port
from uns.historian.reader import Reader, open_reader
from uns.historian.store import open_store

SLOW = (
    "SELECT count(*) FROM {series} AS a(n), {series} AS b(n), {series} AS c(n)"
    " WHERE a.n * b.n % 7 = c.n % 5"
)
SERIES = {"duckdb": "range(100000)", "postgres": "generate_series(1, 100000)"}


@pytest.fixture(scope="module")
def reader(shared_location: str) -> Iterator[Reader]:
    store = open_store(shared_location, lambda: NOON)
    record(new_writer(store), *(tag(n, NOON + n) for n in range(50)), event(1))
    store.close()
    with open_reader(shared_location) as opened:
        yield opened


def slow(location: str) -> str:
    """A query that takes for ever."""
    return SLOW.format(series=SERIES["postgres" if "://" in location else "duckdb"])


def test_values_are_the_same_on_every_store(reader: Reader) -> None:
    result = reader.query(
        "SELECT 1 AS a, CAST(2.5 AS DECIMAL(9, 2)) AS b, 'ü' AS c, NULL AS d, true AS e,"
        " at_utc(1765454400123) AS f, payload, CAST(sum(at_ms) OVER () AS DECIMAL(38, 0)) AS g,"
        " DATE '2026-01-02' AS h FROM events"
    )
    assert result.columns == ("a", "b", "c", "d", "e", "f", "payload", "g", "h")
    row = result.rows[0]
    assert row[:6] == (1, 2.5, "ü", None, True, "2025-12-11T12:00:00.123Z")
    assert (row[6]["good"], row[7], row[8]) == (1, NOON + 1, "2026-01-02")
    assert json.dumps(result.documents())


def test_parameters_are_values_only(reader: Reader) -> None:
    hostile = "'; DROP TABLE tag_samples; --"
    found = reader.query("SELECT CAST($1 AS TEXT), $2 + 1 FROM tags LIMIT 1", (hostile, 41))
    assert found.rows == [(hostile, 42)]
    assert reader.query("SELECT count(*) FROM tags WHERE topic LIKE '%tag-0'").rows == [(50,)]


def test_rows_are_bounded_and_said_so(reader: Reader) -> None:
    result = reader.query("SELECT at_ms FROM tags ORDER BY at_ms", limit=7)
    assert ([row[0] - NOON for row in result.rows], result.truncated) == ([*range(7)], True)
    assert not reader.query("SELECT * FROM tags", limit=50).truncated
    wide = "SELECT repeat('x', 1000000) FROM tags, tags AS t"
    assert reader.query(wide, limit=ROWS_MAX).truncated


def test_explain_and_other_reading_forms_are_taken(reader: Reader) -> None:
    for sql in (
        "EXPLAIN SELECT * FROM tags",
        "explain analyze SELECT count(*) FROM tags",
        "EXPLAIN (ANALYZE) WITH a AS (SELECT 1 AS n) SELECT n FROM a",
        "  -- said first\n/* twice */ (SELECT 1)",
        "WITH a AS (SELECT 1 AS n) SELECT n FROM a",
        "VALUES (1), (2)",
        "TABLE orders",
        "select 1;",
    ):
        assert reader.query(sql).columns


@pytest.mark.parametrize(
    "sql",
    [
        "INSERT INTO watermarks VALUES ('a', 1, 1, 1, NULL, '[]', 1)",
        "UPDATE events SET seq = 2",
        "DELETE FROM events",
        "DROP TABLE events",
        "TRUNCATE events",
        "CREATE TABLE t (a INT)",
        "CREATE TEMP TABLE t (a INT)",
        "COPY events TO '/tmp/stolen'",
        "COPY events FROM '/etc/passwd'",
        "ATTACH '/tmp/x.duckdb'",
        "PRAGMA database_list",
        "SET search_path TO other",
        "SET enable_external_access = true",
        "CALL pragma_version()",
        "INSTALL httpfs",
        "LOAD '/tmp/evil.so'",
        "BEGIN",
        "COMMIT",
        "VACUUM",
        "CHECKPOINT",
        "EXPORT DATABASE '/tmp/x'",
        "DO $$ BEGIN NULL; END $$",
        "",
        "-- nothing",
    ],
)
def test_everything_but_one_query_is_refused(reader: Reader, sql: str) -> None:
    with pytest.raises((QueryRefused, QueryFailed)) as refused:
        reader.query(sql)
    assert "\n" not in str(refused.value)
    assert reader.query("SELECT count(*) FROM events").rows == [(1,)]


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT 1; SELECT 2",
        "SELECT 1; DROP TABLE events",
        "SELECT 1; COMMIT; DROP TABLE events",
        "WITH gone AS (DELETE FROM events RETURNING *) SELECT * FROM gone",
        "EXPLAIN ANALYZE DELETE FROM events",
        "SELECT * INTO stolen FROM events",
        "SELECT * FROM read_csv('/etc/passwd')",
        "SELECT * FROM read_text('/etc/passwd')",
        "SELECT * FROM '/etc/passwd'",
        "SELECT * FROM glob('/*')",
        "SELECT * FROM query('DELETE FROM events')",
        "SELECT * FROM sql",
        "SELECT nextval('nothing')",
        "SELECT set_config('transaction_read_only', 'off', true)",
    ],
)
def test_a_query_that_would_do_more_does_nothing(reader: Reader, sql: str) -> None:
    with pytest.raises((QueryRefused, QueryFailed)):
        reader.query(sql)
    assert reader.query("SELECT count(*) FROM events").rows == [(1,)]


@pytest.mark.parametrize(
    "sql",
    ["SELECT FROM WHERE", "SELECT * FROM nowhere", "SELECT nothing FROM tags", "SELECT 1/'a'"],
)
def test_sql_that_does_not_run_fails_in_one_line(reader: Reader, sql: str) -> None:
    with pytest.raises(QueryFailed) as failed:
        reader.query(sql)
    assert 0 < len(str(failed.value)) <= 300
    assert "\n" not in str(failed.value)


@pytest.mark.parametrize("params", [(), ("x",), ("half \ud800",)])
def test_parameters_that_do_not_fit_fail(reader: Reader, params: tuple[str, ...]) -> None:
    with pytest.raises(QueryFailed):
        reader.query("SELECT count(*) FROM tags WHERE at_ms = $1", params)


@pytest.mark.parametrize(
    "bounds",
    [
        {"limit": 0},
        {"limit": ROWS_MAX + 1},
        {"timeout_s": 0},
        {"timeout_s": TIMEOUT_S_MAX + 1},
    ],
)
def test_bounds_cannot_be_lifted(reader: Reader, bounds: dict[str, Any]) -> None:
    with pytest.raises(QueryRefused):
        reader.query("SELECT 1", **bounds)


def test_a_query_that_takes_too_long_is_stopped(reader: Reader, shared_location: str) -> None:
    start_s = time.monotonic()
    with pytest.raises(QueryTimeout, match=r"stopped after 0\.3 s"):
        reader.query(slow(shared_location), timeout_s=0.3)
    assert time.monotonic() - start_s < 5
    assert reader.query("SELECT 1").rows == [(1,)]


@pytest.mark.parametrize(
    "location", ["/no/such/folder/store.duckdb", "postgresql://nobody@127.0.0.1:1/none"]
)
def test_a_store_that_is_not_there_is_said(location: str) -> None:
    with open_reader(location) as nobody, pytest.raises(StoreUnavailable) as error:
        nobody.query("SELECT 1")
    assert "nobody" not in str(error.value)


def test_who_cannot_wait_so_long_does_not(shared_location: str) -> None:
    with open_reader(shared_location).within(0.3) as impatient:
        with pytest.raises(QueryTimeout, match=r"stopped after 0\.3 s"):
            impatient.query(slow(shared_location), timeout_s=TIMEOUT_S_MAX)
        with pytest.raises(QueryRefused):
            impatient.query("SELECT 1", timeout_s=0)


class Held:
    """A DuckDB store that a historian holds, and its readers."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "store.duckdb"
        self.store = DuckDbStore(self.path, lambda: NOON)
        self.writer = new_writer(self.store)

    async def ask(self, sql: str, **bounds: Any) -> Result:
        """Ask as another process would, from a thread."""
        return await asyncio.to_thread(lambda: open_reader(self.path).query(sql, **bounds))

    async def raw(self, folder: Path, line: bytes) -> dict[str, Any]:
        """Send one line to the port."""
        known = json.loads((folder / FILE).read_text())
        reader, writer = await asyncio.open_connection(known["host"], known["port"])
        writer.write(line + b"\n")
        reply: dict[str, Any] = json.loads(await reader.readline())
        writer.close()
        return reply


@bounded
async def test_a_held_file_is_read_through_its_historian(tmp_path: Path) -> None:
    held = Held(tmp_path)
    async with query_port(tmp_path, held.store.answer):
        assert stat.S_IMODE((tmp_path / FILE).stat().st_mode) == 0o600
        for n in range(3):
            record(held.writer, event(n + 1))
            assert (await held.ask("SELECT count(*) FROM events")).rows == [(n + 1,)]
        assert (await held.ask("SELECT $1 + 1 AS a", params=(1,))).columns == ("a",)
        for sql, error in (
            ("DELETE FROM events", QueryRefused),
            ("SELECT * FROM nowhere", QueryFailed),
            (slow(str(held.path)), QueryTimeout),
        ):
            with pytest.raises(error):
                await held.ask(sql, timeout_s=0.3)
        assert (await held.ask("SELECT count(*) FROM events")).rows == [(3,)]
    assert not (tmp_path / FILE).exists()
    held.store.close()
    assert (await held.ask("SELECT count(*) FROM events")).rows == [(3,)]


@bounded
async def test_the_port_answers_its_owner_only(tmp_path: Path) -> None:
    held = Held(tmp_path)
    async with query_port(tmp_path, held.store.answer):
        token = json.loads((tmp_path / FILE).read_text())["token"]
        for line in (
            b"GET / HTTP/1.1",
            b"{}",
            b'{"token":"","sql":"SELECT 1"}',
            b'{"token":"\xff"}',
            json.dumps({"token": token, "sql": "SELECT 1", "params": [{}]}).encode(),
            json.dumps({"token": token, "sql": "SELECT 1", "limit": -1}).encode(),
        ):
            assert (await held.raw(tmp_path, line))["error"] == "QueryRefused"
        good = json.dumps({"token": token, "sql": "SELECT 1 AS a"}).encode()
        assert (await held.raw(tmp_path, good))["rows"] == [[1]]
    held.store.close()


@bounded
async def test_what_nobody_waits_for_is_not_asked(tmp_path: Path) -> None:
    asked, go_on = list[str](), threading.Event()

    def answer(question: Question) -> Result:
        asked.append(question.sql)
        go_on.wait(30)
        return Result(("a",), [(1,)], truncated=False)

    held = Held(tmp_path)
    async with query_port(tmp_path, answer):
        first = asyncio.create_task(held.ask("first"))
        await until(lambda: asked == ["first"])
        known = json.loads((tmp_path / FILE).read_text())
        reader, writer = await asyncio.open_connection(known["host"], known["port"])
        writer.write(json.dumps({"token": known["token"], "sql": "abandoned"}).encode() + b"\n")
        writer.write_eof()
        assert await reader.read() == b"", "it is let go at once"
        writer.close()
        go_on.set()
        assert (await first).rows == (await held.ask("last")).rows == [(1,)]
    assert asked == ["first", "last"]
    held.store.close()


@bounded
async def test_a_port_that_has_others_to_answer_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("uns.historian.query_port.GRACE_S", 0.1)
    go_on = threading.Event()

    def answer(_question: Question) -> Result:
        go_on.wait(30)
        return Result((), [], truncated=False)

    held = Held(tmp_path)
    async with query_port(tmp_path, answer):
        with pytest.raises(QueryTimeout, match="has others to answer"):
            await held.ask("SELECT 1", timeout_s=0.1)
        go_on.set()
    held.store.close()


@bounded
async def test_writing_goes_on_during_a_long_query(tmp_path: Path) -> None:
    held = Held(tmp_path)
    async with query_port(tmp_path, held.store.answer):
        asked = asyncio.create_task(held.ask(slow(str(held.path)), timeout_s=2))
        written = 0
        while not asked.done():
            written += 1
            await asyncio.to_thread(record, held.writer, event(written))
        assert written > 5
        with pytest.raises(QueryTimeout):
            await asked
        assert (await held.ask("SELECT count(*) FROM events")).rows == [(written,)]
    held.store.close()


@bounded
async def test_a_note_that_a_killed_historian_left_is_passed_over(tmp_path: Path) -> None:
    held = Held(tmp_path)
    record(held.writer, event(1))
    held.store.close()
    note = {"host": "127.0.0.1", "port": 1, "token": "old"}
    (tmp_path / FILE).write_text(json.dumps(note))
    assert (await held.ask("SELECT count(*) FROM events")).rows == [(1,)]


def test_a_file_whose_owner_serves_no_port_is_unavailable(tmp_path: Path) -> None:
    path = tmp_path / "store.duckdb"
    duckdb.connect(str(path)).close()
    hold = "import duckdb, sys; file = duckdb.connect(sys.argv[1]); print(1, flush=True); input()"
    command = [sys.executable, "-c", hold, str(path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as owner:
        assert owner.stdout
        owner.stdout.readline()
        with pytest.raises(StoreUnavailable, match="Conflicting lock"):
            open_reader(path).query("SELECT 1")
        owner.kill()
    assert open_reader(path).query("SELECT 1").rows == [(1,)]


def test_errors_are_one_tree() -> None:
    assert issubclass(QueryTimeout, HistorianError)
    with pytest.raises(QueryRefused):
        Question("x" * 200_000).checked()
