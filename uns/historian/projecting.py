"""PURE: how rows that are new to the record reach the read models, by SQL that every store knows.

Owns the statements that run after the rows of a table were merged, in the same transaction, over
its staging table: by then that holds new rows only, so what adds up adds up once. What is newest
is found by comparing, so it matters not which batch told it first. Does not know how rows came.

sql/0005 filled the same tables once from what was on record before them.
"""

from collections.abc import Iterator, Sequence
from typing import Any, Final, NamedTuple

from uns.historian.rows import EventRow, StateRow
from uns.historian.stop_changes import STOP_CHANGE_KINDS, STOP_CHANGES
from uns.model.events import IDENTIFIER_LENGTH_MAX

_EDGES: Final = """
SELECT
    payload ->> 'input_id' AS input_id, payload ->> 'output_id' AS output_id,
    CAST((payload ->> 'quantity') AS DOUBLE PRECISION), payload ->> 'unit',
    payload ->> 'order_id', path, at_ms
FROM new_events
WHERE type = 'edge'
"""
EDGES: Final = f"INSERT INTO edges {_EDGES}"
EDGES_WITH_KEYS: Final = f"""
INSERT INTO keyed_edges SELECT e.*, as_key(e.input_id), as_key(e.output_id) FROM ({_EDGES}) AS e
"""  # noqa: S608 - a constant of ours

_INTERVALS: Final = """
SELECT
    path AS cell,
    regexp_replace(path, '/[^/]+$', '') AS line,
    payload ->> 'element' AS element,
    payload ->> 'state' AS state,
    as_count(payload ->> 'start_ms') AS start_ms,
    as_count(payload ->> 'end_ms') AS end_ms,
    payload ->> 'shift_id' AS shift_id,
    payload ->> 'order_id' AS order_id,
    payload ->> 'item' AS item,
    as_count(payload ->> 'pq') AS pq,
    as_count(payload ->> 'gq') AS gq,
    as_count(payload ->> 'sq') AS sq,
    as_count(payload ->> 'rq') AS rq,
    as_count(payload ->> 'ideal_ms') AS ideal_ms,
    as_count(payload ->> 'ideal_good_ms') AS ideal_good_ms,
    payload ->> 'policy_id' AS policy_id
FROM new_events
WHERE type = 'oee-interval'
"""

INTERVALS: Final = f"INSERT INTO intervals {_INTERVALS}"

OEE_SUMS: Final = f"""
MERGE INTO oee_sums AS t USING (
    SELECT
        cell, line, shift_id, order_id, item, policy_id, element,
        CAST(SUM(end_ms - start_ms) AS BIGINT) AS elapsed_ms,
        CAST(SUM(pq) AS BIGINT) AS pq, CAST(SUM(gq) AS BIGINT) AS gq,
        CAST(SUM(sq) AS BIGINT) AS sq, CAST(SUM(rq) AS BIGINT) AS rq,
        CAST(SUM(ideal_ms) AS BIGINT) AS ideal_ms,
        CAST(SUM(ideal_good_ms) AS BIGINT) AS ideal_good_ms,
        MIN(LEAST(start_ms, end_ms)) AS start_ms, MAX(GREATEST(start_ms, end_ms)) AS end_ms
    FROM ({_INTERVALS}) AS i
    GROUP BY cell, line, shift_id, order_id, item, policy_id, element
) AS n
ON t.cell = n.cell AND t.shift_id = n.shift_id AND t.element = n.element
    AND t.policy_id = n.policy_id
    AND t.order_id IS NOT DISTINCT FROM n.order_id AND t.item IS NOT DISTINCT FROM n.item
WHEN MATCHED THEN UPDATE SET
    elapsed_ms = t.elapsed_ms + n.elapsed_ms,
    pq = t.pq + n.pq, gq = t.gq + n.gq, sq = t.sq + n.sq, rq = t.rq + n.rq,
    ideal_ms = t.ideal_ms + n.ideal_ms, ideal_good_ms = t.ideal_good_ms + n.ideal_good_ms,
    start_ms = LEAST(t.start_ms, n.start_ms), end_ms = GREATEST(t.end_ms, n.end_ms)
WHEN NOT MATCHED THEN INSERT (
    cell, line, shift_id, order_id, item, policy_id, element, elapsed_ms,
    pq, gq, sq, rq, ideal_ms, ideal_good_ms, start_ms, end_ms)
VALUES (
    n.cell, n.line, n.shift_id, n.order_id, n.item, n.policy_id, n.element, n.elapsed_ms,
    n.pq, n.gq, n.sq, n.rq, n.ideal_ms, n.ideal_good_ms, n.start_ms, n.end_ms)
"""  # noqa: S608 - a constant of ours

# A stop opens once and ends once; what the end tells goes before what the opening told.
STOPS: Final = """
MERGE INTO stop_spans AS t USING (
    SELECT
        path AS cell,
        payload ->> 'stop_id' AS stop_id,
        MAX(CASE WHEN type = 'stopped' THEN payload ->> 'state' END) AS opened_state,
        MAX(CASE WHEN type = 'stopped' THEN payload ->> 'reason' END) AS opened_reason,
        MAX(CASE WHEN type = 'stopped' THEN payload ->> 'order_id' END) AS opened_order_id,
        MIN(CASE WHEN type = 'stopped' THEN at_ms END) AS opened_ms,
        MAX(CASE WHEN type = 'stop-ended' THEN payload ->> 'state' END) AS state,
        MAX(CASE WHEN type = 'stop-ended' THEN payload ->> 'reason' END) AS reason,
        MAX(CASE WHEN type = 'stop-ended' THEN payload ->> 'order_id' END) AS order_id,
        MAX(as_count(payload ->> 'start_ms')) AS start_ms,
        MAX(CASE WHEN type = 'stop-ended' THEN at_ms END) AS end_ms,
        MAX(as_count(payload ->> 'duration_ms')) AS duration_ms,
        MAX(payload ->> 'micro') = 'true' AS micro
    FROM new_events
    WHERE type IN ('stopped', 'stop-ended')
    GROUP BY path, payload ->> 'stop_id'
) AS n
ON t.cell = n.cell AND t.stop_id = n.stop_id
WHEN MATCHED THEN UPDATE SET
    state = COALESCE(n.state, t.state, n.opened_state),
    reason = COALESCE(n.reason, t.reason, n.opened_reason),
    start_ms = COALESCE(n.start_ms, t.start_ms, n.opened_ms),
    end_ms = COALESCE(n.end_ms, t.end_ms),
    duration_ms = COALESCE(n.duration_ms, t.duration_ms),
    micro = COALESCE(n.micro, t.micro),
    order_id = COALESCE(n.order_id, t.order_id, n.opened_order_id)
WHEN NOT MATCHED THEN INSERT (
    stop_id, cell, state, reason, start_ms, end_ms, duration_ms, micro, order_id)
VALUES (
    n.stop_id, n.cell, COALESCE(n.state, n.opened_state), COALESCE(n.reason, n.opened_reason),
    COALESCE(n.start_ms, n.opened_ms), n.end_ms, n.duration_ms, n.micro,
    COALESCE(n.order_id, n.opened_order_id))
"""

VERDICTS: Final = """
MERGE INTO judged_samples AS t USING (
    SELECT DISTINCT ON (path, payload ->> 'sample_id')
        payload ->> 'sample_id' AS sample_id,
        payload ->> 'unit_id' AS unit_id,
        payload ->> 'lot' AS lot,
        payload ->> 'item' AS item,
        payload ->> 'order_id' AS order_id,
        path AS cell,
        payload ->> 'verdict' AS verdict,
        payload ->> 'specification' AS specification,
        at_ms,
        payload -> 'characteristics' AS characteristics,
        epoch,
        seq
    FROM new_events
    WHERE type = 'verdict'
    ORDER BY path, payload ->> 'sample_id', at_ms DESC, epoch DESC, seq DESC
) AS n
ON t.cell = n.cell AND t.sample_id = n.sample_id
WHEN MATCHED AND (n.at_ms, n.epoch, n.seq) > (t.at_ms, t.epoch, t.seq) THEN UPDATE SET
    unit_id = n.unit_id, lot = n.lot, item = n.item, order_id = n.order_id, verdict = n.verdict,
    specification = n.specification, at_ms = n.at_ms, characteristics = n.characteristics,
    epoch = n.epoch, seq = n.seq
WHEN NOT MATCHED THEN INSERT (
    sample_id, unit_id, lot, item, order_id, cell, verdict, specification, at_ms,
    characteristics, epoch, seq)
VALUES (
    n.sample_id, n.unit_id, n.lot, n.item, n.order_id, n.cell, n.verdict, n.specification, n.at_ms,
    n.characteristics, n.epoch, n.seq)
"""

# The measurements of a sample are those of its newest verdict: what was judged anew is taken out.
MEASUREMENTS_OUT: Final = """
DELETE FROM measurements AS m
WHERE EXISTS (
    SELECT 1 FROM new_events AS n
    WHERE n.type = 'verdict' AND n.path = m.cell AND n.payload ->> 'sample_id' = m.sample_id)
"""
MEASUREMENTS_IN: Final = """
INSERT INTO measurements
SELECT
    j.cell, regexp_replace(j.cell, '/[^/]+$', ''), j.sample_id, j.unit_id, j.lot, j.item,
    j.order_id, j.specification, j.at_ms, c.one ->> 'name',
    CAST((c.one ->> 'value') AS DOUBLE PRECISION), c.one ->> 'unit',
    CAST((c.one ->> 'lower') AS DOUBLE PRECISION), CAST((c.one ->> 'upper') AS DOUBLE PRECISION),
    c.one ->> 'verdict'
FROM (
    SELECT DISTINCT path, payload ->> 'sample_id' AS sample_id FROM new_events
    WHERE type = 'verdict'
) AS n
JOIN judged_samples AS j ON j.cell = n.path AND j.sample_id = n.sample_id
CROSS JOIN LATERAL unnest(elements_of(j.characteristics)) AS c(one)
"""

LOTS: Final = """
MERGE INTO lots AS t USING (
    SELECT
        payload ->> 'lot' AS lot,
        payload ->> 'item' AS item,
        path AS cell,
        regexp_replace(path, '/[^/]+$', '') AS line,
        payload ->> 'unit' AS unit,
        SUM(CASE WHEN type = 'consumed' THEN CAST((payload ->> 'quantity') AS DOUBLE PRECISION)
            ELSE 0 END) AS consumed,
        SUM(CASE WHEN type = 'produced' THEN CAST((payload ->> 'quantity') AS DOUBLE PRECISION)
            ELSE 0 END) AS produced,
        MIN(at_ms) AS first_ms,
        MAX(at_ms) AS last_ms
    FROM new_events
    WHERE type IN ('consumed', 'produced')
    GROUP BY payload ->> 'lot', payload ->> 'item', path, payload ->> 'unit'
) AS n
ON t.lot = n.lot AND t.cell = n.cell AND t.unit = n.unit AND t.item IS NOT DISTINCT FROM n.item
WHEN MATCHED THEN UPDATE SET
    consumed = t.consumed + n.consumed, produced = t.produced + n.produced,
    first_ms = LEAST(t.first_ms, n.first_ms), last_ms = GREATEST(t.last_ms, n.last_ms)
WHEN NOT MATCHED THEN INSERT (
    lot, item, cell, line, unit, consumed, produced, first_ms, last_ms)
VALUES (
    n.lot, n.item, n.cell, n.line, n.unit, n.consumed, n.produced, n.first_ms, n.last_ms)
"""

STATE_CHANGES: Final = """
INSERT INTO state_changes
SELECT
    path, regexp_replace(path, '/[^/]+$', ''), at_ms, payload ->> 'state', payload ->> 'fault',
    source, epoch, seq
FROM new_events
WHERE type = 'state-changed'
"""

# Of one topic the greatest rev is the newest, else the latest; a final document goes before both.
_ORDERS: Final = f"""
MERGE INTO order_documents AS t USING (
    SELECT DISTINCT ON (document ->> 'order_id')
        document ->> 'order_id' AS order_id, document ->> 'item' AS item,
        as_count(document ->> 'quantity') AS quantity,
        document ->> 'dispatch_status' AS dispatch_status,
        as_count(document ->> 'good') AS good, as_count(document ->> 'scrap') AS scrap,
        as_count(document ->> 'rework') AS rework, as_count(document ->> 'started') AS started,
        as_count(document ->> 'remaining') AS remaining, line,
        as_count(document ->> 'released_ms') AS released_ms,
        as_count(document ->> 'started_ms') AS started_ms,
        as_count(document ->> 'completed_ms') AS completed_ms,
        as_count(document ->> 'due_ms') AS due_ms, at_ms, final, topic, rev
    FROM ({{known}}) AS k
    WHERE length(document ->> 'order_id') <= {IDENTIFIER_LENGTH_MAX}
    ORDER BY document ->> 'order_id', at_ms DESC, rev DESC
) AS n
ON t.order_id = n.order_id
WHEN MATCHED AND (n.final > t.final OR (n.final = t.final AND
    CASE WHEN n.topic = t.topic THEN n.rev >= t.rev
    ELSE (n.at_ms, n.rev) >= (t.at_ms, t.rev) END))
THEN UPDATE SET
    item = n.item, quantity = n.quantity, dispatch_status = n.dispatch_status, good = n.good,
    scrap = n.scrap, rework = n.rework, started = n.started, remaining = n.remaining,
    line = n.line, released_ms = n.released_ms, started_ms = n.started_ms,
    completed_ms = n.completed_ms, due_ms = n.due_ms, at_ms = n.at_ms, final = n.final,
    topic = n.topic, rev = n.rev
WHEN NOT MATCHED THEN INSERT (
    order_id, item, quantity, dispatch_status, good, scrap, rework, started, remaining, line,
    released_ms, started_ms, completed_ms, due_ms, at_ms, final, topic, rev)
VALUES (
    n.order_id, n.item, n.quantity, n.dispatch_status, n.good, n.scrap, n.rework, n.started,
    n.remaining, n.line, n.released_ms, n.started_ms, n.completed_ms, n.due_ms,
    n.at_ms, n.final, n.topic, n.rev)
"""  # noqa: S608 - constants of ours
OPEN_ORDERS: Final = _ORDERS.format(
    known=r"""
        SELECT DISTINCT ON (topic)
            0 AS final, topic, rev, split_part(topic, '/_state/', 1) AS line, at_ms,
            as_document(CAST(document AS JSON)) AS document
        FROM new_states
        WHERE topic LIKE '%/\_state/order/%' ESCAPE '\'
        ORDER BY topic, rev DESC"""
)
CLOSED_ORDERS: Final = _ORDERS.format(
    known="""
        SELECT 1 AS final, CAST(NULL AS TEXT) AS topic, seq AS rev, path AS line, at_ms,
            payload -> 'document' AS document
        FROM new_events
        WHERE type = 'order-closed'"""
)

NEWEST_STATES: Final = """
MERGE INTO newest_states AS t USING (
    SELECT DISTINCT ON (topic)
        topic, rev, at_ms, received_ms, CAST(document AS JSON) AS document
    FROM new_states
    ORDER BY topic, rev DESC
) AS n
ON t.topic = n.topic
WHEN MATCHED AND n.rev >= t.rev THEN UPDATE SET
    rev = n.rev, at_ms = n.at_ms, received_ms = n.received_ms, document = n.document
WHEN NOT MATCHED THEN INSERT (topic, rev, at_ms, received_ms, document)
VALUES (n.topic, n.rev, n.at_ms, n.received_ms, n.document)
"""

_SHOW: Final = """
    at_ms = n.at_ms, value = n.value, value_text = n.value_text, quality = n.quality,
    unit = n.unit, received_ms = n.received_ms, reason = n.reason, original = n.original"""
_SHOWN: Final = """
    topic, at_ms, value, value_text, quality, unit, received_ms, reason, original, newest_ms"""

# Samples are many: what is staged here is but the newest new ones of each topic.
NEWEST_TAGS: Final = f"""
MERGE INTO newest_tags AS t USING (
    SELECT DISTINCT ON (topic)
        topic, at_ms, value, value_text, quality, unit, received_ms, reason, original
    FROM new_tag_samples
    ORDER BY topic, at_ms DESC, received_ms DESC
) AS n
ON t.topic = n.topic
WHEN MATCHED AND n.at_ms >= t.newest_ms THEN UPDATE SET newest_ms = n.at_ms, {_SHOW}
WHEN NOT MATCHED THEN INSERT ({_SHOWN})
VALUES (
    n.topic, n.at_ms, n.value, n.value_text, n.quality, n.unit, n.received_ms, n.reason,
    n.original, n.at_ms)
"""  # noqa: S608 - constants of ours
SHOWN_AGAIN: Final = f"""
MERGE INTO newest_tags AS t USING new_shown_again AS n
ON t.topic = n.topic
WHEN MATCHED AND n.received_ms >= t.received_ms THEN UPDATE SET {_SHOW}
WHEN NOT MATCHED THEN INSERT ({_SHOWN})
VALUES (
    n.topic, n.at_ms, n.value, n.value_text, n.quality, n.unit, n.received_ms, n.reason,
    n.original, -1)
"""  # noqa: S608 - constants of ours
_CLEARED: Final = """
DELETE FROM {newest} AS t
WHERE EXISTS (
    SELECT 1 FROM new_cleared AS n
    WHERE n.topic = t.topic AND n.received_ms >= t.received_ms)
"""
CLEARED_TAGS: Final = _CLEARED.format(newest="newest_tags")
CLEARED_STATES: Final = _CLEARED.format(newest="newest_states")


class Projection(NamedTuple):
    """Statements that bring the new rows of a table to read models.

    kinds: types of events, first words of states' names; one of them must be among the rows. None
    for any row.
    """

    table: str
    kinds: frozenset[str]
    statements: tuple[str, ...]


PROJECTIONS: Final = (
    Projection("events", frozenset({"edge"}), (EDGES,)),
    Projection("events", frozenset({"oee-interval"}), (INTERVALS, OEE_SUMS)),
    Projection("events", frozenset({"stopped", "stop-ended"}), (STOPS,)),
    Projection("events", STOP_CHANGE_KINDS, (STOP_CHANGES,)),
    Projection("events", frozenset({"verdict"}), (VERDICTS, MEASUREMENTS_OUT, MEASUREMENTS_IN)),
    Projection("events", frozenset({"consumed", "produced"}), (LOTS,)),
    Projection("events", frozenset({"state-changed"}), (STATE_CHANGES,)),
    Projection("events", frozenset({"order-closed"}), (CLOSED_ORDERS,)),
    Projection("states", frozenset({"order"}), (OPEN_ORDERS,)),
    Projection("states", frozenset(), (NEWEST_STATES,)),
    Projection("shown_again", frozenset(), (SHOWN_AGAIN,)),
    Projection("cleared", frozenset(), (CLEARED_TAGS, CLEARED_STATES)),
)
"""Samples have theirs, NEWEST_TAGS, where they are written."""
DUCKDB: Final = {EDGES: EDGES_WITH_KEYS}
"""What DuckDB is told instead."""
_OF_EVENTS: Final = frozenset().union(*(one.kinds for one in PROJECTIONS if one.table == "events"))


def due(table: str, rows: Sequence[tuple[Any, ...]]) -> Iterator[str]:
    """The statements to run after `rows` were merged into a table, in their order."""
    kinds = set(map(_kind, rows))
    for one in PROJECTIONS:
        if one.table == table and (not one.kinds or one.kinds & kinds):
            yield from one.statements


def projected(events: Sequence[EventRow]) -> list[EventRow]:
    """Those of some events that the statements look at."""
    return [row for row in events if row.type in _OF_EVENTS]


def _kind(row: tuple[Any, ...]) -> str:
    match row:
        case EventRow():
            return row.type
        case StateRow():
            return row.topic.partition("/_state/")[2].partition("/")[0]
        case _:
            return ""
