"""Orders: which there were, and the story of one."""

import re
from typing import Any, Final, Literal

from uns.historian.answers import Result
from uns.historian.errors import QueryRefused
from uns.historian.history.oee import COUNTS, Ratios, ratios, summed
from uns.historian.history.period import PAGE_DEFAULT, Answer, Instant, Page, page_size
from uns.historian.reader import Reader
from uns.model.path import TopicError, check_segment, key_of

PART_MAX: Final = 1_000
PROGRESS_POINTS: Final = 200
Status = Literal[
    "waiting",
    "ready",
    "running",
    "held",
    "suspended",
    "completed",
    "closed",
    "aborted",
    "cancelled",
]
_CURSOR: Final = re.compile(r"([0-9]{1,16})~(.{1,128})", re.DOTALL)
_PROGRESS: Final = f"""
WITH told AS (
    SELECT at_ms, rev, document ->> 'dispatch_status' AS dispatch_status,
        as_count(document ->> 'good') AS good, as_count(document ->> 'scrap') AS scrap,
        as_count(document ->> 'rework') AS rework
    FROM states WHERE topic = $1
), compared AS (
    SELECT *, LAG(dispatch_status) OVER (ORDER BY rev) AS before,
        row_number() OVER (ORDER BY rev DESC) AS number, count(*) OVER () AS documents
    FROM told
)
SELECT at_ms, dispatch_status, good, scrap, rework FROM compared
WHERE dispatch_status IS DISTINCT FROM before OR number = 1
    OR number % CAST(ceil(documents / {PROGRESS_POINTS}.0) AS BIGINT) = 0
ORDER BY rev
"""  # noqa: S608 - a constant of ours
_STOPS: Final = """
SELECT cell, stop_id, reason, state, start_ms, end_ms, micro FROM stops
WHERE order_id = $1 ORDER BY start_ms, cell
"""
_VERDICTS: Final = (
    "SELECT verdict, count(*) FROM verdicts WHERE order_id = $1 GROUP BY 1 ORDER BY 1"
)
_CELLS: Final = f"""
SELECT cell, element, sum(elapsed_ms), {", ".join(f"sum({name})" for name in COUNTS)}
FROM oee_sums WHERE order_id = $1 GROUP BY 1, 2
"""  # noqa: S608 - constants of ours
_MATERIALS: Final = """
SELECT input_id, output_id, quantity, unit, cell FROM genealogy_edges
WHERE order_id = $1 ORDER BY "at", input_id, output_id
"""


class Order(Answer):
    """An order as its newest document on record says."""

    order_id: str
    item: str | None
    line: str
    dispatch_status: str | None
    quantity: int | None
    good: int | None
    scrap: int | None
    rework: int | None
    started: int | None
    remaining: int | None
    released_ms: Instant | None
    started_ms: Instant | None
    completed_ms: Instant | None
    due_ms: Instant | None
    at_ms: Instant


class Progress(Answer):
    """An order at an instant."""

    at_ms: Instant
    dispatch_status: str | None
    good: int | None
    scrap: int | None
    rework: int | None


class OrderStop(Answer):
    """A stop while the order ran; end_ms None: still open."""

    cell: str
    stop_id: str
    reason: str | None
    state: str | None
    start_ms: Instant
    end_ms: Instant | None
    micro: bool | None


class OrderCell(Ratios):
    """What a cell did for an order; coverage: of the time in which it had the order."""

    cell: str


class Material(Answer):
    """How much of a lot went into another for the order."""

    input_id: str
    output_id: str
    quantity: float
    unit: str
    cell: str


class OrderHistory(Answer):
    """The story of one order; `truncated` names the lists that were cut (at PART_MAX).

    progress: by time, each change of status and about PROGRESS_POINTS documents between.
    verdicts: how many of each.
    """

    order: Order
    progress: tuple[Progress, ...]
    stops: tuple[OrderStop, ...]
    verdicts: dict[str, int]
    cells: tuple[OrderCell, ...]
    materials: tuple[Material, ...]
    truncated: tuple[str, ...]


def orders(  # noqa: PLR0913 - the filter's parts
    reader: Reader,
    *,
    path: str | None = None,
    status: Status | None = None,
    item: str | None = None,
    from_ms: int | None = None,
    to_ms: int | None = None,
    limit: int = PAGE_DEFAULT,
    after: str | None = None,
) -> Page[Order]:
    """Orders, the one that changed last first.

    path: at or below this place. from_ms, to_ms: those that were released before `to_ms` and did
    not end before `from_ms`. Raises TopicError, QueryRefused and what a Reader raises.
    """
    conditions = {
        "(line = ? OR line LIKE ? || '/%')": _place(path),
        "dispatch_status = ?": status,
        "item = ?": item,
        "COALESCE(completed_ms, at_ms) >= ?": from_ms,
        "COALESCE(released_ms, at_ms) < ?": to_ms,
    }
    asked = {text: value for text, value in conditions.items() if value is not None}
    params: list[Any] = [value for text, value in asked.items() for _ in range(text.count("?"))]
    where = " AND ".join(asked) or "true"
    if after is not None:
        at_ms, order_id = _cursor(after)
        where += " AND at_ms <= ? AND (at_ms < ? OR order_id > ?)"
        params += [at_ms, at_ms, order_id]
    columns = ", ".join(Order.model_fields)
    sql = _placed(f"SELECT {columns} FROM orders WHERE {where} ORDER BY at_ms DESC, order_id")  # noqa: S608 - texts of ours
    found = reader.query(sql, params, page_size(limit))
    items = tuple(Order.model_validate(row) for row in found.documents())
    last = items[-1] if found.truncated and items else None
    return Page(items=items, after=f"{last.at_ms}~{last.order_id}" if last else None)


def order_history(reader: Reader, order_id: str) -> OrderHistory | None:
    """The story of an order; None where none of that id is on record."""
    columns = ", ".join(Order.model_fields)
    known = reader.query(f"SELECT {columns} FROM orders WHERE order_id = $1", (order_id,), 1)  # noqa: S608 - names of ours
    if not known.rows:
        return None
    order = Order.model_validate(known.documents()[0])
    parts = {
        "progress": reader.query(_PROGRESS, (_topic(order),), PART_MAX),
        "stops": reader.query(_STOPS, (order_id,), PART_MAX),
        "materials": reader.query(_MATERIALS, (order_id,), PART_MAX),
    }
    return OrderHistory.model_validate(
        {
            "order": order,
            **{name: result.documents() for name, result in parts.items()},
            "verdicts": dict(reader.query(_VERDICTS, (order_id,)).rows),
            "cells": tuple(_cells(reader.query(_CELLS, (order_id,)))),
            "truncated": tuple(name for name, result in parts.items() if result.truncated),
        }
    )


def _cells(found: Result) -> list[OrderCell]:
    sums = sorted((cell or "", sums) for cell, sums in summed(found.rows).items())
    return [
        OrderCell.model_validate({"cell": cell, **ratios(one, one.elapsed_ms)})
        for cell, one in sums
    ]


def _topic(order: Order) -> str:
    """Where the order's document stands; an id that fits no topic has none."""
    try:
        return f"{order.line}/_state/order/{key_of(order.order_id)}"
    except TopicError:
        return ""


def _place(path: str | None) -> str | None:
    """A place, checked: no character of it means anything to LIKE."""
    return "/".join(check_segment(segment) for segment in path.split("/")) if path else None


def _cursor(after: str) -> tuple[int, str]:
    found = _CURSOR.fullmatch(after)
    if found is None:
        raise QueryRefused(f"{after!r:.40} is no page: use the `after` of the page before")
    return int(found[1]), found[2]


def _placed(sql: str) -> str:
    """The statement with `$1`, `$2`… for its question marks."""
    first, *rest = sql.split("?")
    return first + "".join(f"${n}{text}" for n, text in enumerate(rest, 1))
