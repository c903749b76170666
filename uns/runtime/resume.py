"""PURE: the resume document: all that a (processor, line) needs to go on, under `_hub/processor`.

Public `_state` documents are a function of the state in it (docs/adr/0001). It also tells in which
order events of several sources were folded, so that history gives the same state again (0012).
"""

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Generic, NamedTuple, TypeVar

from pydantic import TypeAdapter, ValidationError

from uns.codec import encode_document
from uns.fold import Draft, Mark, Processor, Tick
from uns.model.events import Event, Folded

S = TypeVar("S")
RUNS_MAX: Final = 64
"""Runs that a document carries; more become a `folded` event."""
TURNS_MAX: Final = 4 * RUNS_MAX
"""Runs that are remembered beside `folded` events: those of the documents not yet on record."""
ID_DIGITS: Final = 32
_SEAL: Final = b',"sha256":"%s"}'
_SEAL_LENGTH: Final = len(_SEAL % b"") + 64


class Run(NamedTuple):
    """The events of one source were taken next, up to and including `to_seq` of `epoch`."""

    source: str
    epoch: int
    to_seq: int

    @property
    def mark(self) -> Mark:
        """Where the source stands after it."""
        return Mark(self.epoch, self.to_seq)


@dataclass(frozen=True, slots=True)
class Rebuilt:
    """A state folded anew from history. `order` is what no `folded` event tells yet."""

    state: Any
    marks: Mapping[str, Mark]
    order_no: int
    told: str | None
    order: Sequence[Run]


def resume_topic(line: str, processor: str) -> str:
    """Where the resume document of a processor on a line is kept."""
    return f"{line}/_hub/processor/{processor}"


def sealed(document: bytes) -> bytes:
    """A JSON object with the SHA-256 of its bytes as its last key."""
    digest = hashlib.sha256(document).hexdigest()
    return document[:-1] + _SEAL % digest.encode()


def is_sealed(payload: bytes) -> bool:
    """Whether every byte is as it was sealed."""
    return sealed(payload[:-_SEAL_LENGTH] + b"}") == payload


class Resume(Generic[S]):
    """The progress of one (processor, line); mutable, owned by its runner.

    plant: digest of the plant it is folded by. base_rev: the revision that first was folded so.
    rev: raised with each commit. owner_epoch: raised with each owner; older owners are refused.
    output_epoch, output_seq: the last event this processor put out.
    marks: how far each source was taken. order: the runs since the last of `order_no` `folded`
    events, whose id is `told`. turns: the newest runs, as long as they are not on record.
    ticked_ms: the last tick.
    clearing: topics to clear once the record has the outputs up to that seq.
    previous: the seal of the commit before. owner_seen: the newest owner seen anywhere.
    """

    def __init__(self, processor: Processor[S], line: str, plant: str) -> None:
        self._processor = processor
        self._states: TypeAdapter[S] = TypeAdapter(processor.state_type)
        self.line = line
        self.plant = plant
        self.base_rev = 0
        self.rev = 0
        self.owner_epoch = 0
        self.output_epoch = 0
        self.output_seq = 0
        self.marks: dict[str, Mark] = {}
        self.order_no = 0
        self.told: str | None = None
        self.order: list[Run] = []
        self.turns: list[Run] = []
        self.ticked_ms = 0
        self.clearing: dict[str, int] = {}
        self.state: S = processor.initial(line)
        self.previous: str | None = None
        self.owner_seen = 0
        self._rev_seen = 0

    def load(self, payload: bytes) -> bool:
        """Take a stored document if it is newer than what is known; False if it is not usable.

        Owners and revisions go on behind those of a document that cannot be used.
        """
        try:
            document = json.loads(payload)
            order = (int(document["owner_epoch"]), int(document["rev"]))
        except (ValueError, KeyError, TypeError):
            return False
        self.owner_seen = max(self.owner_seen, order[0])
        self._rev_seen = max(self._rev_seen, order[1])
        usable = is_sealed(payload) and document["version"] == self._processor.version
        if not usable or order <= (self.owner_epoch, self.rev):
            return False
        try:
            state = self._states.validate_python(document["state"])
        except ValidationError:
            return False
        self._take(document, state)
        return True

    def take_over(self, owner_epoch: int, output_epoch: int, *, rebuilt: bool) -> None:
        """A new owner begins, behind all revisions that were seen. Outputs are numbered anew."""
        self.owner_epoch, self.output_epoch = owner_epoch, output_epoch
        self.rev = max(self.rev, self._rev_seen)
        if rebuilt or not self.base_rev:
            self.base_rev = self.rev + 1

    def number_outputs(self, last_seq: int) -> None:
        """Where the outputs of a new epoch begin: topics that wait to be cleared wait for these."""
        self.output_seq = last_seq
        self.clearing = dict.fromkeys(self.clearing, last_seq)

    def clear(self, stood: Iterable[str]) -> None:
        """Topics that stand at the broker and are not shown: an old memory of it, or a repair."""
        shown = self._processor.documents(self.state)
        for topic in stood:
            if topic not in shown:
                self.clearing.setdefault(topic, self.output_seq)

    def outputs_up_to(self, mark: Mark | None) -> int:
        """How many outputs of this epoch a mark covers."""
        return mark.seq if mark and mark.epoch == self.output_epoch else 0

    def tick(self, at_ms: int) -> None:
        """Time has passed."""
        self.ticked_ms = at_ms
        self.state = self._processor.fold(self.state, Tick(at_ms)).state

    def took(self, event: Event) -> Draft | None:
        """An event was folded next; the order as a fact, when the document carries enough of it.

        When, what and under which id depends on the order alone: it is told the same after a crash,
        and two owners that folded in two orders are told apart.
        """
        run = Run(event.source, event.epoch, event.seq)
        _extend(self.turns, run)
        _extend(self.order, run)
        del self.turns[:-TURNS_MAX]
        if len(self.order) <= RUNS_MAX:
            return None
        self.order_no += 1
        name, runs = self._processor.name, tuple(map(tuple, self.order[:RUNS_MAX]))
        self.order = self.order[RUNS_MAX:]
        body = {"processor": name, "number": self.order_no, "previous": self.told, "runs": runs}
        told = hashlib.sha256(encode_document({"line": self.line, **body})).hexdigest()
        self.told = f"folded:{told[:ID_DIGITS]}"
        return Draft(self.line, Folded.type_name, event.at_ms, body, None, self.told)

    def forget_turns(self, settled: Mapping[str, Mark]) -> None:
        """Runs of which the record has a document need not be taken in the same turns again."""
        while self.turns and settled.get(self.turns[0].source, Mark(0, 0)) >= self.turns[0].mark:
            self.turns.pop(0)

    def resume_at(self, rebuilt: Rebuilt) -> None:
        """Go on from a state that was folded anew from history."""
        self.state, self.marks = rebuilt.state, dict(rebuilt.marks)
        self.order_no, self.order = rebuilt.order_no, list(rebuilt.order)
        self.told = rebuilt.told

    def dump(self, at_ms: int) -> bytes:
        """The document as published."""
        document: dict[str, Any] = {
            "summary": f"{self._processor.name} rev {self.rev}, owner {self.owner_epoch}",
            "processor": self._processor.name,
            "version": self._processor.version,
            "key": self.line,
            "plant": self.plant,
            "base_rev": self.base_rev,
            "rev": self.rev,
            "owner_epoch": self.owner_epoch,
            "output_epoch": self.output_epoch,
            "marks": self.marks,
            "output_seq": self.output_seq,
            "order_no": self.order_no,
            "told": self.told,
            "order": self.order,
            "ticked_ms": self.ticked_ms,
            "clearing": self.clearing,
            "state": self._states.dump_python(self.state, mode="json"),
            "at_ms": at_ms,
            "previous": self.previous,
        }
        payload = sealed(encode_document(document))
        self.previous = payload[-66:-2].decode()
        return payload

    def _take(self, document: dict[str, Any], state: S) -> None:
        self.owner_epoch, self.rev = document["owner_epoch"], document["rev"]
        self.base_rev = document["base_rev"] if document["plant"] == self.plant else 0
        self.marks = {source: Mark(*mark) for source, mark in document["marks"].items()}
        self.output_epoch, self.output_seq = document["output_epoch"], document["output_seq"]
        self.order_no, self.told = document["order_no"], document.get("told")
        self.order = [Run(*run) for run in document["order"]]
        self.ticked_ms, self.state = document["ticked_ms"], state
        self.clearing = dict(document["clearing"])
        self.previous = document["sha256"]


def _extend(runs: list[Run], run: Run) -> None:
    if runs and runs[-1][:2] == run[:2]:
        runs[-1] = run
    else:
        runs.append(run)
