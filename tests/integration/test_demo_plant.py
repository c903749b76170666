"""The simulated plant on its real servers, read by other people's clients."""

import asyncio
import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from asyncua import ua
from asyncua.client.client import Client
from asyncua.ua.uaerrors import UaStatusCodeError
from pymodbus.client import AsyncModbusTcpClient

from tests.brokers import RunningBroker, bounded, free_port, running_broker, until
from tests.simulated import example_plant
from uns.demo.errors import PortTaken
from uns.demo.plant import run_plant
from uns.model.plant import Bridge, Plant
from uns.mqtt.acl import edge_user
from uns.mqtt.client import MqttClient
from uns.mqtt.message import Address
from uns.sparkplug.host import HostSession, rebirth_command
from uns.sparkplug.outputs import HostOutput, MetricValue, Online, Rejected, Stale

URI = "urn:acme:machining"
GROUP, EDGE = "acme", "packing"
SPEED = 4.0
MILL = "acme/berlin/machining/housing/mill"
TEST = "acme/berlin/assembly/pump/test"
PACK = "acme/berlin/assembly/packing/pack"
ROOT = Path(__file__).parents[2]


def plant_on_free_ports() -> Plant:
    plant = example_plant()
    ports: dict[str, dict[str, Any]] = {
        "plc-machining": {"url": f"opc.tcp://127.0.0.1:{free_port()}/machining"},
        "plc-assembly": {"port": free_port()},
    }
    bridges = {
        name: Bridge.model_validate({**bridge.model_dump(), **ports.get(name, {})})
        for name, bridge in plant.bridges.items()
    }
    return plant.model_copy(update={"bridges": bridges})


@dataclass(frozen=True)
class WallClock:
    """Plant time is wall time, `speed` times as fast."""

    speed: float = SPEED
    origin_s: float = field(default_factory=time.time)

    def __call__(self) -> int:
        return int((self.origin_s + (time.time() - self.origin_s) * self.speed) * 1000)


@dataclass
class Running:
    """A simulated plant in this process."""

    plant: Plant
    folder: Path
    clock: WallClock
    go: asyncio.Event
    freeze: asyncio.Event
    task: asyncio.Task[None]

    def log(self) -> list[dict[str, Any]]:
        path = self.folder / "plant" / "plc.jsonl"
        lines = path.read_text().splitlines() if path.exists() else []
        return [json.loads(line) for line in lines]


def port_of(plant: Plant, bridge: str) -> int:
    return int(plant.bridges[bridge].settings["port"])


@asynccontextmanager
async def simulated(folder: Path, plant: Plant, broker: Address) -> AsyncIterator[Running]:
    go, freeze, clock = asyncio.Event(), asyncio.Event(), WallClock()
    task = asyncio.create_task(run_plant(plant, folder, clock, 1, {EDGE: broker}, go, freeze))
    await until(lambda: task.done() or listens(port_of(plant, "plc-assembly")))
    try:
        yield Running(plant, folder, clock, go, freeze, task)
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


def listens(port: int) -> bool:
    with suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
        return True
    return False


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[RunningBroker]:
    """With the users of the example plant: the edge node may speak for itself only."""
    with running_broker(tmp_path / "broker", example_plant()) as running:
        yield running


# --- OPC UA


@asynccontextmanager
async def opcua(plant: Plant) -> AsyncIterator[tuple[Client, int]]:
    async with Client(plant.bridges["plc-machining"].settings["url"]) as client:
        yield client, await client.get_namespace_index(URI)


async def opcua_value(client: Client, index: int, plant: Plant, cell: str, tag: str) -> Any:
    node = plant.cells[cell].cell.tags[tag].source["node"]
    return await client.get_node(f"ns={index};{node}").read_data_value()


@bounded
async def test_opcua_shows_every_tag_with_the_plants_clock(
    tmp_path: Path, broker: RunningBroker
) -> None:
    plant = plant_on_free_ports()
    address = broker.address(edge_user(EDGE))
    async with (
        simulated(tmp_path, plant, address) as running,
        opcua(plant) as (client, index),
    ):
        for path, place in plant.served_by("plc-machining").items():
            for tag in place.cell.tags:
                value = await opcua_value(client, index, plant, path, tag)
                assert value.StatusCode.is_good()
                at_ms = value.SourceTimestamp.replace(tzinfo=UTC).timestamp() * 1000
                assert abs(running.clock() - at_ms) < 10_000 * SPEED
        state = await opcua_value(client, index, plant, MILL, "state")
        good = await opcua_value(client, index, plant, MILL, "good")
        assert (state.Value.Value, good.Value.Value) == (2, 9_988)
        children = await client.get_node(f"ns={index};s=Mill").get_children()
        names = {(await child.read_browse_name()).Name for child in children}
        assert names == set(plant.cells[MILL].cell.tags)


@bounded
async def test_opcua_tags_cannot_be_written_from_outside(
    tmp_path: Path, broker: RunningBroker
) -> None:
    plant = plant_on_free_ports()
    address = broker.address(edge_user(EDGE))
    async with simulated(tmp_path, plant, address), opcua(plant) as (client, index):
        node = client.get_node(f"ns={index};s=Mill.Good")
        with pytest.raises(UaStatusCodeError):
            await node.write_value(ua.Variant(1, ua.VariantType.UInt32))


# --- Modbus


async def registers(plant: Plant, address: int, count: int) -> list[int]:
    async with AsyncModbusTcpClient("127.0.0.1", port=port_of(plant, "plc-assembly")) as client:
        answer = await client.read_holding_registers(address, count=count, device_id=1)
        assert not answer.isError()
        return list(answer.registers)


@bounded
async def test_modbus_has_its_values_from_the_first_request_on(
    tmp_path: Path, broker: RunningBroker
) -> None:
    plant = plant_on_free_ports()
    async with simulated(tmp_path, plant, broker.address(edge_user(EDGE))):
        assert (await registers(plant, 200, 1))[0] == 2
        assert (await registers(plant, 218, 3)) == [65_524, 65_533, 65_534]
        assert (await registers(plant, 237, 2)) == [1_000_000 >> 16, 1_000_000 & 0xFFFF]


@bounded
async def test_a_port_that_is_taken_is_said(tmp_path: Path, broker: RunningBroker) -> None:
    plant = plant_on_free_ports()
    with socket.socket() as other:
        other.bind(("127.0.0.1", port_of(plant, "plc-assembly")))
        other.listen()
        with pytest.raises(PortTaken, match="in use"):
            await run_plant(
                plant, tmp_path, WallClock(), 1, {EDGE: broker.address(edge_user(EDGE))},
                asyncio.Event(), asyncio.Event(),
            )  # fmt: skip


# --- Sparkplug


class Host:
    """A host application that listens to everything and believes what its session says."""

    def __init__(self, client: MqttClient) -> None:
        self.client = client
        self.session = HostSession()
        self.outputs: list[HostOutput] = []

    async def listen(self) -> None:
        await self.client.subscribe(["spBv1.0/#"])
        async for batch in self.client.batches():
            for message in batch:
                now_ms = int(time.time() * 1000)
                self.outputs += self.session.receive(message.topic, message.payload, now_ms)
            self.client.ack(batch)

    def seen(self, kind: type, device: str | None = "pack") -> int:
        return sum(
            isinstance(o, kind) and getattr(o, "device", None) == device for o in self.outputs
        )

    def newest(self, name: str) -> Any:
        values = [o.value for o in self.outputs if isinstance(o, MetricValue) and o.name == name]
        return values[-1] if values else None


@asynccontextmanager
async def host(broker: RunningBroker) -> AsyncIterator[Host]:
    async with MqttClient(broker.address(), "host", clean_session=True) as client:
        one = Host(client)
        listening = asyncio.create_task(one.listen())
        await client.connected.wait()
        yield one
        listening.cancel()


@bounded
async def test_sparkplug_births_data_rebirth_and_death(
    tmp_path: Path, broker: RunningBroker
) -> None:
    plant = plant_on_free_ports()
    async with host(broker) as listener:
        async with simulated(tmp_path, plant, broker.address(edge_user(EDGE))) as running:
            await until(lambda: listener.seen(Online) == 1)
            metrics = {o.name for o in listener.outputs if isinstance(o, MetricValue)}
            tags = plant.cells[PACK].cell.tags.values()
            assert {tag.source["metric"] for tag in tags} <= metrics
            assert (listener.newest("State"), listener.newest("Good")) == (0, 9_988)
            running.go.set()
            await until(lambda: listener.newest("State") == 4)
            command = rebirth_command(GROUP, EDGE, running.clock())
            await listener.client.publish(command.topic, command.payload, qos=0)
            await until(lambda: listener.seen(Online) == 2)
        await until(lambda: listener.seen(Stale, None) == 2)
    assert not any(isinstance(o, Rejected) for o in listener.outputs)
    assert all(node.gaps == 0 for node in listener.session.nodes.values())


@bounded
async def test_each_sparkplug_session_has_its_own_bd_seq(
    tmp_path: Path, broker: RunningBroker
) -> None:
    plant = plant_on_free_ports()
    async with simulated(tmp_path, plant, broker.address(edge_user(EDGE))):
        stated: list[int | None] = []
        for _ in range(2):
            async with host(broker) as listener:
                command = rebirth_command(GROUP, EDGE, 1)
                await until(lambda: bool(list((tmp_path / "plant").glob("bd_seq"))))
                while not listener.seen(Online):
                    await listener.client.publish(command.topic, command.payload, qos=0)
                    await asyncio.sleep(0.1)
                stated += [node.bd_seq for node in listener.session.nodes.values()]
            broker.restart()
        assert stated == [0, 1]


# --- work


@bounded
async def test_nothing_moves_before_go_and_orders_come_with_it(
    tmp_path: Path, broker: RunningBroker
) -> None:
    plant = plant_on_free_ports()
    async with simulated(tmp_path, plant, broker.address(edge_user(EDGE))) as running:
        await asyncio.sleep(0.5)
        assert not running.log()
        assert not (tmp_path / "erp").exists()
        running.go.set()
        await until(lambda: len(list((tmp_path / "erp" / "in").glob("*.json"))) >= 6)
        for path in (tmp_path / "erp" / "in").glob("*.json"):
            order = json.loads(path.read_text())
            assert path.stem == order["order_id"]
            assert plant.line_of_item(order["item"])
            assert datetime.fromisoformat(order["due"]).utcoffset() is not None
        assert not list((tmp_path / "erp" / "in").glob("*.tmp"))


@bounded
async def test_after_freeze_the_servers_show_what_the_log_says(
    tmp_path: Path, broker: RunningBroker
) -> None:
    plant = plant_on_free_ports()
    address = broker.address(edge_user(EDGE))
    async with host(broker) as listener, simulated(tmp_path, plant, address) as running:
        running.go.set()
        await until(lambda: len({line["cell"] for line in running.log()}) == 7)
        await until(lambda: len(running.log()) >= 60)
        running.freeze.set()
        await asyncio.sleep(0.3)
        log = running.log()
        counts = {cell: totals(log, cell) for cell in plant.cells}
        async with opcua(plant) as (client, index):
            good = await opcua_value(client, index, plant, MILL, "good")
            scrap = await opcua_value(client, index, plant, MILL, "scrap")
        assert good.Value.Value == (9_988 + counts[MILL][0]) % 10_000
        assert scrap.Value.Value == (9_997 + counts[MILL][1]) % 10_000
        found = await registers(plant, 218, 2)
        assert found[0] == (65_524 + counts[TEST][0]) % 65_536
        assert found[1] == (65_533 + counts[TEST][1]) % 65_536
        await until(lambda: listener.newest("Good") == (9_988 + counts[PACK][0]) % 10_000)
        await asyncio.sleep(0.5)
        assert running.log() == log


def totals(log: list[dict[str, Any]], cell: str) -> tuple[int, int]:
    results = [line["result"] for line in log if line["cell"] == cell]
    return results.count("good"), results.count("scrap")


# --- kill -9

PROGRAM = """
import asyncio, sys
from pathlib import Path
from tests.integration.test_demo_plant import EDGE, WallClock
from uns.demo.plant import run_plant
from uns.model.plant import Plant
from uns.mqtt.message import Address

async def main():
    folder, port, user, password = sys.argv[1:]
    plant = Plant.model_validate_json(Path(folder, "plant.json").read_text())
    go = asyncio.Event()
    go.set()
    edge = {EDGE: Address("127.0.0.1", int(port), user, password)}
    await run_plant(plant, Path(folder), WallClock(), 1, edge, go, asyncio.Event())

asyncio.run(main())
"""


@contextmanager
def as_process(folder: Path, broker: Address) -> Iterator["subprocess.Popen[bytes]"]:
    arguments = [str(folder), str(broker.port), broker.username or "", broker.password or ""]
    process = subprocess.Popen(
        [sys.executable, "-c", PROGRAM, *arguments], env=os.environ | {"PYTHONPATH": str(ROOT)}
    )
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def pieces(folder: Path) -> int:
    path = folder / "plant" / "plc.jsonl"
    return path.read_bytes().count(b"\n") if path.exists() else 0


@bounded
async def test_a_kill_takes_nothing_back(tmp_path: Path, broker: RunningBroker) -> None:
    plant = plant_on_free_ports()
    (tmp_path / "plant.json").write_text(plant.model_dump_json())
    address = broker.address(edge_user(EDGE))
    last = 0
    for wanted in (20, 40):
        with as_process(tmp_path, address):
            await until(lambda: listens(port_of(plant, "plc-assembly")))
            (high, low) = await registers(plant, 237, 2)
            serial = (high << 16) + low
            assert serial >= last
            await until(lambda wanted=wanted: pieces(tmp_path) >= wanted)  # type: ignore[misc]  # a bound number
            (high, low) = await registers(plant, 237, 2)
            last = (high << 16) + low
    log = [json.loads(line) for line in (tmp_path / "plant/plc.jsonl").read_text().splitlines()]
    for cell in plant.cells:
        mine = [line for line in log if line["cell"] == cell]
        good = [line["good"] for line in mine if line["result"] == "good"]
        assert good == list(range(1, len(good) + 1))
    assert last > 1_000_000
