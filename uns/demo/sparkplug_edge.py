"""A PLC behind a Sparkplug B edge node: births, data by exception, births again on request.

Owns the MQTT sessions of the edge node: each has its own bd_seq and will. What changes while
there is no session is not kept: the next birth has the newest values, and counters cumulate.
"""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, TypeGuard

from uns.demo.pace import Clock
from uns.demo.plc import INTEGERS, TEXTS, TagName, Values
from uns.model.observation import Scalar
from uns.model.plant import Place, TagSpec
from uns.mqtt.client import MqttClient
from uns.mqtt.message import Address, Session, Will
from uns.sparkplug.datatype import DataType
from uns.sparkplug.edge import Change, Command, EdgeNode, next_bd_seq
from uns.sparkplug.node import SEQ_MODULUS
from uns.sparkplug.outputs import Publish
from uns.sparkplug.topic import NAMESPACE, MessageType
from uns.sparkplug.values import Metric, Value

BD_SEQ_FILE: Final = "bd_seq"
KEEPALIVE_S: Final = 5
Device = str | None


@dataclass(slots=True)
class _Tag:
    """A metric of the edge node and its newest value."""

    device: Device
    metric: str
    datatype: DataType
    writable: bool
    value: Scalar = None
    at_ms: int = 0


class SparkplugEdge:
    """The edge node of one bridge's cells; `settings` are the bridge's (group, edge_node).

    folder: keeps the bd_seq over restarts.
    """

    def __init__(
        self,
        places: Mapping[str, Place],
        settings: Mapping[str, Any],
        broker: Address,
        clock: Clock,
        folder: Path,
    ) -> None:
        self._group: str = settings["group"]
        self._edge_node: str = settings["edge_node"]
        self._broker = broker
        self._clock = clock
        self._bd_seq_path = folder / BD_SEQ_FILE
        self._tags = {
            TagName(path, tag): _tag(spec)
            for path, place in places.items()
            for tag, spec in place.cell.tags.items()
        }
        self._changed: dict[TagName, None] = {}
        self._wake = asyncio.Event()
        self._births_wanted = False
        self._life: asyncio.Task[None] | None = None

    async def start(self, values: Values, at_ms: int) -> None:
        """Begin to connect, in the background."""
        await self.write(values, at_ms)
        self._life = asyncio.create_task(self._run())

    async def write(self, changes: Values, at_ms: int) -> None:
        """Take new values; a session that is up sends them in this order."""
        for name, value in changes.items():
            self._tags[name].value, self._tags[name].at_ms = value, at_ms
            self._changed[name] = None
        self._wake.set()

    async def stop(self) -> None:
        """Say goodbye with an NDEATH, if there is a session."""
        if self._life:
            self._life.cancel()
            await asyncio.wait({self._life})

    async def _run(self) -> None:
        while True:
            await self._session(EdgeNode(self._group, self._edge_node, self._next_bd_seq()))

    def _next_bd_seq(self) -> int:
        path = self._bd_seq_path
        last = int(path.read_text()) if path.exists() else SEQ_MODULUS - 1
        path.write_text(str(next_bd_seq(last)))
        return next_bd_seq(last)

    async def _session(self, edge: EdgeNode) -> None:
        """One MQTT session, from its connect to its loss."""
        over = asyncio.Event()

        async def serve(_session: Session) -> None:
            if over.is_set():
                return  # the client came back by itself, with a will of the past
            try:
                await self._serve(edge, client)
            finally:
                over.set()

        client = self._client(edge)
        client.on_connect = serve
        async with client:
            try:
                await over.wait()
            except asyncio.CancelledError:
                await _send(client, edge.death())
                raise

    def _client(self, edge: EdgeNode) -> MqttClient:
        will = edge.will()
        return MqttClient(
            self._broker,
            f"edge-{self._group}-{self._edge_node}",
            clean_session=True,
            will=Will(will.topic, will.payload, qos=1, retain=will.retain),
            keepalive_s=KEEPALIVE_S,
        )

    async def _serve(self, edge: EdgeNode, client: MqttClient) -> None:
        """Births, then data and births on request; cancelled when the connection is lost."""
        place = f"{NAMESPACE}/{self._group}"
        await client.subscribe(
            [
                f"{place}/{MessageType.NCMD}/{self._edge_node}",
                f"{place}/{MessageType.DCMD}/{self._edge_node}/+",
            ]
        )
        self._births_wanted = True
        self._wake.set()
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._listen(edge, client))
            tasks.create_task(self._speak(edge, client))

    async def _listen(self, edge: EdgeNode, client: MqttClient) -> None:
        async for batch in client.batches():
            for message in batch:
                command = edge.command(message.topic, message.payload)
                if isinstance(command, Command):
                    self._obey(command)
            client.ack(batch)

    def _obey(self, command: Command) -> None:
        """Births when wanted; a writable metric takes the value and shows it, others ignore it."""
        self._births_wanted |= command.rebirth
        for write in command.writes:
            for name, tag in self._tags.items():
                place = (tag.device, tag.metric)
                if tag.writable and place == (write.device, write.name) and _is_scalar(write.value):
                    tag.value, tag.at_ms = write.value, self._clock()
                    self._changed[name] = None
        self._wake.set()

    async def _speak(self, edge: EdgeNode, client: MqttClient) -> None:
        """The only one that makes messages with a seq, so that they leave in its order."""
        while True:
            await self._wake.wait()
            self._wake.clear()
            changed, self._changed = self._changed, {}
            if self._births_wanted:
                self._births_wanted = False
                await self._send_births(edge, client)
            else:
                await self._send_changes(edge, client, changed)

    async def _send_births(self, edge: EdgeNode, client: MqttClient) -> None:
        devices = dict.fromkeys(tag.device for tag in self._tags.values() if tag.device)
        await _send(client, edge.node_birth(self._metrics(None), self._clock()))
        for device in devices:
            await _send(client, edge.device_birth(device, self._metrics(device), self._clock()))

    def _metrics(self, device: Device) -> list[Metric]:
        return [
            Metric(tag.metric, tag.value, tag.datatype, tag.at_ms)
            for tag in self._tags.values()
            if tag.device == device
        ]

    async def _send_changes(
        self, edge: EdgeNode, client: MqttClient, changed: Mapping[TagName, None]
    ) -> None:
        by_device: dict[Device, list[Change]] = {}
        for name in changed:
            tag = self._tags[name]
            change = Change(tag.metric, tag.value, tag.at_ms)
            by_device.setdefault(tag.device, []).append(change)
        for device, changes in by_device.items():
            await _send(client, edge.data(changes, self._clock(), device))


def _tag(spec: TagSpec) -> _Tag:
    writable = spec.writable is not None
    return _Tag(spec.source.get("device"), spec.source["metric"], _datatype(spec), writable)


def _is_scalar(value: Value) -> TypeGuard[Scalar]:
    return value is None or isinstance(value, bool | int | float | str)


def _datatype(spec: TagSpec) -> DataType:
    if spec.role in TEXTS:
        return DataType.STRING
    return DataType.UINT32 if spec.role in INTEGERS else DataType.DOUBLE


async def _send(client: MqttClient, message: Publish) -> None:
    await client.send(
        message.topic, message.payload, qos=1 if message.qos else 0, retain=message.retain
    )
