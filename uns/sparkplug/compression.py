"""Unpacks the compressed envelope; knows its name, its algorithms and one bound.

The specification leaves `uuid` and `body` open. Eclipse Tahu and those who follow it put a whole
payload, compressed, into the body of an otherwise empty one, whose uuid is COMPRESSED. A metric
`algorithm` may say GZIP or DEFLATE; without it the body is DEFLATE, which here means zlib's format.
"""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

from uns.sparkplug.errors import DecodeError

if TYPE_CHECKING:
    from uns.sparkplug.schema import Wire

COMPRESSED: Final = "SPBV1.0_COMPRESSED"
_ALGORITHM: Final = "algorithm"
_DEFAULT: Final = "DEFLATE"
_WINDOW_BITS: Final[Mapping[str, int]] = MappingProxyType(
    {"DEFLATE": zlib.MAX_WBITS, "GZIP": 16 + zlib.MAX_WBITS}
)


def unpack(envelope: Wire, bytes_max: int) -> bytes:
    """Give the bytes of the payload inside, at most `bytes_max`, or raise DecodeError."""
    algorithm = _algorithm(envelope)
    if algorithm not in _WINDOW_BITS:
        raise DecodeError(f"compression {algorithm!r} is not known")
    inflating = zlib.decompressobj(_WINDOW_BITS[algorithm])
    try:
        raw = inflating.decompress(envelope.body, bytes_max + 1)
    except zlib.error as error:
        raise DecodeError(f"the compressed body is no {algorithm}: {error}") from None
    if len(raw) > bytes_max:
        raise DecodeError(f"the compressed body is larger than {bytes_max} bytes")
    if not inflating.eof:
        raise DecodeError("the compressed body ends early")
    return raw


def _algorithm(envelope: Wire) -> str:
    stated = (metric.string_value for metric in envelope.metrics if metric.name == _ALGORITHM)
    return next(stated, _DEFAULT).upper()
