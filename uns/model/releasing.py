"""The rules of an order: a document -> a fact `released`, or why not. The same for every way in.

Owns what an order must say, how it must agree with the plant, and when it is the same order again.
Knows no file, format, queue or clock. What an ERP also knows of an item (line, routing, bill of
material, unit) is compared with namespace.yaml, never taken over: the plant is said in one place.
"""

import hashlib
import json
from collections.abc import Callable, Mapping
from datetime import datetime
from math import isclose
from typing import Annotated, Any, Final, NamedTuple

from pydantic import BaseModel, ConfigDict, Field, StrictInt, StrictStr, ValidationError

from uns.model.checks import did_you_mean
from uns.model.events import Released, Reply
from uns.model.observation import Fact
from uns.model.path import TopicError, key_of
from uns.model.plant import Plant

ORDER_LENGTH_MAX: Final = 128
QUANTITY_MAX: Final = 10_000_000
REVISION_MAX: Final = 10**16
PARTS_MAX: Final = 200

Document = Mapping[str, Any]
Known = Mapping[str, Document]
"""The bodies of the order's recorded releases, by business key."""


class Order(BaseModel):
    """What an order says: one JSON object with these keys, and no others."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    order_id: Annotated[StrictStr, Field(min_length=1, max_length=ORDER_LENGTH_MAX)]
    """The order's number."""
    item: StrictStr
    """What to make: an item of namespace.yaml with a routing."""
    quantity: Annotated[StrictInt, Field(gt=0, le=QUANTITY_MAX)]
    """Good pieces wanted."""
    due: StrictStr | None = None
    """ISO 8601 with an offset: 2026-11-23T14:00:00+01:00."""
    priority: Annotated[StrictInt, Field(ge=0, le=100)] = 50
    """Higher is more urgent."""
    revision: Annotated[StrictInt, Field(ge=1, le=REVISION_MAX)] = 1
    """Raised with every change of the order."""
    unit: StrictStr | None = None
    """The unit of `quantity`: must be the item's."""
    line: StrictStr | None = None
    """The line that the ERP plans it on, by name or path: must be the item's."""
    operations: Annotated[tuple[StrictStr, ...], Field(max_length=PARTS_MAX)] | None = None
    """The routing as the ERP knows it, cell by cell: must be the item's."""
    bom: Annotated[dict[str, Annotated[float, Field(gt=0)]], Field(max_length=PARTS_MAX)] | None = (
        None
    )
    """The quantity of each component for one piece, as the ERP knows it: must be the item's."""


class New(NamedTuple):
    """The order is new: the fact to record."""

    fact: Fact


class Repeated(NamedTuple):
    """The order is known, word for word: there is nothing to do."""

    reason: str


class Refused(NamedTuple):
    """The order cannot be taken: the key at fault (empty for all of it), why, and the fix."""

    key: str
    reason: str

    def __str__(self) -> str:
        return f"{self.key}: {self.reason}" if self.key else self.reason


Outcome = New | Repeated | Refused


def release(document: Document, plant: Plant, known: Callable[[str], Known], at_ms: int) -> Outcome:
    """Judge an order at plant time `at_ms`. `known` finds what was recorded for an order id."""
    order = _validated(document)
    if isinstance(order, Refused):
        return order
    due_ms = _due_ms(order.due)
    for check in _CHECKS:
        if refused := check(order, plant):
            return refused
    if isinstance(due_ms, Refused):
        return due_ms
    body = _body(order, due_ms)
    line = plant.line_of_item(order.item) or ""
    return _against(known(order.order_id), body) or New(
        Fact(line, Released.type_name, at_ms, body, business_key=business_key(order))
    )


def business_key(order: Order) -> str:
    """What makes a release the same one again."""
    return f"{order.order_id}@{order.revision}"


def reply(path: str, request_id: str, outcome: Outcome, at_ms: int) -> Fact:
    """The answer to a command given at a place. Raises TopicError for an id that is no key."""
    match outcome:
        case New(fact):
            accepted, reason = True, f"order {fact.body['order_id']} released to {fact.path}"
        case Repeated(reason):
            accepted = True
        case Refused():
            accepted, reason = False, str(outcome)
    body = {
        "request_id": request_id,
        "outcome": "accepted" if accepted else "refused",
        "reason": reason,
    }
    return Fact(path, Reply.type_name, at_ms, body, key=key_of(request_id))


def _validated(document: Document) -> Order | Refused:
    try:
        order = Order.model_validate(document)
        key_of(order.order_id)
    except ValidationError as error:
        first, *more = error.errors(include_url=False)
        key = str(first["loc"][0]) if first["loc"] else ""
        also = f" (and {len(more)} more)" if more else ""
        return Refused(key, _about_fault(first["type"], key, first["msg"]) + also)
    except TopicError as error:
        return Refused("order_id", f"{error}: shorten it")
    return order


def _about_fault(kind: str, key: str, message: str) -> str:
    if kind == "extra_forbidden":
        return f"unknown key{did_you_mean(key, Order.model_fields)}"
    return "missing: add it" if kind == "missing" else message


def _check_item(order: Order, plant: Plant) -> Refused | None:
    if plant.line_of_item(order.item):
        return None
    if order.item in plant.items:
        return Refused("item", f"item {order.item!r} has no routing: no line makes it")
    made = [name for name, one in plant.items.items() if one.routing]
    return Refused("item", f"unknown item {order.item!r}{did_you_mean(order.item, made)}")


def _check_unit(order: Order, plant: Plant) -> Refused | None:
    unit = plant.items[order.item].unit
    if order.unit in (None, unit):
        return None
    return Refused("unit", f"item {order.item!r} is counted in {unit}, not in {order.unit!r}")


def _check_line(order: Order, plant: Plant) -> Refused | None:
    if order.line is None:
        return None
    made_at = plant.line_of_item(order.item) or ""
    meant = [line for line in plant.lines if f"/{line}".endswith(f"/{order.line}")]
    if made_at in meant:
        return None
    if not meant:
        names = [line.rpartition("/")[2] for line in plant.lines]
        return Refused("line", f"unknown line {order.line!r}{did_you_mean(order.line, names)}")
    return Refused("line", f"item {order.item!r} is made at {made_at}, not at {order.line!r}")


def _check_operations(order: Order, plant: Plant) -> Refused | None:
    ours = [path.rpartition("/")[2] for path in plant.operations(order.item)]
    if order.operations is None or list(order.operations) == ours:
        return None
    theirs, wanted = " > ".join(order.operations), " > ".join(ours)
    return Refused("operations", f"the routing of {order.item!r} is {wanted}, not {theirs}")


def _check_bom(order: Order, plant: Plant) -> Refused | None:
    ours = plant.items[order.item].bom
    for part in order.bom or {}:
        if part not in plant.items:
            return Refused("bom", f"unknown item {part!r}{did_you_mean(part, plant.items)}")
    for part in {**ours, **order.bom} if order.bom is not None else {}:
        theirs, wanted = (order.bom or {}).get(part, 0.0), ours.get(part, 0.0)
        if not isclose(theirs, wanted, rel_tol=1e-6):
            said = f"{wanted:g} of {part!r} go into one {order.item!r}, not {theirs:g}"
            return Refused("bom", said)
    return None


_CHECKS: Final[tuple[Callable[[Order, Plant], Refused | None], ...]] = (
    _check_item,
    _check_unit,
    _check_line,
    _check_operations,
    _check_bom,
)


def _due_ms(due: str | None) -> int | Refused | None:
    if due is None:
        return None
    try:
        at = datetime.fromisoformat(due)
    except ValueError:
        return Refused("due", f"{due!r} is no ISO 8601 time: write 2026-11-23T14:00:00+01:00")
    if at.utcoffset() is None:
        return Refused("due", f"{due!r} has no offset: add +01:00 or Z")
    since_1970_ms = round(at.timestamp() * 1000)
    return since_1970_ms if since_1970_ms >= 0 else Refused("due", f"{due!r} is before 1970")


def _body(order: Order, due_ms: int | None) -> dict[str, Any]:
    body = {
        "order_id": order.order_id,
        "item": order.item,
        "quantity": order.quantity,
        "due_ms": due_ms,
        "priority": order.priority,
        "revision": order.revision,
    }
    content = json.dumps(body, sort_keys=True).encode()
    return {**body, "content_hash": hashlib.sha256(content).hexdigest()}


def _against(recorded: Known, body: Document) -> Repeated | Refused | None:
    """What an order is beside the recorded releases of its id; None when it adds to them."""
    name, revision = body["order_id"], body["revision"]
    newest = max((one["revision"] for one in recorded.values()), default=0)
    for one in recorded.values():
        if one["revision"] != revision:
            continue
        if one["content_hash"] == body["content_hash"]:
            return Repeated(f"order {name} revision {revision} is known already: nothing to do")
        reason = f"order {name} revision {revision} is known with other content"
        return Refused("revision", f"{reason}: raise the revision above {newest}")
    if revision < newest:
        return Refused("revision", f"order {name} is at revision {newest} already")
    return None
