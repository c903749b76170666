"""What a request may take of the record."""

import asyncio

from uns.api.context import QUESTION_S_MAX, Readers
from uns.historian.answers import TIMEOUT_S_MAX, Question, Result
from uns.historian.reader import Reader


class Patient:
    """A source that would wait for ever; it keeps how long it may."""

    def __init__(self) -> None:
        self.asked_s = list[float]()

    def query(self, question: Question) -> Result:
        """See Source."""
        self.asked_s.append(question.timeout_s)
        return Result((), [], truncated=False)

    def close(self) -> None:
        """See Source."""


def test_no_question_of_a_request_takes_the_others_time() -> None:
    patient = Patient()

    async def ask() -> None:
        async with Readers(lambda: Reader(patient), count=1).lent() as reader:
            reader.query("SELECT 1", timeout_s=TIMEOUT_S_MAX)
            reader.query("SELECT 1", timeout_s=1)

    asyncio.run(ask())
    assert patient.asked_s == [QUESTION_S_MAX, 1]
