"""A reader that remembers what it was asked and how much it was told, for tests of what is read."""

from typing import Any, NamedTuple

from uns.historian.answers import Question, Result
from uns.historian.reader import Reader, open_reader


class Heard(NamedTuple):
    """A question, and how many rows were the answer."""

    sql: str
    params: tuple[Any, ...]
    timeout_s: float
    rows: int


class _Listening:
    """A source that stands before another reader."""

    def __init__(self, reader: Reader) -> None:
        self._reader = reader
        self.heard = list[Heard]()

    def query(self, question: Question) -> Result:
        """See Source."""
        sql, params, limit, timeout_s, _ = question
        answer = self._reader.query(sql, params, limit, timeout_s)
        self.heard.append(Heard(sql, tuple(params), timeout_s, len(answer.rows)))
        return answer

    def close(self) -> None:
        """See Source."""
        self._reader.close()


class Remembering(Reader):
    """Reads a store, and remembers."""

    def __init__(self, location: str) -> None:
        source = _Listening(open_reader(location))
        super().__init__(source)
        self.heard = source.heard

    @property
    def rows(self) -> int:
        """How many rows all answers had."""
        return sum(one.rows for one in self.heard)
