"""PURE: what an event of EPCIS 2.0 must look like, and where one does not: place and fix.

States the rules of the standard's JSON binding (EPCIS 2.0, 9 and 10; GS1's JSON schema) as tables.
Knows no plant: whether we can use what an event says is mapping.py's to judge.
"""

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final, NamedTuple

from bridges.epcis import vocabulary as words
from bridges.epcis.forms import (
    URI,
    Check,
    Fault,
    boolean,
    each,
    fields,
    form,
    number,
    shown,
    text,
    time,
    uri,
    word,
)
from uns.model.checks import did_you_mean

FAULTS_MAX: Final = 5
_OFFSET: Final = re.compile(r"[+-]((0\d|1[0-3]):[0-5]\d|14:00)")
_UOM: Final = re.compile(r"[A-Z0-9]{2,3}")
_HEX: Final = re.compile(r"[0-9A-Fa-f]+")
_VERSION: Final = re.compile(r"\d+(\.\d+)*")
_OF_CBV: Final = re.compile(r"urn:epcglobal:cbv|https?://ns\.gs1\.org/cbv/")
_OF_VOC: Final = re.compile(r"https?://(www\.)?gs1\.org/voc/")

_OPEN: Final = fields({}, is_open=True)
_AN_ID: Final = fields({"id": uri}, ("id",))


def _location(value: Any, place: str) -> Iterator[Fault]:
    """A place, of which users may say what they like."""
    known = {k: v for k, v in value.items() if k == "id"} if isinstance(value, dict) else value
    yield from _AN_ID(known, place)


_EPCS: Final = each(uri, unique=True)
_QUANTITIES: Final = each(
    fields(
        {
            "epcClass": uri,
            "quantity": number,
            "uom": form(_UOM, "no code of UN/ECE Recommendation 20: kg is KGM"),
        },
        ("epcClass",),
    )
)
_PARTY: Final = word(words.PARTY_TYPES, closed=_OF_CBV)
_DISPOSITION: Final = word(words.DISPOSITIONS, closed=_OF_CBV)
_BIZ: Final = word(words.TRANSACTION_TYPES, closed=_OF_CBV)


def _parties(entry: str) -> Check:
    return each(fields({"type": _PARTY, entry: uri}, ("type", entry)))


_DEVICE: Final[dict[str, Check]] = {
    **dict.fromkeys(
        ("deviceID", "deviceMetadata", "rawData", "dataProcessingMethod", "bizRules"), uri
    ),
    "time": time,
}
_METADATA: Final = fields({**_DEVICE, "startTime": time, "endTime": time}, is_open=True)
_REPORT: Final = fields(
    {
        **_DEVICE,
        "type": word(words.MEASUREMENTS, closed=_OF_VOC),
        "exception": word(words.ALERTS, closed=_OF_VOC),
        "component": word(words.COMPONENTS, closed=_OF_CBV),
        **dict.fromkeys(
            ("microorganism", "chemicalSubstance", "coordinateReferenceSystem", "uriValue"), uri
        ),
        **dict.fromkeys(
            ("value", "minValue", "maxValue", "meanValue", "sDev", "percRank", "percValue"), number
        ),
        "stringValue": text,
        "booleanValue": boolean,
        "hexBinaryValue": form(_HEX, "not hexadecimal"),
        "uom": text,
    },
    ("type",),
    is_open=True,
)
_SENSORS: Final = each(
    fields(
        {"sensorMetadata": _METADATA, "sensorReport": each(_REPORT, least=1)},
        ("sensorReport",),
        is_open=True,
    )
)
_ERROR: Final = fields(
    {
        "declarationTime": time,
        "reason": word(words.ERROR_REASONS, closed=_OF_CBV),
        "correctiveEventIDs": each(uri),
    },
    ("declarationTime",),
    is_open=True,
)


def _certified(value: Any, place: str) -> Iterator[Fault]:
    yield from (each(uri) if isinstance(value, list) else uri)(value, place)


def _context(value: Any, place: str) -> Iterator[Fault]:
    for n, part in enumerate(value if isinstance(value, list) else [value]):
        if not isinstance(part, dict):
            yield from uri(part, f"{place}[{n}]" if isinstance(value, list) else place)


_DISPOSITIONS: Final = each(_DISPOSITION, least=1, unique=True)


def _persistent(value: Any, place: str) -> Iterator[Fault]:
    yield from fields({"set": _DISPOSITIONS, "unset": _DISPOSITIONS})(value, place)
    if value == {}:
        yield Fault(place, "says neither 'set' nor 'unset'")


_COMMON: Final[dict[str, Check]] = {
    "@context": _context,
    "type": text,
    "eventTime": time,
    "recordTime": time,
    "eventTimeZoneOffset": form(_OFFSET, "no offset from UTC: write it as +01:00, up to ±14:00"),
    "eventID": uri,
    "certificationInfo": _certified,
    "errorDeclaration": _ERROR,
}
_NEEDED: Final = ("eventTime", "eventTimeZoneOffset")
_STEP: Final[dict[str, Check]] = {
    "persistentDisposition": _persistent,
    "bizStep": word(words.BIZ_STEPS, closed=_OF_CBV),
    "disposition": _DISPOSITION,
    "readPoint": _location,
    "bizLocation": _location,
    "sourceList": _parties("source"),
    "destinationList": _parties("destination"),
    "sensorElementList": _SENSORS,
}
_TRANSACTIONS: Final = fields({"type": _BIZ, "bizTransaction": uri}, ("bizTransaction",))
_ACTION: Final = {"action": word(words.ACTIONS, closed=None)}
_WHOLE: Final[dict[str, Check]] = {
    "parentID": uri,
    "childEPCs": each(uri),
    "childQuantityList": _QUANTITIES,
    "bizTransactionList": each(_TRANSACTIONS),
}


class _Type(NamedTuple):
    """An event type: its fields, which it needs, and what they must say together."""

    table: Mapping[str, Check]
    needed: tuple[str, ...]
    together: Callable[[Mapping[str, Any]], Iterator[Fault]]


def _something(event: Mapping[str, Any], *names: str) -> bool:
    return any(event.get(name) for name in names)


def _of_object(event: Mapping[str, Any]) -> Iterator[Fault]:
    is_sensed = _something(event, "sensorElementList") and "readPoint" in event
    if not ("epcList" in event or _something(event, "quantityList") or is_sensed):
        said = "say what was seen: epcList, quantityList, or sensorElementList with a readPoint"
        yield Fault("epcList", said)
    if "ilmd" in event and event.get("action") != "ADD":
        yield Fault("ilmd", "goes with action ADD only: leave it out, or say that things began")


def _of_whole(event: Mapping[str, Any]) -> Iterator[Fault]:
    is_all = event.get("action") == "DELETE"
    if not (is_all or _something(event, "childEPCs", "childQuantityList")):
        yield Fault("childEPCs", "name the children, or say DELETE for all of them")


def _of_transaction(event: Mapping[str, Any]) -> Iterator[Fault]:
    is_all = event.get("action") == "DELETE"
    if not (is_all or "epcList" in event or _something(event, "quantityList")):
        yield Fault("epcList", "say what the transaction is about: epcList or quantityList")


def _of_transformation(event: Mapping[str, Any]) -> Iterator[Fault]:
    is_fed = _something(event, "inputEPCList", "inputQuantityList")
    is_made = _something(event, "outputEPCList", "outputQuantityList")
    if not (is_fed or is_made):
        yield Fault("inputQuantityList", "name what went in or what came out")
    elif not (is_fed and is_made) and "transformationID" not in event:
        said = "inputs without outputs, or outputs without inputs, need one that joins them"
        yield Fault("transformationID", said)


_TYPES: Final[dict[str, _Type]] = {
    "ObjectEvent": _Type(
        {
            "epcList": _EPCS,
            "quantityList": _QUANTITIES,
            **_ACTION,
            "ilmd": _OPEN,
            "bizTransactionList": each(_TRANSACTIONS),
        },
        ("action",),
        _of_object,
    ),
    "AggregationEvent": _Type({**_WHOLE, **_ACTION}, ("action",), _of_whole),
    "AssociationEvent": _Type({**_WHOLE, **_ACTION}, ("action", "parentID"), _of_whole),
    "TransactionEvent": _Type(
        {
            "bizTransactionList": each(_TRANSACTIONS, least=1),
            "parentID": uri,
            "epcList": each(uri),
            "quantityList": _QUANTITIES,
            **_ACTION,
        },
        ("action", "bizTransactionList"),
        _of_transaction,
    ),
    "TransformationEvent": _Type(
        {
            "inputEPCList": _EPCS,
            "inputQuantityList": _QUANTITIES,
            "outputEPCList": _EPCS,
            "outputQuantityList": _QUANTITIES,
            "transformationID": uri,
            "ilmd": _OPEN,
            "bizTransactionList": each(_TRANSACTIONS),
        },
        (),
        _of_transformation,
    ),
}
EVENT_TYPES: Final = tuple(_TYPES)
_EVENTS: Final = {
    name: fields({**_COMMON, **_STEP, **kind.table}, (*_NEEDED, *kind.needed), is_open=True)
    for name, kind in _TYPES.items()
}
_EXTENDED: Final = fields(_COMMON, _NEEDED, is_open=True)
"""An event of a type of one's own (EPCIS 2.0, 7.4): its other fields are what its authors say."""
_DOCUMENT: Final = fields(
    {
        "@context": _context,
        "id": uri,
        "type": word(("EPCISDocument", "EPCISQueryDocument", *EVENT_TYPES), closed=None),
        "schemaVersion": form(_VERSION, "no version: write '2.0'"),
        "creationDate": time,
        **dict.fromkeys(("instanceIdentifier", "sender", "receiver"), text),
        "epcisHeader": fields({"epcisMasterData": _OPEN}, is_open=True),
        "epcisBody": lambda _value, _place: iter(()),
    },
    ("@context", "type"),
    is_open=True,
)


def faults_of_event(event: Any) -> list[Fault]:
    """What is wrong with an event of a document, at most FAULTS_MAX; nothing where it is sound."""
    if not isinstance(event, dict) or not isinstance(event.get("type"), str):
        return [Fault("type", f"is missing: one of {', '.join(EVENT_TYPES)}")]
    name = event["type"]
    if name not in _TYPES and URI.fullmatch(name):
        own = {key: value for key, value in event.items() if key in _COMMON}
        return list(_EXTENDED(own, ""))[:FAULTS_MAX]
    if name not in _TYPES:
        hint = did_you_mean(name, EVENT_TYPES)
        return [Fault("type", f"{shown(name)} is no event type{hint}")]
    found = [*_EVENTS[name](event, ""), *_TYPES[name].together(event)]
    return found[:FAULTS_MAX]


def faults_of_document(header: Mapping[str, Any]) -> list[Fault]:
    """What is wrong with a document around its events: it is then refused as a whole."""
    found = list(_DOCUMENT(header, ""))
    if header.get("type") == "EPCISDocument":
        missing = [name for name in ("schemaVersion", "creationDate") if name not in header]
        found += [Fault(name, "is missing") for name in missing]
    return found[:FAULTS_MAX]
