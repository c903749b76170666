"""Values of topics: the newest, each as it was recorded, and down-sampled for people and plots."""

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any, Final, Literal

from uns.historian import queries
from uns.historian.errors import QueryRefused
from uns.historian.history.coverage import Gap, tag_gaps
from uns.historian.history.drawn import numbers
from uns.historian.history.lttb import lttb
from uns.historian.history.period import (
    PAGE_DEFAULT,
    PAGE_MAX,
    Answer,
    Instant,
    Page,
    Period,
    Share,
    bounded,
    page_size,
    share,
)
from uns.historian.history.sampling import Bucket, Steps, buckets, spans
from uns.historian.history.summed import ROLLED_UP, summed
from uns.historian.history.tag_samples import told_before
from uns.historian.reader import Reader
from uns.historian.samples import scalar
from uns.model.path import parse_topic

TOPICS_MAX: Final = 1_000
POINTS_DEFAULT: Final = 200
PLOT_POINTS_DEFAULT: Final = 500
PLOT_POINTS_MIN: Final = 3
PLOT_POINTS_MAX: Final = 5_000
_CURSOR: Final = re.compile(r"([0-9]{1,16})~([0-9]{1,9})")
Quality = Literal["good", "uncertain", "bad"]
WORST_LAST: Final = "CASE quality WHEN 'good' THEN 0 WHEN 'uncertain' THEN 1 ELSE 2 END"
_RAW: Final = {
    "_tag": "SELECT at_ms, value, value_text, quality, unit, reason FROM tags",
    "_state": "SELECT at_ms, document FROM states",
    "_event": "SELECT at_ms, payload FROM events",
}
_ORDER: Final = {
    "_tag": f"at_ms, {WORST_LAST}, value, value_text, reason, unit",
    "_state": "at_ms, rev",
    "_event": "at_ms, source, epoch, seq",
}


class Value(Answer):
    """A value at an instant: of a tag its value, of a `_state` or `_event` topic the document."""

    at_ms: Instant
    value: Any
    quality: Quality = "good"
    unit: str | None = None
    reason: str | None = None


class Newest(Answer):
    """What a topic shows. at_ms: by its source; None where a document does not say it."""

    topic: str
    at_ms: Instant | None
    value: Any
    quality: Quality = "good"
    unit: str | None = None
    reason: str | None = None


class Sampled(Answer):
    """A tag over a period in equal steps. `gaps`: where it was not known, the longest of them.

    method: `time-weighted`: what `avg` is.
    """

    topic: str
    unit: str | None
    from_ms: Instant
    to_ms: Instant
    every_ms: int
    method: Literal["time-weighted"] = "time-weighted"
    buckets: tuple[Bucket, ...]
    coverage: Share
    gaps: tuple[Gap, ...]


class Plot(Answer):
    """Points worth drawing: a line through them looks like one through every good value.

    gaps: spans in which nothing good was known: the line is broken there.
    """

    topic: str
    unit: str | None
    from_ms: Instant
    to_ms: Instant
    method: Literal["lttb"] = "lttb"
    points: tuple[tuple[int, float], ...]
    coverage: Share
    gaps: tuple[Gap, ...]


def last(
    reader: Reader, topic_filter: str, limit: int = PAGE_DEFAULT, after: str | None = None
) -> Page[Newest]:
    """The newest value of each tag and state topic that a filter (+ and #) selects, by topic."""
    shown = queries.newest(reader, _wanted(topic_filter, limit, after))
    return _page(shown, limit)


def last_of(reader: Reader, topics: Sequence[str]) -> tuple[Newest, ...]:
    """The newest values of 1 to TOPICS_MAX topics; one that shows nothing is left out."""
    wanted = bounded(topics, TOPICS_MAX, "topics")
    shown = queries.newest_of(reader, wanted)
    return tuple(_newest(topic, shown[topic]) for topic in wanted if topic in shown)


def tree_at(
    reader: Reader,
    at_ms: int,
    topic_filter: str = "#",
    limit: int = PAGE_DEFAULT,
    after: str | None = None,
) -> Page[Newest]:
    """The tag and state topics as they were at an instant (queries.snapshot), by topic."""
    shown = queries.snapshot(reader, at_ms, _wanted(topic_filter, limit, after))
    return _page(shown, limit)


def raw(
    reader: Reader,
    topic: str,
    asked: Period,
    limit: int = PAGE_DEFAULT,
    after: str | None = None,
) -> Page[Value]:
    """Every recorded value of a `_tag`, `_state` or `_event` topic, by time.

    Raises TopicError, QueryRefused for another kind, and what a Reader raises (as all here).
    """
    kind = parse_topic(topic).kind
    if kind not in _RAW:
        raise QueryRefused(f"{kind} topics have no history: use one of {', '.join(_RAW)}")
    start_ms, skip = _cursor(after, asked)
    sql = f"{_RAW[kind]} WHERE topic = $1 AND at_ms >= $2 AND at_ms < $3 ORDER BY {_ORDER[kind]}"
    window = (topic, start_ms, asked.to_ms, skip)
    rows = reader.query(f"{sql} OFFSET $4", window, page_size(limit))
    items = tuple(_value(kind, row) for row in rows.rows)
    return Page(items=items, after=_next(items, start_ms, skip) if rows.truncated else None)


def sampled(  # noqa: PLR0913 - the question's parts
    reader: Reader,
    topic: str,
    asked: Period,
    *,
    every_ms: int | None = None,
    points: int = POINTS_DEFAULT,
    hold_ms: int | None = None,
) -> Sampled:
    """A tag in equal steps: each `every_ms` long, or so long that there are about `points`.

    hold_ms: how long a value is believed without a new one; None: until the next one.
    """
    _tag_only(topic)
    step_ms = _step_ms(asked, points) if every_ms is None else every_ms
    if step_ms < 1 or asked.length_ms > PAGE_MAX * step_ms:
        raise QueryRefused(f"steps of {step_ms} ms: use at most {PAGE_MAX} of them in the period")
    steps = Steps(asked, step_ms, hold_ms)
    known = summed(reader, topic, steps)
    held = known.before.held if known.before else None
    shown = tuple(buckets(known.pieces, held, asked, step_ms, steps.held_ms))
    return Sampled(
        topic=topic,
        unit=_unit(reader, topic, asked),
        from_ms=asked.from_ms,
        to_ms=asked.to_ms,
        every_ms=step_ms,
        buckets=shown,
        coverage=_coverage(shown, asked, step_ms),
        gaps=tag_gaps(reader, topic, known),
    )


def plotted(
    reader: Reader,
    topic: str,
    asked: Period,
    points: int = PLOT_POINTS_DEFAULT,
    hold_ms: int | None = None,
) -> Plot:
    """A tag's good numbers thinned out to at most so many points (LTTB).

    Over a long time a point stands for a minute or an hour, at the instant of its first sample.
    """
    if not PLOT_POINTS_MIN <= points <= PLOT_POINTS_MAX:
        raise QueryRefused(f"{points} points: use {PLOT_POINTS_MIN} to {PLOT_POINTS_MAX}")
    whole = sampled(reader, topic, asked, points=1, hold_ms=hold_ms)
    return Plot(
        points=tuple(lttb(numbers(reader, topic, asked, points), points)),
        **whole.model_dump(include={"topic", "unit", "from_ms", "to_ms", "coverage"}),
        gaps=whole.gaps,
    )


def _step_ms(asked: Period, points: int) -> int:
    """The length of so many steps; of whole minutes or hours where they are long."""
    if not 1 <= points <= PAGE_MAX:
        raise QueryRefused(f"{points} points: use 1 to {PAGE_MAX}")
    step_ms = -(-asked.length_ms // points)
    whole_ms = next((ms for ms in ROLLED_UP if step_ms >= ms), 1)
    return -(-step_ms // whole_ms) * whole_ms


def _coverage(shown: Sequence[Bucket], asked: Period, every_ms: int) -> float:
    lengths = (span.length_ms for span in spans(asked, every_ms))
    known_ms = sum(one.coverage * ms for one, ms in zip(shown, lengths, strict=True))
    return share(known_ms, asked.length_ms)


def _unit(reader: Reader, topic: str, asked: Period) -> str | None:
    newest = told_before(reader, topic, asked.to_ms)
    return newest.unit if newest else None


def _tag_only(topic: str) -> None:
    kind = parse_topic(topic).kind
    if kind != "_tag":
        raise QueryRefused(f"a {kind} topic has no numbers to sum up: use a _tag topic")


def _value(kind: str, row: Sequence[Any]) -> Value:
    if kind != "_tag":
        return Value(at_ms=row[0], value=row[1])
    at_ms, number, text, quality, unit, reason = row
    value = scalar(number, text)
    return Value(at_ms=at_ms, value=value, quality=quality, unit=unit, reason=reason)


def _wanted(topic_filter: str, limit: int, after: str | None) -> queries.Wanted:
    """The topics of a page, and the one behind it."""
    return queries.Wanted(topic_filter, after or "", page_size(limit) + 1)


def _page(shown: Mapping[str, bytes], limit: int) -> Page[Newest]:
    found = list(shown)
    items = tuple(_newest(topic, shown[topic]) for topic in found[:limit])
    return Page(items=items, after=found[limit - 1] if len(found) > limit else None)


def _newest(topic: str, payload: bytes) -> Newest:
    document = json.loads(payload)
    if parse_topic(topic).kind != "_tag":
        at_ms = document.get("at_ms")
        return Newest(topic=topic, at_ms=at_ms if type(at_ms) is int else None, value=document)
    return Newest(topic=topic, at_ms=document.pop("timestamp_ms"), **document)


def _cursor(after: str | None, asked: Period) -> tuple[int, int]:
    """Where a page begins: its first instant, and how many values of it were given before."""
    if after is None:
        return asked.from_ms, 0
    found = _CURSOR.fullmatch(after)
    if found is None:
        raise QueryRefused(f"{after!r:.40} is no page: use the `after` of the page before")
    at_ms, skip = int(found[1]), int(found[2])
    return (at_ms, skip) if at_ms >= asked.from_ms else (asked.from_ms, 0)


def _next(items: Sequence[Value], start_ms: int, skip: int) -> str:
    at_ms = items[-1].at_ms
    same = sum(item.at_ms == at_ms for item in items)
    return f"{at_ms}~{same + (skip if at_ms == start_ms else 0)}"
