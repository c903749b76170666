"""PURE: how what people changed about stops reaches the read models.

Owns the projection of `stop-classified`, `stop-split` and `stop-merged` events: each tells whole
stops, and of one stop the greatest `rev` holds, whichever batch told it first. The view `stops`
(sql/0010) lays it over what the device's stops were; the events keep what was before.
"""

from typing import Final

STOP_CHANGE_KINDS: Final = frozenset({"stop-classified", "stop-split", "stop-merged"})

# One row a stop that an event tells of: itself, the second part of a split, the one merged away.
STOP_CHANGES: Final = """
MERGE INTO stop_changes AS t USING (
    SELECT DISTINCT ON (cell, stop_id) * FROM (
        SELECT
            path AS cell, payload ->> 'stop_id' AS stop_id, as_count(payload ->> 'rev') AS rev,
            FALSE AS gone, payload ->> 'state' AS state, payload ->> 'reason' AS reason,
            as_count(payload ->> 'start_ms') AS start_ms, as_count(payload ->> 'end_ms') AS end_ms,
            as_count(payload ->> 'duration_ms') AS duration_ms, payload ->> 'order_id' AS order_id
        FROM new_events
        WHERE type IN ('stop-classified', 'stop-split', 'stop-merged')
        UNION ALL
        SELECT
            path, payload ->> 'new_stop_id', as_count(payload ->> 'rev'), FALSE,
            payload ->> 'state', payload ->> 'reason', as_count(payload ->> 'end_ms'),
            as_count(payload ->> 'new_end_ms'), as_count(payload ->> 'new_duration_ms'),
            payload ->> 'order_id'
        FROM new_events
        WHERE type = 'stop-split'
        UNION ALL
        SELECT
            path, payload ->> 'merged_stop_id', as_count(payload ->> 'rev'), TRUE,
            payload ->> 'state', payload ->> 'merged_reason', as_count(payload ->> 'start_ms'),
            as_count(payload ->> 'end_ms'), as_count(payload ->> 'duration_ms'),
            payload ->> 'order_id'
        FROM new_events
        WHERE type = 'stop-merged'
    ) AS told
    ORDER BY cell, stop_id, rev DESC
) AS n
ON t.cell = n.cell AND t.stop_id = n.stop_id
WHEN MATCHED AND n.rev > t.rev THEN UPDATE SET
    rev = n.rev, gone = n.gone, state = n.state, reason = n.reason, start_ms = n.start_ms,
    end_ms = n.end_ms, duration_ms = n.duration_ms, order_id = n.order_id
WHEN NOT MATCHED THEN INSERT (
    cell, stop_id, rev, gone, state, reason, start_ms, end_ms, duration_ms, order_id)
VALUES (
    n.cell, n.stop_id, n.rev, n.gone, n.state, n.reason, n.start_ms, n.end_ms, n.duration_ms,
    n.order_id)
"""
