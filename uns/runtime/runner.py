"""Runs one (processor, line): rehydrate, then receive, fold, put out, remember, acknowledge.

The order of effects of a commit: outputs durable in the outbox, outputs acknowledged by the
broker, state acknowledged by the broker, inputs acknowledged to the broker. After any crash work
repeats with equal ids, and what was done is a duplicate. A single writer: fixed client id, one
connection for input and output, an owner epoch against zombies.
"""

import asyncio
import contextlib
import json
import logging
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Final, Generic, TypeVar

from uns.codec import Codec, Reject, encode_document
from uns.fold import Draft, Mark, Processor, Tick, advance
from uns.model.events import BRIDGE_EVENTS, Event
from uns.model.path import to_dotted
from uns.mqtt.client import MqttClient
from uns.mqtt.message import Message, Outgoing, Session
from uns.runtime.clock import PlantClock
from uns.runtime.errors import Fenced
from uns.runtime.intake import Intake, Taken
from uns.runtime.outbox import Outbox
from uns.runtime.resume import Resume, resume_topic
from uns.runtime.sender import Sender
from uns.runtime.shown import Documents, Moment

S = TypeVar("S")

TICK_S: Final = 1.0
BATCH: Final = 500
PROBE_TIMEOUT_S: Final = 10.0
LEAVE_TIMEOUT_S: Final = 4.0
_WATERMARKS: Final = "{}/_hub/watermark/#"

log = logging.getLogger(__name__)

StoredState = Callable[[str], Awaitable[bytes | None]]


@dataclass
class RunnerWiring(Generic[S]):
    """What a runner works with.

    client: the one connection for input and output, with a session that the broker keeps.
    visitor: a connection without a session, used once, to read what is retained.
    stored_state: asks the record for a resume document.
    """

    processor: Processor[S]
    line: str
    enterprise: str
    codec: Codec
    client: MqttClient
    visitor: MqttClient
    outbox: Outbox
    clock: PlantClock
    stored_state: StoredState


class Runner(Generic[S]):
    """One (processor, line): `run` until cancelled; raises Fenced or TakenOver."""

    def __init__(self, wiring: RunnerWiring[S]) -> None:
        self._w = wiring
        self._name = wiring.processor.name
        self.source = f"processor:{self._name}:{to_dotted(wiring.line)}"
        self._topic = resume_topic(wiring.line, self._name)
        self._resume = Resume(wiring.processor, wiring.line)
        self._settled: dict[str, Mark] = {}
        self._intake = Intake(self._resume.marks, self._settled.get)
        self._sender = Sender(wiring.outbox, wiring.client)
        self._documents = Documents(self._resume.clearing)
        self._tell_all = False
        self._ticked_s = 0.0
        self._heard_rev = 0
        self._passed: list[Message] = []
        wiring.client.on_connect = self._connected

    @property
    def marks(self) -> Mapping[str, Mark]:
        """How far each source was taken."""
        return self._resume.marks

    async def run(self) -> None:
        """Rehydrate, take ownership, then fold for ever."""
        await self._rehydrate()
        await self._own()
        async with asyncio.TaskGroup() as tasks:
            sending = tasks.create_task(self._sender.run())
            try:
                while True:
                    await self._take(await self._w.client.receive(BATCH, TICK_S / 2))
            except asyncio.CancelledError:
                await self._leave()
                sending.cancel()
                raise

    async def _connected(self, _session: Session) -> None:
        """Say everything again: a broker that was killed keeps the session and forgets its end."""
        self._sender.rewind()
        self._tell_all = True
        self._intake.patient(asyncio.get_running_loop().time())

    async def _rehydrate(self) -> None:
        """Load the newest resume document of broker and record, and what is settled.

        The main connection stands already: an older owner is cut off and writes no more. A visitor
        reads, because a backlog may fill the main connection's window; its own probe, read back,
        marks the end of what is retained.
        """
        await self._w.client.subscribe([self._topic, _WATERMARKS.format(self._w.enterprise)])
        await self._w.client.subscribe(subscriptions(self._w.line))
        probe, nonce = f"{self._topic}/probe", encode_document({"at_ms": self._w.clock()})
        async with self._w.visitor as visitor, asyncio.timeout(PROBE_TIMEOUT_S):
            await visitor.subscribe([f"{self._topic}/#", _WATERMARKS.format(self._w.enterprise)])
            await visitor.publish(probe, nonce)
            found = list[Message]()
            while not any(m.topic == probe and m.payload == nonce for m in found):
                found += await visitor.receive(BATCH)
        for message in found:
            if message.topic == self._topic:
                self._resume.load(message.payload)
            else:
                self._hear(message)
        if stored := await self._w.stored_state(self._topic):
            self._resume.load(stored)
        self._intake = Intake(self._resume.marks, self._settled.get)
        self._documents = Documents(self._resume.clearing)

    async def _own(self) -> None:
        self._resume.owner_epoch += 1
        self._resume.output_seq = max(self._resume.output_seq, self._w.outbox.last_seq(self.source))
        log.info("%s owns %s, epoch %d", self._name, self._w.line, self._resume.owner_epoch)
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
                    await self._take(await self._w.client.receive(BATCH, TICK_S / 2))
                self._ticked_s = 0.0
                await self._tick(asyncio.get_running_loop().time())
                self._tell_all = True
                await self._commit([])

    async def _take(self, messages: list[Message]) -> None:
        loop_s = asyncio.get_running_loop().time()
        outputs, without_effect, folded = list[Draft](), list[Message](), False
        for message in messages:
            taken, finished = self._admit(message, loop_s)
            without_effect += finished
            for one in taken:
                outputs += self._fold(one.event)
                self._passed.append(one.message)
                folded |= one.event.type in self._w.processor.inputs
        for gap, taken in self._intake.overdue(loop_s, self._name, self._w.clock()):
            outputs += [gap, *(draft for one in taken for draft in self._fold(one.event))]
            self._passed += [one.message for one in taken]
            folded = True
        self._w.client.ack(without_effect)
        if folded or self._tell_all:
            await self._commit(outputs)
        await self._tick(loop_s)

    def _admit(self, message: Message, loop_s: float) -> tuple[list[Taken], list[Message]]:
        if "/_hub/" in message.topic:
            self._hear(message)
            return [], [message]
        decoded = self._w.codec.decode(message.topic, message.payload, retain=message.retain)
        if isinstance(decoded, Reject) or not isinstance(decoded.value, Event):
            return [], [message]
        return self._intake.offer(Taken(decoded.value, message), loop_s)

    def _hear(self, message: Message) -> None:
        if not message.payload:
            return
        if message.topic == self._topic:
            document = json.loads(message.payload)
            owner, self._heard_rev = int(document["owner_epoch"]), int(document["rev"])
            if owner > self._resume.owner_epoch:
                raise Fenced(f"{self._topic} belongs to owner {owner} now")
        elif "/_hub/watermark/" in message.topic:
            document = json.loads(message.payload)
            mark = Mark(document["epoch"], document["settled"])
            self._settled[document["source"]] = mark
            self._sender.settled(message)

    def _fold(self, event: Event) -> tuple[Draft, ...]:
        step = advance(self._w.processor, self._resume.state, event)
        self._resume.state = step.state
        return step.outputs

    async def _commit(self, outputs: list[Draft]) -> None:
        """The order of effects; see the module's law."""
        client = self._w.client
        if outputs:
            entries = self._w.outbox.append((self.source, draft) for draft in outputs)
            self._resume.output_seq = max(e.seq for e in entries)
            await client.publish_many(Outgoing(e.topic, e.payload) for e in entries)
            self._sender.sent(max(e.position for e in entries))
        self._resume.rev += 1
        documents = self._changed(moved=True)
        state = Outgoing(self._topic, self._resume.dump(self._w.clock()), retain=True)
        await client.publish_many([*documents, state])
        client.ack(self._passed)
        self._passed.clear()

    async def _tick(self, loop_s: float) -> None:
        if loop_s - self._ticked_s < TICK_S:
            return
        self._ticked_s = loop_s
        if self._passed:
            await self._commit([])
        step = self._w.processor.fold(self._resume.state, Tick(self._w.clock()))
        self._resume.state = step.state
        await self._w.client.publish_many([*self._changed(moved=False), *self._cleared()])

    def _changed(self, *, moved: bool) -> list[Outgoing]:
        documents = self._w.processor.documents(self._resume.state)
        now_s = asyncio.get_running_loop().time()
        moment = Moment(self._resume.rev, now_s, moved, self._tell_all)
        self._tell_all = False
        return self._documents.changed(documents, moment, self._resume.output_seq)

    def _cleared(self) -> list[Outgoing]:
        return self._documents.cleared(self._settled.get(self.source, Mark(0, 0)).seq)


def subscriptions(line: str) -> list[str]:
    """Everything that bridges say on a line: what a source's unbroken sequence is made of."""
    return [
        f"{place}/_event/{event.type_name}/#"
        for place in (line, f"{line}/+")
        for event in BRIDGE_EVENTS
    ]
