"""PURE: what is wrong with the MQTT bridges of a plant, beyond the shape of their settings.

Owns the findings, each with where it stands. Does not know what is heard.
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

from bridges.mqtt.config import MqttSettings, MqttSource, OrderRule
from bridges.mqtt.mapping import filled
from uns.model.checks import Finding, Location, did_you_mean, where_of
from uns.model.equipment import STATES
from uns.model.plant import Place, Plant

PROTOCOL: Final = "mqtt"
RESERVED: Final = frozenset({"spBv1.0", "replay"})


def findings(plant: Plant) -> Iterator[Finding]:
    """Every fault of the MQTT bridges and sources of a plant, each with its place."""
    for name, bridge in plant.bridges.items():
        if bridge.protocol != PROTOCOL:
            continue
        settings, places = MqttSettings.model_validate(bridge.settings), plant.served_by(name)
        yield from _bad_root(plant, name, settings)
        yield from _bad_orders(plant, name, settings, places)
        for path, place in places.items():
            yield from _bad_sources(settings, path, place)
        yield from _twice(settings, places)


def _bad_root(plant: Plant, name: str, settings: MqttSettings) -> Iterator[Finding]:
    first = settings.root.partition("/")[0]
    if settings.server is None and first in {plant.enterprise, *RESERVED}:
        where = ("bridges", name, "root")
        yield where, f"'{first}' on the hub's own broker is not a foreign namespace"


def _bad_orders(
    plant: Plant, name: str, settings: MqttSettings, places: Mapping[str, Place]
) -> Iterator[Finding]:
    read = {place.line_path for place in places.values()}
    seen: dict[str, int] = {}
    for n, rule in enumerate(settings.orders):
        where = ("bridges", name, "orders", n)
        for i, short in enumerate(rule.lines):
            line, at = f"{plant.enterprise}/{short}", (*where, "lines", i)
            known = [path.partition("/")[2] for path in plant.lines]
            if line not in plant.lines:
                yield at, f"unknown line '{short}'{did_you_mean(short, known)}"
            elif line not in read:
                yield at, f"'{short}' has no tag that this bridge reads"
            if seen.setdefault(line, n) != n:
                yield at, f"'{short}' has a rule already: rule {seen[line] + 1}"
        yield from _bad_items(plant, rule, where)


def _bad_items(plant: Plant, rule: OrderRule, where: Location) -> Iterator[Finding]:
    for word, item in rule.item.values.items():
        if item not in plant.items:
            hint = did_you_mean(str(item), plant.items)
            yield (*where, "item", "values", word), f"unknown item '{item}'{hint}"


def _bad_sources(settings: MqttSettings, path: str, place: Place) -> Iterator[Finding]:
    for name, tag in place.cell.tags.items():
        source = MqttSource.model_validate(tag.source)
        where = (*where_of(path), "tags", name, "source")
        if tag.role == "state":
            yield from _bad_states(source.values, where)
        if source.order is None:
            continue
        rule = _rule_of(settings, place.line_path)
        if rule is None:
            yield where, "no rule in 'orders' of the bridge is for this line"
        elif not rule.origins(source.order):
            yield where, f"the rule in 'orders' for this line says no '{source.order}'"


def _bad_states(values: Mapping[str, Any], where: Location) -> Iterator[Finding]:
    for word, state in values.items():
        if state not in STATES:
            hint = did_you_mean(str(state), STATES)
            yield (*where, "values", word), f"unknown state '{state}'{hint}"


def _rule_of(settings: MqttSettings, line: str) -> OrderRule | None:
    short = line.partition("/")[2]
    return next((rule for rule in settings.orders if short in rule.lines), None)


def _twice(settings: MqttSettings, places: Mapping[str, Place]) -> Iterator[Finding]:
    seen: dict[str, str] = {}
    for path, name, source in _topics(places):
        at = filled(settings, source.topic or "", path, name)
        address = f"{at} {source.model_dump_json(exclude={'topic'})}"
        first = seen.setdefault(address, f"{path}/_tag/{name}")
        if first != f"{path}/_tag/{name}":
            where = (*where_of(path), "tags", name, "source")
            yield where, f"this source already feeds {first}"


def _topics(places: Mapping[str, Place]) -> Iterable[tuple[str, str, MqttSource]]:
    for path, place in places.items():
        for name, tag in place.cell.tags.items():
            source = MqttSource.model_validate(tag.source)
            if source.topic is not None:
                yield path, name, source
