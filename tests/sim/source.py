"""A source of facts: a real outbox and a real sender, and a log of its own of what it said.

The log is the generator's, for the auditor: it is written in the same step as the outbox, which is
the moment from which a fact must not be lost. Disorder stands between sender and client: a wire
that says everything several times and in another order.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import count
from random import Random
from typing import Final

from tests.sim.tally import CELLS, ENTERPRISE
from uns.codec import encode_document
from uns.fold import Draft
from uns.mqtt.client import MqttClient
from uns.mqtt.message import Outgoing, Session
from uns.runtime.outbox import Outbox
from uns.runtime.sender import Sender

BATCH_MAX: Final = 4
HELD_BACK_S: Final = 2.0


@dataclass
class Fact:
    """Something that happened once. at_s: when the outbox had it. What may be lost: see nemesis."""

    name: str
    source: str
    good: int
    scrap: int
    at_s: float
    may_be_lost: bool = False
    output_may_be_lost: bool = False


@dataclass
class Ledger:
    """What all generators did."""

    facts: list[Fact] = field(default_factory=list)
    names: "count[int]" = field(default_factory=lambda: count(1))


@dataclass(frozen=True)
class Disorder:
    """copies: how often a message is said, at most. window: how many change places."""

    copies: int = 1
    window: int = 1


@dataclass
class SourceWiring:
    """What a source works with."""

    source: str
    ledger: Ledger
    outbox: Outbox
    client: MqttClient
    clock: Callable[[], int]
    rng: Random
    per_s: float
    disorder: Disorder
    busy: asyncio.Event


class Source:
    """A source process; it makes facts while `busy` is set."""

    def __init__(self, wiring: SourceWiring) -> None:
        self._w = wiring
        self._probe = f"{ENTERPRISE}/_hub/bridge/{wiring.source.partition(':')[0]}/probe"
        publisher = DisorderedPublisher(wiring.client, wiring.disorder, wiring.rng)
        self._sender = Sender(wiring.outbox, publisher, wiring.source.__eq__)
        wiring.client.on_connect = self._connected

    async def run(self) -> None:
        """Until cancelled."""
        async with self._w.client, asyncio.TaskGroup() as tasks:
            tasks.create_task(self._listen())
            tasks.create_task(self._sender.run())
            tasks.create_task(self._make())

    async def _connected(self, _session: Session) -> None:
        self._sender.rewind()
        await self._ask()

    async def _ask(self) -> None:
        """As uns.runtime.bridge does: a probe marks the end of the retained watermarks."""
        await self._w.client.send(self._probe, encode_document({"at_ms": self._w.clock()}))

    async def _listen(self) -> None:
        await self._w.client.subscribe([self._probe, f"{ENTERPRISE}/_hub/watermark/#"])
        await self._ask()
        async for batch in self._w.client.batches():
            for message in batch:
                if message.topic == self._probe:
                    self._sender.heard()
                else:
                    self._sender.settled(message)
            self._w.client.ack(batch)

    async def _make(self) -> None:
        rng = self._w.rng
        while True:
            await asyncio.sleep(rng.expovariate(self._w.per_s))
            await self._w.busy.wait()
            facts = [self._fact() for _ in range(rng.randint(1, BATCH_MAX))]
            self._w.outbox.append((self._w.source, self._draft(fact)) for fact in facts)
            self._w.ledger.facts += facts
            self._sender.wake()

    def _fact(self) -> Fact:
        name, rng = f"f{next(self._w.ledger.names)}", self._w.rng
        now_s = asyncio.get_running_loop().time()
        return Fact(name, self._w.source, rng.randint(0, 9), rng.randint(0, 2), now_s)

    def _draft(self, fact: Fact) -> Draft:
        body = {"good": fact.good, "scrap": fact.scrap, "item": fact.name}
        return Draft(CELLS[self._w.source], "counted", self._w.clock(), body)


class DisorderedPublisher:
    """The part of the client port that a sender uses, on a wire without order.

    Nothing is held back for longer than HELD_BACK_S.
    """

    def __init__(self, client: MqttClient, disorder: Disorder, rng: Random) -> None:
        self.connected = client.connected
        self._client, self._disorder, self._rng = client, disorder, rng
        self._kept: list[Outgoing] = []
        self._flushing: asyncio.Task[None] | None = None

    async def send(
        self, topic: str, payload: bytes, *, retain: bool = False
    ) -> asyncio.Future[None]:
        """Say something, now or after others, once or several times."""
        said = Outgoing(topic, payload, retain)
        self._kept += [said] * self._rng.randint(1, self._disorder.copies)
        await self._release(self._disorder.window)
        if self._flushing is None or self._flushing.done():
            self._flushing = asyncio.create_task(self._flush())
        promise: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        promise.set_result(None)
        return promise

    async def drain(self) -> None:
        """Wait for all acks."""
        await self._client.drain()

    async def _flush(self) -> None:
        await asyncio.sleep(self._rng.uniform(0, HELD_BACK_S))
        await self._release(1)

    async def _release(self, room: int) -> None:
        while len(self._kept) >= room:
            said = self._kept.pop(self._rng.randrange(min(len(self._kept), room)))
            await self._client.send(said.topic, said.payload, retain=said.retain)
