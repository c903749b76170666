"""PURE: a tag's samples, summed up piece by piece in the store, as values that hold over time.

Owns what a value is between two samples: the last good one holds until the next sample, whatever
its quality, or for `hold_ms`. This is OPC UA part 13's TimeAverage with stepped values, where
uncertain counts as bad.
"""

from collections.abc import Iterable, Iterator
from itertools import pairwise
from typing import Final, NamedTuple

from uns.historian.history.period import Answer, Instant, Period, Share, share

GOOD: Final = "good"
UNCERTAIN: Final = "uncertain"
BAD: Final = "bad"
LET_GO: Final = "let go"
"""The quality of what was told once, but is not on record any more."""
HOLD_FOREVER_MS: Final = 2**60
ALIGNED_MS: Final = 60_000
"""Steps of whole minutes begin at whole steps since 1970, as a clock and roll-ups have them."""


class Held(NamedTuple):
    """A sample that holds until the next one; value None: no number."""

    at_ms: int
    value: float | None
    quality: str


class Piece(NamedTuple):
    """The samples of [at_ms, end_ms), and how long each held within it, after one another.

    weight: value x ms, over the `number_ms` in which a good number held. first_ms: when the first
    sample came; last: the sample that holds at the piece's end.
    """

    at_ms: int
    end_ms: int
    n: int
    min: float | None
    max: float | None
    weight: float
    number_ms: int
    good_ms: int
    uncertain_ms: int
    first_ms: int
    last: Held


class Steps(NamedTuple):
    """A period in equal steps. hold_ms: how long a value is believed; None: until the next one."""

    asked: Period
    every_ms: int
    hold_ms: int | None = None

    @property
    def held_ms(self) -> int:
        """The longest that a value holds."""
        return HOLD_FOREVER_MS if self.hold_ms is None else self.hold_ms


class Bucket(Answer):
    """One step of a down-sampled tag, from `at_ms` on.

    min, max and avg are of its good numbers as they held over time: `avg` is weighted by time, a
    value that came before the step counts until the next one; last: what held at its end. None
    where nothing good was known.
    n: samples that came in it, good or not. coverage: the share of its time with good values;
    uncertain: the share with uncertain ones, which are in no figure.
    """

    at_ms: Instant
    min: float | None
    max: float | None
    avg: float | None
    last: float | None
    n: int
    coverage: Share
    uncertain: Share


def origin(asked: Period, every_ms: int) -> int:
    """Where the step begins in which a period begins."""
    return asked.from_ms - (asked.from_ms % every_ms if every_ms % ALIGNED_MS == 0 else 0)


def spans(asked: Period, every_ms: int) -> Iterator[Period]:
    """The steps of a period; the first and the last may be shorter."""
    edges = range(origin(asked, every_ms) + every_ms, asked.to_ms, every_ms)
    for from_ms, to_ms in pairwise((asked.from_ms, *edges, asked.to_ms)):
        yield Period(from_ms=from_ms, to_ms=to_ms)


def buckets(
    found: Iterable[Piece],
    before: Held | None,
    asked: Period,
    every_ms: int,
    hold_ms: int = HOLD_FOREVER_MS,
) -> Iterator[Bucket]:
    """Every step of the period, of pieces by time that lie within a step each.

    before: what held at the period's start.
    """
    sums, rest = _Sums(before, hold_ms), iter(found)
    piece = next(rest, None)
    for span in spans(asked, every_ms):
        sums.begin(span)
        while piece is not None and piece.at_ms < span.to_ms:
            sums.add(piece)
            piece = next(rest, None)
        yield sums.bucket()


class _Sums:
    """The sums of a step while its pieces come."""

    def __init__(self, held: Held | None, hold_ms: int) -> None:
        self._held, self._hold_ms = held, hold_ms

    def begin(self, span: Period) -> None:
        """Begin with a step; what holds goes on holding."""
        self._span, self._reached_ms = span, span.from_ms
        self._values = list[float]()
        self._n = self._number_ms = self._good_ms = self._uncertain_ms = 0
        self._weight = 0.0

    def add(self, piece: Piece) -> None:
        """Take a piece, and the time before its first sample."""
        self._hold(piece.first_ms)
        self._n += piece.n
        self._values += [value for value in (piece.min, piece.max) if value is not None]
        self._weight += piece.weight
        self._number_ms += piece.number_ms
        self._good_ms += piece.good_ms
        self._uncertain_ms += piece.uncertain_ms
        self._held, self._reached_ms = piece.last, piece.end_ms

    def bucket(self) -> Bucket:
        """The step, up to its end."""
        self._hold(self._span.to_ms)
        return Bucket(
            at_ms=self._span.from_ms,
            min=min(self._values, default=None),
            max=max(self._values, default=None),
            avg=self._weight / self._number_ms if self._number_ms else None,
            last=self._last(),
            n=self._n,
            coverage=share(self._good_ms, self._span.length_ms),
            uncertain=share(self._uncertain_ms, self._span.length_ms),
        )

    def _hold(self, until_ms: int) -> None:
        """What holds, holds until an instant, if it is believed so long."""
        held = self._held
        if held is None:
            return
        ms = max(min(until_ms, held.at_ms + self._hold_ms) - self._reached_ms, 0)
        self._uncertain_ms += ms if held.quality == UNCERTAIN else 0
        if held.quality != GOOD or ms == 0:
            return
        self._good_ms += ms
        if held.value is not None:
            self._values.append(held.value)
            self._weight += held.value * ms
            self._number_ms += ms

    def _last(self) -> float | None:
        held = self._held
        if held is None or held.quality != GOOD:
            return None
        return held.value if held.at_ms + self._hold_ms >= self._span.to_ms else None
