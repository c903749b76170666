"""The source of all events of a rig, as a process: it writes its journal, then tells the hub.

    python -m tests.faults.generator DATA JOURNAL ORDERS   (ORDERS: the fields of Orders as JSON)

It says events through a real outbox and sender, as a bridge does. SIGTERM: make no more, end the
tale, wait until everything is settled, then exit 0; the same once `count` events are made. Killed
and started again, it says what its journal has and its outbox does not, and goes on.
"""

import asyncio
import contextlib
import json
import signal
import sys
from collections.abc import AsyncIterator, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any, Final

from tests.faults.disorder import Disorder, Shuffling
from tests.faults.journal import Journal, read
from tests.faults.plant import BRIDGE
from tests.faults.story import Fact, ending, tale
from uns.cli.folder import Folder
from uns.codec import encode_event
from uns.fold import Draft
from uns.model.path import to_dotted
from uns.mqtt.acl import bridge_user
from uns.mqtt.client import MqttClient
from uns.mqtt.message import Session
from uns.runtime.clock import PlantClock, load_clock
from uns.runtime.outbox import Outbox
from uns.runtime.sender import Sender

STEP_S: Final = 0.05
BATCH_MAX: Final = 500
CHUNK: Final = 50
COUNT_EVERY_S: Final = 0.5
ENDLESS: Final = 10**12
SAID: Final = "said"
BARE_EPOCH: Final = 1


@dataclass(frozen=True)
class Orders:
    """How much to make.

    count: events in all, on all lines; without one, until SIGTERM.
    rate: events a second; 0: as many as are settled. rush: the same from SIGUSR1 until SIGUSR2.
    waiting_max: so many unsettled events at most. bare: without an outbox: what the broker has
    acknowledged is forgotten. outbox: where its file is, if not in the data folder.
    disorder: what is wrong with the source's clock and its way to the broker.
    """

    count: int = ENDLESS
    rate: float = 400.0
    rush: float = 0.0
    seed: int = 1
    waiting_max: int = 20_000
    bare: bool = False
    outbox: str | None = None
    disorder: Disorder = field(default_factory=Disorder)

    @classmethod
    def parse(cls, text: str) -> "Orders":
        """From the JSON of its fields."""
        fields = json.loads(text)
        return cls(**{**fields, "disorder": Disorder(**fields["disorder"])})


class Pace:
    """How many events are due by now; what could not be made in time is not made up for."""

    def __init__(self, orders: Orders) -> None:
        loop = asyncio.get_running_loop()
        self._rate, self._since_s = orders.rate, loop.time()
        for number, rate in ((signal.SIGUSR1, orders.rush), (signal.SIGUSR2, orders.rate)):
            loop.add_signal_handler(number, self._change, rate)

    def _change(self, rate: float) -> None:
        self._rate = rate

    def due(self) -> int:
        """So many since the last call."""
        now_s = asyncio.get_running_loop().time()
        if not self._rate:
            return BATCH_MAX
        count = min(BATCH_MAX, int((now_s - self._since_s) * self._rate))
        self._since_s = now_s if count == BATCH_MAX else self._since_s + count / self._rate
        return count


class Making:
    """The tales of all lines: next events, numbered from where the journal ended.

    is_over: the tales had ended before; who is started again then makes nothing more.
    """

    def __init__(self, lines: list[str], orders: Orders, journal: Path) -> None:
        self._made = dict.fromkeys(lines, 0)
        self._disorder = orders.disorder
        self.is_over = False
        self.total = 0
        for event in read(journal):
            self._made[event["line"]] = event["n"]
            self.is_over = "last" in event
            self.total += 1
        self._tales = {line: tale(orders.seed, line) for line in lines}
        for line, told in self._tales.items():
            next(islice(told, self._made[line], self._made[line]), None)
        self._turn = 0

    def some(self, count: int, at_ms: int) -> list[dict[str, Any]]:
        """The next events, line by line in turn."""
        lines = list(self._tales)
        picked = [lines[(self._turn + i) % len(lines)] for i in range(count)]
        self._turn += count
        return [self._event(line, next(self._tales[line]), at_ms) for line in picked]

    def ending(self, at_ms: int) -> list[dict[str, Any]]:
        """The last events of every line; none if they were made before."""
        if self.is_over:
            return []
        events = [self._event(line, fact, at_ms) for line in self._tales for fact in ending()]
        events[-1]["last"] = True
        return events

    def _event(self, line: str, fact: Fact, at_ms: int) -> dict[str, Any]:
        self._made[line] += 1
        self.total += 1
        number = self._made[line]
        path = f"{line}/{fact.place}" if fact.place else line
        event_id = f"{to_dotted(line)}:{number}"
        return {
            "n": number,
            "line": line,
            "id": event_id,
            "type": fact.type,
            "path": path,
            "at_ms": self._disorder.stamp(self.total, fact.type, at_ms),
            "body": fact.body,
        }


def draft(event: dict[str, Any]) -> Draft:
    """A journal's event as it is said."""
    return Draft(event["path"], event["type"], event["at_ms"], event["body"], None, event["id"])


def source_of(event: dict[str, Any]) -> str:
    """The source of a line's events."""
    return f"{BRIDGE}:{to_dotted(event['line'])}"


class Boxed:
    """Says events through an outbox, again until they are settled."""

    def __init__(self, client: MqttClient, outbox: Outbox, enterprise: str, orders: Orders) -> None:
        self._client, self._outbox = client, outbox
        self._way = Shuffling(client, orders.disorder, orders.seed)
        is_plain = orders.disorder.copies == orders.disorder.window == 1
        publisher = client if is_plain else self._way
        self._sender = Sender(outbox, publisher, lambda source: source.startswith(f"{BRIDGE}:"))
        self._probe = f"{enterprise}/_hub/bridge/{BRIDGE}/probe"
        self._watermarks = f"{enterprise}/_hub/watermark/{BRIDGE}/#"
        self._counted_s, self._waiting = -COUNT_EVERY_S, 0
        client.on_connect = self._connected

    async def _connected(self, _session: Session) -> None:
        """Say all again, and a probe, which is heard after the watermarks that the broker keeps."""
        self._sender.rewind()
        self._probing = asyncio.create_task(self._client.publish(self._probe, b"{}"))

    async def run(self) -> None:
        """Send and settle, for ever."""
        await self._client.subscribe([self._probe, self._watermarks])
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._sender.run())
            tasks.create_task(self._way.run())
            async for batch in self._client.batches():
                for message in batch:
                    if message.topic == self._probe:
                        self._sender.heard()
                    else:
                        self._sender.settled(message)
                self._client.ack(batch)

    async def say(self, events: list[dict[str, Any]]) -> None:
        """Into the outbox, with how far each line is said; then on its way."""
        said = {f"{SAID}:{event['line']}": str(event["n"]) for event in events}
        self._outbox.append([(source_of(event), draft(event)) for event in events], said)
        self._waiting += len(events)
        self._sender.wake()

    def unsaid(self, events: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
        """What a crash kept from the outbox."""
        said = self._outbox.recall_all(f"{SAID}:")
        return [e for e in events if e["n"] > int(said.get(f"{SAID}:{e['line']}", 0))]

    @property
    def waiting(self) -> int:
        """How many events are not settled, at most; counted now and then, for it takes its time."""
        now_s = asyncio.get_running_loop().time()
        if now_s - self._counted_s > COUNT_EVERY_S:
            self._counted_s, self._waiting = now_s, len(self._outbox)
        return self._waiting


class Bare:
    """Says events once: what the broker has acknowledged is done."""

    def __init__(self, client: MqttClient) -> None:
        self._client = client
        self._pending: set[asyncio.Future[None]] = set()

    async def run(self) -> None:
        """Nothing comes back but acknowledgements."""
        await asyncio.Event().wait()

    async def say(self, events: list[dict[str, Any]]) -> None:
        """Out, and forgotten at the PUBACK."""
        for event in events:
            said = draft(event)
            payload = encode_event(said, source_of(event), BARE_EPOCH, event["n"])
            promise = await self._client.send(said.topic, payload)
            self._pending.add(promise)
            promise.add_done_callback(self._pending.discard)

    def unsaid(self, _events: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
        """Nobody knows."""
        return []

    @property
    def waiting(self) -> int:
        """How many events are not acknowledged."""
        return len(self._pending)


async def generate(folder: Folder, journal_path: Path, orders: Orders) -> None:
    """Make and say, until the count is made and everything is settled."""
    plant, clock = folder.load_plant(), load_clock(folder.root)
    client = MqttClient(folder.address(bridge_user(BRIDGE)), f"bridge-{BRIDGE}")
    enough = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, enough.set)
    making = Making(list(plant.lines), orders, journal_path)
    if making.is_over:
        enough.set()
    with contextlib.ExitStack() as stack:
        mouth = _mouth(folder, plant.enterprise, client, orders, stack)
        journal = stack.enter_context(Journal(journal_path))
        async with client, asyncio.TaskGroup() as tasks:
            running = tasks.create_task(mouth.run())
            for events in _chunks(mouth.unsaid(read(journal_path))):
                await mouth.say(events)
            async for events in _paced(making, orders, mouth, clock, enough):
                journal.write(events)
                await mouth.say(events)
            while mouth.waiting:  # noqa: ASYNC110 - a count in the outbox, which tells nobody
                await asyncio.sleep(STEP_S)
            running.cancel()


async def _paced(
    making: Making, orders: Orders, mouth: Boxed | Bare, clock: PlantClock, enough: asyncio.Event
) -> AsyncIterator[list[dict[str, Any]]]:
    """What is made, chunk by chunk, until it is enough; then the ending."""
    pace = Pace(orders)
    while not enough.is_set() and making.total < orders.count:
        wanted = min(pace.due(), orders.waiting_max - mouth.waiting)
        for chunk in _chunks(
            making.some(max(0, min(wanted, orders.count - making.total)), clock())
        ):
            yield chunk
        with suppress(TimeoutError):
            await asyncio.wait_for(enough.wait(), STEP_S)
    for chunk in _chunks(making.ending(clock())):
        yield chunk


def _mouth(
    folder: Folder,
    enterprise: str,
    client: MqttClient,
    orders: Orders,
    stack: contextlib.ExitStack,
) -> Boxed | Bare:
    if orders.bare:
        return Bare(client)
    path = Path(orders.outbox) if orders.outbox else folder.outbox(f"bridge.{BRIDGE}")
    return Boxed(client, stack.enter_context(contextlib.closing(Outbox(path))), enterprise, orders)


def _chunks(events: list[dict[str, Any]]) -> Iterator[list[dict[str, Any]]]:
    for start in range(0, len(events), CHUNK):
        yield events[start : start + CHUNK]


if __name__ == "__main__":
    asyncio.run(generate(Folder(Path(sys.argv[1])), Path(sys.argv[2]), Orders.parse(sys.argv[3])))
