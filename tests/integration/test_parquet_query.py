"""SQL over an export and for notebooks: the answers of the store, bounded, and nothing else."""

import asyncio
import json
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

import uns.historian
from tests.brokers import bounded
from tests.records_of_days import DAY_MS, some_days, told
from tests.speech import NOON, new_writer, record
from uns.cli.app import app
from uns.historian import analysis
from uns.historian.analysis import Bounds
from uns.historian.answers import Question
from uns.historian.duckdb_reading import DuckDbReader
from uns.historian.duckdb_store import DuckDbStore
from uns.historian.errors import (
    ExtraMissing,
    HistorianError,
    QueryFailed,
    QueryRefused,
    QueryTimeout,
    StoreUnavailable,
)
from uns.historian.parquet import Job, export
from uns.historian.parquet_folder import MANIFEST, ExportFolder
from uns.historian.query_port import PortReader, query_port
from uns.historian.reader import open_export

SLOW = (
    "SELECT count(*) FROM tags a, tags b, tags c, tags d, tags e"
    " WHERE (a.at_ms + b.at_ms + c.at_ms) % 7 < (d.at_ms + e.at_ms) % 5"
)

MUCH = "SELECT length(string_agg(repeat('x', 1000), '')) FROM range(100000)"
EXAMPLE = Path(__file__).parents[2] / "examples/analysis.py"


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An export, with a file beside it that nobody may read through it."""
    folder = tmp_path_factory.mktemp("exported")
    told(str(folder / "store.duckdb"), *some_days())
    export(Job(str(folder / "store.duckdb"), ExportFolder(folder / "export")))
    (folder / "secret.txt").write_text("secret")
    return folder / "export"


@pytest.fixture(scope="module")
def stored(shared_location: str) -> str:
    told(shared_location, *some_days())
    return shared_location


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT * FROM read_text('{root}/../secret.txt')",
        "SELECT * FROM '/etc/passwd'",
        "SELECT * FROM read_csv('/etc/passwd')",
        "SELECT * FROM glob('/*')",
        "COPY tags TO '{root}/stolen.parquet'",
        "COPY tags TO '/tmp/stolen.parquet'",
        "EXPLAIN ANALYZE COPY (SELECT 1 AS a) TO '{root}/stolen.parquet'",
        "explain (analyze) COPY (SELECT 1 AS a) TO '{root}/stolen.parquet'",
        "EXPLAIN/**/ANALYZE/**/COPY (SELECT 1 AS a) TO '{root}/stolen.parquet'",
        "EXPLAIN (ANALYZE /* ) SELECT 1 -- */ ) COPY (SELECT 1) TO '{root}/stolen.parquet'",
        "ATTACH '{root}/new.duckdb'",
        "INSTALL httpfs",
        "LOAD httpfs",
        "SET memory_limit = '64GB'",
        "SET enable_external_access = true",
        "PRAGMA database_list",
        "CREATE TABLE t (a INT)",
        "DROP VIEW tags",
        "SELECT 1; SELECT 2",
        "EXPORT DATABASE '{root}'",
        "",
    ],
)
def test_sql_over_an_export_reads_the_export_only(root: Path, sql: str) -> None:
    before = sorted(root.rglob("*"))
    for ask in (
        lambda text: open_export(root).query(text),
        lambda text: analysis.query(text, root),
    ):
        with pytest.raises((QueryRefused, QueryFailed)) as refused:
            ask(sql.format(root=root))
        assert "\n" not in str(refused.value)
    assert sorted(root.rglob("*")) == before


def test_an_answer_over_an_export_is_bounded(root: Path) -> None:
    with open_export(root) as reader:
        assert reader.query("SELECT * FROM tags", limit=5).truncated
        with pytest.raises(QueryTimeout):
            reader.query(SLOW, timeout_s=0.3)
    few = uns.historian.query("SELECT * FROM tags", root, rows=5)
    assert (len(few.rows), few.truncated) == (5, True)
    wide = "SELECT repeat('x', 100000) FROM tags"
    assert uns.historian.query(wide, root, memory_mb=8).truncated
    with pytest.raises(QueryTimeout):
        uns.historian.query(SLOW, root, timeout_s=0.3)
    with pytest.raises(QueryRefused, match="more memory"):
        uns.historian.query(MUCH, root, memory_mb=16)
    for bounds in (Bounds(rows=0), Bounds(memory_mb=0), Bounds(timeout_s=0), Bounds(rows=10**12)):
        with pytest.raises(QueryRefused):
            analysis.query("SELECT 1", root, bounds=bounds)


def test_a_folder_may_be_named_as_a_pattern_is(root: Path, tmp_path: Path) -> None:
    for name in ("export[1]", "a*b", "what?"):
        folder = tmp_path / name
        export(Job(str(root.parent / "store.duckdb"), ExportFolder(folder)))
        for table in ("tags", "events"):
            count = f"SELECT count(*) FROM {table}"  # noqa: S608 - of two
            with open_export(folder) as named, open_export(root) as plain:
                assert named.query(count).rows == plain.query(count).rows != [(0,)]


EVIL = "INT) AS topic WHERE false; COPY (SELECT 'x') TO '{stolen}'; CREATE VIEW z AS SELECT (1"


@pytest.mark.parametrize(
    ("table", "sql_type"),
    [("tags", EVIL), ("tags AS SELECT 1; COPY (SELECT 'x') TO '{stolen}' --", "BIGINT")],
    ids=["type", "table"],
)
def test_a_manifest_of_somebody_else_runs_no_sql(tmp_path: Path, table: str, sql_type: str) -> None:
    stolen = tmp_path / "stolen.csv"
    name = table.format(stolen=stolen).lower()
    tables = {name: {"columns": {"topic": sql_type.format(stolen=stolen)}}}
    folder = tmp_path / "export"
    folder.mkdir()
    manifest = {"store_ms": 1, "schema_version": 7, "tables": tables}
    (folder / MANIFEST).write_text(json.dumps(manifest))
    with open_export(folder) as reader, pytest.raises((StoreUnavailable, QueryFailed)):
        reader.query(f"SELECT 1 FROM tags -- {name}")  # noqa: S608 - it is about such a name
    assert not stolen.exists()


def test_where_no_export_is_it_is_said(tmp_path: Path) -> None:
    for folder in (tmp_path, tmp_path / "none"):
        with open_export(folder) as nothing, pytest.raises(StoreUnavailable, match="no export"):
            nothing.query("SELECT 1")


def test_an_export_answers_with_types(root: Path) -> None:
    answer = uns.historian.query(
        'SELECT topic, "at", at_ms, value FROM tags WHERE at_ms < $1 ORDER BY at_ms, topic',
        root,
        (NOON + 2_000,),
    )
    frame = answer.df()
    assert type(frame).__name__ == "DataFrame"
    assert answer.columns == ("topic", "at", "at_ms", "value")
    assert [str(kind) for kind in frame.dtypes[1:]] == ["datetime64[us]", "int64", "float64"]
    assert frame["at_ms"].tolist() == [NOON, NOON, NOON, NOON + 1_000]
    assert answer.arrow().num_rows == len(answer.rows) == 4
    assert not answer.truncated
    good = "SELECT payload ->> 'good' FROM events WHERE type = 'counted' ORDER BY at_ms LIMIT 1"
    assert uns.historian.query(good, root).rows == [("1",)]


def test_a_store_answers_with_the_same_types(stored: str, root: Path) -> None:
    sql = 'SELECT topic, "at", at_ms, value, unit, reason FROM tags ORDER BY at_ms DESC, topic;'
    over_store, over_export = (uns.historian.query(sql, over) for over in (stored, root))
    assert over_store.rows == over_export.rows
    assert over_store.arrow().schema == over_export.arrow().schema
    assert uns.historian.query(sql, stored, rows=3).rows == over_export.rows[:3]
    odd = uns.historian.query(
        "SELECT 1.5 AS a, NULL AS b, DATE '2026-01-02' AS c, true AS d", stored
    )
    assert [str(value) for value in odd.rows[0]] == ["1.5", "None", "2026-01-02", "True"]
    assert uns.historian.query("SELECT characteristics FROM verdicts", stored).rows[0][0][0] == "["


@pytest.mark.parametrize(
    "sql",
    [
        "DELETE FROM events",
        "SELECT 1; DROP TABLE events",
        "SELECT 1) AS a; DROP TABLE events; SELECT * FROM (SELECT 1",
        "SELECT 1) TO '/tmp/stolen' --",
        "SELECT * FROM nowhere",
        "EXPLAIN SELECT 1",
        "COPY events TO '/tmp/stolen'",
        "SELECT pg_read_file('/nonexistent')",
        "WITH gone AS (DELETE FROM events RETURNING *) SELECT * FROM gone",
    ],
)
def test_a_notebook_changes_nothing_in_a_store(stored: str, sql: str) -> None:
    with pytest.raises((QueryRefused, QueryFailed)) as refused:
        uns.historian.query(sql, stored)
    assert "\n" not in str(refused.value)
    assert uns.historian.query("SELECT count(*) FROM tags", stored).rows == [(122,)]


def test_a_long_query_of_a_notebook_is_stopped(stored: str) -> None:
    with pytest.raises(QueryTimeout, match=r"stopped after 0\.3 s"):
        uns.historian.query(SLOW, stored, timeout_s=0.3)


def test_without_pyarrow_the_fix_is_named(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(analysis, "find_spec", lambda _name: None)
    with pytest.raises(ExtraMissing, match=r"pip install 'uns-mes\[analytics\]'"):
        uns.historian.query("SELECT 1", root)


@pytest.mark.parametrize("into", ["../x.parquet", "/x.parquet", "x.csv", "a/b.parquet", ""])
def test_rows_go_into_the_extracts_of_a_store_only(tmp_path: Path, into: str) -> None:
    told(str(tmp_path / "store.duckdb"))
    reader = DuckDbReader(tmp_path / "store.duckdb")
    with pytest.raises(QueryRefused, match="no place for an extract"):
        reader.query(Question("SELECT 1", into=into))


@bounded
async def test_a_historian_hands_rows_out_as_a_file(tmp_path: Path) -> None:
    store = DuckDbStore(tmp_path / "store.duckdb", lambda: NOON)
    record(new_writer(store), *some_days())
    (tmp_path / "extracts").mkdir()
    async with query_port(tmp_path, store.answer):
        port = PortReader(tmp_path)
        question = Question("SELECT * FROM tags", into="a.parquet")
        assert (await asyncio.to_thread(port.query, question)).rows == [(122,)]
        for sql in ("DELETE FROM events", "SELECT 1; SELECT 2", "COPY tags TO '/tmp/x'"):
            with pytest.raises(HistorianError):
                await asyncio.to_thread(port.query, Question(sql, into="b.parquet"))
        answer = await asyncio.to_thread(
            uns.historian.query, "SELECT count(*) FROM tags", tmp_path / "store.duckdb"
        )
        assert answer.rows == [(122,)]
    store.close()
    assert [file.name for file in (tmp_path / "extracts").iterdir()] == ["a.parquet"]


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """The data folder of a hub that stopped."""
    location = tmp_path / "data/store.duckdb"
    location.parent.mkdir()
    told(str(location), *some_days())
    (location.parent / "connection.json").write_text(json.dumps({"store": f"duckdb://{location}"}))
    (location.parent / "clock.json").write_text(json.dumps({"reached_ms": NOON + 2 * DAY_MS}))
    return location.parent


def test_the_commands_export_and_ask(data: Path, tmp_path: Path) -> None:
    run, out = CliRunner(), str(tmp_path / "export")
    exporting = ["export", "parquet", out, "--data", str(data), "--json"]
    first = run.invoke(app, [*exporting, "--from", "1d", "--tables", "tags,orders"])
    assert json.loads(first.stdout)["tags"] == {"days": 2, "rows": 80, "kept": 0}
    assert set(json.loads(first.stdout)) == {"tags", "orders"}
    asked = run.invoke(app, ["query", "select count(*) as n from tags", "--over", out, "--json"])
    assert json.loads(asked.stdout) == [{"n": 80}]
    everything = run.invoke(app, exporting[:-1])
    assert (everything.exit_code, "tags" in everything.stdout) == (0, True)
    wrong = run.invoke(app, [*exporting, "--from", "2026-01-02", "--to", "2026-01-01"])
    assert "--from lies behind --to" in str(wrong.exception)


def test_the_example_runs(root: Path) -> None:
    command = [sys.executable, str(EXAMPLE), str(root)]
    answer = subprocess.run(command, capture_output=True, text=True, check=False)
    assert answer.returncode == 0, answer.stderr
    assert "acme/berlin/machining/housing" in answer.stdout
    assert "minute: timestamp[us]" in answer.stdout
