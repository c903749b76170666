"""The OPC UA bridge: follows one server's nodes and tells what the server publishes.

Owns when to connect and what is told on the way up and down. Does not know the wire (session.py)
or what a data value means (mapping.py). One publish of the server is one batch, or several when
the runner is slower than the server.
"""

import asyncio
import logging
from collections.abc import AsyncGenerator, Callable, Mapping
from random import SystemRandom

from bridges.opcua.config import OpcUaSettings
from bridges.opcua.errors import OpcUaError
from bridges.opcua.mapping import addresses_of, reading, unreadable
from bridges.opcua.session import opened
from uns.model.observation import Link, Observation
from uns.model.plant import Place
from uns.mqtt.reconnect import delay_s

log = logging.getLogger(__name__)
jitter = SystemRandom().random


async def observe(
    settings: OpcUaSettings, places: Mapping[str, Place], clock: Callable[[], int]
) -> AsyncGenerator[list[Observation], None]:
    """Batches of observations, for ever: the link's ups and downs and the published values.

    The first batch of a connection has the tags whose nodes the server refuses, the next one the
    value of every other tag.
    clock: plant time in ms, for what the server gives no time for.
    """
    addresses = addresses_of(places)
    nodes, cells = [address.node for address in addresses], tuple(places)
    attempt, told = 0, ""
    while True:
        try:
            async with opened(settings, nodes) as session:
                attempt, told = 0, ""
                log.info("%s: connected, %d nodes refused", settings.url, len(session.refused))
                yield [
                    Link(settings.url, cells, up=True, at_ms=clock()),
                    *(unreadable(addresses[h], r, clock()) for h, r in session.refused.items()),
                ]
                while True:
                    if taken := await session.take():
                        yield [reading(addresses[h], sample, clock()) for h, sample in taken]
        except OpcUaError as error:
            reason = str(error)
        if reason != told:
            log.warning("%s: %s", settings.url, reason)
            yield [Link(settings.url, cells, up=False, at_ms=clock(), reason=reason)]
        told = reason
        await asyncio.sleep(delay_s(attempt, jitter()))
        attempt += 1
