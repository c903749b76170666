"""A counter with `record: every` from a foreign server to the broker, while everything breaks.

The link to the source is cut and hangs, the broker stops answering, the bridge is restarted. Each
count of an OPC UA server with history is on record once; of a Modbus device, each sample.
"""

import asyncio
import json
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping
from contextlib import aclosing, asynccontextmanager
from pathlib import Path
from typing import Any, Final

import pytest

from tests.bridged import Bridge, modbus, opcua
from tests.brokers import RunningBroker, bounded, until
from tests.fault_proxy import FaultProxy, proxied
from tests.foreign import modbus_server, opcua_server
from tests.watching import Batch, now_ms
from uns.model.observation import Reading
from uns.model.plant import Plant
from uns.mqtt.client import MqttClient
from uns.runtime.bridge import BridgeRunner, BridgeWiring
from uns.runtime.outbox import Outbox

pytestmark = pytest.mark.node

CELL: Final = "acme/berlin/machining/housing/mill"
NAME: Final = "plc"
COUNT_MS: Final = 100  # twice as slow as the server samples
SOUND_S: Final = 0.7
BROKEN_S: Final = 1.0
Count = tuple[int, int]  # when, how many


def plant_with(plant: Plant, source: Mapping[str, Any]) -> Plant:
    document = plant.model_dump(mode="json")
    cells = document["sites"]["berlin"]["areas"]["machining"]["lines"]["housing"]["cells"]
    cells["mill"]["tags"] = {"counter": {"source": source, "record": "every"}}
    cells["wash"]["tags"] = {}
    return Plant.model_validate(document)


class Recorder:
    """Keeps every sample that reaches the broker, each event once."""

    def __init__(self, client: MqttClient) -> None:
        self._client = client
        self._events: dict[str, list[dict[str, Any]]] = {}

    async def listen(self) -> None:
        async for batch in self._client.batches():
            for message in batch:
                event = json.loads(message.payload)
                self._events[event["id"]] = event["samples"]
            self._client.ack(batch)

    def counts(self) -> list[Count]:
        """All values above 0 by their times; equal ones are one, as in the database."""
        samples = [sample for event in self._events.values() for sample in event]
        return sorted({(s["at_ms"], s["value"]) for s in samples if s["value"]})


@asynccontextmanager
async def recording(broker: RunningBroker) -> AsyncIterator[Recorder]:
    async with MqttClient(broker.address(), "recorder") as client, asyncio.TaskGroup() as group:
        await client.subscribe([f"{CELL}/_event/sampled"])
        recorder = Recorder(client)
        listening = group.create_task(recorder.listen())
        yield recorder
        listening.cancel()


@asynccontextmanager
async def running(
    broker: RunningBroker,
    folder: Path,
    source: Mapping[str, Any],
    connect: Callable[[BridgeRunner], Bridge],
) -> AsyncIterator[None]:
    """One life of a bridge; what is not sent yet waits in its outbox."""
    plant = plant_with(broker.plant, source)
    places = plant.served_by(NAME)
    client = MqttClient(broker.address(), f"bridge-{NAME}")
    outbox = Outbox(folder / "outbox.sqlite")
    runner = BridgeRunner(BridgeWiring(NAME, "any", plant, places, CELL, outbox, client, now_ms))
    async with client, aclosing(connect(runner)(places, asyncio.Queue())) as stream:
        work = asyncio.create_task(runner.run(stream))
        try:
            yield
        finally:
            work.cancel()
            await asyncio.gather(work, return_exceptions=True)


async def break_source(proxy: FaultProxy) -> None:
    await proxy.cut(BROKEN_S)
    await asyncio.sleep(SOUND_S)
    proxy.hang()
    await asyncio.sleep(BROKEN_S)
    proxy.heal()
    await asyncio.sleep(SOUND_S)


@bounded
async def test_every_count_of_an_opcua_server_is_on_record_once(
    mosquitto: RunningBroker, tmp_path: Path
) -> None:
    async with (
        opcua_server(tmp_path / "plc") as plc,
        proxied("127.0.0.1", plc.port) as proxy,
        recording(mosquitto) as recorder,
    ):

        def connect(runner: BridgeRunner) -> Bridge:
            return opcua(proxy.port, tmp_path / "pki", runner.recorded, silence_ms_max=500)

        source = {"node": "s=Counter"}
        await plc.ask(count=COUNT_MS)
        async with running(mosquitto, tmp_path, source, connect):
            await until(lambda: bool(recorder.counts()))
            await break_source(proxy)
            mosquitto.freeze()
            await asyncio.sleep(SOUND_S)
        cut = asyncio.create_task(proxy.cut(BROKEN_S))
        mosquitto.thaw()
        async with running(mosquitto, tmp_path, source, connect):
            await cut
            await asyncio.sleep(SOUND_S)
            await plc.ask(count=0)
            answer = await plc.ask(counted=True)
            counted = [(at_ms, value) for value, at_ms in answer["counted"]]
            await until(lambda: recorder.counts()[-1] == counted[-1])
        found = recorder.counts()
        assert found == counted[counted.index(found[0]) :]


@bounded
async def test_every_sample_of_a_modbus_device_is_on_record_once(
    mosquitto: RunningBroker, tmp_path: Path
) -> None:
    sampled = list[Count]()

    async def noting(stream: AsyncGenerator[Batch, None]) -> AsyncGenerator[Batch, None]:
        async with aclosing(stream):
            async for batch in stream:
                sampled.extend(
                    (seen.at_ms, int(seen.value))
                    for seen in batch
                    if isinstance(seen, Reading) and seen.value
                )
                yield batch

    async with (
        modbus_server() as device,
        proxied("127.0.0.1", device.port) as proxy,
        recording(mosquitto) as recorder,
    ):
        bridge = modbus(proxy.port, timeout_ms=500)
        source = {"address": 100, "type": "uint32"}
        await device.ask(count=COUNT_MS)
        async with running(
            mosquitto, tmp_path, source, lambda _: lambda *given: noting(bridge(*given))
        ):
            await until(lambda: bool(recorder.counts()))
            mosquitto.freeze()
            await break_source(proxy)
            mosquitto.thaw()
            await until(lambda: len(recorder.counts()) > len(sampled) // 2)
            proxy.hang()
            await until(lambda: recorder.counts() == sampled)
        assert len({value for _, value in sampled}) > SOUND_S * 1_000 / COUNT_MS
