"""The OPC UA bridge: follows one server's nodes and tells what the server publishes.

Owns when to connect and what is told on the way up and down. Does not know the wire (session.py)
or what a data value means (mapping.py). One publish of the server is one batch, or several when
the runner is slower than the server.
"""

import asyncio
import logging
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from random import SystemRandom

from bridges.opcua.config import OpcUaSettings
from bridges.opcua.errors import OpcUaError
from bridges.opcua.mapping import Address, addresses_of, reading, unreadable
from bridges.opcua.session import Session, opened
from uns.model.observation import Link, Observation, SetPoint, Written
from uns.model.plant import Place
from uns.mqtt.reconnect import delay_s

log = logging.getLogger(__name__)
jitter = SystemRandom().random


async def observe(
    settings: OpcUaSettings,
    places: Mapping[str, Place],
    clock: Callable[[], int],
    set_points: asyncio.Queue[SetPoint],
) -> AsyncGenerator[list[Observation], None]:
    """Batches of observations, for ever: the link's ups and downs and the published values.

    The first batch of a connection has the tags whose nodes the server refuses, the next one the
    value of every other tag.
    clock: plant time in ms, for what the server gives no time for.
    set_points: checked values to write; what became of each is among the observations.
    """
    addresses = addresses_of(places)
    nodes, cells = [address.node for address in addresses], tuple(places)
    attempt, told = 0, ""
    while True:
        try:
            async with (
                opened(settings, nodes) as session,
                writing(Writer(session, addresses, clock), set_points) as writer,
            ):
                attempt, told = 0, ""
                log.info("%s: connected, %d nodes refused", settings.url, len(session.refused))
                yield [
                    Link(settings.url, cells, up=True, at_ms=clock()),
                    *(unreadable(addresses[h], r, clock()) for h, r in session.refused.items()),
                ]
                while True:
                    taken = await session.take()
                    values = [reading(addresses[h], sample, clock()) for h, sample in taken]
                    batch: list[Observation] = [*writer.finished(), *values]
                    if batch:
                        yield batch
        except OpcUaError as error:
            reason = str(error)
        if reason != told:
            log.warning("%s: %s", settings.url, reason)
            yield [Link(settings.url, cells, up=False, at_ms=clock(), reason=reason)]
        told = reason
        await asyncio.sleep(delay_s(attempt, jitter()))
        attempt += 1


class Writer:
    """Writes set-points through a session, one after the other, beside the reading."""

    def __init__(
        self, session: Session, addresses: Sequence[Address], clock: Callable[[], int]
    ) -> None:
        self._session = session
        self._handles = {(a.cell, a.tag): handle for handle, a in enumerate(addresses)}
        self._addresses = addresses
        self._clock = clock
        self._finished: list[Written] = []

    async def run(self, set_points: asyncio.Queue[SetPoint]) -> None:
        """Write what comes, for ever."""
        while True:
            written = await self._written(await set_points.get())
            self._finished.append(written)
            self._session.nudge()

    def finished(self) -> list[Written]:
        """What was written since the last call."""
        finished, self._finished = self._finished, []
        return finished

    async def _written(self, set_point: SetPoint) -> Written:
        who, cell, tag = set_point.request_id, set_point.cell, set_point.tag
        handle = self._handles[cell, tag]
        try:
            sample = await self._session.write(handle, set_point.value)
        except OpcUaError as error:
            return Written(who, cell, tag, self._clock(), reason=str(error))
        shown = reading(self._addresses[handle], sample, self._clock())
        return Written(who, cell, tag, shown.at_ms, shown.value)


@asynccontextmanager
async def writing(writer: Writer, set_points: asyncio.Queue[SetPoint]) -> AsyncIterator[Writer]:
    """The writer at work until the end."""
    work = asyncio.create_task(writer.run(set_points))
    try:
        yield writer
    finally:
        work.cancel()
        await asyncio.wait({work})
        if not work.cancelled():
            work.result()  # it ends by a bug only, which must not pass in silence
