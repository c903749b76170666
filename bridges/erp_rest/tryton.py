"""PURE: Tryton 8 over its REST API, with the bearer key of a user application.

An order is told in steps, each by what stands there: `run` when something was made (the materials
leave the stock by the bill of materials), what the last operation made as totals, `do`. Tryton
refuses `run` and `do` from any other state, and totals that are written twice are written once: so
no step is booked twice.
"""

import json
from base64 import urlsafe_b64encode
from collections.abc import Sequence
from datetime import UTC, datetime, time, timedelta
from typing import Any, Final, NamedTuple
from urllib.parse import urlencode
from zoneinfo import ZoneInfo

from bridges.erp_rest.confirmation import Confirmation
from bridges.erp_rest.contract import (
    ORDERS_A_PAGE,
    PIECES,
    Adapter,
    Answer,
    Document,
    Page,
    Request,
    Terms,
    is_ok,
    path_with,
    rows_at,
    text_at,
    whole_pieces,
)
from bridges.erp_rest.errors import MappingError

PRODUCTIONS: Final = "/rest/model/production"
_ORDER: Final = (
    "number",
    "product.code",
    "quantity",
    "unit.symbol",
    "planned_date",
    "write_date",
)
_STANDING: Final = (
    "state",
    "company",
    "location",
    "product",
    "unit",
    "warehouse.waste_locations",
    "outputs.product",
    "outputs.quantity",
    "outputs.state",
    "outputs.unit",
    "outputs.to_location.type",
)
_INSTANT: Final = ("year", "month", "day", "hour", "minute", "second", "microsecond")
WASTE: Final = "lost_found"
STARTED: Final = ("running", "done")


class Output(NamedTuple):
    """A movement of finished pieces out of the production; `id` as it goes into a request."""

    id: int | str
    quantity: float


class Production(NamedTuple):
    """How an order stands in Tryton.

    good: the movement into the stock. waste: that of scrap, if there is one.
    waste_new: what such a movement would be; None where the warehouse has no place for waste.
    """

    id: int | str
    state: str
    good: Output
    waste: Output | None
    waste_new: Document | None


def _standing(confirmation: Confirmation) -> Request:
    domain = [["number", "=", confirmation.order_id], ["state", "!=", "cancelled"]]
    return _search(domain, _STANDING)


def _search(domain: list[Any], fields: Sequence[str], *query: tuple[str, str]) -> Request:
    pairs = [("d", _encoded(domain)), *query, *(("f", field) for field in fields)]
    return Request("GET", f"{PRODUCTIONS}?{urlencode(pairs)}")


def _encoded(value: Any) -> str:
    return urlsafe_b64encode(json.dumps(value).encode()).decode()


def _prepare(confirmation: Confirmation, _terms: Terms) -> Request | None:
    return _standing(confirmation) if _is_told(confirmation) else None


def _is_told(confirmation: Confirmation) -> bool:
    return not confirmation.is_empty or _is_end(confirmation)


def _is_end(confirmation: Confirmation) -> bool:
    """An order that ends with nothing made is left to people."""
    is_made = confirmation.good_total or confirmation.scrap_total
    return confirmation.final and confirmation.is_last and bool(is_made)


def _post(confirmation: Confirmation, _terms: Terms, prepared: Answer | None) -> Request | None:
    if not _is_told(confirmation):
        return None
    is_end = _is_end(confirmation)
    there = _production(prepared, confirmation) if prepared else _unseen(is_end=is_end)
    changes = _changes(confirmation, there) if is_end else []
    match there.state:
        case "assigned":
            return _action(there, "run")
        case "running" if changes:
            path = path_with(f"{PRODUCTIONS}/{there.id}", f="state")
            return Request("PUT", path, {"outputs": changes})
        case "running" if is_end:
            return _action(there, "do")
        case "done" if changes:
            quantity = f"{there.good.quantity:g}"
            made = f"{confirmation.good_total} good and {confirmation.scrap_total} scrap"
            raise MappingError(f"it is done in Tryton with {quantity}; made were {made}")
        case "running" | "done":
            return None
    raise MappingError(f"it is in state {there.state} in Tryton: assign it there")


def _action(there: Production, action: str) -> Request:
    return Request("POST", path_with(f"{PRODUCTIONS}/{there.id}/{action}", f="state"), {})


def _changes(confirmation: Confirmation, there: Production) -> list[list[Any]]:
    """What of the outputs is not as it was made, as changes of a one-to-many field."""
    totals = ((there.good, confirmation.good_total), (there.waste, confirmation.scrap_total))
    changes: list[list[Any]] = [
        ["write", [output.id], {"quantity": total}]
        for output, total in totals
        if output and output.quantity != total
    ]
    if there.waste is None and there.waste_new and confirmation.scrap_total:
        changes.append(["create", [{**there.waste_new, "quantity": confirmation.scrap_total}]])
    return changes


def _is_more(confirmation: Confirmation, answer: Answer) -> bool:
    if not _is_end(confirmation):
        return False
    document = answer.document
    return not isinstance(document, dict) or document.get("state") != "done"


def _taken(confirmation: Confirmation, answer: Answer) -> bool | None:
    if not is_ok(answer):
        return None
    there = _production(answer, confirmation)
    if _is_end(confirmation):
        return there.state == "done" and not _changes(confirmation, there)
    return there.state in STARTED


def _production(answer: Answer, confirmation: Confirmation) -> Production:
    """The one order of an answer. Raises MappingError."""
    rows = rows_at(answer)
    if len(rows) != 1:
        raise MappingError(
            f"Tryton has {len(rows)} orders {confirmation.order_id}: one is expected"
        )
    try:
        return _read(rows[0])
    except (KeyError, TypeError) as error:
        raise MappingError(f"no production order in the answer: {error!r}") from None


def _read(row: Document) -> Production:
    outputs = [
        output
        for output in row["outputs"]
        if output["product"] == row["product"] and output["state"] != "cancelled"
    ]
    if any(output["unit"] != row["unit"] for output in outputs):
        raise MappingError("its outputs are in another unit than the order")
    waste = [output for output in outputs if output["to_location"]["type"] == WASTE]
    good = [output for output in outputs if output not in waste]
    if len(good) != 1 or len(waste) > 1:
        raise MappingError(f"it has {len(good)} outputs and {len(waste)} of waste: one is expected")
    return Production(
        id=row["id"],
        state=row["state"],
        good=_output(good[0]),
        waste=_output(waste[0]) if waste else None,
        waste_new=_waste_of(row),
    )


def _output(row: Document) -> Output:
    return Output(row["id"], row["quantity"])


def _waste_of(row: Document) -> Document | None:
    places = row["warehouse"]["waste_locations"]
    if not places:
        return None
    same = {name: row[name] for name in ("product", "unit", "company")}
    return {**same, "from_location": row["location"], "to_location": places[0]}


def _unseen(*, is_end: bool) -> Production:
    """What stands for the order where it is not asked for: the request as far as it is known."""
    state = "running" if is_end else "assigned"
    return Production("<id>", state, Output("<id>", -1.0), None, {"to_location": "<id>"})


def _orders(cursor: str, skip: int, _terms: Terms) -> Request:
    domain: list[Any] = [["state", "=", "assigned"], ["type", "=", "assembly"]]
    if cursor:
        domain.append(["write_date", ">=", _said(datetime.fromisoformat(cursor))])
    order = ("o", _encoded([["write_date", "ASC"], ["id", "ASC"]]))
    page = [("s", str(ORDERS_A_PAGE)), *([("p", str(skip))] if skip else [])]
    return _search(domain, _ORDER, order, *page)


def _page(answer: Answer) -> Page:
    rows = rows_at(answer)
    last = max((_instant(row, "write_date").isoformat() for row in rows), default="")
    return Page(rows, last, len(rows))


def _order(row: Document, terms: Terms) -> Document:
    unit = _part(row, "unit").get("symbol")
    if unit != terms.unit_there(PIECES):
        raise MappingError(f"unit: {unit!r} is not what `units` says of {PIECES}")
    return {
        "order_id": text_at(row, "number"),
        "item": terms.item_here(text_at(_part(row, "product"), "code")),
        "quantity": whole_pieces(row.get("quantity"), "quantity"),
        "due": _end_of_day(row, terms),
        "revision": int(_instant(row, "write_date").timestamp()),
    }


def _part(row: Document, field: str) -> Document:
    part = row.get(field)
    return part if isinstance(part, dict) else {}


def _end_of_day(row: Document, terms: Terms) -> str | None:
    """An order is planned for a day: it is due when that day is over."""
    if row.get("planned_date") is None:
        return None
    day = _instant(row, "planned_date").date() + timedelta(days=1)
    return datetime.combine(day, time(), ZoneInfo(terms.zone)).isoformat()


def _instant(row: Document, field: str) -> datetime:
    """A time as Tryton's JSON has it, in that of its database; a date is its first instant."""
    part = _part(row, field)
    try:
        year, month, day, hour, minute, second, micro = (int(part.get(one, 0)) for one in _INSTANT)
        return datetime(year, month, day, hour, minute, second, micro, UTC)
    except (TypeError, ValueError):
        raise MappingError(f"{field}: {row.get(field)!r} is no time") from None


def _said(instant: datetime) -> Document:
    return {"__class__": "datetime", **{name: getattr(instant, name) for name in _INSTANT}}


TRYTON: Final = Adapter(
    authorization=lambda key: f"Bearer {key}",
    post=_post,
    ask=lambda confirmation, _terms: _standing(confirmation),
    taken=_taken,
    orders=_orders,
    page=_page,
    order=_order,
    prepare=_prepare,
    is_more=_is_more,
)
