-- Walks over text unpack every id on record. They go by a number of each id instead, and look up the
-- ids of what they reached; where two ids share a number (2^-64), the walk goes on at both. A join
-- that begins at what was reached lets the edges it has sorted stand from one step to the next.
CREATE MACRO as_key(identifier) AS md5_number_lower(identifier);
CREATE TABLE keyed_edges (
    input_id TEXT NOT NULL, output_id TEXT NOT NULL, quantity DOUBLE PRECISION NOT NULL,
    unit TEXT NOT NULL, order_id TEXT, cell TEXT NOT NULL, at_ms BIGINT NOT NULL,
    input_key UBIGINT NOT NULL, output_key UBIGINT NOT NULL
);
INSERT INTO keyed_edges SELECT e.*, as_key(e.input_id), as_key(e.output_id) FROM edges AS e;
DROP TABLE edges;
CREATE VIEW edges AS
SELECT input_id, output_id, quantity, unit, order_id, cell, at_ms FROM keyed_edges;

-- What one went into, and what it was made of, at any depth: each number once, so cycles end.
CREATE MACRO walk_down(identifier) AS TABLE
WITH RECURSIVE reached(key, depth) USING KEY (key) AS (
    SELECT as_key(CAST(identifier AS TEXT)), 0
    UNION
    SELECT e.output_key, r.depth + 1
    FROM reached AS r JOIN keyed_edges AS e ON e.input_key = r.key
    LEFT JOIN recurring.reached AS known ON known.key = e.output_key
    WHERE known.key IS NULL
)
SELECT key, depth FROM reached;
CREATE MACRO walk_up(identifier) AS TABLE
WITH RECURSIVE reached(key, depth) USING KEY (key) AS (
    SELECT as_key(CAST(identifier AS TEXT)), 0
    UNION
    SELECT e.input_key, r.depth + 1
    FROM reached AS r JOIN keyed_edges AS e ON e.output_key = r.key
    LEFT JOIN recurring.reached AS known ON known.key = e.input_key
    WHERE known.key IS NULL
)
SELECT key, depth FROM reached;

-- The same as lots and units, itself among them, the nearest first.
CREATE OR REPLACE MACRO where_used(identifier) AS TABLE
SELECT id FROM (
    SELECT CAST(identifier AS TEXT) AS id, 0 AS depth
    UNION
    SELECT e.output_id, w.depth FROM walk_down(identifier) AS w JOIN keyed_edges AS e ON e.output_key = w.key
)
ORDER BY depth, id;
CREATE OR REPLACE MACRO contents_of(identifier) AS TABLE
SELECT id FROM (
    SELECT CAST(identifier AS TEXT) AS id, 0 AS depth
    UNION
    SELECT e.input_id, w.depth FROM walk_up(identifier) AS w JOIN keyed_edges AS e ON e.input_key = w.key
)
ORDER BY depth, id;

-- The edges that go on from the nearest, from so many of them.
CREATE MACRO edges_down(identifier, at_most) AS TABLE
SELECT e.input_id, e.output_id, e.quantity, e.unit, e.order_id, e.cell, e.at_ms
FROM (SELECT key FROM walk_down(identifier) ORDER BY depth, key LIMIT at_most) AS w
JOIN keyed_edges AS e ON e.input_key = w.key;
CREATE MACRO edges_up(identifier, at_most) AS TABLE
SELECT e.input_id, e.output_id, e.quantity, e.unit, e.order_id, e.cell, e.at_ms
FROM (SELECT key FROM walk_up(identifier) ORDER BY depth, key LIMIT at_most) AS w
JOIN keyed_edges AS e ON e.output_key = w.key;

-- For more edges than memory holds: all of them are read at each step, and none is kept.
CREATE MACRO where_used_by_step(identifier) AS TABLE
WITH RECURSIVE reached(key, depth) USING KEY (key) AS (
    SELECT as_key(CAST(identifier AS TEXT)), 0
    UNION
    SELECT e.output_key, (SELECT MAX(depth) FROM reached) + 1
    FROM keyed_edges AS e
    WHERE e.input_key IN (SELECT key FROM reached)
        AND NOT EXISTS (SELECT 1 FROM recurring.reached AS known WHERE known.key = e.output_key)
)
SELECT id FROM (
    SELECT CAST(identifier AS TEXT) AS id, 0 AS depth
    UNION
    SELECT e.output_id, r.depth FROM reached AS r JOIN keyed_edges AS e ON e.output_key = r.key
)
ORDER BY depth, id;
CREATE MACRO contents_of_by_step(identifier) AS TABLE
WITH RECURSIVE reached(key, depth) USING KEY (key) AS (
    SELECT as_key(CAST(identifier AS TEXT)), 0
    UNION
    SELECT e.input_key, (SELECT MAX(depth) FROM reached) + 1
    FROM keyed_edges AS e
    WHERE e.output_key IN (SELECT key FROM reached)
        AND NOT EXISTS (SELECT 1 FROM recurring.reached AS known WHERE known.key = e.input_key)
)
SELECT id FROM (
    SELECT CAST(identifier AS TEXT) AS id, 0 AS depth
    UNION
    SELECT e.input_id, r.depth FROM reached AS r JOIN keyed_edges AS e ON e.input_key = r.key
)
ORDER BY depth, id;
