"""An edge node to be examined: it does what it is told, for a run of a conformance kit.

Owns one edge node with invented devices, its MQTT sessions (a bd_seq and a will for each) and the
words it obeys. Does not know the hub: the hub's own edge node stands in a folder of its own.

    on               connect, with all devices; with a primary host, births follow its STATE
    off              NDEATH, then DISCONNECT (MQTT 5: with the reason that sends the will too)
    data [DEVICE]    a new value of the node, or of a device
    bad [DEVICE]     a new value of bad quality
    history [DEVICE] old values, oldest first, marked as history
    death DEVICE     DDEATH
    birth DEVICE     DBIRTH
    rebirth          all births again

The births hold only data types that every version of the public kit reads as the specification
does: no UInt32, no property of type String, no Quality (which `bad` sends as DATA).
"""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import cycle
from pathlib import Path
from typing import Final

from bridges.sparkplug.profile import Line, Opening, Say, UnknownWord, Version
from uns.mqtt.message import Address, Message
from uns.sparkplug.datatype import DataType
from uns.sparkplug.edge import Change, Command, EdgeNode, next_bd_seq
from uns.sparkplug.naming import Descriptor, client_id
from uns.sparkplug.node import SEQ_MODULUS
from uns.sparkplug.outputs import Publish
from uns.sparkplug.primary import PrimaryHost
from uns.sparkplug.topic import NAMESPACE, STATE, MessageType, state_topic
from uns.sparkplug.values import (
    QUALITY_GOOD,
    DataSet,
    Metric,
    Parameter,
    Property,
    Template,
    Value,
)

HISTORY: Final = 3
STEP_MS: Final = 1_000
QUALITY_BAD: Final = 0
PAUSE_S: Final = 0.5
STATE_WAIT_S: Final = 2.0
MESSAGE_AGE_S: Final = 0.002
"""A message leaves in a later millisecond than its timestamp, as kits expect that compare by <."""
COUNT: Final = "Count"
MACHINE: Final = "Machine"
_MEMBERS: Final = (
    Metric("speed", 0, DataType.INT16),
    Metric("on", value=False, datatype=DataType.BOOLEAN),
)
_PARAMETERS: Final = (Parameter("poles", DataType.INT32, 4),)
_DEFINITION: Final = Template(_MEMBERS, _PARAMETERS, version="1", is_definition=True)
_NODE: Final = (
    Metric(COUNT, 0, DataType.INT32),
    Metric("Set Point", 20.0, DataType.DOUBLE),
    Metric("Spare", None, DataType.STRING),
    Metric(MACHINE, _DEFINITION, DataType.TEMPLATE),
)
_RANGE: Final = {
    "engLow": Property(DataType.DOUBLE, -40.0),
    "engHigh": Property(DataType.DOUBLE, 85.0),
}
_TABLE: Final = DataSet(
    ("id", "name"), (DataType.UINT32, DataType.STRING), ((1, "left"), (2, "right"))
)
_DEVICE: Final = (
    Metric(COUNT, 0, DataType.INT32),
    Metric("Set Point", -5, DataType.INT32),
    Metric("Running", value=True, datatype=DataType.BOOLEAN),
    Metric("Temperature", 21.5, DataType.FLOAT, properties=_RANGE),
    Metric("Table", _TABLE, DataType.DATASET),
    Metric("Motor", Template(_MEMBERS, _PARAMETERS, MACHINE, version="1"), DataType.TEMPLATE),
)


@dataclass(frozen=True, slots=True)
class EdgeOptions:
    """Which edge node to be, where.

    servers: tried one after another, never two at a time.
    primary_host: whose STATE is waited for before the births.
    bd_seq: a file that keeps it over restarts; without one it begins at 0.
    """

    group: str
    edge_node: str
    devices: Sequence[str]
    servers: Sequence[Address]
    primary_host: str | None = None
    version: Version = "3.1.1"
    bd_seq: Path | None = None


class EdgeProfile:
    """One edge node that obeys `order`; what happens to it is told to `say`.

    clock: UTC in ms.
    """

    def __init__(self, options: EdgeOptions, clock: Callable[[], int], say: Say) -> None:
        self._options = options
        self._clock = clock
        self._say = say
        self._bd_seq = _last_bd_seq(options.bd_seq)
        self._values: dict[str | None, dict[str, Metric]] = {
            device: {metric.name or "": metric for metric in (_DEVICE if device else _NODE)}
            for device in (None, *options.devices)
        }
        self._dead: set[str | None] = set()
        self._count = 0
        host = options.primary_host
        self._hosts = {server: PrimaryHost(host) for server in options.servers} if host else {}
        self._turn = asyncio.Lock()
        self._line: Line | None = None
        self._node = EdgeNode(options.group, options.edge_node, 0)
        self._life: asyncio.Task[None] | None = None
        self._words = {
            "on": self._on,
            "off": self._off,
            "data": self._data,
            "bad": self._bad,
            "history": self._history,
            "death": self._death,
            "birth": self._birth,
            "rebirth": self._births,
        }

    async def order(self, line: str) -> None:
        """Do what a line says; raises UnknownWord, or SessionError when it is not the time."""
        word, _, rest = line.strip().partition(" ")
        if word not in self._words:
            raise UnknownWord(word, self._words)
        device = rest.strip() or None
        if device not in self._values or (device is None and word in ("death", "birth")):
            raise UnknownWord(rest, self._options.devices)
        await self._words[word](device)

    async def close(self) -> None:
        """Leave as on `off`."""
        await self._off(None)

    # --- words

    async def _on(self, _device: str | None) -> None:
        if self._life is None:
            self._dead.clear()
            self._life = asyncio.create_task(self._live())

    async def _off(self, _device: str | None) -> None:
        life, self._life = self._life, None
        if life:
            life.cancel()
            await asyncio.wait({life})

    async def _data(self, device: str | None) -> None:
        await self._step(device, QUALITY_GOOD)

    async def _bad(self, device: str | None) -> None:
        await self._step(device, QUALITY_BAD)

    async def _step(self, device: str | None, quality: int) -> None:
        self._count += 1
        change = Change(COUNT, self._count, self._clock(), quality=quality)
        await self._tell(device, [change])

    async def _history(self, device: str | None) -> None:
        begin_ms = self._clock() - HISTORY * STEP_MS
        async with self._turn:
            changes = [
                Change(COUNT, step, begin_ms + step * STEP_MS, is_historical=True)
                for step in range(HISTORY)
            ]
            await self._publish(self._node.data(changes, self._clock(), device))

    async def _death(self, device: str | None) -> None:
        async with self._turn:
            await self._publish(self._node.device_death(device or "", self._clock()))
            self._dead.add(device)

    async def _birth(self, device: str | None) -> None:
        async with self._turn:
            await self._publish(self._device_birth(device or ""))
            self._dead.discard(device)

    async def _births(self, _device: str | None) -> None:
        async with self._turn:
            metrics = list(self._values[None].values())
            await self._publish(self._node.node_birth(metrics, self._clock()))
            for device in self._options.devices:
                if device not in self._dead:
                    await self._publish(self._device_birth(device))
        self._say("births", bd_seq=self._node.bd_seq)

    # --- messages, made and handed over in one turn, so that seq is their order

    async def _tell(self, device: str | None, changes: Sequence[Change]) -> None:
        async with self._turn:
            await self._publish(self._node.data(changes, self._clock(), device))
            for change in changes:
                self._keep(device, change.name, change.value, change.timestamp_ms)

    async def _publish(self, message: Publish) -> None:
        if self._line is None:
            self._node.refused()
            self._say("not connected")
        else:
            await asyncio.sleep(MESSAGE_AGE_S)
            await self._line.send(message)

    def _device_birth(self, device: str) -> Publish:
        return self._node.device_birth(device, list(self._values[device].values()), self._clock())

    def _keep(self, device: str | None, name: str, value: Value, at_ms: int) -> None:
        metric = self._values[device][name]
        self._values[device][name] = metric._replace(value=value, timestamp_ms=at_ms)

    # --- sessions

    async def _live(self) -> None:
        for server in cycle(self._options.servers):
            self._bd_seq = next_bd_seq(self._bd_seq)
            if self._options.bd_seq:
                self._options.bd_seq.write_text(str(self._bd_seq))
            if not await self._session(server):
                await asyncio.sleep(PAUSE_S)

    async def _session(self, server: Address) -> bool:
        """One MQTT session, until it is lost, the primary host goes, or `off`; tells if born."""
        self._node = EdgeNode(self._options.group, self._options.edge_node, self._bd_seq)
        async with Line(server, self._opening(), with_will=self._options.version == "5") as line:
            if not await line.stands():
                self._say("no session", server=f"{server.host}:{server.port}", why=line.trouble)
                return False
            self._line = line
            self._say("connected", server=f"{server.host}:{server.port}", bd_seq=self._bd_seq)
            try:
                await self._serve(line, server)
                return self._node.is_born()
            finally:
                async with self._turn:
                    self._line = None
                    if line.up.is_set():
                        await line.send(self._node.death())
                self._say("disconnected")

    def _opening(self) -> Opening:
        group, edge_node = self._options.group, self._options.edge_node
        host = self._options.primary_host
        filters = [
            f"{NAMESPACE}/{group}/{MessageType.NCMD}/{edge_node}",
            f"{NAMESPACE}/{group}/{MessageType.DCMD}/{edge_node}/+",
            state_topic(host) if host else f"{NAMESPACE}/{STATE}/+",
        ]
        called = client_id(Descriptor(group, edge_node))
        return Opening(called, self._node.will(), filters, self._options.version)

    async def _serve(self, line: Line, server: Address) -> None:
        """Send the births when they may be sent, then obey; ends with the session."""
        host = self._hosts.get(server)
        if host:
            host.forget()
        else:
            await self._births(None)
        clock = asyncio.get_running_loop().time
        end_s = clock() + STATE_WAIT_S
        while not line.lost.is_set() and not (clock() > end_s and self._waits_in_vain()):
            for message in await line.heard():
                if message.topic.split("/")[1] != STATE:
                    await self._obey(message)
                elif host and not await self._follow(message, host):
                    return

    def _waits_in_vain(self) -> bool:
        """Tell whether the primary host may be at another server."""
        return len(self._hosts) > 1 and not self._node.is_born()

    async def _follow(self, message: Message, host: PrimaryHost) -> bool:
        """Take the primary host's STATE; False when it is gone and so must we be."""
        if why := host.hear(message.payload):
            self._say("ignored", topic=message.topic, why=why)
            return True
        self._say("primary host", online=host.is_online)
        if host.is_online and not self._node.is_born():
            await self._births(None)
        return bool(host.is_online) or not (self._node.is_born() or len(self._hosts) > 1)

    async def _obey(self, message: Message) -> None:
        command = self._node.command(message.topic, message.payload)
        if not isinstance(command, Command):
            self._say("refused", topic=message.topic, why=command.reason)
            return
        for write in command.writes:
            self._say("written", device=write.device, metric=write.name, value=write.value)
            await self._tell(write.device, [Change(write.name, write.value, self._clock())])
        if command.rebirth:
            await self._births(None)


def _last_bd_seq(file: Path | None) -> int:
    return int(file.read_text()) if file and file.exists() else SEQ_MODULUS - 1
