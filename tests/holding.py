"""A tag's samples as values that hold over time, worked out the slow way: for tests to compare."""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from uns.historian.history.period import Period


class Told(NamedTuple):
    """A sample; value None: no number."""

    at_ms: int
    quality: str
    value: float | None


class Spell(NamedTuple):
    """A sample and how long it held."""

    from_ms: int
    to_ms: int
    quality: str
    value: float | None


class Expected(NamedTuple):
    """What a bucket should say."""

    at_ms: int
    min: float | None
    max: float | None
    avg: float | None
    last: float | None
    n: int
    coverage: float
    uncertain: float


def spells(told: Sequence[Told], asked: Period, hold_ms: int | None) -> Iterator[Spell]:
    """How long each sample held, within the period."""
    ends = [*(after.at_ms for after in told[1:]), asked.to_ms]
    for one, next_ms in zip(told, ends, strict=False):
        end_ms = next_ms if hold_ms is None else min(next_ms, one.at_ms + hold_ms)
        start_ms, end_ms = max(one.at_ms, asked.from_ms), min(end_ms, asked.to_ms)
        if start_ms < end_ms:
            yield Spell(start_ms, end_ms, one.quality, one.value)


def expected(
    told: Sequence[Told], step: Period, asked: Period, hold_ms: int | None = None
) -> Expected:
    """One step of a period, from all samples of a tag in their order."""
    within = list(spells(told, asked, hold_ms))
    cut = [
        s._replace(from_ms=max(s.from_ms, step.from_ms), to_ms=min(s.to_ms, step.to_ms))
        for s in within
        if s.from_ms < step.to_ms and s.to_ms > step.from_ms
    ]
    good = [s for s in cut if s.quality == "good"]
    numbers = [(s.value, s.to_ms - s.from_ms) for s in good if s.value is not None]
    values = [value for value, _ in numbers]
    at_end = [s for s in good if s.to_ms == step.to_ms]
    return Expected(
        at_ms=step.from_ms,
        min=min(values, default=None),
        max=max(values, default=None),
        avg=sum(v * ms for v, ms in numbers) / sum(ms for _, ms in numbers) if numbers else None,
        last=at_end[0].value if at_end else None,
        n=sum(step.from_ms <= one.at_ms < step.to_ms for one in told),
        coverage=_share(good, step),
        uncertain=_share([s for s in cut if s.quality == "uncertain"], step),
    )


def _share(cut: Sequence[Spell], step: Period) -> float:
    return sum(s.to_ms - s.from_ms for s in cut) / (step.to_ms - step.from_ms)
