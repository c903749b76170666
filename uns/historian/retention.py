"""How long rows are kept, and how the old ones go: some at a time, never what is not rolled up.

Owns the limits of each table and the order of upkeep, which is its law: while anything waits to be
rolled up nothing goes, then a slice of what is too old does. The newest document of a topic is
never too old, and the read models that were made of old events stay.
"""

from collections.abc import Sequence
from typing import Final, NamedTuple

from uns.historian import rollups
from uns.historian.editions import Edition
from uns.historian.rollups import Run
from uns.historian.rows import DueRow
from uns.historian.series import HOUR_MS
from uns.model.plant import Retention

DAY_MS: Final = 86_400_000
SLICE_ROWS: Final = 20_000
_NOT_NEWEST: Final = (
    " AND EXISTS (SELECT 1 FROM states AS n WHERE n.topic = o.topic AND n.rev > o.rev)"
)
_SOME: Final = "SELECT 1 FROM {table} AS o WHERE {old} LIMIT 1"
_OLDEST_CHUNK: Final = """
SELECT min(range_end_integer) FROM timescaledb_information.chunks
WHERE hypertable_name = $1 AND hypertable_schema = current_schema() AND range_end_integer <= $2
"""
_DROP: Final = "SELECT drop_chunks(CAST($1 AS regclass), older_than => CAST($2 AS bigint))"


class Limit(NamedTuple):
    """A table, the days its rows are kept, and what else must hold of an old row."""

    table: str
    days: int
    and_also: str = ""


class Tended(NamedTuple):
    """What a step of upkeep did; `more`: there may be more to do at once."""

    more: bool
    rolled_up: Sequence[DueRow] = ()


def limits(retention: Retention) -> tuple[Limit, ...]:
    """What is kept how long."""
    return (
        Limit("samples", retention.tags_days),
        Limit("samples_by_minute", retention.minutes_days),
        Limit("samples_by_hour", retention.events_days),
        Limit("events", retention.events_days),
        Limit("states", retention.events_days, _NOT_NEWEST),
        Limit("quarantine", retention.events_days),
    )


def tend(run: Run, edition: Edition, retention: Retention, now_ms: int) -> Tended:
    """One bounded step: roll something up, or let something go. `now_ms`: plant time."""
    if due := rollups.waiting(run, now_ms):
        rollups.roll_up(run, due)
        return Tended(more=True, rolled_up=due)
    return Tended(any(_let_go(run, edition, limit, now_ms) for limit in limits(retention)))


def _let_go(run: Run, edition: Edition, limit: Limit, now_ms: int) -> bool:
    """Take a slice of a table's old rows away; whether there was one."""
    before_ms = _kept_from_ms(now_ms, limit.days)
    drop = _drop_chunk if limit.table in edition.chunked else _delete
    return drop(run, edition, limit, before_ms)


def _drop_chunk(run: Run, _edition: Edition, limit: Limit, before_ms: int) -> bool:
    """The oldest chunk, if all of it is old."""
    ((end_ms,),) = run(_OLDEST_CHUNK, (limit.table, before_ms))
    if end_ms is None:
        return False
    run(_DROP, (limit.table, end_ms))
    return True


def _delete(run: Run, edition: Edition, limit: Limit, before_ms: int) -> bool:
    old = f"o.at_ms < $1{limit.and_also}"
    if not run(_SOME.format(table=limit.table, old=old), (before_ms,)):
        return False
    run(edition.delete.format(table=limit.table, old=old, rows=SLICE_ROWS), (before_ms,))
    return True


def _kept_from_ms(now_ms: int, days: int) -> int:
    """The first instant that is kept, on the hour."""
    kept_ms = now_ms - days * DAY_MS
    return kept_ms - kept_ms % HOUR_MS
