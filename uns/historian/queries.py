"""The questions that commands ask, the same for every store: history, OEE, snapshots.

Reads the public views and little else. OEE is made from sums by uns.model.kpi, never averaged.
"""

import re
from collections.abc import Iterator, Sequence
from typing import Any, Final, NamedTuple

from uns.fold import Mark
from uns.historian.answers import ROWS_DEFAULT, ROWS_MAX, TIMEOUT_S_MAX, Result
from uns.historian.errors import QueryRefused
from uns.historian.reader import Reader
from uns.historian.rows import TagRow
from uns.historian.samples import tag_payload
from uns.model.events import EVENTS, Event
from uns.model.kpi import Sums, oee
from uns.model.path import parse_topic

HISTORY: Final = {
    "_tag": "SELECT at_ms, value, value_text, quality, unit FROM tags",
    "_state": "SELECT at_ms, rev, document FROM states",
    "_event": "SELECT at_ms, id, source, epoch, seq, payload FROM events",
}
INSTANT_MAX: Final = 2**63 - 1
EVENTS_OF_MAX: Final = 2_000
EVENTS_OF: Final = f"""
SELECT type, payload FROM events
WHERE source = $1 AND epoch = $2 AND seq BETWEEN $3 AND $4
ORDER BY seq
LIMIT {EVENTS_OF_MAX + 1}
"""  # noqa: S608 - a constant of ours
_GONE: Final = """
WITH gone AS (
    SELECT topic, max(received_ms) AS at_ms FROM cleared WHERE received_ms <= $3 GROUP BY topic
)
"""
_WANTED: Final = 't.topic COLLATE "C" > $1 AND t.topic ~ $2'
_THERE: Final = f"""
WHERE {_WANTED} AND t.received_ms <= $3 AND (g.at_ms IS NULL OR t.received_ms > g.at_ms)
"""
SNAPSHOT_TAGS: Final = f"""{_GONE}
SELECT DISTINCT ON (t.topic)
    t.topic, t.at_ms, t.value, t.value_text, t.quality, t.unit, t.received_ms, t.reason, t.original
FROM (SELECT * FROM tag_samples UNION ALL SELECT * FROM tag_samples_kept) AS t
LEFT JOIN gone AS g ON g.topic = t.topic {_THERE}
ORDER BY t.topic, t.at_ms DESC, t.received_ms DESC
"""  # noqa: S608 - constants of ours
SNAPSHOT_AGAIN: Final = f"""{_GONE}
SELECT DISTINCT ON (t.topic) t.topic, t.received_ms, t.payload
FROM shown_again AS t LEFT JOIN gone AS g ON g.topic = t.topic {_THERE}
ORDER BY t.topic, t.received_ms DESC
"""  # noqa: S608 - constants of ours
SNAPSHOT_STATES: Final = f"""{_GONE}
SELECT DISTINCT ON (t.topic) t.topic, CAST(t.document AS TEXT)
FROM states AS t LEFT JOIN gone AS g ON g.topic = t.topic {_THERE}
ORDER BY t.topic, t.rev DESC
"""  # noqa: S608 - constants of ours
NEWEST_TAGS: Final = f"""
SELECT topic, at_ms, value, value_text, quality, unit, received_ms, reason, original
FROM newest_tags AS t WHERE {_WANTED}
"""  # noqa: S608 - a constant of ours
NEWEST_STATES: Final = f"""
SELECT topic, CAST(document AS TEXT) AS document FROM newest_states AS t WHERE {_WANTED}
"""  # noqa: S608 - a constant of ours
STATE_TOPICS: Final = f"SELECT topic FROM newest_states AS t WHERE {_WANTED}"  # noqa: S608 - a constant of ours
NEWEST_OF: Final = """
SELECT topic, at_ms, value, value_text, quality, unit, received_ms, reason, original,
    CAST(NULL AS TEXT) AS document
FROM newest_tags WHERE topic IN ({topics})
UNION ALL
SELECT topic, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, CAST(document AS TEXT)
FROM newest_states WHERE topic IN ({topics})
"""
TOPICS_AT_ONCE: Final = 1_000
CHANGED: Final = """
SELECT max(received_ms) FROM (
    SELECT received_ms FROM newest_tags
    UNION ALL SELECT received_ms FROM newest_states
    UNION ALL SELECT received_ms FROM cleared
) AS c
"""
COUNTED: Final = {
    "orders": "SELECT dispatch_status, count(*) FROM orders GROUP BY 1 ORDER BY 1",
    "events": "SELECT type, count(*) FROM events GROUP BY 1 ORDER BY 1",
    "verdicts": "SELECT verdict, count(*) FROM verdicts GROUP BY 1 ORDER BY 1",
}
TOTALS: Final = {"edges": "genealogy_edges", "rejects": "rejects", "gaps": "gaps"}
_SPECIAL: Final = re.compile(r"([.^$*+?()\[\]{}|\\])")
COUNTS: Final = ("pq", "gq", "sq", "rq", "ideal_ms", "ideal_good_ms")


class Wanted(NamedTuple):
    """The topics that a filter (+ and #) selects, behind one of them, at most so many.

    They are in the order of their characters, on every store. most: None: all.
    """

    topic_filter: str = "#"
    after: str = ""
    most: int | None = None

    @property
    def pattern(self) -> str:
        """The filter as a regular expression."""
        levels = list[str]()
        for level in self.topic_filter.split("/"):
            if level == "#":
                return f"^{'/'.join(levels)}(/.*)?$" if levels else "^.*$"
            levels.append("[^/]*" if level == "+" else _SPECIAL.sub(r"\\\1", level))
        return f"^{'/'.join(levels)}$"


EVERYTHING: Final = Wanted()


def history(
    reader: Reader, topic: str, from_ms: int, to_ms: int, limit: int = ROWS_DEFAULT
) -> Result:
    """What was recorded of a `_tag`, `_state` or `_event` topic in [from_ms, to_ms), by time.

    Raises TopicError, QueryRefused for another kind, and what a Reader raises.
    """
    kind = parse_topic(topic).kind
    if kind not in HISTORY:
        raise QueryRefused(f"{kind} topics have no history: use one of {', '.join(HISTORY)}")
    window = " WHERE topic = $1 AND at_ms >= $2 AND at_ms < $3 ORDER BY at_ms"
    return reader.query(HISTORY[kind] + window, (topic, from_ms, to_ms), limit)


def oee_by_shift(reader: Reader, line: str, shift: str | None = None) -> list[dict[str, Any]]:
    """OEE of each cell of a line by shift (all shifts on record, or one), by sums.

    [{"cell", "shift_id", "oee", "availability", "effectiveness", "quality_ratio", "sums"}…]
    """
    one = (shift,) if shift else ()
    found = _sums(reader, "line = $1 AND shift_id = $2" if one else "line = $1", (line, *one))
    return [
        {"cell": cell, "shift_id": shift_id, **oee(sums)}
        for (cell, shift_id), sums in sorted(found.items())
    ]


def oee_of_shift(
    reader: Reader, cell: str, shift: str, *, unknown_counted: bool = False
) -> dict[str, Any] | None:
    """OEE of one cell in one shift; None if nothing of it is on record. See uns.model.kpi."""
    found = _sums(reader, "cell = $1 AND shift_id = $2", (cell, shift))
    return oee(found[cell, shift], unknown_counted=unknown_counted) if found else None


def summary(reader: Reader) -> dict[str, Any]:
    """Totals of the whole record.

    {"orders": {status: n}, "events": {type: n}, "verdicts": {"pass", "fail", "pending"},
    "edges": n, "rejects": n, "gaps": n}
    """
    counted = {name: _counts(reader.query(sql)) for name, sql in COUNTED.items()}
    counted["verdicts"] = {"pass": 0, "fail": 0, "pending": 0, **counted["verdicts"]}
    totals = {
        name: reader.query(f"SELECT count(*) FROM {view}").rows[0][0]  # noqa: S608 - names of ours
        for name, view in TOTALS.items()
    }
    return {**counted, **totals}


def newest(reader: Reader, wanted: Wanted = EVERYTHING) -> dict[str, bytes]:
    """The tag and state topics as they are now, by all that is on record; see `snapshot`."""
    tags = _pages(reader, NEWEST_TAGS, wanted)
    found = {row[0]: tag_payload(TagRow(*row)) for row in tags}
    states = _pages(reader, NEWEST_STATES, wanted)
    return _first(found | {topic: document.encode() for topic, document in states}, wanted)


def newest_of(reader: Reader, topics: Sequence[str]) -> dict[str, bytes]:
    """Of some topics those that show something now, each with its payload."""
    found = dict[str, bytes]()
    for first in range(0, len(topics), TOPICS_AT_ONCE):
        some = topics[first : first + TOPICS_AT_ONCE]
        listed = ", ".join(f"${n + 1}" for n in range(len(some)))
        sql = NEWEST_OF.format(topics=listed)
        for *row, document in reader.query(sql, some, ROWS_MAX).rows:
            found[row[0]] = tag_payload(TagRow(*row)) if document is None else document.encode()
    return found


def state_topics(reader: Reader) -> list[str]:
    """The topics of the state documents that there are now."""
    return [topic for (topic,) in _pages(reader, STATE_TOPICS, EVERYTHING)]


def snapshot(reader: Reader, at_ms: int, wanted: Wanted = EVERYTHING) -> dict[str, bytes]:
    """The tag and state topics as they were at an instant (plant time, ms), each with its payload.

    A topic has the newest value (by the source's time; by rev) that the record had received by
    then, unless it was cleared since. The bytes are those that were published. Of a tag that says
    `record: every` it may be a later value than the tree showed.
    """
    if _changed_ms(reader) <= at_ms:
        found = newest(reader, wanted)
        if _changed_ms(reader) <= at_ms:
            return found
    return searched(reader, at_ms, wanted)


def searched(reader: Reader, at_ms: int, wanted: Wanted = EVERYTHING) -> dict[str, bytes]:
    """The same as `snapshot`, from all samples and documents that were received by then."""
    tags = {row[0]: TagRow(*row) for row in _pages(reader, SNAPSHOT_TAGS, wanted, at_ms)}
    found = {topic: tag_payload(row) for topic, row in tags.items()}
    for topic, received_ms, payload in _pages(reader, SNAPSHOT_AGAIN, wanted, at_ms):
        if topic not in tags or received_ms >= tags[topic].received_ms:
            found[topic] = payload.encode()
    states = _pages(reader, SNAPSHOT_STATES, wanted, at_ms)
    return _first(found | {topic: document.encode() for topic, document in states}, wanted)


def events_of(reader: Reader, source: str, epoch: int, first: int, last: int) -> list[Event]:
    """Events of a source's epoch from `first` to `last`, by seq, at most EVENTS_OF_MAX.

    A seq that is missing here and covered by the watermark is of an event that was refused, or of
    one that carried samples only: they stand elsewhere, no processor takes them.
    """
    found = list[Event]()
    while len(found) < EVENTS_OF_MAX:
        rows = reader.query(EVENTS_OF, (source, epoch, first, last), EVENTS_OF_MAX - len(found))
        found += [EVENTS[name].model_validate(payload) for name, payload in rows.rows]
        if not rows.truncated or not rows.rows:
            break
        first = found[-1].seq + 1
    return found


def recorded(reader: Reader, source: str) -> Mark | None:
    """How far a source is on record, in its newest epoch; None if nothing of it is."""
    found = reader.query(
        "SELECT epoch, seq FROM watermarks WHERE source = $1 ORDER BY epoch DESC LIMIT 1", (source,)
    )
    return Mark(*found.rows[0]) if found.rows else None


def newest_processor_state(reader: Reader, topic: str) -> bytes | None:
    """The newest resume document at a topic, byte for byte; None if there is none."""
    found = reader.query(
        "SELECT CAST(document AS TEXT) FROM processor_states WHERE topic = $1"
        " ORDER BY owner_epoch DESC, rev DESC LIMIT 1",
        (topic,),
    )
    return found.rows[0][0].encode() if found.rows else None


def _sums(reader: Reader, condition: str, params: tuple[str, ...]) -> dict[tuple[str, str], Sums]:
    counts = ", ".join(f"sum({column})" for column in COUNTS)
    rows = reader.query(
        f"SELECT cell, shift_id, element, sum(elapsed_ms), {counts} FROM oee_sums"  # noqa: S608 - names of ours
        f" WHERE {condition} GROUP BY cell, shift_id, element",
        params,
        ROWS_MAX,
    ).rows
    found: dict[tuple[str, str], Sums] = {}
    for cell, shift_id, element, elapsed_ms, *counted in rows:
        part = Sums(**{f"{element}_ms": elapsed_ms}, **dict(zip(COUNTS, counted, strict=True)))
        found[cell, shift_id] = found.get((cell, shift_id), Sums()) + part
    return found


def _changed_ms(reader: Reader) -> int:
    """When what `newest` tells has changed."""
    return reader.query(CHANGED).rows[0][0] or 0


def _counts(result: Result) -> dict[str, int]:
    return {str(name): int(count) for name, count in result.rows}


def _first(tree: dict[str, bytes], wanted: Wanted) -> dict[str, bytes]:
    """As many topics of a tree as are wanted."""
    return {topic: tree[topic] for topic in sorted(tree)[: wanted.most]}


def _pages(reader: Reader, sql: str, wanted: Wanted, *more: int) -> Iterator[tuple[Any, ...]]:
    """The rows of a query by topic, its first column: $1 the topic before, $2 the filter."""
    after, left = wanted.after, wanted.most
    while left is None or left > 0:
        size = min(ROWS_MAX, left or ROWS_MAX)
        ordered = f'SELECT * FROM ({sql}) AS t ORDER BY topic COLLATE "C" LIMIT {size + 1}'  # noqa: S608 - SQL of ours
        page = reader.query(ordered, (after, wanted.pattern, *more), size, TIMEOUT_S_MAX)
        yield from page.rows
        if not page.truncated or not page.rows:
            return
        after, left = page.rows[-1][0], None if left is None else left - len(page.rows)
