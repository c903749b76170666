"""The broker of last resort: our client works with it, and it keeps the same users out."""

import asyncio
import json
import logging
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.brokers import RunningBroker, bounded, collect, small_plant
from uns.cli.bridging import NO_MQTT_5
from uns.cli.child import ROLES, Context
from uns.cli.folder import Folder, write_connection
from uns.model.plant import Plant
from uns.mqtt.broker import EMBEDDED_IS_WEAKER, broker_command, wait_until_ready
from uns.mqtt.client import MqttClient
from uns.mqtt.errors import LoginRefused
from uns.mqtt.message import Address, Outgoing
from uns.runtime.clock import start_clock

SERVED_S_MAX = 3  # amqtt gives up waiting for an ack after 5 s
MESSAGES = 200
WRITABLE = {"minimum": 0, "maximum": 100}
MILL = "acme/berlin/machining/housing/mill"


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


@bounded
async def test_a_new_session_gets_only_what_it_asked_for_and_may_read(amqtt: RunningBroker) -> None:
    async with MqttClient(amqtt.address(), "hub-1") as hub:
        await hub.subscribe(["acme/#"])
        await hub.publish("acme/_hub/health/hub", b"{}", retain=True)
        async with MqttClient(amqtt.address("bridge-plc"), "plc") as bridge:
            await bridge.subscribe(["acme/_hub/#"])
            await hub.publish("acme/_hub/watermark/plc", b"{}", retain=True)
            topics = [message.topic for message in await collect(bridge, 1)]
    assert topics == ["acme/_hub/watermark/plc"]


@bounded
async def test_a_client_that_acks_late_is_served_meanwhile(amqtt: RunningBroker) -> None:
    async with (
        MqttClient(amqtt.address(), "hub-1") as hub,
        MqttClient(amqtt.address(), "late") as late,
    ):
        await hub.publish("x/kept", b"1", retain=True)
        await late.subscribe(["x/#"])
        unacknowledged = await late.receive()
        async with asyncio.timeout(SERVED_S_MAX):
            await late.subscribe(["y"])
            await late.publish("y", b"2")
        late.ack(unacknowledged)


@bounded
async def test_nothing_is_lost_while_others_subscribe(amqtt: RunningBroker) -> None:
    async with (
        MqttClient(amqtt.address(), "hub-1") as hub,
        MqttClient(amqtt.address(), "other") as other,
    ):
        await other.subscribe(["x/#"])
        await hub.subscribe(["x/+"])
        sending = asyncio.create_task(
            hub.publish_many(Outgoing(f"x/{i}", b"%d" % i) for i in range(MESSAGES))
        )
        for i in range(MESSAGES):
            await other.subscribe([f"y/{i}"])
        await sending
        async with asyncio.timeout(SERVED_S_MAX):
            topics = [message.topic for message in await collect(hub, MESSAGES)]
    assert sorted(topics) == sorted(f"x/{i}" for i in range(MESSAGES))


def bridge_on(broker: RunningBroker, root: Path) -> Context:
    """The OPC UA bridge of a hub on a broker; its server is away."""
    document = broker.plant.model_dump(mode="json", exclude_none=True)
    document["bridges"]["plc"] |= {"namespace_uri": "urn:plc", "insecure": True}
    line = document["sites"]["berlin"]["areas"]["machining"]["lines"]["housing"]
    for cell in line["cells"].values():
        cell["tags"] = {"speed": {"source": {"node": "s=Speed"}, "writable": WRITABLE}}
    where, mqtt_5 = broker.address("bridge-plc"), broker.command.mqtt_5
    folder = Folder(root)
    root.mkdir()
    write_connection(folder, {"host": where.host, "port": where.port, "mqtt_5": mqtt_5})
    folder.passwords.write_text(json.dumps({where.username: where.password}))
    plant, clock = Plant.model_validate(document), start_clock(root, 1)
    return Context(folder, plant, clock, "bridge-plc", ("plc",))


async def run_bridge(context: Context) -> None:
    """What a bridge's process does."""
    await ROLES["bridge"](context)


async def reply_to(client: MqttClient, request_id: str) -> dict[str, str]:
    """What the bridge answers; it is asked until it listens."""
    command = json.dumps({"request_id": request_id, "value": 1.5}).encode()
    await client.subscribe([f"{MILL}/_event/reply/{request_id}"])
    while True:
        await client.publish(f"{MILL}/_cmd/write/speed", command)
        if replies := await client.receive(timeout_s=0.5):
            reply: dict[str, str] = json.loads(replies[0].payload)
            return reply


@bounded
async def test_nothing_is_written_to_devices_and_whoever_asks_is_told(
    amqtt: RunningBroker, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    context = bridge_on(amqtt, tmp_path / "data")
    async with (
        MqttClient(amqtt.address(), "operator", clean_session=True) as operator,
        asyncio.TaskGroup() as tasks,
    ):
        bridge = tasks.create_task(run_bridge(context))
        reply = await reply_to(operator, "r1")
        bridge.cancel()
    assert (reply["outcome"], reply["reason"]) == ("refused", NO_MQTT_5)
    assert "written to devices" in EMBEDDED_IS_WEAKER
    told = [(each.levelno, each.getMessage()) for each in caplog.records]
    assert [text for level, text in told if "plc-write" in text and level > logging.INFO] == []
    assert "Traceback" not in (amqtt.folder / "broker.log").read_text()
