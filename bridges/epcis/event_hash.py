"""PURE: the hash id of an event, the same for every way of writing it (CBV 2.0, 8.9.2).

Owns the canonical order and form of fields and values. An event is its JSON, checked before; what
`namespaces` says are the prefixes of its @context.
"""

import re
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from hashlib import sha256
from typing import Any, Final, NamedTuple

from bridges.epcis.digital_link import canonical
from bridges.epcis.vocabulary import CBV, GS1_VOC, PREFIXES, URNS

VERSION: Final = "CBV2.0"
LEFT_OUT: Final = frozenset(
    {
        "@context", "type", "id", "eventID", "recordTime", "errorDeclaration", "comment",
        "rdfs:comment",
    }
)  # fmt: skip
"""What says nothing of what happened: an event and its error declaration have one hash id."""
_NUMBER: Final = re.compile(r"[+-]?\d{1,40}(\.\d{1,40})?([eE][+-]?\d{1,2})?")
_BARE: Final = re.compile(r"[A-Za-z_]+")
_CURIE: Final = re.compile(r"([A-Za-z_][\w.-]*):(?!//)(.*)", re.DOTALL)

Namespaces = Mapping[str, str]
Text = Callable[[Any, Namespaces], str]


def hash_id(event: Mapping[str, Any], namespaces: Namespaces) -> str:
    """`ni:///sha-256;<64 hex digits>?ver=CBV2.0` (RFC 6920)."""
    digest = sha256(pre_hash(event, namespaces).encode()).hexdigest()
    return f"ni:///sha-256;{digest}?ver={VERSION}"


def pre_hash(event: Mapping[str, Any], namespaces: Namespaces) -> str:
    """The text that is hashed."""
    known = {**PREFIXES, **namespaces}
    return f"eventType={_expanded(event['type'], known)}{_fields(event, EVENT, known)}"


def namespaces_of(context: Any) -> dict[str, str]:
    """The prefixes that an @context defines."""
    parts = context if isinstance(context, list) else [context]
    return {
        prefix: uri
        for part in parts
        if isinstance(part, dict)
        for prefix, uri in part.items()
        if isinstance(uri, str)
    }


def instant(text: str) -> str:
    """A time in UTC, to the millisecond, half of one upwards."""
    at = datetime.fromisoformat(text.strip()).astimezone(UTC)
    at += timedelta(microseconds=500)
    return f"{at.replace(tzinfo=None).isoformat(timespec='milliseconds')}Z"


def _time(value: Any, _known: Namespaces) -> str:
    return instant(value)


def _value(value: Any, known: Namespaces) -> str:
    """A text, number or truth value in its one form."""
    if isinstance(value, bool):
        return str(value).lower()
    text = str(value).strip()
    if _NUMBER.fullmatch(text):
        return _number(text)
    for urn, uri in URNS.items():
        text = text.replace(urn, uri)
    text = _expanded(text, known)
    return canonical(text) or text


def _number(text: str) -> str:
    """Without sign of plus, leading or trailing zeros, and exponent."""
    plain = f"{Decimal(text):f}"
    plain = plain.rstrip("0").rstrip(".") if "." in plain else plain
    return "0" if plain == "-0" else plain


def _expanded(text: str, known: Namespaces) -> str:
    found = _CURIE.fullmatch(text)
    return known[found[1]] + found[2] if found and found[1] in known else text


def _word(prefix: str) -> Text:
    """A word of a vocabulary, in full."""

    def word(value: Any, known: Namespaces) -> str:
        text = str(value).strip()
        return prefix + text if _BARE.fullmatch(text) else _value(text, known)

    return word


class Part(NamedTuple):
    """A field: its name, how its value is written, or what it consists of.

    member: what each entry of a list is called in XML, where its name stands in the text.
    """

    name: str
    text: Text = _value
    parts: tuple["Part", ...] = ()
    member: str = ""


_ID: Final = (Part("id"),)
_QUANTITY: Final = (Part("epcClass"), Part("quantity"), Part("uom"))


def _epcs(name: str) -> Part:
    return Part(name, member="epc")


def _quantities(name: str) -> Part:
    return Part(name, parts=_QUANTITY, member="quantityElement")


def _typed(name: str, entry: str, prefix: str) -> Part:
    """A list of ids with a type: the type stands behind its id."""
    return Part(f"{name}List", parts=(Part(entry), Part("type", _word(CBV + prefix))))


_DISPOSITION: Final = _word(f"{CBV}Disp-")
_DEVICE: Final = tuple(map(Part, ("deviceID", "deviceMetadata", "rawData", "dataProcessingMethod")))
_METADATA: Final = (
    Part("time", _time),
    Part("startTime", _time),
    Part("endTime", _time),
    *_DEVICE,
    Part("bizRules"),
)
_REPORT: Final = (
    Part("type", _word(GS1_VOC)),
    Part("exception", _word(GS1_VOC)),
    *_DEVICE,
    Part("time", _time),
    Part("microorganism"),
    Part("chemicalSubstance"),
    Part("value"),
    Part("component", _word(f"{CBV}Comp-")),
    *map(Part, ("stringValue", "booleanValue", "hexBinaryValue", "uriValue", "minValue")),
    *map(Part, ("maxValue", "meanValue", "sDev", "percRank", "percValue", "uom")),
    Part("coordinateReferenceSystem"),
)
EVENT: Final = (
    Part("eventTime", _time),
    Part("eventTimeZoneOffset", lambda value, _known: str(value).strip()),
    Part("certificationInfo"),
    Part("parentID"),
    _epcs("epcList"),
    _epcs("inputEPCList"),
    _epcs("childEPCs"),
    _quantities("quantityList"),
    _quantities("childQuantityList"),
    _quantities("inputQuantityList"),
    _epcs("outputEPCList"),
    _quantities("outputQuantityList"),
    Part("action"),
    Part("transformationID"),
    Part("bizStep", _word(f"{CBV}BizStep-")),
    Part("disposition", _DISPOSITION),
    Part("persistentDisposition", parts=(Part("set", _DISPOSITION), Part("unset", _DISPOSITION))),
    Part("readPoint", parts=_ID),
    Part("bizLocation", parts=_ID),
    _typed("bizTransaction", "bizTransaction", "BTT-"),
    _typed("source", "source", "SDT-"),
    _typed("destination", "destination", "SDT-"),
    Part(
        "sensorElementList",
        parts=(Part("sensorMetadata", parts=_METADATA), Part("sensorReport", parts=_REPORT)),
        member="sensorElement",
    ),
    Part("ilmd"),
)
"""The canonical order of fields."""


def _fields(value: Mapping[str, Any], parts: Iterable[Part], known: Namespaces) -> str:
    """The fields in their order, then what users added, in the order of its text."""
    names = {part.name for part in parts}
    text = "".join(_field(part, value[part.name], known) for part in parts if part.name in value)
    return text + _added({k: v for k, v in value.items() if k not in names}, known)


def _field(part: Part, value: Any, known: Namespaces) -> str:
    if part.name == "ilmd":
        return f"ilmd{_added(value, known)}" if value else ""
    entries = [_entry(part, one, known) for one in (value if isinstance(value, list) else [value])]
    if part.member or part.name.endswith("List"):
        return part.name + "".join(sorted(entries)) if entries else ""
    return "".join(sorted(f"{part.name}{entry}" for entry in entries if entry))


def _entry(part: Part, value: Any, known: Namespaces) -> str:
    if part.parts:
        return part.member + _fields(value, part.parts, known)
    text = part.text(value, known)
    return f"{part.member}={text}" if text else ""


def _added(extensions: Mapping[str, Any], known: Namespaces) -> str:
    """What is not of the standard: `{namespace}name=value`, whatever is nested in it behind it."""
    texts = [
        _key(key, known) + _added_value(one, known)
        for key, value in extensions.items()
        if key not in LEFT_OUT
        for one in (value if isinstance(value, list) else [value])
    ]
    return "".join(sorted(texts))


def _added_value(value: Any, known: Namespaces) -> str:
    if isinstance(value, Mapping) and "@value" in value:
        value = value["@value"]
    if isinstance(value, Mapping):
        return _added(value, known)
    if isinstance(value, list):
        return "".join(sorted(_added_value(one, known) for one in value))
    text = "" if value is None else _value(value, known)
    return f"={text}" if text else ""


def _key(key: str, known: Namespaces) -> str:
    prefix, found, local = key.partition(":")
    return f"{{{known[prefix]}}}{local}" if found and prefix in known else key
