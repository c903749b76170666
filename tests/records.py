"""A record for tests of the runtime: what it has is set by the test. (The real one: tests/e2e.)"""

from dataclasses import dataclass, field
from typing import Any

from uns.fold import Mark, Processor
from uns.model.events import Event
from uns.runtime.record import EVENTS_MAX, Answer
from uns.runtime.resume import Rebuilt


@dataclass
class GivenRecord:
    """Answers at once."""

    stored: bytes | None = None
    on_record: list[Event] = field(default_factory=list)
    recorded: Mark | None = None
    folded_anew: Rebuilt | None = None

    async def newest(self, topic: str) -> bytes | None:
        """See Record."""
        return self.stored if "/_hub/processor/" in topic else None

    async def events(self, source: str, epoch: int, first: int, last: int) -> Answer:
        """See Record."""
        found = (e for e in self.on_record if (e.source, e.epoch) == (source, epoch))
        events = [event for event in found if first <= event.seq <= last][:EVENTS_MAX]
        return Answer(events, self.recorded)

    async def rebuilt(self, _processor: Processor[Any], _line: str) -> Rebuilt | None:
        """See Record."""
        return self.folded_anew
