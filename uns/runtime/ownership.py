"""Who owns a (processor, line): the claim, retained beside the resume document.

Owns the claim document and the one rule by which claims are compared. A broker gives every
subscriber the messages of a topic in one order, so that order decides: a claim holds unless one
with the same or a newer epoch stands before it (docs/adr/0012). Knows neither the runner nor the
clock on the wall; whoever lost hears Fenced, and must write no more.
"""

import asyncio
import json
import logging
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Final, NamedTuple

from uns.codec import encode_document
from uns.mqtt.client import MqttClient
from uns.mqtt.errors import ConnectionOver
from uns.mqtt.message import Message
from uns.runtime.errors import Fenced

VISIT_TIMEOUT_S: Final = 5.0
RETRY_S: Final = 0.2
PROBE: Final = "probe"
CLAIM: Final = "claim"

log = logging.getLogger(__name__)

Visit = Callable[[], MqttClient]
"""Makes a client for one short visit: `clean_session=True, once=True`, an id of its own. A visit
that loses its connection is over, so nothing that was said meanwhile can be missed unnoticed."""


class Claimant(NamedTuple):
    """Who claims. by: the process, for people. nonce: no other process has the same."""

    by: str
    nonce: str


@dataclass(frozen=True, slots=True)
class Claim:
    """What its owner said, and says again to a broker that forgot.

    topic: of the resume document. at_ms: plant time of the claim.
    """

    topic: str
    owner_epoch: int
    claimant: Claimant
    at_ms: int

    @property
    def said_at(self) -> str:
        """The topic of the claim document."""
        return f"{self.topic}/{CLAIM}"

    @property
    def payload(self) -> bytes:
        """The claim document; the same bytes each time."""
        return encode_document(
            {
                "summary": f"{self.claimant.by} is owner {self.owner_epoch}",
                "owner_epoch": self.owner_epoch,
                "nonce": self.claimant.nonce,
                "by": self.claimant.by,
                "at_ms": self.at_ms,
            }
        )

    def yield_to(self, message: Message) -> None:
        """Raise Fenced if a message shows another owner.

        A resume document does with a newer epoch; a claim does with the same epoch as well.
        """
        owner_epoch = _owner_epoch(message)
        is_rival = message.topic == self.said_at and message.payload != self.payload
        if owner_epoch > self.owner_epoch or (is_rival and owner_epoch == self.owner_epoch):
            raise Fenced(f"{self.topic} belongs to owner {owner_epoch} now, not {self.claimant.by}")


async def claim(
    visit: Visit, topic: str, claimant: Claimant, clock: Callable[[], int], known_epoch: int = 0
) -> Claim:
    """Become the owner, with an epoch above all known ones; waits for a broker that is away.

    topic: of the resume document. known_epoch: the newest owner that the record knows of.
    Raises Fenced when somebody else was first.
    """
    while True:
        try:
            async with visiting(visit) as visitor:
                found = await retained(visitor, topic, claimant)
                before = [known_epoch, *map(_owner_epoch, found)]
                claimed = Claim(topic, max(before) + 1, claimant, clock())
                await _say(visitor, claimed)
                return claimed
        except (OSError, ConnectionOver) as error:  # a TimeoutError is an OSError
            log.info("%s: not claimed yet (%s)", topic, str(error) or "timeout")
            await asyncio.sleep(RETRY_S)


async def check(visit: Visit, claimed: Claim) -> None:
    """Before a reconnect: the claim still holds; says it again where the broker forgot it.

    Raises Fenced when it holds no more; OSError or ConnectionOver when the broker cannot be asked.
    """
    async with visiting(visit) as visitor:
        found = await retained(visitor, claimed.topic, claimed.claimant)
        for message in found:
            claimed.yield_to(message)
        if all(message.payload != claimed.payload for message in found):
            await _say(visitor, claimed)


@asynccontextmanager
async def visiting(visit: Visit) -> AsyncIterator[MqttClient]:
    """One short visit; OSError or ConnectionOver when the broker cannot be asked."""
    async with asyncio.timeout(VISIT_TIMEOUT_S), visit() as visitor:
        yield visitor


async def retained(
    visitor: MqttClient, topic: str, claimant: Claimant, also: Sequence[str] = ()
) -> list[Message]:
    """What is retained at and below a topic, and what was said there until now.

    The own probe, read back, marks the end of what is retained. What came behind it counts too.
    also: further filters to look at.
    """
    probe, mark = f"{topic}/{PROBE}", encode_document({"nonce": claimant.nonce})
    await visitor.subscribe([f"{topic}/#", *also])
    await visitor.publish(probe, mark)
    found = list[Message]()
    while (probe, mark) not in ((message.topic, message.payload) for message in found):
        found += await visitor.receive()
    return found


async def _say(visitor: MqttClient, claimed: Claim) -> None:
    """Publish a claim and read it back; what stands before it in the broker's order decides."""
    await visitor.publish(claimed.said_at, claimed.payload, retain=True)
    while True:
        for message in await visitor.receive():
            if (message.topic, message.payload) == (claimed.said_at, claimed.payload):
                return
            claimed.yield_to(message)


def _owner_epoch(message: Message) -> int:
    """The owner that a document names; 0 where it names none."""
    try:
        return int(json.loads(message.payload)["owner_epoch"])
    except (ValueError, KeyError, TypeError):
        return 0
