"""A processor's state again from history: from a base, by the events on record, in their order.

Owns how base, order and events are read for it, page by page. What an event does to a state is the
processor's, and what the outcome is compared with is the caller's.
"""

from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from operator import itemgetter
from typing import Any, Final, Generic, TypeVar

from pydantic import TypeAdapter

from uns.fold import Mark, Processor, advance
from uns.historian.answers import ROWS_MAX
from uns.historian.errors import OrderLost
from uns.historian.kept import Kept, Run, understood
from uns.historian.owners import resume_topic
from uns.historian.reader import Reader
from uns.model.events import EVENTS, Event, Folded
from uns.model.path import to_dotted

S = TypeVar("S")
EVENTS_PAGE: Final = 5_000
"""The end of a page is found by numbers alone: to sort payloads would need memory for them all."""
FOLDED_PAGE: Final = 200
NUMBER_MAX: Final = 2**62
ARRIVAL_RUNS_MAX: Final = 800
_STORED: Final = """
SELECT CAST(document AS TEXT) FROM processor_states WHERE topic = $1
ORDER BY owner_epoch DESC, rev DESC
"""
_REVS: Final = """
SELECT topic, max(rev) FROM states WHERE topic LIKE $1 || '/%' AND rev < $2 GROUP BY topic
"""
_BASES: Final = """
SELECT CAST(document AS TEXT) FROM processor_states
WHERE topic = $1 AND CAST((document ->> 'base_rev') AS BIGINT) = rev
ORDER BY owner_epoch DESC, rev DESC
"""
_NUMBER: Final = "CAST((payload ->> 'number') AS BIGINT)"
_OF_ACCOUNT: Final = f"""
type = 'folded' AND topic = $1 AND (payload ->> 'processor') = $2
    AND {_NUMBER} > $3 AND {_NUMBER} <= $4
"""
_FOLDED: Final = f"""
SELECT CAST(payload AS TEXT) FROM events WHERE {_OF_ACCOUNT} ORDER BY {_NUMBER}
"""  # noqa: S608 - constants of ours
_TWICE: Final = f"""
WITH told AS (
    SELECT id, {_NUMBER} AS number, payload ->> 'previous' AS previous, epoch, seq
    FROM events WHERE {_OF_ACCOUNT}
), twice AS (SELECT number FROM told GROUP BY number HAVING count(*) > 1)
SELECT number, id, previous FROM told
WHERE number IN (SELECT number FROM twice) OR number - 1 IN (SELECT number FROM twice)
ORDER BY number DESC, epoch DESC, seq DESC
"""  # noqa: S608 - constants of ours
_PAGE: Final = "source = $1 AND epoch = $2 AND seq > $3 AND type IN ({types})"
_EVENTS: Final = f"""
SELECT type, CAST(payload AS TEXT) FROM events
WHERE {_PAGE} AND seq <= (
    SELECT max(seq) FROM (SELECT seq FROM events WHERE {_PAGE} ORDER BY seq LIMIT {{limit}}) AS p)
ORDER BY seq
"""  # noqa: S608 - constants of ours
_GAPS: Final = """
SELECT source, epoch, from_seq, to_seq FROM gaps WHERE seen_by = $1 AND source LIKE '%:' || $2
"""
_SAID: Final = """
SELECT source, epoch, seq FROM watermarks
WHERE source LIKE '%:' || $1 AND source NOT LIKE 'processor:%'
ORDER BY source, epoch
"""
_SPAN: Final = "SELECT min(received_ms), max(received_ms) FROM events WHERE source IN ({sources})"
_ARRIVED: Final = """
SELECT source, epoch, max(seq) FROM events WHERE source IN ({sources})
GROUP BY source, epoch, CAST(floor((received_ms - $1) / $2) AS BIGINT)
ORDER BY min(CAST(floor((received_ms - $1) / $2) AS BIGINT)), source, epoch
"""


@dataclass(frozen=True)
class Past(Generic[S]):
    """What the record tells of one (processor, line)."""

    reader: Reader
    processor: Processor[S]
    line: str

    @property
    def topic(self) -> str:
        """Of its resume documents."""
        return resume_topic(self.line, self.processor.name)

    def stored(self) -> Iterator[bytes]:
        """The resume documents on record, the newest first."""
        for (document,) in self.reader.query(_STORED, (self.topic,)).rows:
            yield document.encode()

    def revs(self, before: int) -> dict[str, int]:
        """By `_state` topic of the line, the newest revision on record below `before`."""
        return dict(self.reader.query(_REVS, (self.line, before), ROWS_MAX).rows)

    def bases(self) -> Iterator[Kept]:
        """The documents that the record keeps for ever, the newest first."""
        for (document,) in self.reader.query(_BASES, (self.topic,)).rows:
            if kept := understood(document):
                yield kept

    def base(self, plant: str, rev: int | None = None) -> Kept | None:
        """The newest base under a plant's digest, or the one of a revision."""
        version = self.processor.version
        for base in self.bases():
            if (base.plant, base.version) == (plant, version) and rev in (None, base.rev):
                return base
        return None

    def order(self, base: Kept | None, upto: Kept) -> Iterator[Run]:
        """In which order sources took turns between two resume documents.

        Raises OrderLost where a part of it is not on record.
        """
        last = base.order_no if base else 0
        for folded in self.told(last, upto.order_no, upto.told):
            if folded.number != last + 1:
                break
            last = folded.number
            yield from folded.runs
        if last != upto.order_no:
            raise OrderLost(
                f"{self.topic}: the order up to {upto.order_no} is on record up to {last} only"
            )
        yield from upto.order

    def told(self, after: int, upto: int, last: str | None = None) -> Iterator[Folded]:
        """The `folded` events on record with a number in (after, upto], one a number.

        last: the id of the one with number `upto`; None: whichever was told last.
        """
        twice = self.reader.query(_TWICE, self._account(after, upto), ROWS_MAX).rows
        others = strangers(twice, upto, last)
        while after < upto:
            account = self._account(after, min(upto, after + FOLDED_PAGE))
            rows = self.reader.query(_FOLDED, account).rows
            if not rows:
                return
            after = account[-1]
            read = map(Folded.model_validate_json, (payload for (payload,) in rows))
            yield from (folded for folded in read if folded.id not in others)

    def _account(self, after: int, upto: int) -> tuple[str, str, int, int]:
        return f"{self.line}/_event/{Folded.type_name}", self.processor.name, after, upto

    def passed_over(self) -> dict[tuple[str, int], list[tuple[int, int]]]:
        """Spans that the processor gave up: (first, last) by source and epoch."""
        spans: dict[tuple[str, int], list[tuple[int, int]]] = {}
        of_line = (self.processor.name, to_dotted(self.line))
        for source, epoch, first, last in self.reader.query(_GAPS, of_line, ROWS_MAX).rows:
            spans.setdefault((source, epoch), []).append((first, last))
        return spans


@dataclass
class Refold(Generic[S]):
    """A fold that is done again; it begins with a base, or with nothing.

    events: how many were folded so far.
    """

    past: Past[S]
    state: S
    marks: dict[str, Mark] = field(default_factory=dict)
    events: int = 0

    def run(self, runs: Iterable[Run]) -> Iterator[Event]:
        """Fold what is on record of some runs; each event, when `state` has it."""
        passed = self.past.passed_over()
        tapes: dict[str, _Tape] = {}
        for source, epoch, to_seq in runs:
            end, mark = Mark(epoch, to_seq), self.marks.get(source)
            if mark and end <= mark:
                continue
            start = mark.seq if mark and mark.epoch == epoch else 0
            tape = tapes.setdefault(source, _Tape(self.past, source))
            for event in tape.upto(epoch, start, to_seq):
                if not _is_within(event.seq, passed.get((source, epoch), ())):
                    self.state = advance(self.past.processor, self.state, event).state
                    self.events += 1
                    yield event
            self.marks[source] = end


class _Tape:
    """The events of one source that a processor folds, in order and page by page."""

    def __init__(self, past: Past[Any], source: str) -> None:
        self._reader = past.reader
        types = sorted(past.processor.inputs)
        self._types, self._source = types, source
        self._sql = _EVENTS.format(types=_places(types, 4), limit=EVENTS_PAGE + 1)
        self._epoch = -1
        self._page: deque[Event] = deque()
        self._read_to = 0
        self._ended = False

    def upto(self, epoch: int, start: int, to_seq: int) -> Iterator[Event]:
        """The events behind `start`, up to and including `to_seq`."""
        if epoch != self._epoch:
            self._epoch, self._read_to, self._ended = epoch, start, False
            self._page.clear()
        while True:
            while self._page and self._page[0].seq <= to_seq:
                yield self._page.popleft()
            if self._page or self._ended or self._read_to >= to_seq:
                return
            self._turn_page()

    def _turn_page(self) -> None:
        where = (self._source, self._epoch, self._read_to, *self._types)
        found = self._reader.query(self._sql, where, EVENTS_PAGE)
        self._page.extend(EVENTS[name].model_validate_json(text) for name, text in found.rows)
        self._ended = not found.truncated
        if self._page:
            self._read_to = self._page[-1].seq


def strangers(twice: Iterable[Sequence[Any]], upto: int, last: str | None) -> set[str]:
    """The ids that are not of the account that ends with the id `last` at the number `upto`.

    twice: (number, id, previous) where a number was told twice and of the next one, the greatest
    number first, what was told last before the others. Where no link says otherwise, that counts.
    """
    others, wanted = set[str](), {upto: last}
    for number, group in groupby(twice, itemgetter(0)):
        told = {row[1]: row[2] for row in group}
        link = wanted.get(number) or next(iter(told))
        others |= told.keys() - {link}
        wanted[number - 1] = told.get(link)
    return others


def begun(past: Past[S], base: Kept | None) -> Refold[S]:
    """A fold that begins with a base; with none, or one before the first event, at the start."""
    if base is None or not base.marks:
        return Refold(past, past.processor.initial(past.line))
    state = TypeAdapter(past.processor.state_type).validate_python(base.state)
    return Refold(past, state, dict(base.marks))


def recomputed(past: Past[S], upto: Kept) -> Refold[S]:
    """The state that history gives at a resume document.

    Raises OrderLost when the record has neither its base nor the whole order.
    """
    base = past.base(upto.plant, upto.base_rev)
    if base is None:
        raise OrderLost(f"{past.topic}: its base, rev {upto.base_rev}, is not on record")
    refold = begun(past, base)
    for _ in refold.run(past.order(base, upto)):
        pass
    return refold


@dataclass(frozen=True)
class Rest(Generic[S]):
    """Everything on record, folded. `order` is what no `folded` event tells yet."""

    refold: Refold[S]
    order_no: int
    told: str | None
    order: list[Run]


def everything(past: Past[S], plant: str, newest: Kept | None) -> Rest[S] | None:
    """The state by all that is on record of a line; None if that is nothing.

    newest: the newest resume document on record, if it can be read. What it does not know the
    order of is folded in the order of arrival.
    """
    base = past.base(plant)
    said = {source: Mark(epoch, seq) for source, epoch, seq in _said(past)}
    if base is None and not said:
        return None
    refold = begun(past, base)
    order_no, last = (base.order_no, base.told) if base else (0, None)
    for folded in _account(past, order_no, newest):
        for _ in refold.run(folded.runs):
            pass
        order_no, last = folded.number, folded.id
    is_its_end = newest and newest.order_no == order_no and newest.told in (None, last)
    known = newest.order if newest and is_its_end else ()
    order = [*known, *_arrivals(past.reader, said)]
    order += [(source, *mark) for source, mark in said.items()]
    order = _forward(order, refold.marks)
    for _ in refold.run(order):
        pass
    return Rest(refold, order_no, last, order)


def _account(past: Past[Any], after: int, newest: Kept | None) -> Iterator[Folded]:
    """What was told of the order: as the newest document has it, then what came behind it."""
    if newest and newest.order_no > after:
        yield from past.told(after, newest.order_no, newest.told)
        after = newest.order_no
    yield from past.told(after, NUMBER_MAX)


def _said(past: Past[Any]) -> list[tuple[Any, ...]]:
    return past.reader.query(_SAID, (to_dotted(past.line),), ROWS_MAX).rows


def _arrivals(reader: Reader, said: Mapping[str, Mark]) -> Iterator[Run]:
    """The order in which events came, in slices of time: never more than a few hundred runs."""
    if not said:
        return
    sources = list(said)
    span = _SPAN.format(sources=_places(sources, 1))
    ((first_ms, last_ms),) = reader.query(span, sources).rows
    if first_ms is None:
        return
    slices = max(1, ARRIVAL_RUNS_MAX // len(sources))
    width_ms = float(max(1, (last_ms - first_ms) / slices))
    arrived = _ARRIVED.format(sources=_places(sources, 3))
    rows = reader.query(arrived, (first_ms, width_ms, *sources), ROWS_MAX).rows
    for source, epoch, seq in rows:
        if (epoch, seq) <= said[source]:
            yield source, epoch, seq


def _forward(runs: Iterable[Run], marks: Mapping[str, Mark]) -> list[Run]:
    """The runs that go on, in as few as can be; those of before are known already."""
    reached, forward = dict(marks), list[Run]()
    for source, epoch, to_seq in runs:
        if Mark(epoch, to_seq) > reached.get(source, Mark(-1, 0)):
            reached[source] = Mark(epoch, to_seq)
            if forward and forward[-1][:2] == (source, epoch):
                forward.pop()
            forward.append((source, epoch, to_seq))
    return forward


def _is_within(seq: int, spans: Iterable[tuple[int, int]]) -> bool:
    return any(first <= seq <= last for first, last in spans)


def _places(values: Iterable[Any], first: int) -> str:
    """Places for values in SQL: `$4, $5`."""
    return ", ".join(f"${n}" for n, _ in enumerate(values, first))
