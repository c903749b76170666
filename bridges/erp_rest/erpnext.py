"""PURE: ERPNext over the REST API of Frappe: stock entries out, work orders in.

Told is what the last operation made: ERPNext itself drafts the stock entry of a work order
(`make_stock_entry`, which stores nothing), and we post it submitted, with our key in `remarks`.
"""

import json
from datetime import datetime
from typing import Any, Final
from zoneinfo import ZoneInfo

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
    path_with,
    rows_at,
    text_at,
    whole_pieces,
)
from bridges.erp_rest.errors import MappingError

DRAFT: Final = "/api/method/erpnext.manufacturing.doctype.work_order.work_order.make_stock_entry"
ENTRIES: Final = "/api/resource/Stock Entry"
ORDERS: Final = "/api/resource/Work Order"
SUBMITTED: Final = 1
_OVER: Final = ("Completed", "Stopped", "Closed", "Cancelled")
"""What is submitted still, and not to be made any more."""
_FIELDS: Final = ("name", "production_item", "qty", "planned_end_date", "modified")


def _prepare(confirmation: Confirmation, _terms: Terms) -> Request | None:
    if not _is_told(confirmation):
        return None
    document = {
        "work_order_id": confirmation.order_id,
        "purpose": "Manufacture",
        "qty": confirmation.good,
    }
    return Request("POST", DRAFT, document)


def _post(confirmation: Confirmation, terms: Terms, prepared: Answer | None) -> Request | None:
    if not _is_told(confirmation):
        return None
    draft = _draft(prepared) if prepared else {}
    ours = {"remarks": confirmation.key, "docstatus": SUBMITTED}
    return Request("POST", path_of(ENTRIES), {**draft, **ours, **terms.constants})


def _draft(prepared: Answer) -> Document:
    answer = prepared.document
    draft = answer.get("message") if isinstance(answer, dict) else None
    if not isinstance(draft, dict):
        raise MappingError("no draft of a stock entry in the answer")
    return draft


def _is_told(confirmation: Confirmation) -> bool:
    return confirmation.is_last and confirmation.good > 0


def _ask(confirmation: Confirmation, _terms: Terms) -> Request:
    wanted = [["work_order", "=", confirmation.order_id], ["remarks", "=", confirmation.key]]
    submitted = [*wanted, ["docstatus", "=", SUBMITTED]]
    return Request("GET", path_with(ENTRIES, filters=json.dumps(submitted), fields='["name"]'))


def _taken(_confirmation: Confirmation, answer: Answer) -> bool | None:
    return bool(rows_at(answer, "data")) if is_ok(answer) else None


def _orders(cursor: str, skip: int, _terms: Terms) -> Request:
    filters: list[list[Any]] = [["docstatus", "=", SUBMITTED], ["status", "not in", _OVER]]
    if cursor:
        filters.append(["modified", ">=", cursor])
    path = path_with(
        ORDERS,
        filters=json.dumps(filters),
        fields=json.dumps(_FIELDS),
        order_by="modified asc, name asc",
        limit_page_length=str(ORDERS_A_PAGE),
        **({"limit_start": str(skip)} if skip else {}),
    )
    return Request("GET", path)


def _page(answer: Answer) -> Page:
    rows = rows_at(answer, "data")
    last = max((text_at(row, "modified") for row in rows), default="")
    return Page(rows, last, len(rows))


def _order(row: Document, terms: Terms) -> Document:
    due = row.get("planned_end_date")
    return {
        "order_id": text_at(row, "name"),
        "item": terms.item_here(text_at(row, "production_item")),
        "quantity": whole_pieces(row.get("qty"), "qty"),
        "due": _instant(str(due), terms).isoformat() if due else None,
        "revision": int(_instant(text_at(row, "modified"), terms).timestamp()),
    }


def _instant(text: str, terms: Terms) -> datetime:
    """Frappe writes the system's local time without an offset. Raises MappingError."""
    try:
        return datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(terms.zone))
    except ValueError:
        raise MappingError(f"{text!r} is no time") from None


def path_of(path: str) -> str:
    """A path with its spaces encoded."""
    return path.replace(" ", "%20")


ERPNEXT: Final = Adapter(
    authorization=lambda token: f"token {token}",
    post=_post,
    ask=_ask,
    taken=_taken,
    orders=_orders,
    page=_page,
    order=_order,
    prepare=_prepare,
)
