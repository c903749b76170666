-- With the indexes that find a row to change, and those that read models are asked by.
CREATE FUNCTION elements_of(document JSONB) RETURNS JSONB[]
    LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
    AS $$ SELECT ARRAY(SELECT jsonb_array_elements(document)) $$;

-- Lots and units that one went into, and those it was made of, at any depth, itself among them.
CREATE FUNCTION where_used(identifier TEXT) RETURNS TABLE (id TEXT)
    LANGUAGE sql STABLE ROWS 1000
    AS $$
        WITH RECURSIVE reached(id) AS (
            SELECT identifier
            UNION
            SELECT e.output_id FROM reached AS r JOIN edges AS e ON e.input_id = r.id
        )
        SELECT id FROM reached
    $$;
CREATE FUNCTION contents_of(identifier TEXT) RETURNS TABLE (id TEXT)
    LANGUAGE sql STABLE ROWS 1000
    AS $$
        WITH RECURSIVE reached(id) AS (
            SELECT identifier
            UNION
            SELECT e.input_id FROM reached AS r JOIN edges AS e ON e.output_id = r.id
        )
        SELECT id FROM reached
    $$;

INSERT INTO measurements
SELECT
    j.cell, regexp_replace(j.cell, '/[^/]+$', ''), j.sample_id, j.unit_id, j.lot, j.item,
    j.order_id, j.specification, j.at_ms, c.one ->> 'name',
    CAST((c.one ->> 'value') AS DOUBLE PRECISION), c.one ->> 'unit',
    CAST((c.one ->> 'lower') AS DOUBLE PRECISION), CAST((c.one ->> 'upper') AS DOUBLE PRECISION),
    c.one ->> 'verdict'
FROM judged_samples AS j
CROSS JOIN LATERAL unnest(elements_of(j.characteristics)) AS c(one);

CREATE INDEX edges_by_input ON edges (input_id) INCLUDE (output_id);
CREATE INDEX edges_by_output ON edges (output_id) INCLUDE (input_id);
CREATE INDEX intervals_by_line ON intervals (line, start_ms);
CREATE INDEX oee_sums_by_shift ON oee_sums (line, shift_id);
CREATE INDEX oee_sums_by_cell ON oee_sums (cell, shift_id);
CREATE UNIQUE INDEX stop_spans_by_id ON stop_spans (cell, stop_id);
CREATE INDEX stop_spans_by_start ON stop_spans (start_ms);
CREATE UNIQUE INDEX judged_samples_by_id ON judged_samples (cell, sample_id);
CREATE INDEX judged_samples_by_time ON judged_samples (at_ms);
CREATE INDEX judged_samples_by_unit ON judged_samples (unit_id);
CREATE INDEX judged_samples_by_lot ON judged_samples (lot);
CREATE INDEX measurements_by_sample ON measurements (cell, sample_id);
CREATE INDEX measurements_by_characteristic ON measurements (cell, characteristic, at_ms);
CREATE INDEX lots_by_lot ON lots (lot, cell);
CREATE INDEX state_changes_by_cell ON state_changes (cell, at_ms);
CREATE UNIQUE INDEX order_documents_by_id ON order_documents (order_id);
CREATE INDEX order_documents_by_line ON order_documents (line, at_ms);
CREATE UNIQUE INDEX newest_states_by_topic ON newest_states (topic);
CREATE UNIQUE INDEX newest_tags_by_topic ON newest_tags (topic);
