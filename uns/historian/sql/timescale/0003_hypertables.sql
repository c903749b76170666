-- Chunks: a day of samples, a week of events. Both editions know hypertables.
SELECT create_hypertable('tag_samples', 'at_ms', chunk_time_interval => 86400000::bigint,
    migrate_data => true, create_default_indexes => false);
SELECT create_hypertable('events', 'at_ms', chunk_time_interval => 604800000::bigint,
    migrate_data => true, create_default_indexes => false);
