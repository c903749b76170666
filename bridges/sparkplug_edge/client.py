"""The Sparkplug edge bridge: reads tags on the hub's broker, shows each line as an edge node.

Owns the connection to the hub's broker and what was asked of the hub. Does not know Sparkplug's
order (uns.sparkplug.edge_session) or its connections (node.py), nor what a tag means (mapping.py).
"""

import asyncio
import logging
import secrets
from collections.abc import AsyncGenerator, Callable
from pathlib import Path
from typing import Final, NamedTuple, NoReturn, TypeAlias

from bridges.sparkplug_edge.config import SparkplugEdgeSettings
from bridges.sparkplug_edge.mapping import (
    EXPIRY_MS,
    Export,
    Refused,
    address_of,
    entry_of,
    exports,
    is_present,
    properties,
    request,
)
from bridges.sparkplug_edge.node import Hearers, Node, Route
from bridges.sparkplug_edge.store import Store
from uns.codec import Codec, Reject
from uns.codec import Message as Decoded
from uns.model.events import Reply, Tag
from uns.model.observation import Link, Observation
from uns.model.path import parent, to_dotted
from uns.model.plant import Plant
from uns.mqtt.client import MqttClient
from uns.mqtt.message import Address, Message, Outgoing
from uns.mqtt.paho_setup import V5, V311
from uns.sparkplug.edge import Write
from uns.sparkplug.edge_queue import BacklogLimits, Entry
from uns.sparkplug.edge_session import EdgeSession
from uns.sparkplug.edge_settings import EdgeSettings
from uns.sparkplug.naming import client_id

log = logging.getLogger(__name__)

HOUR_MS: Final = 3_600_000
REQUESTS_MAX: Final = 1_000
REQUEST_BYTES: Final = 8
Standings: TypeAlias = "asyncio.Queue[Link | None]"
"""None: the bridge has ended."""


class Hub(NamedTuple):
    """Where the tags are read and commands are sent: the hub's broker, as whom, by which name.

    speed: how many seconds of plant time pass in one of the wall's.
    """

    address: Address
    client_id: str
    speed: float = 1.0


class Requests:
    """What foreign hosts want written: on its way to the hub, and not answered yet.

    clock, speed: plant time in ms, in which a request expires.
    """

    def __init__(self, clock: Callable[[], int], speed: float) -> None:
        self.waiting: asyncio.Queue[Outgoing] = asyncio.Queue(REQUESTS_MAX)
        self._clock = clock
        self._life_ms = int(EXPIRY_MS * speed)
        self._asked: dict[str, str] = {}

    def ask(self, write: Write, export: Export) -> None:
        """Turn a write into a request; one that is none is said in the log."""
        request_id = f"spb-{secrets.token_hex(REQUEST_BYTES)}"
        asked = request(write, export, request_id, self._clock() + self._life_ms)
        if isinstance(asked, Refused):
            log.warning("%s: %s not written: %s", export.ids, write.name, asked.reason)
        elif self.waiting.full():
            log.error("%s: too many commands at once, %s not written", export.ids, write.name)
        else:
            self._asked[request_id] = asked.topic
            while len(self._asked) > REQUESTS_MAX:
                del self._asked[next(iter(self._asked))]
            self.waiting.put_nowait(asked)

    def answered(self, reply: Reply) -> None:
        """Say what became of a request of ours; the value itself comes back by its tag."""
        if topic := self._asked.pop(reply.request_id, None):
            log.info("%s %s: %s", topic, reply.outcome, reply.reason)


class Showing:
    """One line as an edge node: its tags by exception, its cells present or gone."""

    def __init__(self, export: Export, session: EdgeSession, clock: Callable[[], int]) -> None:
        self._session = session
        self._clock = clock
        self._last: dict[str, dict[str, Entry]] = {device: {} for device in export.cells}
        for device, place in export.cells.items():
            for tag in place.cell.tags:
                session.describe(device, tag, properties(place, tag))

    def take(self, entry: Entry) -> None:
        """Take a tag's value, unless it was said before."""
        cell = self._last.get(entry.device or "")
        if cell is None or cell.get(entry.name) == entry:
            return
        cell[entry.name] = entry
        now_ms = self._clock()
        present = is_present({name: one.quality for name, one in cell.items()})
        self._session.presence(entry.device or "", is_present=present, now_ms=now_ms)
        self._session.update(entry, now_ms)


class Line(NamedTuple):
    """What runs for one line."""

    export: Export
    showing: Showing
    node: Node
    store: Store


async def observe(
    settings: SparkplugEdgeSettings,
    plant: Plant,
    clock: Callable[[], int],
    hub: Hub,
    folder: Path,
) -> AsyncGenerator[list[Observation], None]:
    """The standing of each edge node as a link, for ever; what they say leaves by other ways.

    clock: plant time in ms. folder: keeps bd_seq and waiting values, a file an edge node.
    """
    standings: Standings = asyncio.Queue()
    requests = Requests(clock, hub.speed)
    lines = {
        export.line_path: _line(export, settings, clock, hub, folder, requests, standings)
        for export in exports(settings, plant)
    }
    life = asyncio.create_task(_live(lines, requests, Codec(plant), hub))
    life.add_done_callback(lambda _: standings.put_nowait(None))
    try:
        while link := await standings.get():
            yield [link]
        life.result()
    finally:
        life.cancel()
        await asyncio.gather(life, return_exceptions=True)
        for line in lines.values():
            line.store.close()


def _line(  # noqa: PLR0913, PLR0917 - everything a line is wired from
    export: Export,
    settings: SparkplugEdgeSettings,
    clock: Callable[[], int],
    hub: Hub,
    folder: Path,
    requests: Requests,
    standings: Standings,
) -> Line:
    limits = BacklogLimits(settings.store_values_max, settings.store_hours_max * HOUR_MS)
    store = Store(folder / f"{to_dotted(export.line_path)}.sqlite", limits)
    servers = [address_of(url) for url in settings.servers] or [hub.address]
    wanted = EdgeSettings(
        *export.ids, settings.primary_host, len(servers), settings.rebirth_interval_ms
    ).at_speed(hub.speed)
    session = EdgeSession(wanted, store, store.bd_seq)

    def standing(is_up: bool, reason: str | None) -> None:  # noqa: FBT001 - a callback's value
        log.info(
            "%s: %d values wait, %d dropped, %d without a metric",
            export.ids, len(store), store.dropped, session.unsendable,
        )  # fmt: skip
        standings.put_nowait(Link(str(export.ids), (), up=is_up, at_ms=clock(), reason=reason))

    def write(wanted: Write) -> None:
        requests.ask(wanted, export)

    version = V5 if settings.mqtt_version == 5 else V311  # noqa: PLR2004 - MQTT's own number
    route = Route(servers, client_id(export.ids), version)
    node = Node(session, store, route, clock, Hearers(standing, write))
    return Line(export, Showing(export, session, clock), node, store)


async def _live(lines: dict[str, Line], requests: Requests, codec: Codec, hub: Hub) -> None:
    async with (
        MqttClient(hub.address, hub.client_id, clean_session=True) as client,
        asyncio.TaskGroup() as tasks,
    ):
        for line in lines.values():
            tasks.create_task(line.node.run())
        tasks.create_task(_ask(client, requests))
        await client.subscribe([each for line in lines.values() for each in line.export.filters])
        async for batch in client.batches():
            for message in batch:
                _take(lines, requests, codec, message)
            client.ack(batch)


def _take(lines: dict[str, Line], requests: Requests, codec: Codec, message: Message) -> None:
    decoded = codec.decode(message.topic, message.payload, retain=message.retain)
    if isinstance(decoded, Reject):
        return  # the historian quarantines it
    match decoded:
        case Decoded(topic, Tag() as tag):
            line = lines[parent(topic.path, "line")]
            line.showing.take(entry_of(topic, tag))
            line.node.wake.set()
        case Decoded(_, Reply() as reply):
            requests.answered(reply)


async def _ask(client: MqttClient, requests: Requests) -> NoReturn:
    while True:
        asked = await requests.waiting.get()
        await client.publish(asked.topic, asked.payload)
