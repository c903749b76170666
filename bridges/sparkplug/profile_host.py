"""A host application to be examined: it follows every edge node, and does what it is told.

Owns the host's MQTT sessions, one a server, each online with the timestamp of its own will. Does
not know the hub: what the hub does with metrics stands in client.py and mapping.py.

    on                             connect, subscribe, say online
    off                            say offline, then DISCONNECT
    rebirth GROUP/NODE             NCMD that asks for all births
    rebirth GROUP/NODE/DEVICE      DCMD that asks for a device's
    write GROUP/NODE VALUE METRIC  NCMD with a value of a metric of the birth
    write GROUP/NODE/DEVICE VALUE METRIC
"""

import asyncio
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from bridges.sparkplug.profile import Line, Opening, Say, UnknownWord, Version
from bridges.sparkplug.profile_forgive import Forgiven, forgive
from uns.mqtt.message import Address, Message
from uns.sparkplug import state
from uns.sparkplug.catalogue import Catalogue
from uns.sparkplug.datatype import DataType
from uns.sparkplug.host import HostLimits, HostSession, rebirth_command
from uns.sparkplug.outputs import (
    HostOutput,
    Ignored,
    MetricValue,
    Online,
    Publish,
    RebirthRequest,
    Rejected,
    Stale,
)
from uns.sparkplug.payload import encode
from uns.sparkplug.topic import NAMESPACE, MessageType, device_topic, node_topic, state_topic
from uns.sparkplug.values import Metric, Payload, Value

DEVICE_REBIRTH: Final = "Device Control/Rebirth"
NODE_LEVELS: Final = 2
DEVICE_LEVELS: Final = 3
PAUSE_S: Final = 1.0


@dataclass(frozen=True, slots=True)
class HostOptions:
    """Which host to be, on which servers at once; the times are milliseconds.

    forgive: leave unreadable metrics out, where a host that conforms asks for all births.
    """

    host_id: str
    servers: Sequence[Address]
    version: Version = "3.1.1"
    reorder_timeout_ms: int = 2_000
    rebirth_interval_ms: int = 5_000
    forgive: bool = False


class HostProfile:
    """One host application that obeys `order`; what it sees is told to `say`.

    clock: UTC in ms.
    """

    def __init__(self, options: HostOptions, clock: Callable[[], int], say: Say) -> None:
        self._servings = [_Serving(options, server, clock, say) for server in options.servers]
        self._clock = clock
        self._say = say
        self._lives: list[asyncio.Task[None]] = []
        self._words = {
            "on": self._on,
            "off": self._off,
            "rebirth": self._rebirth,
            "write": self._write,
        }

    async def order(self, line: str) -> None:
        """Do what a line says; raises UnknownWord or a SparkplugError when that cannot be."""
        word, _, rest = line.strip().partition(" ")
        if word not in self._words:
            raise UnknownWord(word, self._words)
        await self._words[word](rest.strip())

    async def close(self) -> None:
        """Leave as on `off`."""
        await self._off("")

    async def _on(self, _rest: str) -> None:
        if not self._lives:
            self._lives = [asyncio.create_task(serving.live()) for serving in self._servings]

    async def _off(self, _rest: str) -> None:
        lives, self._lives = self._lives, []
        for life in lives:
            life.cancel()
        if lives:
            await asyncio.wait(lives)

    async def _rebirth(self, rest: str) -> None:
        group, edge_node, device = _place(rest)
        now_ms = self._clock()
        if device is None:
            await self._send(rebirth_command(group, edge_node, now_ms))
            return
        asked = Metric(DEVICE_REBIRTH, value=True, datatype=DataType.BOOLEAN, timestamp_ms=now_ms)
        topic = device_topic(group, MessageType.DCMD, edge_node, device)
        await self._send(Publish(topic, encode(Payload((asked,), now_ms)), qos=0, retain=False))

    async def _write(self, rest: str) -> None:
        place, _, rest = rest.partition(" ")
        value, _, name = rest.strip().partition(" ")
        group, edge_node, device = _place(place)
        for serving in self._servings:
            catalogue = serving.catalogue(group, edge_node, device)
            if catalogue and name in catalogue.names:
                metric = _written(catalogue, name, _parsed(value), self._clock())
                await self._send(_command(group, edge_node, device, metric))
                return
        self._say("no such metric born", place=place, metric=name)

    async def _send(self, message: Publish) -> None:
        for serving in self._servings:
            await serving.send(message)
        self._say("sent", topic=message.topic)


class _Serving:
    """The host on one server: its session there, and what it believes of the nodes there."""

    def __init__(
        self, options: HostOptions, server: Address, clock: Callable[[], int], say: Say
    ) -> None:
        self._options = options
        self._server = server
        self._clock = clock
        self._say = say
        self._line: Line | None = None
        self._session = HostSession(
            HostLimits(
                reorder_timeout_ms=options.reorder_timeout_ms,
                rebirth_interval_ms=options.rebirth_interval_ms,
            )
        )

    async def live(self) -> None:
        """One MQTT session after another, each with its own timestamp."""
        while True:
            await self._connect(self._clock())
            self._tell(self._session.disconnected(self._clock()))
            await asyncio.sleep(PAUSE_S)

    async def send(self, message: Publish) -> None:
        """Send a command, if there is a session."""
        if self._line:
            await self._line.send(message)

    def catalogue(self, group: str, edge_node: str, device: str | None) -> Catalogue | None:
        """What the birth of a node or device on this server declared."""
        node = self._session.nodes.get((group, edge_node))
        birth = node.places.get(device) if node else None
        return birth.catalogue if birth else None

    async def _connect(self, at_ms: int) -> None:
        async with Line(self._server, self._opening(at_ms), with_will=False) as line:
            if not await line.stands():
                self._say("no session", server=f"{self._server.host}:{self._server.port}")
                return
            await line.send(state.online(self._options.host_id, at_ms))
            self._line = line
            self._say("online", server=f"{self._server.host}:{self._server.port}")
            try:
                await self._serve(line, at_ms)
            finally:
                self._line = None
                if line.up.is_set():
                    await line.send(state.offline(self._options.host_id, self._clock()))
                self._say("offline")

    def _opening(self, at_ms: int) -> Opening:
        host_id = self._options.host_id
        filters = [f"{NAMESPACE}/#", state_topic(host_id)]
        will = state.offline(host_id, at_ms)
        return Opening(f"host-{host_id}", will, filters, self._options.version)

    async def _serve(self, line: Line, at_ms: int) -> None:
        while not line.lost.is_set():
            for message in await line.heard():
                await self._take(message, line, at_ms)
            wake_ms = self._session.wake_at_ms
            if wake_ms is not None and wake_ms <= self._clock():
                await self._act(self._session.tick(self._clock()), line)

    async def _take(self, message: Message, line: Line, at_ms: int) -> None:
        topic, payload = message.topic, message.payload
        said = state.answer(self._options.host_id, topic, payload, at_ms)
        if said and not message.retain:
            await line.send(said)
        left = self._forgiven(topic, payload)
        for why in left.reasons:
            self._say("left out", topic=topic, why=why)
        now_ms = self._clock()
        outputs = self._session.receive(topic, left.raw, now_ms, retained=message.retain)
        await self._act(outputs, line)

    def _forgiven(self, topic: str, raw: bytes) -> Forgiven:
        return forgive(self._session.nodes, topic, raw) if self._options.forgive else Forgiven(raw)

    async def _act(self, outputs: Sequence[HostOutput], line: Line) -> None:
        self._tell(outputs)
        for output in outputs:
            if isinstance(output, RebirthRequest):
                await line.send(rebirth_command(output.group, output.edge_node, self._clock()))

    def _tell(self, outputs: Sequence[HostOutput]) -> None:
        for output in outputs:
            match output:
                case Online(group, edge_node, device):
                    self._say("born", place=_named(group, edge_node, device))
                case Stale(group, edge_node, device, at_ms, reason):
                    self._say(
                        "stale", place=_named(group, edge_node, device), at_ms=at_ms, why=reason
                    )
                case MetricValue(group, edge_node, device, name, value):
                    place = _named(group, edge_node, device)
                    self._say("value", place=place, metric=name, value=value)
                case RebirthRequest(group, edge_node):
                    self._say("rebirth asked", place=_named(group, edge_node, None))
                case Rejected(reason, topic) | Ignored(reason, topic):
                    self._say(type(output).__name__.lower(), topic=topic, why=reason)


def _place(text: str) -> tuple[str, str, str | None]:
    levels = text.split("/")
    if len(levels) not in (NODE_LEVELS, DEVICE_LEVELS):
        raise UnknownWord(text, ("GROUP/NODE", "GROUP/NODE/DEVICE"))
    return levels[0], levels[1], levels[2] if len(levels) == DEVICE_LEVELS else None


def _named(group: str, edge_node: str, device: str | None) -> str:
    return "/".join(filter(None, (group, edge_node, device)))


def _parsed(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text


def _written(catalogue: Catalogue, name: str, value: Value, now_ms: int) -> Metric:
    """The metric of a command: by alias where the birth gave one, else by name."""
    bound = catalogue.names[name]
    alias = next((each for each, one in catalogue.aliases.items() if one is bound), None)
    return Metric(name if alias is None else None, value, bound.datatype, now_ms, alias)


def _command(group: str, edge_node: str, device: str | None, metric: Metric) -> Publish:
    now_ms = metric.timestamp_ms
    if device is None:
        topic = node_topic(group, MessageType.NCMD, edge_node)
    else:
        topic = device_topic(group, MessageType.DCMD, edge_node, device)
    return Publish(topic, encode(Payload((metric,), now_ms)), qos=0, retain=False)
