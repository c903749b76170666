-- Which finished lots a raw lot went into, at any depth: the recall list of that lot.
WITH RECURSIVE reached AS (
    SELECT 'ALU-BAR-00001' AS lot
    UNION
    SELECT edge.output_id FROM genealogy_edges AS edge JOIN reached ON edge.input_id = reached.lot
)
SELECT edge.output_id AS lot, edge.cell, edge.order_id, MIN(edge."at") AS first_at
FROM reached
JOIN genealogy_edges AS edge ON edge.output_id = reached.lot
GROUP BY edge.output_id, edge.cell, edge.order_id
ORDER BY first_at, lot;
