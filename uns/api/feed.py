"""What is said in the tree now, told to whoever follows it. Owns nothing of what was said.

The source is a subscription that the caller makes; while none can be had it is tried again.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Final

RETRY_S: Final = 2.0

Said = tuple[str, bytes]
"""(topic, payload)."""
Source = Callable[[], AsyncIterator[Said]]
"""Starts to listen; it ends, or raises one of `away`, when the tree is out of reach."""
Listener = Callable[[Said], None]

log = logging.getLogger(__name__)


class Feed:
    """Tells each message of a source to every listener, in the event loop's thread.

    away: what the source raises, beside OSError, while the tree is out of reach.
    """

    def __init__(self, source: Source, away: tuple[type[Exception], ...] = ()) -> None:
        self._source = source
        self._away: tuple[type[Exception], ...] = (OSError, *away)
        self._listeners = list[Listener]()

    def follow(self, listener: Listener) -> None:
        """Tell a listener from now on. It must be quick, and raise nothing."""
        self._listeners.append(listener)

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Listen for as long as the context lasts."""
        task = asyncio.create_task(self._run())
        task.add_done_callback(_tell_defect)
        try:
            yield
        finally:
            task.cancel()
            await asyncio.wait({task})

    async def _run(self) -> None:
        reachable = True
        while True:
            try:
                async for message in self._source():
                    reachable = True
                    for listener in self._listeners:
                        listener(message)
            except self._away as error:
                if reachable:
                    log.warning("no live values: %s", error)
                reachable = False
            await asyncio.sleep(RETRY_S)


def _tell_defect(task: asyncio.Task[None]) -> None:
    if not task.cancelled():
        log.critical("live values have ended: a defect", exc_info=task.exception())
