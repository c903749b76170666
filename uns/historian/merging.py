"""How staged rows get into their tables, each at most once. The SQL of both stores, side by side.

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

_COMMON: Final = {
    "shown_again": """
        INSERT INTO shown_again SELECT * FROM new_shown_again ON CONFLICT DO NOTHING""",
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

DUCKDB: Final = {
    **_COMMON,
    "events": """
        INSERT INTO events SELECT n.* FROM new_events AS n
        WHERE NOT EXISTS (
            SELECT 1 FROM events AS e
            WHERE e.id = n.id AND e.at_ms = n.at_ms AND e.at_ms BETWEEN $1 AND $2)""",
    "tag_samples": """
        INSERT INTO tag_samples SELECT n.* FROM new_tag_samples AS n
        WHERE NOT EXISTS (
            SELECT 1 FROM tag_samples AS t
            WHERE t.topic = n.topic AND t.at_ms = n.at_ms AND t.at_ms BETWEEN $1 AND $2
                AND t.value IS NOT DISTINCT FROM n.value
                AND t.value_text IS NOT DISTINCT FROM n.value_text AND t.quality = n.quality)""",
    "states": f"""
        INSERT INTO states SELECT * FROM new_states {_SAID_OTHERWISE}""",  # noqa: S608 - a constant of ours
}

POSTGRES: Final = {
    **_COMMON,
    "events": """
        INSERT INTO events
        SELECT id, type, path, source, epoch, seq, at_ms, received_ms, topic, payload::jsonb
        FROM new_events ON CONFLICT DO NOTHING""",
    "tag_samples": """
        INSERT INTO tag_samples SELECT * FROM new_tag_samples ON CONFLICT DO NOTHING""",
    # The read models look into documents as jsonb: what does not fit it is refused here.
    "states": f"""
        INSERT INTO states
        SELECT topic, rev, at_ms, received_ms, document::json
        FROM new_states WHERE document::jsonb IS NOT NULL {_SAID_OTHERWISE}""",  # noqa: S608 - a constant of ours
}
