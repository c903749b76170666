"""What belongs together in time: the bridge's client on a connection that is played by hand."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any, Self

import pytest

from bridges.mqtt import client
from bridges.mqtt.client import observe
from bridges.mqtt.config import MqttSettings
from tests.brokers import bounded
from tests.virtual_factory import BRIDGE, FILLING, bottler
from tests.watching import now_ms
from uns.model.observation import Fact, Link, Observation, Reading
from uns.mqtt.message import Address, Message


class Played:
    """Stands for a connection: messages are put, and it is up or down at will."""

    def __init__(self, _address: Address, _client_id: str, **options: Any) -> None:
        self.connected = asyncio.Event()
        self.refusal: str | None = None
        self.acked = 0
        self._greet = options["on_connect"]
        self._messages: asyncio.Queue[Message] = asyncio.Queue()

    async def __aenter__(self) -> Self:
        await self._greet(None)
        self.connected.set()
        return self

    async def __aexit__(self, *_: object) -> None:
        """Nothing is left behind."""

    async def subscribe(self, filters: list[str]) -> None:
        assert filters

    async def receive(self, timeout_s: float) -> list[Message]:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(timeout_s):
                return [await self._messages.get()]
        return []

    def ack(self, messages: list[Message]) -> None:
        self.acked += len(messages)

    def put(self, topic: str, payload: bytes) -> None:
        message = Message(
            f"{FILLING}/{topic}", payload, qos=0, retain=False, dup=False, mid=0, connection=0
        )
        self._messages.put_nowait(message)


@contextlib.asynccontextmanager
async def played(
    monkeypatch: pytest.MonkeyPatch,
) -> AsyncIterator[tuple[Played, AsyncIterator[list[Observation]]]]:
    made = list[Played]()

    def make(address: Address, client_id: str, **options: Any) -> Played:
        made.append(Played(address, client_id, **options))
        return made[-1]

    monkeypatch.setattr(client, "MqttClient", make)
    plant = bottler()
    settings = MqttSettings.model_validate(plant.bridges[BRIDGE].settings)
    stream = observe(settings, plant, BRIDGE, now_ms, Address("x", 1), lambda _prefix: {})
    async with contextlib.aclosing(stream):
        (up,) = await anext(stream)
        assert isinstance(up, Link)
        assert up.up
        yield made[0], stream


def put_order(connection: Played) -> None:
    connection.put("metric/input/countoutfeed", b"5")
    connection.put("workorder/workordernumber", b"WO-1")
    connection.put("workorder/lotnumber/item/itemname", b"Cola Soda 0.5L")
    connection.put("workorder/quantitytarget", b"10")


@bounded
async def test_counts_order_and_release_that_come_together_are_one_batch(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with played(monkeypatch) as (connection, stream):
        put_order(connection)
        told = await anext(stream)
        assert [one.tag if isinstance(one, Reading) else type(one) for one in told] == [
            "good",
            "order",
            "item",
            Fact,
        ]
        assert connection.acked == 0  # not yet durable
        connection.put("metric/input/countoutfeed", b"6")
        await anext(stream)
        assert connection.acked == 4


@bounded
async def test_what_was_heard_before_a_loss_is_told_before_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with played(monkeypatch) as (connection, stream):
        put_order(connection)
        await anext(stream)
        connection.put("metric/input/countoutfeed", b"7")
        connection.connected.clear()
        connection.refusal = "not authorised"
        reading, down = await anext(stream)
        assert isinstance(reading, Reading)
        assert isinstance(down, Link)
        assert (down.up, down.reason) == (False, "not authorised")
        connection.connected.set()
        put_order(connection)
        up, *again = await anext(stream)
        assert isinstance(up, Link)
        assert [getattr(one, "tag", None) for one in again] == ["good", "order", "item"]
