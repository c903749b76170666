"""OPC UA and Modbus to the broker through the whole bridge, beside a bare client of each library.

Server, bare client and bridge are a process each; the clients take turns at the same server, which
changes values at a fixed rate. A rate is values a second of wall time, a load processor time of the
client a second.
"""

import asyncio
import multiprocessing
import time
from collections.abc import AsyncIterator, Callable, Coroutine
from functools import partial
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, Final, NamedTuple
from unittest.mock import patch

from asyncua import ua
from asyncua.client.client import Client
from asyncua.server.server import Server
from asyncua.ua.attribute_ids import AttributeIds
from pymodbus.client import AsyncModbusTcpClient
from pymodbus.server import ModbusTcpServer
from pymodbus.simulator import DataType, SimData, SimDevice

from bench.rig import BRIDGE, CELL, Figure, Rig
from bridges.modbus import client as modbus_client
from bridges.modbus.answers import Reply
from bridges.modbus.config import ModbusSettings
from bridges.modbus.line import Line
from bridges.modbus.plan import Block
from bridges.opcua.client import observe as observe_opcua
from bridges.opcua.config import OpcUaSettings
from uns.demo.opcua_space import SmallServer
from uns.model.observation import Observation, Reading, SetPoint
from uns.model.plant import Plant
from uns.mqtt.acl import bridge_user
from uns.mqtt.client import MqttClient
from uns.runtime.bridge import BridgeRunner, BridgeWiring
from uns.runtime.clock import wall_ms
from uns.runtime.outbox import Outbox

ITEMS: Final = 1_000
ITEMS_PER_S: Final = 5_000
REGISTERS: Final = 10_000
BLOCK: Final = 120
CHANGED_PER_S: Final = 1_000
TICK_S: Final = 0.1
SETTLE_S: Final = 3.0
MEASURE_S: Final = 10.0
URI: Final = "urn:bench"
UNIT: Final = 1
TARGET: Final = "ratio >= 0.6"
Observe = Callable[[asyncio.Queue[SetPoint]], AsyncIterator[list[Observation]]]


class Effort(NamedTuple):
    """What a client did in a while: values taken, of wall time and of its processor's."""

    values: int
    wall_s: float
    cpu_s: float

    @property
    def rate(self) -> float:
        """Values a second."""
        return self.values / self.wall_s

    @property
    def load(self) -> float:
        """The share of a core that it took."""
        return self.cpu_s / self.wall_s


class Meter:
    """Counts values; `effort` waits until it has settled and measures then."""

    def __init__(self) -> None:
        self.values = 0

    async def effort(self) -> Effort:
        """What happens while it is measured."""
        await asyncio.sleep(SETTLE_S)
        values, wall_s, cpu_s = self.values, time.perf_counter(), time.process_time()
        await asyncio.sleep(MEASURE_S)
        return Effort(
            self.values - values, time.perf_counter() - wall_s, time.process_time() - cpu_s
        )


async def opcua(rig: Rig, folder: Path) -> list[Figure]:
    """A subscription to 1,000 items that change 5 times a second each."""
    url = f"opc.tcp://127.0.0.1:{_port(rig, 1)}/bench"
    with _process(_serve_opcua, url):
        bare = await _measured(_bare_opcua, url)
        ours = await _measured(_bridged_opcua, rig, folder, url)
    name = "5,000 OPC UA items/s to the broker"
    return _figures(name, "items", Ceiling("bare asyncua", TARGET), ours, bare)


async def modbus(rig: Rig, folder: Path) -> list[Figure]:
    """10,000 registers, a tag each; 1,000 change in a second. Once a second, and flat out."""
    port, figures = _port(rig, 2), list[Figure]()
    with _process(_serve_modbus, port):
        for poll_ms, name, target in (
            (1_000, "10,000 Modbus registers/s to the broker", TARGET),
            (10, "Modbus without a pause to the broker", "none"),
        ):
            bare = await _measured(_bare_modbus, port, poll_ms)
            ours = await _measured(_bridged_modbus, rig, folder, port, poll_ms)
            figures += _figures(name, "registers", Ceiling("bare pymodbus", target), ours, bare)
    return figures


class Ceiling(NamedTuple):
    """What a rate is held against, and how near it is to come."""

    name: str
    target: str


def _figures(name: str, unit: str, ceiling: Ceiling, ours: Effort, bare: Effort) -> list[Figure]:
    return [
        Figure(name, ours.rate, f"{unit}/s", bare.rate, ceiling.name, ceiling.target),
        Figure(f"{name}, of a core", ours.load, "cores", bare.load, ceiling.name, "< 1"),
    ]


def _port(rig: Rig, step: int) -> int:
    """A port beside the broker's, below those that the system gives away."""
    return 20_000 + rig.port % 10_000 + step


# --- processes


class _process:  # noqa: N801 - a context manager that reads like a function
    """A server process, for the time of a block."""

    def __init__(self, serve: Callable[..., Coroutine[Any, Any, None]], *arguments: Any) -> None:
        ready, self._ready = multiprocessing.Pipe(duplex=False)
        self._heard = ready
        context = multiprocessing.get_context("spawn")
        self._process = context.Process(target=_run_server, args=(serve, self._ready, arguments))

    def __enter__(self) -> None:
        self._process.start()
        if not self._heard.poll(30):
            raise TimeoutError("the server does not start")

    def __exit__(self, *_: object) -> None:
        self._process.terminate()
        self._process.join()


def _run_server(
    serve: Callable[..., Coroutine[Any, Any, None]], ready: Connection, arguments: tuple[Any, ...]
) -> None:
    asyncio.run(serve(ready, *arguments))


async def _measured(client: Callable[..., Coroutine[Any, Any, Effort]], *arguments: Any) -> Effort:
    """What a client does in a process of its own."""
    context = multiprocessing.get_context("spawn")
    heard, told = context.Pipe(duplex=False)
    process = context.Process(target=_run_client, args=(client, told, arguments))
    process.start()
    try:
        return await asyncio.to_thread(_receive, heard)
    finally:
        process.join(10)


def _receive(heard: Connection) -> Effort:
    if not heard.poll(60):
        raise TimeoutError("a client does not answer")
    effort = heard.recv()
    assert isinstance(effort, Effort)  # noqa: S101 - what our own process sent
    return effort


def _run_client(
    client: Callable[..., Coroutine[Any, Any, Effort]],
    told: Connection,
    arguments: tuple[Any, ...],
) -> None:
    told.send(asyncio.run(client(*arguments)))


# --- servers


async def _serve_opcua(ready: Connection, url: str) -> None:
    server = Server(SmallServer())
    await server.init()
    server.set_endpoint(url)
    server.set_security_policy([ua.SecurityPolicyType.NoSecurity])
    index = await server.register_namespace(URI)
    nodes = [
        (await server.nodes.objects.add_variable(_node_id(f"V{n}", index), f"V{n}", 0.0)).nodeid
        for n in range(ITEMS)
    ]
    async with server:
        ready.send("ready")
        due_s, value, first, some = time.perf_counter(), 0.0, 0, round(ITEMS_PER_S * TICK_S)
        while True:
            for n in range(first, first + some):
                value += 0.25
                data = ua.DataValue(ua.Variant(value), SourceTimestamp=ua.DateTime.utcnow())
                await server.write_attribute_value(nodes[n % ITEMS], data)
            first, due_s = first + some, due_s + TICK_S
            await asyncio.sleep(max(0.0, due_s - time.perf_counter()))


async def _serve_modbus(ready: Connection, port: int) -> None:
    registers = SimData(0, count=REGISTERS, datatype=DataType.REGISTERS)
    server = ModbusTcpServer(SimDevice(UNIT, [registers]), address=("127.0.0.1", port))
    await server.serve_forever(background=True)
    ready.send("ready")
    some, value = round(CHANGED_PER_S * TICK_S), 0
    while True:
        value = (value + 1) % 60_000
        for first in range(0, REGISTERS, REGISTERS // some):
            await server.async_setValues(UNIT, 16, first, [value])
        await asyncio.sleep(TICK_S)


def _node_id(name: str, index: int) -> ua.NodeId:
    return ua.NodeId.from_string(f"ns={index};s={name}")


# --- bare clients


class _Handler:
    """asyncua's own subscription handler."""

    def __init__(self, meter: Meter) -> None:
        self._meter = meter

    def datachange_notification(self, _node: Any, _value: Any, _data: Any) -> None:
        self._meter.values += 1


async def _bare_opcua(url: str) -> Effort:
    meter = Meter()
    async with Client(url) as client:
        index = await client.get_namespace_index(URI)
        nodes = [client.get_node(_node_id(f"V{n}", index)) for n in range(ITEMS)]
        subscription = await client.create_subscription(200, _Handler(meter))
        await subscription.subscribe_data_change(nodes, AttributeIds.Value, 10)
        return await meter.effort()


async def _bare_modbus(port: int, poll_ms: int) -> Effort:
    meter = Meter()
    client = AsyncModbusTcpClient("127.0.0.1", port=port)
    await client.connect()

    async def poll() -> None:
        due_s = time.perf_counter()
        while True:
            for first in range(0, REGISTERS, BLOCK):
                count = min(BLOCK, REGISTERS - first)
                reply = await client.read_holding_registers(first, count=count, device_id=UNIT)
                meter.values += len(reply.registers)
            due_s = max(due_s + poll_ms / 1000, time.perf_counter())
            await asyncio.sleep(due_s - time.perf_counter())

    polling = asyncio.create_task(poll())
    effort = await meter.effort()
    polling.cancel()
    client.close()
    return effort


# --- the bridge


def _plant(rig: Rig, sources: list[dict[str, Any]]) -> Plant:
    """The bench's plant with one cell that has these sources."""
    document = rig.plant.model_dump(mode="json")
    _, site, area, line, cell = CELL.split("/")
    cells = document["sites"][site]["areas"][area]["lines"][line]["cells"]
    tags = {f"v{n}": {"source": source} for n, source in enumerate(sources)}
    for name, each in cells.items():
        each["tags"] = tags if name == cell else {}
    return Plant.model_validate(document)


async def _bridged_opcua(rig: Rig, folder: Path, url: str) -> Effort:
    plant = _plant(rig, [{"node": f"s=V{n}"} for n in range(ITEMS)])
    settings = OpcUaSettings(url=url, namespace_uri=URI, insecure=True)
    places, meter = plant.served_by(BRIDGE), Meter()

    async def counted(queue: asyncio.Queue[SetPoint]) -> AsyncIterator[list[Observation]]:
        async for batch in observe_opcua(settings, places, wall_ms, queue, folder):
            meter.values += sum(isinstance(one, Reading) for one in batch)
            yield batch

    return await _bridged(rig, folder, plant, counted, meter)


class _CountingLine(Line):
    """Counts the registers that a bridge reads, of which it tells only what is new."""

    def __init__(self, meter: Meter, *arguments: Any) -> None:
        super().__init__(*arguments)
        self._meter = meter

    async def read(self, unit: int, block: Block) -> Reply:
        self._meter.values += block.size
        return await super().read(unit, block)


async def _bridged_modbus(rig: Rig, folder: Path, port: int, poll_ms: int) -> Effort:
    plant = _plant(rig, [{"address": n} for n in range(REGISTERS)])
    settings = ModbusSettings(host="127.0.0.1", port=port, unit=UNIT, poll_ms=poll_ms)
    places, meter = plant.served_by(BRIDGE), Meter()

    def observe(queue: asyncio.Queue[SetPoint]) -> AsyncIterator[list[Observation]]:
        return modbus_client.observe(settings, places, wall_ms, queue)

    with patch.object(modbus_client, "Line", partial(_CountingLine, meter)):
        return await _bridged(rig, folder, plant, observe, meter)


async def _bridged(rig: Rig, folder: Path, plant: Plant, observe: Observe, meter: Meter) -> Effort:
    client = MqttClient(rig.address(bridge_user(BRIDGE)), f"bridge-{BRIDGE}")
    wiring = BridgeWiring(
        name=BRIDGE,
        protocol="bench",
        plant=plant,
        places=plant.served_by(BRIDGE),
        home=CELL,
        outbox=Outbox(folder / "bridge.sqlite"),
        client=client,
        clock=wall_ms,
    )

    async with client, asyncio.TaskGroup() as tasks:
        running = tasks.create_task(BridgeRunner(wiring).run(observe(asyncio.Queue())))
        effort = await meter.effort()
        running.cancel()
    return effort
