#!/bin/sh
# Runs once, when the store is made: a role that may only read. Grafana uses it, because Grafana
# sends whatever SQL a dashboard holds.
set -eu
psql --quiet --set ON_ERROR_STOP=1 --set password="$UNS_READER_PASSWORD" \
  --username "$POSTGRES_USER" --dbname "$POSTGRES_DB" <<'SQL'
CREATE ROLE reader LOGIN PASSWORD :'password';
ALTER ROLE reader SET default_transaction_read_only = on;
GRANT pg_read_all_data TO reader;
SQL
