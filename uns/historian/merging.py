"""How staged rows get into their tables, each at most once. The SQL of both stores, side by side.

Events need no staging to get there: those that are new are copied straight. Of them, and of states,
what read models are made of is staged if it is new to the record: they take it from there.

`$1` and `$2` bound the instants of staged rows, so that the search for equal rows touches few
blocks or chunks.
"""

from collections.abc import Iterable, Sequence
from heapq import nlargest
from itertools import pairwise
from typing import Final

from uns.historian.rollups import Run
from uns.historian.rows import RESUMES_KEPT, EventRow
from uns.historian.sources import OUTPUT_EPOCHS_KEPT

PRUNE: Final = f"""
DELETE FROM processor_states AS old
WHERE {RESUMES_KEPT} <= (
        SELECT count(*) FROM processor_states AS new
        WHERE new.topic = old.topic AND (new.owner_epoch, new.rev) > (old.owner_epoch, old.rev))
    AND EXISTS (
        SELECT 1 FROM processor_states AS new
        WHERE new.topic = old.topic
            AND (new.owner_epoch > old.owner_epoch
                OR (new.owner_epoch = old.owner_epoch AND new.rev < old.rev)))
    AND COALESCE(as_count(as_document(old.document) ->> 'base_rev') <> old.rev, true)
"""  # noqa: S608 - a constant of ours

FORGET: Final = f"""
DELETE FROM watermarks AS old
WHERE old.source LIKE 'processor:%'
    AND {OUTPUT_EPOCHS_KEPT} <= (
        SELECT count(*) FROM watermarks AS new
        WHERE new.source = old.source AND new.epoch > old.epoch)
"""  # noqa: S608 - a constant of ours

AFTERWARDS: Final = {"processor_states": PRUNE, "watermarks": FORGET}
"""What is let go in the same transaction, by table."""

KNOWN_EVENTS: Final = """
    SELECT id, at_ms FROM events
    WHERE id IN (SELECT unnest(CAST($1 AS TEXT[]))) AND at_ms BETWEEN $2 AND $3
"""
"""Which of some events are on record. $2 and $3: one of the `spans` of their instants."""

_KNOWN_SAMPLES: Final = """
    DELETE FROM new_samples AS n
    WHERE EXISTS (
        SELECT 1 FROM {known} AS t
        WHERE t.series = n.series AND t.at_ms = n.at_ms {bounds}
            AND t.value IS NOT DISTINCT FROM n.value
            AND t.value_text IS NOT DISTINCT FROM n.value_text AND t.quality = n.quality)
"""
KNOWN_SAMPLES: Final = _KNOWN_SAMPLES.format(
    known="samples", bounds="AND t.at_ms BETWEEN $1 AND $2"
)
"""Staged samples that are on record. $1 and $2: one of the `spans` of their instants."""
KNOWN_AS_KEPT: Final = _KNOWN_SAMPLES.format(known="samples_kept", bounds="")
"""Staged samples that were let go, but for what they show."""
SPANS_MAX: Final = 32
APART_MS: Final = 86_400_000

LATE_SAMPLES: Final = "INSERT INTO samples SELECT * FROM new_samples"
LATE_NEWEST: Final = """
    INSERT INTO new_tag_samples
    SELECT s.topic, n.at_ms, n.value, n.value_text,
        CASE n.quality WHEN 0 THEN 'good' WHEN 1 THEN 'uncertain' ELSE 'bad' END,
        s.unit, n.received_ms, n.reason, n.original
    FROM new_samples AS n JOIN tag_series AS s ON s.series = n.series
"""
"""Samples that came late may be what their topics show: after a clearing, and of another unit."""


def spans(instants: Iterable[int]) -> list[tuple[int, int]]:
    """Where instants lie, as (first, last): in one span, or more if they are far apart.

    What comes late may be of years ago and of today. At least one instant, at most SPANS_MAX spans.
    """
    ordered = sorted(set(instants))
    gaps = [(after - before, n) for n, (before, after) in enumerate(pairwise(ordered), 1)]
    widest = nlargest(SPANS_MAX - 1, (gap for gap in gaps if gap[0] > APART_MS))
    cuts = sorted(n for _, n in widest)
    parts = pairwise((0, *cuts, len(ordered)))
    return [(ordered[start], ordered[end - 1]) for start, end in parts]


_COMMON: Final = {
    "rollups_due": """
        INSERT INTO rollups_due SELECT * FROM new_rollups_due ON CONFLICT DO NOTHING""",
    "shown_again": """
        INSERT INTO shown_again SELECT topic, received_ms, original FROM new_shown_again
        ON CONFLICT DO NOTHING""",
    "cleared": """
        INSERT INTO cleared SELECT * FROM new_cleared ON CONFLICT DO NOTHING""",
    "processor_states": """
        INSERT INTO processor_states
        SELECT topic, owner_epoch, rev, at_ms, received_ms, CAST(document AS JSON)
        FROM new_processor_states
        ON CONFLICT DO NOTHING""",
    "quarantine": """
        INSERT INTO quarantine
        SELECT reject_class, reason, topic, at_ms, original_base64, original_sha256
        FROM new_quarantine AS n
        WHERE NOT (n.repeated AND EXISTS (
            SELECT 1 FROM quarantine AS q
            WHERE q.original_sha256 = n.original_sha256 AND q.topic = n.topic))""",
    "watermarks": """
        INSERT INTO watermarks SELECT * FROM new_watermarks
        ON CONFLICT (source, epoch) DO UPDATE SET
            seq = excluded.seq, first_seq = excluded.first_seq, hole_to = excluded.hole_to,
            ahead = excluded.ahead, at_ms = excluded.at_ms""",
}

# An owner that took over says a rev anew that the one before it may have begun: the last one holds.
_SAID_OTHERWISE: Final = """
        ON CONFLICT (topic, rev) DO UPDATE SET
            at_ms = excluded.at_ms, received_ms = excluded.received_ms,
            document = excluded.document
        WHERE CAST(states.document AS TEXT) <> CAST(excluded.document AS TEXT)"""

_FRESH_STATES: Final = """
    WITH fresh AS ({insert} RETURNING topic, rev)
    DELETE FROM new_states AS n
    WHERE NOT EXISTS (SELECT 1 FROM fresh AS f WHERE f.topic = n.topic AND f.rev = n.rev)"""

DUCKDB: Final = {
    **_COMMON,
    "states": _FRESH_STATES.format(
        insert=f"INSERT INTO states SELECT * FROM new_states {_SAID_OTHERWISE}"  # noqa: S608 - a constant of ours
    ),
}

POSTGRES: Final = {
    **_COMMON,
    # The read models look into documents as jsonb: what does not fit it is refused here.
    "states": _FRESH_STATES.format(
        insert=f"""
        INSERT INTO states
        SELECT topic, rev, at_ms, received_ms, document::json
        FROM new_states WHERE document::jsonb IS NOT NULL {_SAID_OTHERWISE}"""  # noqa: S608 - a constant of ours
    ),
}


def new_events(run: Run, rows: Sequence[EventRow]) -> Sequence[EventRow]:
    """Those of some events that are not on record."""
    ids = [row.id for row in rows]
    parts = spans(row.at_ms for row in rows)
    known = {(*found,) for part in parts for found in run(KNOWN_EVENTS, (ids, *part))}
    return [row for row in rows if (row.id, row.at_ms) not in known] if known else rows
