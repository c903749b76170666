"""Runs one bridge: observations in, tags and events out, nothing forgotten in between.

Facts and what the bridge knew go to the outbox in one transaction before the client is asked for
more. Tags are latest-wins: while the broker is away only the newest value of each is kept.
"""

import asyncio
import base64
import hashlib
import logging
import time
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Final

from uns.codec import encode_document, encode_tag
from uns.fold import Draft
from uns.model.events import Rejected
from uns.model.observation import BadInput, Fact, Link, Observation, Reading, Written
from uns.model.path import parent, to_dotted
from uns.model.plant import Place, Plant
from uns.model.signals import CellFact, Memory, derive, lost
from uns.mqtt.client import MqttClient
from uns.mqtt.message import Message, Session
from uns.runtime.errors import OutboxFull
from uns.runtime.gate import Decision, Gate
from uns.runtime.outbox import Outbox
from uns.runtime.sender import Sender

HEALTH_EVERY_S: Final = 1.0
REMEMBER_EVERY_S: Final = 5.0  # how far an unobserved time may seem longer than it was
ORIGINAL_BYTES_MAX: Final = 64_000
FULL_RETRY_S: Final = 1.0
WRITES_LOOK_S: Final = 0.1
WRITES_KEY: Final = "writes"
LINK_REASON_LENGTH_MAX: Final = 60

log = logging.getLogger(__name__)

OnMessage = Callable[[Message], None]


@dataclass
class Endpoint:
    """The health of one source connection."""

    up: bool = False
    reason: str | None = None
    reconnects: int = -1
    since_ms: int = 0


@dataclass
class WriteBack:
    """How values get to the devices of a bridge: the gate, and where its commands come from."""

    gate: Gate
    client: MqttClient


@dataclass
class BridgeWiring:
    """What a bridge runs with; `home` is where its own rejects are said (a line or a site)."""

    name: str
    protocol: str
    plant: Plant
    places: Mapping[str, Place]
    home: str
    outbox: Outbox
    client: MqttClient
    clock: Callable[[], int]
    filters: tuple[str, ...] = ()
    on_message: OnMessage | None = None
    write_back: WriteBack | None = None


@dataclass
class Tags:
    """The newest payload of every tag topic, and which of them the broker has not seen."""

    latest: dict[str, bytes] = field(default_factory=dict)
    readings: dict[tuple[str, str], Reading] = field(default_factory=dict)
    dirty: dict[str, None] = field(default_factory=dict)
    wake: asyncio.Event = field(default_factory=asyncio.Event)

    def put(self, topic: str, payload: bytes) -> None:
        """Remember a payload and want it published."""
        self.latest[topic] = payload
        self.dirty[topic] = None
        self.wake.set()

    def all_again(self) -> None:
        """Want every tag published: the broker may have forgotten."""
        self.dirty.update(dict.fromkeys(self.latest))
        self.wake.set()


class BridgeRunner:
    """One bridge process: `run` until cancelled."""

    def __init__(self, wiring: BridgeWiring) -> None:
        self._w = wiring
        self._tags = Tags()
        self._sender = Sender(wiring.outbox, wiring.client)
        self._endpoints: dict[str, Endpoint] = {}
        self._remembered_s = 0.0
        self._memory = {
            path: Memory.model_validate_json(wiring.outbox.recall(f"cell:{path}") or "{}")
            for path in wiring.places
        }
        wiring.client.on_connect = self._connected

    async def run(self, observe: AsyncIterator[list[Observation]]) -> None:
        """Run the bridge on a client's observations."""
        await self._store(self._since_last_run(), list(self._memory))
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._listen())
            tasks.create_task(self._sender.run())
            tasks.create_task(self._flush_tags())
            tasks.create_task(self._say_health())
            if write_back := self._w.write_back:
                tasks.create_task(self._heed_commands(write_back))
                tasks.create_task(self._watch_writes(write_back.gate))
            async for batch in observe:
                await self.take(batch)

    async def take(self, batch: Iterable[Observation]) -> None:
        """Make one batch durable, then visible."""
        observations = list(batch)
        facts = self._new_facts(observations)
        before = {cell: self._known(cell) for cell in self._memory}
        drafts = [*self._links(observations), *self._readings(observations)]
        drafts += [self._rejected(o) for o in observations if isinstance(o, BadInput)]
        drafts += [Draft(f.path, f.type, f.at_ms, f.body, f.key) for f in facts]
        changed = [cell for cell, known in before.items() if known != self._known(cell)]
        if time.monotonic() - self._remembered_s > REMEMBER_EVERY_S:
            self._remembered_s, changed = time.monotonic(), list(self._memory)
        keys = {f"fact:{f.business_key}": encode_document(f.body) for f in facts if f.business_key}
        await self._store(drafts, changed, {key: body.decode() for key, body in keys.items()})
        await self._written(observations)

    def known_fact(self, prefix: str) -> dict[str, str]:
        """Bodies (JSON) of recorded facts by business key, for keys with a prefix."""
        found = self._w.outbox.recall_all(f"fact:{prefix}")
        return {key.removeprefix("fact:"): body for key, body in found.items()}

    def _known(self, cell: str) -> dict[str, Any]:
        return self._memory[cell].model_dump(exclude={"seen_ms", "values"})

    def _new_facts(self, observations: list[Observation]) -> list[Fact]:
        """Facts whose business key was not recorded before, neither earlier nor in this batch."""
        facts: dict[object, Fact] = {}
        for n, fact in enumerate(o for o in observations if isinstance(o, Fact)):
            key = fact.business_key
            if key is None:
                facts[n] = fact
            elif self._w.outbox.recall(f"fact:{key}") is None:
                facts.setdefault(key, fact)
        return list(facts.values())

    async def _store(
        self, drafts: list[Draft], cells: Iterable[str], keys: Mapping[str, str] | None = None
    ) -> None:
        memory = {
            f"cell:{c}": self._memory[c].model_dump_json() for c in cells if c in self._memory
        }
        memory.update(keys or {})
        if not drafts and not memory:
            return
        pairs = [(self._source(draft.path), draft) for draft in drafts]
        while True:
            try:
                self._w.outbox.append(pairs, memory)
                break
            except OutboxFull as full:
                log.error("%s; the source waits", full)  # noqa: TRY400 - no traceback: designed
                await asyncio.sleep(FULL_RETRY_S)
        self._sender.wake()

    def _source(self, path: str) -> str:
        return f"{self._w.name}:{to_dotted(parent(path, 'line'))}"

    def _since_last_run(self) -> list[Draft]:
        drafts = list[Draft]()
        for path, memory in self._memory.items():
            self._memory[path], facts = lost(memory, memory.seen_ms)
            drafts += _drafts(path, facts)
        return drafts

    def _readings(self, observations: list[Observation]) -> list[Draft]:
        by_cell: dict[str, list[Reading]] = {}
        for observation in observations:
            if isinstance(observation, Reading) and observation.cell in self._w.places:
                by_cell.setdefault(observation.cell, []).append(observation)
        drafts = list[Draft]()
        for path, readings in by_cell.items():
            place = self._w.places[path]
            self._memory[path], facts = derive(
                place, self._w.plant.items, self._memory[path], readings
            )
            drafts += _drafts(path, facts)
            for reading in readings:
                self._publish_tag(place, reading)
        return drafts

    def _publish_tag(self, place: Place, reading: Reading) -> None:
        spec = place.cell.tags.get(reading.tag)
        if spec is None:
            return
        last = self._tags.readings.get((reading.cell, reading.tag))
        if last and last.quality == reading.quality and _within(last, reading, spec.dead_band):
            return
        self._tags.readings[reading.cell, reading.tag] = reading
        payload = encode_tag(
            reading.value, reading.at_ms, reading.quality, spec.unit, reading.reason
        )
        self._tags.put(f"{reading.cell}/_tag/{reading.tag}", payload)

    def _links(self, observations: list[Observation]) -> list[Draft]:
        drafts = list[Draft]()
        for link in observations:
            if not isinstance(link, Link):
                continue
            endpoint = self._endpoints.setdefault(link.endpoint, Endpoint())
            endpoint.reconnects += int(link.up and not endpoint.up)
            endpoint.up, endpoint.reason, endpoint.since_ms = link.up, link.reason, link.at_ms
            log.info("%s is %s %s", link.endpoint, "up" if link.up else "down", link.reason or "")
            if not link.up:
                drafts += self._gone(link)
        return drafts

    def _gone(self, link: Link) -> list[Draft]:
        drafts = list[Draft]()
        reason = (link.reason or "source lost")[:LINK_REASON_LENGTH_MAX]
        for path in link.cells:
            self._memory[path], facts = lost(self._memory[path], link.at_ms)
            drafts += _drafts(path, facts)
            place = self._w.places[path]
            for tag in place.cell.tags:
                last = self._tags.readings.get((path, tag))
                value = last.value if last else None
                at_ms = last.at_ms if last else link.at_ms
                self._publish_tag(place, Reading(path, tag, value, at_ms, "bad", reason))
        return drafts

    def _rejected(self, bad: BadInput) -> Draft:
        body = {
            "reject_class": bad.reject_class,
            "origin": bad.origin,
            "reason": bad.reason,
            "original_base64": base64.b64encode(bad.original[:ORIGINAL_BYTES_MAX]).decode(),
            "original_sha256": hashlib.sha256(bad.original).hexdigest(),
        }
        return Draft(self._w.home, Rejected.type_name, bad.at_ms or self._w.clock(), body)

    async def _connected(self, _session: Session) -> None:
        """Say everything again: a broker that was killed keeps the session and forgets its end."""
        self._sender.rewind()
        self._tags.all_again()

    async def _listen(self) -> None:
        own = f"{self._w.plant.enterprise}/_hub/watermark/"
        await self._w.client.subscribe([f"{own}#", *self._w.filters])
        async for batch in self._w.client.batches():
            for message in batch:
                if message.topic.startswith(own):
                    self._sender.settled(message)
                elif self._w.on_message:
                    self._w.on_message(message)
            self._w.client.ack(batch)

    async def _heed_commands(self, write_back: WriteBack) -> None:
        """Judge commands as they come; one whose judgement cannot be recorded is not followed."""
        await write_back.client.subscribe(write_back.gate.filters)
        async for batch in write_back.client.batches():
            for message in batch:
                try:
                    self._decide(write_back.gate.take(message, self._tags.readings))
                except OutboxFull as full:
                    log.error("%s is not followed: %s", message.topic, full)  # noqa: TRY400 - no traceback: designed
            write_back.client.ack(batch)

    async def _written(self, observations: Iterable[Observation]) -> None:
        for written in observations:
            if isinstance(written, Written) and self._w.write_back:
                await self._decide_surely(partial(self._w.write_back.gate.written, written))

    async def _watch_writes(self, gate: Gate) -> None:
        """Answer what the last run left open, then what the devices do not answer in time."""
        while await self._decide_surely(gate.interrupted):
            pass
        while await gate.busy.wait():
            while await self._decide_surely(gate.overdue):
                pass
            await asyncio.sleep(WRITES_LOOK_S)

    async def _decide_surely(self, decide: Callable[[], Decision | None]) -> bool:
        """Decide anew until the outbox has room; whether there was anything to decide."""
        while True:
            try:
                return self._decide(decide())
            except OutboxFull as full:
                log.error("%s; an answer waits", full)  # noqa: TRY400 - no traceback: designed
                await asyncio.sleep(FULL_RETRY_S)

    def _decide(self, decision: Decision | None) -> bool:
        """Make a decision durable, then let it act. Raises OutboxFull: then nothing happened."""
        if decision is None or self._w.write_back is None:
            return False
        pairs = [(self._source(draft.path), draft) for draft in decision.drafts]
        self._w.outbox.append(pairs, {WRITES_KEY: decision.ledger.model_dump_json()})
        self._w.write_back.gate.commit(decision)
        self._sender.wake()
        return True

    async def _flush_tags(self) -> None:
        while True:
            await self._tags.wake.wait()
            await self._w.client.connected.wait()
            self._tags.wake.clear()
            dirty, self._tags.dirty = self._tags.dirty, {}
            for topic in dirty:
                await self._w.client.send(topic, self._tags.latest[topic], retain=True)

    async def _say_health(self) -> None:
        while True:
            topic = f"{self._w.plant.enterprise}/_hub/bridge/{self._w.name}"
            await self._w.client.publish(topic, encode_document(self._health()), retain=True)
            await asyncio.sleep(HEALTH_EVERY_S)

    def _health(self) -> dict[str, Any]:
        up = all(endpoint.up for endpoint in self._endpoints.values()) and bool(self._endpoints)
        good = sum(reading.quality == "good" for reading in self._tags.readings.values())
        return {
            "summary": f"{self._w.name} {'connected' if up else 'NOT connected'}, {good} good tags",
            "bridge": self._w.name,
            "protocol": self._w.protocol,
            "connected": up,
            "tags": len(self._tags.readings),
            "tags_good": good,
            "outbox": len(self._w.outbox),
            "reconnects": sum(max(e.reconnects, 0) for e in self._endpoints.values()),
            "endpoints": {name: vars(e) for name, e in self._endpoints.items()},
            "at_ms": self._w.clock(),
        }


def _within(last: Reading, reading: Reading, dead_band: float) -> bool:
    a, b = last.value, reading.value
    if isinstance(a, int | float) and isinstance(b, int | float) and not isinstance(b, bool):
        return abs(a - b) <= dead_band if dead_band else a == b
    return type(a) is type(b) and a == b


def _drafts(path: str, facts: Iterable[CellFact]) -> list[Draft]:
    return [Draft(path, fact.type, fact.at_ms, fact.body) for fact in facts]
