"""PURE: the values of a foreign namespace, and what their names say that they are.

Owns the words that people use for counters, orders, rates and figures. Says nothing about what is
right: that is lint.py's.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from typing import Any, Final, Literal, NamedTuple

from bridges.mqtt.config import MqttSettings, MqttSource
from bridges.mqtt.mapping import filled
from bridges.mqtt.payload import Unfit, time_ms
from uns.model.path import matches
from uns.model.plant import Place, Role

VALUES_MAX: Final = 200
"""Values of one payload that are looked at."""
DEPTH_MAX: Final = 8

Kind = Literal[
    "infeed", "total", "good", "scrap", "made", "target", "number", "key", "item", "rate",
    "standard", "oee", "availability", "performance", "quality", "code", "state",
]  # fmt: skip
COUNTERS: Final = frozenset({"infeed", "total", "good", "scrap", "made"})
FIGURES: Final = frozenset({"oee", "availability", "performance", "quality"})
NUMERIC: Final = COUNTERS | FIGURES | {"target", "rate", "standard"}
MOVING: Final = COUNTERS | {"rate"}
"""What is said again and again by a source that lives."""

WORDS: Final[dict[str, Kind]] = {
    **dict.fromkeys(("countinfeed", "infeed", "infeedcount", "countin", "incount"), "infeed"),
    **dict.fromkeys(("total", "totalcount", "counttotal", "totalparts", "totalpieces"), "total"),
    **dict.fromkeys(("countoutfeed", "outfeed", "outfeedcount", "countout"), "good"),
    **dict.fromkeys(("good", "goodcount", "countgood", "goodparts"), "good"),
    **dict.fromkeys(("countdefect", "defect", "defects", "waste", "wastecount"), "scrap"),
    **dict.fromkeys(("scrap", "scrapcount", "reject", "rejects", "rejectcount", "bad"), "scrap"),
    **dict.fromkeys(("quantitydefect", "quantityscrap", "badcount", "countbad"), "scrap"),
    **dict.fromkeys(("quantityactual", "actualquantity", "quantityproduced"), "made"),
    **dict.fromkeys(("quantitytarget", "targetquantity", "target", "quantityplanned"), "target"),
    **dict.fromkeys(("workordernumber", "ordernumber", "jobnumber"), "number"),
    **dict.fromkeys(("workorderid", "orderid", "jobid"), "key"),
    **dict.fromkeys(("itemname", "productname", "product", "sku", "itemcode"), "item"),
    **dict.fromkeys(("rateactual", "actualrate", "ratecurrent", "rateinstant"), "rate"),
    **dict.fromkeys(("ratestandard", "standardrate", "idealrate", "rateideal"), "standard"),
    **dict.fromkeys(("oee",), "oee"),
    **dict.fromkeys(("availability", "availabilityrate"), "availability"),
    **dict.fromkeys(("performance", "effectiveness", "performancerate"), "performance"),
    **dict.fromkeys(("quality", "qualityrate", "qualityratio"), "quality"),
    **dict.fromkeys(("statecode", "statuscode", "stateid", "statecurrent"), "code"),
    **dict.fromkeys(("statename", "statusname", "statetext"), "state"),
}
"""By the last word of a topic, or its last two together, without case and signs."""
TIMES: Final = frozenset({"timestamp", "time", "ts", "timestampms", "datetime", "timestamputc"})
WRAPPERS: Final = frozenset({"value", "val", "v"})
_ROLES: Final[dict[Role, Kind]] = {
    "good_count": "good",
    "scrap_count": "scrap",
    "order": "number",
    "item": "item",
    "state": "code",
}
_SIGNS: Final = re.compile(r"[^a-z0-9]+")


class Address(NamedTuple):
    """Where a value is: a topic, and a JSON pointer in its payload."""

    topic: str
    pointer: str = ""

    def __str__(self) -> str:
        return f"{self.topic} {self.pointer}".rstrip()

    @property
    def levels(self) -> list[str]:
        """Where it is, as one path: what only wraps a value is no level."""
        levels = f"{self.topic}{self.pointer}".split("/")
        return levels[:-1] if self.pointer and _plain(levels[-1]) in WRAPPERS else levels

    @property
    def parent(self) -> str:
        """What values that belong together have in common."""
        return "/".join(self.levels[:-1])


@dataclass(slots=True)
class Point:
    """A value as it was said last; `codes`: what a mapping has for it, None without one."""

    address: Address
    kind: Kind | None
    value: Any = None
    at_ms: int = 0
    said_live: bool = False
    codes: frozenset[str] | None = None


class Known(NamedTuple):
    """What a mapping says about the values at a filter."""

    topic_filter: str
    kind: Kind | None
    codes: frozenset[str] | None


def known_of(settings: MqttSettings, places: Mapping[str, Place]) -> Iterator[Known]:
    """What a bridge of namespace.yaml takes its sources for."""
    for path, place in places.items():
        for name, tag in place.cell.tags.items():
            source = MqttSource.model_validate(tag.source)
            if source.topic is not None:
                codes = frozenset(source.values) if source.values else None
                where = filled(settings, source.topic, path, name)
                yield Known(where, _ROLES.get(tag.role), codes)


def point_at(address: Address, known: Iterable[Known]) -> Point:
    """A value that was not seen before."""
    fitting = [one for one in known if matches(one.topic_filter, address.topic)]
    kinds = (one.kind for one in fitting if one.kind)
    codes = (one.codes for one in fitting if one.codes)
    return Point(address, next(kinds, None) or kind_of(address), codes=next(codes, None))


def kind_of(address: Address) -> Kind | None:
    """What a value is by its name; None where that says nothing."""
    words = [_plain(level) for level in address.levels[-2:]]
    return WORDS.get(words[-1]) or WORDS.get("".join(words))


def _plain(word: str) -> str:
    return _SIGNS.sub("", word.casefold())


def values_in(document: Any, pointer: str = "", depth: int = 0) -> Iterator[tuple[str, Any]]:
    """The values of a payload with their pointers; lists count as no value."""
    if not isinstance(document, dict):
        if not isinstance(document, list | Unfit):
            yield pointer, document
        return
    if depth < DEPTH_MAX:
        for key, inner in islice(document.items(), VALUES_MAX):
            escaped = key.replace("~", "~0").replace("/", "~1")
            yield from values_in(inner, f"{pointer}/{escaped}", depth + 1)


def time_in(document: Any) -> int | None:
    """The time that a payload tells of itself, in ms; None where it tells none."""
    if not isinstance(document, dict):
        return None
    times = (v for k, v in document.items() if _plain(k) in TIMES)
    return next((at_ms for v in times if (at_ms := time_ms(v)) is not None), None)
