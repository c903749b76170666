"""Looking up on record: one question at a time, judged by what was known when it was asked."""

import asyncio

from tests.records import GivenRecord
from tests.unit.test_intake import LATE_S, SOURCE, seqs, taken
from uns.fold import Mark
from uns.runtime.filling import Filled, Filling
from uns.runtime.intake import Intake
from uns.runtime.record import Answer


class SlowRecord(GivenRecord):
    """Answers when it is told to, with what it had when it was asked."""

    def __init__(self) -> None:
        super().__init__()
        self.may_answer = asyncio.Event()

    async def events(self, source: str, epoch: int, first: int, last: int) -> Answer:
        found = await super().events(source, epoch, first, last)
        await self.may_answer.wait()
        return found


async def answered(filling: Filling, record: SlowRecord) -> Filled:
    record.may_answer.set()
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    return filling.step(LATE_S)


async def test_an_answer_from_before_the_record_grew_passes_over_nothing() -> None:
    marks, record = {SOURCE: Mark(1, 1)}, SlowRecord()
    intake, recorded = Intake(marks, lambda _: None), {SOURCE: Mark(1, 1)}
    filling = Filling(record, intake, recorded)
    intake.offer(taken(4), 0)
    filling.step(LATE_S)
    await asyncio.sleep(0)
    record.on_record, record.recorded = [taken(seq).event for seq in (2, 3, 4)], Mark(1, 4)
    recorded[SOURCE] = Mark(1, 4)
    assert await answered(filling, record) == ([], None)
    assert marks == {SOURCE: Mark(1, 1)}
    filling.step(2 * LATE_S)
    assert seqs((await answered(filling, record)).taken) == [2, 3, 4]
