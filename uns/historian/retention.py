"""How long rows are kept, and how the old ones go: some at a time, never what is still needed.

Owns the limits of each table, and what is never too old: a sample that waits to be rolled up, the
newest document of a topic, and what came since the newest base of a (processor, line), for its
state could not be told again without it (docs/adr/0013). The read models that were made of old
events stay.
"""

from typing import Final, NamedTuple

from uns.historian.editions import Edition
from uns.historian.rollups import Run
from uns.historian.series import HOUR_MS
from uns.model.plant import Retention

DAY_MS: Final = 86_400_000
SLICE_ROWS: Final = 20_000
BEHIND_MS_MAX: Final = 30 * DAY_MS
"""How far a processor may have been behind the record when it wrote a base."""
_SUMMED_UP: Final = f"""
 AND NOT EXISTS (
    SELECT 1 FROM rollups_due AS d
    WHERE d.series = o.series AND d.hour_ms = o.at_ms - o.at_ms % {HOUR_MS})
"""  # noqa: S608 - a constant of ours
_NOT_NEWEST: Final = (
    " AND EXISTS (SELECT 1 FROM states AS n WHERE n.topic = o.topic AND n.rev > o.rev)"
)
_CAME_BEFORE: Final = " AND o.received_ms < $1"
_SOME: Final = "SELECT 1 FROM {table} AS o WHERE {old} LIMIT 1"
_OLDEST_BASE: Final = """
SELECT min(LEAST(at_ms, received_ms)) FROM (
    SELECT DISTINCT ON (topic) at_ms, received_ms FROM processor_states
    WHERE as_count(as_document(document) ->> 'base_rev') = rev
    ORDER BY topic, owner_epoch DESC, rev DESC) AS newest
"""
_CHUNKS: Final = """
SELECT range_start_integer, range_end_integer FROM timescaledb_information.chunks
WHERE hypertable_name = $1 AND hypertable_schema = current_schema() AND range_end_integer <= $2
ORDER BY range_start_integer
"""
_SUMMED_UP_LATER: Final = f"""
SELECT 1 FROM rollups_due
WHERE hour_ms > $1 - {HOUR_MS} AND hour_ms < $2 AND hour_ms < $3 LIMIT 1
"""  # noqa: S608 - a constant of ours
_CAME_SINCE: Final = """
SELECT 1 FROM events WHERE at_ms >= $1 AND at_ms < $2 AND received_ms >= $3 LIMIT 1
"""
_DROP: Final = """
SELECT drop_chunks(CAST($1 AS regclass),
    older_than => CAST($2 AS bigint), newer_than => CAST($3 AS bigint))
"""


class Limit(NamedTuple):
    """A table, the days its rows are kept, and what else must hold of an old row.

    stays: finds something in a chunk [$1, $2) that is not to go before $3. is_folded: states are
    told again from these rows.
    """

    table: str
    days: int
    and_also: str = ""
    stays: str | None = None
    is_folded: bool = False


def limits(retention: Retention) -> tuple[Limit, ...]:
    """What is kept how long."""
    tags, minutes, events = retention.tags_days, retention.minutes_days, retention.events_days
    return (
        Limit("samples", tags, _CAME_BEFORE + _SUMMED_UP, _SUMMED_UP_LATER),
        Limit("samples_by_minute", minutes),
        Limit("samples_by_hour", events),
        Limit("events", events, _CAME_BEFORE, _CAME_SINCE, is_folded=True),
        Limit("states", events, _CAME_BEFORE + _NOT_NEWEST, is_folded=True),
        Limit("quarantine", events),
    )


def let_go(run: Run, edition: Edition, retention: Retention | None, now_ms: int) -> bool:
    """Take a slice of each table's old rows away; whether there was one. None: all is kept.

    now_ms: plant time.
    """
    of_all = limits(retention) if retention else ()
    gone = [_let_go(run, edition, limit, now_ms) for limit in of_all]
    return any(gone)


def _let_go(run: Run, edition: Edition, limit: Limit, now_ms: int) -> bool:
    before_ms = _kept_from_ms(now_ms, limit.days)
    if not run(_SOME.format(table=limit.table, old="o.at_ms < $1"), (before_ms,)):
        return False
    if limit.is_folded:
        before_ms = _not_needed_ms(run, before_ms)
    drop = _drop_chunk if limit.table in edition.chunked else _delete
    return drop(run, edition, limit, before_ms)


def _not_needed_ms(run: Run, before_ms: int) -> int:
    """At most so far that every processor's state can be told again from its newest base on."""
    ((base_ms,),) = run(_OLDEST_BASE, ())
    return before_ms if base_ms is None else min(before_ms, base_ms - BEHIND_MS_MAX)


def _drop_chunk(run: Run, _edition: Edition, limit: Limit, before_ms: int) -> bool:
    """The oldest chunk of which all is old."""
    for start_ms, end_ms in run(_CHUNKS, (limit.table, before_ms)):
        if not (limit.stays and run(limit.stays, (start_ms, end_ms, before_ms))):
            run(_DROP, (limit.table, end_ms, start_ms))
            return True
    return False


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
