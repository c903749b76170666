"""How long rows are kept, and how the old ones go: some at a time, never what is still needed.

Owns the limits of each table, and what is never too old: a sample that waits to be rolled up, the
newest document of a topic, and what came since the newest base of a (processor, line), for its
state could not be told again without it (docs/adr/0013). Of each series the newest sample that went
stays in `samples_kept`: until the next one its tag is still that. The read models that were made of
old events stay.
"""

from collections.abc import Set as AbstractSet
from typing import Final, NamedTuple

from uns.historian.editions import Edition
from uns.historian.rollups import Run
from uns.historian.series import HOUR_MS
from uns.model.plant import Retention

DAY_MS: Final = 86_400_000
SLICE_ROWS: Final = 20_000
SAMPLES: Final = "samples"
BEHIND_MS_MAX: Final = 30 * DAY_MS
"""How far a processor may have been behind the record when it wrote a base."""
_AGED: Final = "o.{by} < $1"
_SUMMED_UP: Final = f"""
 AND NOT EXISTS (
    SELECT 1 FROM rollups_due AS d
    WHERE d.series = o.series AND d.hour_ms = o.at_ms - o.at_ms % {HOUR_MS})
"""  # noqa: S608 - a constant of ours
_NOT_NEWEST: Final = (
    " AND EXISTS (SELECT 1 FROM states AS n WHERE n.topic = o.topic AND n.rev > o.rev)"
)
_NOT_NEWEST_OF_OLD: Final = """
 AND EXISTS (
    SELECT 1 FROM {table} AS n
    WHERE n.topic = o.topic AND n.received_ms > o.received_ms AND n.received_ms < $1)
"""
_CAME_BEFORE: Final = " AND o.received_ms < $1"
_SOME: Final = "SELECT 1 FROM {source} AS o WHERE {old} LIMIT 1"
_SLICE: Final = "(SELECT {row_id}, * FROM {table} AS o WHERE {old} LIMIT {rows})"
_NEWEST_BASES: Final = """
SELECT DISTINCT ON (topic) topic, LEAST(at_ms, received_ms) FROM processor_states
WHERE as_count(as_document(document) ->> 'base_rev') = rev
ORDER BY topic, owner_epoch DESC, rev DESC
"""
_CHUNKS: Final = """
SELECT range_start_integer, range_end_integer FROM timescaledb_information.chunks
WHERE hypertable_name = $1 AND hypertable_schema = current_schema() AND range_end_integer <= $2
ORDER BY range_start_integer
"""
_SUMMED_UP_LATER: Final = f"""
SELECT 1 FROM rollups_due WHERE hour_ms > $1 - {HOUR_MS} AND hour_ms < $2 LIMIT 1
"""  # noqa: S608 - a constant of ours
_LAST_CAME: Final = """
SELECT COALESCE(max(received_ms), -1) FROM {table} WHERE at_ms >= $1 AND at_ms < $2
"""
_DROP: Final = """
SELECT drop_chunks(CAST($1 AS regclass),
    older_than => CAST($2 AS bigint), newer_than => CAST($3 AS bigint))
"""
_INTO_KEPT: Final = """
INSERT INTO samples_kept {newest}
ON CONFLICT (series) DO UPDATE SET
    at_ms = excluded.at_ms, received_ms = excluded.received_ms, value = excluded.value,
    quality = excluded.quality, value_text = excluded.value_text, reason = excluded.reason,
    original = excluded.original
WHERE (excluded.at_ms, excluded.received_ms) > (samples_kept.at_ms, samples_kept.received_ms)
"""
_NEWEST_GONE: Final = """
SELECT DISTINCT ON (series) * FROM gone ORDER BY series, at_ms DESC, received_ms DESC
"""
_NEWEST_OF_CHUNK: Final = """
SELECT n.* FROM tag_series AS s CROSS JOIN LATERAL (
    SELECT * FROM samples AS t WHERE t.series = s.series AND t.at_ms >= $1 AND t.at_ms < $2
    ORDER BY t.at_ms DESC, t.received_ms DESC LIMIT 1) AS n
"""


class Keep(NamedTuple):
    """How long rows are kept. resumes: the topics of all processors whose state is told again."""

    retention: Retention
    resumes: AbstractSet[str]


class Limit(NamedTuple):
    """A table, the days its rows are kept, and what else must hold of an old row.

    by: the column that tells how old a row is. waiting: finds in a chunk [$1, $2) what is still to
    be done; in a slice it is looked for among that slice's rows only. comes_late: a row may have
    come long after its own time, and is as old as that. is_folded: states are told again from these
    rows.
    """

    table: str
    days: int
    and_also: str = ""
    by: str = "at_ms"
    waiting: str | None = None
    comes_late: bool = False
    is_folded: bool = False


LastCame = dict[tuple[str, int], int]
"""When the newest row of a chunk came, by table and start: found out once, and before it goes."""


def limits(retention: Retention) -> tuple[Limit, ...]:
    """What is kept how long."""
    tags, minutes, events = retention.tags_days, retention.minutes_days, retention.events_days
    return (
        Limit(SAMPLES, tags, _SUMMED_UP, waiting=_SUMMED_UP_LATER, comes_late=True),
        Limit("samples_by_minute", minutes),
        Limit("samples_by_hour", events),
        Limit("events", events, comes_late=True, is_folded=True),
        Limit("states", events, _NOT_NEWEST, comes_late=True, is_folded=True),
        Limit("quarantine", events),
        Limit("shown_again", tags, _NOT_NEWEST_OF_OLD, "received_ms"),
        Limit("cleared", events, _NOT_NEWEST_OF_OLD, "received_ms"),
    )


def let_go(run: Run, edition: Edition, keep: Keep | None, now_ms: int, came: LastCame) -> bool:
    """Take a slice of each table's old rows away; whether there was one. None: all is kept.

    now_ms: plant time. came: what is remembered of chunks from one call to the next.
    """
    if keep is None:
        return False
    gone = list[bool]()
    for limit in limits(keep.retention):
        before_ms = _old_before_ms(run, keep, limit, now_ms)
        if before_ms is None:
            continue
        if limit.table in edition.chunked:
            gone.append(_drop_chunk(run, limit, before_ms, came))
        else:
            gone.append(_delete(run, edition, limit, before_ms))
    return any(gone)


def _old_before_ms(run: Run, keep: Keep, limit: Limit, now_ms: int) -> int | None:
    """The first instant that is kept; None if all of a table is younger."""
    before_ms = _kept_from_ms(now_ms, limit.days)
    aged = _AGED.format(by=limit.by)
    if not run(_SOME.format(source=limit.table, old=aged), (before_ms,)):
        return None
    return _not_needed_ms(run, keep, before_ms) if limit.is_folded else before_ms


def _not_needed_ms(run: Run, keep: Keep, before_ms: int) -> int:
    """At most so far that every processor's state can be told again from its newest base on."""
    bases = run(_NEWEST_BASES, ())
    bases_ms: list[int] = [base_ms for topic, base_ms in bases if topic in keep.resumes]
    return min([before_ms, *(base_ms - BEHIND_MS_MAX for base_ms in bases_ms)])


def _drop_chunk(run: Run, limit: Limit, before_ms: int, came: LastCame) -> bool:
    """The oldest chunk of which all is old."""
    for start_ms, end_ms in run(_CHUNKS, (limit.table, before_ms)):
        if _stays(run, limit, (start_ms, end_ms), before_ms, came):
            continue
        if limit.table == SAMPLES:
            run(_INTO_KEPT.format(newest=_NEWEST_OF_CHUNK), (start_ms, end_ms))
        run(_DROP, (limit.table, end_ms, start_ms))
        came.pop((limit.table, start_ms), None)
        return True
    return False


def _stays(run: Run, limit: Limit, chunk: tuple[int, int], before_ms: int, came: LastCame) -> bool:
    if limit.waiting and run(limit.waiting, chunk):
        return True
    if not limit.comes_late:
        return False
    key = limit.table, chunk[0]
    if came.get(key, -1) < before_ms:
        ((came[key],),) = run(_LAST_CAME.format(table=limit.table), chunk)
    return came[key] >= before_ms


def _delete(run: Run, edition: Edition, limit: Limit, before_ms: int) -> bool:
    table, source = limit.table, limit.table
    old = _AGED.format(by=limit.by) + (_CAME_BEFORE if limit.comes_late else "")
    if limit.waiting:
        source = _SLICE.format(row_id=edition.row_id, table=table, old=old, rows=SLICE_ROWS)
    old += limit.and_also.format(table=table)
    if not run(_SOME.format(source=source, old=old), (before_ms,)):
        return False
    sql = edition.delete.format(table=table, source=source, old=old, rows=SLICE_ROWS)
    if table == SAMPLES:
        sql = f"WITH gone AS ({sql} RETURNING *) {_INTO_KEPT.format(newest=_NEWEST_GONE)}"
    run(sql, (before_ms,))
    return True


def _kept_from_ms(now_ms: int, days: int) -> int:
    """The first instant that is kept, on the hour."""
    kept_ms = now_ms - days * DAY_MS
    return kept_ms - kept_ms % HOUR_MS
