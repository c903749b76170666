-- Uniqueness of events and samples is kept by the one writer, which looks for equal rows of the
-- same instants before it inserts: an index over them would cost more than it finds.
CREATE MACRO at_utc(ms) AS make_timestamp(ms * 1000);
CREATE MACRO as_document(document) AS document;
CREATE MACRO as_count(number) AS TRY_CAST(number AS BIGINT);

CREATE TABLE events (
    id TEXT NOT NULL, type TEXT NOT NULL, path TEXT NOT NULL,
    source TEXT NOT NULL, epoch BIGINT NOT NULL, seq BIGINT NOT NULL,
    at_ms BIGINT NOT NULL, received_ms BIGINT NOT NULL, topic TEXT NOT NULL, payload JSON NOT NULL
);

CREATE TABLE tag_samples (
    topic TEXT NOT NULL, at_ms BIGINT NOT NULL, value DOUBLE, value_text TEXT,
    quality TEXT NOT NULL, unit TEXT, received_ms BIGINT NOT NULL
);

CREATE TABLE states (
    topic TEXT NOT NULL, rev BIGINT NOT NULL, at_ms BIGINT NOT NULL, received_ms BIGINT NOT NULL,
    document JSON NOT NULL, PRIMARY KEY (topic, rev)
);

CREATE TABLE processor_states (
    topic TEXT NOT NULL, owner_epoch BIGINT NOT NULL, rev BIGINT NOT NULL, at_ms BIGINT NOT NULL,
    received_ms BIGINT NOT NULL, document JSON NOT NULL, PRIMARY KEY (topic, owner_epoch, rev)
);

CREATE TABLE quarantine (
    reject_class TEXT NOT NULL, reason TEXT NOT NULL, topic TEXT NOT NULL, at_ms BIGINT NOT NULL,
    original_base64 TEXT NOT NULL, original_sha256 TEXT NOT NULL
);

CREATE TABLE watermarks (
    source TEXT NOT NULL, epoch BIGINT NOT NULL, seq BIGINT NOT NULL, first_seq BIGINT NOT NULL,
    hole_to BIGINT, ahead TEXT NOT NULL, at_ms BIGINT NOT NULL, PRIMARY KEY (source, epoch)
);
