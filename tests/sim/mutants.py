"""Five guards, each taken away: what the simulation must find, or it proves nothing.

The product has no switches for this: its classes are changed from outside, for as long as a context
lasts. The unmutated `_commit` and so on stand behind the changed ones.
"""

from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import Any, Final

from uns.fold import Draft, Mark
from uns.historian.owners import Owners
from uns.historian.progress import Progress, Span
from uns.historian.service import Historian
from uns.mqtt.message import Message
from uns.runtime.intake import Intake, Taken
from uns.runtime.ownership import Claim
from uns.runtime.runner import Runner
from uns.runtime.sender import Sender

Mutation = tuple[type[Any], str, Any]
Offered = tuple[list[Taken], list[Message]]


def _forget_what_is_sent(sender: Sender, position: int) -> None:
    sender._sent = max(sender._sent, position)
    sender._outbox._db.execute("delete from entry where position <= ?", (position,))


def _take_all(intake: Intake, taken: Taken, _now_s: float) -> Offered:
    intake._marks[taken.event.source] = Mark(taken.event.epoch, taken.event.seq)
    return [taken], []


def _take_what_is_higher(intake: Intake, taken: Taken, now_s: float) -> Offered:
    event, mark = taken.event, intake._mark(taken.event.source)
    if mark and (event.epoch, event.seq) <= mark:
        return [], [taken.message] if taken.message else []
    return _take_all(intake, taken, now_s)


def _remember_the_highest(progress: Progress, seq: int) -> None:
    progress._spans = [Span(0, max(seq, progress.seq))]


_commit: Final[Callable[..., Awaitable[None]]] = Runner._commit


async def _state_then_outputs(runner: Runner[Any], outputs: list[Draft]) -> None:
    await _commit(runner, [])
    await _commit(runner, outputs)


async def _tell_then_write(historian: Historian, messages: list[Message]) -> None:
    wiring = historian._w
    rows = wiring.writer.prepare(messages, wiring.clock())
    historian._w.client.ack(messages)
    await historian._tell(wiring.writer.commit(type(rows)()))
    await historian._insist(wiring.writer.commit, rows)


def _nothing(*_anything: Any) -> None:
    """No fence."""


MUTANTS: Final[dict[str, list[Mutation]]] = {
    "no outbox": [(Sender, "sent", _forget_what_is_sent)],
    "no watermark": [(Intake, "offer", _take_all)],
    "no epoch": [
        (Owners, "refusal", _nothing),
        (Owners, "output_refusal", _nothing),
        (Runner, "_hear_owner", _nothing),
        (Claim, "yield_to", _nothing),
    ],
    "ack before publish": [(Runner, "_commit", _state_then_outputs)],
    "maximum-only dedupe": [(Intake, "offer", _take_what_is_higher)],
    "the record acknowledges before it writes": [(Historian, "_take", _tell_then_write)],
    "the record knows a maximum only": [(Progress, "add", _remember_the_highest)],
}
"""By what is missing: what stands in the place of which methods."""


@contextmanager
def mutated(name: str) -> Iterator[None]:
    """The product without one of its guards."""
    before = [(owner, method, getattr(owner, method)) for owner, method, _ in MUTANTS[name]]
    for owner, method, mutant in MUTANTS[name]:
        setattr(owner, method, mutant)
    try:
        yield
    finally:
        for owner, method, original in before:
            setattr(owner, method, original)
