"""A tag over a period, summed up: from roll-ups where these tell it right, else from its samples.

Owns which part of a period is told by what. Samples that were let go are known by their minutes, in
the end by their hours only: what these cannot tell is unknown, and a question that needs more is
refused. A bucket is left out where its samples did not count when their source says (see
tag_samples), where it waits to be made anew, and where a topic had two units in it.
"""

from collections.abc import Iterator, Sequence
from itertools import groupby
from typing import Final, NamedTuple

from uns.historian.answers import ROWS_MAX, TIMEOUT_S_MAX
from uns.historian.errors import QueryRefused
from uns.historian.history.period import INSTANT_MAX, Period
from uns.historian.history.sampling import LET_GO, Held, Piece, Steps
from uns.historian.history.tag_samples import AGAIN, HOUR_MS, Told, summed_up, told_before
from uns.historian.reader import Reader

MINUTE_MS: Final = 60_000
ROLLED_UP: Final = {HOUR_MS: "tag_hours", MINUTE_MS: "tag_minutes"}
"""The roll-ups by the length of their buckets, the longest first."""
PARTS_MAX: Final = 500
_GONE: Final = "SELECT max(at_ms) FROM tag_samples_kept WHERE topic = $1"
_FIRST: Final = """
SELECT
    (SELECT min(at_ms) FROM tag_hours WHERE topic = $1 AND at_ms >= $2 AND at_ms < $3),
    (SELECT min(at_ms) FROM tag_minutes WHERE topic = $1 AND at_ms >= $2 AND at_ms < $3)
"""
_WAITING: Final = """
SELECT DISTINCT d.hour_ms FROM rollups_due AS d JOIN tag_series AS s ON s.series = d.series
WHERE s.topic = $1
"""
_MOVED: Final = f"SELECT received_ms, stated_ms FROM ({AGAIN}) AS again"  # noqa: S608 - constants of ours
_TWICE: Final = """
SELECT at_ms FROM {table} WHERE topic = $1 AND at_ms >= $2 AND at_ms < $3
GROUP BY at_ms HAVING count(*) > 1
"""
_ROLLED: Final = """
SELECT at_ms, at_ms + $4, n, value_min, value_max, COALESCE(value_ms, 0),
    CASE WHEN good_n > 0 THEN good_ms ELSE 0 END, good_ms, uncertain_ms, first_ms, last_ms,
    value_last, quality_last
FROM {table} WHERE topic = $1 AND at_ms >= $2 AND at_ms < $3 ORDER BY at_ms, first_ms
"""


class Kept(NamedTuple):
    """From when on in a period every sample is on record, and every minute's sums."""

    samples_ms: int
    minutes_ms: int


class Summed(NamedTuple):
    """A tag over a period: its pieces by time, none in two steps, and what it was before."""

    steps: Steps
    kept: Kept
    before: Told | None
    pieces: Sequence[Piece]


Part = tuple[Period, int | None]
"""A part of a period, and how long the buckets are that tell it; None: its samples do."""


def summed(reader: Reader, topic: str, steps: Steps) -> Summed:
    """Sum a tag up. Raises QueryRefused where steps want more than is kept."""
    known = kept(reader, topic, steps.asked)
    sizes = _sizes(steps, known)
    old = Period(from_ms=steps.asked.from_ms, to_ms=known.samples_ms)
    found = list(_from_sums(reader, topic, old, sizes, known.minutes_ms))
    young = Period(from_ms=known.samples_ms, to_ms=steps.asked.to_ms)
    for part, size_ms in told_by(reader, topic, young, sizes[0] if sizes else None):
        if size_ms is None:
            found += summed_up(reader, topic, part, steps)
        else:
            found += _buckets(reader, topic, part, size_ms)
    return Summed(steps, known, told_before(reader, topic, steps.asked.from_ms), found)


def kept(reader: Reader, topic: str, asked: Period) -> Kept:
    """How much of a tag in a period is on record still. What went, went hour by hour."""
    gone_ms = reader.query(_GONE, (topic,)).rows[0][0]
    if gone_ms is None or gone_ms < asked.from_ms:
        return Kept(asked.from_ms, asked.from_ms)
    samples_ms = min(_upwards(gone_ms + 1, HOUR_MS), asked.to_ms)
    window = (topic, asked.from_ms - asked.from_ms % HOUR_MS, samples_ms)
    ((hour_ms, minute_ms),) = reader.query(_FIRST, window).rows
    if hour_ms is None or (minute_ms is not None and minute_ms < hour_ms + HOUR_MS):
        return Kept(samples_ms, asked.from_ms)
    minutes_ms = samples_ms if minute_ms is None else minute_ms - minute_ms % HOUR_MS
    return Kept(samples_ms, minutes_ms)


def told_by(reader: Reader, topic: str, asked: Period, size_ms: int | None) -> Iterator[Part]:
    """The parts of a period, by time, and what tells each: buckets of a length, or samples."""
    reached_ms = asked.from_ms
    for part in _told_right(reader, topic, asked, size_ms) if size_ms else ():
        if reached_ms < part.from_ms:
            yield Period(from_ms=reached_ms, to_ms=part.from_ms), None
        yield part, size_ms
        reached_ms = part.to_ms
    if reached_ms < asked.to_ms:
        yield Period(from_ms=reached_ms, to_ms=asked.to_ms), None


def _sizes(steps: Steps, known: Kept) -> list[int]:
    """The lengths of buckets that fit into steps, the longest first."""
    found = [ms for ms in ROLLED_UP if steps.every_ms % ms == 0 and steps.hold_ms is None]
    if steps.asked.from_ms < known.samples_ms and not found:
        raise QueryRefused(
            f"samples before {known.samples_ms} were let go, sums of minutes and hours are kept: "
            "ask in steps of whole minutes and without a hold, or from that instant on"
        )
    if steps.asked.from_ms < known.minutes_ms and HOUR_MS not in found:
        raise QueryRefused(
            f"sums of minutes before {known.minutes_ms} were let go, those of hours are kept: "
            "ask in steps of whole hours, or from that instant on"
        )
    return found


def _told_right(reader: Reader, topic: str, asked: Period, size_ms: int) -> list[Period]:
    """The parts of a period that whole buckets tell right; none where these are too many parts."""
    start_ms, end_ms = _upwards(asked.from_ms, size_ms), asked.to_ms - asked.to_ms % size_ms
    wrong = _wrong(reader, topic, Period(from_ms=start_ms, to_ms=end_ms), size_ms)
    if wrong is None:
        return []
    found = list[Period]()
    for at_ms in (*sorted(at_ms for at_ms in wrong if start_ms <= at_ms < end_ms), end_ms):
        if start_ms < at_ms:
            found.append(Period(from_ms=start_ms, to_ms=at_ms))
        start_ms = at_ms + size_ms
    return found if len(found) <= PARTS_MAX else []


def _wrong(reader: Reader, topic: str, asked: Period, size_ms: int) -> set[int] | None:
    """The buckets that do not tell what samples do; None where they are too many."""
    waiting = reader.query(_WAITING, (topic,), ROWS_MAX)
    moved = reader.query(_MOVED, (topic, asked.from_ms, INSTANT_MAX), ROWS_MAX, TIMEOUT_S_MAX)
    window = (topic, asked.from_ms, asked.to_ms)
    twice = reader.query(_TWICE.format(table=ROLLED_UP[size_ms]), window, ROWS_MAX)
    if waiting.truncated or moved.truncated or twice.truncated:
        return None
    hours = (range(hour_ms, hour_ms + HOUR_MS, size_ms) for (hour_ms,) in waiting.rows)
    found = {at_ms - at_ms % size_ms for row in (*moved.rows, *twice.rows) for at_ms in row}
    return found.union(*hours)


def _from_sums(
    reader: Reader, topic: str, part: Period, sizes: Sequence[int], minutes_ms: int
) -> Iterator[Piece]:
    """A part whose samples were let go, from the longest buckets that lie in it, else finer ones.

    minutes_ms: from when on there are minutes.
    """
    if part.length_ms <= 0:
        return
    if not sizes or (sizes[0] == MINUTE_MS and part.from_ms < minutes_ms):
        yield _unknown(part)
        return
    size_ms, *finer = sizes
    start_ms = min(_upwards(part.from_ms, size_ms), part.to_ms)
    end_ms = max(part.to_ms - part.to_ms % size_ms, start_ms)
    before = Period(from_ms=part.from_ms, to_ms=start_ms)
    yield from _from_sums(reader, topic, before, finer, minutes_ms)
    whole = _buckets(reader, topic, Period(from_ms=start_ms, to_ms=end_ms), size_ms)
    for at_ms, (first, *others) in groupby(whole, key=lambda piece: piece.at_ms):
        if others:
            bucket = Period(from_ms=at_ms, to_ms=first.end_ms)
            yield from _from_sums(reader, topic, bucket, finer, minutes_ms)
        else:
            yield first
    after = Period(from_ms=end_ms, to_ms=part.to_ms)
    yield from _from_sums(reader, topic, after, finer, minutes_ms)


def _buckets(reader: Reader, topic: str, part: Period, size_ms: int) -> Iterator[Piece]:
    from_ms, sql = part.from_ms, _ROLLED.format(table=ROLLED_UP[size_ms])
    while from_ms < part.to_ms:
        found = reader.query(sql, (topic, from_ms, part.to_ms, size_ms), ROWS_MAX, TIMEOUT_S_MAX)
        for row in found.rows:
            yield Piece._make((*row[:10], Held(*row[10:])))
        from_ms = found.rows[-1][0] + size_ms if found.truncated else part.to_ms


def _unknown(part: Period) -> Piece:
    nothing = Held(part.from_ms, None, LET_GO)
    return Piece(part.from_ms, part.to_ms, 0, None, None, 0.0, 0, 0, 0, part.from_ms, nothing)


def _upwards(at_ms: int, size_ms: int) -> int:
    return -(-at_ms // size_ms) * size_ms
