"""PURE: decoded messages become rows; watermarks move; resume documents are fenced.

Owns what is worth recording and how far each source is on record. Does not know the store: what
`batch` returned must be written, in the end, before anything of it is said to anybody.
"""

import base64
import hashlib
import json
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from pydantic import ValidationError

from uns.codec import Message, Reject
from uns.fold import Document
from uns.historian.documents import Resume, Stated, Told, said_by
from uns.historian.progress import Progress, Span
from uns.historian.rows import Batch, EventRow, RejectRow, ResumeRow, StateRow, TagRow, WatermarkRow
from uns.model.events import Event, Rejected, Sampled, Tag
from uns.model.observation import Scalar
from uns.model.path import Topic, level_of, to_dotted

EPOCHS_MAX: Final = 10_000
"""Of all sources; the events of further ones are stored, and no watermark follows them."""
EXACT_INT_MAX: Final = 2**53
PROCESSOR: Final = "processor"
WATERMARK: Final = "watermark"

Readers = Callable[[str], Iterable[str]]
"""Which processors (topics of resume documents) must have taken the events of a source."""


class Arrival(NamedTuple):
    """A message as it came. `repeated`: the broker may have delivered it before."""

    topic: str
    payload: bytes
    repeated: bool


class Watermark(NamedTuple):
    """How far a source is on record, and up to where it may forget."""

    source: str
    epoch: int
    seq: int
    settled: int


class RejectNote(NamedTuple):
    """The newest reject of a class. `origin`: where a bridge got it; None for a message."""

    reject_class: str
    reason: str
    topic: str
    origin: str | None
    total: int
    original_base64: str
    original_sha256: str
    at_ms: int


@dataclass(slots=True)
class Known:
    """What the store knew when the historian started."""

    watermarks: list[WatermarkRow] = field(default_factory=list)
    resumes: list[ResumeRow] = field(default_factory=list)
    reject_counts: dict[str, int] = field(default_factory=dict)


@dataclass(slots=True)
class _Open:
    """The batch being gathered; what comes twice in it counts once."""

    received_ms: int
    events: dict[str, EventRow] = field(default_factory=dict)
    tags: dict[TagRow, None] = field(default_factory=dict)
    states: dict[tuple[str, int], StateRow] = field(default_factory=dict)
    resumes: dict[str, ResumeRow] = field(default_factory=dict)
    rejects: list[RejectRow] = field(default_factory=list)
    moved: set[tuple[str, int]] = field(default_factory=set)


class Recorder:
    """The memory of the one writer: progress of sources, newest resume documents, rejects."""

    def __init__(self, readers: Readers, known: Known | None = None) -> None:
        known = known or Known()
        self._readers = readers
        self._progress = {
            (row.source, row.epoch): Progress(
                row.seq, row.first_seq, (Span(*span) for span in json.loads(row.ahead))
            )
            for row in known.watermarks[:EPOCHS_MAX]
        }
        self._epochs: dict[str, int] = {}
        for source, epoch in self._progress:
            self._epochs[source] = max(epoch, self._epochs.get(source, 0))
        self._resumes = {
            row.topic: Resume.model_validate_json(row.document) for row in known.resumes
        }
        self._counts = Counter(known.reject_counts)
        self._notes: dict[str, RejectNote] = {}
        self._open = _Open(0)

    def batch(
        self, messages: Iterable[tuple[Arrival, Message | Reject]], received_ms: int
    ) -> Batch:
        """The rows of some messages; their watermarks hold once the rows are written."""
        self._open = now = _Open(received_ms)
        for arrival, decoded in messages:
            self._take(arrival, decoded)
        return Batch(
            list(now.events.values()),
            list(now.tags),
            list(now.states.values()),
            list(now.resumes.values()),
            now.rejects,
            [self._watermark_row(*key) for key in sorted(now.moved)],
        )

    def watermarks(self) -> Iterator[Watermark]:
        """The newest epoch of every source; true when all batches so far are written."""
        for source, epoch in self._epochs.items():
            seq = self._progress[source, epoch].seq
            yield Watermark(source, epoch, seq, self._settled(source, epoch, seq))

    def reject(self, reject: Reject, *, repeated: bool, at_ms: int) -> RejectRow:
        """The quarantine row of a message, counted and noted."""
        original = base64.b64encode(reject.original).decode()
        sha256 = hashlib.sha256(reject.original).hexdigest()
        reason, topic = _plain(reject.reason), _plain(reject.topic)
        self._note(reject.reject_class, reason, topic, None, (original, sha256, at_ms))
        return RejectRow(
            reject.reject_class, reason, topic, at_ms, original, sha256, repeated=repeated
        )

    def take_notes(self) -> list[RejectNote]:
        """The newest reject of each class since the last call."""
        notes, self._notes = list(self._notes.values()), {}
        return notes

    def _take(self, arrival: Arrival, decoded: Message | Reject) -> None:
        if isinstance(decoded, Reject):
            self._refuse(decoded, arrival)
            return
        match decoded.value:
            case Tag() as tag:
                self._tag(arrival.topic, tag)
            case Event() as event:
                self._event(arrival.topic, event)
            case dict() as document if decoded.topic.kind == "_state":
                self._state(arrival, document)
            case dict() as document if _is_resume(decoded.topic):
                self._resume(arrival, document)
            case dict() as document if _is_watermark(decoded.topic):
                self._forgotten(document)
            case _:
                pass

    def _tag(self, topic: str, tag: Tag) -> None:
        value, text = _columns(tag.value)
        row = TagRow(
            topic, tag.timestamp_ms, value, text, tag.quality, tag.unit, self._open.received_ms
        )
        self._open.tags[row] = None

    def _event(self, topic: str, event: Event) -> None:
        if isinstance(event, Sampled) and not event.dropped:
            self._samples(event)
        else:
            self._row(topic, event)
        if progress := self._progress_of(event.source, event.epoch):
            progress.add(event.seq)
            self._open.moved.add((event.source, event.epoch))
        if isinstance(event, Rejected):
            original = (event.original_base64, event.original_sha256, event.at_ms)
            self._note(event.reject_class, event.reason, topic, event.origin, original)

    def _samples(self, event: Sampled) -> None:
        """Samples stand with those of `_tag`, and nowhere else: equal ones are one."""
        for one in event.samples:
            number, text = _columns(one.value)
            topic, now_ms = f"{event.path}/_tag/{one.tag}", self._open.received_ms
            row = TagRow(topic, one.at_ms, number, text, one.quality, one.unit, now_ms)
            self._open.tags[row] = None

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

    def _state(self, arrival: Arrival, document: Document) -> None:
        try:
            stated = Stated.model_validate(document)
        except ValidationError as error:
            self._refuse(_malformed(arrival, error), arrival)
            return
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
        newest = self._resumes.get(arrival.topic)
        if newest and resume.owner_epoch < newest.owner_epoch:
            reason = f"owner {resume.owner_epoch} was followed by owner {newest.owner_epoch}"
            stale = Reject("stale-epoch", reason, arrival.topic, arrival.payload)
            self._refuse(stale, arrival)
        elif newest is None or _age(resume) > _age(newest):
            self._resumes[arrival.topic] = resume
            self._open.resumes[arrival.topic] = ResumeRow(
                arrival.topic,
                resume.owner_epoch,
                resume.rev,
                self._open.received_ms,
                self._open.received_ms,
                arrival.payload.decode(),
            )

    def _forgotten(self, document: Document) -> None:
        """Hear what a source was once told it may forget: by this record, or by one before it."""
        try:
            told = Told.model_validate(document)
        except ValidationError:
            return
        key = told.source, told.epoch
        known = self._progress.get(key)
        if told.settled > (known.seq if known else 0) and (known := self._progress_of(*key)):
            known.skip_to(told.settled)
            self._open.moved.add(key)

    def _refuse(self, reject: Reject, arrival: Arrival) -> None:
        """Quarantine. An event there is on record too: its source need not say it for ever."""
        row = self.reject(reject, repeated=arrival.repeated, at_ms=self._open.received_ms)
        self._open.rejects.append(row)
        said = said_by(reject)
        if said and (progress := self._progress_of(said.source, said.epoch)):
            progress.add(said.seq)
            self._open.moved.add((said.source, said.epoch))

    def _note(
        self,
        reject_class: str,
        reason: str,
        topic: str,
        origin: str | None,
        original: tuple[str, str, int],
    ) -> None:
        self._counts[reject_class] += 1
        total = self._counts[reject_class]
        note = RejectNote(reject_class, reason, topic, origin, total, *original)
        self._notes[reject_class] = note

    def _progress_of(self, source: str, epoch: int) -> Progress | None:
        """The progress of a source's epoch; None for a new one beyond EPOCHS_MAX."""
        known = self._progress.get((source, epoch))
        if known is None and len(self._progress) < EPOCHS_MAX:
            known = self._progress[source, epoch] = Progress()
            self._epochs[source] = max(epoch, self._epochs.get(source, 0))
        return known

    def _settled(self, source: str, epoch: int, seq: int) -> int:
        taken = [seq]
        for topic in self._readers(source):
            resume = self._resumes.get(topic)
            mark = resume.marks.get(source) if resume else None
            taken.append(_reached(mark, epoch, seq))
        return min(taken)

    def _watermark_row(self, source: str, epoch: int) -> WatermarkRow:
        progress = self._progress[source, epoch]
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


def line_readers(lines: Iterable[str], processors: Iterable[str]) -> Readers:
    """Every processor of a line reads what bridges say there; none reads another processor."""
    names = tuple(processors)
    topics: Mapping[str, tuple[str, ...]] = {
        to_dotted(line): tuple(f"{line}/_hub/{PROCESSOR}/{name}" for name in names)
        for line in lines
    }

    def readers(source: str) -> Iterable[str]:
        writer, _, place = source.partition(":")
        return () if writer == PROCESSOR else topics.get(place, ())

    return readers


def _is_resume(topic: Topic) -> bool:
    """`<line>/_hub/processor/<name>`: what stands higher or deeper is somebody else's."""
    at_line = level_of(topic.path) == "line"
    return at_line and topic.kind == "_hub" and topic.name == PROCESSOR and len(topic.keys) == 1


def _is_watermark(topic: Topic) -> bool:
    return topic.kind == "_hub" and topic.name == WATERMARK


def _age(resume: Resume) -> tuple[int, int]:
    return resume.owner_epoch, resume.rev


def _reached(mark: tuple[int, int] | None, epoch: int, seq: int) -> int:
    """How far a reader's mark lies in an epoch: all of it, if the reader is beyond."""
    if mark is None or mark[0] < epoch:
        return 0
    return mark[1] if mark[0] == epoch else seq


def _columns(value: Scalar) -> tuple[float | None, str | None]:
    """A tag's value as (number, text); see TagRow."""
    match value:
        case bool():
            return float(value), "true" if value else "false"
        case int() if abs(value) > EXACT_INT_MAX:
            return float(value), str(value)
        case int() | float():
            return float(value), None
        case _:
            return None, value


def _malformed(arrival: Arrival, error: ValidationError) -> Reject:
    first = error.errors(include_url=False)[0]
    where = ".".join(map(str, first["loc"]))
    reason = f"{where}: {first['msg']}"
    return Reject("bad-payload", reason, arrival.topic, arrival.payload)


def _plain(text: str) -> str:
    """Text that every store takes: no NUL, no half characters."""
    return text.replace("\0", "\N{REPLACEMENT CHARACTER}").encode("utf-8", "replace").decode()
