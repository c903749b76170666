"""The broker of last resort: our client works with it, and it keeps the same users out."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.brokers import RunningBroker, bounded, collect, small_plant
from uns.mqtt.broker import EMBEDDED_IS_WEAKER, broker_command, wait_until_ready
from uns.mqtt.client import MqttClient
from uns.mqtt.errors import LoginRefused
from uns.mqtt.message import Address, Outgoing


@pytest.fixture
def amqtt(tmp_path: Path) -> Iterator[RunningBroker]:
    folder = tmp_path / "broker"
    command = broker_command(None, folder)
    assert command.weaker == EMBEDDED_IS_WEAKER
    broker = RunningBroker(folder, small_plant(), command)
    broker.start()
    yield broker
    broker.kill()


@bounded
async def test_messages_and_retained_topics_pass(amqtt: RunningBroker) -> None:
    async with MqttClient(amqtt.address(), "hub-1") as client:
        await client.publish_many(Outgoing(f"x/{i}", b"%d" % i, retain=True) for i in range(50))
        await client.subscribe(["x/#", "y"])
        seen: dict[str, bytes] = {}
        while len(seen) < 50:
            batch = await client.receive()
            client.ack(batch)
            seen.update({message.topic: message.payload for message in batch})
        assert seen == {f"x/{i}": b"%d" % i for i in range(50)}
        await client.publish("y", b"live")
        assert [m.payload for m in await collect(client, 1)] == [b"live"]


@bounded
async def test_a_wrong_password_and_no_name_are_refused(amqtt: RunningBroker) -> None:
    for username, password in (("hub", "guess"), (None, None), ("nobody", "x")):
        with pytest.raises(LoginRefused):
            await wait_until_ready(Address("127.0.0.1", amqtt.port, username, password), 1)


@bounded
async def test_rights_to_write_and_to_read_are_kept(amqtt: RunningBroker) -> None:
    async with (
        MqttClient(amqtt.address("operator"), "op") as operator,
        MqttClient(amqtt.address("bridge-plc"), "plc") as bridge,
        MqttClient(amqtt.address(), "observer") as observer,
    ):
        await observer.subscribe(["acme/#"])
        await bridge.subscribe(["acme/#"])
        await operator.publish("acme/_state/oee", b"{}")
        await operator.publish("acme/_cmd/order/release", b"{}")
        await observer.publish("acme/_hub/watermark/plc", b"{}")
        topics = [m.topic for m in await collect(observer, 1)]
        assert topics == ["acme/_cmd/order/release"]
        assert [m.topic for m in await collect(bridge, 1)] == ["acme/_hub/watermark/plc"]
