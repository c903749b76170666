"""What is missing on record, from whom, since when and why: open holes, and those that stay.

Reads watermarks and `gap` events. Loss is said, never silent.
"""

import json
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Final, NamedTuple

from uns.historian.answers import ROWS_MAX
from uns.historian.reader import Reader

GAPS_MAX: Final = 10_000
RECORD: Final = "historian"
OPEN: Final = "waiting: its source may still send it"
ENDED: Final = "left behind: its source began a new epoch"
BEFORE: Final = "of the time before this store: its source was told that it may forget it"
GIVEN_UP: Final = "given up: the processor went on without it after waiting"
_WATERMARKS: Final = """
SELECT source, epoch, seq, first_seq, ahead, at_ms,
    EXISTS (SELECT 1 FROM watermarks AS n WHERE n.source = w.source AND n.epoch > w.epoch)
FROM watermarks AS w
WHERE first_seq > 1 OR hole_to IS NOT NULL
ORDER BY source, epoch
"""
_GIVEN_UP: Final = """
SELECT source, epoch, from_seq, to_seq, seen_by, at_ms
FROM gaps WHERE seen_by <> $1
ORDER BY at_ms, source, epoch, from_seq
"""


class Missing(NamedTuple):
    """Events `from_seq` to `to_seq` of a source's epoch that are not there.

    seen_by: the processor that went on without them, or `historian`. since_ms: when that was last
    known (plant time). open: they may still come.
    """

    source: str
    epoch: int
    from_seq: int
    to_seq: int
    seen_by: str
    why: str
    since_ms: int
    open: bool = False


def gaps(reader: Reader, limit: int = GAPS_MAX) -> list[Missing]:
    """Every missing span, at most `limit`: those on record first, then what processors gave up."""
    watermarks = reader.query(_WATERMARKS, limit=ROWS_MAX).rows
    given_up = reader.query(_GIVEN_UP, (RECORD,), limit).rows
    found = [gap for row in watermarks for gap in _of_watermark(row)]
    found += [_of_event(row) for row in given_up]
    return found[:limit]


def _of_event(row: Sequence[Any]) -> Missing:
    source, epoch, from_seq, to_seq, seen_by, at_ms = row
    return Missing(source, epoch, from_seq, to_seq, seen_by, GIVEN_UP, at_ms)


def _of_watermark(row: Sequence[Any]) -> Iterator[Missing]:
    source, epoch, seq, first_seq, ahead, at_ms, ended = row
    if first_seq > 1:
        yield Missing(source, epoch, 1, first_seq - 1, RECORD, BEFORE, at_ms)
    if ended and source.startswith("processor:"):
        return  # its former owner was fenced
    why = ENDED if ended else OPEN
    for first, last in _holes(seq, json.loads(ahead)):
        yield Missing(source, epoch, first, last, RECORD, why, at_ms, not ended)


def _holes(seq: int, ahead: Iterable[Sequence[int]]) -> Iterator[tuple[int, int]]:
    """What is missing between the watermark and the spans above it."""
    for first, last in ahead:
        yield seq + 1, first - 1
        seq = last
