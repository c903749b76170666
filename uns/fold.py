"""The processor contract: a fold over events, and the guard that makes it take each one once.

Owns what a processor is and how its watermark moves. A processor does no I/O, asks no clock and
makes no identity: time enters as `Tick`, ids are functions of the input's id.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any, Generic, NamedTuple, Protocol, TypeVar

from uns.model.events import Event
from uns.model.path import level_of, parent

S = TypeVar("S")
Document = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Tick:
    """Time has passed. A tick moves what is shown (live values), never what is counted."""

    at_ms: int


@dataclass(frozen=True, slots=True)
class Draft:
    """An event without its place in a source's sequence: what folds and bridges put out.

    `body` holds the fields of the event's own class; the outbox adds source, epoch and seq.
    """

    path: str
    type: str
    at_ms: int
    body: Mapping[str, Any]
    key: str | None = None
    id: str | None = None

    @property
    def topic(self) -> str:
        """Where the event is published."""
        key = f"/{self.key}" if self.key else ""
        return f"{self.path}/_event/{self.type}{key}"


class Step(NamedTuple, Generic[S]):
    """The answer to one event: the new state and new facts."""

    state: S
    outputs: tuple[Draft, ...] = ()


class Processor(Protocol[S]):
    """A pure fold. `state_type` is a pydantic model or dataclass that survives JSON.

    inputs: the event types it folds; others only move the watermark.
    documents: the public `_state` documents as a function of the state alone, by topic, so that
        a broker that forgot can be told again. A topic no longer listed is cleared once the
        facts that ended it are in history.
    Laws (tests/property/test_laws.py): deterministic; fold(a+b) = fold(b) after a JSON round trip
    of fold(a); a duplicate changes nothing; interleaved keys change no key; total; conservation;
    ticks make no outputs, and skipping a tick changes nothing after the next one.
    """

    @property
    def name(self) -> str:
        """A topic segment, e.g. `order-progress`."""

    @property
    def version(self) -> int:
        """Raised when old states can no longer be read."""

    @property
    def inputs(self) -> frozenset[str]:
        """Event types this processor folds."""

    @property
    def states(self) -> frozenset[str]:
        """The names after `_state/` that it writes, and nobody else."""

    @property
    def state_type(self) -> type[S]:
        """The class of its state."""

    def initial(self, key: str) -> S:
        """The state before the first event of a key (a line's path)."""

    def fold(self, state: S, event: Event | Tick) -> Step[S]:
        """One step; never raises on a well-typed event."""

    def documents(self, state: S) -> Mapping[str, Document]:
        """Public documents by topic, each with a one-line `summary` first."""


def key_of_event(event: Event) -> str | None:
    """The unit of work of an event: its line's path; None above the line level."""
    return parent(event.path, "line") if level_of(event.path) in ("line", "cell") else None


def advance(processor: Processor[S], state: S, event: Event) -> Step[S]:
    """Fold one admitted event; each output gets an id that is a function of the input's id."""
    if event.type not in processor.inputs:
        return Step(state)
    step = processor.fold(state, event)
    outputs = tuple(
        Draft(o.path, o.type, o.at_ms, o.body, o.key, f"{event.id}>{processor.name}.{n}")
        for n, o in enumerate(step.outputs)
    )
    return Step(step.state, outputs)


class Mark(NamedTuple):
    """How far a source has been taken: everything of `epoch` up to and including `seq`."""

    epoch: int
    seq: int


class Admission(Enum):
    """What the guard says of an event: take it, ignore it, or wait for the ones before it."""

    NEXT = "next"
    DUPLICATE = "duplicate"
    EARLY = "early"


def admit(mark: Mark | None, epoch: int, seq: int) -> Admission:
    """Judge an event by its source's mark. Order within a source is kept: 1 3 2 waits for 2.

    A source seen for the first time (mark None) starts at seq 1; a newer epoch starts again at 1.
    """
    at = mark or Mark(epoch, 0)
    if epoch < at.epoch or (epoch == at.epoch and seq <= at.seq):
        return Admission.DUPLICATE
    done = at.seq if epoch == at.epoch else 0
    return Admission.NEXT if seq == done + 1 else Admission.EARLY
