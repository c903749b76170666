"""A restart of the bridge while 14 edge nodes go on publishing alias-only data."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, aclosing, asynccontextmanager
from pathlib import Path
from typing import Any, Final

from bridges.sparkplug.client import observe
from bridges.sparkplug.config import SparkplugSettings
from tests.brokers import RunningBroker, bounded, unique
from uns.model.observation import BadInput, Link, Observation, Reading, SetPoint
from uns.model.plant import Place, Plant
from uns.mqtt.client import MqttClient
from uns.mqtt.message import Will
from uns.sparkplug.datatype import DataType
from uns.sparkplug.edge import Change, EdgeNode
from uns.sparkplug.errors import DecodeError
from uns.sparkplug.outputs import Publish
from uns.sparkplug.payload import decode
from uns.sparkplug.topic import MessageType, Topic, parse
from uns.sparkplug.values import Metric, Value

NODES: Final = 14
GROUP, DEVICE = "acme:berlin:hall", "cell"
TAGS: Final = ("count", "speed", "text")
SETTINGS = SparkplugSettings(rebirth_interval_ms=200, start_jitter_ms=100)


def wall_ms() -> int:
    return int(time.time() * 1000)


def places() -> dict[str, Place]:
    """Lines `line-0` to `line-13`, named by the map alone."""
    cell: dict[str, Any] = {"ideal_cycle_ms": {}, "tags": {tag: {"source": {}} for tag in TAGS}}
    lines = {
        f"line-{n}": {"bridge": "edges", "bottleneck": DEVICE, "cells": {DEVICE: cell}}
        for n in range(NODES)
    }
    shift = {"rrule": "FREQ=DAILY", "duration_min": 480}
    site = {"time_zone": "UTC", "shifts": {"early": shift}, "areas": {"hall": {"lines": lines}}}
    document: dict[str, Any] = {
        "namespace": 1,
        "enterprise": "acme",
        "sites": {"berlin": site},
        "items": {},
        "bridges": {"edges": {"protocol": "sparkplug"}},
    }
    return Plant.model_validate(document).served_by("edges")


class Edge:
    """An edge node that is born once and answers no rebirth request, but counts them."""

    def __init__(self, client: MqttClient, node: EdgeNode) -> None:
        self.client, self.node = client, node
        self.sent = 0

    async def births(self) -> None:
        await self._send(self.node.node_birth([], wall_ms()))
        metrics = (
            Metric("count", 0, DataType.UINT32),
            Metric("speed", 0.0, DataType.DOUBLE),
            Metric("text", "0", DataType.STRING),
        )
        await self._send(self.node.device_birth(DEVICE, metrics, wall_ms()))

    async def data(self) -> None:
        self.sent += 1
        values: tuple[Value, ...] = (self.sent, self.sent / 2, str(self.sent))
        changes = [Change(tag, value, wall_ms()) for tag, value in zip(TAGS, values, strict=True)]
        message = self.node.data(changes, wall_ms(), DEVICE)
        payload = decode(message.payload)
        assert not isinstance(payload, DecodeError)
        assert all(m.name is None and m.datatype is None for m in payload.metrics)
        await self._send(message)

    async def _send(self, message: Publish) -> None:
        await self.client.publish(message.topic, message.payload, qos=0, retain=False)


@asynccontextmanager
async def edges(broker: RunningBroker) -> AsyncIterator[list[Edge]]:
    async with AsyncExitStack() as stack:
        made = []
        for n in range(NODES):
            node = EdgeNode(GROUP, f"line-{n}", 0)
            will = Will(node.will().topic, node.will().payload, qos=1, retain=False)
            client = MqttClient(broker.address(), unique("edge"), clean_session=True, will=will)
            await stack.enter_async_context(client)
            await client.ready()
            made.append(Edge(client, node))
        yield made


class Told:
    """What a bridge tells while it runs."""

    def __init__(self, broker: RunningBroker, births: Path) -> None:
        queue: asyncio.Queue[SetPoint] = asyncio.Queue()
        self._broker, self._births, self._queue = broker, births, queue
        self.all: list[Observation] = []

    async def until_shown(self, wanted: int) -> None:
        """Run the bridge until each node's `count` is at least `wanted`."""
        counts: dict[str, int] = {}
        address = self._broker.address()  # who may write everything: a request would be seen
        told = observe(SETTINGS, places(), wall_ms, address, self._queue, self._births)
        async with aclosing(told):
            async for batch in told:
                self.all += batch
                readings = [o for o in batch if isinstance(o, Reading) and o.tag == "count"]
                counts |= {o.cell: o.value for o in readings if isinstance(o.value, int)}
                if len(counts) == NODES and min(counts.values()) >= wanted:
                    return


async def publishing(nodes: list[Edge]) -> None:
    while True:
        for node in nodes:
            await node.data()
        await asyncio.sleep(0.02)


@bounded
async def test_a_restart_costs_no_rebirth_request_and_every_metric_is_decoded(
    mosquitto: RunningBroker, tmp_path: Path
) -> None:
    async with (
        edges(mosquitto) as nodes,
        MqttClient(mosquitto.address(), unique("witness"), clean_session=True) as witness,
    ):
        before, after = Told(mosquitto, tmp_path), Told(mosquitto, tmp_path)
        first = asyncio.create_task(before.until_shown(2))
        await witness.subscribe(["spBv1.0/STATE/uns-hub"])
        while b"true" not in (await witness.receive())[0].payload:
            pass
        for node in nodes:
            await node.births()
        going = asyncio.create_task(publishing(nodes))
        try:
            await first
            seen_before = nodes[0].sent
            await witness.subscribe(["spBv1.0/+/NCMD/+", "spBv1.0/+/DCMD/+/+"])
            await after.until_shown(nodes[0].sent + 20)
        finally:
            going.cancel()
        assert nodes[0].sent >= seen_before + 20
        received = await witness.receive(timeout_s=0.5)
    commands = [m.topic for m in received if is_command(m.topic)]
    assert commands == []
    assert not [o for o in after.all if isinstance(o, BadInput)]
    links = [o for o in after.all if isinstance(o, Link) and o.endpoint.endswith(DEVICE)]
    assert [o.up for o in links] == [True] * NODES
    readings = [o for o in after.all if isinstance(o, Reading)]
    assert all(o.quality == "good" for o in readings)
    for tag in TAGS:
        assert len({o.cell for o in readings if o.tag == tag}) == NODES
    assert len(readings) % len(TAGS) == 0
    counts = [o.value for o in readings if o.cell == readings[0].cell and o.tag == "count"]
    assert counts == list(range(int(str(counts[0])), int(str(counts[0])) + len(counts)))


def is_command(topic: str) -> bool:
    where = parse(topic)
    return isinstance(where, Topic) and where.message_type in (MessageType.NCMD, MessageType.DCMD)
