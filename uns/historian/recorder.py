"""PURE: decoded messages become rows; watermarks move; former owners are fenced.

Owns what is worth recording and how far each source is on record. Does not know the store: what
`batch` returned must be written, in the end, before anything of it is said to anybody.
"""

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from pydantic import ValidationError

from uns.codec import Cleared, Message, Reject
from uns.fold import Document
from uns.historian.documents import Resume, Stated, Told, said_by
from uns.historian.owners import Owners, Readers, is_resume, reached
from uns.historian.progress import Progress, Span
from uns.historian.quarantine import Quarantine, RejectNote
from uns.historian.rows import (
    AgainRow,
    Batch,
    ClearedRow,
    EventRow,
    RejectRow,
    ResumeRow,
    StateRow,
    TagRow,
    WatermarkRow,
)
from uns.historian.samples import sample_row, tag_row
from uns.historian.sources import Sources
from uns.historian.standing import Standing, Stood
from uns.model.events import Event, Rejected, Sampled, Tag
from uns.model.path import Topic, parse_topic

STALE: Final = "stale-epoch"
WATERMARK: Final = "watermark"
KEPT_VALUES: Final = frozenset({"_tag", "_state"})


class Arrival(NamedTuple):
    """A message as it came. dup: it was sent before; retain: it came from the retained set."""

    topic: str
    payload: bytes
    dup: bool = False
    retain: bool = False

    @property
    def repeated(self) -> bool:
        """Whether it may be on record already."""
        return self.dup or self.retain


class Shown(NamedTuple):
    """The latest instant that a tag showed, and which payload it shows."""

    at_ms: int
    payload_hash: int


class Watermark(NamedTuple):
    """How far a source is on record, and up to where it may forget."""

    source: str
    epoch: int
    seq: int
    settled: int


@dataclass(slots=True)
class Known:
    """What the store knew when the historian started.

    since: by resume topic, the first rev of the newest owner. stood: the `_state` topics that stand
    on record, each with its document's owner.
    """

    watermarks: list[WatermarkRow] = field(default_factory=list)
    resumes: list[ResumeRow] = field(default_factory=list)
    reject_counts: dict[str, int] = field(default_factory=dict)
    since: dict[str, int] = field(default_factory=dict)
    stood: list[tuple[str, int]] = field(default_factory=list)


@dataclass(slots=True)
class _Open:
    """The batch being gathered; what comes twice in it counts once."""

    received_ms: int
    events: dict[str, EventRow] = field(default_factory=dict)
    tags: dict[tuple[object, ...], TagRow] = field(default_factory=dict)
    again: dict[str, AgainRow] = field(default_factory=dict)
    states: dict[tuple[str, int], StateRow] = field(default_factory=dict)
    cleared: dict[str, ClearedRow] = field(default_factory=dict)
    resumes: dict[tuple[str, int, int], ResumeRow] = field(default_factory=dict)
    rejects: list[RejectRow] = field(default_factory=list)
    moved: dict[tuple[str, int], None] = field(default_factory=dict)


class Recorder:
    """The memory of the one writer: progress of sources, owners of processors, rejects.

    received_ms of a batch grows with each batch, whatever the clock does: it tells what came after
    what.
    """

    def __init__(self, readers: Readers, known: Known | None = None) -> None:
        known = known or Known()
        self._readers = readers
        self._repeated = set[str]()
        self._sources = Sources((row.source, row.epoch, _progress(row)) for row in known.watermarks)
        self._owners = Owners(
            {row.topic: Resume.model_validate_json(row.document) for row in known.resumes},
            known.since,
        )
        self._shown: dict[str, Shown] = {}
        self._standing = Standing(self._stood(known.stood))
        self._quarantine = Quarantine(known.reject_counts)
        self._open = _Open(max((row.at_ms for row in known.watermarks), default=-1))

    def batch(
        self, messages: Iterable[tuple[Arrival, Message | Reject]], received_ms: int
    ) -> Batch:
        """The rows of some messages; their watermarks hold once the rows are written."""
        self._open = now = _Open(max(received_ms, self._open.received_ms + 1))
        for arrival, decoded in messages:
            self._take(arrival, decoded)
        return Batch(
            list(now.events.values()),
            list(now.tags.values()),
            list(now.again.values()),
            list(now.states.values()),
            list(now.cleared.values()),
            list(now.resumes.values()),
            now.rejects,
            [row for key in sorted(now.moved) if (row := self._watermark_row(*key))],
        )

    def watermarks(self) -> Iterator[Watermark]:
        """The newest epoch of every source; true when all batches so far are written."""
        for source, epoch, progress in self._sources.newest():
            yield Watermark(source, epoch, progress.seq, self._settled(source, epoch, progress.seq))

    def reject(self, reject: Reject, *, repeated: bool, at_ms: int) -> RejectRow:
        """The quarantine row of a message, counted and noted."""
        return self._quarantine.refuse(reject, repeated=repeated, at_ms=at_ms)

    def take_repeated(self) -> set[str]:
        """Sources that said since the last call what is on record: they have not heard so."""
        repeated, self._repeated = self._repeated, set()
        return repeated

    def take_notes(self) -> list[RejectNote]:
        """The newest reject of each class since the last call."""
        return self._quarantine.take_notes()

    def _take(self, arrival: Arrival, decoded: Message | Reject) -> None:
        if isinstance(decoded, Reject):
            self._refuse(decoded, arrival)
            return
        match decoded.value:
            case Tag() as tag:
                self._tag(arrival, tag)
            case Event() as event:
                self._event(arrival, event)
            case Cleared() if decoded.topic.kind in KEPT_VALUES:
                self._cleared(arrival.topic, self._readers.writer_of(decoded.topic))
            case dict() as document if decoded.topic.kind == "_state":
                self._state(arrival, decoded.topic, document)
            case dict() as document if is_resume(decoded.topic):
                self._resume(arrival, document)
            case dict() as document if _is_watermark(decoded.topic):
                self._forgotten(document)
            case _:
                pass

    def _cleared(self, topic: str, writer: str | None) -> None:
        self._open.cleared[topic] = ClearedRow(topic, self._open.received_ms)
        if writer:
            self._standing.clear(Stood(topic, writer))

    def _tag(self, arrival: Arrival, tag: Tag) -> None:
        self._is_there(arrival)
        row = tag_row(arrival.topic, tag, arrival.payload, self._open.received_ms)
        self._sample(row)
        self._show(arrival, row)

    def _show(self, arrival: Arrival, row: TagRow) -> None:
        """Note what a tag shows where its samples alone, by their time, would tell it wrong."""
        topic, at_ms, payload_hash = row.topic, row.at_ms, hash(arrival.payload)
        last = self._shown.get(topic)
        self._shown[topic] = Shown(max(at_ms, last.at_ms if last else 0), payload_hash)
        if last and at_ms > last.at_ms and not arrival.dup:
            self._open.again.pop(topic, None)
        elif not arrival.retain and (arrival.dup or not last or payload_hash != last.payload_hash):
            said = row._replace(original=arrival.payload.decode())
            self._open.again[topic] = AgainRow(*said)  # type: ignore[arg-type]  # it has its original

    def _sample(self, row: TagRow) -> None:
        key = row.topic, row.unit, row.at_ms, row.value, row.value_text, row.quality
        self._open.tags.setdefault(key, row)

    def _is_there(self, arrival: Arrival) -> None:
        """A topic that was cleared in this batch, and filled again in it."""
        if not arrival.retain:
            self._open.cleared.pop(arrival.topic, None)

    def _event(self, arrival: Arrival, event: Event) -> None:
        progress = self._sources.find(event.source, event.epoch)
        if progress and progress.has(event.seq):
            self._repeated.add(event.source)
            return
        if why := self._owners.output_refusal(event.path, event.source, event.epoch):
            self._fence(why, arrival)
            return
        if isinstance(event, Sampled) and not event.dropped:
            self._samples(event)
        else:
            self._row(arrival.topic, event)
        self._move(event.source, event.epoch, event.seq)
        if isinstance(event, Rejected):
            self._quarantine.heard(arrival.topic, event)

    def _samples(self, event: Sampled) -> None:
        """Samples stand with those of `_tag`, and nowhere else: equal ones are one."""
        for one in event.samples:
            self._sample(sample_row(f"{event.path}/_tag/{one.tag}", one, self._open.received_ms))

    def _row(self, topic: str, event: Event) -> None:
        self._open.events[event.id] = EventRow(
            event.id,
            event.type,
            event.path,
            event.source,
            event.epoch,
            event.seq,
            event.at_ms,
            self._open.received_ms,
            topic,
            event.model_dump_json(),
        )

    def _state(self, arrival: Arrival, topic: Topic, document: Document) -> None:
        try:
            stated = Stated.model_validate(document)
        except ValidationError as error:
            self._refuse(_malformed(arrival, error), arrival)
            return
        resume = self._readers.writer_of(topic)
        why = resume and self._owners.refusal(resume, stated.owner_epoch, stated.rev)
        if why:
            self._fence(why, arrival)
            return
        self._is_there(arrival)
        if resume and stated.owner_epoch is not None:
            self._standing.say(Stood(arrival.topic, resume), stated.owner_epoch)
        now_ms = self._open.received_ms
        at_ms = now_ms if stated.at_ms is None else stated.at_ms
        row = StateRow(arrival.topic, stated.rev, at_ms, now_ms, arrival.payload.decode())
        self._open.states[arrival.topic, stated.rev] = row

    def _resume(self, arrival: Arrival, document: Document) -> None:
        try:
            resume = Resume.model_validate(document)
        except ValidationError as error:
            self._refuse(_malformed(arrival, error), arrival)
            return
        topic, before = arrival.topic, self._owners.newest(arrival.topic)
        if why := self._owners.refusal(topic, resume.owner_epoch, resume.rev):
            self._fence(why, arrival)
        elif self._owners.take(topic, resume):
            if before and not self._owners.must_stay(topic, before):
                self._open.resumes.pop((topic, before.owner_epoch, before.rev), None)
            self._open.resumes[topic, resume.owner_epoch, resume.rev] = ResumeRow(
                topic,
                resume.owner_epoch,
                resume.rev,
                self._open.received_ms,
                self._open.received_ms,
                arrival.payload.decode(),
            )
            if not arrival.retain:
                for left in self._standing.left_behind(topic, resume.owner_epoch):
                    self._cleared(left, topic)

    def _forgotten(self, document: Document) -> None:
        """Hear what a source was once told it may forget: by this record, or by one before it."""
        try:
            told = Told.model_validate(document)
        except ValidationError:
            return
        known = self._sources.find(told.source, told.epoch)
        if told.settled <= (known.seq if known else 0):
            return
        if known := self._sources.follow(told.source, told.epoch):
            known.skip_to(told.settled)
            self._open.moved[told.source, told.epoch] = None

    def _refuse(self, reject: Reject, arrival: Arrival) -> None:
        """Quarantine. An event there is on record too: its source need not say it for ever."""
        self._put_aside(reject, arrival)
        if said := said_by(reject):
            self._move(said.source, said.epoch, said.seq)

    def _fence(self, why: str, arrival: Arrival) -> None:
        """Quarantine what a former owner says; it is not heard."""
        self._put_aside(Reject(STALE, why, arrival.topic, arrival.payload), arrival)

    def _put_aside(self, reject: Reject, arrival: Arrival) -> None:
        row = self.reject(reject, repeated=arrival.repeated, at_ms=self._open.received_ms)
        self._open.rejects.append(row)

    def _move(self, source: str, epoch: int, seq: int) -> None:
        if progress := self._sources.follow(source, epoch):
            progress.add(seq)
            self._open.moved[source, epoch] = None

    def _stood(self, topics: Iterable[tuple[str, int]]) -> Iterator[tuple[Stood, int]]:
        for topic, owner_epoch in topics:
            if writer := self._readers.writer_of(parse_topic(topic)):
                yield Stood(topic, writer), owner_epoch

    def _settled(self, source: str, epoch: int, seq: int) -> int:
        taken = [seq]
        for topic in self._readers.of(source):
            resume = self._owners.newest(topic)
            mark = resume.marks.get(source) if resume else None
            taken.append(reached(mark, epoch, seq))
        return min(taken)

    def _watermark_row(self, source: str, epoch: int) -> WatermarkRow | None:
        """None for an epoch that was let go within the batch."""
        progress = self._sources.find(source, epoch)
        if progress is None:
            return None
        ahead = json.dumps(progress.ahead)
        return WatermarkRow(
            source,
            epoch,
            progress.seq,
            progress.first_seq,
            progress.hole_to,
            ahead,
            self._open.received_ms,
        )


def _progress(row: WatermarkRow) -> Progress:
    return Progress(row.seq, row.first_seq, (Span(*span) for span in json.loads(row.ahead)))


def _is_watermark(topic: Topic) -> bool:
    return topic.kind == "_hub" and topic.name == WATERMARK


def _malformed(arrival: Arrival, error: ValidationError) -> Reject:
    first = error.errors(include_url=False)[0]
    where = ".".join(map(str, first["loc"]))
    reason = f"{where}: {first['msg']}"
    return Reject("bad-payload", reason, arrival.topic, arrival.payload)
