"""PURE: SAP S/4HANA over OData V2: production order confirmations out, production orders in.

API_PROD_ORDER_CONFIRMATION_2_SRV (communication scenario SAP_COM_0522) and
API_PRODUCTION_ORDER_2_SRV. A change wants a CSRF token and the session's cookies, which a read with
`X-CSRF-Token: Fetch` gives. Our key stands in ConfirmationText: that is what is asked for.
"""

import base64
import re
from datetime import UTC, date, datetime, time
from hashlib import sha256
from typing import Any, Final

from bridges.erp_rest.confirmation import Confirmation, Consumption
from bridges.erp_rest.contract import (
    ORDERS_A_PAGE,
    PIECES,
    Adapter,
    Answer,
    Document,
    Page,
    Request,
    Terms,
    instant_of,
    is_ok,
    path_with,
    rows_at,
    text_at,
    whole_pieces,
)
from bridges.erp_rest.errors import MappingError

CONFIRMATIONS: Final = "/sap/opu/odata/sap/API_PROD_ORDER_CONFIRMATION_2_SRV/ProdnOrdConf2"
ORDERS: Final = "/sap/opu/odata/sap/API_PRODUCTION_ORDER_2_SRV/A_ProductionOrder_2"
TEXT_LENGTH_MAX: Final = 40
MINUTE_MS: Final = 60_000
CONSUMPTION: Final = "261"
"""Movement type: goods issue for an order."""
_JSON: Final = ("Accept", "application/json")
_CHANGED: Final = "LastChangeDateTime"
_YES: Final = "X"
_OVER: Final = (
    "OrderIsConfirmed",
    "OrderIsDelivered",
    "OrderIsTechnicallyCompleted",
    "OrderIsClosed",
    "OrderIsDeleted",
)
"""What is released there still, and not to be made any more."""
_ENDED: Final = frozenset({"completed", "closed"})
_DATE: Final = re.compile(r"/Date\((-?\d{1,18})(?:[+-]\d+)?\)/")
_TIME: Final = re.compile(r"PT(\d{1,2})H(\d{1,2})M(\d{1,2})S")


def _is_told(confirmation: Confirmation) -> bool:
    """An order that was cancelled before it began leaves nothing to confirm."""
    return not confirmation.is_empty or _is_final(confirmation)


def _is_final(confirmation: Confirmation) -> bool:
    return confirmation.final and confirmation.status in _ENDED


def _prepare(confirmation: Confirmation, _terms: Terms) -> Request | None:
    if not _is_told(confirmation):
        return None
    path = CONFIRMATIONS.rpartition("/")[0] + "/"
    return Request("GET", path, None, (("X-CSRF-Token", "Fetch"), _JSON))


def _post(confirmation: Confirmation, terms: Terms, prepared: Answer | None) -> Request | None:
    if not _is_told(confirmation):
        return None
    session = _session(prepared) if prepared else ()
    return Request("POST", CONFIRMATIONS, _body(confirmation, terms), (*session, _JSON))


def _session(prepared: Answer) -> tuple[tuple[str, str], ...]:
    """The headers of a session that may change something."""
    tokens = prepared.values("x-csrf-token")
    if not tokens:
        raise MappingError("no x-csrf-token in the answer: is the url that of an OData service?")
    cookies = "; ".join(one.partition(";")[0] for one in prepared.values("set-cookie"))
    return ("X-CSRF-Token", tokens[0]), ("Cookie", cookies)


def _body(confirmation: Confirmation, terms: Terms) -> Document:
    number = f"{confirmation.operation_number:04d}"
    times = {
        "OpConfirmedWorkQuantity1": confirmation.setup_ms,
        "OpConfirmedWorkQuantity2": confirmation.run_ms,
    }
    minutes = {name: f"{ms / MINUTE_MS:.3f}" for name, ms in times.items()}
    midnight = datetime.combine(date.fromisoformat(confirmation.day), time(), UTC)
    return {
        "OrderID": confirmation.order_id,
        "Sequence": "0",
        "OrderOperation": terms.operations.get(confirmation.operation, number),
        "ConfirmationText": confirmation_text(confirmation.key),
        "ConfirmationUnit": terms.unit_there(PIECES),
        "ConfirmationYieldQuantity": str(confirmation.good),
        "ConfirmationScrapQuantity": str(confirmation.scrap),
        "ConfirmationReworkQuantity": str(confirmation.rework),
        "IsFinalConfirmation": _is_final(confirmation),
        "PostingDate": f"/Date({int(midnight.timestamp() * 1000)})/",
        "OpWorkQuantityUnit1": "MIN",
        "OpWorkQuantityUnit2": "MIN",
        **minutes,
        **terms.constants,
        "to_ProdnOrdConfMatlDocItm": {
            "results": [_movement(confirmation, one, terms) for one in confirmation.consumed]
        },
    }


def _movement(confirmation: Confirmation, consumed: Consumption, terms: Terms) -> Document:
    known = {"Plant": terms.constants.get("Plant"), "Batch": consumed.lot}
    return {
        "OrderID": confirmation.order_id,
        "Material": terms.item_there(consumed.item),
        "GoodsMovementType": CONSUMPTION,
        "QuantityInEntryUnit": f"{consumed.quantity:.3f}",
        "EntryUnit": terms.unit_there(consumed.unit),
        **{name: value for name, value in known.items() if value},
    }


def confirmation_text(key: str) -> str:
    """A key as it fits ConfirmationText: itself, or its digest."""
    return (
        key if len(key) <= TEXT_LENGTH_MAX else sha256(key.encode()).hexdigest()[:TEXT_LENGTH_MAX]
    )


def _ask(confirmation: Confirmation, _terms: Terms) -> Request:
    order, text = _quoted(confirmation.order_id), _quoted(confirmation_text(confirmation.key))
    wanted = f"OrderID eq {order} and ConfirmationText eq {text}"
    path = path_with(CONFIRMATIONS, _filter=wanted, _top="1", _format="json")
    return Request("GET", path, None, (_JSON,))


def _taken(_confirmation: Confirmation, answer: Answer) -> bool | None:
    return bool(rows_at(answer, "d", "results")) if is_ok(answer) else None


def _orders(cursor: str, skip: int, _terms: Terms) -> Request:
    since = f" and LastChangeDateTime ge datetimeoffset'{cursor}'" if cursor else ""
    path = path_with(
        ORDERS,
        _filter=f"OrderIsReleased eq 'X'{since}",
        _orderby="LastChangeDateTime,ManufacturingOrder",
        _top=str(ORDERS_A_PAGE),
        **({"_skip": str(skip)} if skip else {}),
        _format="json",
    )
    return Request("GET", path, None, (_JSON,))


def _page(answer: Answer) -> Page:
    rows = rows_at(answer, "d", "results")
    if not rows:
        return Page([], "", 0)
    open_rows = [row for row in rows if not any(row.get(flag) == _YES for flag in _OVER)]
    last_ms = max(map(_changed_ms, rows))
    if not last_ms:
        return Page(open_rows, "", len(rows))
    last = instant_of(last_ms, _CHANGED).replace(tzinfo=None, microsecond=0)
    return Page(open_rows, f"{last.isoformat()}Z", len(rows))


def _order(row: Document, terms: Terms) -> Document:
    due_ms = _instant_ms(row, "MfgOrderPlannedEndDate") + _of_day_ms(row, "MfgOrderPlannedEndTime")
    return {
        "order_id": text_at(row, "ManufacturingOrder").lstrip("0"),
        "item": terms.item_here(text_at(row, "Material").lstrip("0")),
        "quantity": whole_pieces(row.get("TotalQuantity"), "TotalQuantity"),
        "due": instant_of(due_ms, "MfgOrderPlannedEndDate").isoformat(),
        "revision": max(1, _changed_ms(row) // 1000),
    }


def _changed_ms(row: Document) -> int:
    """When it was changed last; 0 for an order that never was."""
    return 0 if row.get(_CHANGED) is None else _instant_ms(row, _CHANGED)


def _instant_ms(row: Document, field: str) -> int:
    """OData V2 writes an instant as `/Date(ms)/`, with or without an offset in minutes."""
    found = _DATE.fullmatch(str(row.get(field)))
    if not found:
        raise MappingError(f"{field}: {row.get(field)!r} is no /Date(…)/")
    return int(found[1])


def _of_day_ms(row: Document, field: str) -> int:
    found = _TIME.fullmatch(str(row.get(field)))
    hours, minutes, seconds = map(int, found.groups()) if found else (0, 0, 0)
    return ((hours * 60 + minutes) * 60 + seconds) * 1000


def _quoted(value: Any) -> str:
    """A text of OData: a quote is doubled."""
    return "'" + str(value).replace("'", "''") + "'"


SAP: Final = Adapter(
    authorization=lambda token: f"Basic {base64.b64encode(token.encode()).decode()}",
    post=_post,
    ask=_ask,
    taken=_taken,
    orders=_orders,
    page=_page,
    order=_order,
    prepare=_prepare,
)
