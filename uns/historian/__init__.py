"""The record: what was said in the tree, in a store that outlives the broker.

Owns the stores (DuckDB, PostgreSQL, TimescaleDB), what is written to them and how it is read back.
Does not know bridges or processors: it sees decoded messages only.

    recorder     PURE  messages -> rows, watermarks, what a source may forget
    sources      PURE  how far each epoch of a source is on record (progress: its spans)
    owners       PURE  who owns a processor; former owners are fenced
    samples      PURE  a tag's payload as a row and back
    quarantine   PURE  what was refused, counted
    writer             messages -> one transaction, with bad rows put aside
    service            MQTT in, writer, acks, watermarks out
    store              what a store must do; duckdb_store and postgres_store do it
    reader             read-only SQL, while the hub runs and after it stopped
    queries            the questions that commands ask; the tree as it was
    gaps               what is missing, from whom and why
    sql/               the schema as numbered files; read models are its views
"""
