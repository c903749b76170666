"""PURE: a counterpart that speaks our own documents; the contract to build a gateway to.

POST /confirmations takes a confirmation, its key in `Idempotency-Key`; GET /confirmations/<key>
is 200 when it was taken and 404 when it was not; GET /orders?after=<cursor>&limit=<n> gives
`{"orders": [order, …], "cursor": "…"}`.
"""

from typing import Final
from urllib.parse import quote

from bridges.erp_rest.confirmation import Confirmation
from bridges.erp_rest.contract import (
    NOT_FOUND,
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
)

CONFIRMATIONS: Final = "/confirmations"


def _post(confirmation: Confirmation, terms: Terms, _prepared: Answer | None) -> Request:
    document = confirmation.model_dump()
    words = {
        "item": terms.item_there(confirmation.item),
        "operation": terms.operations.get(confirmation.operation, confirmation.operation),
        "consumed": [
            {
                **one.model_dump(),
                "item": terms.item_there(one.item),
                "unit": terms.unit_there(one.unit),
            }
            for one in confirmation.consumed
        ],
    }
    headers = (("Idempotency-Key", quote(confirmation.key, safe="@#.")),)
    return Request("POST", CONFIRMATIONS, {**document, **words, **terms.constants}, headers)


def _ask(confirmation: Confirmation, _terms: Terms) -> Request:
    return Request("GET", f"{CONFIRMATIONS}/{quote(confirmation.key, safe='')}")


def _taken(_confirmation: Confirmation, answer: Answer) -> bool | None:
    return False if answer.status == NOT_FOUND else is_ok(answer) or None


def _orders(cursor: str, _skip: int, _terms: Terms) -> Request:
    """The cursor is the counterpart's own: it stands behind an order, never among several."""
    return Request("GET", path_with("/orders", after=cursor, limit=str(ORDERS_A_PAGE)))


def _page(answer: Answer) -> Page:
    rows = rows_at(answer, "orders")
    return Page(rows, text_at(answer.document, "cursor") if rows else "", len(rows))


def _order(row: Document, terms: Terms) -> Document:
    return {**row, "item": terms.item_here(text_at(row, "item"))}


GENERIC: Final = Adapter(
    authorization=lambda token: f"Bearer {token}",
    post=_post,
    ask=_ask,
    taken=_taken,
    orders=_orders,
    page=_page,
    order=_order,
)
