-- What users read. Names and columns are a contract, the same on every store; `at` is UTC.
-- Payloads of events are checked values; documents are as published, so counts in them are read
-- with as_count, which gives NULL for what is none.
CREATE VIEW tags AS
SELECT topic, at_utc(at_ms) AS "at", at_ms, value, value_text, quality, unit
FROM tag_samples;

CREATE VIEW orders AS
WITH live AS (
    SELECT DISTINCT ON (topic)
        split_part(topic, '/_state/', 1) AS line, at_ms, rev, 0 AS final,
        as_document(document) AS document
    FROM states
    WHERE topic LIKE '%/\_state/order/%' ESCAPE '\'
    ORDER BY topic, rev DESC
), known AS (
    SELECT line, at_ms, rev, final, document FROM live
    UNION ALL
    SELECT path, at_ms, seq, 1, payload -> 'document' FROM events WHERE type = 'order-closed'
), newest AS (
    SELECT DISTINCT ON (document ->> 'order_id') line, at_ms, document
    FROM known
    WHERE (document ->> 'order_id') IS NOT NULL
    ORDER BY document ->> 'order_id', final DESC, at_ms DESC, rev DESC
)
SELECT
    document ->> 'order_id' AS order_id,
    document ->> 'item' AS item,
    as_count(document ->> 'quantity') AS quantity,
    document ->> 'dispatch_status' AS dispatch_status,
    as_count(document ->> 'good') AS good,
    as_count(document ->> 'scrap') AS scrap,
    as_count(document ->> 'rework') AS rework,
    as_count(document ->> 'started') AS started,
    as_count(document ->> 'remaining') AS remaining,
    line,
    as_count(document ->> 'released_ms') AS released_ms,
    as_count(document ->> 'started_ms') AS started_ms,
    as_count(document ->> 'completed_ms') AS completed_ms,
    as_count(document ->> 'due_ms') AS due_ms,
    at_ms
FROM newest;

CREATE VIEW stops AS
WITH opened AS (
    SELECT path, at_ms, payload FROM events WHERE type = 'stopped'
), closed AS (
    SELECT path, at_ms, payload FROM events WHERE type = 'stop-ended'
)
SELECT
    COALESCE(c.payload ->> 'stop_id', o.payload ->> 'stop_id') AS stop_id,
    COALESCE(c.path, o.path) AS cell,
    COALESCE(c.payload ->> 'state', o.payload ->> 'state') AS state,
    COALESCE(c.payload ->> 'reason', o.payload ->> 'reason') AS reason,
    COALESCE(CAST((c.payload ->> 'start_ms') AS BIGINT), o.at_ms) AS start_ms,
    c.at_ms AS end_ms,
    CAST((c.payload ->> 'duration_ms') AS BIGINT) AS duration_ms,
    CAST((c.payload ->> 'micro') AS BOOLEAN) AS micro,
    COALESCE(c.payload ->> 'order_id', o.payload ->> 'order_id') AS order_id
FROM opened o
FULL JOIN closed c ON c.path = o.path AND (c.payload ->> 'stop_id') = (o.payload ->> 'stop_id');

CREATE VIEW verdicts AS
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
    payload -> 'characteristics' AS characteristics
FROM events
WHERE type = 'verdict'
ORDER BY path, payload ->> 'sample_id', at_ms DESC, epoch DESC, seq DESC;

CREATE VIEW genealogy_edges AS
WITH edges AS (
    SELECT
        payload ->> 'input_id' AS input_id,
        payload ->> 'output_id' AS output_id,
        CAST((payload ->> 'quantity') AS DOUBLE PRECISION) AS quantity,
        payload ->> 'unit' AS unit,
        payload ->> 'order_id' AS order_id,
        path AS cell,
        at_ms
    FROM events
    WHERE type = 'edge'
)
SELECT input_id, output_id, SUM(quantity) AS quantity, unit, order_id, cell,
    at_utc(MIN(at_ms)) AS "at"
FROM edges
GROUP BY input_id, output_id, unit, order_id, cell;

CREATE VIEW oee_intervals AS
SELECT
    path AS cell,
    regexp_replace(path, '/[^/]+$', '') AS line,
    payload ->> 'element' AS element,
    payload ->> 'state' AS state,
    CAST((payload ->> 'start_ms') AS BIGINT) AS start_ms,
    CAST((payload ->> 'end_ms') AS BIGINT) AS end_ms,
    payload ->> 'shift_id' AS shift_id,
    payload ->> 'order_id' AS order_id,
    payload ->> 'item' AS item,
    CAST((payload ->> 'pq') AS BIGINT) AS pq,
    CAST((payload ->> 'gq') AS BIGINT) AS gq,
    CAST((payload ->> 'sq') AS BIGINT) AS sq,
    CAST((payload ->> 'rq') AS BIGINT) AS rq,
    CAST((payload ->> 'ideal_ms') AS BIGINT) AS ideal_ms,
    CAST((payload ->> 'ideal_good_ms') AS BIGINT) AS ideal_good_ms,
    payload ->> 'policy_id' AS policy_id
FROM events
WHERE type = 'oee-interval';

CREATE VIEW rejects AS
SELECT reject_class, reason, topic, CAST(NULL AS TEXT) AS origin, at_ms,
    original_base64, original_sha256
FROM quarantine
UNION ALL
SELECT payload ->> 'reject_class', payload ->> 'reason', topic, payload ->> 'origin', at_ms,
    payload ->> 'original_base64', payload ->> 'original_sha256'
FROM events
WHERE type = 'rejected';

-- A hole is a gap when nobody can fill it: said by a processor, left behind by an epoch that
-- ended, or of the time before this store.
CREATE VIEW gaps AS
SELECT
    payload ->> 'of_source' AS source,
    CAST((payload ->> 'of_epoch') AS BIGINT) AS epoch,
    CAST((payload ->> 'from_seq') AS BIGINT) AS from_seq,
    CAST((payload ->> 'to_seq') AS BIGINT) AS to_seq,
    payload ->> 'seen_by' AS seen_by,
    at_ms
FROM events
WHERE type = 'gap'
UNION ALL
SELECT source, epoch, seq + 1, hole_to, 'historian', at_ms
FROM watermarks AS w
WHERE hole_to IS NOT NULL
    AND EXISTS (SELECT 1 FROM watermarks AS n WHERE n.source = w.source AND n.epoch > w.epoch)
UNION ALL
SELECT source, epoch, 1, first_seq - 1, 'historian', at_ms
FROM watermarks
WHERE first_seq > 1;
