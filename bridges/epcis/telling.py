"""PURE: what a cell made, and what went into it -> the EPCIS event that tells it.

Owns which event that is and its words. Knows no record and no file.
"""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo

from bridges.epcis.event_hash import hash_id
from bridges.epcis.identity import Names
from bridges.epcis.vocabulary import GS1_CONTEXT, LOT_NUMBER, PIECES, UOMS
from uns.model.made import Made, Used


def event_of(made: Made, names: Names, time_zone: ZoneInfo) -> dict[str, Any]:
    """The event that tells it: a transformation, or where nothing went in, that things began."""
    at = datetime.fromtimestamp(made.at_ms / 1000, time_zone)
    is_unit = made.thing.is_unit
    event: dict[str, Any] = {
        "type": "TransformationEvent" if made.used else "ObjectEvent",
        "eventTime": at.isoformat(timespec="milliseconds"),
        "eventTimeZoneOffset": at.isoformat()[-6:],
        **_sides(made, names),
        "bizStep": "commissioning" if is_unit else "creating_class_instance",
        "disposition": "active",
        "readPoint": {"id": names.place(made.cell)},
        "bizLocation": {"id": names.place(made.cell.rpartition("/")[0])},
    }
    if made.order_id:
        order = {"type": "prodorder", "bizTransaction": names.order(made.order_id)}
        event["bizTransactionList"] = [order]
    if is_unit and made.lot != made.thing.id:
        event["ilmd"] = {LOT_NUMBER: made.lot}
    return {"eventID": hash_id(event, {}), **event}


def _sides(made: Made, names: Names) -> dict[str, Any]:
    out = Used(made.thing, made.quantity, made.unit)
    if not made.used:
        return {**_listings("epcList", "quantityList", [out], names), "action": "ADD"}
    return {
        **_listings("inputEPCList", "inputQuantityList", made.used, names),
        **_listings("outputEPCList", "outputQuantityList", [out], names),
    }


def _listings(epcs: str, quantities: str, used: Sequence[Used], names: Names) -> dict[str, Any]:
    """A unit is an EPC; a lot is a quantity of its class, without `uom` if it is in pieces.

    A unit of measure that has no code of UN/ECE leaves the quantity unsaid.
    """
    units = list(dict.fromkeys(names.thing(u.thing) for u in used if u.thing.is_unit))
    lots = [_element(u, names) for u in used if not u.thing.is_unit]
    return {**({epcs: units} if units else {}), **({quantities: lots} if lots else {})}


def _element(used: Used, names: Names) -> dict[str, Any]:
    element: dict[str, Any] = {"epcClass": names.thing(used.thing)}
    number = int(used.quantity) if float(used.quantity).is_integer() else used.quantity
    if used.unit == PIECES:
        return {**element, "quantity": number}
    code = UOMS.get(used.unit)
    return {**element, "quantity": number, "uom": code} if code else element


def document_head(creation_ms: int) -> dict[str, Any]:
    """What stands before the events of a document."""
    at = datetime.fromtimestamp(creation_ms / 1000, UTC)
    return {
        "@context": [GS1_CONTEXT],
        "type": "EPCISDocument",
        "schemaVersion": "2.0",
        "creationDate": f"{at.replace(tzinfo=None).isoformat(timespec='milliseconds')}Z",
    }
