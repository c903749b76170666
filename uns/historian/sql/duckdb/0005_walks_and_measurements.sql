-- No index: small joins over columns cost less than keeping one.
CREATE MACRO elements_of(document) AS CAST(document AS JSON[]);

-- Lots and units that one went into, and those it was made of, at any depth, itself among them.
CREATE MACRO where_used(identifier) AS TABLE
WITH RECURSIVE reached(id) AS (
    SELECT CAST(identifier AS TEXT)
    UNION
    SELECT output_id FROM edges WHERE input_id IN (SELECT id FROM reached)
)
SELECT id FROM reached;
CREATE MACRO contents_of(identifier) AS TABLE
WITH RECURSIVE reached(id) AS (
    SELECT CAST(identifier AS TEXT)
    UNION
    SELECT input_id FROM edges WHERE output_id IN (SELECT id FROM reached)
)
SELECT id FROM reached;

INSERT INTO measurements
SELECT
    j.cell, regexp_replace(j.cell, '/[^/]+$', ''), j.sample_id, j.unit_id, j.lot, j.item,
    j.order_id, j.specification, j.at_ms, c.one ->> 'name',
    CAST((c.one ->> 'value') AS DOUBLE PRECISION), c.one ->> 'unit',
    CAST((c.one ->> 'lower') AS DOUBLE PRECISION), CAST((c.one ->> 'upper') AS DOUBLE PRECISION),
    c.one ->> 'verdict'
FROM judged_samples AS j
CROSS JOIN LATERAL unnest(elements_of(j.characteristics)) AS c(one);
