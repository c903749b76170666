"""What replies say about the tags: values, exceptions in words, and what of it is news.

Knows no socket and no clock: the time of a reply is given.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Final, NamedTuple

from bridges.modbus.errors import UnreadableError, UnwritableError
from bridges.modbus.layout import decode
from bridges.modbus.plan import Block, Point
from uns.model.observation import Reading, Scalar

# Modbus Application Protocol V1.1b3, section 7.
EXCEPTIONS: Final = {
    1: "illegal function",
    2: "illegal data address",
    3: "illegal data value",
    4: "server device failure",
    5: "acknowledge, still working",
    6: "server device busy",
    8: "memory parity error",
    10: "gateway path unavailable",
    11: "gateway target device failed to respond",
}
NO_SUCH_FUNCTION: Final = 1
ABOUT_ADDRESSES: Final = frozenset({2, 3})
OF_THE_GATEWAY: Final = frozenset({10, 11})
Known = Mapping[tuple[str, str], Reading]


class Refusal(NamedTuple):
    """An exception reply. The device answers, but not with values."""

    code: int

    @property
    def reason(self) -> str:
        """The code in words."""
        return f"{EXCEPTIONS.get(self.code, 'unknown')} (exception {self.code})"


class Reply(NamedTuple):
    """What came back for a block: `size` registers (0 to 65535) or bits, or a refusal.

    at_ms: plant time at which it was asked. The values are never older than that.
    """

    values: Sequence[int] | Refusal
    at_ms: int


def readings(block: Block, reply: Reply) -> list[Reading]:
    """What a reply says about each tag of the block."""
    if isinstance(reply.values, Refusal):
        return [_bad(point, reply.at_ms, reply.values.reason) for point in block.points]
    return [
        _reading(
            point, reply.values[point.start - block.start : point.end - block.start], reply.at_ms
        )
        for point in block.points
    ]


def _reading(point: Point, raw: Sequence[int], at_ms: int) -> Reading:
    try:
        return Reading(point.cell, point.tag, decode(point.source, raw), at_ms)
    except UnreadableError as error:
        return _bad(point, at_ms, str(error))


def _bad(point: Point, at_ms: int, reason: str) -> Reading:
    return Reading(point.cell, point.tag, None, at_ms, "bad", reason)


def changed(known: Known, batch: Iterable[Reading]) -> list[Reading]:
    """The readings that say something new about their tag; a later time alone is nothing new.

    known: the last reading by (cell, tag).
    """
    return [r for r in batch if _said(r) != _said(known.get((r.cell, r.tag)))]


def _said(reading: Reading | None) -> tuple[Scalar, str, str | None] | None:
    return (reading.value, reading.quality, reading.reason) if reading else None


def written_back(point: Point, wanted: Sequence[int], shown: Sequence[int]) -> Scalar:
    """The value a device holds after a write; UnwritableError when it is not the wanted one."""
    value = decode(point.source, shown)
    if value != decode(point.source, wanted):
        raise UnwritableError(f"the device took it, but shows {value!r} afterwards")
    return value
