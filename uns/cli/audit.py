"""PURE: what a processor shows, compared with what history gives, byte for byte.

Owns which documents must be there, with which bytes. Does not know where they were read.
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Generic, NamedTuple, TypeVar

from pydantic import TypeAdapter

from uns.cli.difference import Change, changes
from uns.codec import Stamps, encode_state
from uns.fold import Document, Mark, Processor, Tick
from uns.historian.kept import Kept

S = TypeVar("S")
STAMPS: Final = (*Stamps._fields, "seal")
"""What the runner adds to a document, in this order."""
WORDS: Final[dict[str, str]] = {
    "missing": "is not there",
    "foreign": "no processor shows it",
    "altered": "differs",
    "unreadable": "is no JSON object with the runner's stamps",
    "stamps": "differs in its stamps",
    "form": "has the same values in other bytes",
    "seal": "does not fit its sha256",
    "state": "holds another state",
    "marks": "has other marks than its order of events leads to",
    "history": "cannot be recomputed",
}


class Finding(NamedTuple):
    """One topic that is not as history gives it. `fault` is one of WORDS."""

    topic: str
    fault: str
    changes: tuple[Change, ...] = ()
    why: str = ""


@dataclass(frozen=True)
class Shown:
    """What one (processor, line) shows: its resume document and its public ones, by topic.

    revs: by topic, the newest revision on record from before that resume document; empty where
    documents are the record's own.
    """

    resume: bytes
    documents: Mapping[str, bytes]
    revs: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class Given(Generic[S]):
    """What history gives at the moment of a resume document: `kept` is that document."""

    processor: Processor[S]
    topic: str
    kept: Kept
    state: S
    marks: Mapping[str, Mark]

    def drawn(self, at_ms: int) -> Mapping[str, Document]:
        """The documents at an instant, without stamps."""
        return self.processor.documents(self._at(self.state, at_ms))

    def states(self) -> tuple[Any, Any]:
        """The state in the resume document and the recomputed one, both after its last tick."""
        adapter = TypeAdapter(self.processor.state_type)
        found = adapter.validate_python(self.kept.state)
        one, other = (self._at(state, self.kept.ticked_ms) for state in (found, self.state))
        return adapter.dump_python(one, mode="json"), adapter.dump_python(other, mode="json")

    def _at(self, state: S, at_ms: int) -> S:
        return self.processor.fold(state, Tick(at_ms)).state


def audit(given: Given[Any], shown: Shown, now_ms: int) -> Iterator[Finding]:
    """Everything that is not as history gives it.

    now_ms: plant time; a document that time alone has ended by then may be gone.
    """
    yield from _resume_findings(given)
    drawn_ms = max([given.kept.ticked_ms, *map(drawn_at, shown.documents.values())])
    expected, later = given.drawn(min(drawn_ms, now_ms)), given.drawn(now_ms)
    for topic, document in expected.items():
        payload = shown.documents.get(topic)
        if payload is not None:
            limits = _Limits(given.kept, shown.revs.get(topic), now_ms)
            yield from _document_findings(topic, payload, document, limits)
        elif topic in later:
            yield Finding(topic, "missing")
    for topic in shown.documents.keys() - expected.keys() - given.kept.clearing.keys():
        yield Finding(topic, "foreign")


def stamped(document: Document, payload: bytes) -> bytes | None:
    """A recomputed document under the stamps of a found one; None if that has none."""
    found = parsed(payload)
    numbers = [found.get(stamp) for stamp in Stamps._fields] if found else []
    whole = [number for number in numbers if type(number) is int]
    return encode_state(document, Stamps(*whole)) if len(whole) == len(Stamps._fields) else None


def drawn_at(payload: bytes) -> int:
    """The plant time at which a document was drawn; 0 where it does not say."""
    at_ms = (parsed(payload) or {}).get("drawn_ms")
    return at_ms if type(at_ms) is int else 0


def parsed(payload: bytes) -> Document | None:
    """A JSON object, or None."""
    try:
        document = json.loads(payload)
    except (ValueError, RecursionError):
        return None
    return document if isinstance(document, dict) else None


def _resume_findings(given: Given[Any]) -> Iterator[Finding]:
    if dict(given.marks) != given.kept.marks:
        found = {source: list(mark) for source, mark in given.kept.marks.items()}
        wanted = {source: list(mark) for source, mark in given.marks.items()}
        yield Finding(given.topic, "marks", tuple(changes(found, wanted)))
    one, other = given.states()
    if one != other:
        yield Finding(given.topic, "state", tuple(changes(one, other)))


class _Limits(NamedTuple):
    """What the stamps of a document may be: see Shown."""

    kept: Kept
    recorded_rev: int | None
    now_ms: int

    def broken(self, found: Document) -> Iterator[Change]:
        """Every owner says all documents again, and none is ahead of its processor.

        What is between two revisions that were said was not said: it would be on record.
        """
        rev, owner_epoch, drawn_ms = (found[stamp] for stamp in Stamps._fields)
        if rev > self.kept.rev:
            yield Change("rev", rev, self.kept.rev)
        elif rev < self.kept.rev and self.recorded_rev not in (None, rev):
            yield Change("rev", rev, self.recorded_rev)
        if owner_epoch != self.kept.owner_epoch:
            yield Change("owner_epoch", owner_epoch, self.kept.owner_epoch)
        if drawn_ms > self.now_ms:
            yield Change("drawn_ms", drawn_ms, self.now_ms)


def _document_findings(
    topic: str, payload: bytes, document: Document, limits: _Limits
) -> Iterator[Finding]:
    expected, found = stamped(document, payload), parsed(payload)
    if expected is None or found is None:
        yield Finding(topic, "unreadable", tuple(changes(found, document)))
    elif expected != payload:
        differing = tuple(changes(found, json.loads(expected)))
        yield Finding(topic, "altered" if differing else "form", differing)
    elif wrong := tuple(limits.broken(found)):
        yield Finding(topic, "stamps", wrong)
