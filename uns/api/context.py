"""What every request may use. Made once by the caller; nothing here is found or configured.

Readers are few, and each serves one request at a time: a database connection is no place to meet.
"""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Annotated, Final

from fastapi import Depends, Request

from uns.api.errors import Busy
from uns.api.feed import Feed
from uns.historian.reader import Reader
from uns.model.plant import Plant

READERS: Final = 4
WAIT_S_MAX: Final = 5.0
QUESTION_S_MAX: Final = 30.0
"""On DuckDB the historian answers one question at a time: nobody holds up the others for long."""


class Readers:
    """A few readers of one store, lent out. Nothing is opened before the first query.

    Whoever waits for one waits in the event loop: the threads are for those who have one.
    """

    def __init__(
        self,
        open_reader: Callable[[], Reader],
        count: int = READERS,
        wait_s_max: float = WAIT_S_MAX,
    ) -> None:
        self._all = [open_reader().within(QUESTION_S_MAX) for _ in range(count)]
        self._idle = list(self._all)
        self._free = asyncio.Semaphore(count)
        self._wait_s_max = wait_s_max

    @asynccontextmanager
    async def lent(self) -> AsyncIterator[Reader]:
        """A reader for as long as the context lasts. Raises Busy when none comes back in time."""
        try:
            async with asyncio.timeout(self._wait_s_max):
                await self._free.acquire()
        except TimeoutError:
            raise Busy(f"all {len(self._all)} readers are at work: ask again later") from None
        reader = self._idle.pop()
        try:
            yield reader
        finally:
            self._idle.append(reader)
            self._free.release()

    def close(self) -> None:
        """Release the store."""
        for reader in self._all:
            reader.close()


@dataclass(frozen=True, slots=True)
class Context:
    """clock: plant time in ms. `feed` has what is said in the tree while a hub runs."""

    plant: Plant
    readers: Readers
    clock: Callable[[], int]
    feed: Feed


def context_of(request: Request) -> Context:
    """The context of the application that was asked."""
    context: Context = request.app.state.context
    return context


async def _lent(context: Annotated[Context, Depends(context_of)]) -> AsyncIterator[Reader]:
    async with context.readers.lent() as reader:
        yield reader


Given = Annotated[Context, Depends(context_of)]
Record = Annotated[Reader, Depends(_lent)]
