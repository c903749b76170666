"""Runs one bridge: observations in, tags and events out, nothing forgotten in between.

Facts, samples and what the bridge knew go to the outbox in one transaction before the client is
asked for more. What the tags show is tags.py, the health of the sources endpoints.py.
"""

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from itertools import groupby
from operator import itemgetter
from typing import Any, Final

from uns.codec import encode_document
from uns.fold import Draft
from uns.model.observation import (
    BadInput,
    Link,
    Observation,
    Reading,
    Written,
    cells_of,
    sayable,
)
from uns.model.path import parent, to_dotted
from uns.model.plant import Place, Plant
from uns.model.publishing import Key
from uns.model.signals import CellFact, Memory, derive, lost
from uns.mqtt.client import MqttClient
from uns.mqtt.message import Message, Session
from uns.runtime.clock import wall_ms
from uns.runtime.endpoints import Endpoints
from uns.runtime.errors import OutboxFull
from uns.runtime.fact_keys import FactKeys
from uns.runtime.gate import Decision, Gate
from uns.runtime.outbox import OUTBOX_ALARM, Outbox
from uns.runtime.refusal import rejected
from uns.runtime.samples import Samples
from uns.runtime.sender import Sender
from uns.runtime.tags import TagBoard

HEALTH_EVERY_S: Final = 1.0
REMEMBER_EVERY_S: Final = 5.0  # how far an unobserved time may seem longer than it was
FULL_RETRY_S: Final = 1.0
FULL: Final = "the outbox is full: the source waits"
WRITES_LOOK_S: Final = 0.1
PULSES_LOOK_S: Final = 0.2
AGE_LOOK_S: Final = 60.0
WRITES_KEY: Final = "writes"

log = logging.getLogger(__name__)

OnMessage = Callable[[Message], None]


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


class BridgeRunner:
    """One bridge process: `run` until cancelled."""

    def __init__(self, wiring: BridgeWiring) -> None:
        self._w = wiring
        self._tags = TagBoard(wiring.places, wiring.client)
        self._samples = Samples(wiring.places, wiring.outbox)
        self._keys = FactKeys(wiring.outbox)
        self._sender = Sender(wiring.outbox, wiring.client, self._speaks)
        self._endpoints = Endpoints()
        self._turn = asyncio.Lock()
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
            tasks.create_task(self._tags.run())
            tasks.create_task(self._say_health())
            tasks.create_task(self._watch_pulses())
            tasks.create_task(self._watch_age())
            if write_back := self._w.write_back:
                tasks.create_task(self._heed_commands(write_back))
                tasks.create_task(self._watch_writes(write_back.gate))
            async for batch in observe:
                await self.take(batch)

    async def take(self, batch: Iterable[Observation]) -> None:
        """Make one batch durable, and visible."""
        async with self._turn:
            await self._take([sayable(each) for each in batch])

    @property
    def recorded(self) -> Mapping[Key, int]:
        """Up to when each tag with `record: every` is on record, by the source's time in ms."""
        return self._samples.known

    async def _take(self, observations: list[Observation]) -> None:
        facts = self._keys.new(observations)
        before = {cell: self._known(cell) for cell in cells_of(observations) & self._memory.keys()}
        drafts = self._told(observations)
        refused = [o for o in observations if isinstance(o, BadInput)]
        drafts += [rejected(self._w.home, bad, self._w.clock()) for bad in refused]
        drafts += [Draft(f.path, f.type, f.at_ms, f.body, f.key) for f in facts]
        changed = [cell for cell, known in before.items() if known != self._known(cell)]
        if time.monotonic() - self._remembered_s > REMEMBER_EVERY_S:
            self._remembered_s, changed = time.monotonic(), list(self._memory)
        samples = self._samples.drafts(o for o in observations if isinstance(o, Reading))
        known = {**self._keys.memory(facts), **self._samples.memory(samples)}
        await self._store([*drafts, *samples], changed, known)
        if gone := self._keys.prune(self._w.clock()):
            log.info("%s requests are forgotten", gone)
        await self._written(observations)

    def known_fact(self, prefix: str) -> dict[str, str]:
        """Bodies (JSON) of recorded facts by business key, for keys with a prefix."""
        return self._keys.known(prefix)

    def _known(self, cell: str) -> dict[str, Any]:
        return self._memory[cell].model_dump(exclude={"seen_ms", "values"})

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
        try:
            await self._append(pairs, memory)
        except OutboxFull as full:
            log.error("%s; the source waits", full)  # noqa: TRY400 - no traceback: designed
            await self._append_when_there_is_room(pairs, memory)
        self._sender.wake()

    async def _append(self, pairs: Sequence[tuple[str, Draft]], memory: Mapping[str, str]) -> None:
        """Store, if need be in the room of the oldest samples. Raises OutboxFull."""
        while True:
            try:
                self._w.outbox.append(pairs, memory)
            except OutboxFull as full:
                if not self._samples.give_way():
                    raise
                log.warning("%s; the oldest samples give way", full)
                await asyncio.sleep(0)
            else:
                return

    async def _append_when_there_is_room(
        self, pairs: Sequence[tuple[str, Draft]], memory: Mapping[str, str]
    ) -> None:
        """Wait for the record to take what waits. Nobody listens to the source: nothing is good."""
        shaded, is_stored = self._tags.shade(FULL), False
        while not is_stored:
            await asyncio.sleep(FULL_RETRY_S)
            with suppress(OutboxFull):
                await self._append(pairs, memory)
                is_stored = True
        for reading in shaded:
            self._tags.show(reading)

    def _speaks(self, source: str) -> bool:
        return source.startswith(f"{self._w.name}:")

    @property
    def _health_topic(self) -> str:
        return f"{self._w.plant.enterprise}/_hub/bridge/{self._w.name}"

    def _source(self, path: str) -> str:
        return f"{self._w.name}:{to_dotted(parent(path, 'line'))}"

    def _since_last_run(self) -> list[Draft]:
        drafts = list[Draft]()
        for path, memory in self._memory.items():
            cell = self._w.places[path].cell
            self._memory[path], facts = lost(cell, memory, cell.tags, memory.seen_ms)
            drafts += _drafts(path, facts)
        return drafts

    def _told(self, observations: list[Observation]) -> list[Draft]:
        """Links and readings in their order: what a link fed before it went down stays bad."""
        drafts = list[Draft]()
        for are_links, run in groupby(observations, key=lambda each: isinstance(each, Link)):
            tell = self._links if are_links else self._readings
            drafts += tell(run)
        return drafts

    def _readings(self, observations: Iterable[Observation]) -> list[Draft]:
        readings = [o for o in observations if isinstance(o, Reading) and not o.is_history]
        known = self._tags.known(readings)
        self._endpoints.heard(known, time.monotonic())
        return self._believed(self._tags.alive(known))

    def _believed(self, readings: Iterable[Reading]) -> list[Draft]:
        by_cell: dict[str, list[Reading]] = {}
        for reading in readings:
            by_cell.setdefault(reading.cell, []).append(reading)
        drafts = list[Draft]()
        for path, taken in by_cell.items():
            self._memory[path], facts = derive(
                self._w.places[path], self._w.plant.items, self._memory[path], taken
            )
            drafts += _drafts(path, facts)
            for reading in taken:
                self._tags.show(reading)
        return drafts

    def _links(self, observations: Iterable[Observation]) -> list[Draft]:
        drafts = list[Draft]()
        for link in observations:
            if not isinstance(link, Link):
                continue
            self._endpoints.link(link)
            log.info("%s is %s %s", link.endpoint, "up" if link.up else "down", link.reason or "")
            if link.up:
                self._tags.up(link.endpoint, link.feeds)
            else:
                alive = self._tags.lose(link.feeds, link.reason or "source lost", link.at_ms)
                drafts += [*self._lost(link.feeds, link.at_ms), *self._believed(alive)]
        return drafts

    def _lost(self, tags: Iterable[Key], at_ms: int) -> list[Draft]:
        drafts = list[Draft]()
        for path, keys in groupby(tags, key=itemgetter(0)):
            cell, names = self._w.places[path].cell, [tag for _, tag in keys]
            self._memory[path], facts = lost(cell, self._memory[path], names, at_ms)
            drafts += _drafts(path, facts)
        return drafts

    async def _watch_pulses(self) -> None:
        """A source that is there and does not move is as good as lost."""
        while True:
            await asyncio.sleep(PULSES_LOOK_S)
            async with self._turn:
                stopped = self._tags.stopped()
                drafts = self._lost(stopped, self._w.clock())
                await self._store(drafts, dict.fromkeys(path for path, _ in stopped))

    async def _watch_age(self) -> None:
        while True:
            while self._samples.age(wall_ms()):
                log.warning("samples that nobody took for a week give way")
                await asyncio.sleep(0)
            await asyncio.sleep(AGE_LOOK_S)

    async def _connected(self, _session: Session) -> None:
        """Say everything again: a broker that was killed keeps the session and forgets its end."""
        self._sender.rewind()
        self._tags.all_again()
        await self._probe()

    async def _probe(self) -> None:
        """A message to ourselves: heard, it marks the end of the retained watermarks."""
        await self._w.client.send(f"{self._health_topic}/probe", encode_document({"probe": True}))

    async def _listen(self) -> None:
        own, probe = f"{self._w.plant.enterprise}/_hub/watermark/", f"{self._health_topic}/probe"
        await self._w.client.subscribe([probe, f"{own}#", *self._w.filters])
        await self._probe()
        async for batch in self._w.client.batches():
            for message in batch:
                if message.topic.startswith(own):
                    self._sender.settled(message)
                elif message.topic == probe:
                    self._sender.heard()
                elif self._w.on_message:
                    self._w.on_message(message)
            self._w.client.ack(batch)

    async def _heed_commands(self, write_back: WriteBack) -> None:
        """Judge commands as they come; one whose judgement cannot be recorded is not followed."""
        await write_back.client.subscribe(write_back.gate.filters)
        async for batch in write_back.client.batches():
            for message in filter(self._is_ours, batch):
                try:
                    self._decide(write_back.gate.take(message, self._tags.readings))
                except OutboxFull as full:
                    log.error("%s is not followed: %s", message.topic, full)  # noqa: TRY400 - no traceback: designed
            write_back.client.ack(batch)

    def _is_ours(self, message: Message) -> bool:
        """Whether a command is for us to answer. At a place that is none nobody can be answered."""
        path, _, tag = message.topic.partition("/_cmd/write/")
        place = self._w.plant.cells.get(path)
        return place is not None and place.bridge_of(tag) == self._w.name

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

    async def _say_health(self) -> None:
        while True:
            health = encode_document(self._health())
            await self._w.client.publish(self._health_topic, health, retain=True)
            await asyncio.sleep(HEALTH_EVERY_S)

    def _health(self) -> dict[str, Any]:
        readings, up = self._tags.readings.values(), self._endpoints.all_up
        good = sum(reading.quality == "good" for reading in readings)
        used = self._w.outbox.used
        full = f", outbox {used:.0%} full" if used >= OUTBOX_ALARM else ""
        connected = "connected" if up else "NOT connected"
        return {
            "summary": f"{self._w.name} {connected}, {good} good tags{full}",
            "bridge": self._w.name,
            "protocol": self._w.protocol,
            "connected": up,
            "tags": len(readings),
            "tags_good": good,
            "outbox": len(self._w.outbox),
            "outbox_used": round(used, 3),
            "outbox_alarm": used >= OUTBOX_ALARM,
            "reconnects": self._endpoints.reconnects,
            "endpoints": self._endpoints.document(time.monotonic()),
            "at_ms": self._w.clock(),
        }


def _drafts(path: str, facts: Iterable[CellFact]) -> list[Draft]:
    return [Draft(path, fact.type, fact.at_ms, fact.body) for fact in facts]
