"""How staged rows get into their tables, each at most once. The SQL of both stores, side by side.

Of events, samples and states only those that are new to the record stay staged: the read models
take them from there.

`$1` and `$2` in DuckDB's statements bound the instants of the staged rows, so that the search for
equal rows touches the newest blocks only.
"""

from typing import Final

from uns.historian.rows import RESUMES_KEPT
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

KNOWN_SAMPLES: Final = """
    DELETE FROM new_samples AS n
    WHERE EXISTS (
        SELECT 1 FROM samples AS t
        WHERE t.series = n.series AND t.at_ms = n.at_ms AND t.at_ms BETWEEN $1 AND $2
            AND t.value IS NOT DISTINCT FROM n.value
            AND t.value_text IS NOT DISTINCT FROM n.value_text AND t.quality = n.quality)
"""
"""Staged samples that are on record. $1 and $2 bound their instants."""

LATE_SAMPLES: Final = "INSERT INTO samples SELECT * FROM new_samples"
LATE_NEWEST: Final = """
    INSERT INTO new_tag_samples
    SELECT s.topic, n.at_ms, n.value, n.value_text,
        CASE n.quality WHEN 0 THEN 'good' WHEN 1 THEN 'uncertain' ELSE 'bad' END,
        s.unit, n.received_ms, n.reason, n.original
    FROM new_samples AS n JOIN tag_series AS s ON s.series = n.series
"""
"""Samples that came late may be what their topics show: after a clearing, and of another unit."""

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

_FRESH_EVENTS: Final = """
    WITH fresh AS ({insert} RETURNING id)
    DELETE FROM new_events AS n WHERE NOT EXISTS (SELECT 1 FROM fresh AS f WHERE f.id = n.id)"""
_FRESH_STATES: Final = """
    WITH fresh AS ({insert} RETURNING topic, rev)
    DELETE FROM new_states AS n
    WHERE NOT EXISTS (SELECT 1 FROM fresh AS f WHERE f.topic = n.topic AND f.rev = n.rev)"""

DUCKDB: Final = {
    **_COMMON,
    "events": _FRESH_EVENTS.format(
        insert="""
        INSERT INTO events SELECT n.* FROM new_events AS n
        WHERE NOT EXISTS (
            SELECT 1 FROM events AS e
            WHERE e.id = n.id AND e.at_ms = n.at_ms AND e.at_ms BETWEEN $1 AND $2)"""
    ),
    "states": _FRESH_STATES.format(
        insert=f"INSERT INTO states SELECT * FROM new_states {_SAID_OTHERWISE}"  # noqa: S608 - a constant of ours
    ),
}

POSTGRES: Final = {
    **_COMMON,
    "events": _FRESH_EVENTS.format(
        insert="INSERT INTO events SELECT * FROM new_events ON CONFLICT DO NOTHING"
    ),
    # The read models look into documents as jsonb: what does not fit it is refused here.
    "states": _FRESH_STATES.format(
        insert=f"""
        INSERT INTO states
        SELECT topic, rev, at_ms, received_ms, document::json
        FROM new_states WHERE document::jsonb IS NOT NULL {_SAID_OTHERWISE}"""  # noqa: S608 - a constant of ours
    ),
}
