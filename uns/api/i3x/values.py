"""PURE: values of topics as i3X tells them: value, quality, timestamp in UTC.

A value that is null is Bad or GoodNoData, and what is Bad has none (1.0, Null Value Handling).
"""

from datetime import UTC, datetime, timedelta
from typing import Any, Final

from uns.api.i3x.wire import Quality, Update, Vqt
from uns.codec import parse_json
from uns.historian.answers import instant
from uns.model.events import Tag

EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
LAST_MS: Final = 253_402_300_799_999
"""The last instant that ISO 8601 has four digits of the year for."""
WITH_VALUE: Final[dict[str, Quality]] = {"good": "Good", "uncertain": "Uncertain"}
WITHOUT: Final[dict[str, Quality]] = {"good": "GoodNoData", "uncertain": "Bad", "bad": "Bad"}


def timestamp(at_ms: int) -> str:
    """An instant as RFC 3339 in UTC."""
    return instant(EPOCH + timedelta(milliseconds=min(max(at_ms, 0), LAST_MS)))


def vqt(value: Any, quality: str, at_ms: int) -> Vqt:
    """A value of ours, whose quality is good, uncertain or bad."""
    if value is None or quality not in WITH_VALUE:
        return Vqt(value=None, quality=WITHOUT.get(quality, "Bad"), timestamp=timestamp(at_ms))
    return Vqt(value=value, quality=WITH_VALUE[quality], timestamp=timestamp(at_ms))


def nothing(at_ms: int) -> Vqt:
    """What is known of an object that never said anything."""
    return Vqt(value=None, quality="GoodNoData", timestamp=timestamp(at_ms))


def said(topic: str, payload: bytes, now_ms: int) -> Update | None:
    """A message of the tree as an update of its object; None where it is no value."""
    read = _tag if "/_tag/" in topic else _state
    try:
        value = read(payload, now_ms) if payload else nothing(now_ms)
    except ValueError:
        return None
    return Update(element_id=topic, **vars(value))


def _tag(payload: bytes, _now_ms: int) -> Vqt:
    tag = Tag.model_validate_json(payload)
    return vqt(tag.value, tag.quality, tag.timestamp_ms)


def _state(payload: bytes, now_ms: int) -> Vqt:
    document = parse_json(payload)
    at_ms = document.get("at_ms")
    return vqt(document, "good", at_ms if isinstance(at_ms, int) else now_ms)
