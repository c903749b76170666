"""What a host application knows of one edge node; the session that moves it is `host`."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Final, NamedTuple

from uns.sparkplug.catalogue import Catalogue, Place
from uns.sparkplug.outputs import HostOutput, Ignored, Stale

if TYPE_CHECKING:
    from uns.sparkplug.schema import Wire
    from uns.sparkplug.topic import Topic

BD_SEQ: Final = "bdSeq"
REBIRTH: Final = "Node Control/Rebirth"
SEQ_MODULUS: Final = 256


class Phase(StrEnum):
    """What is believed of a node: nothing is expected, a birth is asked for, its births hold."""

    OFFLINE = "offline"
    AWAITING = "awaiting"
    ONLINE = "online"


class Message(NamedTuple):
    """A received message of a node or device, its payload parsed but not yet read."""

    topic: Topic
    text: str
    raw: bytes
    wire: Wire
    now_ms: int

    @property
    def at_ms(self) -> int:
        """The time of sending, or that of receipt when the sender did not say."""
        return self.wire.timestamp or self.now_ms


@dataclass(slots=True)
class Node:
    """One edge node; `places` holds the births of what is online, None being the node itself.

    `pending` holds by seq the messages that came too early; `last_at_ms` is the youngest sending
    time that was applied. `gaps` and `rebirths` count what was missed and what was asked for,
    `unanswered` the latter since the last birth.
    """

    group: str
    edge_node: str
    phase: Phase = Phase.OFFLINE
    bd_seq: int | None = None
    next_seq: int = 0
    birth_at_ms: int = 0
    last_at_ms: int = 0
    places: dict[str | None, Catalogue] = field(default_factory=dict)
    pending: dict[int, Message] = field(default_factory=dict)
    asked_at_ms: int | None = None
    gaps: int = 0
    rebirths: int = 0
    unanswered: int = 0

    def place(self, device: str | None) -> Place:
        """Name the node or one of its devices."""
        return Place(self.group, self.edge_node, device)

    def end(self, phase: Phase, reason: str, now_ms: int) -> list[HostOutput]:
        """Enter a phase in which nothing that held before holds."""
        out: list[HostOutput] = [
            Stale(*self.place(device), now_ms, reason) for device in self.places
        ]
        out.extend(
            Ignored(f"waited in vain: {reason}", message.text) for message in self.pending.values()
        )
        self.phase, self.places, self.pending = phase, {}, {}
        return out

    def take_sent_since(self, at_ms: int) -> dict[int, Message]:
        """Take out the waiting messages that were sent at `at_ms` or later."""
        taken = {seq: each for seq, each in self.pending.items() if each.at_ms >= at_ms}
        self.pending = {seq: each for seq, each in self.pending.items() if seq not in taken}
        return taken
