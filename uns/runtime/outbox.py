"""The outbox: what a source said, on disk before it is said, until the record has it.

SQLite with a write-ahead log and synchronous=FULL. One `append` is one transaction: the events get
their `(source, epoch, seq)` and final bytes, and the caller's memory (what it knew when it said
them) is stored with them. Knows nothing of MQTT.

An epoch is one unbroken numbering, and a later one is said only when all before it is settled. A
new one begins with a new file; with a new owner of a processor (`renew`); when the file turns out
to be a copy, by its inode or because the record knows more than it (`reconcile`): then what entered
since it was opened has taken numbers that were used before.
"""

import json
import sqlite3
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from secrets import randbelow
from typing import Final, NamedTuple

from uns.codec import encode_document, encode_event
from uns.fold import Draft, Mark
from uns.runtime.clock import wall_ms
from uns.runtime.errors import OutboxFull

BYTES_MAX: Final = 1 << 30
OUTBOX_ALARM: Final = 0.8
"""Of the quota: from then on whoever has an outbox says so in its health."""
_SCHEMA: Final = """
create table if not exists entry (
    position integer primary key autoincrement, source text not null, epoch integer not null,
    seq integer not null, id text not null unique, topic text not null, payload blob not null,
    entered_ms integer not null);
create index if not exists entry_source on entry (source, epoch, seq);
create table if not exists source (name text primary key, seq integer not null);
create table if not exists memory (key text primary key, value text not null);
"""


_ENTRY: Final = "position, source, epoch, seq, id, topic, payload"
_BY_ID: Final = f"select {_ENTRY} from entry where id = ?"  # noqa: S608 - ours
NEVER_MS: Final = 2**62
BEHIND_MS: Final = 3_600_000
"""A clock that went back behind an epoch names the next ones by so much more, or a multiple."""
CHANCE_MS: Final = 1_000
LAST: Final = "\U0010ffff"  # behind every other character
_OLDEST: Final = (
    "and not exists (select 1 from entry as o where o.source = e.source and o.epoch < e.epoch)"
)


class Entry(NamedTuple):
    """One event as it is sent and resent: `position` orders the whole outbox."""

    position: int
    source: str
    epoch: int
    seq: int
    id: str
    topic: str
    payload: bytes


class Outbox:
    """One file; one process at a time. `bytes_max` bounds the disk; beyond it OutboxFull.

    clock: wall time in ms; it names epochs and tells how long entries wait.
    chance: a whole number from 0 to below the one given.
    """

    def __init__(
        self,
        path: Path,
        *,
        bytes_max: int = BYTES_MAX,
        clock: Callable[[], int] = wall_ms,
        chance: Callable[[int], int] = randbelow,
    ) -> None:
        self._clock, self._chance = clock, chance
        path.parent.mkdir(parents=True, exist_ok=True)
        self._db = sqlite3.connect(path, isolation_level=None)
        self._db.execute("pragma journal_mode=wal")
        self._db.execute("pragma synchronous=full")
        self._db.executescript(_SCHEMA)
        self._add_time_of_entry()
        pages_max = bytes_max // self._scalar("pragma page_size")
        self._db.execute(f"pragma max_page_count={pages_max}")
        self._db.execute("insert or ignore into memory values ('epoch', ?)", (str(clock()),))
        self.epoch = int(self.recall("epoch") or 0)
        self._opened = self._last_position()
        self._brought: dict[str, int] | None = dict(self._db.execute("select * from source"))
        self._is_waiting = False
        self._look_back()
        self._know_file(path)

    def close(self) -> None:
        """Release the file."""
        self._db.close()

    def append(
        self, drafts: Iterable[tuple[str, Draft]], memory: Mapping[str, str] | None = None
    ) -> list[Entry]:
        """Store (source, draft) pairs and memory in one transaction; durable on return.

        A draft whose id is still here is not stored again: its entry is returned as it was.
        Raises OutboxFull when the quota is reached; then nothing was stored.
        """
        self._db.execute("begin immediate")
        try:
            entries = [self._add(source, draft) for source, draft in drafts]
            if memory:
                self._db.executemany("insert or replace into memory values (?, ?)", memory.items())
            self._db.execute("commit")
        except BaseException as error:
            if self._db.in_transaction:  # SQLite has rolled back by itself when it is full
                self._db.execute("rollback")
            if _is_full(error):
                self._is_waiting = True
                raise OutboxFull(
                    f"outbox: {error}; it empties when the historian is back"
                ) from None
            raise
        self._is_waiting = False
        return entries

    def recall(self, key: str) -> str | None:
        """What was remembered under a key."""
        row = self._db.execute("select value from memory where key = ?", (key,)).fetchone()
        return str(row[0]) if row else None

    def recall_all(self, prefix: str) -> dict[str, str]:
        """All that was remembered under keys with a prefix: a range of the index, however many."""
        rows = self._db.execute(
            "select key, value from memory where key >= ? and key < ?", (prefix, prefix + LAST)
        )
        return dict(rows.fetchall())

    def keys(self, low: str, high: str, but_last: int = 0) -> list[str]:
        """Keys that something is remembered under, in order: from `low`, below `high`.

        but_last: how many of the last of them are left out.
        """
        there = "from memory where key >= ? and key < ?"
        count = self._db.execute(f"select count(*) {there}", (low, high)).fetchone()[0]
        rows = self._db.execute(
            f"select key {there} order by key limit ?",
            (low, high, max(0, count - but_last)),
        )
        return [row[0] for row in rows]

    def forget(self, keys: Iterable[str]) -> None:
        """Remember nothing under these keys any more; on a disk without any room, do later."""
        try:
            with self._db:
                self._db.execute("begin immediate")
                self._db.executemany("delete from memory where key = ?", ((key,) for key in keys))
        except sqlite3.OperationalError as error:
            if not _is_full(error):
                raise

    def unsettled(self, after: int = 0, limit: int = 1_000) -> Sequence[Entry]:
        """Entries behind a position that may be said, oldest first."""
        rows = self._db.execute(
            f"select {_ENTRY} from entry as e where position > ? {self._in_turn}"  # noqa: S608 - ours
            " order by position limit ?",
            (after, limit),
        )
        return [Entry(*row) for row in rows]

    def heads(self) -> dict[str, int]:
        """The position of the oldest entry of each source that has one."""
        rows = self._db.execute("select source, min(position) from entry group by source")
        return dict(rows.fetchall())

    def unsettled_of(self, source: str, limit: int) -> Sequence[Entry]:
        """The oldest entries of one source that may be said."""
        rows = self._db.execute(
            f"select {_ENTRY} from entry as e where source = ? {self._in_turn}"  # noqa: S608 - ours
            " order by position limit ?",
            (source, limit),
        )
        return [Entry(*row) for row in rows]

    def oldest(
        self, topic_end: str, after: int, limit: int, before_ms: int = NEVER_MS
    ) -> Sequence[Entry]:
        """The oldest entries behind a position that entered before (wall time), by topic's end."""
        rows = self._db.execute(
            f"select {_ENTRY} from entry where position > ? and entered_ms < ?"  # noqa: S608 - ours
            " and substr(topic, -?) = ? order by position limit ?",
            (after, before_ms, len(topic_end), topic_end, limit),
        )
        return [Entry(*row) for row in rows]

    def rewrite(self, payloads: Mapping[int, bytes], memory: Mapping[str, str]) -> None:
        """Give entries, by position, other bytes: each with the id and the seq that it had.

        Rows are taken out and put in again: a row that shrinks where it stands frees no page.
        """
        with self._db:
            self._db.execute("begin immediate")
            self._db.execute("create temp table if not exists moved as select * from entry where 0")
            self._db.execute("delete from moved")
            for position, payload in payloads.items():
                self._db.execute(
                    "insert into moved select * from entry where position = ?", (position,)
                )
                self._db.execute("delete from entry where position = ?", (position,))
                self._db.execute(
                    "update moved set payload = ? where position = ?", (payload, position)
                )
            self._db.execute("insert into entry select * from moved")
            self._db.executemany("insert or replace into memory values (?, ?)", memory.items())

    @property
    def used(self) -> float:
        """The share of the quota that is taken, 0 to 1; 1 as long as there is no room on disk."""
        if self._is_waiting:
            return 1.0
        free, pages = self._scalar("pragma freelist_count"), self._scalar("pragma page_count")
        return (pages - free) / self._scalar("pragma max_page_count")

    def settle(self, source: str, epoch: int, seq: int) -> int:
        """Forget what is on record: all of a source up to `seq` of `epoch`; how many were left out.

        On a disk without any room nothing is forgotten: it may be said again.
        """
        try:
            gone = self._db.execute(
                "delete from entry where source = ? and (epoch < ? or epoch = ? and seq <= ?)",
                (source, epoch, epoch, seq),
            ).rowcount
        except sqlite3.OperationalError as error:
            if not _is_full(error):
                raise
            return 0
        if gone and self._in_turn:
            self._look_back()
        return gone

    def reconcile(self, told: Mapping[str, Mark]) -> bool:
        """Compare with how far the record says each source is; whether a new epoch had to begin.

        The first time what counts is the file as it was opened, later what it has said since.
        """
        known = self._brought
        ours = {s: self.last_seq(s) if known is None else known.get(s, 0) for s in told}
        ahead = [mark for source, mark in told.items() if mark > Mark(self.epoch, ours[source])]
        self._brought = None
        if ahead:
            self._turn(max(mark.epoch for mark in ahead), self._opened)
        return bool(ahead)

    def renew(self, after: int) -> int:
        """Begin an epoch later than `after` and than this one; all that waits is stamped anew."""
        return self._turn(after, 0)

    @property
    def has_older(self) -> bool:
        """Whether entries of an epoch before are not settled: later ones of their source wait."""
        return bool(self._in_turn)

    def last_seq(self, source: str) -> int:
        """The highest seq a source has used; 0 before its first event."""
        row = self._db.execute("select seq from source where name = ?", (source,)).fetchone()
        return int(row[0]) if row else 0

    def __len__(self) -> int:
        return self._scalar("select count(*) from entry")

    def _add(self, source: str, draft: Draft) -> Entry:
        if draft.id and (row := self._db.execute(_BY_ID, (draft.id,)).fetchone()):
            return Entry(*row)
        seq = self.last_seq(source) + 1
        payload = encode_event(draft, source, self.epoch, seq)
        event_id = draft.id or f"{source}:{self.epoch}:{seq}"
        self._db.execute("insert or replace into source values (?, ?)", (source, seq))
        position = self._db.execute(
            f"insert into entry ({_ENTRY}, entered_ms) values (null, ?, ?, ?, ?, ?, ?, ?)",  # noqa: S608 - ours
            (source, self.epoch, seq, event_id, draft.topic, payload, self._clock()),
        ).lastrowid
        return Entry(position or 0, source, self.epoch, seq, event_id, draft.topic, payload)

    def _know_file(self, path: Path) -> None:
        """A copy of a file has another inode; one that was written over in place has not."""
        here = f"{path.stat().st_dev}:{path.stat().st_ino}"
        if self.recall("file") not in (None, here):
            self._turn(0, self._opened)
        if self.recall("file") != here:
            self._db.execute("insert or replace into memory values ('file', ?)", (here,))

    def _turn(self, after: int, since: int) -> int:
        """Begin a new epoch; what entered behind a position is stamped anew.

        An id that was given keeps standing; one that was made of source, epoch and seq is made
        again.
        """
        epoch, last = self._later_than(max(after, self.epoch)), dict[str, int]()
        with self._db:
            self._db.execute("begin immediate")
            for row in self._db.execute(
                f"select {_ENTRY} from entry where position > ? order by position",  # noqa: S608 - ours
                (since,),
            ):
                self._stamp(Entry(*row), epoch, last)
            self._db.execute("delete from source")
            self._db.executemany("insert into source values (?, ?)", last.items())
            self._db.execute("update memory set value = ? where key = 'epoch'", (str(epoch),))
        self.epoch, self._opened, self._brought = epoch, self._last_position(), None
        self._look_back()
        return epoch

    def _later_than(self, epoch: int) -> int:
        """An epoch that another life of the same copy does not choose, even if no record tells it.

        Also behind an epoch the clock moves on: a later life has the later number. Of two that read
        the same on their clocks, chance makes two.
        """
        now_ms = self._clock()
        behind_ms = max(0, epoch + 1 - now_ms)
        return now_ms + -(-behind_ms // BEHIND_MS) * BEHIND_MS + self._chance(CHANCE_MS)

    def _look_back(self) -> None:
        """Whether an epoch before this one has to be settled first, by source."""
        older = self._scalar(f"select exists (select 1 from entry where epoch < {self.epoch})")  # noqa: S608 - a number
        self._in_turn = _OLDEST if older else ""

    def _last_position(self) -> int:
        return self._scalar("select coalesce(max(position), 0) from entry")

    def _stamp(self, entry: Entry, epoch: int, last: dict[str, int]) -> None:
        seq = last[entry.source] = last.get(entry.source, 0) + 1
        made = f"{entry.source}:{entry.epoch}:{entry.seq}"
        event_id = f"{entry.source}:{epoch}:{seq}" if entry.id == made else entry.id
        stamps = {"id": event_id, "epoch": epoch, "seq": seq}
        payload = encode_document({**json.loads(entry.payload), **stamps})
        self._db.execute(
            "update entry set epoch = ?, seq = ?, id = ?, payload = ? where position = ?",
            (epoch, seq, event_id, payload, entry.position),
        )

    def _add_time_of_entry(self) -> None:
        """Outboxes of before have no such column: what waits in them entered now."""
        columns = {row[1] for row in self._db.execute("pragma table_info(entry)")}
        if "entered_ms" not in columns:
            default = f"integer not null default {self._clock()}"
            self._db.execute(f"alter table entry add column entered_ms {default}")

    def _scalar(self, sql: str) -> int:
        return int(self._db.execute(sql).fetchone()[0])


def _is_full(error: BaseException) -> bool:
    """The quota, or the disk: SQLite says the same of both."""
    return isinstance(error, sqlite3.OperationalError) and "full" in str(error)
