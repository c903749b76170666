"""`uns export parquet`: what the store has, no more and no less, whatever comes in between."""

import asyncio
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import duckdb
import pytest

from tests.brokers import bounded
from tests.integration.conftest import empty_store
from tests.records_of_days import BODIES, DAY_MS, some_days, told
from tests.speech import MILL, NOON, event, new_writer, output, record, tag
from tests.stores import SERVERS
from uns.historian import postgres_extract
from uns.historian.answers import ROWS_MAX
from uns.historian.datasets import DATASETS, Window
from uns.historian.duckdb_store import DuckDbStore
from uns.historian.errors import ExportRefused, StoreUnavailable
from uns.historian.parquet import Done, Job, export
from uns.historian.parquet_folder import ExportFolder
from uns.historian.query_port import query_port
from uns.historian.reader import Reader, open_export, open_reader

NOTHING = Done()


class Copy:
    """An export of a store."""

    def __init__(self, location: str, root: Path) -> None:
        self.location = location
        self.root = root
        self.folder = ExportFolder(root)

    def bring_up(self, **job: Any) -> dict[str, Done]:
        """Export; by read model what was done, where something was."""
        done = export(Job(self.location, self.folder, **job))
        return {name: one for name, one in done.items() if one != NOTHING}

    def files(self, table: str) -> dict[str, int]:
        """The files of a read model by partition, with what changes when one is replaced."""
        root = self.root / table
        return {str(f.parent.relative_to(root)): f.stat().st_ino for f in self.folder.files(table)}

    def rows(self, sql: str) -> list[tuple[Any, ...]]:
        """The rows of a query over the files."""
        with open_export(self.root) as reader:
            return reader.query(sql, limit=ROWS_MAX).rows


@pytest.fixture
def copy(location: str, tmp_path: Path) -> Copy:
    told(location, *some_days())
    return Copy(location, tmp_path / "export")


@pytest.fixture
def embedded(tmp_path: Path) -> Copy:
    location = str(tmp_path / "store.duckdb")
    told(location, *some_days())
    return Copy(location, tmp_path / "export")


def all_rows(reader: Reader, table: str) -> list[str]:
    """Every row of a read model with its columns, in an order of their own."""
    result = reader.query(f"TABLE {table}", limit=ROWS_MAX)
    return sorted(repr(row) for row in result.documents())


def assert_same(copy: Copy, *tables: str) -> None:
    """The files answer as the store does."""
    with open_reader(copy.location) as store, open_export(copy.root) as files:
        for table in tables or DATASETS:
            assert all_rows(files, table) == all_rows(store, table), table


def test_the_files_have_every_row_of_every_read_model(copy: Copy) -> None:
    done = copy.bring_up()
    assert set(done) == set(DATASETS)
    assert done["tags"] == Done(days=3, rows=122)
    assert_same(copy)


def test_rows_lie_where_they_belong(embedded: Copy) -> None:
    copy = embedded
    copy.bring_up(tables=("tags", "states", "rejects", "orders"))
    assert set(copy.files("tags")) == {
        "site=berlin/line=housing/day=2025-12-11",
        "site=berlin/line=housing/day=2025-12-12",
        "site=berlin/line=housing/day=2025-12-13",
        "site=berlin/line=packing/day=2025-12-11",
    }
    nowhere = "__HIVE_DEFAULT_PARTITION__"
    assert f"site=berlin/line={nowhere}/day=2025-12-11" in copy.files("states")
    assert set(copy.files("rejects")) == {f"site={nowhere}/line={nowhere}/day=2025-12-11"}
    assert set(copy.files("orders")) == {"site=berlin/line=housing/day=2025-12-10"}
    assert not [path for path in copy.root.rglob("*") if path.name == ".staging"]


def test_only_days_that_changed_are_written(copy: Copy) -> None:
    copy.bring_up(tables=("tags",))
    before = copy.files("tags")
    assert copy.bring_up(tables=("tags",)) == {}
    told(copy.location, tag(5, NOON - 7), received_ms=NOON + 1)
    assert copy.bring_up(tables=("tags",)) == {"tags": Done(days=1, rows=43)}
    after = copy.files("tags")
    changed = {partition for partition, inode in after.items() if before[partition] != inode}
    assert changed == {
        "site=berlin/line=housing/day=2025-12-11",
        "site=berlin/line=packing/day=2025-12-11",
    }
    assert_same(copy, "tags")


def test_a_row_that_moves_to_another_day_stands_once(copy: Copy) -> None:
    copy.bring_up(tables=("verdicts",))
    judged = {**BODIES["verdict"], "verdict": "fail"}
    told(copy.location, output(9, "any", "verdict", judged, at_ms=NOON + 2 * DAY_MS))
    done = copy.bring_up(tables=("verdicts",))
    assert done["verdicts"].days == 1
    assert copy.rows("SELECT sample_id, verdict FROM verdicts") == [("S1", "fail")]
    assert_same(copy, "verdicts")


def test_a_window_takes_its_days_and_leaves_the_others_for_later(copy: Copy) -> None:
    window = Window(NOON + DAY_MS, NOON + DAY_MS + 1)
    assert copy.bring_up(window=window, tables=("tags",)) == {"tags": Done(days=1, rows=40)}
    assert set(copy.files("tags")) == {"site=berlin/line=housing/day=2025-12-12"}
    assert copy.bring_up(tables=("tags",)) == {"tags": Done(days=2, rows=82)}
    assert_same(copy, "tags")


def test_what_the_store_lets_go_stays_in_the_export(embedded: Copy) -> None:
    embedded.bring_up(tables=("events",))
    before = embedded.rows("SELECT count(*) FROM events")
    with duckdb.connect(embedded.location) as db:
        db.execute("DELETE FROM events WHERE at_ms < $1", [NOON + 3])
        db.execute("DELETE FROM events WHERE at_ms >= $1", [NOON + DAY_MS])
    late = event(99, at_ms=NOON + 9)
    told(embedded.location, late, received_ms=NOON + 1)
    assert embedded.bring_up(tables=("events",))["events"] == Done(kept=1)
    assert embedded.rows("SELECT count(*) FROM events") == before
    assert "events" not in embedded.bring_up(tables=("events",))


def test_an_empty_store_is_an_export_too(tmp_path: Path) -> None:
    location = str(tmp_path / "store.duckdb")
    told(location)
    copy = Copy(location, tmp_path / "export")
    assert copy.bring_up() == {}
    assert_same(copy)
    told(location, *some_days())
    copy.bring_up()
    assert_same(copy)


@bounded
async def test_a_store_that_a_historian_holds_is_exported_by_it(tmp_path: Path) -> None:
    store = DuckDbStore(tmp_path / "store.duckdb", lambda: NOON)
    writer = new_writer(store)
    copy = Copy(str(tmp_path / "store.duckdb"), tmp_path / "export")
    async with query_port(tmp_path, store.answer):
        record(writer, *some_days())
        asked = asyncio.create_task(asyncio.to_thread(copy.bring_up))
        written = 0
        while not asked.done():
            written += 1
            await asyncio.to_thread(record, writer, tag(written, NOON + 500_000 + written))
        assert set(await asked) == set(DATASETS)
        assert written > 1
        await asyncio.to_thread(copy.bring_up)
        held = await asyncio.to_thread(lambda: open_reader(copy.location).query(COUNTED).rows)
    store.close()
    assert copy.rows(COUNTED) == held
    assert_same(copy)
    assert not list((tmp_path / "extracts").iterdir())


COUNTED = "SELECT count(*), sum(value) FROM tags"


def test_a_killed_export_leaves_whole_files_and_is_finished_later(tmp_path: Path) -> None:
    location, days = str(tmp_path / "store.duckdb"), 40
    told(location, *(tag(n, NOON + n * DAY_MS + k) for n in range(days) for k in range(50)))
    copy = Copy(location, tmp_path / "export")
    copy.bring_up(tables=("tags",))
    told(location, *(tag(n, NOON + n * DAY_MS + 99) for n in range(days)), received_ms=NOON + 1)
    program = (
        "import sys; from pathlib import Path; from uns.historian.parquet import *;"
        "from uns.historian.parquet_folder import ExportFolder;"
        "export(Job(sys.argv[1], ExportFolder(Path(sys.argv[2])),"
        " on_day=lambda *day: print(*day, flush=True)))"
    )
    command = [sys.executable, "-c", program, location, str(copy.root)]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as exporting:
        assert exporting.stdout
        for _ in range(3):
            exporting.stdout.readline()
        os.kill(exporting.pid, signal.SIGKILL)
    by_day = copy.rows("SELECT at_ms // 86400000, count(*) FROM tags GROUP BY 1")
    assert len(by_day) == days
    assert {count for _, count in by_day} == {50, 51}
    assert copy.bring_up(tables=("tags",))["tags"].days < days - 2
    assert copy.rows(COUNTED) == [(51 * days, 51.0 * sum(range(days)))]
    assert_same(copy, "tags")


def test_a_reader_never_sees_less_than_before(embedded: Copy) -> None:
    embedded.bring_up(tables=("tags",))
    seen, ended = [122], threading.Event()

    def look() -> None:
        while not ended.is_set():
            seen.append(embedded.rows("SELECT count(*) FROM tags")[0][0])

    watching = threading.Thread(target=look)
    watching.start()
    try:
        for n in range(6):
            late = (tag(n, NOON + day * DAY_MS - 50 - n) for day in range(3))
            told(embedded.location, *late, received_ms=NOON + n + 1)
            embedded.bring_up(tables=("tags",))
    finally:
        ended.set()
        watching.join()
    assert seen == sorted(seen)
    assert embedded.rows("SELECT count(*) FROM tags") == [(140,)]
    assert len(seen) > 6


def test_one_export_writes_a_folder_at_a_time(embedded: Copy) -> None:
    def another(_table: str, _day: str, _rows: int) -> None:
        with pytest.raises(ExportRefused, match="being written"):
            embedded.bring_up()

    assert embedded.bring_up(on_day=another, tables=("stops",))


def test_a_folder_is_of_one_store(embedded: Copy, tmp_path: Path) -> None:
    embedded.bring_up(tables=("stops",))
    (tmp_path / "other").mkdir()
    other = Copy(str(tmp_path / "other/store.duckdb"), embedded.root)
    store = DuckDbStore(tmp_path / "other/store.duckdb", lambda: NOON + 1)
    store.known()
    store.close()
    with pytest.raises(ExportRefused, match="another store"):
        other.bring_up()
    with pytest.raises(ExportRefused, match="no read model 'secrets': use tags"):
        embedded.bring_up(tables=("secrets",))
    assert_same(embedded, "stops")


def test_a_folder_that_cannot_be_written_is_said(embedded: Copy, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ExportRefused, match=r"Not a directory|File exists"):
        Copy(embedded.location, tmp_path / "file/export").bring_up()
    embedded.bring_up(tables=("stops",))
    (embedded.root / "manifest.json").write_text("{")
    with pytest.raises(StoreUnavailable, match=r"manifest\.json"):
        embedded.bring_up(tables=("stops",))


@pytest.mark.parametrize("kind", SERVERS)
def test_without_the_extra_rows_come_as_csv(
    kind: str, servers: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(postgres_extract, "ARROW", "no_such_driver")
    odd = [tag(text, NOON + n) for n, text in enumerate(("", r"\N", 'a,"b"\n', "ü", "null"))]
    with empty_store(kind, servers, tmp_path) as location:
        told(location, *some_days(), *(s._replace(topic=f"{MILL}/_tag/tag-1") for s in odd))
        copy = Copy(location, tmp_path / "export")
        copy.bring_up()
        assert_same(copy)
        texts = copy.rows("SELECT value_text FROM tags WHERE topic LIKE '%tag-1' ORDER BY at_ms")
    assert texts == [("",), (r"\N",), ('a,"b"\n',), ("ü",), ("null",)]


def test_a_column_that_a_later_version_adds_is_written_for_every_day(embedded: Copy) -> None:
    embedded.bring_up(tables=("stops", "orders"))
    with duckdb.connect(embedded.location) as db:
        db.execute("CREATE OR REPLACE VIEW stops AS SELECT *, 7 AS more FROM stop_spans")
        db.execute("INSERT INTO schema_version VALUES (9000, '9000_more.sql', $1)", [NOON + 1])
    assert set(embedded.bring_up(tables=("stops", "orders"))) == {"stops"}
    assert embedded.rows("SELECT more FROM stops") == [(7,)]
    assert embedded.bring_up(tables=("stops", "orders")) == {}
