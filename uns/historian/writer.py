"""Messages in, one transaction out: the work of the historian's single writing thread.

Owns the order decode, record, write, and puts rows aside that the store refuses. Does not know
MQTT connections: who calls it acknowledges the messages when `commit` has returned.
"""

from collections.abc import Iterable
from typing import Final, NamedTuple, Protocol

from uns.codec import Codec, Reject
from uns.historian.errors import Unstorable
from uns.historian.owners import Readers
from uns.historian.quarantine import RejectNote
from uns.historian.recorder import Arrival, Recorder, Watermark
from uns.historian.rows import (
    TABLES,
    AgainRow,
    Batch,
    EventRow,
    RejectRow,
    ResumeRow,
    Row,
    StateRow,
    WatermarkRow,
)
from uns.historian.store import Store

UNSTORABLE: Final = "unstorable"


class Delivery(Protocol):
    """A received message, as the client port gives it."""

    @property
    def topic(self) -> str:
        """Where it was published."""

    @property
    def payload(self) -> bytes:
        """What was published."""

    @property
    def retain(self) -> bool:
        """Whether it came from the retained set."""

    @property
    def dup(self) -> bool:
        """Whether it was sent before, on a connection that was lost."""


class Told(NamedTuple):
    """What may be said after a commit."""

    rows: int
    watermarks: list[Watermark]
    rejects: list[RejectNote]


class Writer:
    """Writes batches for one plant. `own` are prefixes of topics that the historian itself fills.

    Not thread-safe: use it from one thread.
    """

    def __init__(
        self, codec: Codec, store: Store, readers: Readers, own: tuple[str, ...] = ()
    ) -> None:
        self._codec = codec
        self._store = store
        self._readers = readers
        self._own = own
        self._recorder = Recorder(readers)
        self._told: dict[str, Watermark] = {}

    def start(self) -> None:
        """Remember what the store knows. Raises StoreUnavailable, SchemaTooNew."""
        self._recorder = Recorder(self._readers, self._store.known())
        self._told.clear()

    def prepare(self, messages: Iterable[Delivery], received_ms: int) -> Batch:
        """The rows of some messages. What is returned must be committed before the next call."""
        decoded = (
            (
                Arrival(message.topic, message.payload, message.dup, message.retain),
                self._codec.decode(message.topic, message.payload, retain=message.retain),
            )
            for message in messages
            if not message.topic.startswith(self._own)
        )
        return self._recorder.batch(decoded, received_ms)

    def commit(self, batch: Batch) -> Told:
        """Write a batch, in one transaction if every row is good; the same again is harmless.

        Raises StoreUnavailable: nothing is lost, call again.
        """
        if batch:
            self._write(batch)
        return Told(len(batch), self._news(), self._recorder.take_notes())

    def everything(self) -> list[Watermark]:
        """All watermarks, for a broker that may have forgotten them."""
        self._told.clear()
        return self._news()

    def _news(self) -> list[Watermark]:
        for source in self._recorder.take_repeated():
            self._told.pop(source, None)
        news = [w for w in self._recorder.watermarks() if self._told.get(w.source) != w]
        self._told.update((watermark.source, watermark) for watermark in news)
        return news

    def _write(self, batch: Batch) -> None:
        try:
            self._store.write(batch)
        except Unstorable as error:
            rows = [(name, row) for name, some in batch.tables().items() for row in some]
            if len(rows) > 1:
                middle = len(rows) // 2
                self._write(_batch(rows[:middle]))
                self._write(_batch(rows[middle:]))
            else:
                self._store.write(Batch(rejects=[self._put_aside(rows[0][1], error)]))

    def _put_aside(self, row: Row, error: Unstorable) -> RejectRow:
        if isinstance(row, RejectRow):
            raise error
        reject = Reject(UNSTORABLE, str(error), getattr(row, "topic", ""), _original(row))
        return self._recorder.reject(reject, repeated=True, at_ms=_received_ms(row))


def _batch(rows: Iterable[tuple[str, Row]]) -> Batch:
    some: dict[str, list[Row]] = {name: [] for name in TABLES}
    for name, row in rows:
        some[name].append(row)
    return Batch(**some)  # type: ignore[arg-type]  # rows come from the list they go back to


def _received_ms(row: Row) -> int:
    return row.at_ms if isinstance(row, WatermarkRow | RejectRow) else row.received_ms


def _original(row: Row) -> bytes:
    match row:
        case EventRow():
            text = row.payload
        case AgainRow():
            text = row.original
        case StateRow() | ResumeRow():
            text = row.document
        case _:
            text = repr(tuple(row))
    return text.encode("utf-8", "surrogatepass")
