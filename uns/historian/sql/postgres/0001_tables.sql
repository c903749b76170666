-- Events are jsonb, because read models look into them; documents are json, which keeps their text
-- as it was published, because the tree is rebuilt from them.
CREATE FUNCTION at_utc(ms BIGINT) RETURNS TIMESTAMP
    LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
    AS $$ SELECT TIMESTAMP 'epoch' + ms * INTERVAL '1 millisecond' $$;
CREATE FUNCTION as_document(document JSON) RETURNS JSONB
    LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
    AS $$ SELECT document::jsonb $$;
CREATE FUNCTION as_count(number TEXT) RETURNS BIGINT
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    AS $$ SELECT CASE WHEN number ~ '^-?[0-9]{1,18}$' THEN number::bigint END $$;

CREATE TABLE events (
    id TEXT NOT NULL, type TEXT NOT NULL, path TEXT NOT NULL,
    source TEXT NOT NULL, epoch BIGINT NOT NULL, seq BIGINT NOT NULL,
    at_ms BIGINT NOT NULL, received_ms BIGINT NOT NULL, topic TEXT NOT NULL, payload JSONB NOT NULL,
    PRIMARY KEY (id, at_ms)
);
CREATE INDEX events_by_type ON events (type, at_ms);
CREATE INDEX events_by_topic ON events (topic, at_ms);

CREATE TABLE tag_samples (
    topic TEXT NOT NULL, at_ms BIGINT NOT NULL, value DOUBLE PRECISION, value_text TEXT,
    quality TEXT NOT NULL, unit TEXT, received_ms BIGINT NOT NULL,
    UNIQUE NULLS NOT DISTINCT (topic, at_ms, value, value_text, quality)
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
CREATE INDEX quarantine_by_original ON quarantine (original_sha256);

CREATE TABLE watermarks (
    source TEXT NOT NULL, epoch BIGINT NOT NULL, seq BIGINT NOT NULL, first_seq BIGINT NOT NULL,
    hole_to BIGINT, ahead TEXT NOT NULL, at_ms BIGINT NOT NULL, PRIMARY KEY (source, epoch)
);
