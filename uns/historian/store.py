"""What a store must do: one contract, kept by duckdb_store and postgres_store.

A store is written by one process and one thread. Every method may raise StoreUnavailable; the same
call may be made again until it succeeds.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, NamedTuple, Protocol, runtime_checkable

from uns.historian.answers import Question, Result
from uns.historian.recorder import Known
from uns.historian.retention import Keep
from uns.historian.rows import Batch, ResumeRow, WatermarkRow

POSTGRES_SCHEMES: Final = ("postgresql://", "postgres://")
DUCKDB_SCHEME: Final = "duckdb://"
Clock = Callable[[], int]
Select = Callable[[str], list[tuple[Any, ...]]]


class Store(Protocol):
    """The record. `kind` names the product: duckdb, postgresql or timescaledb."""

    @property
    def kind(self) -> str:
        """The product, as far as it is known: it is asked at the first call."""

    def write(self, batch: Batch) -> None:
        """Write all rows in one transaction, each at most once; durable on return.

        Raises Unstorable when the store refuses a value: then nothing was written.
        """

    def known(self) -> Known:
        """What a historian must remember when it starts. Raises SchemaTooNew."""

    def close(self) -> None:
        """Release the store; the next call opens it again."""


@runtime_checkable
class Tended(Protocol):
    """A store that is kept in order by its writer."""

    def tend(self, keep: Keep | None, now_ms: int) -> bool:
        """One bounded step of upkeep, at `now_ms` of plant time; whether there may be more to do.

        Samples are rolled up, and what is older than is kept goes; None keeps everything.
        """


@runtime_checkable
class Embedded(Protocol):
    """A store that only its writer can open: readers must ask the writer."""

    @property
    def folder(self) -> Path:
        """Where readers look for the query port."""

    def answer(self, question: Question) -> Result:
        """Answer from a thread of its own; raises as a Reader does."""


class Location(NamedTuple):
    """Where a store is: the path of a DuckDB file, or the DSN of a PostgreSQL database."""

    path: Path | None
    dsn: str | None


def locate(location: str | Path) -> Location:
    """Understand `postgresql://…`, `duckdb:///path` or a path."""
    text = str(location)
    if text.startswith(POSTGRES_SCHEMES):
        return Location(None, text)
    return Location(Path(text.removeprefix(DUCKDB_SCHEME)), None)


def open_store(location: str | Path, clock: Clock) -> Store:
    """The store at a location; nothing is opened before the first call. `clock` is plant time."""
    path, dsn = locate(location)
    if path is not None:
        from uns.historian.duckdb_store import DuckDbStore  # noqa: PLC0415 - 25 MB, if it is used

        return DuckDbStore(path, clock)
    from uns.historian.postgres_store import PostgresStore  # noqa: PLC0415 - 25 MB, if it is used

    return PostgresStore(dsn or "", clock)


def recall(select: Select) -> Known:
    """What a store knows, by five queries that every store understands."""
    watermarks = select(
        "SELECT source, epoch, seq, first_seq, hole_to, ahead, at_ms FROM watermarks"
        " ORDER BY at_ms DESC"
    )
    resumes = select(
        "SELECT DISTINCT ON (topic) topic, owner_epoch, rev, at_ms, received_ms,"
        " CAST(document AS TEXT) FROM processor_states ORDER BY topic, owner_epoch DESC, rev DESC"
    )
    since = select(
        "SELECT topic, min(rev) FROM processor_states AS p WHERE owner_epoch ="
        " (SELECT max(owner_epoch) FROM processor_states AS n WHERE n.topic = p.topic)"
        " GROUP BY topic"
    )
    counts = select("SELECT reject_class, count(*) FROM rejects GROUP BY reject_class")
    stood = select(
        "SELECT topic, CAST((document ->> 'owner_epoch') AS BIGINT) FROM newest_states"
        " WHERE (document ->> 'owner_epoch') IS NOT NULL"
    )
    return Known(
        [WatermarkRow(*row) for row in watermarks],
        [ResumeRow(*row) for row in resumes],
        {str(reject_class): int(count) for reject_class, count in counts},
        {str(topic): int(rev) for topic, rev in since},
        [(str(topic), int(owner_epoch)) for topic, owner_epoch in stood],
    )
