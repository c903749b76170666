"""Fills from the record what sources do not send any more: one look-up at a time, beside the work.

A look-up lasts as long as the store is away; meanwhile everything else goes on.
"""

import asyncio
from collections.abc import Mapping
from typing import Final, NamedTuple

from uns.fold import Draft, Mark
from uns.runtime.intake import Intake, Taken, Want
from uns.runtime.record import EVENTS_MAX, Answer, Record

ENDLESS: Final = 2**62


class Filled(NamedTuple):
    """What may be folded now, and the gap that was found."""

    taken: list[Taken]
    gap: Draft | None


class Filling:
    """Per (processor, line). `recorded`: how far each source is on record, as it is told.

    What an answer lacks is judged by how far the record was when it answered, not by what was told.
    """

    def __init__(self, record: Record, intake: Intake, recorded: Mapping[str, Mark]) -> None:
        self._record = record
        self._intake = intake
        self._recorded = recorded
        self._want: Want | None = None
        self._answer: asyncio.Task[Answer] | None = None

    def step(self, now_s: float) -> Filled:
        """Take an answer that has come; ask for what is wanted next."""
        filled = Filled(self._intake.go_on(now_s), None)
        if self._want is None or self._answer is None:
            self._ask(next(self._intake.wants(self._recorded, now_s), None))
        elif self._answer.done():
            filled = self._take(self._want, self._answer.result(), now_s)
        return filled

    def stop(self) -> None:
        """Ask no more."""
        if self._answer:
            self._answer.cancel()

    def _ask(self, want: Want | None) -> None:
        self._want, self._answer = want, None
        if want:
            last = ENDLESS if want.last is None else want.last
            asked = self._record.events(want.source, want.epoch, want.first, last)
            self._answer = asyncio.ensure_future(asked)

    def _take(self, want: Want, answer: Answer, now_s: float) -> Filled:
        events, recorded = answer
        taken = self._intake.found(events, now_s)
        if len(events) >= EVENTS_MAX:
            self._ask(want._replace(first=events[-1].seq + 1))
            return Filled(taken, None)
        self._ask(None)
        more, gap = self._intake.searched(want, recorded, now_s)
        return Filled([*taken, *more], gap)
