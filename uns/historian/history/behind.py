"""What stands behind a document of OEE: its closed intervals by event id, and its figures again.

Owns which intervals on record a document is made of: those of the path it names, of its shift, day,
order or item, the first `closed` of them in the order they were told. With what was open they add
up to its sums, and uns.model.kpi makes its figures of these, to the digit. If they do not, the
document is not believed: what differs is named.
"""

import json
from collections.abc import Iterator, Mapping, Sized
from typing import Any, Final

from uns.fold import Document
from uns.historian.answers import TIMEOUT_S_MAX
from uns.historian.errors import QueryRefused
from uns.historian.history.period import Answer, Instant
from uns.historian.reader import Reader
from uns.model.kpi import Sums, oee
from uns.model.path import parse_topic
from uns.model.policy import counted_unknown

INTERVALS_MAX: Final = 10_000
COUNTS: Final = ("pq", "gq", "sq", "rq", "ideal_ms", "ideal_good_ms")
OF_ORDER: Final = "(payload ->> 'order_id') = $2"
_SINCE: Final = "at_ms >= $3 AND "
_OF_DAY: Final = _SINCE + "substr((payload ->> 'shift_id'), 1, 10) = $2"
_INTERVALS: Final = """
SELECT id, CAST(payload AS TEXT) FROM events
WHERE type = 'oee-interval' AND path = $1 AND {chosen}
ORDER BY epoch, seq
"""


class Interval(Answer):
    """One closed piece of time, by the event that told of it; one that runs back takes back."""

    id: str
    element: str
    state: str
    start_ms: Instant
    end_ms: Instant
    shift_id: str
    policy_id: str
    order_id: str | None = None
    item: str | None = None
    pq: int = 0
    gq: int = 0
    sq: int = 0
    rq: int = 0
    ideal_ms: int = 0
    ideal_good_ms: int = 0

    @property
    def sums(self) -> Sums:
        """Its length under its element, and its counts."""
        counts = {name: getattr(self, name) for name in COUNTS}
        return Sums.model_validate({f"{self.element}_ms": self.end_ms - self.start_ms, **counts})


class Difference(Answer):
    """A field that the document has in another way than its intervals give it."""

    field: str
    shown: Any
    recomputed: Any


class Behind(Answer):
    """What a document is made of.

    path: whose intervals; closed: how many of them it says it has; open: the sums (ms and pieces)
    of which no event told yet when it was drawn. figures: recomputed from both.
    """

    topic: str
    summary: str
    path: str
    policy_id: str
    closed: int
    intervals: tuple[Interval, ...]
    open: dict[str, int]
    figures: dict[str, Any]
    differences: tuple[Difference, ...]


def behind(reader: Reader, topic: str, document: Document) -> Behind:
    """What stands behind a document that a topic shows.

    Raises QueryRefused for one that says nothing of its intervals, and what a Reader raises.
    """
    told = document.get("intervals")
    if not isinstance(told, dict):
        raise QueryRefused(f"{topic}: only documents of oee with figures tell their intervals")
    found = tuple(_intervals(reader, topic, document, told))
    sums = sum((one.sums for one in found), Sums()) + Sums.model_validate(told["open"])
    figures = oee(sums, unknown_counted=counted_unknown(document["policy_id"]))
    return Behind(
        topic=topic,
        summary=document["summary"],
        path=told["path"],
        policy_id=document["policy_id"],
        closed=told["closed"],
        intervals=found,
        open=told["open"],
        figures=figures,
        differences=tuple(_differences(document, found, figures)),
    )


def _intervals(
    reader: Reader, topic: str, document: Document, told: Mapping[str, Any]
) -> Iterator[Interval]:
    closed = told["closed"]
    if closed > INTERVALS_MAX:
        raise QueryRefused(f"{topic} has {closed} intervals: at most {INTERVALS_MAX} are listed")
    chosen, params = _chosen(topic, document)
    sql = _INTERVALS.format(chosen=chosen)
    rows = reader.query(sql, (told["path"], *params), max(1, closed), TIMEOUT_S_MAX).rows
    for event_id, payload in rows[:closed]:
        known = {**json.loads(payload), "id": event_id}
        yield Interval.model_validate({name: known.get(name) for name in Interval.model_fields})


def _chosen(topic: str, document: Document) -> tuple[str, tuple[Any, ...]]:
    """Which intervals of a path a document has, as a condition and its parameters from `$2` on."""
    kind = parse_topic(topic).name
    if kind == "oee-order":
        return OF_ORDER, (document["order_id"],)
    span = document["shift" if kind in ("oee", "oee-shift") else "day"]
    since = (span["id"], span["start_ms"])
    if kind == "oee-item":
        return f"{_OF_DAY} AND (payload ->> 'item') = $4", (*since, document["item"])
    of_shift = _SINCE + "(payload ->> 'shift_id') = $2"
    return _OF_DAY if kind == "oee-day" else of_shift, since


def _differences(
    document: Document, found: Sized, figures: Mapping[str, Any]
) -> Iterator[Difference]:
    closed = document["intervals"]["closed"]
    if len(found) != closed:
        yield Difference(field="intervals", shown=closed, recomputed=len(found))
    for field, recomputed in figures.items():
        shown = document.get(field)
        if shown != recomputed:
            yield Difference(field=field, shown=shown, recomputed=recomputed)
