"""Values taken apart while the types of their structures are learnt beside.

Owns that other values need not wait for the many questions that lead to a type. Does not know how a
type is asked for (structure.py) or what a value means (mapping.py).
"""

import asyncio
from collections.abc import Callable, Sequence
from typing import Final

from asyncua import ua

from bridges.opcua.calls import losing, words
from bridges.opcua.mapping import Sample
from bridges.opcua.structure import Structures
from bridges.opcua.values import sample

LEARNING_S_MAX: Final = 1.0
"""So long all values wait, that what was published together stays together."""


class Learning:
    """The types of one connection, learnt in a task of its own.

    ended: called at its end, with the reason where the connection was lost over it.
    """

    def __init__(self, structures: Structures, ended: Callable[[str | None], None]) -> None:
        self._structures, self._ended = structures, ended
        self._task: asyncio.Task[None] | None = None

    def sample(self, value: ua.DataValue) -> Sample | None:
        """A value taken apart; None while a structure in it is of a type to be learnt."""
        missed = self._structures.missed
        apart = sample(value, self._structures.decode)
        return apart if self._structures.missed == missed else None

    async def samples(self, values: Sequence[ua.DataValue]) -> list[Sample]:
        """Values taken apart, however long their types take; LostError."""
        while True:
            samples = [apart for value in values if (apart := self.sample(value))]
            if len(samples) == len(values):
                return samples
            await asyncio.shield(self._begun())

    async def begin(self) -> None:
        """Learn what is wanted; a first time is waited for a little."""
        if self._task is None or self._task.done():
            await asyncio.wait({self._begun()}, timeout=LEARNING_S_MAX)

    def stop(self) -> None:
        """Learn no more."""
        if self._task:
            self._task.cancel()

    def _begun(self) -> asyncio.Task[None]:
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._learn())
            self._task.add_done_callback(self._done)
        return self._task

    async def _learn(self) -> None:
        with losing():
            while self._structures.wanted:
                await self._structures.learn()

    def _done(self, task: asyncio.Task[None]) -> None:
        if not task.cancelled():
            error = task.exception()
            self._ended(words(error) if isinstance(error, Exception) else None)
