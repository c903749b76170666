"""`uns verify` tells whether all that processors show is what recorded events give, to the byte.

Of a running hub the retained tree is compared, of a stopped one the newest documents on record.
What differs is looked at again, because a message may be on its way.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final, NamedTuple

import typer

from uns.cli.audit import WORDS, Finding, Given, Shown, audit, parsed
from uns.cli.explaining import explained, is_older
from uns.cli.folder import Folder, find_folder
from uns.cli.following import Part, Retained, following
from uns.cli.output import print_json, print_table, say
from uns.cli.reading import plant_time, selected_lines
from uns.cli.store import open_store
from uns.fold import Mark, Processor
from uns.historian import queries
from uns.historian.answers import Question, Result
from uns.historian.errors import OrderLost, StoreUnavailable
from uns.historian.kept import Kept, understood
from uns.historian.owners import resume_topic
from uns.historian.reader import Reader
from uns.historian.recompute import Past, recomputed
from uns.model.path import parent, parse_topic, to_dotted
from uns.model.plant import Plant, digest
from uns.runtime.resume import is_sealed

LOOKS: Final = 4
"""How often a part is looked at while it differs."""
AGAIN_S: Final = 1.0
ANSWER_TRIES: Final = 30
LEVEL_TIMEOUT_S: Final = 10.0
LEVEL_EVERY_S: Final = 0.2
CLOCK_SAVED_EVERY_MS: Final = 5_000
CHANGES_PRINTED_MAX: Final = 8
FINDINGS_PRINTED_MAX: Final = 40
_WATERMARKS: Final = """
SELECT source, epoch, seq FROM watermarks WHERE source LIKE '%:' || $1 ORDER BY source, epoch
"""


class Tree(NamedTuple):
    """What is shown: `look` gives a moment of a part, `foreign` what no processor writes.

    live: it is the retained tree of a running hub, else the record. now_ms: plant time.
    """

    look: Callable[[Part], Shown]
    foreign: Callable[[], Mapping[str, bytes]]
    live: bool
    now_ms: Callable[[], int]


class Verdict(NamedTuple):
    """One part: what was compared, from which base by how many events, and what differs.

    older: documents that history gave a little earlier; the record keeps one each few seconds.
    """

    part: Part
    findings: list[Finding]
    documents: int = 0
    base_rev: int | None = None
    rev: int | None = None
    older: int = 0
    events: int = 0
    elapsed_s: float = 0.0


@dataclass
class Verifier:
    """Compares part by part, one after the other: memory stays that of one."""

    plant: Plant
    reader: Reader
    tree: Tree
    digest: str = field(init=False)

    def __post_init__(self) -> None:
        self.digest = digest(self.plant)

    def verdict(self, part: Part, processor: Processor[Any]) -> Verdict:
        """The verdict on one part; a difference counts when it stays."""
        past = Past(self.reader, processor, part.line)
        verdict = self._once(part, past)
        for _ in range(LOOKS - 1 if self.tree.live else 0):
            if not verdict.findings:
                break
            time.sleep(AGAIN_S)
            verdict = self._once(part, past)
        return verdict

    def _once(self, part: Part, past: Past[Any]) -> Verdict:
        start_s, shown = time.monotonic(), self.tree.look(part)
        findings = list(_broken(past, shown))
        kept = _on_record(past) if findings else understood(shown.resume)
        verdict = Verdict(part, findings, len(shown.documents))
        if kept is None:
            findings.append(Finding(past.topic, "history", why="no resume document to start from"))
            return verdict
        verdict = verdict._replace(base_rev=kept.base_rev, rev=kept.rev)
        try:
            verdict = self._compared(past, kept, shown, verdict)
        except OrderLost as lost:
            findings.append(Finding(past.topic, "history", why=str(lost)))
        return verdict._replace(elapsed_s=time.monotonic() - start_s)

    def _compared(self, past: Past[Any], kept: Kept, shown: Shown, verdict: Verdict) -> Verdict:
        if kept.plant != self.digest:
            raise OrderLost(f"written under another plant ({kept.plant}, now {self.digest})")
        self._wait_for_record(past, kept)
        refold = recomputed(past, kept)
        given = Given(past.processor, past.topic, kept, refold.state, refold.marks)
        if self.tree.live:
            shown = replace(shown, revs=past.revs(kept.rev))
        found = list(audit(given, shown, self.tree.now_ms()))
        found = explained(past, kept, shown, found, refold.events)
        wrong = [one for one in found if self.tree.live or not _is_behind(one, kept, shown)]
        verdict.findings.extend(wrong)
        return verdict._replace(events=refold.events, older=len(found) - len(wrong))

    def _wait_for_record(self, past: Past[Any], kept: Kept) -> None:
        """Until the record has what the processor has taken and put out, or for a while."""
        own = f"processor:{past.processor.name}:{to_dotted(past.line)}"
        wanted = {**kept.marks, own: Mark(kept.output_epoch, kept.output_seq)}
        end_s, nothing = time.monotonic() + LEVEL_TIMEOUT_S, Mark(0, 0)
        while self.tree.live and time.monotonic() < end_s:
            rows = self.reader.query(_WATERMARKS, (to_dotted(past.line),)).rows
            reached = {source: Mark(epoch, seq) for source, epoch, seq in rows}
            if all(m.seq == 0 or reached.get(s, nothing) >= m for s, m in wanted.items()):
                return
            time.sleep(LEVEL_EVERY_S)


def verify(line: str | None, data: Path | None, *, as_json: bool) -> None:
    """Compare, print, and exit with 1 when anything differs."""
    folder = find_folder(data)
    plant = folder.load_plant()
    verdicts, foreign = asyncio.run(_verify(folder, plant, selected_lines(plant, line)))
    if as_json:
        print_json(_document(verdicts, foreign))
    else:
        _print(verdicts, foreign)
    if foreign or any(verdict.findings for verdict in verdicts):
        raise typer.Exit(1)


async def _verify(
    folder: Folder, plant: Plant, lines: Sequence[str]
) -> tuple[list[Verdict], list[Finding]]:
    from processors import PROCESSORS  # noqa: PLC0415 - only this command needs them

    built = [build(plant) for build in PROCESSORS.values()]
    verdicts = list[Verdict]()
    store = open_store(folder)
    with Reader(_Patient(store)) if folder.running else store as reader:
        async with _shown(folder, plant, built, reader) as tree:
            verifier = Verifier(plant, reader, tree)
            for line in lines:
                for one in built:
                    part = Part(line, one.name)
                    verdicts.append(await asyncio.to_thread(verifier.verdict, part, one))
            strangers = list(_strangers(tree, plant, lines))
    return verdicts, strangers


class _Patient:
    """A source that asks again for a while: a hub that has just started opens its store yet."""

    def __init__(self, reader: Reader) -> None:
        self._reader = reader

    def query(self, question: Question) -> Result:
        """See Source."""
        for _ in range(ANSWER_TRIES):
            with suppress(StoreUnavailable):
                return self._ask(question)
            time.sleep(AGAIN_S)
        return self._ask(question)

    def _ask(self, question: Question) -> Result:
        return self._reader.query(question.sql, question.params, question.limit, question.timeout_s)

    def close(self) -> None:
        """See Source."""
        self._reader.close()


@asynccontextmanager
async def _shown(
    folder: Folder, plant: Plant, built: Sequence[Processor[Any]], reader: Reader
) -> AsyncIterator[Tree]:
    """The retained tree of a running hub, or what is on record."""
    writers = {state: one.name for one in built for state in one.states}
    seen, loop = Retained(plant.lines, writers), asyncio.get_running_loop()
    if folder.running:

        def look(part: Part) -> Shown:
            return asyncio.run_coroutine_threadsafe(seen.moment(part), loop).result()

        async with following(folder.address("operator"), plant.enterprise, seen):
            yield Tree(look, lambda: seen.foreign, live=True, now_ms=lambda: plant_time(folder))
        return
    now_ms = plant_time(folder) + CLOCK_SAVED_EVERY_MS
    seen.recall(queries.snapshot(reader, now_ms))

    def recorded(part: Part) -> Shown:
        newest = queries.newest_processor_state(reader, resume_topic(*part)) or b""
        return Shown(newest, seen.documents(part))

    yield Tree(recorded, lambda: seen.foreign, live=False, now_ms=lambda: now_ms)


def _broken(past: Past[Any], shown: Shown) -> Iterator[Finding]:
    if not shown.resume:
        yield Finding(past.topic, "missing", why="no processor has said it")
    elif not is_sealed(shown.resume):
        yield Finding(past.topic, "seal", why="its bytes were changed, or somebody else wrote it")
    elif understood(shown.resume) is None:
        yield Finding(past.topic, "unreadable")


def _on_record(past: Past[Any]) -> Kept | None:
    newest = next(filter(is_sealed, past.stored()), None)
    return understood(newest) if newest else None


def _is_behind(finding: Finding, kept: Kept, shown: Shown) -> bool:
    """Whether a recorded document is an older one, or of a commit whose end is not on record."""
    document = parsed(shown.documents.get(finding.topic, b"")) or {}
    return is_older(finding) or document.get("rev") == kept.rev + 1


def _strangers(tree: Tree, plant: Plant, lines: Sequence[str]) -> Iterator[Finding]:
    """What no processor writes: on the lines asked for, and above them if all are."""
    everywhere = len(lines) == len(plant.lines)
    for topic in sorted(tree.foreign()):
        if everywhere or parent(parse_topic(topic).path, "line") in lines:
            yield Finding(topic, "foreign", why=WORDS["foreign"])


def _document(verdicts: Sequence[Verdict], foreign: Sequence[Finding]) -> dict[str, Any]:
    events, elapsed_s = _effort(verdicts)
    return {
        "equal": not foreign and not any(one.findings for one in verdicts),
        "documents": sum(one.documents for one in verdicts),
        "events": events,
        "events_per_s": round(events / elapsed_s, 1),
        "parts": [
            {
                **one.part._asdict(),
                "verdict": _verdict(one),
                **{key: getattr(one, key) for key in ("base_rev", "rev", "documents", "older")},
                "events": one.events,
                "differences": [_difference(finding) for finding in one.findings],
            }
            for one in verdicts
        ],
        "foreign": [one.topic for one in foreign],
    }


def _difference(finding: Finding) -> dict[str, Any]:
    fields = [{"field": c.field, "found": c.before, "recomputed": c.after} for c in finding.changes]
    said = WORDS[finding.fault]
    return {"topic": finding.topic, "fault": said, "fields": fields, "why": finding.why}


def _print(verdicts: Sequence[Verdict], foreign: Sequence[Finding]) -> None:
    columns = ("line", "processor", "verdict", "documents", "events", "events/s", "rev", "base")
    print_table(columns, [_row(one) for one in verdicts])
    findings = [finding for one in verdicts for finding in one.findings] + list(foreign)
    for finding in findings[:FINDINGS_PRINTED_MAX]:
        _print_finding(finding)
    if len(findings) > FINDINGS_PRINTED_MAX:
        say(f"... and {len(findings) - FINDINGS_PRINTED_MAX} more: see --json")
    say(_sentence(verdicts, findings))


def _row(one: Verdict) -> list[Any]:
    rate = round(one.events / one.elapsed_s) if one.events else None
    figures = [one.documents, one.events, rate, one.rev, one.base_rev]
    return [one.part.line, one.part.processor, _verdict(one), *figures]


def _verdict(one: Verdict) -> str:
    if one.findings:
        return "DIFFERENT"
    return f"equal ({one.older} older)" if one.older else "equal"


def _print_finding(finding: Finding) -> None:
    why = f": {finding.why}" if finding.why else ""
    say(f"{finding.topic} {WORDS[finding.fault]}{why}")
    for one in finding.changes[:CHANGES_PRINTED_MAX]:
        say(f"    {one.field}: {one.before!r} is there, history gives {one.after!r}")
    if len(finding.changes) > CHANGES_PRINTED_MAX:
        say(f"    ... and {len(finding.changes) - CHANGES_PRINTED_MAX} more fields")


def _sentence(verdicts: Sequence[Verdict], findings: Sequence[Finding]) -> str:
    documents = sum(one.documents + 1 for one in verdicts)
    events, elapsed_s = _effort(verdicts)
    rate = f"{events} events folded again, {events / elapsed_s:.0f} events/s"
    if not findings:
        return f"equal: {documents} documents are what history gives, byte for byte; {rate}"
    topics = len({one.topic for one in findings})
    return f"DIFFERENT: {topics} of {documents} documents are not what history gives; {rate}"


def _effort(verdicts: Sequence[Verdict]) -> tuple[int, float]:
    return sum(one.events for one in verdicts), sum(one.elapsed_s for one in verdicts) or 1.0
