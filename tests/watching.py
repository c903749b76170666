"""Follows a bridge's client in a test: what it has said so far, and conditions on it.

Owns the collecting of observations. Does not know where they come from: an `observe`, a runner.
"""

import asyncio
import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping
from contextlib import aclosing, asynccontextmanager, suppress
from typing import Any, Final

from tests.example import WASH, plant
from uns.model.observation import Link, Observation, Reading, SetPoint, Written
from uns.model.plant import Place, TagSpec

WAIT_S_MAX: Final = 20.0
Batch = list[Observation]


def now_ms() -> int:
    """The wall clock, which is also the foreign servers' one."""
    return time.time_ns() // 1_000_000


def places(tags: Mapping[str, Mapping[str, Any]], **keys: Any) -> dict[str, Place]:
    """One cell with such tags: name -> source; the keys are every tag's own."""
    specs = {name: TagSpec(source=dict(source), **keys) for name, source in tags.items()}
    place = plant().cells[WASH]
    return {WASH: place.model_copy(update={"cell": place.cell.model_copy(update={"tags": specs})})}


class Watch:
    """What a client has said, in order; `heard_s` is when (monotonic), place by place."""

    def __init__(self, set_points: asyncio.Queue[SetPoint]) -> None:
        self.seen: list[Observation] = []
        self.heard_s: list[float] = []
        self._set_points = set_points
        self._news = asyncio.Event()

    async def follow(self, stream: AsyncIterator[Batch]) -> None:
        """Take every batch, for ever."""
        async for batch in stream:
            self.seen += batch
            self.heard_s += [time.monotonic()] * len(batch)
            self._news.set()

    async def until(self, condition: Callable[[], Any], seconds_max: float = WAIT_S_MAX) -> Any:
        """Wait until a condition on what was seen holds; its value."""
        async with asyncio.timeout(seconds_max):
            while not (found := condition()):
                self._news.clear()
                await self._news.wait()
        return found

    def readings(self, tag: str) -> list[Reading]:
        """All readings of a tag."""
        return [each for each in self.seen if isinstance(each, Reading) and each.tag == tag]

    def values(self, tag: str) -> list[Any]:
        """All values of a tag."""
        return [reading.value for reading in self.readings(tag)]

    def last(self, tag: str) -> Reading | None:
        """The newest reading of a tag."""
        return next(reversed(self.readings(tag)), None)

    async def value(self, tag: str, value: Any) -> Reading:
        """The reading of a tag once it has a value."""
        await self.until(lambda: (last := self.last(tag)) and last.value == value)
        last = self.last(tag)
        assert last
        return last

    def links(self) -> list[Link]:
        """The ups and downs."""
        return [each for each in self.seen if isinstance(each, Link)]

    async def written(self, tag: str, value: float | str | bool) -> Written:  # noqa: FBT001 - a value
        """Have a value written; what became of it."""
        request_id = f"r{len(self.seen)}"
        self._set_points.put_nowait(SetPoint(request_id, WASH, tag, value))
        return await self.until(lambda: self._answer(request_id))  # type: ignore[no-any-return] # a condition's value may be anything

    def _answer(self, request_id: str) -> Written | None:
        answers = (each for each in self.seen if isinstance(each, Written))
        return next((each for each in answers if each.request_id == request_id), None)


@asynccontextmanager
async def watching(
    bridge: Callable[[Mapping[str, Place], asyncio.Queue[SetPoint]], AsyncGenerator[Batch, None]],
    read: Mapping[str, Place],
) -> AsyncIterator[Watch]:
    """A client that reads these cells, followed until the end; if it ends by itself, so does it."""
    set_points: asyncio.Queue[SetPoint] = asyncio.Queue()
    watch = Watch(set_points)
    async with aclosing(bridge(read, set_points)) as stream:
        following = asyncio.create_task(watch.follow(stream))
        try:
            yield watch
        finally:
            following.cancel()
            with suppress(asyncio.CancelledError):
                await following
