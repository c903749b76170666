"""How much of a period is known, and where it is not. Unknown is never idle, and never good.

A tag is known while its newest sample is good; a sample holds until the next one, or for `hold_ms`.
A source that is lost turns its tags bad at the instant of their last value. Only of pieces that are
not good throughout are the samples read.
"""

from collections.abc import Iterable, Iterator
from heapq import nlargest
from typing import Final, Literal

from uns.historian.answers import TIMEOUT_S_MAX
from uns.historian.gaps import gaps as missing
from uns.historian.history.period import Answer, Instant, Period
from uns.historian.history.sampling import BAD, GOOD, LET_GO, UNCERTAIN, Held, Piece, Steps
from uns.historian.history.summed import Summed
from uns.historian.history.tag_samples import BY_TIME, TOLD
from uns.historian.reader import Reader
from uns.model.path import to_dotted

GAPS_MAX: Final = 200
SAMPLES_AT_ONCE: Final = 100_000
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
), begun AS (
    SELECT *, CASE WHEN from_ms = LAG(to_ms) OVER by_time AND why = LAG(why) OVER by_time
        AND reason IS NOT DISTINCT FROM LAG(reason) OVER by_time THEN 0 ELSE 1 END AS is_new
    FROM spans WHERE to_ms > from_ms WINDOW by_time AS (ORDER BY from_ms)
), numbered AS (
    SELECT *, sum(is_new) OVER (ORDER BY from_ms) AS number FROM begun
)
SELECT min(from_ms), max(to_ms), why, reason FROM numbered GROUP BY number, why, reason
ORDER BY max(to_ms) - min(from_ms) DESC, min(from_ms)
"""  # noqa: S608 - constants of ours


class Gap(Answer):
    """A span in which a tag is not known.

    why: its quality, `silent`, `nothing yet`, or of samples that were let go: `in part` where sums
    say that some of the span is known, `let go` where nothing does.
    """

    from_ms: Instant
    to_ms: Instant
    why: Literal["bad", "uncertain", "silent", "nothing yet", "in part", "let go"]
    reason: str | None = None

    @property
    def length_ms(self) -> int:
        """How long it is."""
        return self.to_ms - self.from_ms


def tag_gaps(reader: Reader, topic: str, known: Summed) -> tuple[Gap, ...]:
    """Where a tag was not known, by time; about the GAPS_MAX longest of them."""
    found, unclear = _walked(known)
    picked = nlargest(GAPS_MAX, unclear, key=_lost_ms)
    for run in _runs(sorted(picked, key=lambda piece: piece.at_ms)):
        found += _looked_up(reader, topic, run, known.steps)
    merged = _merged(sorted(found, key=lambda gap: gap.from_ms))
    longest = nlargest(GAPS_MAX, merged, key=lambda gap: gap.length_ms)
    return tuple(sorted(longest, key=lambda gap: gap.from_ms))


def _walked(known: Summed) -> tuple[list[Gap], list[Piece]]:
    """The gaps as far as sums say, and the pieces of which their samples must say more."""
    steps, before = known.steps, known.before
    held, reason = (before.held, before.reason) if before else (None, None)
    found, unclear, reached_ms = list[Gap](), list[Piece](), steps.asked.from_ms
    for piece in known.pieces:
        found += _rest(held, reached_ms, piece.first_ms, steps, reason)
        if _lost_ms(piece) > 0:
            told = _throughout(piece, held, known)
            found += [told] if told else []
            unclear += [] if told else [piece]
        held, reached_ms, reason = piece.last, piece.end_ms, None
    found += _rest(held, reached_ms, steps.asked.to_ms, steps, reason)
    return found, unclear


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


def _lost_ms(piece: Piece) -> int:
    """For how long of a piece the tag was not known, from its first sample on."""
    return piece.end_ms - piece.first_ms - piece.good_ms


def _rest(
    held: Held | None, from_ms: int, to_ms: int, steps: Steps, reason: str | None
) -> Iterator[Gap]:
    """The gap in a span in which no sample came, if there is one."""
    why = held.quality if held else "nothing yet"
    if held and why == GOOD:
        from_ms, why = max(from_ms, held.at_ms + steps.held_ms), "silent"
    if from_ms < to_ms:
        yield Gap.model_validate({"from_ms": from_ms, "to_ms": to_ms, "why": why, "reason": reason})


def _throughout(piece: Piece, held: Held | None, known: Summed) -> Gap | None:
    """The gap that a piece is, as far as its sums say; None: its samples say more."""
    lost_ms, why = _lost_ms(piece), "in part"
    if piece.last.quality == LET_GO:
        why = LET_GO
    elif piece.good_ms == 0 and piece.uncertain_ms in (0, lost_ms):
        why = UNCERTAIN if piece.uncertain_ms else BAD
    goes_on = held is not None and held.quality == why and known.steps.hold_ms is None
    if not goes_on and piece.end_ms > known.kept.samples_ms:
        return None
    return Gap.model_validate({"from_ms": piece.first_ms, "to_ms": piece.end_ms, "why": why})


def _runs(found: Iterable[Piece]) -> Iterator[list[Piece]]:
    """Pieces by time, those together that follow one another, as far as they have few samples."""
    run, samples = list[Piece](), 0
    for piece in found:
        if run and (piece.at_ms > run[-1].end_ms or samples + piece.n > SAMPLES_AT_ONCE):
            yield run
            run, samples = [], 0
        run.append(piece)
        samples += piece.n
    if run:
        yield run


def _looked_up(reader: Reader, topic: str, run: list[Piece], steps: Steps) -> Iterator[Gap]:
    window = (topic, run[0].first_ms, run[-1].end_ms, steps.held_ms)
    for from_ms, to_ms, why, reason in reader.query(_GAPS, window, GAPS_MAX, TIMEOUT_S_MAX).rows:
        yield Gap(from_ms=from_ms, to_ms=to_ms, why=why, reason=reason)


def _merged(found: Iterable[Gap]) -> Iterator[Gap]:
    """Spans that follow one another for one reason, as one; what has no reason has that before."""
    last: Gap | None = None
    for gap in found:
        if last and gap.from_ms <= last.to_ms and _same(last, gap):
            last = last.model_copy(update={"to_ms": max(last.to_ms, gap.to_ms)})
            continue
        if last:
            yield last
        last = gap
    if last:
        yield last


def _same(last: Gap, gap: Gap) -> bool:
    return last.why == gap.why and gap.reason in (None, last.reason)
