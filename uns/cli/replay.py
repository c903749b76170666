"""`uns replay` says recorded events again, at the pace wanted.

To their own topics it is harmless: whoever has an event knows it by its source, epoch and seq. Tag
values have no such name, so that they are said below another enterprise only, and not retained.
"""

import asyncio
from collections import Counter
from contextlib import AsyncExitStack
from itertools import islice
from pathlib import Path
from typing import Final, NamedTuple

from uns.cli.errors import CommandError, UsageError
from uns.cli.folder import Folder, find_folder
from uns.cli.options import instant_ms, iso
from uns.cli.output import note, print_json, say
from uns.cli.reading import plant_time
from uns.cli.store import open_store
from uns.cli.subscribe import entered, visitor
from uns.codec import encode_document
from uns.historian.playback import Played, played
from uns.model.events import Event
from uns.model.path import SEGMENT
from uns.mqtt.acl import REPLAY, bridge_user
from uns.mqtt.client import MqttClient

OPERATOR: Final = "operator"
PROCESSOR: Final = "processor"
HEARD_TIMEOUT_S: Final = 3.0
BATCH: Final = 500


class Window(NamedTuple):
    """What to say again. `into`: the other enterprise; `speed` None: as fast as it goes."""

    from_ms: int
    to_ms: int
    enterprise: str
    into: str | None
    speed: float | None


class Said(NamedTuple):
    """A message as it is said now, and as which user."""

    received_ms: int
    topic: str
    payload: bytes
    user: str


def replay(
    span: tuple[str, str | None],
    into: str | None,
    speed: float | None,
    data: Path | None,
    *,
    as_json: bool,
) -> None:
    """Say recorded events again."""
    folder = find_folder(data)
    if not folder.running:
        raise CommandError(f"no hub runs on {folder.root}: start it with `uns demo` or `uns up`")
    now_ms, enterprise = plant_time(folder), folder.load_plant().enterprise
    from_ms, to_ms = (instant_ms(text, now_ms, now_ms) for text in span)
    window = Window(from_ms, to_ms, enterprise, into, speed)
    _check(window)
    counts = asyncio.run(_replay(folder, window))
    report = {"from": iso(window.from_ms), "to": iso(window.to_ms), **counts}
    if as_json:
        print_json(report)
    else:
        where = f"below {into}" if into else "at their own topics"
        say(f"said again {where}: {counts['events']} events, {counts['tags']} tag values")


def said_by(one: Played, window: Window) -> Said:
    """A recorded message as it is said now.

    Its own writer says an event; below another enterprise the operator does, with place and
    source of that enterprise.
    """
    if window.into is None:
        user = _writer(one.event) if one.event else OPERATOR
        return Said(one.received_ms, one.topic, one.payload, user)
    topic = _moved(one.topic, "/", window)
    if one.event is None:
        return Said(one.received_ms, topic, one.payload, OPERATOR)
    document = one.event.model_dump(mode="json")
    writer, _, place = one.event.source.rpartition(":")
    document["path"] = _moved(one.event.path, "/", window)
    document["source"] = f"{writer}:{_moved(place, '.', window)}"
    return Said(one.received_ms, topic, encode_document(document), OPERATOR)


def _check(window: Window) -> None:
    if window.from_ms > window.to_ms:
        raise UsageError("--from lies behind --to")
    if window.into is not None and not SEGMENT.fullmatch(window.into):
        raise UsageError(f"--into {window.into!r} is no enterprise: use a name such as {REPLAY}")
    if window.into == window.enterprise:
        raise UsageError(f"--into {window.into}: that is this plant; leave --into out")


async def _replay(folder: Folder, window: Window) -> dict[str, int]:
    async with AsyncExitStack() as stack:
        player = _Player(folder, window, stack)
        with open_store(folder) as reader:
            found = played(reader, window.from_ms, window.to_ms, tags=window.into is not None)
            while batch := await asyncio.to_thread(list, islice(found, BATCH)):
                for one in batch:
                    await player.say(one)
        return await player.end()


class _Player:
    """Says message by message, each as its user; connections are made when they are needed."""

    def __init__(self, folder: Folder, window: Window, stack: AsyncExitStack) -> None:
        self._folder = folder
        self._window = window
        self._stack = stack
        self._clients: dict[str, MqttClient | None] = {}
        self._counts = Counter(events=0, tags=0, skipped=0)
        self._began: tuple[float, int] | None = None

    async def say(self, one: Played) -> None:
        """Say a message when it is its time; what nobody here may say is counted as skipped."""
        said = said_by(one, self._window)
        client = await self._client_of(said)
        if client is None:
            self._counts["skipped"] += 1
            return
        await self._wait(said.received_ms)
        await client.send(said.topic, said.payload)
        self._counts["events" if one.event else "tags"] += 1

    async def end(self) -> dict[str, int]:
        """Wait until all is acknowledged; how many messages there were."""
        for client in filter(None, self._clients.values()):
            await client.drain()
        return dict(self._counts)

    async def _client_of(self, said: Said) -> MqttClient | None:
        if said.user not in self._clients:
            client = self._clients[said.user] = await self._connected(said.user)
            if client and self._window.into:
                await self._must_be_let(client)
        return self._clients[said.user]

    async def _connected(self, user: str) -> MqttClient | None:
        try:
            address = self._folder.address(user)
        except KeyError:
            note(f"nobody is {user} any more: what it said is left out")
            return None
        client = await self._stack.enter_async_context(visitor(address))
        await entered(client, address)
        return client

    async def _wait(self, received_ms: int) -> None:
        """Keep the pace of then, or a multiple of it."""
        if self._window.speed is None:
            return
        now_s = asyncio.get_running_loop().time()
        start_s, first_ms = self._began = self._began or (now_s, received_ms)
        due_s = start_s + (received_ms - first_ms) / 1000 / self._window.speed
        if due_s > now_s:
            await asyncio.sleep(due_s - now_s)

    async def _must_be_let(self, client: MqttClient) -> None:
        """A refused publish is acknowledged all the same (MQTT 3.1.1): so listen to one."""
        place = f"{self._window.into}/_event/replay"
        await client.subscribe([place])
        await client.publish(place, b"{}")
        heard = await client.receive(timeout_s=HEARD_TIMEOUT_S)
        client.ack(heard)
        if not heard:
            raise CommandError(
                f"the broker lets nobody write below {self._window.into}: use --into {REPLAY}"
            )


def _writer(event: Event) -> str:
    """The user of the broker that may say an event."""
    name = event.source.partition(":")[0]
    return PROCESSOR if name == PROCESSOR else bridge_user(name)


def _moved(place: str, separator: str, window: Window) -> str:
    """A place, or a topic, below the other enterprise."""
    return f"{window.into}{separator}{place.partition(separator)[2]}".rstrip(separator)
