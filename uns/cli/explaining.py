"""Why a document differs from history: which of its moments it shows, and what moved it since.

History is folded once more, and looked at after each of its last events.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from uns.cli.audit import Finding, Shown, drawn_at, stamped
from uns.fold import Document, Tick
from uns.historian.kept import Kept
from uns.historian.recompute import Past, begun
from uns.model.events import Event

LOOKED_AT_MAX: Final = 20_000
"""Of the last events; drawing documents costs more than folding."""
TOPICS_MAX: Final = 20
NAMED_MAX: Final = 5
EXPLAINED: Final = frozenset({"altered", "missing"})


@dataclass
class _Watched:
    """One topic while history goes by. `moved`: how often since the document was equal."""

    payload: bytes | None
    drawn_ms: int
    now: Document | None = None
    equal: bool = False
    after: Event | None = None
    moved: int = 0
    events: tuple[Event, ...] = ()

    def look(self, document: Document | None, event: Event | None) -> None:
        """Take what history shows after an event; None before the first one."""
        if document == self.now and event:
            return
        self.now = document
        if self.payload and document and stamped(document, self.payload) == self.payload:
            self.equal, self.after, self.moved, self.events = True, event, 0, ()
        elif event:
            self.moved += 1
            self.events = (*self.events, event)[-NAMED_MAX:]

    def why(self, looked_at: int) -> str:
        """In words."""
        moving = ", ".join(event.id for event in self.events)
        if self.equal:
            since = f"after {self.after.id}" if self.after else "before all of them"
            return f"as it was {since}; {self.moved} later events are not in it: … {moving}"
        last = f"; it was last moved by {self.events[-1].id}" if self.events else ""
        if self.payload is None:
            return f"nobody shows it{last}"
        return f"none of the last {looked_at} events leads to it: somebody else wrote it{last}"


def explained(
    past: Past[Any], upto: Kept, shown: Shown, findings: Iterable[Finding], events: int
) -> list[Finding]:
    """The findings with their reasons. `events`: how many history has up to here."""
    found = list(findings)
    topics = [one.topic for one in found if one.fault in EXPLAINED][:TOPICS_MAX]
    if not topics:
        return found
    watched = {topic: _watched(topic, shown, upto) for topic in topics}
    _look(past, upto, watched, events)
    looked_at = min(events, LOOKED_AT_MAX)
    return [
        one._replace(why=watched[one.topic].why(looked_at)) if one.topic in watched else one
        for one in found
    ]


def is_older(finding: Finding) -> bool:
    """Whether a document is one that history once gave."""
    return finding.why.startswith("as it was ")


def _watched(topic: str, shown: Shown, upto: Kept) -> _Watched:
    payload = shown.documents.get(topic)
    return _Watched(payload, drawn_at(payload) if payload else upto.ticked_ms)


def _look(past: Past[Any], upto: Kept, watched: Mapping[str, _Watched], events: int) -> None:
    base = past.base(upto.plant, upto.base_rev)
    refold = begun(past, base)
    _show(past, refold.state, watched, None)
    for event in refold.run(past.order(base, upto)):
        if refold.events > events - LOOKED_AT_MAX:
            _show(past, refold.state, watched, event)


def _show(
    past: Past[Any], state: Any, watched: Mapping[str, _Watched], event: Event | None
) -> None:
    drawn: dict[int, Mapping[str, Document]] = {}
    for topic, one in watched.items():
        if one.drawn_ms not in drawn:
            ticked = past.processor.fold(state, Tick(one.drawn_ms)).state
            drawn[one.drawn_ms] = past.processor.documents(ticked)
        one.look(drawn[one.drawn_ms].get(topic), event)
