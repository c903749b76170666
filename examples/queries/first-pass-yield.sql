-- Good at the first attempt, by cell: good pieces of all that were started there.
SELECT path AS cell,
    SUM(CAST(payload ->> 'good' AS BIGINT)) AS good,
    SUM(CAST(payload ->> 'scrap' AS BIGINT) + CAST(payload ->> 'rework' AS BIGINT)) AS not_good,
    1.0 * SUM(CAST(payload ->> 'good' AS BIGINT))
        / NULLIF(SUM(CAST(payload ->> 'good' AS BIGINT) + CAST(payload ->> 'scrap' AS BIGINT)
            + CAST(payload ->> 'rework' AS BIGINT)), 0) AS first_pass_yield
FROM events
WHERE type = 'counted'
GROUP BY path
ORDER BY first_pass_yield;
