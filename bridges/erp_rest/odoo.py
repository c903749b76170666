"""PURE: Odoo 19 over its External JSON-2 API: `POST /json/2/<model>/<method>`, named arguments.

Told is the quantity of the work order (`mrp.workorder`, `qty_produced`): the total, so that telling
it twice is telling it once. That a manufacturing order is done is left to Odoo, which asks people
for lots and back-orders then; consumption follows from its bill of materials.
"""

import re
from datetime import UTC, datetime
from typing import Any, Final

from bridges.erp_rest.confirmation import Confirmation
from bridges.erp_rest.contract import (
    ORDERS_A_PAGE,
    Adapter,
    Answer,
    Document,
    Page,
    Request,
    Terms,
    is_ok,
    rows_at,
    text_at,
    whole_pieces,
)
from bridges.erp_rest.errors import MappingError

WORK_ORDERS: Final = "/json/2/mrp.workorder"
ORDERS: Final = "/json/2/mrp.production/search_read"
_CODE: Final = re.compile(r"\[([^\]]+)\]")
_PRIORITIES: Final = {"0": 50, "1": 90}
"""Odoo knows normal and urgent."""


def _work_order(confirmation: Confirmation, terms: Terms) -> Request:
    name = terms.operations.get(confirmation.operation, confirmation.operation)
    document = {
        "domain": [["production_id.name", "=", confirmation.order_id], ["name", "=", name]],
        "fields": ["id", "qty_produced"],
        "limit": 1,
    }
    return Request("POST", f"{WORK_ORDERS}/search_read", document)


def _prepare(confirmation: Confirmation, terms: Terms) -> Request | None:
    return _work_order(confirmation, terms) if confirmation.good else None


def _post(confirmation: Confirmation, terms: Terms, prepared: Answer | None) -> Request | None:
    if not confirmation.good:
        return None
    ids = [row.get("id") for row in rows_at(prepared)] if prepared else []
    if prepared and not ids:
        name = terms.operations.get(confirmation.operation, confirmation.operation)
        raise MappingError(f"{confirmation.order_id} has no work order {name!r}: see `operations`")
    values = {"qty_produced": confirmation.good_total, **terms.constants}
    return Request("POST", f"{WORK_ORDERS}/write", {"ids": ids, "vals": values})


def _taken(confirmation: Confirmation, answer: Answer) -> bool | None:
    rows = rows_at(answer) if is_ok(answer) else []
    stands = rows[0].get("qty_produced") if rows else None
    return stands >= confirmation.good_total if isinstance(stands, int | float) else None


def _orders(cursor: str, skip: int, _terms: Terms) -> Request:
    domain: list[list[Any]] = [["state", "in", ["confirmed", "progress"]]]
    if cursor:
        domain.append(["write_date", ">=", cursor])
    document = {
        "domain": domain,
        "fields": ["name", "product_id", "product_qty", "date_deadline", "priority", "write_date"],
        "order": "write_date, id",
        "limit": ORDERS_A_PAGE,
        **({"offset": skip} if skip else {}),
    }
    return Request("POST", ORDERS, document)


def _page(answer: Answer) -> Page:
    rows = rows_at(answer)
    last = max((text_at(row, "write_date") for row in rows), default="")
    return Page(rows, last, len(rows))


def _order(row: Document, terms: Terms) -> Document:
    due = row.get("date_deadline")
    return {
        "order_id": text_at(row, "name"),
        "item": terms.item_here(_code(row)),
        "quantity": whole_pieces(row.get("product_qty"), "product_qty"),
        "due": _instant(text_at(row, "date_deadline")).isoformat() if due else None,
        "priority": _PRIORITIES.get(str(row.get("priority")), 50),
        "revision": int(_instant(text_at(row, "write_date")).timestamp()),
    }


def _code(row: Document) -> str:
    """The internal reference out of `[7, "[FG-100] Pump A"]`, or the whole name."""
    match row.get("product_id"):
        case [_, str(name)]:
            found = _CODE.match(name)
            return found[1] if found else name
    raise MappingError(f"product_id: {row.get('product_id')!r} is no [id, name]")


def _instant(text: str) -> datetime:
    """Odoo writes UTC without saying so. Raises MappingError."""
    try:
        return datetime.fromisoformat(text).replace(tzinfo=UTC)
    except ValueError:
        raise MappingError(f"{text!r} is no time") from None


ODOO: Final = Adapter(
    authorization=lambda token: f"bearer {token}",
    post=_post,
    ask=_work_order,
    taken=_taken,
    orders=_orders,
    page=_page,
    order=_order,
    prepare=_prepare,
)
