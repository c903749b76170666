"""What cells made in a time, each with what went into it, and what partners told: in time's order.

Owns the questions and their bounds: the time is cut until an answer fits. Knows no format.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import groupby
from typing import Any, Final, NamedTuple

from uns.historian.errors import QueryRefused
from uns.historian.reader import Reader
from uns.model.made import Made, Thing, Used

PAGE: Final = 5_000
IDS_A_QUESTION: Final = 500
_MADE: Final = """
SELECT at_ms, path, type, (payload ->> 'lot'), (payload ->> 'unit_id'), (payload ->> 'item'),
    (payload ->> 'input_id'), (payload ->> 'output_id'),
    CAST((payload ->> 'quantity') AS DOUBLE PRECISION), (payload ->> 'unit'),
    (payload ->> 'order_id')
FROM events
WHERE at_ms >= $1 AND at_ms < $2 AND (path = $3 OR path LIKE $4) AND type IN ('produced', 'edge')
ORDER BY at_ms, path, source, epoch, seq
"""
_TOLD: Final = """
SELECT (payload ->> 'document') FROM events
WHERE at_ms >= $1 AND at_ms < $2 AND (path = $3 OR path LIKE $4) AND type = 'traced'
ORDER BY at_ms, path, source, epoch, seq
"""
_PERIOD: Final = """
SELECT MIN(at_ms), MAX(at_ms) FROM events
WHERE (path = $1 OR path LIKE $2) AND type IN ('produced', 'traced')
"""
_UNITS: Final = """
SELECT (payload ->> 'unit_id'), MAX(payload ->> 'item') FROM events
WHERE type = 'produced' AND (payload ->> 'unit_id') IN ({ids}) GROUP BY 1
"""
_LOTS: Final = "SELECT lot, MAX(item) FROM lots WHERE lot IN ({ids}) GROUP BY 1"


class Window(NamedTuple):
    """[from_ms, to_ms) at a place and below it; None: from the first, to the last on record."""

    path: str
    from_ms: int | None = None
    to_ms: int | None = None


class _Row(NamedTuple):
    at_ms: int
    path: str
    type: str
    lot: str | None
    unit_id: str | None
    item: str | None
    input_id: str | None
    output_id: str | None
    quantity: float
    unit: str
    order_id: str | None


def made(reader: Reader, window: Window) -> Iterator[Made]:
    """What was made, with what went in at the same instant. Raises what a Reader raises."""
    for rows in _pages(reader, _MADE, window):
        page = [_Row(*row) for row in rows]
        things = _things(reader, {row.input_id for row in page if row.input_id})
        for _, some in groupby(page, key=lambda row: row[:2]):
            yield from _at_once(list(some), things)


def told(reader: Reader, window: Window) -> Iterator[str]:
    """The documents of EPCIS events that partners told."""
    for rows in _pages(reader, _TOLD, window):
        yield from (document for (document,) in rows)


def _at_once(rows: Sequence[_Row], things: Mapping[str, Thing]) -> Iterator[Made]:
    """What one cell made in one millisecond; what went in twice goes into the first of its name."""
    edges = [row for row in rows if row.type == "edge"]
    for row in rows:
        if row.type == "produced":
            output_id = row.unit_id or row.lot or ""
            mine = [edge for edge in edges if edge.output_id == output_id]
            edges = [edge for edge in edges if edge.output_id != output_id]
            yield _made(row, mine, things)


def _made(row: _Row, edges: Iterable[_Row], things: Mapping[str, Thing]) -> Made:
    thing = Thing(row.unit_id or row.lot or "", row.unit_id is not None, row.item)
    used = tuple(
        Used(things.get(edge.input_id, Thing(edge.input_id, False)), edge.quantity, edge.unit)  # noqa: FBT003 - a lot
        for edge in edges
        if edge.input_id
    )
    return Made(
        row.path, row.at_ms, thing, row.lot or thing.id, row.quantity, row.unit, row.order_id, used
    )


def _things(reader: Reader, ids: Iterable[str]) -> dict[str, Thing]:
    """What ids stand for: a unit is what was ever produced as one."""
    wanted, found = sorted(ids), dict[str, Thing]()
    for start in range(0, len(wanted), IDS_A_QUESTION):
        some = wanted[start : start + IDS_A_QUESTION]
        places = ", ".join(f"${n}" for n in range(1, len(some) + 1))
        for sql, is_unit in ((_LOTS, False), (_UNITS, True)):
            rows = reader.query(sql.format(ids=places), some, limit=IDS_A_QUESTION).rows
            for one, item in rows:
                before = found.get(one)
                found[one] = Thing(one, is_unit, item or (before.item if before else None))
    return found


def _pages(reader: Reader, sql: str, window: Window) -> Iterator[Sequence[Sequence[Any]]]:
    """The rows of a window, in answers that fit: one that does not is asked for in two halves."""
    below = (window.path, f"{window.path}/%")
    ((first_ms, last_ms),) = reader.query(_PERIOD, below).rows
    if first_ms is None:
        return
    start_ms = first_ms if window.from_ms is None else max(window.from_ms, first_ms)
    end_ms = last_ms + 1 if window.to_ms is None else min(window.to_ms, last_ms + 1)
    waiting = [(start_ms, end_ms)] if start_ms < end_ms else []
    while waiting:
        begin_ms, stop_ms = waiting.pop()
        answer = reader.query(sql, (begin_ms, stop_ms, *below), limit=PAGE)
        if not answer.truncated:
            yield answer.rows
        elif stop_ms - begin_ms == 1:
            raise QueryRefused(f"more than {PAGE} facts in the millisecond {begin_ms}")
        else:
            middle_ms = (begin_ms + stop_ms) // 2
            waiting += [(middle_ms, stop_ms), (begin_ms, middle_ms)]
