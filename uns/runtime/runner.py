"""Runs one (processor, line): claim, rehydrate, then receive, fold, put out, remember, acknowledge.

The order of effects of a commit: outputs durable in the outbox together with the order in which
their inputs were taken, outputs acknowledged by the broker, state acknowledged by the broker,
inputs acknowledged to the broker. After any crash work repeats with equal ids, and what was done is
a duplicate. A single writer: fixed client id, one connection for input and output, an owner epoch
against zombies, claimed before that connection is made and looked at before it is made again.
"""

import asyncio
import contextlib
import json
import logging
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Final, Generic, TypeVar

from uns.codec import PROCESSOR_SOURCE, Codec, Reject
from uns.fold import Draft, Mark, Processor, advance
from uns.model.events import BRIDGE_EVENTS, Event, Folded
from uns.model.path import to_dotted
from uns.mqtt.client import MqttClient
from uns.mqtt.errors import ConnectionOver
from uns.mqtt.message import Message, Outgoing, Session
from uns.runtime.clock import PlantClock
from uns.runtime.errors import Fenced, OutboxFull
from uns.runtime.filling import Filling
from uns.runtime.intake import Intake, Taken, said
from uns.runtime.outbox import Entry, Outbox
from uns.runtime.ownership import (
    RETRY_S,
    Claim,
    Claimant,
    Visit,
    check,
    claim,
    retained,
    visiting,
)
from uns.runtime.record import Record
from uns.runtime.resume import Resume, Run, resume_topic
from uns.runtime.sender import Sender
from uns.runtime.shown import Documents, Moment

S = TypeVar("S")

TICK_S: Final = 1.0
BATCH: Final = 500
EASY_COMMIT_S: Final = 0.005
REST_PER_COMMIT: Final = 4.0
REST_S_MAX: Final = 0.25
"""A commit that takes longer than an easy one shows a busy machine: then more is gathered for the
next one, so that commits leave it time for other work."""
LEAVE_TIMEOUT_S: Final = 4.0
SAY_AGAIN_S: Final = 5.0
ROOM_RETRY_S: Final = 0.5
TURNS_KEY: Final = "turns"
FOLDED: Final = f"/_event/{Folded.type_name}"
OUTPUT: Final = f"{PROCESSOR_SOURCE}:"
ORDERS_MAX: Final = 10_000

log = logging.getLogger(__name__)


@dataclass
class RunnerWiring(Generic[S]):
    """What a runner works with.

    plant: digest of the plant (uns.model.plant.digest).
    client: not yet connected: the one connection for input and output, with a session that the
        broker keeps.
    visit: makes a client for one look at what is retained.
    """

    processor: Processor[S]
    line: str
    enterprise: str
    plant: str
    codec: Codec
    client: MqttClient
    visit: Visit
    claimant: Claimant
    outbox: Outbox
    clock: PlantClock
    record: Record


class Runner(Generic[S]):
    """One (processor, line): `run` until cancelled; raises Fenced or TakenOver."""

    def __init__(self, wiring: RunnerWiring[S]) -> None:
        self._w = wiring
        self._name = wiring.processor.name
        self.source = f"processor:{self._name}:{to_dotted(wiring.line)}"
        self._topic = resume_topic(wiring.line, self._name)
        self._watermarks = watermarks_of(wiring.enterprise, wiring.line, self._name)
        self._own_states = [
            f"{place}/_state/{name}/#"
            for place in (wiring.line, f"{wiring.line}/+")
            for name in wiring.processor.states
        ]
        self._stood: list[str] = []
        self._resume = Resume(wiring.processor, wiring.line, wiring.plant)
        self._settled: dict[str, Mark] = {}
        self._recorded: dict[str, Mark] = {}
        self._sender = Sender(wiring.outbox, wiring.client, self.source.__eq__)
        self._begin_intake()
        self._documents = Documents(self._resume.clearing)
        self._tell_all = False
        self._ticked_s = 0.0
        self._heard_rev = 0
        self._passed: list[Message] = []
        self._later: list[Message] = []
        self._folded = self._repeated = False
        self._committed_s = 0.0
        self._rest_s = 0.0
        wiring.client.on_connect = self._connected

    @property
    def marks(self) -> Mapping[str, Mark]:
        """How far each source was taken."""
        return self._resume.marks

    async def run(self) -> None:
        """Claim, connect, rehydrate, then fold for ever."""
        await self._load_stored()
        w, known = self._w, self._resume.owner_seen
        claimed = await claim(w.visit, self._topic, w.claimant, w.clock, known)
        w.client.before_reconnect = partial(check, w.visit, claimed)
        async with w.client:
            found = await self._rehydrate(claimed)
            await self._own(claimed.owner_epoch, rebuilt=found)
            await self._work()

    async def _load_stored(self) -> None:
        if stored := await self._w.record.newest(self._topic):
            self._resume.load(stored)

    async def _work(self) -> None:
        async with asyncio.TaskGroup() as tasks:
            sending = tasks.create_task(self._sender.run())
            try:
                while True:
                    await self._take(await self._next())
            except asyncio.CancelledError:
                await self._leave()
                sending.cancel()
                raise
            finally:
                self._filling.stop()

    async def _connected(self, _session: Session) -> None:
        """Say everything again: a broker that was killed keeps the session and forgets its end."""
        self._sender.rewind()
        self._tell_all = True
        self._intake.patient(asyncio.get_running_loop().time())

    async def _rehydrate(self, claimed: Claim) -> bool:
        """Load the newest resume document of broker and record, and what is settled.

        The main connection stands already: an older owner is cut off and writes no more. A visitor
        reads, because a backlog may fill the main connection's window. What neither has is folded
        anew from history: then True.
        """
        await self._w.client.subscribe([self._topic, *self._watermarks])
        await self._w.client.subscribe(subscriptions(self._w.line))
        for message in await self._look():
            claimed.yield_to(message)
            if message.topic == self._topic:
                self._resume.load(message.payload)
            elif "/_hub/watermark/" in message.topic:
                self._hear(message)
            elif "/_state/" in message.topic:
                self._stood.append(message.topic)
        await self._load_stored()
        rebuilt = None
        if not self._resume.rev:
            rebuilt = await self._w.record.rebuilt(self._w.processor, self._w.line)
        if rebuilt:
            log.warning("%s on %s was folded anew from history", self._name, self._w.line)
            self._resume.resume_at(rebuilt)
        return rebuilt is not None

    async def _look(self) -> list[Message]:
        """What is retained of this processor and of watermarks, as soon as the broker answers."""
        while True:
            try:
                async with visiting(self._w.visit) as visitor:
                    also = [*self._watermarks, *self._own_states]
                    return await retained(visitor, self._topic, self._w.claimant, also)
            except (OSError, ConnectionOver) as error:
                log.info("%s: not read yet (%s)", self._topic, str(error) or "timeout")
                await asyncio.sleep(RETRY_S)

    def _begin_intake(self) -> None:
        self._intake = Intake(self._resume.marks, self._settled.get, self._turns())
        self._filling = Filling(self._w.record, self._intake, self._recorded)

    def _turns(self) -> Iterator[Run]:
        """The order in which sources were taken before a crash, as far as it is not on record."""
        for told in self._w.outbox.oldest(FOLDED, 0, ORDERS_MAX):
            yield from (Run(*run) for run in json.loads(told.payload)["runs"])
        yield from (Run(*run) for run in json.loads(self._w.outbox.recall(TURNS_KEY) or "[]"))

    async def _own(self, owner_epoch: int, *, rebuilt: bool) -> None:
        output_epoch = self._w.outbox.renew(self._resume.output_epoch)
        self._resume.take_over(owner_epoch, output_epoch, rebuilt=rebuilt)
        self._resume.number_outputs(self._w.outbox.last_seq(self.source))
        self._resume.clear(self._stood)
        self._sender.heard()
        self._begin_intake()
        self._documents = Documents(self._resume.clearing)
        log.info("%s owns %s, epoch %d", self._name, self._w.line, owner_epoch)
        self._tell_all = True
        await self._commit([])

    async def _leave(self) -> None:
        """What was said before the end is taken; the last live values get a revision of their own.

        The resume document, heard again, marks the end of what the broker was given before.
        """
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(LEAVE_TIMEOUT_S):
                await self._commit([])
                last = self._resume.rev
                while self._heard_rev < last:
                    await self._take(await self._next())
                self._ticked_s = 0.0
                await self._tick(asyncio.get_running_loop().time())
                self._tell_all = True
                await self._commit([])

    async def _next(self) -> list[Message]:
        later, self._later = self._later, []
        if later:
            return later
        rest_s, self._rest_s = self._rest_s, 0.0
        if rest_s:
            await self._w.client.gather(rest_s)
        return await self._w.client.receive(BATCH, TICK_S / 2)

    async def _take(self, messages: list[Message]) -> None:
        loop_s = asyncio.get_running_loop().time()
        outputs, without_effect = list[Draft](), list[Message]()
        for message in messages:
            taken, finished = self._admit(message, loop_s)
            self._repeated |= bool(finished) and "/_event/" in message.topic
            without_effect += finished
            outputs += self._fold(taken)
        filled = self._filling.step(loop_s)
        outputs += self._fold(filled.taken)
        if filled.gap:
            outputs.append(said(filled.gap, self._name, self._w.clock()))
        self._w.client.ack([*without_effect, *self._intake.take_let_go()])
        if outputs or self._folded or self._tell_all:
            await self._commit(outputs)
        await self._tick(loop_s)

    def _admit(self, message: Message, loop_s: float) -> tuple[list[Taken], list[Message]]:
        if "/_hub/" in message.topic:
            self._hear(message)
            return [], [message]
        decoded = self._w.codec.decode(message.topic, message.payload, retain=message.retain)
        if isinstance(decoded, Reject) or not isinstance(decoded.value, Event):
            return [], [message]
        if decoded.value.source.startswith(OUTPUT):  # a reply, of this processor or another
            return [], [message]
        return self._intake.offer(Taken(decoded.value, message), loop_s)

    def _hear(self, message: Message) -> None:
        if not message.payload:
            return
        if message.topic == self._topic:
            self._hear_owner(json.loads(message.payload))
        elif "/_hub/watermark/" in message.topic:
            document = json.loads(message.payload)
            source, epoch = document["source"], document["epoch"]
            self._settled[source] = Mark(epoch, document["settled"])
            is_output = source.startswith(OUTPUT)
            if not is_output and source.endswith(f":{to_dotted(self._w.line)}"):
                self._recorded[source] = Mark(epoch, document["seq"])
            self._sender.settled(message)

    def _hear_owner(self, document: Mapping[str, int]) -> None:
        """Give way to a newer owner; say again what an older one has written over."""
        owner, self._heard_rev = int(document["owner_epoch"]), int(document["rev"])
        if owner > self._resume.owner_epoch:
            raise Fenced(f"{self._topic} belongs to owner {owner} now")
        self._tell_all |= owner < self._resume.owner_epoch

    def _fold(self, taken: list[Taken]) -> list[Draft]:
        outputs = list[Draft]()
        for event, message in taken:
            step = advance(self._w.processor, self._resume.state, event)
            self._resume.state = step.state
            told = self._resume.took(event)
            self._folded |= event.type in self._w.processor.inputs
            outputs += (*step.outputs, told) if told else step.outputs
            self._passed += [message] if message else []
        return outputs

    async def _commit(self, outputs: list[Draft]) -> None:
        """The order of effects; see the module's law."""
        client, began_s = self._w.client, asyncio.get_running_loop().time()
        if outputs:
            turns = [*self._resume.turns, *self._intake.turns]
            entries = await self._keep(outputs, json.dumps(turns))
            self._resume.output_seq = max(e.seq for e in entries)
            await client.publish_many(Outgoing(e.topic, e.payload) for e in entries)
            self._sender.sent(max(e.position for e in entries))
        self._resume.rev += 1
        documents = self._changed(moved=True)
        state = Outgoing(self._topic, self._resume.dump(self._w.clock()), retain=True)
        await client.publish_many([*documents, state])
        client.ack(self._passed)
        self._passed.clear()
        self._resume.forget_turns(self._settled)
        self._folded = self._repeated = False
        self._committed_s = asyncio.get_running_loop().time()
        self._rest_s = rest_after(self._committed_s - began_s)

    async def _keep(self, outputs: list[Draft], turns: str) -> list[Entry]:
        """Store outputs, however long there is no room; only watermarks are taken meanwhile."""
        while True:
            try:
                pairs = ((self.source, draft) for draft in outputs)
                return self._w.outbox.append(pairs, {TURNS_KEY: turns})
            except OutboxFull as full:
                log.error("%s on %s waits: %s", self._name, self._w.line, full)  # noqa: TRY400 - designed
                await asyncio.sleep(ROOM_RETRY_S)
            for message in await self._w.client.receive(BATCH, ROOM_RETRY_S):
                if "/_hub/watermark/" in message.topic:
                    self._hear(message)
                    self._w.client.ack([message])
                else:
                    self._later.append(message)

    def _is_unheard(self, loop_s: float) -> bool:
        """Whether a source repeats what was taken: the record has not got the last document."""
        return self._repeated and loop_s - self._committed_s > SAY_AGAIN_S

    async def _tick(self, loop_s: float) -> None:
        if loop_s - self._ticked_s < TICK_S:
            return
        self._ticked_s = loop_s
        if self._passed or self._is_unheard(loop_s):
            await self._commit([])
        self._resume.tick(self._w.clock())
        await self._w.client.publish_many([*self._changed(moved=False), *self._cleared()])

    def _changed(self, *, moved: bool) -> list[Outgoing]:
        resume, now_s = self._resume, asyncio.get_running_loop().time()
        documents = self._w.processor.documents(resume.state)
        moment = Moment(
            resume.rev, resume.owner_epoch, resume.ticked_ms, now_s, moved, self._tell_all
        )
        self._tell_all = False
        return self._documents.changed(documents, moment, resume.output_seq)

    def _cleared(self) -> list[Outgoing]:
        return self._documents.cleared(self._resume.outputs_up_to(self._settled.get(self.source)))


def watermarks_of(enterprise: str, line: str, processor: str) -> list[str]:
    """Where the marks of a line's bridges stand, and of what a processor itself says there."""
    own = f"{enterprise}/_hub/watermark"
    return [f"{own}/+/{line}", f"{own}/processor/{processor}/{line}"]


def rest_after(commit_s: float) -> float:
    """How long to gather messages after a commit that took so long, in seconds."""
    return min(REST_S_MAX, REST_PER_COMMIT * max(0.0, commit_s - EASY_COMMIT_S))


def subscriptions(line: str) -> list[str]:
    """Everything that bridges say on a line: what a source's unbroken sequence is made of."""
    return [
        f"{place}/_event/{event.type_name}/#"
        for place in (line, f"{line}/+")
        for event in BRIDGE_EVENTS
    ]
