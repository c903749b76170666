"""PURE: what all processors share: values that are replaced, and documents that stay small.

Owns the rules of a public document (bound, key, local time). Knows no MES rule: those live in
the processors, which do not know each other.
"""

from datetime import datetime
from typing import Any, Final, TypeVar
from zoneinfo import ZoneInfo

from pydantic import BaseModel, ConfigDict

from uns.codec import BYTES_MAX, STAMPS_BYTES_MAX, encode_document
from uns.fold import Document
from uns.model.path import TopicError, key_of, parent
from uns.model.plant import Place, Plant

DOCUMENT_BYTES_MAX: Final = BYTES_MAX["_state"] - STAMPS_BYTES_MAX
"""What the topic may carry, less the room for the stamps that the runner adds."""
SHOWN_LENGTH_MAX: Final = 48
HORIZON_MS: Final = 250_000_000_000_000
"""Local times are shown up to the year 9892, where calendars of the standard library end."""


class State(BaseModel):
    """A value of a processor's state: immutable, unknown keys refused."""

    model_config = ConfigDict(frozen=True, extra="forbid")


Value = TypeVar("Value", bound=State)


def replace(value: Value, **changes: Any) -> Value:
    """The value with other fields, unchecked: the caller brings values of the right type."""
    return value.model_copy(update=changes)


def topic_key(business_id: str) -> str | None:
    """An id as a topic segment; None if it does not fit one: then it has no document of its own."""
    try:
        return key_of(business_id)
    except TopicError:
        return None


def shown(text: str | None) -> str:
    """An id as a summary shows it: printable and short; the whole id stands in its own field."""
    word = "".join(char if char.isprintable() else "?" for char in text or "-")
    return word if len(word) <= SHOWN_LENGTH_MAX else f"{word[: SHOWN_LENGTH_MAX - 1]}…"


def percent(fraction: float | None) -> str:
    """A fraction for people: `71.2`, or `-` where there is none."""
    return "-" if fraction is None else f"{fraction * 100:.1f}"


def clock_text(at_ms: int, now_ms: int, zone: str) -> str:
    """Local time for people: `14:31` today, `24 Nov 14:31` on another day."""
    if not 0 <= at_ms < HORIZON_MS:
        return "-"
    tz = ZoneInfo(zone)
    at = datetime.fromtimestamp(at_ms / 1000, tz)
    today = datetime.fromtimestamp(min(now_ms, HORIZON_MS) / 1000, tz).date()
    return f"{at:%H:%M}" if at.date() == today else f"{at:%d %b %H:%M}"


def cell_at(plant: Plant, line: str, path: str) -> Place | None:
    """The cell of the line at a path; None for any other place: its events are not ours."""
    place = plant.cells.get(path)
    return place if place is not None and place.line_path == line else None


def zone_of(plant: Plant, path: str) -> str:
    """The time zone of the site a place lies in."""
    site = plant.sites.get(parent(path, "site").rpartition("/")[2])
    return site.time_zone if site else "UTC"


def fit(document: Document, key: str) -> Document:
    """The document with the list under `key` cut so that it keeps the size bound.

    What was cut is said in `omitted`, the number of entries left out. If the ids alone are too
    long (a foreign script, control characters), every text is shortened as in a summary.
    """
    entries, left_out = list(document[key]), int(document.get("omitted", 0))
    kept = len(entries)
    while _is_too_long(document):
        if not kept:
            return {name: _shortened(value) for name, value in document.items()}
        kept = kept * 3 // 4
        omitted = left_out + len(entries) - kept
        document = {**document, key: entries[:kept], "omitted": omitted}
    return document


def _is_too_long(document: Document) -> bool:
    return len(encode_document(document)) > DOCUMENT_BYTES_MAX


def _shortened(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _shortened(inner) for name, inner in value.items()}
    if isinstance(value, list):
        return [_shortened(inner) for inner in value]
    return shown(value) if isinstance(value, str) and len(value) > SHOWN_LENGTH_MAX else value
