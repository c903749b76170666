"""How staged rows get into their tables, each at most once. The SQL of both stores, side by side.

`$1` and `$2` in DuckDB's statements bound the instants of the staged rows, so that the search for
equal rows touches the newest blocks only.
"""

from typing import Final

from uns.historian.rows import RESUMES_KEPT

PRUNE: Final = f"""
DELETE FROM processor_states AS old WHERE {RESUMES_KEPT} <= (
    SELECT count(*) FROM processor_states AS new
    WHERE new.topic = old.topic AND (new.owner_epoch, new.rev) > (old.owner_epoch, old.rev))
"""  # noqa: S608 - a constant of ours

_COMMON: Final = {
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
    "states": """
        INSERT INTO states SELECT * FROM new_states ON CONFLICT DO NOTHING""",
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
    "states": """
        INSERT INTO states
        SELECT topic, rev, at_ms, received_ms, document::json
        FROM new_states WHERE document::jsonb IS NOT NULL ON CONFLICT DO NOTHING""",
}
