"""What cells' time came to by element, and why they stood still.

Owns the two questions that loss tree, reliability and bottleneck are made from. An interval that
the period cuts counts by its share of the time; one that runs backwards takes back. Lost time is
that of intervals, so the reasons of a line's stops add up to no more than its delay; what has no
reason is the rest of it.
"""

from collections.abc import Sequence
from typing import Any, Final, NamedTuple

from uns.historian.answers import ROWS_MAX, TIMEOUT_S_MAX
from uns.historian.errors import QueryRefused
from uns.historian.history.downtime import THERE
from uns.historian.history.oee import COUNTS
from uns.historian.history.period import Period, bounded, numbered
from uns.historian.history.states import CELLS_MAX
from uns.historian.reader import Reader
from uns.model.kpi import Sums

_CLIPPED: Final = """
    SELECT i.*,
        LEAST(GREATEST(i.end_ms, $1), $2) - LEAST(GREATEST(i.start_ms, $1), $2) AS ms
    FROM oee_intervals AS i
    WHERE i.cell IN ({cells}) AND LEAST(i.start_ms, i.end_ms) < $2
        AND (GREATEST(i.start_ms, i.end_ms) > $1
            OR (i.start_ms = i.end_ms AND i.start_ms >= $1))
"""
_BY_ELEMENT: Final = f"""
WITH clipped AS ({_CLIPPED}), parts AS (
    SELECT *, CASE WHEN end_ms = start_ms THEN 1
        ELSE CAST(ms AS DOUBLE PRECISION) / (end_ms - start_ms) END AS part
    FROM clipped
)
SELECT cell, element, sum(ms), {", ".join(f"sum({name} * part)" for name in COUNTS)}
FROM parts GROUP BY cell, element ORDER BY cell, element
"""  # noqa: S608 - constants of ours
_STANDING: Final = f"""
WITH there AS ({THERE}), lost AS (
    SELECT cell, ms, GREATEST(LEAST(start_ms, end_ms), $1) AS from_ms,
        LEAST(GREATEST(start_ms, end_ms), $2) AS to_ms
    FROM ({_CLIPPED}) AS clipped WHERE element = 'adet'
), overlapping AS (
    SELECT s.cell, s.stop_id, s.reason, s.state,
        (LEAST(s.end_ms, l.to_ms) - GREATEST(s.start_ms, l.from_ms))
            * CASE WHEN l.ms < 0 THEN -1 ELSE 1 END AS ms
    FROM there AS s JOIN lost AS l
        ON l.cell = s.cell AND l.from_ms < s.end_ms AND l.to_ms > s.start_ms
    WHERE NOT s.micro
)
SELECT cell, reason, state, count(DISTINCT stop_id), sum(ms)
FROM overlapping GROUP BY cell, reason, state HAVING sum(ms) <> 0
ORDER BY sum(ms) DESC, cell, reason
"""  # noqa: S608 - constants of ours


class Standing(NamedTuple):
    """Delay of a cell in stops of one reason (None: nobody gave one) that began in one state."""

    cell: str
    reason: str | None
    state: str
    stops: int
    ms: int


Elements = dict[str, Sums]


def by_element(reader: Reader, cells: Sequence[str], asked: Period) -> dict[str, Elements]:
    """The sums of 1 to CELLS_MAX cells, each by the element in which its intervals are.

    Raises QueryRefused beyond a bound, and what a Reader raises.
    """
    wanted = bounded(cells, CELLS_MAX, "cells")
    found: dict[str, Elements] = {cell: {} for cell in wanted}
    for cell, element, ms, *counts in _asked(reader, _BY_ELEMENT, wanted, asked):
        made = dict(zip(COUNTS, map(round, counts), strict=True))
        found[cell][element] = Sums.model_validate({f"{element}_ms": ms, **made})
    return found


def standing(reader: Reader, cells: Sequence[str], asked: Period) -> tuple[Standing, ...]:
    """Why 1 to CELLS_MAX cells were delayed, the longest first; as by_element."""
    wanted = bounded(cells, CELLS_MAX, "cells")
    return tuple(Standing(*row) for row in _asked(reader, _STANDING, wanted, asked))


def _asked(reader: Reader, sql: str, cells: Sequence[str], asked: Period) -> list[Sequence[Any]]:
    params = (asked.from_ms, asked.to_ms, *cells)
    sql = sql.format(cells=numbered(len(cells), 3))
    found = reader.query(sql, params, ROWS_MAX, TIMEOUT_S_MAX)
    if found.truncated:
        raise QueryRefused(f"more than {ROWS_MAX} rows: ask for a shorter period")
    return list(found.rows)
