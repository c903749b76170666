"""The guard in front of a fold: takes each event of a source once and in order.

An early event is held, unacknowledged, until the ones before it arrive (their source resends
them). What does not come for a while is looked up on record. What the record passed over is passed
over here; what it does not have and a source of a later epoch cannot say any more becomes a `gap`
fact: loss is said, never silent. Else the source still has it, however long that takes: what is
held behind it is let go, for its source has that as well, and acks go in order: one message held
for long fills the broker's window, and nothing else is heard. After a crash sources take turns as
they did before it.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Final, NamedTuple

from uns.fold import Admission, Draft, Mark, admit
from uns.model.events import Event, Gap
from uns.mqtt.message import Message
from uns.runtime.resume import Run

HELD_MAX: Final = 5_000
"""Of a source, well below what the broker lets us hold; further ones are said again anyway."""
LOOK_UP_AFTER_S: Final = 15.0
"""More than the longest time between two resends of a source (see Sender)."""
TURNS_S_MAX: Final = 60.0


class Taken(NamedTuple):
    """An admitted event, and the MQTT message to acknowledge with it; None: it was on record."""

    event: Event
    message: Message | None


class Want(NamedTuple):
    """Events to look up on record; `last` None: all there are."""

    source: str
    epoch: int
    first: int
    last: int | None


class Intake:
    """Per (processor, line). `marks` is the resume document's own mapping and is moved here.

    baseline: how far a source that was never seen is settled; it cannot send what came before.
    turns: the order in which sources were folded before a crash, from the first run on.
    """

    def __init__(
        self,
        marks: dict[str, Mark],
        baseline: Callable[[str], Mark | None],
        turns: Iterable[Run] = (),
    ) -> None:
        self._marks = marks
        self._baseline = baseline
        self._held: dict[str, dict[Mark, Taken]] = {}
        self._let_go = list[Message]()
        self._since_s: dict[str, float] = {}
        self._turns = [run for run in turns if run.mark > marks.get(run.source, Mark(0, 0))]
        self._turns_since_s: float | None = None
        self._ended: dict[str, int] = {}

    @property
    def turns(self) -> Sequence[Run]:
        """Those of before a crash that are still to come."""
        return self._turns

    @property
    def held(self) -> int:
        """How many early events wait."""
        return sum(map(len, self._held.values()))

    def offer(self, taken: Taken, now_s: float) -> tuple[list[Taken], list[Message]]:
        """What may be folded now, in order, and messages that are duplicates (ack them)."""
        event = taken.event
        match admit(self._mark(event.source), event.epoch, event.seq):
            case Admission.DUPLICATE:
                return [], _messages([taken])
            case Admission.EARLY:
                return [], self._hold(taken, now_s)
            case Admission.NEXT:
                finished = self._hold(taken, now_s)
                return list(self._follow(now_s)), [*finished, *self._outdated(event.source)]

    def patient(self, now_s: float) -> None:
        """Begin to wait anew: while the broker was away, nobody could fill a hole."""
        self._since_s = dict.fromkeys(self._since_s, now_s)
        self._turns_since_s = None

    def wants(self, recorded: Mapping[str, Mark], now_s: float) -> Iterator[Want]:
        """What to look up: holes that are old, the end of an epoch, what the record is ahead of.

        recorded: how far each source is on record. For each, `found` and
        `searched` take what there was.
        """
        for source in sorted(self._held.keys() | recorded.keys()):
            want = self._hole(source) or self._behind(source, recorded.get(source))
            since_s = self._since_s.setdefault(source, now_s) if want else None
            if want is None and source not in self._held:
                self._since_s.pop(source, None)
            elif want and since_s is not None and self._is_due(source, now_s - since_s):
                yield want

    def found(self, events: Iterable[Event], now_s: float) -> list[Taken]:
        """Take what was on record."""
        return [one for event in events for one in self.offer(Taken(event, None), now_s)[0]]

    def searched(
        self, want: Want, recorded: Mark | None, now_s: float
    ) -> tuple[list[Taken], Draft | None]:
        """All that is on record was taken: pass over what nobody can say any more, if anything.

        It is a gap, unless the record counts it (then it was refused, or is no event there). The
        gap is a fact without time and witness of its own: see `said`. An epoch is over when the
        record has a later one: what was said of it stands before that. What waits for something
        that its source may still say is let go: see `take_let_go`.
        """
        known = recorded or Mark(0, 0)
        if want.last is None and known.epoch > want.epoch:
            self._ended[want.source] = want.epoch
        hole, gap = self._hole(want.source), None
        if hole and hole.last is not None and _lies_in(hole, want):
            end = Mark(hole.epoch, hole.last)
            if known.epoch == end.epoch and known >= end:
                self._pass_over(hole, end)
            elif known.epoch > end.epoch:
                gap = self._pass_over(hole, end)
            else:
                self._let_go += _messages(self._held.pop(want.source).values())
        self._since_s[want.source] = now_s
        return list(self._follow(now_s)), gap

    def take_let_go(self) -> list[Message]:
        """What was held behind a hole until neither source nor record had filled it (ack them)."""
        let_go, self._let_go = self._let_go, []
        return let_go

    def go_on(self, now_s: float) -> list[Taken]:
        """No more turns, if the one whose turn it is does not come: what may be folded then."""
        if not self._turns or not self._held:
            self._turns_since_s = None
            return []
        if self._turns_since_s is None:
            self._turns_since_s = now_s
        if now_s - self._turns_since_s < TURNS_S_MAX:
            return []
        self._turns.clear()
        return list(self._follow(now_s))

    def _mark(self, source: str) -> Mark | None:
        return self._marks.get(source) or self._baseline(source)

    def _hold(self, taken: Taken, now_s: float) -> list[Message]:
        event = taken.event
        waiting = self._held.setdefault(event.source, {})
        here = Mark(event.epoch, event.seq)
        before = waiting.get(here)
        if before is None and len(waiting) >= HELD_MAX and here > min(waiting):
            return _messages([taken])
        waiting[here] = taken
        self._since_s.setdefault(event.source, now_s)
        return _messages([before] if before else [])

    def _follow(self, now_s: float) -> Iterator[Taken]:
        """All that may be folded now, source by source; in turns, while there are any."""
        moved = True
        while moved:
            moved = False
            self._pass_turns()
            for source in [self._turns[0].source] if self._turns else list(self._held):
                for taken in self._of(source, now_s):
                    moved = True
                    yield taken

    def _pass_turns(self) -> None:
        """Turns may be told twice, and those that were taken are over."""
        while self._turns and self._turns[0].mark <= self._marks.get(
            self._turns[0].source, Mark(0, 0)
        ):
            self._turns.pop(0)
            self._turns_since_s = None

    def _of(self, source: str, now_s: float) -> Iterator[Taken]:
        """What follows the mark of one source; a hole that remains begins its age anew."""
        waiting = self._held.get(source, {})
        while waiting and (here := self._next(source, waiting)):
            self._marks[source] = here
            self._since_s[source] = now_s
            yield waiting.pop(here)
            if self._turns and self._turns[0].mark <= here:
                break
        if not waiting:
            self._held.pop(source, None)
            self._since_s.pop(source, None)

    def _next(self, source: str, waiting: Mapping[Mark, Taken]) -> Mark | None:
        """Of what waits, the one that follows the mark; of a new epoch when the old one is over."""
        mark = self._mark(source)
        if mark and (same := Mark(mark.epoch, mark.seq + 1)) in waiting:
            return same
        first = min(waiting)
        begins = first.seq == 1 and (mark is None or first.epoch > mark.epoch)
        over = mark is None or mark.seq == 0 or self._ended.get(source) == mark.epoch
        return first if begins and over else None

    def _outdated(self, source: str) -> list[Message]:
        """Held events that a newer epoch has left behind."""
        waiting, mark = self._held.get(source, {}), self._marks.get(source)
        old = [held for held in waiting if mark and held <= mark]
        return _messages(waiting.pop(held) for held in old)

    def _hole(self, source: str) -> Want | None:
        """What is missing before the first of those that wait."""
        waiting = self._held.get(source)
        if not waiting:
            return None
        first, mark = min(waiting), self._mark(source)
        if mark and mark.epoch != first.epoch and self._ended.get(source) != mark.epoch:
            return Want(source, mark.epoch, mark.seq + 1, None)
        start = mark.seq + 1 if mark and mark.epoch == first.epoch else 1
        return Want(source, first.epoch, start, first.seq - 1) if start < first.seq else None

    def _behind(self, source: str, recorded: Mark | None) -> Want | None:
        """What the record has and nobody sent."""
        mark = self._mark(source)
        if recorded is None or source in self._held or recorded <= (mark or Mark(0, 0)):
            return None
        if mark and mark.epoch < recorded.epoch and self._ended.get(source) != mark.epoch:
            return Want(source, mark.epoch, mark.seq + 1, None)
        start = mark.seq + 1 if mark and mark.epoch == recorded.epoch else 1
        return Want(source, recorded.epoch, start, recorded.seq)

    def _is_due(self, source: str, age_s: float) -> bool:
        held, mark = self._held.get(source), self._mark(source)
        epoch_ends = bool(held and mark and min(held).epoch > mark.epoch)
        return epoch_ends or age_s > LOOK_UP_AFTER_S

    def _pass_over(self, hole: Want, end: Mark) -> Draft:
        waiting = self._held[hole.source]
        place = waiting[min(waiting)].event.path
        self._marks[hole.source] = end
        body = {
            "of_source": hole.source,
            "of_epoch": hole.epoch,
            "from_seq": hole.first,
            "to_seq": end.seq,
        }
        return Draft("/".join(place.split("/")[:4]), Gap.type_name, 0, body)


def _lies_in(hole: Want, want: Want) -> bool:
    """Whether all that is missing was looked for."""
    if hole.last is None or want.last is None:
        return hole.epoch == want.epoch and want.last is None
    return hole.epoch == want.epoch and hole.last <= want.last


def said(gap: Draft, seen_by: str, at_ms: int) -> Draft:
    """A gap as the fact that a processor puts out."""
    body = gap.body
    gap_id = f"gap:{seen_by}:{body['of_source']}:{body['of_epoch']}:{body['from_seq']}"
    return Draft(gap.path, gap.type, at_ms, {**body, "seen_by": seen_by}, None, gap_id)


def _messages(taken: Iterable[Taken]) -> list[Message]:
    return [one.message for one in taken if one.message is not None]
