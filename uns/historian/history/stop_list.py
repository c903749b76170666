"""The stops of cells one by one, and what was ever said of one: told, classified, split, merged."""

import json
from collections.abc import Sequence
from typing import Any, Final

from uns.historian.history.downtime import THERE
from uns.historian.history.period import Answer, Instant, Period, bounded, numbered, page_size
from uns.historian.history.states import CELLS_MAX
from uns.historian.reader import Reader
from uns.model.plant import Plant

STORY_MAX: Final = 1_000
_STOPS: Final = f"""
WITH there AS ({THERE})
SELECT stop_id, cell, state, reason, start_ms, end_ms, duration_ms, micro, order_id FROM there
WHERE end_ms > $1 AND NOT micro ORDER BY start_ms DESC, stop_id
"""  # noqa: S608 - a constant of ours
_STORY: Final = """
SELECT at_ms, type, CAST(payload AS TEXT) FROM events
WHERE type IN ('stopped', 'stop-ended', 'stop-classified', 'stop-split', 'stop-merged')
    AND ((payload ->> 'stop_id') = $1 OR (payload ->> 'new_stop_id') = $1
        OR (payload ->> 'merged_stop_id') = $1)
ORDER BY epoch, seq
"""
_SAID: Final = ("reason", "old_reason", "actor", "comment", "new_stop_id", "merged_stop_id")


class Stop(Answer):
    """A stop under its newest reason; `lasts`: nobody ended it. minutes: standing time."""

    stop_id: str
    cell: str
    state: str
    reason: str | None
    title: str | None
    start_ms: Instant
    end_ms: Instant
    lasts: bool
    minutes: float
    order_id: str | None


class Said(Answer):
    """One event of a stop: which, by whom, and the reason it gave with the one before."""

    at_ms: Instant
    type: str
    reason: str | None = None
    old_reason: str | None = None
    actor: str | None = None
    comment: str | None = None
    new_stop_id: str | None = None
    merged_stop_id: str | None = None


def stops(
    reader: Reader, plant: Plant, cells: Sequence[str], asked: Period, limit: int
) -> tuple[Stop, ...]:
    """The real stops of 1 to CELLS_MAX cells that reach into a period, the newest first."""
    wanted = bounded(cells, CELLS_MAX, "cells")
    sql = _STOPS.format(cells=numbered(len(wanted), 3))
    params = (asked.from_ms, asked.to_ms, *wanted)
    rows = reader.query(sql, params, page_size(limit)).rows
    return tuple(_stop(plant, row) for row in rows)


def story(reader: Reader, stop_id: str) -> tuple[Said, ...]:
    """Everything on record about a stop, in the order it was said."""
    rows = reader.query(_STORY, (stop_id,), STORY_MAX).rows
    return tuple(
        Said(at_ms=at_ms, type=kind, **{k: v for k, v in json.loads(text).items() if k in _SAID})
        for at_ms, kind, text in rows
    )


def _stop(plant: Plant, row: Sequence[Any]) -> Stop:
    stop_id, cell, state, reason, start_ms, end_ms, duration_ms, _micro, order_id = row
    known = plant.reasons.get(reason or "")
    ms = end_ms - start_ms if duration_ms is None else duration_ms
    return Stop(
        stop_id=stop_id,
        cell=cell,
        state=state,
        reason=reason,
        title=known.title if known else None,
        start_ms=start_ms,
        end_ms=end_ms,
        lasts=duration_ms is None,
        minutes=ms / 60_000,
        order_id=order_id,
    )
