"""Keeps the retained tree: says again what the broker forgot, clears what came back from the dead.

A broker that was killed, restored or emptied by hand says nothing of it. So the hub looks: at its
start, before any process of the plant speaks, and a while after each of its connects, when who is
alive has spoken for himself. Owns the order of a look, the canary at `_hub/broker/incarnation` and
the account at `_hub/broker/tree`. What is newer is `retained`'s to judge; the store is asked
through `Remember`. A look that cannot be finished is taken again.
"""

import asyncio
import json
import logging
import secrets
from collections.abc import Awaitable, Callable, Collection, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal, NamedTuple

from uns.codec import encode_document
from uns.mqtt.client import MqttClient
from uns.mqtt.errors import MqttError
from uns.mqtt.message import Message, Outgoing
from uns.runtime.clock import PlantClock
from uns.runtime.errors import RecordAway
from uns.runtime.retained import Remembered, Tree

GRACE_S: Final = 10.0
"""After a connect: bridges and processors, back within two seconds, have said what they show."""
AGAIN_S_MAX: Final = 60.0
CONFIRM_S: Final = 2.0
LOOK_S_MAX: Final = 120.0
PATIENCE_S: Final = 90.0
HURRY_S: Final = 15.0
"""At the start everybody waits; the record of many months is asked again when they run."""
ROUNDS_MAX: Final = 5

Remember = Callable[[Collection[str], float], Awaitable[Remembered]]
"""What the record says of these topics and of all that should stand, if each question is answered
within so many seconds. Raises RecordAway."""
Found = Literal["whole", "partly", "forgot"]

log = logging.getLogger(__name__)


class Canary(NamedTuple):
    """What the broker should remember of us: which of its memories this is, and our newest look."""

    incarnation: int
    look: int


class Account(NamedTuple):
    """What looks at one memory of the broker came to.

    found: what the first of them saw. expected: topics that should stand, by the record. left:
    topics that are not as they should be, though they were published. waiting: why the newest look
    could not be finished.
    """

    found: Found = "whole"
    expected: int = 0
    restored: int = 0
    cleared: int = 0
    left: int = 0
    seconds: float = 0.0
    waiting: str | None = None

    @property
    def summary(self) -> str:
        """One line for a person."""
        if self.waiting:
            return f"{self.found}, to be looked at again: {self.waiting}"
        done = f"{self.restored} of {self.expected} topics restored, {self.cleared} cleared"
        left = f", {self.left} refused" if self.left else ""
        return f"{self.found}: {done} in {self.seconds:.1f} s{left}"


@dataclass(frozen=True, slots=True)
class KeeperWiring:
    """What a keeper works with.

    visitor: makes a connection without a session, one for each look. note: the file that remembers
    the canary.
    """

    enterprise: str
    visitor: Callable[[], MqttClient]
    remember: Remember
    note: Path
    clock: PlantClock
    grace_s: float = GRACE_S


class Keeper:
    """The tree of one enterprise: `look` before anybody speaks, then `run` until cancelled."""

    def __init__(self, wiring: KeeperWiring) -> None:
        self._w = wiring
        self._root = f"{wiring.enterprise}/_hub/broker/"
        self._wanted = asyncio.Event()
        self.account = Account()

    def look_soon(self) -> None:
        """The hub has connected: the broker may be another, or have forgotten."""
        self._wanted.set()

    async def run(self) -> None:
        """Look when asked to, and then until there is nothing to repair."""
        while True:
            await self._wanted.wait()
            wait_s, settled = self._w.grace_s, False
            while not settled:
                self._wanted.clear()
                await asyncio.sleep(wait_s)
                settled = await self.look(confirm_s=CONFIRM_S) and not self._wanted.is_set()
                wait_s = min(2 * wait_s, AGAIN_S_MAX)

    async def look(self, patience_s: float = PATIENCE_S, confirm_s: float = 0.0) -> bool:
        """Compare and repair; whether all was as it should be. Says what it did in the tree.

        confirm_s: what is to be repaired must still be so after this time, while others speak: a
        topic that was cleared a moment ago is not yet so on record.
        """
        before, is_whole = self.account, False
        try:
            async with asyncio.timeout(LOOK_S_MAX), self._w.visitor() as visitor:
                is_whole = await _Look(visitor, self._w, self._root, self).take(
                    patience_s, confirm_s
                )
        except (MqttError, TimeoutError) as error:
            self.account = before._replace(waiting=str(error) or "the broker is slow")
        if self.account._replace(seconds=before.seconds) != before:
            log.info("retained tree %s", self.account.summary)
        return is_whole

    def kept(self) -> Canary | None:
        """The newest canary that the broker took; None before the first."""
        try:
            return Canary(**json.loads(self._w.note.read_text()))
        except (OSError, ValueError, TypeError):
            return None

    def keep(self, canary: Canary) -> None:
        """Remember a canary that the broker has."""
        fresh = self._w.note.with_suffix(".tmp")
        fresh.write_text(json.dumps(canary._asdict()))
        fresh.replace(self._w.note)


class _Look:
    """One look over one connection."""

    def __init__(
        self, visitor: MqttClient, wiring: KeeperWiring, root: str, keeper: Keeper
    ) -> None:
        self._visitor = visitor
        self._w = wiring
        self._root = root
        self._keeper = keeper
        self._tree = Tree()
        self._canary: Canary | None = None

    async def take(self, patience_s: float, confirm_s: float) -> bool:
        """Hear all that stands, ask the record, repair; whether there was nothing to repair."""
        loop, kept = asyncio.get_running_loop(), self._keeper.kept()
        started_s = loop.time()
        await self._visitor.subscribe(list(filters(self._w.enterprise)))
        await self._say_and_hear([])
        told = _told(self._canary, kept)
        try:
            stood, expected = await self._recall(patience_s)
            if confirm_s and self._tree.repairs():
                await asyncio.sleep(confirm_s)
                stood, expected = await self._recall(patience_s)
            account = await self._repair(told, stood, expected)
        except RecordAway as away:
            account = Account(found=_found(told, 0, 0, 0), waiting=str(away))
        account = account._replace(seconds=round(loop.time() - started_s, 2))
        is_whole = not (account.restored or account.cleared or account.left or account.waiting)
        if told == "same":
            account = _sum(self._keeper.account, account)
        await self._report(account, _next(self._canary, kept, told))
        return is_whole

    async def _recall(self, patience_s: float) -> tuple[int, int]:
        """Take what is on record: how many of the expected topics stand, and how many there are."""
        remembered = await self._w.remember(self._tree.topics, patience_s)
        await self._say_and_hear([])  # what was said while the record was asked is newer
        return self._tree.remember(remembered), len(remembered.expected)

    async def _repair(self, told: str, stood: int, expected: int) -> Account:
        first = repairs = self._tree.repairs()
        for _ in range(ROUNDS_MAX):
            if not repairs:
                break
            await self._say_and_hear(repairs)
            repairs = self._tree.repairs()
        left = {repair.topic for repair in repairs}
        done = [bool(repair.payload) for repair in first if repair.topic not in left]
        return Account(
            found=_found(told, expected, stood, len(first)),
            expected=expected,
            restored=done.count(True),
            cleared=done.count(False),
            left=len(left),
        )

    async def _report(self, account: Account, canary: Canary) -> None:
        at_ms = self._w.clock()
        summary = f"incarnation {canary.incarnation}, look {canary.look}"
        stamp = {"summary": summary, **canary._asdict(), "at_ms": at_ms}
        tree = {
            "summary": account.summary,
            **account._asdict(),
            "incarnation": canary.incarnation,
            "at_ms": at_ms,
        }
        await self._visitor.publish_many(
            Outgoing(f"{self._root}{name}", encode_document(document), retain=True)
            for name, document in (("incarnation", stamp), ("tree", tree))
        )
        self._keeper.keep(canary)
        self._keeper.account = account

    async def _say_and_hear(self, messages: Iterable[Outgoing]) -> None:
        """Publish, and hear everything up to a probe behind it, as the broker ordered it."""
        nonce = encode_document({"nonce": secrets.token_hex(8)})
        probe = Outgoing(f"{self._root}probe", nonce)
        saying = asyncio.create_task(self._visitor.publish_many([*messages, probe]))
        try:
            await self._hear_until(nonce)
            await saying
        finally:
            saying.cancel()

    async def _hear_until(self, nonce: bytes) -> None:
        heard = False
        while not heard:
            batch = await self._visitor.receive()
            for message in batch:
                self._hear(message)
            self._visitor.ack(batch)
            heard = any(message.payload == nonce for message in batch)

    def _hear(self, message: Message) -> None:
        if message.topic == f"{self._root}incarnation":
            self._canary = _canary(message.payload)
        elif not message.topic.startswith(self._root):
            self._tree.hear(message.topic, message.payload)


def filters(enterprise: str) -> Iterable[str]:
    """What a keeper looks at: `_tag` of cells, `_state` of lines and cells, its own topics."""
    line = f"{enterprise}/+/+/+"
    return (
        f"{line}/+/_tag/#",
        f"{line}/_state/#",
        f"{line}/+/_state/#",
        f"{enterprise}/_hub/broker/#",
    )


def _canary(payload: bytes) -> Canary | None:
    try:
        document: Any = json.loads(payload)
        return Canary(int(document["incarnation"]), int(document["look"]))
    except (ValueError, TypeError, KeyError):
        return None


def _told(seen: Canary | None, kept: Canary | None) -> str:
    """What the canary says of the broker's memory: that it is new, the same, older, or gone."""
    if kept is None:
        return "new"
    if seen is None:
        return "gone"
    return "older" if seen < kept else "same"


def _next(seen: Canary | None, kept: Canary | None, told: str) -> Canary:
    last = max(filter(None, (seen, kept)), default=Canary(0, 0))
    return Canary(last.incarnation + (told != "same"), last.look + 1)


def _found(told: str, expected: int, stood: int, repairs: int) -> Found:
    if told == "gone" or (expected and not stood):
        return "forgot"
    return "partly" if repairs or told == "older" else "whole"


def _sum(before: Account, now: Account) -> Account:
    """The account of one memory goes on, as long as it is the same."""
    return now._replace(
        found=before.found if before.found != "whole" else now.found,
        restored=before.restored + now.restored,
        cleared=before.cleared + now.cleared,
        seconds=round(before.seconds + now.seconds, 2),
    )
