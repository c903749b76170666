"""The record: what was said in the tree, in a store that outlives the broker.

Owns the stores (DuckDB, PostgreSQL, TimescaleDB), what is written to them and how it is read back.
Does not know bridges or processors: it sees decoded messages only.

    recorder     PURE  messages -> rows, watermarks, what a source may forget
    writer             messages -> one transaction, with bad rows put aside
    service            MQTT in, writer, acks, watermarks out
    store              what a store must do; duckdb_store and postgres_store do it
    reader             read-only SQL, while the hub runs and after it stopped
    queries            the questions that commands ask
    sql/               the schema as numbered files; read models are its views
"""
