"""What a store's product can do by itself, and how it is asked for.

Owns the differences between DuckDB, PostgreSQL and the two editions of TimescaleDB where old rows
and disk space are concerned. An edition is found out when a store is opened, never configured.
"""

from collections.abc import Callable
from typing import Any, Final, NamedTuple

LICENCE: Final = "SELECT current_setting('timescaledb.license', true)"
COMMUNITY: Final = "timescale"
DAY_MS: Final = 86_400_000
COMPRESSED_AFTER_DAYS: Final = 7

COMPRESSED: Final = """
SELECT 1 FROM timescaledb_information.jobs
WHERE hypertable_schema = current_schema() AND hypertable_name = 'samples'
    AND proc_name = 'policy_compression'
"""
"""The last thing that is asked for: who does not want it sets the job to be not scheduled."""
COMPRESSION: Final = (
    """CREATE OR REPLACE FUNCTION samples_now_ms() RETURNS BIGINT LANGUAGE sql STABLE
    SET search_path FROM CURRENT
    AS $$ SELECT COALESCE(max(received_ms), 0) FROM newest_tags $$""",
    "SELECT set_integer_now_func('samples', 'samples_now_ms', replace_if_exists => true)",
    """ALTER TABLE samples SET (timescaledb.compress,
    timescaledb.compress_segmentby = 'series', timescaledb.compress_orderby = 'at_ms')""",
    f"""SELECT add_compression_policy('samples', if_not_exists => true,
    compress_after => {COMPRESSED_AFTER_DAYS * DAY_MS}::bigint)""",
)
"""Samples of more than a week are packed by TimescaleDB's own jobs, by plant time. Late ones still
find their place, and what reads samples reads them as before. Jobs do not know our search path."""

Select = Callable[[str], list[tuple[Any, ...]]]

_BY_ROW_ID: Final = """
DELETE FROM {table} WHERE rowid IN (SELECT o.rowid FROM {source} AS o WHERE {old} LIMIT {rows})
"""
_BY_TUPLE_ID: Final = """
DELETE FROM {table}
WHERE ctid = ANY(ARRAY(SELECT o.ctid FROM {source} AS o WHERE {old} LIMIT {rows}))
"""


class Edition(NamedTuple):
    """A product. `delete` takes some rows away; `chunked` tables lose whole chunks instead.

    row_id: the column that names a row. prepare: what is asked for when the store is opened for the
    first time.
    """

    name: str
    row_id: str
    delete: str
    chunked: frozenset[str] = frozenset()
    prepare: tuple[str, ...] = ()


_CHUNKED: Final = frozenset({"samples", "samples_by_minute", "events"})
DUCKDB: Final = Edition("DuckDB", "rowid", _BY_ROW_ID)
POSTGRESQL: Final = Edition("PostgreSQL", "ctid", _BY_TUPLE_ID)
TIMESCALE_APACHE: Final = Edition("TimescaleDB, Apache edition", "ctid", _BY_TUPLE_ID, _CHUNKED)
TIMESCALE_COMMUNITY: Final = Edition(
    "TimescaleDB, Community edition", "ctid", _BY_TUPLE_ID, _CHUNKED, COMPRESSION
)


def edition_of(kind: str, select: Select) -> Edition:
    """The edition of an open PostgreSQL store; kind: as Store's."""
    if kind != "timescaledb":
        return POSTGRESQL
    ((licence,),) = select(LICENCE)
    return TIMESCALE_COMMUNITY if licence == COMMUNITY else TIMESCALE_APACHE


def not_yet_asked(edition: Edition, select: Select) -> tuple[str, ...]:
    """What an edition is still to be asked for, in order, each on its own."""
    return () if not edition.prepare or select(COMPRESSED) else edition.prepare
