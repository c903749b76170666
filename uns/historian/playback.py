"""What was received between two instants, in the order in which it came, page by page.

Owns that order: by the time of receipt, and within it by source and seq. Samples that an event
carried stand among the tags.
"""

from collections.abc import Callable, Iterator
from heapq import merge
from operator import attrgetter
from typing import Any, Final, NamedTuple

from uns.codec import encode_document
from uns.historian.reader import Reader
from uns.historian.rows import TagRow
from uns.historian.samples import tag_payload
from uns.model.events import EVENTS, Event

PAGE: Final = 5_000
Row = tuple[Any, ...]
_EVENTS: Final = f"""
SELECT received_ms, source, epoch, seq, type, CAST(payload AS TEXT), topic FROM events
WHERE received_ms < $1 AND (received_ms, source, epoch, seq) > ($2, $3, $4, $5)
ORDER BY received_ms, source, epoch, seq
LIMIT {PAGE + 1}
"""  # noqa: S608 - a constant of ours
_TAGS: Final = f"""
SELECT topic, at_ms, value, value_text, quality, unit, received_ms, reason, original
FROM tag_samples
WHERE received_ms < $1 AND (received_ms, topic, at_ms, quality) > ($2, $3, $4, $5)
ORDER BY received_ms, topic, at_ms, quality
LIMIT {PAGE + 1}
"""  # noqa: S608 - a constant of ours


class Played(NamedTuple):
    """A message of then. `event` is None for a tag's value, whose bytes are in `payload`."""

    received_ms: int
    topic: str
    event: Event | None
    payload: bytes


def played(reader: Reader, from_ms: int, to_ms: int, *, tags: bool) -> Iterator[Played]:
    """Events received in [from_ms, to_ms), and tag values if asked for."""
    streams = [_events(reader, from_ms, to_ms)]
    if tags:
        streams.append(_tags(reader, from_ms, to_ms))
    return merge(*streams, key=attrgetter("received_ms"))


def _events(reader: Reader, from_ms: int, to_ms: int) -> Iterator[Played]:
    rows = _rows(reader, _EVENTS, to_ms, (from_ms, "", 0, 0), lambda row: row[:4])
    for received_ms, _, _, _, name, text, topic in rows:
        event = EVENTS[name].model_validate_json(text)
        payload = encode_document(event.model_dump(mode="json"))
        yield Played(received_ms, topic, event, payload)


def _tags(reader: Reader, from_ms: int, to_ms: int) -> Iterator[Played]:
    rows = _rows(reader, _TAGS, to_ms, (from_ms, "", 0, ""), _tag_key)
    for row in map(TagRow._make, rows):
        yield Played(row.received_ms, row.topic, None, tag_payload(row))


def _tag_key(row: Row) -> Row:
    tag = TagRow(*row)
    return tag.received_ms, tag.topic, tag.at_ms, tag.quality


def _rows(
    reader: Reader, sql: str, to_ms: int, after: Row, key: Callable[[Row], Row]
) -> Iterator[Row]:
    """The rows behind `after`, by the key of four columns that they are in order of."""
    while True:
        page = reader.query(sql, (to_ms, *after), PAGE)
        yield from page.rows
        if not page.truncated or not page.rows:
            return
        after = key(page.rows[-1])
