"""What an edge node must not forget: its bd_seq, and the values that nobody has heard yet.

SQLite with a write-ahead log, one file an edge node and one process a file. It keeps the contract
of uns.sparkplug.edge_queue.Backlog on disk. A power cut may take the last moments, a kill nothing.
"""

import json
import sqlite3
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from uns.sparkplug.edge_queue import BacklogLimits, Entry, Kept

_SCHEMA: Final = """
create table if not exists entry (
    position integer primary key autoincrement, device text, name text not null,
    value text not null, at_ms integer not null, quality integer not null);
create table if not exists connect (id integer primary key check (id = 1), bd_seq integer not null);
create table if not exists lost (id integer primary key check (id = 1), dropped integer not null);
insert or ignore into lost values (1, 0);
"""
_APPEND: Final = "insert into entry (device, name, value, at_ms, quality) values (?, ?, ?, ?, ?)"


class Store:
    """One file. `dropped` counts what the limits took since it was made."""

    def __init__(self, path: Path, limits: BacklogLimits) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._limits = limits
        self._db = sqlite3.connect(path)
        self._db.execute("pragma journal_mode=wal")
        self._db.execute("pragma synchronous=normal")
        self._db.executescript(_SCHEMA)
        self._count = self._counted()

    def close(self) -> None:
        """Release the file."""
        self._db.close()

    @property
    def bd_seq(self) -> int | None:
        """That of the last CONNECT; None before the first."""
        row = self._db.execute("select bd_seq from connect").fetchone()
        return int(row[0]) if row else None

    def remember(self, bd_seq: int) -> None:
        """Keep the bd_seq of a CONNECT before it is sent."""
        with self._db:
            self._db.execute("insert or replace into connect values (1, ?)", (bd_seq,))

    @property
    def dropped(self) -> int:
        """How many values were lost so far, by any process."""
        return int(self._db.execute("select dropped from lost").fetchone()[0])

    def append(self, entries: Iterable[Entry]) -> None:
        """Add behind all others; beyond `entries_max` the oldest are dropped."""
        rows = _rows(entries)
        if not rows:
            return
        with self._db:
            self._db.executemany(_APPEND, rows)
            dropped = self._drop(self._count + len(rows) - self._limits.entries_max)
        self._count += len(rows) - dropped

    def replace(self, position: int, entries: Iterable[Entry]) -> None:
        """Have these in the place of all behind a position, in one step; the limit applies."""
        rows = _rows(entries)
        with self._db:
            gone = self._db.execute("delete from entry where position > ?", (position,)).rowcount
            self._db.executemany(_APPEND, rows)
            count = self._count - gone + len(rows)
            dropped = self._drop(count - self._limits.entries_max)
        self._count = count - dropped

    def after(self, position: int, limit: int, now_ms: int) -> list[Kept]:
        """Give up to `limit` entries behind a position (0 is before the first)."""
        self._drop_older(now_ms - self._limits.age_ms_max)
        rows = self._db.execute(
            "select position, device, name, value, at_ms, quality from entry"
            " where position > ? order by position limit ?",
            (position, limit),
        )
        return [
            Kept(place, Entry(device, name, json.loads(value), at_ms, quality))
            for place, device, name, value, at_ms, quality in rows
        ]

    def forget(self, position: int) -> None:
        """Remove everything up to a position: it was said."""
        with self._db:
            gone = self._db.execute("delete from entry where position <= ?", (position,))
        self._count -= gone.rowcount

    def __len__(self) -> int:
        return self._count

    def _drop_older(self, than_ms: int) -> None:
        """Drop from the front what is too old, as far as that goes."""
        young = "select min(position) from entry where at_ms >= ?"
        first = self._db.execute("select at_ms from entry order by position limit 1").fetchone()
        if first is None or first[0] >= than_ms:
            return
        (end,) = self._db.execute(young, (than_ms,)).fetchone()
        (count,) = self._db.execute(
            "select count(*) from entry where ? is null or position < ?", (end, end)
        ).fetchone()
        with self._db:
            dropped = self._drop(count)
        self._count -= dropped

    def _drop(self, count: int) -> int:
        """Drop so many from the front, and count them in the same transaction."""
        if count <= 0:
            return 0
        self._db.execute(
            "delete from entry where position in"
            " (select position from entry order by position limit ?)",
            (count,),
        )
        self._db.execute("update lost set dropped = dropped + ?", (count,))
        return count

    def _counted(self) -> int:
        return int(self._db.execute("select count(*) from entry").fetchone()[0])


def _rows(entries: Iterable[Entry]) -> list[Entry]:
    """Entries with their values as JSON."""
    return [entry._replace(value=json.dumps(entry.value)) for entry in entries]
