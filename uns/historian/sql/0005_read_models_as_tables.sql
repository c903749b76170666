-- Read models become tables that the writer fills (uns/historian/projecting.py), here filled once from
-- what is on record. The views of old keep their names and columns, and read the tables.
CREATE TABLE edges (
    input_id TEXT NOT NULL, output_id TEXT NOT NULL, quantity DOUBLE PRECISION NOT NULL,
    unit TEXT NOT NULL, order_id TEXT, cell TEXT NOT NULL, at_ms BIGINT NOT NULL
);
INSERT INTO edges
SELECT
    payload ->> 'input_id', payload ->> 'output_id',
    CAST((payload ->> 'quantity') AS DOUBLE PRECISION), payload ->> 'unit',
    payload ->> 'order_id', path, at_ms
FROM events
WHERE type = 'edge';

CREATE TABLE intervals (
    cell TEXT NOT NULL, line TEXT NOT NULL, element TEXT NOT NULL, state TEXT NOT NULL,
    start_ms BIGINT NOT NULL, end_ms BIGINT NOT NULL, shift_id TEXT NOT NULL,
    order_id TEXT, item TEXT,
    pq BIGINT NOT NULL, gq BIGINT NOT NULL, sq BIGINT NOT NULL, rq BIGINT NOT NULL,
    ideal_ms BIGINT NOT NULL, ideal_good_ms BIGINT NOT NULL, policy_id TEXT NOT NULL
);
INSERT INTO intervals SELECT * FROM oee_intervals;

CREATE TABLE oee_sums (
    cell TEXT NOT NULL, line TEXT NOT NULL, shift_id TEXT NOT NULL, order_id TEXT, item TEXT,
    policy_id TEXT NOT NULL, element TEXT NOT NULL, elapsed_ms BIGINT NOT NULL,
    pq BIGINT NOT NULL, gq BIGINT NOT NULL, sq BIGINT NOT NULL, rq BIGINT NOT NULL,
    ideal_ms BIGINT NOT NULL, ideal_good_ms BIGINT NOT NULL,
    start_ms BIGINT NOT NULL, end_ms BIGINT NOT NULL
);
INSERT INTO oee_sums
SELECT
    cell, line, shift_id, order_id, item, policy_id, element, SUM(end_ms - start_ms),
    SUM(pq), SUM(gq), SUM(sq), SUM(rq), SUM(ideal_ms), SUM(ideal_good_ms),
    MIN(LEAST(start_ms, end_ms)), MAX(GREATEST(start_ms, end_ms))
FROM intervals
GROUP BY cell, line, shift_id, order_id, item, policy_id, element;

CREATE TABLE stop_spans (
    stop_id TEXT NOT NULL, cell TEXT NOT NULL, state TEXT NOT NULL, reason TEXT,
    start_ms BIGINT NOT NULL, end_ms BIGINT, duration_ms BIGINT, micro BOOLEAN, order_id TEXT
);
INSERT INTO stop_spans
SELECT
    stop_id, cell, COALESCE(state, opened_state), COALESCE(reason, opened_reason),
    COALESCE(start_ms, opened_ms), end_ms, duration_ms, micro, COALESCE(order_id, opened_order_id)
FROM (
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
    FROM events
    WHERE type IN ('stopped', 'stop-ended')
    GROUP BY path, payload ->> 'stop_id'
) AS told;

CREATE TABLE judged_samples AS
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
FROM events
WHERE type = 'verdict'
ORDER BY path, payload ->> 'sample_id', at_ms DESC, epoch DESC, seq DESC;

-- Filled by the next step of each store, which knows how to take a JSON list apart.
CREATE TABLE measurements (
    cell TEXT NOT NULL, line TEXT NOT NULL, sample_id TEXT NOT NULL, unit_id TEXT, lot TEXT,
    item TEXT, order_id TEXT, specification TEXT, at_ms BIGINT NOT NULL,
    characteristic TEXT NOT NULL, value DOUBLE PRECISION, unit TEXT NOT NULL,
    lower DOUBLE PRECISION, upper DOUBLE PRECISION, verdict TEXT NOT NULL
);

CREATE TABLE lots (
    lot TEXT NOT NULL, item TEXT, cell TEXT NOT NULL, line TEXT NOT NULL, unit TEXT NOT NULL,
    consumed DOUBLE PRECISION NOT NULL, produced DOUBLE PRECISION NOT NULL,
    first_ms BIGINT NOT NULL, last_ms BIGINT NOT NULL
);
INSERT INTO lots
SELECT
    payload ->> 'lot', payload ->> 'item', path, regexp_replace(path, '/[^/]+$', ''),
    payload ->> 'unit',
    SUM(CASE WHEN type = 'consumed' THEN CAST((payload ->> 'quantity') AS DOUBLE PRECISION)
        ELSE 0 END),
    SUM(CASE WHEN type = 'produced' THEN CAST((payload ->> 'quantity') AS DOUBLE PRECISION)
        ELSE 0 END),
    MIN(at_ms), MAX(at_ms)
FROM events
WHERE type IN ('consumed', 'produced')
GROUP BY payload ->> 'lot', payload ->> 'item', path, payload ->> 'unit';

CREATE TABLE state_changes (
    cell TEXT NOT NULL, line TEXT NOT NULL, at_ms BIGINT NOT NULL, state TEXT NOT NULL, fault TEXT,
    source TEXT NOT NULL, epoch BIGINT NOT NULL, seq BIGINT NOT NULL
);
INSERT INTO state_changes
SELECT
    path, regexp_replace(path, '/[^/]+$', ''), at_ms, payload ->> 'state', payload ->> 'fault',
    source, epoch, seq
FROM events
WHERE type = 'state-changed';

-- final: 1 for the document that closed an order, 0 for a live one, of the topic's `rev`.
CREATE TABLE order_documents (
    order_id TEXT NOT NULL, item TEXT, quantity BIGINT, dispatch_status TEXT, good BIGINT,
    scrap BIGINT, rework BIGINT, started BIGINT, remaining BIGINT, line TEXT NOT NULL,
    released_ms BIGINT, started_ms BIGINT, completed_ms BIGINT, due_ms BIGINT,
    at_ms BIGINT NOT NULL, final SMALLINT NOT NULL, topic TEXT, rev BIGINT NOT NULL
);
INSERT INTO order_documents
WITH live AS (
    SELECT DISTINCT ON (topic)
        split_part(topic, '/_state/', 1) AS line, at_ms, topic, rev, 0 AS final,
        as_document(document) AS document
    FROM states
    WHERE topic LIKE '%/\_state/order/%' ESCAPE '\'
    ORDER BY topic, rev DESC
), known AS (
    SELECT line, at_ms, topic, rev, final, document FROM live
    UNION ALL
    SELECT path, at_ms, NULL, seq, 1, payload -> 'document' FROM events WHERE type = 'order-closed'
), newest AS (
    SELECT DISTINCT ON (document ->> 'order_id') line, at_ms, topic, rev, final, document
    FROM known
    WHERE length(document ->> 'order_id') <= 128
    ORDER BY document ->> 'order_id', final DESC, at_ms DESC, rev DESC
)
SELECT
    document ->> 'order_id', document ->> 'item', as_count(document ->> 'quantity'),
    document ->> 'dispatch_status', as_count(document ->> 'good'),
    as_count(document ->> 'scrap'), as_count(document ->> 'rework'),
    as_count(document ->> 'started'), as_count(document ->> 'remaining'), line,
    as_count(document ->> 'released_ms'), as_count(document ->> 'started_ms'),
    as_count(document ->> 'completed_ms'), as_count(document ->> 'due_ms'),
    at_ms, final, topic, rev
FROM newest;

-- The tree as it is: per topic what it shows, none where it was cleared.
CREATE TABLE newest_states (
    topic TEXT NOT NULL, rev BIGINT NOT NULL, at_ms BIGINT NOT NULL, received_ms BIGINT NOT NULL,
    document JSON NOT NULL
);
INSERT INTO newest_states
SELECT DISTINCT ON (s.topic) s.topic, s.rev, s.at_ms, s.received_ms, s.document
FROM states AS s
LEFT JOIN (SELECT topic, MAX(received_ms) AS at_ms FROM cleared GROUP BY topic) AS g
    ON g.topic = s.topic
WHERE g.at_ms IS NULL OR s.received_ms > g.at_ms
ORDER BY s.topic, s.rev DESC;

-- newest_ms: of the samples that came since the topic was cleared, the latest instant; -1 for none.
-- A payload stands as its publisher wrote it: what is no number to every store is not taken for one.
CREATE TABLE newest_tags (
    topic TEXT NOT NULL, at_ms BIGINT NOT NULL, value DOUBLE PRECISION, value_text TEXT,
    quality TEXT NOT NULL, unit TEXT, received_ms BIGINT NOT NULL, reason TEXT, original TEXT,
    newest_ms BIGINT NOT NULL
);
INSERT INTO newest_tags
WITH gone AS (
    SELECT topic, MAX(received_ms) AS at_ms FROM cleared GROUP BY topic
), sampled AS (
    SELECT DISTINCT ON (t.topic)
        t.topic, t.at_ms, t.value, t.value_text, t.quality, t.unit, t.received_ms, t.reason,
        t.original
    FROM tag_samples AS t LEFT JOIN gone AS g ON g.topic = t.topic
    WHERE g.at_ms IS NULL OR t.received_ms > g.at_ms
    ORDER BY t.topic, t.at_ms DESC, t.received_ms DESC
), again AS (
    SELECT DISTINCT ON (t.topic)
        t.topic, t.received_ms, t.payload, CAST(t.payload AS JSON) AS shown,
        CAST(CAST(t.payload AS JSON) -> 'value' AS TEXT) AS raw
    FROM shown_again AS t LEFT JOIN gone AS g ON g.topic = t.topic
    WHERE g.at_ms IS NULL OR t.received_ms > g.at_ms
    ORDER BY t.topic, t.received_ms DESC
), numbered AS (
    SELECT *, CASE WHEN (shown ->> 'timestamp_ms') ~ '^-?([0-9]{1,200}([.][0-9]{1,200})?|[0-9]{1,8}([.][0-9]{1,20})?[eE][+-]?[0-2]?[0-9]{1,2})$'
        THEN CAST((shown ->> 'timestamp_ms') AS DOUBLE PRECISION) END AS stated_ms
    FROM again
), told AS (
    SELECT
        topic, CAST(stated_ms AS BIGINT) AS at_ms,
        CASE WHEN raw = 'true' THEN 1 WHEN raw = 'false' THEN 0
            WHEN raw ~ '^-?([0-9]{1,200}([.][0-9]{1,200})?|[0-9]{1,8}([.][0-9]{1,20})?[eE][+-]?[0-2]?[0-9]{1,2})$'
            THEN CAST(raw AS DOUBLE PRECISION) END AS value,
        CASE WHEN raw IN ('true', 'false') THEN raw
            WHEN raw LIKE '"%' THEN shown ->> 'value'
            WHEN as_count(raw) NOT BETWEEN -9007199254740992 AND 9007199254740992 THEN raw
            END AS value_text,
        shown ->> 'quality' AS quality, shown ->> 'unit' AS unit, received_ms,
        shown ->> 'reason' AS reason, payload AS original
    FROM numbered
    WHERE stated_ms BETWEEN 0 AND 9007199254740992
)
SELECT
    COALESCE(a.topic, s.topic),
    CASE WHEN a.topic IS NULL THEN s.at_ms ELSE a.at_ms END,
    CASE WHEN a.topic IS NULL THEN s.value ELSE a.value END,
    CASE WHEN a.topic IS NULL THEN s.value_text ELSE a.value_text END,
    CASE WHEN a.topic IS NULL THEN s.quality ELSE a.quality END,
    CASE WHEN a.topic IS NULL THEN s.unit ELSE a.unit END,
    CASE WHEN a.topic IS NULL THEN s.received_ms ELSE a.received_ms END,
    CASE WHEN a.topic IS NULL THEN s.reason ELSE a.reason END,
    CASE WHEN a.topic IS NULL THEN s.original ELSE a.original END,
    COALESCE(s.at_ms, -1)
FROM sampled AS s
FULL JOIN told AS a ON a.topic = s.topic
WHERE s.topic IS NULL OR a.topic IS NULL OR a.received_ms >= s.received_ms
UNION ALL
SELECT s.*, s.at_ms
FROM sampled AS s JOIN told AS a ON a.topic = s.topic AND a.received_ms < s.received_ms;

CREATE OR REPLACE VIEW genealogy_edges AS
SELECT input_id, output_id, SUM(quantity) AS quantity, unit, order_id, cell,
    at_utc(MIN(at_ms)) AS "at"
FROM edges
GROUP BY input_id, output_id, unit, order_id, cell;

CREATE OR REPLACE VIEW oee_intervals AS
SELECT cell, line, element, state, start_ms, end_ms, shift_id, order_id, item, pq, gq, sq, rq,
    ideal_ms, ideal_good_ms, policy_id
FROM intervals;

CREATE OR REPLACE VIEW stops AS
SELECT stop_id, cell, state, reason, start_ms, end_ms, duration_ms, micro, order_id
FROM stop_spans;

CREATE OR REPLACE VIEW verdicts AS
SELECT sample_id, unit_id, lot, item, order_id, cell, verdict, specification, at_ms,
    characteristics
FROM judged_samples;

CREATE OR REPLACE VIEW orders AS
SELECT order_id, item, quantity, dispatch_status, good, scrap, rework, started, remaining, line,
    released_ms, started_ms, completed_ms, due_ms, at_ms
FROM order_documents;

-- What OEE is made from, in columns; see uns/model/kpi.py. Sums of sums are right, means are not.
CREATE VIEW oee_by_shift AS
SELECT
    cell, line, shift_id, policy_id,
    CAST(SUM(CASE WHEN element = 'apt' THEN elapsed_ms ELSE 0 END) AS BIGINT) AS apt_ms,
    CAST(SUM(CASE WHEN element = 'aust' THEN elapsed_ms ELSE 0 END) AS BIGINT) AS aust_ms,
    CAST(SUM(CASE WHEN element = 'adet' THEN elapsed_ms ELSE 0 END) AS BIGINT) AS adet_ms,
    CAST(SUM(CASE WHEN element = 'adot' THEN elapsed_ms ELSE 0 END) AS BIGINT) AS adot_ms,
    CAST(SUM(CASE WHEN element = 'planned' THEN elapsed_ms ELSE 0 END) AS BIGINT) AS planned_ms,
    CAST(SUM(CASE WHEN element = 'unknown' THEN elapsed_ms ELSE 0 END) AS BIGINT) AS unknown_ms,
    CAST(SUM(CASE WHEN element IN ('apt', 'aust', 'adet', 'adot') THEN elapsed_ms ELSE 0 END)
        AS BIGINT) AS pbt_ms,
    CAST(SUM(elapsed_ms) AS BIGINT) AS elapsed_ms,
    CAST(SUM(pq) AS BIGINT) AS pq, CAST(SUM(gq) AS BIGINT) AS gq,
    CAST(SUM(sq) AS BIGINT) AS sq, CAST(SUM(rq) AS BIGINT) AS rq,
    CAST(SUM(ideal_ms) AS BIGINT) AS ideal_ms,
    CAST(SUM(ideal_good_ms) AS BIGINT) AS ideal_good_ms,
    MIN(start_ms) AS start_ms, MAX(end_ms) AS end_ms
FROM oee_sums
GROUP BY cell, line, shift_id, policy_id;

CREATE VIEW oee_by_order AS
SELECT
    cell, line, order_id, item, policy_id,
    CAST(SUM(CASE WHEN element = 'apt' THEN elapsed_ms ELSE 0 END) AS BIGINT) AS apt_ms,
    CAST(SUM(CASE WHEN element = 'aust' THEN elapsed_ms ELSE 0 END) AS BIGINT) AS aust_ms,
    CAST(SUM(CASE WHEN element = 'adet' THEN elapsed_ms ELSE 0 END) AS BIGINT) AS adet_ms,
    CAST(SUM(CASE WHEN element = 'adot' THEN elapsed_ms ELSE 0 END) AS BIGINT) AS adot_ms,
    CAST(SUM(CASE WHEN element = 'planned' THEN elapsed_ms ELSE 0 END) AS BIGINT) AS planned_ms,
    CAST(SUM(CASE WHEN element = 'unknown' THEN elapsed_ms ELSE 0 END) AS BIGINT) AS unknown_ms,
    CAST(SUM(CASE WHEN element IN ('apt', 'aust', 'adet', 'adot') THEN elapsed_ms ELSE 0 END)
        AS BIGINT) AS pbt_ms,
    CAST(SUM(elapsed_ms) AS BIGINT) AS elapsed_ms,
    CAST(SUM(pq) AS BIGINT) AS pq, CAST(SUM(gq) AS BIGINT) AS gq,
    CAST(SUM(sq) AS BIGINT) AS sq, CAST(SUM(rq) AS BIGINT) AS rq,
    CAST(SUM(ideal_ms) AS BIGINT) AS ideal_ms,
    CAST(SUM(ideal_good_ms) AS BIGINT) AS ideal_good_ms,
    MIN(start_ms) AS start_ms, MAX(end_ms) AS end_ms
FROM oee_sums
WHERE order_id IS NOT NULL
GROUP BY cell, line, order_id, item, policy_id;

CREATE VIEW oee_by_item AS
SELECT
    cell, line, item, policy_id,
    CAST(SUM(CASE WHEN element = 'apt' THEN elapsed_ms ELSE 0 END) AS BIGINT) AS apt_ms,
    CAST(SUM(CASE WHEN element = 'aust' THEN elapsed_ms ELSE 0 END) AS BIGINT) AS aust_ms,
    CAST(SUM(CASE WHEN element = 'adet' THEN elapsed_ms ELSE 0 END) AS BIGINT) AS adet_ms,
    CAST(SUM(CASE WHEN element = 'adot' THEN elapsed_ms ELSE 0 END) AS BIGINT) AS adot_ms,
    CAST(SUM(CASE WHEN element = 'planned' THEN elapsed_ms ELSE 0 END) AS BIGINT) AS planned_ms,
    CAST(SUM(CASE WHEN element = 'unknown' THEN elapsed_ms ELSE 0 END) AS BIGINT) AS unknown_ms,
    CAST(SUM(CASE WHEN element IN ('apt', 'aust', 'adet', 'adot') THEN elapsed_ms ELSE 0 END)
        AS BIGINT) AS pbt_ms,
    CAST(SUM(elapsed_ms) AS BIGINT) AS elapsed_ms,
    CAST(SUM(pq) AS BIGINT) AS pq, CAST(SUM(gq) AS BIGINT) AS gq,
    CAST(SUM(sq) AS BIGINT) AS sq, CAST(SUM(rq) AS BIGINT) AS rq,
    CAST(SUM(ideal_ms) AS BIGINT) AS ideal_ms,
    CAST(SUM(ideal_good_ms) AS BIGINT) AS ideal_good_ms,
    MIN(start_ms) AS start_ms, MAX(end_ms) AS end_ms
FROM oee_sums
WHERE item IS NOT NULL
GROUP BY cell, line, item, policy_id;
