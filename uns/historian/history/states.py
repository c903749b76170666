"""What each cell was doing: its PackML states over time.

A state holds until the next one; before the first on record a cell is UNKNOWN, as it is while its
source is away.
"""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Final

from uns.historian.history.period import (
    PAGE_DEFAULT,
    Answer,
    Instant,
    Period,
    Share,
    bounded,
    numbered,
    page_size,
    share,
)
from uns.historian.reader import Reader
from uns.model.equipment import UNKNOWN

CELLS_MAX: Final = 100
_BEFORE: Final = """
SELECT b.cell, $1 AS at_ms, b.state, b.fault, 0 AS epoch, 0 AS seq
FROM (VALUES {values}) AS c(cell)
CROSS JOIN LATERAL (
    SELECT cell, state, fault FROM state_changes WHERE cell = c.cell AND at_ms < $1
    ORDER BY at_ms DESC, epoch DESC, seq DESC LIMIT 1
) AS b
"""
_TOLD: Final = f"""
WITH told AS (
    {_BEFORE}
    UNION ALL
    SELECT cell, at_ms, state, fault, epoch, seq FROM state_changes
    WHERE cell IN ({{cells}}) AND at_ms >= $1 AND at_ms < $2
)
"""  # noqa: S608 - a constant of ours
_CHANGES: Final = f"""{_TOLD}
SELECT cell, at_ms, state, fault FROM told ORDER BY at_ms, epoch, seq
"""  # noqa: S608 - a constant of ours
_OBSERVED: Final = f"""{_TOLD}
SELECT sum(COALESCE(next_ms, $2) - at_ms) FROM (
    SELECT state, at_ms, LEAD(at_ms) OVER (PARTITION BY cell ORDER BY at_ms, epoch, seq) AS next_ms
    FROM told
) AS held WHERE state <> $3
"""  # noqa: S608 - a constant of ours


class Span(Answer):
    """A cell was in a state. `UNKNOWN` is also what nothing is on record of."""

    state: str
    fault: str | None = None
    from_ms: Instant
    to_ms: Instant


class CellStates(Answer):
    """One cell's states without a hole; state_ms: time in each; coverage: share not UNKNOWN."""

    cell: str
    spans: tuple[Span, ...]
    state_ms: dict[str, int]
    coverage: Share


class Timeline(Answer):
    """States of cells in [from_ms, to_ms): as asked, or as much of it as the page holds.

    after: where the next page begins (ask again from there); None: this was all.
    """

    from_ms: Instant
    to_ms: Instant
    cells: tuple[CellStates, ...]
    after: Instant | None = None


def state_timeline(
    reader: Reader, cells: Sequence[str], asked: Period, limit: int = PAGE_DEFAULT
) -> Timeline:
    """The states of 1 to CELLS_MAX cells (paths), at most `limit` changes a page."""
    wanted = bounded(cells, CELLS_MAX, "cells")
    window = (asked.from_ms, asked.to_ms, *wanted)
    found = reader.query(_for(_CHANGES, len(wanted), 3), window, page_size(limit) + len(wanted))
    end_ms = max(found.rows[-1][1], asked.from_ms + 1) if found.truncated else asked.to_ms
    page = Period(from_ms=asked.from_ms, to_ms=end_ms)
    changes: dict[str, list[Sequence[Any]]] = {cell: [] for cell in wanted}
    for row in found.rows:
        changes[row[0]].append(row)
    return Timeline(
        from_ms=page.from_ms,
        to_ms=page.to_ms,
        cells=tuple(_of_cell(cell, rows, page) for cell, rows in changes.items()),
        after=end_ms if found.truncated else None,
    )


def observed_share(reader: Reader, cells: Sequence[str], asked: Period) -> float:
    """The share of 1 to CELLS_MAX cells' time in which their state was known."""
    wanted = bounded(cells, CELLS_MAX, "cells")
    sql = _for(_OBSERVED, len(wanted), 4)
    rows = reader.query(sql, (asked.from_ms, asked.to_ms, UNKNOWN, *wanted)).rows
    return share(rows[0][0] or 0, asked.length_ms * len(wanted))


def _for(sql: str, count: int, first: int) -> str:
    """The statement for so many cells, whose paths stand from `$first` on."""
    cells = numbered(count, first)
    return sql.format(cells=cells, values=f"({cells.replace(', ', '), (')})")


def _of_cell(cell: str, changes: Iterable[Sequence[Any]], page: Period) -> CellStates:
    spans = tuple(_spans(changes, page))
    state_ms: dict[str, int] = {}
    for span in spans:
        state_ms[span.state] = state_ms.get(span.state, 0) + span.to_ms - span.from_ms
    known_ms = page.length_ms - state_ms.get(UNKNOWN, 0)
    return CellStates(
        cell=cell, spans=spans, state_ms=state_ms, coverage=share(known_ms, page.length_ms)
    )


def _spans(changes: Iterable[Sequence[Any]], page: Period) -> Iterator[Span]:
    """A state from each change to the next; what repeats a state does not cut it."""
    start_ms, now = page.from_ms, (UNKNOWN, None)
    for _cell, at_ms, *then in changes:
        at = page.clamped(at_ms)
        if tuple(then) == now:
            continue
        if at > start_ms:
            yield Span(state=now[0], fault=now[1], from_ms=start_ms, to_ms=at)
        start_ms, now = at, (then[0], then[1])
    if page.to_ms > start_ms:
        yield Span(state=now[0], fault=now[1], from_ms=start_ms, to_ms=page.to_ms)
