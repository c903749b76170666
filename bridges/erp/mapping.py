"""From what an ERP says to the document of an order: names, values, numbers, units and times.

Owns the rules of a mapping file and their use on one record. Knows no file and no format: a record
is a mapping of names to values, whatever it was read from. What an order must say is judged later,
for every way in alike (uns/model/releasing.py).
"""

import re
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime, time
from decimal import Decimal
from typing import Annotated, Any, Final, Literal, NamedTuple
from zoneinfo import ZoneInfo

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    StrictInt,
    StrictStr,
    model_validator,
)

from bridges.erp.tree import find, find_all, text_of
from uns.model.checks import did_you_mean
from uns.model.releasing import PARTS_MAX, Refused

Kind = Literal["json", "xml", "b2mml", "csv", "xlsx"]
TABLES: Final[frozenset[str]] = frozenset({"csv", "xlsx"})
TEXT_LENGTH_MAX: Final = 256
_AMBIGUOUS: Final = re.compile(r"[+-]?[1-9]\d{0,2}\.\d{3}")
_NUMBER: Final = re.compile(r"[+-]?\d{1,18}(\.\d{1,9})?")
_SWAPPED: Final = str.maketrans(",.", ".,")
UNITS: Final[dict[str, str]] = {
    **dict.fromkeys(("C62", "EA", "H87", "PC", "PCE", "PCS", "ST"), "pcs"),
    "KGM": "kg",
    "KG": "kg",
    "GRM": "g",
    "MTR": "m",
    "LTR": "l",
    "KWH": "kWh",
}
"""Codes of units that mean one of ours: UN/ECE Recommendation 20, and what ERPs commonly say."""


def _is_zone(name: str) -> str:
    try:
        ZoneInfo(name)
    except (ValueError, OSError, KeyError):
        raise ValueError(f"unknown time zone '{name}'") from None
    return name


class Rule(BaseModel):
    """Where a field of an order comes from."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    source: str | None = Field(default=None, alias="from", min_length=1)
    """The column, or the path of names with slashes."""
    constant: StrictStr | StrictInt | None = None
    """Instead of `from`: the same for every order."""
    default: StrictStr | StrictInt | None = None
    """Where the source says nothing."""
    values: dict[str, StrictStr | StrictInt] = {}
    """What each value means; then one that is not listed is refused."""

    @model_validator(mode="after")
    def _has_one_origin(self) -> "Rule":
        if (self.source is None) == (self.constant is None):
            raise ValueError("say 'from' or 'constant', one of them")
        return self


class TextRule(Rule):
    """A text."""


class ListRule(Rule):
    """Texts in order: as often as the source stands, or in one text."""

    separator: Annotated[str, Field(min_length=1, max_length=8)] = ","
    """What stands between them in one text."""


class BomRule(Rule):
    """Components with their quantity for one piece; `values` says which item each is."""


class NumberRule(Rule):
    """A whole number."""

    decimal: Literal[".", ","] | None = None
    """The decimal sign; where none is said a point, and 1.000 in a table is refused."""
    thousands: Literal[".", ",", " ", "'"] | None = None
    """What groups digits; it is passed over."""
    factor: Annotated[float, Field(ge=1e-9, le=1e9)] = 1
    """Pieces in one of what the source counts."""
    factors: dict[str, Annotated[float, Field(ge=1e-9, le=1e9)]] = {}
    """The same by unit, with `unit_from`."""
    unit_from: str | None = None
    """Where the source says the unit."""

    @model_validator(mode="after")
    def _signs_differ(self) -> "NumberRule":
        if self.thousands and self.thousands == (self.decimal or "."):
            raise ValueError("'decimal' and 'thousands' are the same sign")
        if bool(self.factors) != (self.unit_from is not None):
            raise ValueError("'factors' goes with 'unit_from'")
        return self


class TimeRule(Rule):
    """A time, ISO 8601 where no format is said."""

    format: str | None = None
    """How it is written: %d.%m.%Y %H:%M."""
    time_zone: Annotated[str, AfterValidator(_is_zone)] | None = None
    """The zone of a time without an offset."""
    at: time | None = None
    """What time of day a day means: "17:00"."""


class Fields(BaseModel):
    """A rule for each field of an order."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    order_id: TextRule
    item: TextRule
    quantity: NumberRule
    due: TimeRule | None = None
    priority: NumberRule | None = None
    revision: NumberRule | None = None
    unit: TextRule | None = None
    line: TextRule | None = None
    operations: ListRule | None = None
    bom: BomRule | None = None


class FormatRules(BaseModel):
    """How one format is read."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    fields: Fields
    """A rule for each field of an order."""
    records: str | None = None
    """json, xml: the path to the orders; of XML with the outermost element."""
    delimiter: Annotated[str, Field(min_length=1, max_length=1)] | None = None
    """csv: between two cells; without it, the one that the first line holds most of."""
    encoding: Literal["utf-8", "cp1252", "iso-8859-1", "iso-8859-15", "utf-16"] = "utf-8"
    """csv: how its text is written."""
    sheet: str | None = None
    """xlsx: the sheet; without it, the first."""


class MappingRules(BaseModel):
    """A mapping file: the rules of each format that needs some."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    formats: dict[Kind, FormatRules] = {}

    def of(self, kind: Kind) -> FormatRules | None:
        """The rules for a format; tables share theirs, so that a bad row can come back as CSV."""
        shared = self.formats.get("xlsx" if kind == "csv" else "csv") if kind in TABLES else None
        return self.formats.get(kind, shared)


def _same_names() -> Fields:
    return Fields.model_validate({name: {"from": name} for name in Fields.model_fields})


SAME_NAMES: Final = _same_names()
"""Tables and B2MML without a mapping: the names are ours already, numbers are text."""


class _Fault(Exception):  # noqa: N818 - never leaves this module
    """A value that its rule does not take."""


class Said(NamedTuple):
    """A rule, what the source says, the whole record, and what it was read from."""

    rule: Any
    value: Any
    record: Mapping[str, Any]
    kind: Kind


def document_of(
    record: Mapping[str, Any], rules: FormatRules | None, kind: Kind
) -> Mapping[str, Any] | Refused:
    """The document of an order, or Refused with the field at fault."""
    if rules is None and kind == "json":
        return record
    fields = rules.fields if rules else SAME_NAMES
    document: dict[str, Any] = {}
    for name in Fields.model_fields:
        if rule := getattr(fields, name):
            try:
                value = _value_of(name, rule, record, kind)
            except (_Fault, ValueError) as fault:
                return Refused(name, f"{fault}{_origin(rule, name)}")
            if value is not None:
                document[name] = value
    return document


def _origin(rule: Rule, name: str) -> str:
    return f" (from {rule.source!r})" if rule.source not in (None, name) else ""


def _value_of(name: str, rule: Rule, record: Mapping[str, Any], kind: Kind) -> Any:
    value = rule.constant if rule.source is None else _found(rule, record)
    if value is None:
        value = rule.default
    if value is None:
        return None
    if rule.values:
        value = _listed(rule.values, value)
    return _READERS[name](Said(rule, value, record, kind))


def _found(rule: Rule, record: Mapping[str, Any]) -> Any:
    if isinstance(rule, ListRule):
        return _parts(rule, find_all(record, rule.source or ""))
    value = find(record, rule.source or "")
    if isinstance(rule, BomRule):
        return value
    return value if isinstance(value, datetime | int | float) else text_of(value)


def _parts(rule: ListRule, entries: Iterable[Any]) -> list[str] | None:
    texts = [text for entry in entries if (text := text_of(entry))]
    split = texts[0].split(rule.separator) if len(texts) == 1 else texts
    return [part.strip() for part in split if part.strip()] or None


def _listed(values: Mapping[str, str | int], value: Any) -> Any:
    if isinstance(value, list):
        return [_listed(values, one) for one in value]
    if isinstance(value, Mapping):
        return {_listed(values, name): quantity for name, quantity in value.items()}
    if str(value) not in values:
        raise _Fault(f"no value stands for {value!r}{did_you_mean(str(value), values)}")
    return values[str(value)]


def _text(said: Said) -> str:
    if isinstance(said.value, bool | datetime):
        raise _Fault(f"{str(said.value)!r} is no text")
    text = str(said.value)
    if len(text) > TEXT_LENGTH_MAX:
        raise _Fault(f"longer than {TEXT_LENGTH_MAX} characters")
    return text


def _unit(said: Said) -> str:
    text = _text(said)
    return UNITS.get(text.upper(), text)


def _texts(said: Said) -> list[str]:
    texts = said.value if isinstance(said.value, list) else [str(said.value)]
    if len(texts) > PARTS_MAX:
        raise _Fault(f"more than {PARTS_MAX} entries")
    return texts


def _components(said: Said) -> Any:
    if isinstance(said.value, Mapping):
        return said.value
    raise _Fault("no components with their quantities")


def _number(said: Said) -> int:
    rule: NumberRule = said.rule
    text = str(said.value)
    plain = _plain(said, text) if isinstance(said.value, str) else text
    if isinstance(said.value, bool) or not _NUMBER.fullmatch(plain):
        raise _Fault(f"{text!r} is no number")
    whole = Decimal(plain) * Decimal(str(_factor(rule, said.record)))
    if whole != whole.to_integral_value():
        raise _Fault(f"{text!r} is {whole.normalize():f}: not a whole number")
    return int(whole)


def _plain(said: Said, text: str) -> str:
    """Digits with a point: 1.234,5 -> 1234.5."""
    rule: NumberRule = said.rule
    is_open = said.kind in TABLES and rule.decimal is None and rule.thousands is None
    if is_open and _AMBIGUOUS.fullmatch(text):
        raise _Fault(f"{text!r} may be {text.replace('.', '')}: say `decimal` in the mapping")
    ungrouped = text.replace(rule.thousands, "") if rule.thousands else text
    return ungrouped.translate(_SWAPPED) if rule.decimal == "," else ungrouped


def _factor(rule: NumberRule, record: Mapping[str, Any]) -> float:
    if rule.unit_from is None:
        return rule.factor
    unit = text_of(find(record, rule.unit_from)) or ""
    if unit not in rule.factors:
        raise _Fault(f"no factor stands for the unit {unit!r}{did_you_mean(unit, rule.factors)}")
    return rule.factors[unit]


def _time(said: Said) -> str:
    rule: TimeRule = said.rule
    at = _placed(rule, said.value) if isinstance(said.value, datetime) else _parsed(rule, said)
    if at.tzinfo is None and rule.time_zone:
        at = at.replace(tzinfo=ZoneInfo(rule.time_zone))
    if at.tzinfo is None:
        raise _Fault(f"{at.isoformat()} has no offset: add +01:00, or time_zone in the mapping")
    return at.isoformat()


def _placed(rule: TimeRule, at: datetime) -> datetime:
    """A cell of a workbook: a day has no time of its own."""
    return datetime.combine(at, rule.at) if rule.at and at.time() == time() else at


def _parsed(rule: TimeRule, said: Said) -> datetime:
    text = str(said.value)
    try:
        at = datetime.strptime(text, rule.format) if rule.format else datetime.fromisoformat(text)  # noqa: DTZ007 - the zone is the rule's
    except ValueError:
        as_ = f"not written as {rule.format}" if rule.format else "no ISO 8601 time"
        raise _Fault(f"{text!r} is {as_}") from None
    if not _is_day(rule, text):
        return at
    if rule.at is None:
        raise _Fault(f"{text!r} is a day: say in the mapping `at` what time of it")
    return datetime.combine(at.date(), rule.at, at.tzinfo)


def _is_day(rule: TimeRule, text: str) -> bool:
    if rule.format:
        return not re.search(r"%[HIXcs]", rule.format)
    return len(text) <= len("2026-11-27")


_READERS: Final[dict[str, Callable[[Said], Any]]] = {
    "order_id": _text,
    "item": _text,
    "quantity": _number,
    "due": _time,
    "priority": _number,
    "revision": _number,
    "unit": _unit,
    "line": _text,
    "operations": _texts,
    "bom": _components,
}
