"""The record, as commands reach it: by its location in connection.json."""

import asyncio
from pathlib import Path

from uns.cli.folder import Folder
from uns.fold import Document
from uns.historian import queries
from uns.historian.errors import HistorianError
from uns.historian.reader import Reader, open_reader
from uns.runtime.runner import StoredState


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
    """Asks the record for a resume document; None while nobody answers."""

    def ask(topic: str) -> bytes | None:
        with open_store(folder) as reader:
            return queries.newest_processor_state(reader, topic)

    async def ask_aside(topic: str) -> bytes | None:
        try:
            return await asyncio.to_thread(ask, topic)
        except HistorianError:
            return None

    return ask_aside
