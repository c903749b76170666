"""A store that is written to, kept in order and read from, for tests of what it holds."""

from typing import Any, Final

from tests.speech import NOON, READERS, Sent, new_writer, record
from uns.historian.duckdb_store import DuckDbStore
from uns.historian.postgres_store import PostgresStore
from uns.historian.reader import open_reader
from uns.historian.retention import Keep
from uns.historian.rollups import GRACE_MS
from uns.historian.series import HOUR_MS
from uns.historian.store import open_store
from uns.model.plant import Retention

KEEP: Final = Keep(Retention(), READERS.topics())
AN_HOUR_LATER: Final = NOON + HOUR_MS + GRACE_MS


class Recorded:
    """A store to write to, to tend and to read from."""

    def __init__(self, location: str) -> None:
        self.location = location
        store = open_store(location, lambda: NOON)
        assert isinstance(store, DuckDbStore | PostgresStore)
        self.store = store
        self.writer = new_writer(store)

    def says(self, *messages: Sent) -> None:
        """Record messages as one batch."""
        record(self.writer, *messages)

    def tended(self, now_ms: int = AN_HOUR_LATER, keep: Keep = KEEP) -> int:
        """Tend until there is nothing more to do; the steps that took."""
        steps = 1
        while self.store.tend(keep, now_ms):
            steps += 1
        return steps

    def restarts(self) -> None:
        """Close the store, and open it again with a new writer."""
        self.store.close()
        self.writer = new_writer(self.store)

    def rows(self, sql: str, *params: Any) -> list[tuple[Any, ...]]:
        """What a reader sees; an embedded store has to be let go for it."""
        if isinstance(self.store, DuckDbStore):
            self.store.close()
        with open_reader(self.location) as reader:
            return reader.query(sql, params).rows
