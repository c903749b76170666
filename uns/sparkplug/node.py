"""What a host application knows of one edge node; the session that moves it is `host`."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Final, NamedTuple
from zlib import crc32

from uns.sparkplug.catalogue import Catalogue, Place
from uns.sparkplug.errors import DecodeError
from uns.sparkplug.outputs import DropBirths, HostOutput, Ignored, Online, Stale

if TYPE_CHECKING:
    from uns.sparkplug.schema import Wire
    from uns.sparkplug.topic import Topic
    from uns.sparkplug.values import Metric

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

    def seq(self) -> int:
        """Give the seq, or raise DecodeError when there is no such seq."""
        stated: int = self.wire.seq
        if stated >= SEQ_MODULUS:
            raise DecodeError(f"seq {stated} is not in 0..{SEQ_MODULUS - 1}")
        return stated

    def is_older_than(self, birth_at_ms: int, late_ms_max: int) -> bool:
        """Tell whether DATA was sent before the birth: its seq then belongs to the birth before.

        A payload of history may bear an old time. A time far before the birth is a clock that was
        set back, which only a new birth heals: DecodeError.
        """
        late_ms = birth_at_ms - self.at_ms
        metrics = self.wire.metrics
        if late_ms <= 0 or (metrics and metrics[0].is_historical):
            return False
        if late_ms > late_ms_max:
            raise DecodeError(f"sent {late_ms} ms before the node's birth")
        return True


class Birth(NamedTuple):
    """What an NBIRTH or DBIRTH declares; `bd_seq` is an NBIRTH's, `checksum` that of its bytes."""

    at_ms: int
    checksum: int
    bd_seq: int | None
    metrics: tuple[Metric, ...]
    catalogue: Catalogue


@dataclass(slots=True)
class Node:
    """One edge node; in both dictionaries None is the node itself.

    `places` holds the births of what is online, `kept` those that are catalogue only: what they
    declare was not heard yet. `is_remembered` says that the node's own birth
    is such a one, also after its data was believed. `pending` holds by seq the messages that came
    too early; `last_at_ms` is the youngest sending time that was applied. `ask_at_ms` is when the
    next request may go; `gaps` and `rebirths` count what was missed and what was asked for,
    `unanswered` the latter since the last birth.
    """

    group: str
    edge_node: str
    phase: Phase = Phase.OFFLINE
    bd_seq: int | None = None
    next_seq: int = 0
    birth_at_ms: int = 0
    birth_checksum: int = 0
    last_at_ms: int = 0
    is_remembered: bool = False
    places: dict[str | None, Birth] = field(default_factory=dict)
    kept: dict[str | None, Birth] = field(default_factory=dict)
    pending: dict[int, Message] = field(default_factory=dict)
    ask_at_ms: int | None = None
    gaps: int = 0
    rebirths: int = 0
    unanswered: int = 0

    @property
    def is_unknown(self) -> bool:
        """Whether neither a birth is at hand nor one is asked for."""
        return self.phase is Phase.OFFLINE and not self.kept

    def is_old(self, birth: Message, late_ms_max: int) -> bool:
        """Tell whether an NBIRTH is the last one again, or a straggler from before it."""
        late_ms = self.birth_at_ms - birth.at_ms
        is_same = late_ms == 0 and crc32(birth.raw) == self.birth_checksum
        return is_same or 0 < late_ms <= late_ms_max

    def place(self, device: str | None) -> Place:
        """Name the node or one of its devices."""
        return Place(self.group, self.edge_node, device)

    def begin(self, birth: Birth, next_seq: int, *, is_remembered: bool) -> None:
        """Be online by this birth of the node, heard or remembered."""
        self.phase = Phase.ONLINE
        self.bd_seq, self.next_seq = birth.bd_seq, next_seq
        self.birth_at_ms = self.last_at_ms = birth.at_ms
        self.birth_checksum = birth.checksum
        self.is_remembered = is_remembered
        self.unanswered = 0

    def end(self, phase: Phase, reason: str, now_ms: int) -> list[HostOutput]:
        """Enter a phase in which nothing that held before holds, kept births included."""
        out = self._stop(phase, reason, now_ms)
        if self.places or self.kept:
            out.append(DropBirths(self.group, self.edge_node, None))
        self.places, self.kept, self.is_remembered = {}, {}, False
        return out

    def lose_sight(self, reason: str, now_ms: int) -> list[HostOutput]:
        """Believe no birth any more: the host hears nothing, so a later one may be missed.

        A birth heard later is never a straggler: it was sent after the host came back.
        """
        self.birth_at_ms = self.unanswered = 0
        return self.end(Phase.OFFLINE, reason, now_ms)

    def recall(self, device: str | None, at_ms: int) -> list[HostOutput]:
        """Put online by their kept births the node and the device, as they are heard first."""
        out: list[HostOutput] = []
        for each in dict.fromkeys((None, device)):
            birth = self.kept.pop(each, None)
            if birth is not None:
                self.places[each] = birth
                out.append(Online(*self.place(each), at_ms, birth.metrics, kept=True))
        return out

    def keep(self, device: str | None, birth: Birth) -> str | None:
        """Take a birth as catalogue, or say why not. A device's belongs to the node's before it."""
        held, node_birth = self.kept.get(device), self.kept.get(None)
        if birth.at_ms <= max(self.birth_at_ms, held.at_ms if held else 0):
            return "a kept birth that is not newer"
        if node_birth and device is not None and birth.at_ms < node_birth.at_ms:
            return "a kept birth older than the node's"
        if device is None:
            self.kept = {
                each: one for each, one in self.kept.items() if each and one.at_ms >= birth.at_ms
            }
        self.kept[device] = birth
        return None

    def wake_at_ms(self, tries_max: int, reorder_timeout_ms: int) -> int | None:
        """When to ask again, or to give up on a missing message; None when there is no such time.

        tries_max: how many requests may stay unanswered; 0 asks for nothing.
        """
        if self.phase is Phase.AWAITING and self.unanswered < tries_max:
            return self.ask_at_ms
        if self.pending:
            return min(each.now_ms for each in self.pending.values()) + reorder_timeout_ms
        return None

    def take_sent_since(self, at_ms: int) -> dict[int, Message]:
        """Take out the waiting messages that were sent at `at_ms` or later."""
        taken = {seq: each for seq, each in self.pending.items() if each.at_ms >= at_ms}
        self.pending = {seq: each for seq, each in self.pending.items() if seq not in taken}
        return taken

    def _stop(self, phase: Phase, reason: str, now_ms: int) -> list[HostOutput]:
        out: list[HostOutput] = [
            Stale(*self.place(device), now_ms, reason) for device in self.places
        ]
        out.extend(
            Ignored(f"waited in vain: {reason}", message.text) for message in self.pending.values()
        )
        self.phase, self.pending = phase, {}
        return out
