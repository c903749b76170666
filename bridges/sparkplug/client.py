"""The Sparkplug bridge: a host application that follows the edge nodes its tags are read from.

Owns what this host believes from its start to its end, over all its connections. Does not know
births, aliases or order (uns.sparkplug.host), what a metric means (mapping.py) or MQTT sessions
(connection.py). One message of an edge node is one batch, so that what it changed together is
seen together, and in order.
"""

import asyncio
import logging
from collections.abc import AsyncGenerator, Callable, Mapping
from pathlib import Path
from typing import Final

from bridges.sparkplug.births import BirthFolder
from bridges.sparkplug.config import SparkplugSettings
from bridges.sparkplug.connection import Connection, broker_of
from bridges.sparkplug.directory import Directory, Endpoint, NodeKey, directory_of
from bridges.sparkplug.mapping import down, endpoint_of, observations, unmapped
from bridges.sparkplug.writes import Writes, refused
from uns.model.observation import Observation, SetPoint, Written
from uns.model.plant import Place
from uns.mqtt.message import Address, Message
from uns.sparkplug.host import HostLimits, HostSession, rebirth_command, spread
from uns.sparkplug.outputs import (
    DropBirths,
    HostOutput,
    Ignored,
    KeepBirth,
    Online,
    RebirthRequest,
)
from uns.sparkplug.topic import Topic, certified, parse

log = logging.getLogger(__name__)

PATIENCE_S: Final = 2.0


async def observe(  # noqa: PLR0913, PLR0917 - what every bridge that writes is given
    settings: SparkplugSettings,
    places: Mapping[str, Place],
    clock: Callable[[], int],
    address: Address,
    set_points: asyncio.Queue[SetPoint],
    births: Path,
) -> AsyncGenerator[list[Observation], None]:
    """Batches of observations, for ever: one a message of an edge node.

    A link is up from the birth of its device on, or from its first DATA after a restart; the
    batch has a reading of every tag.
    clock: plant time in ms. address: the hub's own broker. set_points: what is to be written.
    births: the folder of the kept births; it is made when there is one to keep.
    """
    host = Host(settings, directory_of(settings, places), clock, BirthFolder(births))
    while True:
        connection = Connection(settings, broker_of(settings, address), clock)
        host.begin()
        async with connection.opened():
            while (heard := await connection.received()) or not connection.lost.is_set():
                for message in heard:
                    if told := await host.take(message, connection):
                        yield told
                if told := await host.write(set_points, connection):
                    yield told
                if told := await host.tick(connection):
                    yield told
        if told := host.disconnected():
            yield told


class Host:
    """What this host believes of its edge nodes, and what it has said of them."""

    def __init__(
        self,
        settings: SparkplugSettings,
        directory: Directory,
        clock: Callable[[], int],
        births: BirthFolder,
    ) -> None:
        self._settings = settings
        self._clock = clock
        self._directory = directory
        self._births = births
        self._session = _session(settings)
        self._writes = Writes(directory, settings.write_timeout_ms)
        self._greetings = Greetings(settings, directory)
        self._silent: dict[Endpoint, None] = dict.fromkeys(directory.by_endpoint)
        self._impatient_at_s = _loop_s() + PATIENCE_S
        self._ignored = ""
        self._unmapped: dict[Endpoint, list[str]] = {}
        self._recall()

    def begin(self) -> None:
        """Before each connect: plan when to ask whom."""
        self._greetings = Greetings(self._settings, self._directory)

    async def take(self, message: Message, connection: Connection) -> list[Observation]:
        """What a message says; edge nodes that no tag is read from are none of our business."""
        await connection.contradict(message)
        where = parse(certified(message.topic) or message.topic)
        if isinstance(where, Topic) and not self._directory.follows(where.group, where.edge_node):
            return []
        if message.retain and self._settings.restart == "rebirth":
            return []
        now_ms = self._clock()
        outputs = self._session.receive(
            message.topic, message.payload, now_ms, retained=message.retain
        )
        return await self._told(outputs, connection, now_ms)

    async def write(
        self, set_points: asyncio.Queue[SetPoint], connection: Connection
    ) -> list[Observation]:
        """Send the commands for what is to be written; what cannot be sent is told."""
        told = list[Observation]()
        while not set_points.empty():
            if written := await self._write(set_points.get_nowait(), connection):
                told.append(written)
        return told

    async def tick(self, connection: Connection) -> list[Observation]:
        """What the passing of time says: a gap stayed open, an answer or a birth never came."""
        now_ms = self._clock()
        wake_ms = self._session.wake_at_ms
        outputs = self._session.tick(now_ms) if wake_ms is not None and wake_ms <= now_ms else []
        told = await self._told(outputs, connection, now_ms)
        if connection.is_up:
            for node in self._greetings.due():
                told += await self._told(self._session.greet(*node, now_ms), connection, now_ms)
        told += self._writes.expired(now_ms, _steady_ms())
        return [*told, *self._missed(connection, now_ms)]

    def disconnected(self) -> list[Observation]:
        """What the loss of the broker says; no birth of before is believed any more."""
        now_ms = self._clock()
        return self._heard(self._session.disconnected(now_ms), now_ms)

    async def _write(self, asked: SetPoint, connection: Connection) -> Written | None:
        now_ms = self._clock()
        if self._settings.passive:
            return refused(asked, "the bridge is passive: it only listens", now_ms)
        if not connection.is_up:
            return refused(asked, f"no session with the broker: {connection.trouble}", now_ms)
        command = self._writes.command(asked, now_ms, _steady_ms())
        if isinstance(command, Written):
            return command
        await connection.send(command)
        return None

    def _recall(self) -> None:
        is_wanted = self._settings.restart == "catalogue"
        for birth in self._births.load():
            where = parse(birth.topic)
            if not isinstance(where, Topic):
                continue
            if is_wanted and self._directory.follows(where.group, where.edge_node):
                self._session.receive(*birth, self._clock(), retained=True)
            else:
                self._births.drop(DropBirths(where.group, where.edge_node, None))

    def _missed(self, connection: Connection, now_ms: int) -> list[Observation]:
        """Say once of whom nothing was heard since the start."""
        if not self._silent or _loop_s() < self._impatient_at_s:
            return []
        told = list[Observation]()
        for endpoint in self._silent:
            reason = self._silence(endpoint) if connection.is_up else connection.trouble
            log.warning("%s: %s", endpoint, reason)
            told += down(self._directory, endpoint, reason, now_ms)
        self._silent = {}
        return told

    def _silence(self, endpoint: Endpoint) -> str:
        node = self._session.nodes.get(endpoint[:2])
        is_kept = node is not None and endpoint.device in node.kept
        return "nothing heard since the start" if is_kept else "no birth of the edge node"

    async def _told(
        self, outputs: list[HostOutput], connection: Connection, now_ms: int
    ) -> list[Observation]:
        told = self._heard(outputs, now_ms)
        for output in outputs:
            if isinstance(output, RebirthRequest):
                await connection.send(rebirth_command(output.group, output.edge_node, now_ms))
        return told

    def _heard(self, outputs: list[HostOutput], now_ms: int) -> list[Observation]:
        for output in outputs:
            match output:
                case KeepBirth():
                    self._births.keep(output)
                case DropBirths():
                    self._births.drop(output)
                case Online():
                    self._silent.pop(endpoint_of(output), None)
                    self._log_unmapped(output)
                case Ignored(reason, topic) if reason != self._ignored:
                    self._ignored = reason
                    log.info("%s ignored: %s", topic, reason)
        told = observations(outputs, self._directory, now_ms)
        return [*told, *self._writes.answers(outputs)]

    def _log_unmapped(self, online: Online) -> None:
        endpoint, names = endpoint_of(online), unmapped(online, self._directory)
        if names != self._unmapped.get(endpoint, []):
            log.info("%s: no tag shows %s", endpoint, ", ".join(names) or "nothing more")
        self._unmapped[endpoint] = names


class Greetings:
    """When to ask which node for its births after a connect, if none is known by then."""

    def __init__(self, settings: SparkplugSettings, directory: Directory) -> None:
        jitter_s = settings.start_jitter_ms / 1000
        self._delay_s = {node: spread(*node) * jitter_s for node in directory.nodes}
        self._since_s: float | None = None

    def due(self) -> list[NodeKey]:
        """The nodes whose moment has come; the time runs from the first call."""
        now_s = _loop_s()
        if self._since_s is None:
            self._since_s = now_s
        due = [node for node, delay in self._delay_s.items() if self._since_s + delay <= now_s]
        for node in due:
            del self._delay_s[node]
        return due


def _session(settings: SparkplugSettings) -> HostSession:
    limits = HostLimits(
        reorder_timeout_ms=settings.reorder_timeout_ms,
        rebirth_interval_ms=settings.rebirth_interval_ms,
        start_jitter_ms_max=settings.start_jitter_ms,
    )
    return HostSession(limits, passive=settings.passive)


def _steady_ms() -> int:
    return int(_loop_s() * 1000)


def _loop_s() -> float:
    return asyncio.get_running_loop().time()
