"""Commands on a real broker, written into foreign servers: answered, audited, published."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import aclosing, asynccontextmanager, suppress
from pathlib import Path
from typing import Any, Final

import pytest

from tests.bridged import Bridge, modbus, opcua
from tests.brokers import RunningBroker, bounded, unique, until
from tests.foreign import modbus_server, opcua_server
from tests.watching import now_ms
from uns.codec import Codec
from uns.model.plant import Plant
from uns.mqtt.client import MqttClient
from uns.mqtt.message import Message
from uns.mqtt.paho_setup import V5
from uns.runtime.bridge import BridgeRunner, BridgeWiring, WriteBack
from uns.runtime.gate import Gate
from uns.runtime.outbox import Outbox

pytestmark = pytest.mark.node

CELL: Final = "acme/berlin/machining/housing/mill"
NAME: Final = "plc"
BOUNDS: Final = {"minimum": 20, "maximum": 90, "interval_ms_min": 0}


def plant_with_set_point(plant: Plant, source: Mapping[str, Any]) -> Plant:
    document = plant.model_dump(mode="json")
    cells = document["sites"]["berlin"]["areas"]["machining"]["lines"]["housing"]["cells"]
    cells["mill"]["tags"] = {"speed": {"source": source, "writable": BOUNDS}}
    cells["wash"]["tags"] = {}
    return Plant.model_validate(document)


class Operator:
    """Who gives commands, and sees everything that is on the broker."""

    def __init__(self, client: MqttClient) -> None:
        self._client = client
        self.seen: list[Message] = []

    async def look(self) -> None:
        async for batch in self._client.batches():
            self.seen += batch
            self._client.ack(batch)

    def said(self, topic: str) -> list[dict[str, Any]]:
        return [json.loads(m.payload) for m in self.seen if m.topic == f"{CELL}/{topic}"]

    async def write(self, request_id: str, value: float) -> dict[str, Any]:
        """Give a command until somebody answers it; the answer."""
        command = json.dumps({"request_id": request_id, "value": value}).encode()
        topic = f"_event/reply/{request_id}"
        while not self.said(topic):
            await self._client.publish(f"{CELL}/_cmd/write/speed", command)
            with suppress(TimeoutError):
                async with asyncio.timeout(0.5):
                    await until(lambda: bool(self.said(topic)))
        return self.said(topic)[0]

    async def shows(self, value: float) -> None:
        """Wait until the tag has the value, and is good."""
        await until(
            lambda: bool(
                (said := self.said("_tag/speed"))
                and (said[-1]["value"], said[-1]["quality"]) == (value, "good")
            )
        )


@asynccontextmanager
async def bridge_at_work(
    broker: RunningBroker, folder: Path, protocol: str, source: Mapping[str, Any], bridge: Bridge
) -> AsyncIterator[Operator]:
    plant = plant_with_set_point(broker.plant, source)
    places, address = plant.served_by(NAME), broker.address()
    outbox = Outbox(folder / "outbox.sqlite")
    gate = Gate(places, Codec(plant), now_ms, None)
    commands = MqttClient(
        address, f"bridge-{NAME}-write", clean_session=True, protocol=V5, retain_as_published=True
    )
    client = MqttClient(address, f"bridge-{NAME}")
    wiring = BridgeWiring(
        name=NAME, protocol=protocol, plant=plant, places=places, home=CELL, outbox=outbox,
        client=client, clock=now_ms, write_back=WriteBack(gate, commands),
    )  # fmt: skip
    hearing = MqttClient(address, unique("operator"), clean_session=True)
    async with client, commands, hearing, aclosing(bridge(places, gate.set_points)) as stream:
        await hearing.subscribe(["acme/#"])
        operator = Operator(hearing)
        async with asyncio.TaskGroup() as group:
            tasks = [
                group.create_task(operator.look()),
                group.create_task(BridgeRunner(wiring).run(stream)),
            ]
            yield operator
            for task in tasks:
                task.cancel()


async def holds(operator: Operator, held: Callable[[], Awaitable[float]], start: float) -> None:
    """What an operator may rely on, whatever the protocol."""
    await operator.shows(start)
    accepted = await operator.write("r1", 58.5)
    assert accepted["outcome"] == "accepted", accepted
    assert await held() == 58.5
    await operator.shows(58.5)
    refused = await operator.write("r2", 90.5)
    assert (refused["outcome"], refused["reason"]) == ("refused", "90.5 is outside 20 to 90")
    assert await held() == 58.5
    (audit, late) = operator.said("_event/write-attempted")
    assert (audit["new_value"], audit["old_value"], audit["outcome"]) == (58.5, start, "accepted")
    assert (late["value"], late["new_value"], late["outcome"]) == (90.5, None, "refused")


@bounded
async def test_a_command_reaches_a_foreign_opcua_server(
    mosquitto: RunningBroker, tmp_path: Path
) -> None:
    source = {"node": "s=SetPoint"}
    async with opcua_server(tmp_path / "plc") as plc:

        async def held() -> float:
            return float((await plc.ask(get="SetPoint"))["value"])

        bridge = opcua(plc.port, tmp_path / "pki")
        async with bridge_at_work(mosquitto, tmp_path, "opcua", source, bridge) as operator:
            await holds(operator, held, 61.0)


@bounded
async def test_a_command_reaches_a_foreign_modbus_server(
    mosquitto: RunningBroker, tmp_path: Path
) -> None:
    source = {"address": 7, "scale": 0.1}
    async with modbus_server() as device:
        await device.ask(set=[1, "holding", 7, [610]])

        async def held() -> float:
            return float((await device.ask(get=[1, "holding", 7, 1]))["values"][0]) / 10

        bridge = modbus(device.port)
        async with bridge_at_work(mosquitto, tmp_path, "modbus", source, bridge) as operator:
            await holds(operator, held, 61.0)
