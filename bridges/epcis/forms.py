"""PURE: the forms that values of EPCIS may have, each as a check that says place and fix.

Owns how texts, numbers, words, lists and objects are checked. Which field has which is checks.py's.
"""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import datetime
from math import isfinite
from typing import Any, Final, NamedTuple

from uns.model.checks import did_you_mean

SHOWN_MAX: Final = 60
URI: Final = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*|_):[^\s\x00-\x1f]+")
_TIME: Final = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,12})?(Z|[+-]\d\d:\d\d)")
_JSON_LD: Final = frozenset({"@context", "@id", "@type", "id", "type", "comment"})


class Fault(NamedTuple):
    """What is wrong, where (`quantityList[0].uom`), and what to write instead."""

    place: str
    said: str

    def __str__(self) -> str:
        return f"{self.place}: {self.said}" if self.place else self.said


Check = Callable[[Any, str], Iterator[Fault]]


def shown(value: Any) -> str:
    """A value as a fault names it."""
    text = repr(value)
    return text if len(text) <= SHOWN_MAX else f"{text[:SHOWN_MAX]}…"


def form(pattern: re.Pattern[str], said: str) -> Check:
    """A text of a pattern; `said` is what is said of any other."""

    def check(value: Any, place: str) -> Iterator[Fault]:
        if not isinstance(value, str) or not pattern.fullmatch(value):
            yield Fault(place, f"{shown(value)} is {said}")

    return check


uri: Final = form(URI, "no URI: write one as urn:epc:id:sgtin:0614141.107346.2017")
_form_of_time: Final = form(_TIME, "no time with an offset: write 2026-11-23T06:00:00.000+01:00")


def time(value: Any, place: str) -> Iterator[Fault]:
    """A time with its offset (RFC 3339)."""
    if faults := list(_form_of_time(value, place)):
        yield from faults
        return
    try:
        datetime.fromisoformat(value)
    except ValueError as error:
        yield Fault(place, f"{shown(value)} is no time: {error}")


def number(value: Any, place: str) -> Iterator[Fault]:
    """A number that is finite."""
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    if not is_number or not isfinite(value):
        yield Fault(place, f"{shown(value)} is no number: write it without quotes")


def text(value: Any, place: str) -> Iterator[Fault]:
    """Any text."""
    if not isinstance(value, str):
        yield Fault(place, f"{shown(value)} is no text")


def boolean(value: Any, place: str) -> Iterator[Fault]:
    """True or false."""
    if not isinstance(value, bool):
        yield Fault(place, f"{shown(value)} is neither true nor false")


def word(known: tuple[str, ...], *, closed: re.Pattern[str] | None) -> Check:
    """A word of a vocabulary; or a URI of one's own, that is none of the vocabulary's old forms.

    closed: what such a URI must not begin with; None where only the words may stand.
    """

    def check(value: Any, place: str) -> Iterator[Fault]:
        if isinstance(value, str) and (value in known or _is_own(value)):
            return
        yield Fault(place, f"{shown(value)} is no word for it{_hint(value, known)}")

    def _is_own(value: str) -> bool:
        return bool(closed and URI.fullmatch(value) and not closed.match(value))

    return check


def _hint(value: Any, known: tuple[str, ...]) -> str:
    short = str(value).rpartition(":")[2].rpartition("-")[2]
    if short in known:
        return f": write {short!r}"
    return did_you_mean(short, known)


def each(check: Check, *, least: int = 0, unique: bool = False) -> Check:
    """A list of what the check takes. least: how many at least. unique: none of them twice."""

    def listed(value: Any, place: str) -> Iterator[Fault]:
        if not isinstance(value, list):
            yield Fault(place, f"{shown(value)} is no list: put it in [ ]")
            return
        if len(value) < least:
            yield Fault(place, "is empty: name at least one, or leave the field out")
        if unique and len(set(map(str, value))) < len(value):
            yield Fault(place, "names something twice")
        for n, one in enumerate(value):
            yield from check(one, f"{place}[{n}]")

    return listed


def fields(
    table: Mapping[str, Check], needed: Iterable[str] = (), *, is_open: bool = False
) -> Check:
    """An object. is_open: users may add fields, whose names have a prefix (`example:myField`)."""
    required = tuple(needed)

    def check(value: Any, place: str) -> Iterator[Fault]:
        if not isinstance(value, dict):
            yield Fault(place, f"{shown(value)} is no object: write {{…}}")
            return
        for name in required:
            if name not in value:
                yield Fault(_below(place, name), "is missing")
        for name, one in value.items():
            if name in table:
                yield from table[name](one, _below(place, name))
            elif not is_open or (name not in _JSON_LD and not URI.fullmatch(f"{name}_")):
                hint = did_you_mean(name, table)
                yield Fault(_below(place, name), f"there is no such field{hint}")

    return check


def _below(place: str, name: str) -> str:
    return f"{place}.{name}" if place else name
