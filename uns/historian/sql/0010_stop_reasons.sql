-- What people changed about stops: of each the newest. gone: it was merged into another.
CREATE TABLE stop_changes (
    cell TEXT NOT NULL, stop_id TEXT NOT NULL, rev BIGINT NOT NULL, gone BOOLEAN NOT NULL,
    state TEXT NOT NULL, reason TEXT, start_ms BIGINT NOT NULL, end_ms BIGINT, duration_ms BIGINT,
    order_id TEXT
);

-- The stops as they are called now; the second part of a split one was never told by its device.
-- duration_ms may be less than from its beginning to its end: the cell ran between merged stops.
CREATE OR REPLACE VIEW stops AS
SELECT s.stop_id, s.cell, s.state,
    CASE WHEN c.stop_id IS NULL THEN s.reason ELSE c.reason END AS reason,
    COALESCE(c.start_ms, s.start_ms) AS start_ms, COALESCE(c.end_ms, s.end_ms) AS end_ms,
    COALESCE(c.duration_ms, s.duration_ms) AS duration_ms, s.micro, s.order_id
FROM stop_spans AS s LEFT JOIN stop_changes AS c ON c.cell = s.cell AND c.stop_id = s.stop_id
WHERE NOT COALESCE(c.gone, FALSE)
UNION ALL
SELECT c.stop_id, c.cell, c.state, c.reason, c.start_ms, c.end_ms, c.duration_ms, FALSE, c.order_id
FROM stop_changes AS c
WHERE NOT c.gone AND NOT EXISTS (
    SELECT 1 FROM stop_spans AS s WHERE s.cell = c.cell AND s.stop_id = c.stop_id);
