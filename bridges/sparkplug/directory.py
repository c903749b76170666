"""Which tag shows which metric: sources and map rules of namespace.yaml, resolved and checked.

Owns the table both ways and the faults it may have. Pure: knows no births, no MQTT, no time.
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final, NamedTuple

from bridges.sparkplug.config import PARRIS, MapRule, SparkplugSettings, SparkplugSource
from bridges.sparkplug.rules import Leaf, Origin, Rule
from uns.model.checks import Finding, where_of
from uns.model.plant import Place, Plant
from uns.mqtt.server import server_of

PROTOCOL: Final = "sparkplug"
NodeKey = tuple[str, str]


class Endpoint(NamedTuple):
    """An edge node (`device` None) or one of its devices."""

    group: str
    edge_node: str
    device: str | None

    def __str__(self) -> str:
        return "/".join(part for part in self if part is not None)


class Directory:
    """The tags of a bridge by their metrics, and back."""

    def __init__(self, tags: Mapping[Origin, Leaf]) -> None:
        self.tags = dict(tags)
        self.origins = {leaf: origin for origin, leaf in tags.items()}
        self.by_endpoint: dict[Endpoint, dict[str, Leaf]] = {}
        for origin, leaf in tags.items():
            self.by_endpoint.setdefault(Endpoint(*origin[:3]), {})[origin.metric] = leaf
        self.nodes: dict[NodeKey, None] = dict.fromkeys(each[:2] for each in tags)

    def follows(self, group: str, edge_node: str) -> bool:
        """Whether any tag is read from an edge node."""
        return (group, edge_node) in self.nodes

    def feeds(self, endpoint: Endpoint) -> tuple[Leaf, ...]:
        """The tags that are read from an endpoint."""
        return tuple(self.by_endpoint.get(endpoint, {}).values())


class Map:
    """What a source leaves out, by the settings and the rules behind them."""

    def __init__(self, settings: SparkplugSettings) -> None:
        self._settings = settings
        self.explicit = [_rule(row, settings.delimiter) for row in settings.map]
        self._rules = [*self.explicit, _rule(PARRIS, settings.delimiter)]

    def origin_of(self, leaf: Leaf, source: SparkplugSource) -> Origin | None:
        """The metric that feeds a leaf; None when it is not stated and no rule says it."""
        group = source.group or self._settings.group
        edge_node = source.edge_node or self._settings.edge_node
        if group and edge_node and source.metric:
            return Origin(group, edge_node, source.device, source.metric)
        ruled = next(filter(None, (rule.origin_of(leaf) for rule in self._rules)), None)
        if ruled is None:
            return None
        device = source.device or (None if source.metric else ruled.device)
        return Origin(
            group or ruled.group,
            edge_node or ruled.edge_node,
            device,
            source.metric or ruled.metric,
        )

    def leaf_of(self, origin: Origin) -> Leaf | None:
        """The leaf that the rules alone give to a metric."""
        return next(filter(None, (rule.leaf_of(origin) for rule in self._rules)), None)


def _rule(row: MapRule, delimiter: str) -> Rule:
    origin = Origin(row.group, row.edge_node, row.device, row.metric)
    return Rule(origin, Leaf(row.path, row.tag), delimiter)


def directory_of(settings: SparkplugSettings, places: Mapping[str, Place]) -> Directory:
    """Every tag of the cells by its metric; the sources were checked with namespace.yaml."""
    return Directory({origin: leaf for leaf, origin in _resolved(settings, places) if origin})


def origins(plant: Plant) -> dict[Leaf, Origin]:
    """Where each tag behind a Sparkplug bridge comes from."""
    return {
        leaf: origin
        for name, settings in _bridges(plant)
        for leaf, origin in _resolved(settings, plant.served_by(name))
        if origin
    }


def edge_nodes(plant: Plant) -> dict[str, tuple[NodeKey, ...]]:
    """The edge nodes that each bridge on the hub's own broker follows."""
    return {
        name: tuple(directory_of(settings, plant.served_by(name)).nodes)
        for name, settings in _bridges(plant)
        if settings.server is None
    }


def _resolved(
    settings: SparkplugSettings, places: Mapping[str, Place]
) -> Iterator[tuple[Leaf, Origin | None]]:
    rules = Map(settings)
    for path, place in places.items():
        for name, tag in place.cell.tags.items():
            leaf = Leaf(path, name)
            yield leaf, rules.origin_of(leaf, SparkplugSource.model_validate(tag.source))


def _bridges(plant: Plant) -> Iterator[tuple[str, SparkplugSettings]]:
    for name, bridge in plant.bridges.items():
        if bridge.protocol == PROTOCOL:
            yield name, SparkplugSettings.model_validate(bridge.settings)


# --- the check


def findings(plant: Plant) -> Iterator[Finding]:
    """Every fault of the Sparkplug bridges and sources of a plant, each with its place."""
    bridges = list(_bridges(plant))
    yield from _shared_host_ids(bridges)
    for name, settings in bridges:
        for index, message in _ambiguous(Map(settings).explicit):
            yield ("bridges", name, "map", index), message
    yield from _bad_sources(plant, bridges)


def _server(settings: SparkplugSettings) -> Any:
    """Which broker a bridge is on."""
    return None if settings.server is None else server_of(settings.server)


def _shared_host_ids(bridges: Iterable[tuple[str, SparkplugSettings]]) -> Iterator[Finding]:
    seen: dict[Any, str] = {}
    for name, settings in bridges:
        first = seen.setdefault((_server(settings), settings.host_id), name)
        if first != name:
            where = ("bridges", name, "host_id")
            yield where, f"host_id '{settings.host_id}' is already that of bridge '{first}'"


def _ambiguous(rules: list[Rule]) -> Iterator[tuple[int, str]]:
    """Rules that are hidden by one before, or share leaves with one that is no special case."""
    for index, rule in enumerate(rules):
        for before, earlier in enumerate(rules[:index]):
            if earlier.covers(rule):
                yield index, f"rule {index + 1} never applies: rule {before + 1} fits all its tags"
            elif rule.meets(earlier) and not rule.covers(earlier):
                yield index, f"rules {before + 1} and {index + 1} both fit some tags: part them"


def _bad_sources(
    plant: Plant, bridges: Iterable[tuple[str, SparkplugSettings]]
) -> Iterator[Finding]:
    seen: dict[Any, Leaf] = {}
    for name, settings in bridges:
        rules = Map(settings)
        for leaf, origin in _resolved(settings, plant.served_by(name)):
            where = (*where_of(leaf.cell), "tags", leaf.tag, "source")
            if origin is None:
                yield where, "no rule names this tag: write out its source"
                continue
            first = seen.setdefault((_server(settings), origin), leaf)
            if first != leaf:
                yield where, f"this source already feeds {first.cell}/_tag/{first.tag}"
            elif _is_ruled(plant, leaf) and (read := rules.leaf_of(origin)) != leaf:
                shown = f"{read.cell}/_tag/{read.tag}" if read else "no tag"
                yield where, f"ambiguous map: metric {origin.metric!r} reads back as {shown}"


def _is_ruled(plant: Plant, leaf: Leaf) -> bool:
    """Whether the rules alone name a tag."""
    place = plant.cells[leaf.cell]
    settings = plant.bridges[place.bridge_of(leaf.tag)].settings
    return not (place.cell.tags[leaf.tag].source or settings.keys() & {"group", "edge_node"})
