-- Of each series the newest sample that was let go: a tag that changes seldom shows it still.
CREATE TABLE samples_kept (
    at_ms BIGINT NOT NULL, received_ms BIGINT NOT NULL, value DOUBLE PRECISION,
    series INTEGER NOT NULL PRIMARY KEY, quality SMALLINT NOT NULL,
    value_text TEXT, reason TEXT, original TEXT
);

CREATE VIEW tag_samples_kept AS
SELECT s.topic, t.at_ms, t.value, t.value_text,
    CASE t.quality WHEN 0 THEN 'good' WHEN 1 THEN 'uncertain' ELSE 'bad' END AS quality,
    s.unit, t.received_ms, t.reason, t.original
FROM samples_kept AS t JOIN tag_series AS s ON s.series = t.series;
