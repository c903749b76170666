"""A clean end says what the broker would say at an unclean one."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Final

from uns.mqtt.client import MqttClient
from uns.mqtt.errors import MqttError
from uns.mqtt.message import Will

GOODBYE_TIMEOUT_S: Final = 2.0


@contextlib.asynccontextmanager
async def saying_goodbye(client: MqttClient, will: Will) -> AsyncIterator[None]:
    """Publish a client's will at the end of the block, if the broker is there to hear it."""
    try:
        yield
    finally:
        with contextlib.suppress(TimeoutError, MqttError):
            async with asyncio.timeout(GOODBYE_TIMEOUT_S):
                await client.publish(will.topic, will.payload, retain=will.retain)
