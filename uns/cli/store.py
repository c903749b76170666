"""The record, as commands reach it: by its location in connection.json."""

import asyncio
import logging
from pathlib import Path
from typing import Final

from uns.cli.folder import Folder
from uns.fold import Document
from uns.historian import queries
from uns.historian.errors import StoreUnavailable
from uns.historian.reader import Reader, open_reader
from uns.runtime.runner import StoredState

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


def stored_state(folder: Folder) -> StoredState:
    """Asks the record for a resume document until it answers; None: it has none.

    To start from an older one would lose what sources have been allowed to forget since.
    """

    def ask(topic: str) -> bytes | None:
        with open_store(folder) as reader:
            return queries.newest_processor_state(reader, topic)

    async def ask_aside(topic: str) -> bytes | None:
        while True:
            try:
                return await asyncio.to_thread(ask, topic)
            except StoreUnavailable as away:
                log.info("waiting for the record: %s", away)
                await asyncio.sleep(RETRY_S)

    return ask_aside
