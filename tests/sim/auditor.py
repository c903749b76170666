"""The auditor: totals from the generator's log, compared with what the hub says. No code is shared.

What it reads is JSON: events and documents on record, with the transaction that wrote them, and
what the broker retains. Each finding names the invariant it breaks (I1 to I5; I6 is the run's).
"""

import json
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

Document = dict[str, Any]
Place = tuple[str, int, int]


class Known(NamedTuple):
    """A fact as its generator logged it, and what a restored outbox may have taken with it."""

    name: str
    source: str
    good: int
    scrap: int
    may_be_lost: bool
    output_may_be_lost: bool


class Recorded(NamedTuple):
    """A row of the record, in the order it was written: `kind` events, states or resumes."""

    commit: int
    kind: str
    topic: str
    document: Document


@dataclass(frozen=True)
class Evidence:
    """All that the auditor looks at."""

    facts: list[Known]
    record: list[Recorded]
    retained: dict[str, bytes]
    processor: str
    out: str

    def events(self, kind: str) -> list[Document]:
        """The events of a type on record, by their order of coming."""
        return self._by_type.get(kind, [])

    @cached_property
    def _by_type(self) -> dict[str, list[Document]]:
        found: dict[str, list[Document]] = {}
        for row in self.record:
            if row.kind == "events":
                found.setdefault(row.document["type"], []).append(row.document)
        return found


def audit(evidence: Evidence) -> list[str]:
    """What is wrong; nothing, if the hub keeps its word."""
    lines = sorted({fact.source.partition(":")[2].replace(".", "/") for fact in evidence.facts})
    return [
        *_each_fact_once(evidence),
        *_each_output_once(evidence),
        *(finding for line in lines for finding in _totals(evidence, line)),
        *(finding for line in lines for finding in _fold_again(evidence, line)),
        *_no_stale_output(evidence),
        *_gaps(evidence),
    ]


def _each_fact_once(evidence: Evidence) -> Iterator[str]:
    seen = Counter(event["item"] for event in evidence.events("counted"))
    for fact in evidence.facts:
        times = seen.pop(fact.name, 0)
        if times > 1 or (times == 0 and not fact.may_be_lost):
            yield f"I1 {fact.name} of {fact.source} is on record {times} times"
    for name in seen:
        yield f"I1 {name} is on record, and nobody said it"


def _each_output_once(evidence: Evidence) -> Iterator[str]:
    seen = Counter(event["input_id"] for event in evidence.events("edge"))
    may_lack = {fact.name for fact in evidence.facts if fact.output_may_be_lost}
    for event in evidence.events("counted"):
        name, is_passed = event["item"], _is_passed(evidence, _place(event))
        times = seen.pop(name, 0)
        if times != (not is_passed) and not (times == 0 and name in may_lack):
            yield f"I2 {name} made {times} edges"
    may_be_lost = {fact.name for fact in evidence.facts if fact.may_be_lost}
    for name, times in seen.items():
        if times > 1 or name not in may_be_lost:
            yield f"I2 {times} edges of {name}, which is not on record"


def _totals(evidence: Evidence, line: str) -> Iterator[str]:
    """What everybody sees: the retained document of the line.

    A fact that a restored outbox took with it may have been counted before that, or not.
    """
    shown = evidence.retained.get(f"{line}/_state/{evidence.processor}")
    if shown is None:
        yield f"I2 {line} shows nothing"
        return
    counted = [
        event for event in _of_line(evidence, line) if not _is_passed(evidence, _place(event))
    ]
    ghosts = _ghosts(evidence, line)
    document = json.loads(shown)
    for key in ("good", "scrap"):
        wanted = sum(event[key] for event in counted)
        if not wanted <= document[key] <= wanted + sum(getattr(ghost, key) for ghost in ghosts):
            yield f"I2 {line} shows {document[key]} {key}, the generators made {wanted}"


def _fold_again(evidence: Evidence, line: str) -> Iterator[str]:
    """The state from history, in the order that history tells: it is what is retained."""
    payload = evidence.retained.get(f"{line}/_hub/processor/{evidence.processor}")
    if payload is None:
        yield f"I3 {line} has no resume document"
        return
    resume = json.loads(payload)
    order, is_whole = _order(evidence, line, resume)
    again, lost = _folded(evidence, line, order)
    is_same = again == resume["state"]
    if lost and _ghosts(evidence, line):
        is_same = again["facts"] <= resume["state"]["facts"] <= again["facts"] + lost
    if is_whole and not is_same:
        yield f"I3 {line} is {resume['state']}, history gives {again}"
    if not is_whole and not any(fact.output_may_be_lost for fact in evidence.facts):
        yield f"I3 {line} has an order that is not on record"
    marks = {source: (epoch, to_seq) for source, epoch, to_seq in sorted(order)}
    told = {source: tuple(mark) for source, mark in resume["marks"].items()}
    if marks != told:
        yield f"I3 {line} has taken {told}, its order says {marks}"


def _folded(evidence: Evidence, line: str, order: list[Place]) -> tuple[Document, int]:
    """The state by that order, and how many events it took that are not on record any more."""
    by_place = {_place(event): event for event in _of_line(evidence, line)}
    good = scrap = facts = chain = lost = 0
    for place in _places(order):
        if _is_passed(evidence, place):
            continue
        if (event := by_place.get(place)) is None:
            lost += 1
            continue
        good, scrap, facts = good + event["good"], scrap + event["scrap"], facts + 1
        chain = (chain * 31 + int(event["item"][1:])) % 1_000_003
    state = {"line": line, "good": good, "scrap": scrap, "facts": facts, "chain": chain}
    return state, lost


def _places(order: list[Place]) -> Iterator[Place]:
    """Each event that was taken, one after the other."""
    marks: dict[str, tuple[int, int]] = {}
    for source, epoch, to_seq in order:
        begin = marks.get(source, (epoch, 0))
        first = begin[1] + 1 if begin[0] == epoch else 1
        marks[source] = max(begin, (epoch, to_seq))
        yield from ((source, epoch, seq) for seq in range(first, to_seq + 1))


def _order(evidence: Evidence, line: str, resume: Document) -> tuple[list[Place], bool]:
    """In which order a document was folded, and whether all that was told of it is on record."""
    told = {event["id"]: event for event in evidence.events("folded") if event["path"] == line}
    runs, link = list(resume["order"]), resume["told"]
    while link in told:
        runs, link = [*told[link]["runs"], *runs], told[link]["previous"]
    return [(source, epoch, to_seq) for source, epoch, to_seq in runs], link is None


def _no_stale_output(evidence: Evidence) -> Iterator[str]:
    """After the record took a document of a new owner, nothing of an older one comes in."""
    newest: dict[str, Document] = {}
    for commit in _commits(evidence.record):
        before = dict(newest)
        for _, kind, topic, document in commit:
            if kind == "resumes":
                newest[topic] = max(newest.get(topic, document), document, key=_age)
            elif owner := before.get(_owner_topic(evidence, kind, topic, document)):
                key = "epoch" if kind == "events" else "owner_epoch"
                is_old = document[key] < owner["output_epoch" if kind == "events" else key]
                if is_old and (kind == "events" or document["rev"] > owner["rev"]):
                    yield f"I4 {topic} of {key} {document[key]} came after {_age(owner)}"


def _commits(record: Iterable[Recorded]) -> Iterator[list[Recorded]]:
    rows: list[Recorded] = []
    for row in record:
        if rows and rows[-1].commit != row.commit:
            yield rows
            rows = []
        rows.append(row)
    yield rows


def _owner_topic(evidence: Evidence, kind: str, topic: str, document: Document) -> str:
    if kind == "events" and not document["source"].startswith("processor:"):
        return ""
    line = "/".join(topic.split("/")[:4])
    return f"{line}/_hub/processor/{evidence.processor}"


def _age(document: Document) -> tuple[int, int]:
    return document["owner_epoch"], document["rev"]


def _gaps(evidence: Evidence) -> Iterator[str]:
    """A gap is said of what may be lost, and of nothing else."""
    may_be_lost = {fact.source for fact in evidence.facts if fact.may_be_lost}
    for gap in evidence.events("gap"):
        if gap["of_source"] not in may_be_lost:
            span = f"{gap['from_seq']} to {gap['to_seq']}"
            yield f"I5 {gap['of_source']} is said to lack {span}, and nothing was lost"


def _is_passed(evidence: Evidence, place: Place) -> bool:
    source, epoch, seq = place
    return any(
        (gap["of_source"], gap["of_epoch"]) == (source, epoch)
        and gap["from_seq"] <= seq <= gap["to_seq"]
        for gap in evidence.events("gap")
    )


def _of_line(evidence: Evidence, line: str) -> list[Document]:
    return [event for event in evidence.events("counted") if event["path"].startswith(f"{line}/")]


def _ghosts(evidence: Evidence, line: str) -> list[Known]:
    """Facts that were folded, and then lost with an outbox before they were on record.

    Their edge tells, unless it went with the runner's outbox: then they may have been folded.
    """
    on_record = {event["item"] for event in evidence.events("counted")}
    folded = {event["input_id"] for event in evidence.events("edge")}
    return [
        fact
        for fact in evidence.facts
        if fact.may_be_lost
        and fact.source.endswith(f":{line.replace('/', '.')}")
        and fact.name not in on_record
        and (fact.output_may_be_lost or fact.name in folded)
    ]


def _place(event: Document) -> Place:
    return event["source"], event["epoch"], event["seq"]
