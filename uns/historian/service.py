"""The historian process: receives everything, commits, acknowledges, then says how far it got.

The order of effects is its law: rows are durable before a message is acknowledged, and both come
before a watermark. A store that is away fills the broker's queue and the outboxes, never memory:
a batch that cannot be written is tried again, and nothing more is taken.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, field
from random import Random
from typing import Final, NamedTuple, ParamSpec, TypeVar

from uns.codec import Codec
from uns.historian.errors import HistorianError, StoreUnavailable
from uns.historian.owners import line_readers
from uns.historian.query_port import query_port
from uns.historian.retention import Keep
from uns.historian.sayings import (
    Health,
    last_topic,
    own_topics,
    say_health,
    say_reject,
    say_watermark,
)
from uns.historian.store import Embedded, Store, Tended, open_store
from uns.historian.writer import Told, Writer
from uns.model.plant import Plant
from uns.mqtt.client import BATCH, MqttClient
from uns.mqtt.message import Message, Outgoing, Session

BATCH_S: Final = 0.2
BATCH_MESSAGES_MAX: Final = 5_000
BATCH_BYTES_MAX: Final = 4_000_000
IDLE_S: Final = 0.5
HEALTH_EVERY_S: Final = 2.0
RETRY_S_MIN: Final = 0.2
RETRY_S_MAX: Final = 2.0
INBOX_LIMIT: Final = BATCH_MESSAGES_MAX
"""Beside the batch that is written and the one that is gathered."""
LEAVE_TIMEOUT_S: Final = 5.0
TEND_EVERY_S: Final = 1.0
TEND_REST_S: Final = 30.0

P = ParamSpec("P")
R = TypeVar("R")

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class HistorianWiring:
    """What a historian works with. `clock` is plant time in ms; `chance` spreads its retries.

    voice: the connection it speaks on. None: `client`, where each answer stands behind all that is
    queued for it, so that much has to be taken in before what was said is known to be heard.
    keep: how long rows are kept; None: for ever.
    """

    name: str
    enterprise: str
    client: MqttClient
    store: Store
    writer: Writer
    clock: Callable[[], int]
    chance: Random = field(default_factory=Random)
    keep: Keep | None = None
    voice: MqttClient | None = None


@dataclass(frozen=True)
class HistorianSetup:
    """What a historian process is made of.

    location: see `locate`. client, voice: not yet connected; the one that listens has a fixed id, a
    session that is kept and `last_will`. processors: those that run on every line, each with the
    names below `_state` that it writes.
    """

    plant: Plant
    location: str
    client: MqttClient
    voice: MqttClient
    clock: Callable[[], int]
    processors: Mapping[str, frozenset[str]]
    name: str = "main"


class Gathered(NamedTuple):
    """Messages of one batch; since_s: when the first of them came, on the loop's clock."""

    messages: list[Message]
    since_s: float


class Historian:
    """The one writer of a store: `run` until cancelled; raises TakenOver or SchemaTooNew."""

    def __init__(self, wiring: HistorianWiring) -> None:
        self._w = wiring
        self._voice = wiring.voice or wiring.client
        self._thread = ThreadPoolExecutor(1, "store")
        self._away: str | None = "not open yet"
        self._waiting_since_s: float | None = None
        self._changed = asyncio.Event()
        self._tell_all = True
        self._rows = 0
        self._last = Outgoing(
            last_topic(wiring.enterprise, wiring.name), wiring.chance.randbytes(16)
        )
        self._last_seen = False
        self._tend_at_s = 0.0
        self._more_to_tend = False
        self._untended: str | None = None
        wiring.client.on_connect = self._connected

    async def run(self) -> None:
        """Record until cancelled, and then what was said before that."""
        async with self._store_thread(), asyncio.TaskGroup() as tasks:
            await self._w.client.subscribe([f"{self._w.enterprise}/#"])
            tasks.create_task(self._say_health())
            recording = tasks.create_task(self._record())
            try:
                await asyncio.shield(recording)
            except asyncio.CancelledError:
                await self._leave(recording)
                raise

    async def _record(self) -> None:
        """Batch after batch: while one is written, the next one is gathered."""
        await self._insist(self._w.writer.start)
        batch = await self._gather()
        while not self._last_seen:
            async with asyncio.TaskGroup() as both:
                gathering = both.create_task(self._gather())
                both.create_task(self._take(batch))
            batch = gathering.result()

    async def _leave(self, recording: asyncio.Task[None]) -> None:
        """A message of our own marks the end of what the broker was given before the end."""
        with suppress(TimeoutError):
            async with asyncio.timeout(LEAVE_TIMEOUT_S):
                await self._voice.publish_many([self._last])
                await asyncio.shield(recording)

    async def _connected(self, _session: Session) -> None:
        self._tell_all = True

    @asynccontextmanager
    async def _store_thread(self) -> AsyncIterator[None]:
        """The end waits for a commit that is under way."""
        try:
            yield
        finally:
            self._thread.shutdown(wait=True, cancel_futures=True)
            self._w.store.close()

    async def _gather(self) -> Gathered:
        """A batch: what comes within BATCH_S of its first message, bounded in number and bytes."""
        batch = await self._w.client.receive(BATCH, IDLE_S)
        since_s = _now_s()
        end_s = since_s + BATCH_S
        size = _bytes(batch)
        while batch and len(batch) < BATCH_MESSAGES_MAX and size < BATCH_BYTES_MAX:
            left_s = end_s - _now_s()
            if left_s <= 0:
                break
            room = min(BATCH, BATCH_MESSAGES_MAX - len(batch))
            more = await self._w.client.receive(room, left_s)
            size += _bytes(more)
            batch += more
        return Gathered(batch, since_s)

    async def _take(self, batch: Gathered) -> None:
        """Commit, acknowledge, tell: in this order."""
        if messages := batch.messages:
            self._waiting_since_s = batch.since_s
            rows = await self._in_thread(self._w.writer.prepare, messages, self._w.clock())
            told = await self._insist(self._w.writer.commit, rows)
            self._w.client.ack(messages)
            self._waiting_since_s = None
            self._rows += told.rows
            self._last_seen |= any(message.payload == self._last.payload for message in messages)
            await self._tell(told)
        if self._tell_all:
            self._tell_all = False
            await self._tell(Told(0, self._w.writer.everything(), []))
        await self._tend(is_idle=not batch.messages)

    async def _tend(self, *, is_idle: bool) -> None:
        """One step of upkeep, if it is time: when nothing comes, while there is more to do."""
        store, keep = self._w.store, self._w.keep
        is_time = _now_s() >= self._tend_at_s or (is_idle and self._more_to_tend)
        if not isinstance(store, Tended) or not is_time:
            return
        more, reason = False, None
        try:
            more = await self._in_thread(store.tend, keep, self._w.clock())
        except HistorianError as error:
            reason = str(error)
        self._cannot_tend(reason)
        self._more_to_tend = more
        self._tend_at_s = _now_s() + (TEND_EVERY_S if more else TEND_REST_S)

    def _cannot_tend(self, reason: str | None) -> None:
        """Rows wait longer for their sums, nothing is lost: said when it begins."""
        if reason and reason != self._untended:
            log.warning("old samples are not rolled up now: %s", reason)
        self._untended = reason

    async def _tell(self, told: Told) -> None:
        enterprise, at_ms = self._w.enterprise, self._w.clock()
        rejects = [say_reject(enterprise, note) for note in told.rejects]
        watermarks = [say_watermark(enterprise, mark, at_ms) for mark in told.watermarks]
        await self._voice.publish_many([*rejects, *(said for said in watermarks if said)])

    async def _insist(self, call: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
        """Call the store until it is there."""
        delay_s = RETRY_S_MIN
        while True:
            try:
                result = await self._in_thread(call, *args, **kwargs)
            except StoreUnavailable as error:
                self._is_away(str(error))
                await asyncio.sleep(delay_s * self._w.chance.uniform(0.5, 1.0))
                delay_s = min(2 * delay_s, RETRY_S_MAX)
            else:
                self._is_away(None)
                return result

    def _is_away(self, reason: str | None) -> None:
        """Note whether the store is there, and say it at once when that has changed."""
        if reason == self._away:
            return
        if reason:
            log.warning("store unavailable, nothing is acknowledged: %s", reason)
        else:
            log.info("the store is there: %s", self._w.store.kind)
        self._away = reason
        self._changed.set()

    async def _in_thread(self, call: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._thread, lambda: call(*args, **kwargs))

    async def _say_health(self) -> None:
        rows, at_s, rate = self._rows, _now_s(), 0.0
        while True:
            await self._voice.publish_many([self._health(rate)])
            with suppress(TimeoutError):
                async with asyncio.timeout(HEALTH_EVERY_S):
                    await self._changed.wait()
            self._changed.clear()
            now_s = _now_s()
            rate = (self._rows - rows) / (now_s - at_s)
            rows, at_s = self._rows, now_s

    def _health(self, rows_per_s: float) -> Outgoing:
        since_s = self._waiting_since_s
        waited_s = 0.0 if since_s is None else _now_s() - since_s
        health = Health(
            name=self._w.name,
            store=self._w.store.kind,
            available=self._away is None,
            reason=self._away,
            rows=self._rows,
            rows_per_s=round(rows_per_s, 1),
            lag_ms=int(waited_s * 1000),
            at_ms=self._w.clock(),
        )
        return say_health(self._w.enterprise, health)


async def run_historian(setup: HistorianSetup) -> None:
    """One historian process, until cancelled; readers of an embedded store ask it meanwhile."""
    plant = setup.plant
    store = open_store(setup.location, setup.clock)
    readers = line_readers(plant.lines, setup.processors)
    writer = Writer(Codec(plant), store, readers, own_topics(plant.enterprise))
    keep = Keep(plant.retention, readers.topics()) if plant.retention else None
    wiring = HistorianWiring(
        setup.name,
        plant.enterprise,
        setup.client,
        store,
        writer,
        setup.clock,
        keep=keep,
        voice=setup.voice,
    )
    async with AsyncExitStack() as stack:
        if isinstance(store, Embedded):
            await stack.enter_async_context(query_port(store.folder, store.answer))
        await stack.enter_async_context(setup.voice)
        await stack.enter_async_context(setup.client)
        await Historian(wiring).run()


def _now_s() -> float:
    return asyncio.get_running_loop().time()


def _bytes(messages: Sequence[Message]) -> int:
    return sum(len(message.payload) for message in messages)
