"""The boundary between bytes and values; owns the size bounds, knows no topic and no session.

At most PAYLOAD_BYTES_MAX bytes, METRICS_MAX metrics a list and NESTING_MAX levels are read or
written; a compressed payload counts as what it holds. The worst payload of that size takes some
30 MiB of protobuf memory while it is parsed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from google.protobuf.message import DecodeError as ProtobufError

from uns.sparkplug.compression import COMPRESSED, unpack
from uns.sparkplug.errors import DecodeError, EncodeError
from uns.sparkplug.reading import METRICS_MAX, NESTING_MAX, read_payload
from uns.sparkplug.schema import new_payload, parse_payload
from uns.sparkplug.writing import write_payload

if TYPE_CHECKING:
    from uns.sparkplug.schema import Wire
    from uns.sparkplug.values import Payload

__all__ = [
    "METRICS_MAX",
    "NESTING_MAX",
    "PAYLOAD_BYTES_MAX",
    "decode",
    "encode",
    "parse",
    "serialize",
]

PAYLOAD_BYTES_MAX: Final = 1_048_576
_OF_ENVELOPE: Final = ("timestamp", "seq")


def decode(raw: bytes) -> Payload | DecodeError:
    """Read a payload; what is none comes back as the error with its reason."""
    try:
        return read_payload(parse(raw))
    except DecodeError as error:
        return error.with_traceback(None)


def encode(payload: Payload) -> bytes:
    """Write a payload, or raise EncodeError."""
    wire = new_payload()
    try:
        write_payload(wire, payload)
    except (ValueError, TypeError) as error:
        raise EncodeError(str(error)) from None
    return serialize(wire)


def parse(raw: bytes) -> Wire:
    """Parse bytes into a Payload message within its bounds, or raise DecodeError.

    The metrics are not looked at: a session reads them by what it knows from the births. Of a
    compressed payload it is the one inside; a time or seq that only the envelope has is kept.
    """
    wire = _parse(raw)
    if wire.uuid != COMPRESSED:
        return wire
    inner = _parse(unpack(wire, PAYLOAD_BYTES_MAX))
    if inner.uuid == COMPRESSED:
        raise DecodeError("a compressed payload is inside another")
    for field in _OF_ENVELOPE:
        if wire.HasField(field) and not inner.HasField(field):
            setattr(inner, field, getattr(wire, field))
    return inner


def _parse(raw: bytes) -> Wire:
    if len(raw) > PAYLOAD_BYTES_MAX:
        raise DecodeError(f"{len(raw)} bytes, at most {PAYLOAD_BYTES_MAX} are read")
    try:
        wire = parse_payload(raw)
    except ProtobufError as error:
        raise DecodeError(f"no Sparkplug B payload: {error}") from None
    if len(wire.metrics) > METRICS_MAX:
        raise DecodeError(f"{len(wire.metrics)} metrics, at most {METRICS_MAX} are read")
    return wire


def serialize(wire: Wire) -> bytes:
    """Give a Payload message its bytes, or raise EncodeError when there are too many."""
    raw: bytes = wire.SerializeToString()
    if len(raw) > PAYLOAD_BYTES_MAX:
        raise EncodeError(f"{len(raw)} bytes, at most {PAYLOAD_BYTES_MAX} are sent")
    return raw
