-- A sample names its series by number: a topic with its unit stands in the dictionary once.
-- That a sample stands once is kept by the one writer, so no index must hold its values; quality is
-- 0 good, 1 uncertain, 2 bad. The order of columns leaves no gaps.
CREATE TABLE tag_series (
    series INTEGER NOT NULL PRIMARY KEY, topic TEXT NOT NULL, unit TEXT,
    UNIQUE NULLS NOT DISTINCT (topic, unit)
);

CREATE TABLE samples (
    at_ms BIGINT NOT NULL, received_ms BIGINT NOT NULL, value DOUBLE PRECISION,
    series INTEGER NOT NULL, quality SMALLINT NOT NULL, value_text TEXT, reason TEXT, original TEXT
);
CREATE INDEX samples_by_series ON samples (series, at_ms);
CREATE INDEX samples_by_time ON samples USING brin (at_ms);
CREATE INDEX events_by_time ON events USING brin (at_ms);
CREATE INDEX states_by_time ON states USING brin (at_ms);

CREATE TABLE samples_by_minute (
    series INTEGER NOT NULL, at_ms BIGINT NOT NULL, n BIGINT NOT NULL, good_n BIGINT NOT NULL,
    value_min DOUBLE PRECISION, value_max DOUBLE PRECISION, value_sum DOUBLE PRECISION,
    value_ms DOUBLE PRECISION,
    first_ms BIGINT NOT NULL, value_first DOUBLE PRECISION,
    last_ms BIGINT NOT NULL, value_last DOUBLE PRECISION, quality_last SMALLINT NOT NULL,
    good_ms BIGINT NOT NULL, uncertain_ms BIGINT NOT NULL, bad_ms BIGINT NOT NULL,
    PRIMARY KEY (series, at_ms)
);
CREATE INDEX minutes_by_time ON samples_by_minute USING brin (at_ms);

CREATE TABLE samples_by_hour (LIKE samples_by_minute INCLUDING ALL);

CREATE TABLE rollups_due (
    series INTEGER NOT NULL, hour_ms BIGINT NOT NULL, PRIMARY KEY (hour_ms, series)
);
