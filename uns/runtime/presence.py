"""A worker among workers: says that it lives, and waits for the lines that another one runs.

Owns the health document under `_hub/worker/<name>` and the turn at a line. A worker announces the
line in that document and reads it back: in the broker's one order the first announcement has the
line (docs/adr/0012). Does not know what running a line means; the claim of each processor is what
really guards it, this only keeps workers from claiming against each other.
"""

import asyncio
import json
import logging
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Final, NamedTuple

from uns.codec import encode_document
from uns.fold import Document
from uns.mqtt.client import MqttClient
from uns.mqtt.message import Message, Session, Will
from uns.runtime.errors import Fenced
from uns.runtime.outbox import OUTBOX_ALARM
from uns.runtime.rivals import SILENT_S_MAX, Rivals

SAY_EVERY_S: Final = 0.5
LOOK_S: Final = 0.1

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class PresenceWiring:
    """What a presence works with.

    nonce: no other process has the same. waiting: how many events wait in the worker's outboxes.
    used: the share of its quota that the fullest of them takes, 0 to 1.
    client: not yet connected, without a session; its will is `last_will`. clock: plant time in ms.
    """

    enterprise: str
    name: str
    nonce: str
    lines: tuple[str, ...]
    waiting: Callable[[], int]
    used: Callable[[], float]
    client: MqttClient
    clock: Callable[[], int]


class _Announced(NamedTuple):
    """A line that we said we run: from which document on, and whether we were the first."""

    number: int
    first: asyncio.Future[bool]


class Presence:
    """`run` until cancelled; `turn` gives one line after the other. Raises Fenced."""

    def __init__(self, wiring: PresenceWiring) -> None:
        self._w = wiring
        self._filter = worker_topic(wiring.enterprise, "+")
        self._topic = worker_topic(wiring.enterprise, wiring.name)
        self._rivals = Rivals()
        self._active = list[str]()
        self._announced: dict[str, _Announced] = {}
        self._number = 0
        self._pulse_s = _now_s()
        self._knows_others = asyncio.Event()
        self._news = asyncio.Event()
        wiring.client.on_connect = self._connected

    @property
    def role(self) -> str:
        """`active` while it runs a line, else `standby`."""
        return "active" if self._active else "standby"

    async def run(self) -> None:
        """Say health and hear others, for ever."""
        await self._w.client.subscribe([self._filter])
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._listen())
            tasks.create_task(self._keep_saying())
            tasks.create_task(self._keep_pulse())

    async def turn(self, line: str) -> None:
        """Wait until nobody who is alive runs the line and the announcement that we do stands."""
        await self._knows_others.wait()
        while True:
            await self._until_free(line)
            self._active.append(line)
            if await self._announce(line):
                log.info("%s runs %s", self._w.name, line)
                return
            self._active.remove(line)
            await self._say()

    async def _connected(self, _session: Session) -> None:
        self._rivals.patient(_now_s())

    async def _until_free(self, line: str) -> None:
        owner = None
        while found := self._rivals.owner(line, _now_s()):
            if found != owner:
                log.info("%s waits: %s runs %s", self._w.name, found, line)
            owner = found
            with suppress(TimeoutError):
                async with asyncio.timeout(LOOK_S):
                    await self._news.wait()
            self._news.clear()

    async def _announce(self, line: str) -> bool:
        """Say that we run a line; whether nobody else stood there when it was read back."""
        first: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        self._announced[line] = _Announced(self._number + 1, first)
        await self._say()
        return await first

    async def _listen(self) -> None:
        async for batch in self._w.client.batches():
            for message in batch:
                if message.topic == self._topic:
                    self._hear_own(message)
                else:
                    name = message.topic.rpartition("/")[2]
                    self._rivals.hear(name, message.payload, _now_s(), retained=message.retain)
            self._w.client.ack(batch)
            self._news.set()

    def _hear_own(self, message: Message) -> None:
        """What we said, read back: all that stands before it has been heard."""
        with suppress(ValueError, KeyError, TypeError):
            document = json.loads(message.payload)
            if document["nonce"] == self._w.nonce:
                self._knows_others.set()
                self._decide(int(document["number"]))

    def _decide(self, number: int) -> None:
        for line, announced in list(self._announced.items()):
            if number >= announced.number:
                del self._announced[line]
                announced.first.set_result(self._rivals.owner(line, _now_s()) is None)

    async def _keep_saying(self) -> None:
        while True:
            await self._say()
            await asyncio.sleep(SAY_EVERY_S)

    async def _keep_pulse(self) -> None:
        while True:
            self._feel_pulse()
            await asyncio.sleep(LOOK_S)

    def _feel_pulse(self) -> None:
        """A process that was stopped for so long that others may run its lines must end."""
        stopped_s = _now_s() - self._pulse_s
        if stopped_s > SILENT_S_MAX and self._rivals.waits(self._active):
            raise Fenced(f"{self._w.name} was stopped for {stopped_s:.1f} s: others have its lines")
        self._pulse_s = _now_s()

    async def _say(self) -> None:
        self._feel_pulse()
        self._number += 1
        await self._w.client.publish(self._topic, encode_document(self._health()), retain=True)

    def _health(self) -> Document:
        waiting, active, role = self._w.waiting(), sorted(self._active), self.role
        used = self._w.used()
        full = f", outbox {used:.0%} full" if used >= OUTBOX_ALARM else ""
        return {
            "summary": f"{self._w.name}: {role}, {len(active)} lines, {waiting} waiting{full}",
            "role": role,
            "lines": list(self._w.lines),
            "active": active,
            "outbox": waiting,
            "outbox_used": round(used, 3),
            "outbox_alarm": used >= OUTBOX_ALARM,
            "nonce": self._w.nonce,
            "number": self._number,
            "at_ms": self._w.clock(),
        }


def worker_topic(enterprise: str, name: str) -> str:
    """Where a worker says its health."""
    return f"{enterprise}/_hub/worker/{name}"


def last_will(enterprise: str, name: str, at_ms: int) -> Will:
    """What the broker says of a worker that vanished, and the worker itself at a clean end."""
    document = {"summary": f"{name} is gone", "gone": True, "at_ms": at_ms}
    return Will(worker_topic(enterprise, name), encode_document(document))


def _now_s() -> float:
    return asyncio.get_running_loop().time()
