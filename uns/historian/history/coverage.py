"""How much of a period is known, and where it is not. Unknown is never idle, and never good.

A tag is known while its newest sample is good; a sample holds until the next one, or for `hold_ms`.
A source that is lost turns its tags bad at the instant of their last value.
"""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Final, Literal

from uns.historian.answers import TIMEOUT_S_MAX
from uns.historian.gaps import gaps as missing
from uns.historian.history.period import Answer, Instant, Period
from uns.historian.history.sampling import GOOD, HOLD_FOREVER_MS
from uns.historian.history.tag_samples import BY_TIME, TOLD, Told
from uns.historian.reader import Reader
from uns.model.path import to_dotted

GAPS_MAX: Final = 200
_GAPS: Final = f"""
WITH told AS (
    SELECT at_ms, quality, reason, LEAD(at_ms) OVER (ORDER BY {BY_TIME}) AS next_ms
    FROM ({TOLD}) AS every_sample
), spans AS (
    SELECT
        CASE WHEN quality = 'good' THEN at_ms + $4 ELSE at_ms END AS from_ms,
        COALESCE(next_ms, $3) AS to_ms,
        CASE WHEN quality = 'good' THEN 'silent' ELSE quality END AS why,
        reason
    FROM told
)
SELECT from_ms, to_ms, why, reason FROM spans WHERE to_ms > from_ms
ORDER BY to_ms - from_ms DESC, from_ms
"""  # noqa: S608 - constants of ours


class Gap(Answer):
    """A span in which a tag is not known. why: its quality, `silent`, or `nothing yet`."""

    from_ms: Instant
    to_ms: Instant
    why: Literal["bad", "uncertain", "silent", "nothing yet"]
    reason: str | None = None


def tag_gaps(
    reader: Reader,
    topic: str,
    asked: Period,
    led_in: tuple[Told | None, int],
    hold_ms: int | None = None,
) -> tuple[Gap, ...]:
    """Where a tag was not known, by time; about the GAPS_MAX longest of them.

    led_in: what was told before the period, and when the first sample in it came (else its end).
    """
    held_ms = HOLD_FOREVER_MS if hold_ms is None else hold_ms
    params = (topic, asked.from_ms, asked.to_ms, held_ms)
    found = map(_gap, reader.query(_GAPS, params, GAPS_MAX, TIMEOUT_S_MAX).rows)
    first = _first_gap(*led_in, asked, held_ms)
    return tuple(_merged(sorted([*first, *found], key=lambda gap: gap.from_ms)))


def lost_events(reader: Reader, lines: Iterable[str], asked: Period) -> int:
    """How many events of these lines' sources never came, by the instants their loss was known.

    An event that several found missing counts once, one that may still come does not.
    """
    ends = tuple(f":{to_dotted(line)}" for line in lines)
    lost, reached = 0, dict[tuple[str, int], int]()
    for gap in sorted(missing(reader), key=lambda gap: gap.from_seq):
        if gap.open or not gap.source.endswith(ends):
            continue
        if asked.from_ms <= gap.since_ms < asked.to_ms:
            seq = reached.get((gap.source, gap.epoch), 0)
            lost += max(gap.to_seq - max(gap.from_seq - 1, seq), 0)
            reached[gap.source, gap.epoch] = max(gap.to_seq, seq)
    return lost


def _gap(row: Sequence[Any]) -> Gap:
    from_ms, to_ms, why, reason = row
    return Gap(from_ms=from_ms, to_ms=to_ms, why=why, reason=reason)


def _first_gap(before: Told | None, first_ms: int, asked: Period, hold_ms: int) -> Iterator[Gap]:
    """The gap at the period's beginning, until its first sample."""
    start_ms, why = asked.from_ms, before.held.quality if before else "nothing yet"
    if before and why == GOOD:
        start_ms, why = max(start_ms, before.held.at_ms + hold_ms), "silent"
    if start_ms < first_ms:
        yield _gap((start_ms, first_ms, why, before.reason if before else None))


def _merged(found: Iterable[Gap]) -> Iterator[Gap]:
    """Spans that follow one another for one reason, as one."""
    last: Gap | None = None
    for gap in found:
        if last and (last.to_ms, last.why, last.reason) == (gap.from_ms, gap.why, gap.reason):
            last = last.model_copy(update={"to_ms": gap.to_ms})
            continue
        if last:
            yield last
        last = gap
    if last:
        yield last
