-- Every sample so far gets its number, and waits to be rolled up. The names that were read before
-- read the same, and what others built on `tags` stays. They are replaced first: who reads for long
-- holds this up before a row is copied, not after.
ALTER TABLE tag_samples RENAME TO tag_samples_before;

CREATE VIEW tag_samples AS
SELECT s.topic, t.at_ms, t.value, t.value_text,
    CASE t.quality WHEN 0 THEN 'good' WHEN 1 THEN 'uncertain' ELSE 'bad' END AS quality,
    s.unit, t.received_ms, t.reason, t.original
FROM samples AS t JOIN tag_series AS s ON s.series = t.series;

CREATE OR REPLACE VIEW tags AS
SELECT topic, at_utc(at_ms) AS "at", at_ms, value, value_text, quality, unit, reason
FROM tag_samples;

INSERT INTO tag_series
SELECT row_number() OVER (ORDER BY topic, unit), topic, unit
FROM (SELECT DISTINCT topic, unit FROM tag_samples_before) AS known;

INSERT INTO samples
SELECT t.at_ms, t.received_ms, t.value, s.series,
    CASE t.quality WHEN 'good' THEN 0 WHEN 'uncertain' THEN 1 ELSE 2 END,
    t.value_text, t.reason, t.original
FROM tag_samples_before AS t JOIN tag_series AS s
    ON s.topic = t.topic AND s.unit IS NOT DISTINCT FROM t.unit;

INSERT INTO rollups_due SELECT DISTINCT series, at_ms - at_ms % 3600000 FROM samples;

DROP TABLE tag_samples_before;

-- A bucket begins at `at_ms`; one without samples has no row. n samples, of which good_n are good
-- numbers: of these are the minimum, the maximum and the sum. The times are those from the first
-- sample on, each value held until the next one or the bucket's end: value_ms / good_ms is the mean
-- over time. What stood before first_ms is the bucket before's value_last and quality_last.
CREATE VIEW tag_minutes AS
SELECT s.topic, at_utc(b.at_ms) AS "at", b.at_ms, s.unit, b.n, b.good_n,
    b.value_min, b.value_max, b.value_sum, b.value_ms,
    b.first_ms, b.value_first, b.last_ms, b.value_last,
    CASE b.quality_last WHEN 0 THEN 'good' WHEN 1 THEN 'uncertain' ELSE 'bad' END AS quality_last,
    b.good_ms, b.uncertain_ms, b.bad_ms
FROM samples_by_minute AS b JOIN tag_series AS s ON s.series = b.series;

CREATE VIEW tag_hours AS
SELECT s.topic, at_utc(b.at_ms) AS "at", b.at_ms, s.unit, b.n, b.good_n,
    b.value_min, b.value_max, b.value_sum, b.value_ms,
    b.first_ms, b.value_first, b.last_ms, b.value_last,
    CASE b.quality_last WHEN 0 THEN 'good' WHEN 1 THEN 'uncertain' ELSE 'bad' END AS quality_last,
    b.good_ms, b.uncertain_ms, b.bad_ms
FROM samples_by_hour AS b JOIN tag_series AS s ON s.series = b.series;
