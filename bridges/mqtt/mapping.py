"""PURE: messages of a foreign namespace -> readings of our tags, and releases of orders.

Owns which topic feeds what, and what is passed over: old values, and what a broker only kept. What
a payload says is payload.py's, what makes an order is orders.py's; counters, states and loads
become facts where every bridge's do (uns.model.signals), so a counter is taken by its value. Knows
no client and no clock.
"""

from collections.abc import Iterable, Iterator, Mapping
from functools import lru_cache
from typing import Any, Final, NamedTuple

from bridges.mqtt.config import PLACEHOLDERS, MqttSettings, MqttSource, Value
from bridges.mqtt.orders import CONTEXT, KnownReleases, LineOrder, Part, judged
from bridges.mqtt.payload import Unfit, found, parsed, time_ms, value_of
from uns.model.observation import BadInput, Fact, Observation, Quality, Reading, Scalar
from uns.model.path import matches
from uns.model.plant import Place, Plant, Role

LAST_KNOWN: Final = "retained: the last value known there"
TOPICS_MAX: Final = 50_000
"""Topics whose time is remembered, and whose readers are."""
_KINDS: Final[dict[Role, str]] = {
    **dict.fromkeys(("good_count", "scrap_count", "rework_count", "serial", "sample"), "number"),
    "characteristic": "number",
    "energy": "number",
    **dict.fromkeys(("order", "item", "lot_in", "lot_out"), "text"),
}
"""What a role needs, where the source does not say a type."""


class Heard(NamedTuple):
    """A message of the foreign broker: `at_ms` is when it came, in plant time."""

    topic: str
    payload: bytes
    at_ms: int
    is_retained: bool = False


class _Leaf(NamedTuple):
    """A tag that shows the value at a topic."""

    cell: str
    tag: str
    rule: Value
    kind: str


class Adapter:
    """What a bridge makes of what it hears, message by message."""

    def __init__(self, settings: MqttSettings, plant: Plant, places: Mapping[str, Place]) -> None:
        self._settings = settings
        self._plant = plant
        self._readers: dict[str, list[_Leaf | Part]] = {}
        self.feeds: tuple[tuple[str, str], ...] = tuple(
            (path, tag) for path, place in places.items() for tag in place.cell.tags
        )
        self._orders = self._orders_of()
        self._tags_of(places)
        self._newest_ms: dict[str, int] = {}
        self._readers_of = lru_cache(TOPICS_MAX)(self._find)

    @property
    def filters(self) -> list[str]:
        """What to subscribe to."""
        return list(self._readers)

    def take(self, heard: Iterable[Heard], now_ms: int, known: KnownReleases) -> list[Observation]:
        """What messages that belong together say at plant time `now_ms`, in their order.

        What they say of an order is told when it has not changed for `settle_ms`.
        known: the recorded releases of an order of a line.
        """
        told = list[Observation]()
        for message in heard:
            told += self._message(message)
        for order in self._orders.values():
            if order.is_settled(now_ms - self._settings.settle_ms):
                told += self._order(order, now_ms, known)
        return told

    def lost(self) -> None:
        """Nobody listens any more: what orders the lines have is unknown until it is said again."""
        for order in self._orders.values():
            order.forget()

    def _message(self, message: Heard) -> Iterator[Reading]:
        readers = self._readers_of(message.topic)
        if not readers:
            return
        document = parsed(message.payload)
        at_ms = self._time(message, document)
        if at_ms is not None and self._is_late(message, at_ms):
            return
        for reader in readers:
            value = value_of(document, reader.rule, self._settings.value, reader.kind)
            if isinstance(reader, Part):
                reader.order.hear(reader, value, message.at_ms, at_ms or message.at_ms)
            else:
                yield self._reading(reader, value, message, at_ms)

    def _reading(
        self, leaf: _Leaf, value: Scalar | Unfit, message: Heard, at_ms: int | None
    ) -> Reading:
        said_ms = message.at_ms if at_ms is None else at_ms
        if isinstance(value, Unfit):
            return Reading(leaf.cell, leaf.tag, None, said_ms, "bad", value.reason)
        quality: Quality = "good"
        reason = None
        if message.is_retained:
            quality, reason = "uncertain", LAST_KNOWN
        elif at_ms is None:
            quality, reason = "uncertain", f"no time at {self._settings.time}"
        return Reading(leaf.cell, leaf.tag, value, said_ms, quality, reason)

    def _time(self, message: Heard, document: Any) -> int | None:
        """When it was said; None for a payload that should tell and does not.

        A retained value is of now: it was said earlier, and is what its source holds.
        """
        if self._settings.time is None or message.is_retained:
            return message.at_ms
        return time_ms(found(document, self._settings.time))

    def _is_late(self, message: Heard, at_ms: int) -> bool:
        """Whether a message was overtaken. What is retained has no time of its own."""
        if self._settings.time is None or message.is_retained:
            return False
        newest_ms = self._newest_ms.get(message.topic, at_ms)
        if 0 < newest_ms - at_ms <= self._settings.late_ms_max:
            return True
        if len(self._newest_ms) >= TOPICS_MAX:
            self._newest_ms.clear()
        self._newest_ms[message.topic] = at_ms
        return False

    def _order(
        self, order: LineOrder, now_ms: int, known: KnownReleases
    ) -> Iterator[Reading | Fact | BadInput]:
        """The tags that show the order, before its release: a load may come first."""
        for cell, tag, field in order.leaves:
            value = order.value(field)
            if isinstance(value, Unfit) and value.is_absent and field in CONTEXT:
                value = ""
            if isinstance(value, Unfit):
                yield Reading(cell, tag, None, order.said_ms, "bad", value.reason)
            elif value is not None:
                yield Reading(cell, tag, value, order.said_ms)
        yield from judged(order, self._plant, known, now_ms)

    def _find(self, topic: str) -> tuple["_Leaf | Part", ...]:
        return tuple(
            reader
            for topic_filter, readers in self._readers.items()
            if matches(topic_filter, topic)
            for reader in readers
        )

    def _orders_of(self) -> dict[str, LineOrder]:
        orders: dict[str, LineOrder] = {}
        enterprise = self._plant.enterprise
        for rule in self._settings.orders:
            for short in rule.lines:
                order = orders[f"{enterprise}/{short}"] = LineOrder(rule, f"{enterprise}/{short}")
                for part in order.parts():
                    where = filled(self._settings, part.rule.topic, order.line)
                    self._readers.setdefault(where, []).append(part)
        return orders

    def _tags_of(self, places: Mapping[str, Place]) -> None:
        for path, place in places.items():
            for name, tag in place.cell.tags.items():
                source = MqttSource.model_validate(tag.source)
                if source.order is not None:
                    self._orders[place.line_path].leaves.append((path, name, source.order))
                elif source.topic is not None:
                    kind = source.type if source.type != "as-is" else _KINDS.get(tag.role, "as-is")
                    where = filled(self._settings, source.topic, path, name)
                    self._readers.setdefault(where, []).append(_Leaf(path, name, source, kind))


def filled(settings: MqttSettings, topic: str, path: str, tag: str = "") -> str:
    """The filter of a topic that is read to a tag, or to a line's order."""
    words = [settings.names.get(word, word) for word in (*path.split("/")[1:], tag)]
    levels = dict(zip(PLACEHOLDERS, words, strict=False))
    return f"{settings.root}/{topic.format_map(levels)}"
