"""PURE: what the historian says in the tree: watermarks, rejects and its own health.

Owns the topics and documents below `<enterprise>/_hub/{watermark,reject,historian}`.
"""

from typing import Final, NamedTuple

from uns.codec import encode_document
from uns.historian.quarantine import RejectNote
from uns.historian.recorder import WATERMARK, Watermark
from uns.model.path import SEGMENT, TopicError, key_of
from uns.mqtt.message import Outgoing, Will

OWN: Final = ("reject", "historian")
ORIGINAL_LENGTH_MAX: Final = 120_000
"""Of a base64 text: `_hub` documents are bounded; the whole original is in the store."""


class Health(NamedTuple):
    """How the historian does. `lag_ms`: how long the oldest unwritten message has waited."""

    name: str
    store: str
    available: bool
    reason: str | None
    rows: int
    rows_per_s: float
    lag_ms: int
    at_ms: int


def own_topics(enterprise: str) -> tuple[str, ...]:
    """Prefixes of topics that the historian fills and never records."""
    return tuple(f"{enterprise}/_hub/{name}/" for name in OWN)


def watermark_topic(enterprise: str, source: str) -> str | None:
    """Where a source's watermark stands: by writer and place; None for an id that fits no topic.

    `plc:acme.berlin` is `acme/_hub/watermark/plc/acme/berlin`: the payload has the id itself.
    """
    parts = source.replace(":", "/").replace(".", "/").split("/")
    if all(map(SEGMENT.fullmatch, parts)):
        return f"{enterprise}/_hub/{WATERMARK}/{'/'.join(parts)}"
    key = _key(source)
    return key and f"{enterprise}/_hub/{WATERMARK}/{key}"


def say_watermark(enterprise: str, watermark: Watermark, at_ms: int) -> Outgoing | None:
    """The retained document of a source: how far it is stored, and up to where it may forget."""
    topic = watermark_topic(enterprise, watermark.source)
    document = {
        "summary": f"{watermark.seq} stored, {watermark.settled} settled",
        **watermark._asdict(),
        "at_ms": at_ms,
    }
    return Outgoing(topic, encode_document(document), retain=True) if topic else None


def say_reject(enterprise: str, note: RejectNote) -> Outgoing:
    """The retained document of a reject class: how many there were, and the newest."""
    where = {"topic": note.topic} if note.origin is None else {"origin": note.origin}
    document = {
        "summary": f"{note.total} {note.reject_class}: {note.reason}",
        "reject_class": note.reject_class,
        "reason": note.reason,
        **where,
        "count": note.total,
        "original_base64": note.original_base64[:ORIGINAL_LENGTH_MAX],
        "original_sha256": note.original_sha256,
        "at_ms": note.at_ms,
    }
    key = _key(note.reject_class) or "other"
    return Outgoing(f"{enterprise}/_hub/reject/{key}", encode_document(document), retain=True)


def say_health(enterprise: str, health: Health) -> Outgoing:
    """The retained document of the historian itself."""
    doing = f"{health.rows_per_s:.0f} rows/s, {health.lag_ms} ms behind"
    state = doing if health.available else f"store away: {health.reason}"
    document = {
        "summary": f"{health.name} on {health.store}: {state}",
        "historian": health.name,
        "connected": True,
        **{key: value for key, value in health._asdict().items() if key != "name"},
    }
    topic = f"{enterprise}/_hub/historian/{health.name}"
    return Outgoing(topic, encode_document(document), retain=True)


def last_topic(enterprise: str, name: str) -> str:
    """Where a historian that ends says, to itself, that nothing follows."""
    return f"{enterprise}/_hub/historian/{name}/last"


def last_will(enterprise: str, name: str, at_ms: int) -> Will:
    """What the broker says when the historian has vanished."""
    document = {
        "summary": f"{name} is gone",
        "historian": name,
        "connected": False,
        "gone": True,
        "at_ms": at_ms,
    }
    return Will(f"{enterprise}/_hub/historian/{name}", encode_document(document))


def _key(text: str) -> str | None:
    try:
        return key_of(text)
    except TopicError:
        return None
