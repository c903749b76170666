-- Where the time went: stops by cell and reason, the longest first, with the running share.
SELECT cell, COALESCE(reason, state) AS reason, COUNT(*) AS stops,
    SUM(duration_ms) / 1000.0 AS seconds,
    100.0 * SUM(SUM(duration_ms)) OVER (ORDER BY SUM(duration_ms) DESC)
        / SUM(SUM(duration_ms)) OVER () AS running_percent
FROM stops
WHERE duration_ms > 0
GROUP BY cell, COALESCE(reason, state)
ORDER BY seconds DESC;
