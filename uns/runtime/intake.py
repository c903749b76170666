"""The guard in front of a fold: takes each event of a source once and in order.

An early event is held, unacknowledged, until the ones before it arrive (their source resends
them). A hole older than its bound becomes a `gap` fact: loss is said, never silent.
"""

from collections.abc import Callable, Iterator
from typing import Final, NamedTuple

from uns.fold import Admission, Draft, Mark, admit
from uns.model.events import Event, Gap
from uns.mqtt.message import Message

HELD_MAX: Final = 20_000
HOLE_AGE_S_MAX: Final = 30.0


class Taken(NamedTuple):
    """An admitted event and the MQTT message to acknowledge with it."""

    event: Event
    message: Message


class Intake:
    """Per (processor, line). `marks` is the resume document's own mapping and is moved here.

    baseline: how far a source that was never seen is settled; it cannot send what came before.
    """

    def __init__(self, marks: dict[str, Mark], baseline: Callable[[str], Mark | None]) -> None:
        self._marks = marks
        self._baseline = baseline
        self._held: dict[str, dict[Mark, Taken]] = {}
        self._hole_since_s: dict[str, float] = {}

    @property
    def held(self) -> int:
        """How many early events wait."""
        return sum(map(len, self._held.values()))

    def offer(self, taken: Taken, now_s: float) -> tuple[list[Taken], list[Message]]:
        """What may be folded now, in order, and messages that are duplicates (ack them)."""
        event = taken.event
        mark = self._marks.get(event.source) or self._baseline(event.source)
        match admit(mark, event.epoch, event.seq):
            case Admission.DUPLICATE:
                return [], [taken.message]
            case Admission.EARLY:
                return [], self._hold(taken, now_s)
            case Admission.NEXT:
                following = [self._move(taken), *self._follow(event.source, now_s)]
                return following, self._outdated(event.source)

    def patient(self, now_s: float) -> None:
        """Begin to wait anew: while the broker was away, nobody could fill a hole."""
        self._hole_since_s = dict.fromkeys(self._hole_since_s, now_s)

    def overdue(
        self, now_s: float, seen_by: str, at_ms: int
    ) -> Iterator[tuple[Draft, list[Taken]]]:
        """Give up holes that are too old: a gap fact each, and what may be folded after it."""
        for source, since_s in list(self._hole_since_s.items()):
            waiting = self._held.get(source, {})
            if waiting and (now_s - since_s > HOLE_AGE_S_MAX or len(waiting) >= HELD_MAX):
                yield self._give_up(source, min(waiting), seen_by, (now_s, at_ms))

    def _hold(self, taken: Taken, now_s: float) -> list[Message]:
        event = taken.event
        waiting = self._held.setdefault(event.source, {})
        before = waiting.get(Mark(event.epoch, event.seq))
        waiting[Mark(event.epoch, event.seq)] = taken
        self._hole_since_s.setdefault(event.source, now_s)
        return [before.message] if before else []

    def _move(self, taken: Taken) -> Taken:
        event = taken.event
        self._marks[event.source] = Mark(event.epoch, event.seq)
        return taken

    def _outdated(self, source: str) -> list[Message]:
        """Held events that a newer epoch has left behind."""
        waiting, mark = self._held.get(source, {}), self._marks[source]
        return [waiting.pop(held).message for held in sorted(waiting) if held <= mark]

    def _follow(self, source: str, now_s: float) -> Iterator[Taken]:
        """What may be folded after a move; a hole that remains begins its age anew."""
        waiting = self._held.get(source, {})
        self._hole_since_s[source] = now_s
        while waiting:
            mark = self._marks[source]
            following = waiting.pop(Mark(mark.epoch, mark.seq + 1), None)
            if following is None:
                return
            yield self._move(following)
        self._held.pop(source, None)
        self._hole_since_s.pop(source, None)

    def _give_up(
        self, source: str, first: Mark, seen_by: str, now: tuple[float, int]
    ) -> tuple[Draft, list[Taken]]:
        now_s, at_ms = now
        mark = self._marks.get(source) or Mark(first.epoch, 0)
        start = mark.seq + 1 if mark.epoch == first.epoch else 1
        held = self._held[source][first].event
        body = {
            "of_source": source,
            "of_epoch": first.epoch,
            "from_seq": start,
            "to_seq": first.seq - 1,
            "seen_by": seen_by,
        }
        self._marks[source] = Mark(first.epoch, first.seq - 1)
        gap_id = f"gap:{seen_by}:{source}:{first.epoch}:{start}"
        path = "/".join(held.path.split("/")[:4])
        return Draft(path, Gap.type_name, at_ms, body, None, gap_id), list(
            self._follow(source, now_s)
        )
