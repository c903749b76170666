-- Chunks: a day of samples, a week of minutes and of events. A store that was plain PostgreSQL until
-- now has rows in them already. What is old goes by chunks: no index by time alone is needed.
DROP INDEX samples_by_time;
DROP INDEX minutes_by_time;
DROP INDEX events_by_time;
SELECT create_hypertable('samples', 'at_ms', chunk_time_interval => 86400000::bigint,
    migrate_data => true, create_default_indexes => false);
SELECT create_hypertable('samples_by_minute', 'at_ms', chunk_time_interval => 604800000::bigint,
    migrate_data => true, create_default_indexes => false);
SELECT create_hypertable('events', 'at_ms', chunk_time_interval => 604800000::bigint,
    migrate_data => true, create_default_indexes => false, if_not_exists => true);
