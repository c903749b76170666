"""Defects of cells as a Pareto: the most frequent first, with share and cumulative share.

Two kinds, which are counted apart: a `characteristic` out of its limits in a verdict, and a
`defect` that an inspection found, by its code. One piece may have several. Defects per million
opportunities are known where every opportunity is on record: of characteristics, each judged value
is one; of defect codes they are not.
"""

import json
from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import accumulate
from typing import Any, Final, Literal, NamedTuple

from uns.historian.answers import TIMEOUT_S_MAX
from uns.historian.errors import QueryRefused
from uns.historian.history.period import (
    PAGE_MAX,
    Answer,
    Instant,
    Period,
    Share,
    bounded,
    numbered,
    share,
)
from uns.historian.history.states import CELLS_MAX
from uns.historian.reader import Reader

BARS_MAX: Final = 200
MILLION: Final = 1_000_000
By = Literal["code", "place", "item", "cell"]
Kind = Literal["characteristic", "defect"]
_JUDGED: Final = """
SELECT characteristic, item, cell, COUNT(*), SUM(CASE WHEN verdict = 'fail' THEN 1 ELSE 0 END)
FROM measurements
WHERE at_ms >= $1 AND at_ms < $2 AND cell IN ({cells}) AND verdict IN ('pass', 'fail')
GROUP BY characteristic, item, cell
"""
_INSPECTED: Final = """
SELECT path, (payload ->> 'item'), CAST((payload -> 'defects') AS TEXT)
FROM events
WHERE type = 'inspection-closed' AND at_ms >= $1 AND at_ms < $2 AND path IN ({cells})
    AND CAST((payload -> 'defects') AS TEXT) <> '[]'
"""


class Bar(Answer):
    """Defects of one key. opportunities, dpmo: where they are known.

    key: the characteristic or code, the place on the piece, the item or the cell; None: not told.
    """

    key: str | None
    kind: Kind
    defects: int
    share: Share
    cumulative: Share
    opportunities: int | None = None
    dpmo: float | None = None


class Defects(Answer):
    """A Pareto of a period. rest: defects of the bars beyond the limit."""

    from_ms: Instant
    to_ms: Instant
    by: By
    bars: tuple[Bar, ...]
    rest: int
    defects: int


class _Found(NamedTuple):
    kind: Kind
    keys: dict[By, str | None]
    defects: int
    opportunities: int


def defects(
    reader: Reader,
    cells: Sequence[str],
    asked: Period,
    *,
    by: By = "code",
    limit: int = 20,
) -> Defects:
    """The defects of 1 to CELLS_MAX cells, at most `limit` bars.

    Raises QueryRefused beyond a bound, and what a Reader raises.
    """
    if not 1 <= limit <= BARS_MAX:
        raise QueryRefused(f"limit {limit}: use 1 to {BARS_MAX} bars")
    counts, judged = Counter[tuple[Kind, str | None]](), Counter[tuple[Kind, str | None]]()
    for one in _found(reader, bounded(cells, CELLS_MAX, "cells"), asked):
        counts[one.kind, one.keys[by]] += one.defects
        judged[one.kind, one.keys[by]] += one.opportunities
    most = sorted((k for k in counts if counts[k]), key=lambda k: (-counts[k], k[0], k[1] or ""))
    total = counts.total()
    before = accumulate(counts[key] for key in most)
    return Defects(
        from_ms=asked.from_ms,
        to_ms=asked.to_ms,
        by=by,
        bars=tuple(
            _bar(key, counts[key], judged[key], (total, reached))
            for key, reached in zip(most[:limit], before, strict=False)
        ),
        rest=sum(counts[key] for key in most[limit:]),
        defects=total,
    )


def _bar(
    key: tuple[Kind, str | None], count: int, opportunities: int, sums: tuple[int, int]
) -> Bar:
    kind, name = key
    total, reached = sums
    return Bar(
        key=name,
        kind=kind,
        defects=count,
        share=share(count, total),
        cumulative=share(reached, total),
        opportunities=opportunities or None,
        dpmo=count * MILLION / opportunities if opportunities else None,
    )


def _found(reader: Reader, cells: Sequence[str], asked: Period) -> Iterator[_Found]:
    for name, item, cell, judged, failed in _rows(reader, _JUDGED, cells, asked):
        yield _Found("characteristic", _keys(name, None, item, cell), failed, judged)
    for cell, item, told in _rows(reader, _INSPECTED, cells, asked):
        for one in json.loads(told):
            keys = _keys(one["code"], one.get("place"), item, cell)
            yield _Found("defect", keys, one.get("count", 1), 0)


def _keys(code: str, place: str | None, item: str | None, cell: str | None) -> dict[By, str | None]:
    return {"code": code, "place": place, "item": item, "cell": cell}


def _rows(reader: Reader, sql: str, cells: Sequence[str], asked: Period) -> Sequence[Sequence[Any]]:
    params = (asked.from_ms, asked.to_ms, *cells)
    found = reader.query(sql.format(cells=numbered(len(cells), 3)), params, PAGE_MAX, TIMEOUT_S_MAX)
    if found.truncated:
        raise QueryRefused(f"more than {PAGE_MAX} rows with defects: ask for a shorter period")
    return found.rows
