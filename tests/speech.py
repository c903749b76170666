"""Messages as bridges and processors of the small plant send them, for tests of the record."""

from typing import Any, Final, NamedTuple

from tests.brokers import small_plant
from uns.codec import Codec, encode_document, encode_event, encode_tag
from uns.fold import Document, Draft
from uns.historian.owners import Readers, line_readers
from uns.historian.store import Store
from uns.historian.writer import Writer
from uns.model.observation import Scalar
from uns.model.path import to_dotted

LINE: Final = "acme/berlin/machining/housing"
MILL: Final = f"{LINE}/mill"
WASH: Final = f"{LINE}/wash"
PLC: Final = f"plc:{to_dotted(LINE)}"
NOON: Final = 1_765_454_400_000
PROCESSORS: Final = {"oee": frozenset({"oee"}), "quality": frozenset({"quality"})}
READERS: Final[Readers] = line_readers([LINE], PROCESSORS)


class Sent(NamedTuple):
    """A message as the client port delivers it."""

    topic: str
    payload: bytes
    retain: bool = False
    dup: bool = False


def event(seq: int, kind: str = "counted", body: Document | None = None, **where: Any) -> Sent:
    """An event of a source; `where`: path, source, epoch, at_ms, id."""
    draft = Draft(
        where.get("path", MILL),
        kind,
        where.get("at_ms", NOON + seq),
        {"good": 1, "scrap": 0} if body is None else body,
        None,
        where.get("id"),
    )
    return Sent(
        draft.topic, encode_event(draft, where.get("source", PLC), where.get("epoch", 1), seq)
    )


def output(seq: int, processor: str, kind: str, body: Document, **where: Any) -> Sent:
    """An event that a processor of the line put out."""
    source = f"processor:{processor}:{to_dotted(LINE)}"
    return event(seq, kind, body, **{"source": source, **where})


def tag(value: Scalar, at_ms: int, cell: str = MILL, *, retain: bool = False) -> Sent:
    """A sample of the tag `tag-0`."""
    return Sent(f"{cell}/_tag/tag-0", encode_tag(value, at_ms, "good", "rpm"), retain=retain)


def state(name: str, rev: int, document: Document, place: str = LINE) -> Sent:
    """A public `_state` document."""
    body = {"summary": f"rev {rev}", **document, "rev": rev}
    return Sent(f"{place}/_state/{name}", encode_document(body))


def cleared(topic: str, *, dup: bool = False) -> Sent:
    """The deletion of a retained topic."""
    return Sent(topic, b"", dup=dup)


def resume(
    processor: str,
    rev: int,
    marks: dict[str, tuple[int, int]],
    owner_epoch: int = 1,
    **more: int,
) -> Sent:
    """The resume document of a processor; `more`: output_epoch, base_rev."""
    document = {
        "summary": f"rev {rev}",
        "processor": processor,
        "rev": rev,
        "owner_epoch": owner_epoch,
        "marks": marks,
        "state": {"n": rev},
        **more,
    }
    return Sent(f"{LINE}/_hub/processor/{processor}", encode_document(document))


def new_writer(store: Store, readers: Readers = READERS) -> Writer:
    """A writer that has just started on a store."""
    writer = Writer(
        Codec(small_plant()), store, readers, ("acme/_hub/reject/", "acme/_hub/historian/")
    )
    writer.start()
    return writer


def record(writer: Writer, *messages: Sent, received_ms: int = NOON) -> None:
    """Write messages as one batch."""
    writer.commit(writer.prepare(messages, received_ms))
