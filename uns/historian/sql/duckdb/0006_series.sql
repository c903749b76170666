-- A sample names its series by number: a topic with its unit stands in the dictionary once.
-- Uniqueness is kept by the one writer; quality is 0 good, 1 uncertain, 2 bad.
CREATE TABLE tag_series (series INTEGER NOT NULL PRIMARY KEY, topic TEXT NOT NULL, unit TEXT);

CREATE TABLE samples (
    at_ms BIGINT NOT NULL, received_ms BIGINT NOT NULL, value DOUBLE,
    series INTEGER NOT NULL, quality SMALLINT NOT NULL, value_text TEXT, reason TEXT, original TEXT
);

CREATE TABLE samples_by_minute (
    series INTEGER NOT NULL, at_ms BIGINT NOT NULL, n BIGINT NOT NULL, good_n BIGINT NOT NULL,
    value_min DOUBLE, value_max DOUBLE, value_sum DOUBLE, value_ms DOUBLE,
    first_ms BIGINT NOT NULL, value_first DOUBLE, last_ms BIGINT NOT NULL, value_last DOUBLE,
    quality_last SMALLINT NOT NULL,
    good_ms BIGINT NOT NULL, uncertain_ms BIGINT NOT NULL, bad_ms BIGINT NOT NULL
);

CREATE TABLE samples_by_hour AS FROM samples_by_minute;

CREATE TABLE rollups_due (
    series INTEGER NOT NULL, hour_ms BIGINT NOT NULL, PRIMARY KEY (hour_ms, series)
);
