"""PURE: what a runner asks the record. Who answers is wired in from above.

The broker forgets, and an outbox may be lost with its machine; what the historian has on record is
still there. Every call may take as long as the store is away.
"""

from collections.abc import Sequence
from typing import Any, Final, NamedTuple, Protocol

from uns.fold import Mark, Processor
from uns.model.events import Event
from uns.runtime.resume import Rebuilt

EVENTS_MAX: Final = 2_000
"""Of one answer; a shorter one is the last."""


class Answer(NamedTuple):
    """Events on record, and how far their source was recorded (in its newest epoch) before that."""

    events: Sequence[Event]
    recorded: Mark | None


class Record(Protocol):
    """The record, as far as a (processor, line) needs it."""

    async def newest(self, topic: str) -> bytes | None:
        """The newest resume document on record; None if there is none."""

    async def events(self, source: str, epoch: int, first: int, last: int) -> Answer:
        """Events of a source in their order, at most EVENTS_MAX."""

    async def rebuilt(self, processor: Processor[Any], line: str) -> Rebuilt | None:
        """The state by all that is on record of a line; None if that is nothing."""
