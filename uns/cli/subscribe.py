"""A short visit to the broker: what is retained, or messages as they come."""

import asyncio
import secrets
from collections.abc import AsyncIterator

from uns.mqtt.client import MqttClient
from uns.mqtt.errors import Unreachable
from uns.mqtt.message import Address, Message

CONNECT_TIMEOUT_S = 5.0
QUIET_S = 0.4
RETAINED_TIMEOUT_S = 20.0


def visitor(address: Address) -> MqttClient:
    """A client that leaves nothing behind."""
    return MqttClient(address, f"cli-{secrets.token_hex(4)}", clean_session=True)


async def entered(client: MqttClient, address: Address) -> None:
    """Wait for the connection; Unreachable when nobody lets us in."""
    try:
        async with asyncio.timeout(CONNECT_TIMEOUT_S):
            await client.connected.wait()
    except TimeoutError:
        why = client.refusal or "no answer"
        raise Unreachable(f"broker at {address.host}:{address.port}: {why}") from None


async def retained(address: Address, topic_filter: str) -> dict[str, bytes]:
    """The retained messages of a filter; complete when nothing retained came for a while."""
    found: dict[str, bytes] = {}
    async with visitor(address) as client:
        await entered(client, address)
        await client.subscribe([topic_filter])
        end_s = asyncio.get_running_loop().time() + RETAINED_TIMEOUT_S
        while asyncio.get_running_loop().time() < end_s:
            batch = await client.receive(timeout_s=QUIET_S)
            client.ack(batch)
            fresh = {m.topic: m.payload for m in batch if m.retain}
            found.update(fresh)
            if not fresh:
                break
    return found


async def messages(address: Address, topic_filter: str) -> AsyncIterator[Message]:
    """Messages as they come, the retained ones first."""
    async with visitor(address) as client:
        await entered(client, address)
        await client.subscribe([topic_filter])
        async for batch in client.batches():
            client.ack(batch)
            for message in batch:
                yield message
