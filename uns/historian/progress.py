"""PURE: which events of a source are on record, as few spans of sequence numbers.

Owns the watermark. Events may come in any order and more than once; the watermark is the end of
the unbroken span from the first event, so that "1 3 2" never passes over 2.
"""

from bisect import bisect_left
from collections.abc import Iterable
from operator import attrgetter
from typing import Final, NamedTuple

SPANS_MAX: Final = 200
"""Beyond it the highest spans are forgotten: their source sends those events again."""


class Span(NamedTuple):
    """Sequence numbers from `first` to `last`, both included."""

    first: int
    last: int


_LAST = attrgetter("last")


class Progress:
    """One epoch of a source; `first_seq` is the first event that this record can have."""

    def __init__(self, seq: int = 0, first_seq: int = 1, ahead: Iterable[Span] = ()) -> None:
        self.first_seq = first_seq
        self._spans = [Span(0, seq), *ahead]

    @property
    def seq(self) -> int:
        """The watermark: everything from `first_seq` up to it is on record."""
        return self._spans[0].last

    @property
    def ahead(self) -> list[Span]:
        """What is on record above a hole, in order."""
        return self._spans[1:]

    @property
    def hole_to(self) -> int | None:
        """The last missing event of the first hole; None without one."""
        return self._spans[1].first - 1 if len(self._spans) > 1 else None

    def has(self, seq: int) -> bool:
        """Whether an event is on record; those before `first_seq` are not."""
        at = bisect_left(self._spans, seq, key=_LAST)
        return self.first_seq <= seq and at < len(self._spans) and self._spans[at].first <= seq

    def add(self, seq: int) -> None:
        """Note that an event is on record."""
        spans = self._spans
        at = bisect_left(spans, seq, key=_LAST)
        if at < len(spans) and spans[at].first <= seq:
            return
        left = at > 0 and spans[at - 1].last == seq - 1
        right = at < len(spans) and spans[at].first == seq + 1
        first = spans[at - 1].first if left else seq
        last = spans[at].last if right else seq
        spans[at - left : at + right] = [Span(first, last)]
        del spans[SPANS_MAX:]

    def skip_to(self, seq: int) -> None:
        """Give up what a source was allowed to forget: it cannot send up to `seq` any more."""
        if seq <= self.seq:
            return
        self.first_seq = seq + 1
        later = [Span(max(span.first, seq + 1), span.last) for span in self._spans]
        self._spans = [Span(0, seq), *(span for span in later if span.first <= span.last)]
        if len(self._spans) > 1 and self._spans[1].first == seq + 1:
            self._spans[:2] = [Span(0, self._spans[1].last)]
