"""PURE: an EPCIS event -> the facts that go on record, or why it does not.

Every sound event goes on record as it was told. What it says of material at a cell that this bridge
reads is consumption and production besides. Owns that, and no file, format or clock.
"""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, Final, NamedTuple

from bridges.epcis.checks import FAULTS_MAX, faults_of_event
from bridges.epcis.config import EpcisSettings
from bridges.epcis.event_hash import hash_id, namespaces_of
from bridges.epcis.forms import Fault
from bridges.epcis.identity import Names, names_of
from bridges.epcis.vocabulary import LOT_NUMBER, PIECES, UOMS
from uns.model.checks import Finding, did_you_mean
from uns.model.events import (
    IDENTIFIER_LENGTH_MAX,
    TRACED_LENGTH_MAX,
    WORDS_LENGTH_MAX,
    Consumed,
    Produced,
    Traced,
)
from uns.model.made import Thing
from uns.model.observation import Fact
from uns.model.plant import Plant

PROTOCOL: Final = "epcis"
SAID_LENGTH_MAX: Final = 90_000
MATERIAL_MAX: Final = 1_000
MILLIONTHS: Final = 1_000_000
QUANTITY_MAX: Final = 1e12
_UNITS: Final = {uom: unit for unit, uom in UOMS.items()}


class Terms(NamedTuple):
    """What events are judged by. home: the site's path; cells: those this bridge reads."""

    home: str
    names: Names
    cells: frozenset[str]


class Refused(NamedTuple):
    """Why an event does not go on record: each fault with its place and fix."""

    faults: tuple[Fault, ...]

    def __str__(self) -> str:
        return "; ".join(map(str, self.faults))


def terms_of(settings: EpcisSettings, plant: Plant, cells: Iterable[str]) -> Terms:
    """The terms of a bridge."""
    site = settings.site or next(iter(plant.sites))
    return Terms(f"{plant.enterprise}/{site}", names_of(settings, plant), frozenset(cells))


def findings(plant: Plant) -> Iterator[Finding]:
    """What the settings name that the plant does not have, and GS1 keys that stand twice."""
    places = {path[:n] for path in plant.cells for n, char in enumerate(path) if char == "/"}
    known = {"site": [*plant.sites], "items": [*plant.items], "places": [*places, *plant.cells]}
    for name, bridge in plant.bridges.items():
        if bridge.protocol != PROTOCOL:
            continue
        where = ("bridges", name)
        settings = EpcisSettings.model_validate(bridge.settings)
        if settings.site is not None and settings.site not in plant.sites:
            hint = did_you_mean(settings.site, known["site"])
            yield (*where, "site"), f"unknown site '{settings.site}'{hint}"
        for key, table in (("items", settings.items), ("places", settings.places)):
            for one in table:
                if one not in known[key]:
                    hint = did_you_mean(one, known[key])
                    yield (*where, key, one), f"unknown {key[:-1]} '{one}'{hint}"
            twice = {k for k in table.values() if list(table.values()).count(k) > 1}
            yield from (((*where, key), f"{k} names more than one of them") for k in twice)


def facts_of(event: Any, context: Any, terms: Terms) -> tuple[Fact, ...] | Refused:
    """The facts that an event becomes: what was told first. context: its document's @context.

    The business key of what was told is the event's hash id, of its declaration as an error that
    and the time of the declaration.
    """
    try:
        if faults := faults_of_event(event):
            return Refused(tuple(faults))
        told = _told(event, context, terms)
    except UnicodeEncodeError:
        return _refused("", "a text holds half a surrogate pair")
    except RecursionError:
        return _refused("", "nested too deep")
    material = _misfit(told) or _material(event, terms)
    if isinstance(material, Refused):
        return material
    return (told, *(_fact(n, one, told) for n, one in enumerate(material)))


def _refused(place: str, said: str) -> Refused:
    return Refused((Fault(place, said),))


def _misfit(told: Fact) -> Refused | None:
    """Why an event does not fit the record."""
    document = told.body["document"]
    if told.at_ms < 0:
        return _refused("eventTime", "lies before 1970")
    if len(document) > TRACED_LENGTH_MAX or len(json.dumps(document)) > SAID_LENGTH_MAX:
        said = f"longer than {TRACED_LENGTH_MAX} characters: split its lists into several events"
        return _refused("", said)
    return None


def key_of(event_id: str, event: Mapping[str, Any]) -> str:
    """What makes an event, or its declaration as an error, the same one again."""
    declared = event.get("errorDeclaration")
    error = f":error:{declared['declarationTime']}" if declared else ""
    return f"{PROTOCOL}:{event_id}{error}"


def with_context(event: Mapping[str, Any], context: Any) -> dict[str, Any]:
    """The event with all of its @context: its document's, and what it says itself."""
    parts = [*_listed(context), *_listed(event.get("@context"))]
    once = [part for n, part in enumerate(parts) if part not in parts[:n]]
    return {"@context": once, **{k: v for k, v in event.items() if k != "@context"}}


def _listed(context: Any) -> list[Any]:
    if context is None:
        return []
    return context if isinstance(context, list) else [context]


def _told(event: Mapping[str, Any], context: Any, terms: Terms) -> Fact:
    whole = with_context(event, context)
    event_id, step = hash_id(event, namespaces_of(whole["@context"])), event.get("bizStep")
    body = {
        "event_id": event_id,
        "event_type": event["type"][:IDENTIFIER_LENGTH_MAX],
        "action": event.get("action"),
        "biz_step": step[:WORDS_LENGTH_MAX] if step else None,
        "is_error_declared": "errorDeclaration" in event,
        "document": json.dumps(whole, separators=(",", ":")),
    }
    given = {name: value for name, value in body.items() if value is not None}
    at_ms, key = _at_ms(event["eventTime"]), key_of(event_id, event)
    return Fact(terms.home, Traced.type_name, at_ms, given, business_key=key)


def _at_ms(text: str) -> int:
    moment = datetime.fromisoformat(text) - datetime.fromisoformat("1970-01-01T00:00:00Z")
    return moment // timedelta(milliseconds=1)


class _Moved(NamedTuple):
    """A quantity of a thing that was consumed or produced at a cell, as the body of a fact."""

    cell: str
    type: str
    body: Mapping[str, Any]


def _fact(number: int, moved: _Moved, told: Fact) -> Fact:
    key = f"{told.business_key}:{number}"
    return Fact(moved.cell, moved.type, told.at_ms, moved.body, business_key=key)


class _Quantity(NamedTuple):
    thing: Thing
    quantity: float
    unit: str


def _material(event: Mapping[str, Any], terms: Terms) -> list[_Moved] | Refused:
    """What an event says of the material of a cell of ours; nothing if there is an error in it."""
    cell = _cell_of(event, terms)
    is_made = event["type"] == "ObjectEvent" and event["action"] == "ADD"
    if cell is None or "errorDeclaration" in event:
        return []
    if not is_made and event["type"] != "TransformationEvent":
        return []
    used = [] if is_made else _quantities(event, "inputEPCList", "inputQuantityList", terms.names)
    out = ("epcList", "quantityList") if is_made else ("outputEPCList", "outputQuantityList")
    made = _quantities(event, *out, terms.names)
    faults = [one for one in (*used, *made, *_ids(event, terms.names)) if isinstance(one, Fault)]
    if len(made) * (len(used) + 1) > MATERIAL_MAX:
        faults.append(Fault("", f"moves more than {MATERIAL_MAX} lots and units at once"))
    if faults:
        return Refused(tuple(faults[:FAULTS_MAX]))
    lot, order_id = (one or None for one in _ids(event, terms.names))
    inputs = [one for one in used if isinstance(one, _Quantity)]
    outputs = [one for one in made if isinstance(one, _Quantity)]
    moves = _moves(inputs, outputs, str(lot) if lot else None)
    return [
        _Moved(cell, type_name, {**body, **({"order_id": order_id} if order_id else {})})
        for type_name, body in moves
    ]


def _moves(
    inputs: Sequence[_Quantity], outputs: Sequence[_Quantity], lot: str | None
) -> Iterator[tuple[str, dict[str, Any]]]:
    """Each output takes an equal share of all that went in: EPCIS does not say how much."""
    for n, one in enumerate(outputs or [None]):
        for used in inputs:
            share = used._replace(quantity=_share(used.quantity, n, len(outputs) or 1))
            yield Consumed.type_name, {"lot": share.thing.id, **_amount(share)}
        if one:
            unit_id = {"unit_id": one.thing.id} if one.thing.is_unit else {}
            made_lot = lot if lot and one.thing.is_unit else one.thing.id
            yield Produced.type_name, {"lot": made_lot, **unit_id, **_amount(one)}


def _share(quantity: float, n: int, parts: int) -> float:
    """The share of the n-th part, in millionths, so that all of them add up."""
    if parts == 1:
        return quantity
    whole = round(quantity * MILLIONTHS)
    return (whole * (n + 1) // parts - whole * n // parts) / MILLIONTHS


def _amount(moved: _Quantity) -> dict[str, Any]:
    item = {"item": moved.thing.item} if moved.thing.item else {}
    return {**item, "quantity": moved.quantity, "unit": moved.unit}


def _cell_of(event: Mapping[str, Any], terms: Terms) -> str | None:
    for name in ("readPoint", "bizLocation"):
        path = terms.names.place_of(event.get(name, {}).get("id", ""))
        if path in terms.cells:
            return path
    return None


def _ids(event: Mapping[str, Any], names: Names) -> tuple[str | Fault, str | Fault]:
    """The lot of the units and the order that an event names; empty where it names none."""
    lot = event.get("ilmd", {}).get(LOT_NUMBER) or ""
    orders = [
        names.order_of(one["bizTransaction"])
        for one in event.get("bizTransactionList", ())
        if one.get("type") == "prodorder"
    ]
    order_id = orders[0] if orders else ""
    return (
        _identifier(lot, f"ilmd.{LOT_NUMBER}"),
        _identifier(order_id, "bizTransactionList"),
    )


def _identifier(value: Any, place: str) -> str | Fault:
    if isinstance(value, str) and len(value) <= IDENTIFIER_LENGTH_MAX:
        return value
    return Fault(place, f"no id of at most {IDENTIFIER_LENGTH_MAX} characters")


def _quantities(
    event: Mapping[str, Any], epcs: str, classes: str, names: Names
) -> list[_Quantity | Fault]:
    units = [_unit(uri, f"{epcs}[{n}]", names) for n, uri in enumerate(event.get(epcs, ()))]
    lots = [_lot(one, f"{classes}[{n}]", names) for n, one in enumerate(event.get(classes, ()))]
    return [*units, *lots]


def _unit(uri: str, place: str, names: Names) -> _Quantity | Fault:
    thing = names.thing_of(uri, is_unit=True)
    if thing is None or not 0 < len(thing.id) <= IDENTIFIER_LENGTH_MAX:
        return Fault(place, "names no unit that fits the record")
    return _Quantity(thing, 1, PIECES)


def _lot(element: Mapping[str, Any], place: str, names: Names) -> _Quantity | Fault:
    thing, quantity = names.thing_of(element["epcClass"], is_unit=False), element.get("quantity")
    if thing is None or not 0 < len(thing.id) <= IDENTIFIER_LENGTH_MAX:
        return Fault(f"{place}.epcClass", "names no lot: this cell's material is kept by lot")
    if quantity is None or not 0 <= quantity <= QUANTITY_MAX:
        return Fault(f"{place}.quantity", "say how much: this cell's material is counted")
    uom = element.get("uom")
    return _Quantity(thing, quantity, _UNITS.get(uom, uom) if uom else PIECES)
