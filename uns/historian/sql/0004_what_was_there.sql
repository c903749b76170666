-- What the tree was at an instant: tags as they were published, and what was cleared when.
ALTER TABLE tag_samples ADD COLUMN reason TEXT;
ALTER TABLE tag_samples ADD COLUMN original TEXT;

CREATE TABLE cleared (
    topic TEXT NOT NULL, received_ms BIGINT NOT NULL, PRIMARY KEY (topic, received_ms)
);

CREATE TABLE shown_again (
    topic TEXT NOT NULL, received_ms BIGINT NOT NULL, payload TEXT NOT NULL,
    PRIMARY KEY (topic, received_ms)
);

CREATE OR REPLACE VIEW tags AS
SELECT topic, at_utc(at_ms) AS "at", at_ms, value, value_text, quality, unit, reason
FROM tag_samples;

-- As before, but for processors: the epochs of their former owners were fenced, they miss nothing.
CREATE OR REPLACE VIEW gaps AS
SELECT
    payload ->> 'of_source' AS source,
    CAST((payload ->> 'of_epoch') AS BIGINT) AS epoch,
    CAST((payload ->> 'from_seq') AS BIGINT) AS from_seq,
    CAST((payload ->> 'to_seq') AS BIGINT) AS to_seq,
    payload ->> 'seen_by' AS seen_by,
    at_ms
FROM events
WHERE type = 'gap'
UNION ALL
SELECT source, epoch, seq + 1, hole_to, 'historian', at_ms
FROM watermarks AS w
WHERE hole_to IS NOT NULL AND source NOT LIKE 'processor:%'
    AND EXISTS (SELECT 1 FROM watermarks AS n WHERE n.source = w.source AND n.epoch > w.epoch)
UNION ALL
SELECT source, epoch, 1, first_seq - 1, 'historian', at_ms
FROM watermarks
WHERE first_seq > 1;
