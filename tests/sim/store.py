"""The record in memory, with the contract of uns.historian.store: what it took survives the kill.

`Disk` is what stays; `MemoryStore` is one process's way to it; `MemoryRecord` answers runners. A
store may be away, and it may take a batch and die before it says so.
"""

import asyncio
import json
from collections import Counter
from collections.abc import Callable, Iterator
from random import Random
from typing import Any, Final, NamedTuple

from tests.sim.loop import Process
from tests.sim.trace import Trace
from uns.codec import Codec
from uns.codec import Message as Decoded
from uns.fold import Mark, Processor
from uns.historian.errors import StoreUnavailable
from uns.historian.recorder import Known
from uns.historian.rows import RESUMES_KEPT, Batch, ResumeRow, Row, WatermarkRow
from uns.historian.sources import OUTPUT_EPOCHS_KEPT
from uns.model.events import Event
from uns.runtime.record import EVENTS_MAX, Answer
from uns.runtime.resume import Rebuilt

ANSWER_S: Final = 0.02

Key = tuple[Any, ...]
KEYS: Final[dict[str, Callable[[Any], Key]]] = {
    "events": lambda row: (row.id, row.at_ms),
    "states": lambda row: (row.topic, row.rev),
    "resumes": lambda row: (row.topic, row.owner_epoch, row.rev),
    "watermarks": lambda row: (row.source, row.epoch),
}
"""What makes a row unique; of other tables the row itself."""

REPLACED: Final = frozenset({"states", "watermarks"})
"""Tables where a later row of the same key holds."""


class Written(NamedTuple):
    """A row and the transaction that wrote it."""

    commit: int
    row: Any


class Disk:
    """What the store has. there: whether it answers; torn: it dies behind its next commit."""

    def __init__(self, trace: Trace) -> None:
        self.trace = trace
        self.there = asyncio.Event()
        self.there.set()
        self.torn = False
        self.commits = 0
        self.tables: dict[str, dict[Key, Written]] = {}
        self.journal: list[tuple[str, Written]] = []

    def rows(self, table: str) -> list[Any]:
        """The rows of a table, in the order they were written."""
        return [written.row for written in self.tables.get(table, {}).values()]

    def check(self) -> None:
        """Raises StoreUnavailable."""
        if not self.there.is_set():
            raise StoreUnavailable("it is away")

    def write(self, batch: Batch) -> None:
        """All rows, each once, or none of them."""
        self.check()
        self.commits += 1
        self.trace.note("commit", self.commits, len(batch))
        for name, rows in batch.tables().items():
            for row in rows:
                self._put(name, row)
        self._let_go()
        if self.torn:
            self.torn = False
            raise StoreUnavailable("the connection was lost after the commit")

    def _put(self, name: str, row: Row) -> None:
        table = self.tables.setdefault(name, {})
        key = KEYS[name](row) if name in KEYS else tuple(row)
        before = table.get(key)
        if before and (name not in REPLACED or before.row == row):
            return
        table[key] = Written(self.commits, row)
        self.journal.append((name, table[key]))

    def _let_go(self) -> None:
        """As uns.historian.merging.AFTERWARDS."""
        for rows in _grouped(self.tables.get("resumes", {}), lambda row: row.topic):
            first = min(row.rev for row in rows if row.owner_epoch == rows[0].owner_epoch)
            for row in rows[RESUMES_KEPT:]:
                is_first = (row.owner_epoch, row.rev) == (rows[0].owner_epoch, first)
                if not is_first and not _is_base(row):
                    del self.tables["resumes"][KEYS["resumes"](row)]
        for rows in _grouped(self.tables.get("watermarks", {}), lambda row: row.source):
            for row in rows[OUTPUT_EPOCHS_KEPT:]:
                if row.source.startswith("processor:"):
                    del self.tables["watermarks"][KEYS["watermarks"](row)]


class MemoryStore:
    """A process's store."""

    kind = "memory"

    def __init__(self, disk: Disk, process: Process) -> None:
        self._disk, self._process = disk, process

    def write(self, batch: Batch) -> None:
        """See uns.historian.store.Store."""
        self._process.step()
        self._disk.write(batch)
        self._process.step()

    def known(self) -> Known:
        """See uns.historian.store.Store."""
        self._process.step()
        self._disk.check()
        newest, since = list[ResumeRow](), dict[str, int]()
        for rows in _grouped(self._disk.tables.get("resumes", {}), lambda row: row.topic):
            newest.append(rows[0])
            of_owner = (row.rev for row in rows if row.owner_epoch == rows[0].owner_epoch)
            since[rows[0].topic] = min(of_owner)
        watermarks: list[WatermarkRow] = self._disk.rows("watermarks")
        rejects = Counter(row.reject_class for row in self._disk.rows("rejects"))
        ordered = sorted(watermarks, key=lambda row: row.at_ms, reverse=True)
        return Known(ordered, newest, dict(rejects), since, list(self._stood()))

    def _stood(self) -> Iterator[tuple[str, int]]:
        cleared_ms = {row.topic: row.received_ms for row in self._disk.rows("cleared")}
        for rows in _grouped(self._disk.tables.get("states", {}), lambda row: row.topic):
            owner_epoch = json.loads(rows[0].document).get("owner_epoch")
            if owner_epoch is not None and rows[0].received_ms > cleared_ms.get(rows[0].topic, -1):
                yield rows[0].topic, owner_epoch

    def close(self) -> None:
        """See uns.historian.store.Store."""


class MemoryRecord:
    """What runners ask; see uns.runtime.record.Record. It waits until the store is there."""

    def __init__(self, disk: Disk, process: Process, rng: Random, codec: Codec) -> None:
        self._disk, self._process, self._rng, self._codec = disk, process, rng, codec

    async def newest(self, topic: str) -> bytes | None:
        """The newest resume document."""
        await self._there()
        rows = [row for row in self._disk.rows("resumes") if row.topic == topic]
        if not rows:
            return None
        document: str = max(rows, key=lambda row: (row.owner_epoch, row.rev)).document
        return document.encode()

    async def events(self, source: str, epoch: int, first: int, last: int) -> Answer:
        """Events of a source in order."""
        await self._there()
        rows = [
            row
            for row in self._disk.rows("events")
            if (row.source, row.epoch) == (source, epoch) and first <= row.seq <= last
        ]
        rows.sort(key=lambda row: row.seq)
        events = [self._event(row.topic, row.payload) for row in rows[:EVENTS_MAX]]
        marks = [
            Mark(row.epoch, row.seq)
            for row in self._disk.rows("watermarks")
            if row.source == source
        ]
        return Answer(events, max(marks, default=None))

    async def rebuilt(self, _processor: Processor[Any], _line: str) -> Rebuilt | None:
        """Nobody corrupts resume documents here."""
        await self._there()
        return None

    def _event(self, topic: str, payload: str) -> Event:
        decoded = self._codec.decode(topic, payload.encode())
        assert isinstance(decoded, Decoded)
        assert isinstance(decoded.value, Event)
        return decoded.value

    async def _there(self) -> None:
        self._process.step()
        await asyncio.sleep(self._rng.expovariate(1 / ANSWER_S))
        await self._disk.there.wait()


def _grouped(table: dict[Key, Written], of: Callable[[Any], str]) -> list[list[Any]]:
    """Rows by what they are of, the newest (by key) first."""
    groups: dict[str, list[Any]] = {}
    for key in sorted(table, reverse=True):
        row = table[key].row
        groups.setdefault(of(row), []).append(row)
    return list(groups.values())


def _is_base(row: ResumeRow) -> bool:
    document = json.loads(row.document)
    return bool(document.get("base_rev") == row.rev)
