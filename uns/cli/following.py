"""What processors show at the broker while it changes, one whole moment of one processor at a time.

A processor says the public documents of a commit before its resume document, on one connection:
when that arrives, what was heard of it belongs together. Knows nothing of history.
"""

import asyncio
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager, suppress
from typing import Final, NamedTuple

from uns.cli.audit import Shown
from uns.cli.subscribe import QUIET_S, RETAINED_TIMEOUT_S, entered, visitor
from uns.historian.owners import is_resume
from uns.model.path import LEVELS, Topic, TopicError, level_of, parent, parse_topic
from uns.mqtt.client import MqttClient
from uns.mqtt.message import Address, Message

STILL_S: Final = 0.3
"""The messages of one commit or tick come closer together than this."""
COMMIT_WAIT_S: Final = 3.0


class Part(NamedTuple):
    """One processor on one line."""

    line: str
    processor: str


class Retained:
    """The resume and `_state` documents that are retained, by the part that writes them.

    writers: by a name after `_state/`, the processor that writes it. `foreign` has the `_state`
    topics that nobody writes.
    """

    def __init__(self, lines: Iterable[str], writers: Mapping[str, str]) -> None:
        self._lines = frozenset(lines)
        self._writers = writers
        self._resumes: dict[Part, bytes] = {}
        self._documents: dict[Part, dict[str, bytes]] = {}
        self._moved_s: dict[Part, float] = {}
        self._wishes: dict[Part, asyncio.Future[Shown]] = {}
        self.foreign: dict[str, bytes] = {}

    def take(self, message: Message, now_s: float) -> None:
        """Take a message as it came."""
        try:
            topic = parse_topic(message.topic)
        except TopicError:
            return
        if is_resume(topic):
            self._take_resume(Part(topic.path, topic.keys[0]), message, now_s)
        elif topic.kind == "_state":
            part = self._writer_of(topic)
            documents = self._documents.setdefault(part, {}) if part else self.foreign
            if part:
                self._moved_s[part] = now_s
            _keep(documents, message)

    def recall(self, recorded: Mapping[str, bytes]) -> None:
        """Take what is on record for what is retained."""
        for topic, payload in recorded.items():
            self.take(Message(topic, payload, 1, retain=True, dup=False, mid=0, connection=0), 0.0)

    def documents(self, part: Part) -> dict[str, bytes]:
        """The public documents of a part, by topic."""
        return dict(self._documents.get(part, {}))

    async def moment(self, part: Part) -> Shown:
        """What a part shows when a commit has just ended, or while nothing of it moves."""
        loop = asyncio.get_running_loop()
        wish = self._wishes.setdefault(part, loop.create_future())
        end_s = loop.time() + COMMIT_WAIT_S
        while loop.time() < min(end_s, still_s := self._moved_s.get(part, 0.0) + STILL_S):
            with suppress(TimeoutError):
                async with asyncio.timeout_at(still_s):
                    return await asyncio.shield(wish)
        self._wishes.pop(part, None)
        return self._shown(part)

    def _shown(self, part: Part) -> Shown:
        return Shown(self._resumes.get(part, b""), self.documents(part))

    def _take_resume(self, part: Part, message: Message, now_s: float) -> None:
        self._resumes[part] = message.payload
        self._moved_s[part] = now_s
        if not message.retain and (wish := self._wishes.pop(part, None)) and not wish.done():
            wish.set_result(self._shown(part))

    def _writer_of(self, topic: Topic) -> Part | None:
        name = self._writers.get(topic.name)
        if name is None or level_of(topic.path) not in ("line", "cell"):
            return None
        line = parent(topic.path, "line")
        return Part(line, name) if line in self._lines else None


@asynccontextmanager
async def following(address: Address, enterprise: str, seen: Retained) -> AsyncIterator[None]:
    """Follow a broker for as long as the context lasts; begins when all retained was heard."""
    async with visitor(address) as client:
        await entered(client, address)
        await client.subscribe(list(_filters(enterprise)))
        await _retained(client, seen)
        task = asyncio.create_task(_follow(client, seen))
        try:
            yield
        finally:
            task.cancel()
            await asyncio.wait({task})


async def _retained(client: MqttClient, seen: Retained) -> None:
    """Complete when nothing retained came for a while."""
    loop = asyncio.get_running_loop()
    end_s, heard_s = loop.time() + RETAINED_TIMEOUT_S, loop.time()
    while loop.time() < min(end_s, heard_s + QUIET_S):
        batch = await client.receive(timeout_s=QUIET_S)
        _take(client, batch, seen)
        if any(message.retain for message in batch):
            heard_s = loop.time()


async def _follow(client: MqttClient, seen: Retained) -> None:
    async for batch in client.batches():
        _take(client, batch, seen)


def _take(client: MqttClient, batch: list[Message], seen: Retained) -> None:
    now_s = asyncio.get_running_loop().time()
    for message in batch:
        seen.take(message, now_s)
    client.ack(batch)


def _keep(documents: dict[str, bytes], message: Message) -> None:
    if message.payload:
        documents[message.topic] = message.payload
    else:
        documents.pop(message.topic, None)


def _filters(enterprise: str) -> Iterable[str]:
    places = [enterprise + "/+" * depth for depth in range(len(LEVELS))]
    return (*(f"{place}/_state/#" for place in places), f"{places[3]}/_hub/processor/+")
