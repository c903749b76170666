"""PURE: a tag's payload as a row, and back: byte for byte what was published.

Owns how values stand in columns. Does not know messages or stores.
"""

from typing import Any, Final

from uns.codec import encode_tag
from uns.historian.rows import TagRow
from uns.model.events import Sample, Tag
from uns.model.observation import Scalar

EXACT_INT_MAX: Final = 2**53
_TRUTH: Final = {"true": True, "false": False}


def tag_row(topic: str, tag: Tag, payload: bytes, received_ms: int) -> TagRow:
    """The row of a tag that was published as `payload`."""
    at_ms, (number, text) = tag.timestamp_ms, _columns(tag.value)
    row = TagRow(topic, at_ms, number, text, tag.quality, tag.unit, received_ms, tag.reason)
    return row if tag_payload(row) == payload else row._replace(original=payload.decode())


def sample_row(topic: str, sample: Sample, received_ms: int) -> TagRow:
    """The row of a value that an event carried: the same as that of the tag it was shown by."""
    tag = Tag(timestamp_ms=sample.at_ms, **sample.model_dump(exclude={"tag", "at_ms"}))
    shown = encode_tag(tag.value, tag.timestamp_ms, tag.quality, tag.unit, tag.reason)
    return tag_row(topic, tag, shown, received_ms)


def tag_payload(row: TagRow) -> bytes:
    """What was published of a tag."""
    if row.original is not None:
        return row.original.encode()
    return encode_tag(
        scalar(row.value, row.value_text), row.at_ms, row.quality, row.unit, row.reason
    )


def _columns(value: Scalar) -> tuple[float | None, str | None]:
    """A tag's value as (number, text); see TagRow."""
    match value:
        case bool():
            return float(value), "true" if value else "false"
        case int() if abs(value) > EXACT_INT_MAX:
            return float(value), str(value)
        case int() | float():
            return float(value), None
        case _:
            return None, value


def scalar(value: float | None, text: str | None) -> Any:
    """A tag's value from its columns; see TagRow."""
    if value is None:
        return text
    if text is not None:
        return _TRUTH[text] if text in _TRUTH else int(text)
    return int(value) if value.is_integer() else value
