-- OEE of each cell and shift after ISO 22400-2, from the sums of its closed intervals.
WITH sums AS (
    SELECT cell, shift_id,
        SUM(CASE WHEN element IN ('apt', 'aust', 'adet', 'adot')
            THEN end_ms - start_ms ELSE 0 END) AS pbt_ms,
        SUM(CASE WHEN element = 'apt' THEN end_ms - start_ms ELSE 0 END) AS apt_ms,
        SUM(ideal_ms) AS ideal_ms, SUM(ideal_good_ms) AS ideal_good_ms,
        SUM(gq) AS good, SUM(pq) AS produced
    FROM oee_intervals
    GROUP BY cell, shift_id
)
SELECT cell, shift_id, good, produced,
    1.0 * apt_ms / NULLIF(pbt_ms, 0) AS availability,
    1.0 * ideal_ms / NULLIF(apt_ms, 0) AS effectiveness,
    1.0 * ideal_good_ms / NULLIF(ideal_ms, 0) AS quality_ratio,
    1.0 * ideal_good_ms / NULLIF(pbt_ms, 0) AS oee
FROM sums
ORDER BY shift_id, cell;
