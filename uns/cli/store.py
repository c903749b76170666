"""The record, as commands reach it: by its location in connection.json."""

import asyncio
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, TypeVar

from uns.cli.folder import Folder
from uns.fold import Document, Processor
from uns.historian import queries
from uns.historian.errors import StoreUnavailable
from uns.historian.kept import understood
from uns.historian.reader import Reader, open_reader
from uns.historian.recompute import Past, everything
from uns.model.plant import digest
from uns.runtime.record import Answer
from uns.runtime.resume import Rebuilt, Run, is_sealed

T = TypeVar("T")

RETRY_S: Final = 0.3

log = logging.getLogger(__name__)


def store_location(data: Path) -> str:
    """The URL of a data folder's own DuckDB file."""
    return f"duckdb://{data.resolve() / 'store.duckdb'}"


def open_store(folder: Folder) -> Reader:
    """A reader of the record; works while the hub runs and after it stopped."""
    return open_reader(folder.load_connection()["store"])


def summarize(folder: Folder) -> Document:
    """Counts of the whole record."""
    with open_store(folder) as reader:
        return queries.summary(reader)


class StoreRecord:
    """The record as runners ask it, until it answers.

    To start from an older state than the newest on record would lose what sources have been
    allowed to forget since.
    """

    def __init__(self, folder: Folder) -> None:
        self._folder = folder

    async def newest(self, topic: str) -> bytes | None:
        """See Record."""
        return await self._ask(lambda reader: queries.newest_processor_state(reader, topic))

    async def events(self, source: str, epoch: int, first: int, last: int) -> Answer:
        """See Record."""

        def ask(reader: Reader) -> Answer:
            recorded = queries.recorded(reader, source)
            return Answer(queries.events_of(reader, source, epoch, first, last), recorded)

        return await self._ask(ask)

    async def rebuilt(self, processor: Processor[Any], line: str) -> Rebuilt | None:
        """See Record."""
        plant = digest(self._folder.load_plant())
        return await self._ask(lambda reader: _rebuilt(Past(reader, processor, line), plant))

    async def _ask(self, question: Callable[[Reader], T]) -> T:
        def ask() -> T:
            with open_store(self._folder) as reader:
                return question(reader)

        while True:
            try:
                return await asyncio.to_thread(ask)
            except StoreUnavailable as away:
                log.info("waiting for the record: %s", away)
                await asyncio.sleep(RETRY_S)


def _rebuilt(past: Past[Any], plant: str) -> Rebuilt | None:
    """The state by all that is on record; the newest sealed document tells the order's end."""
    newest = next(filter(is_sealed, past.stored()), None)
    rest = everything(past, plant, understood(newest) if newest else None)
    if rest is None:
        return None
    order = [Run(*run) for run in rest.order]
    return Rebuilt(rest.refold.state, rest.refold.marks, rest.order_no, rest.told, order)
