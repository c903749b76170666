"""Who may write and read what at the broker: one table, computed for a plant.

Owns the users of the broker and their topic filters. Does no I/O and does not know how a broker
writes this down (broker_config does). The rules repeat the column "written by" of the namespace:
a kind of topic has one kind of writer. Who has no rule has no access.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from types import MappingProxyType
from typing import Final, Literal, NamedTuple

from uns.model.path import LEVELS
from uns.model.plant import Bridge, Plant
from uns.sparkplug.naming import EDGE_NODE, GROUP, descriptor

Access = Literal["read", "write"]
READ: Final = "read"
WRITE: Final = "write"

HOST_ID_DEFAULT: Final = "uns-hub"


REPLAY: Final = "replay"
"""An enterprise of nobody's, where recorded messages may be said again."""


class Grant(NamedTuple):
    """Access to the topics that one MQTT filter selects."""

    access: Access
    topic_filter: str


class BrokerUser(NamedTuple):
    """One component's identity: what it logs in with and all it may do."""

    name: str
    password: str
    grants: tuple[Grant, ...]


class _Subject(NamedTuple):
    """Whom rules are computed for: the plant, and the names that fill a rule's braces."""

    plant: Plant
    names: dict[str, str]


Scope = Callable[[_Subject], list[str]]


class Rule(NamedTuple):
    """Access to `tail` (with {names}) below each place of a scope."""

    access: Access
    scope: Scope
    tail: str


def _root(_subject: _Subject) -> list[str]:
    return [""]


def _enterprise(subject: _Subject) -> list[str]:
    return [f"{subject.plant.enterprise}/"]


def _anywhere(subject: _Subject) -> list[str]:
    return [f"{subject.plant.enterprise}/" + "+/" * depth for depth in range(len(LEVELS))]


def _sites(subject: _Subject) -> list[str]:
    return [f"{subject.plant.enterprise}/{site}/" for site in subject.plant.sites]


def _lines(subject: _Subject) -> list[str]:
    """Every line and every cell: `_tag` and the like never stand higher."""
    return _anywhere(subject)[LEVELS.index("line") :]


def _cells(subject: _Subject) -> list[str]:
    return _anywhere(subject)[LEVELS.index("cell") :]


def _served(subject: _Subject) -> list[str]:
    """The lines that a bridge reads, and their cells."""
    places = subject.plant.served_by(subject.names["name"]).values()
    lines = dict.fromkeys(place.line_path for place in places)
    return [f"{line}/{cells}" for line in lines for cells in ("", "+/")]


def _host(subject: _Subject) -> list[str]:
    """Everything, for a bridge that hears others on this broker; on a foreign server, nothing."""
    return [] if "server" in subject.names else [""]


def _speaking_host(subject: _Subject) -> list[str]:
    """The same, unless it only listens."""
    bridge = subject.plant.bridges[subject.names["name"]]
    return [] if bridge.settings.get("passive") else _host(subject)


COMPONENTS: Final[dict[str, tuple[Rule, ...]]] = {
    "processor": (
        Rule(READ, _anywhere, "_event/#"),
        Rule(READ, _anywhere, "_cmd/#"),
        Rule(READ, _enterprise, "_hub/watermark/#"),
        Rule(READ, _lines, "_state/#"),  # its own documents: it resumes from them
        Rule(READ, _lines, "_hub/processor/#"),
        Rule(READ, _enterprise, "_hub/worker/#"),  # who of them runs which line
        Rule(WRITE, _lines, "_state/#"),
        Rule(WRITE, _lines, "_event/#"),
        Rule(WRITE, _lines, "_hub/processor/#"),
        Rule(WRITE, _enterprise, "_hub/worker/#"),
        Rule(WRITE, _enterprise, "_hub/reject/#"),
    ),
    "historian": (
        Rule(READ, _enterprise, "#"),
        Rule(WRITE, _enterprise, "_hub/historian/#"),
        Rule(WRITE, _enterprise, "_hub/watermark/#"),
        Rule(WRITE, _enterprise, "_hub/reject/#"),
    ),
    "hub": (
        Rule(READ, _root, "#"),
        Rule(READ, _root, "$SYS/#"),
        Rule(WRITE, _anywhere, "_meta/#"),
        Rule(WRITE, _enterprise, "_hub/health/#"),
        Rule(WRITE, _enterprise, "_hub/broker/#"),
        # What a broker forgot, as its one writer last said it: byte for byte from the record.
        # That needs the same right as the writer's, but no more kinds: events are said again by
        # their sources, resume documents and watermarks by processors and the historian.
        Rule(WRITE, _cells, "_tag/#"),
        Rule(WRITE, _lines, "_state/#"),
    ),
    "operator": (
        Rule(READ, _root, "#"),
        Rule(READ, _root, "$SYS/#"),
        Rule(WRITE, _anywhere, "_cmd/#"),
        Rule(WRITE, _root, f"{REPLAY}/#"),
    ),
}
"""The users that every plant has."""

BRIDGE: Final = (
    Rule(WRITE, _served, "_tag/#"),
    Rule(WRITE, _served, "_event/#"),
    Rule(READ, _served, "_cmd/write/+"),
    Rule(WRITE, _enterprise, "_hub/bridge/{name}/#"),
    Rule(READ, _enterprise, "_hub/bridge/{name}/probe"),
    Rule(WRITE, _enterprise, "_hub/reject/#"),
    Rule(READ, _enterprise, "_hub/watermark/#"),
)
"""What each bridge may, for the lines that name it."""

PROTOCOLS: Final[dict[str, tuple[Rule, ...]]] = {
    "erp": (
        Rule(READ, _sites, "_cmd/#"),
        Rule(WRITE, _lines, "_event/#"),
        Rule(WRITE, _sites, "_event/#"),
    ),
    "erp-rest": (
        Rule(READ, _lines, "_state/order/+"),
        Rule(READ, _lines, "_event/order-closed"),
        Rule(READ, _cells, "_event/consumed"),
        Rule(READ, _cells, "_event/oee-interval"),
        Rule(READ, _sites, "_event/reply/+"),
        Rule(WRITE, _sites, "_cmd/order/release"),
        Rule(WRITE, _enterprise, "_hub/erp/{name}"),
    ),
    "desk": (
        Rule(READ, _anywhere, "_cmd/order/+"),
        Rule(READ, _anywhere, "_cmd/stop/+"),
        Rule(READ, _anywhere, "_cmd/kanban/+"),
        Rule(READ, _anywhere, "_cmd/chart/+"),
        Rule(READ, _anywhere, "_cmd/inspection/+"),
        Rule(READ, _anywhere, "_cmd/hold/+"),
        Rule(READ, _lines, "_event/reply/+"),
        Rule(READ, _lines, "_state/transfer/+"),
        Rule(READ, _lines, "_state/hold/+"),
        Rule(READ, _cells, "_state/inspections"),
        Rule(WRITE, _anywhere, "_event/reply/+"),
        Rule(WRITE, _lines, "_event/order-commanded"),
        Rule(WRITE, _lines, "_event/order-moved"),
        Rule(WRITE, _lines, "_event/released"),
        Rule(WRITE, _cells, "_event/stop-commanded"),
        Rule(WRITE, _cells, "_event/chart-commanded"),
        Rule(WRITE, _cells, "_event/inspection-commanded"),
        Rule(WRITE, _cells, "_event/operation-gated"),
        Rule(WRITE, _lines, "_event/kanban-commanded"),
        Rule(WRITE, _lines, "_event/hold-commanded"),
        Rule(WRITE, _lines, "_event/hold-said"),
    ),
    "epcis": (
        Rule(WRITE, _sites, "_event/traced"),
        Rule(WRITE, _sites, "_event/rejected"),
    ),
    "sparkplug": (
        Rule(READ, _host, "spBv1.0/#"),
        Rule(READ, _host, "$sparkplug/certificates/spBv1.0/#"),
        Rule(WRITE, _speaking_host, "spBv1.0/STATE/{host_id}"),
    ),
    "mqtt": (Rule(READ, _host, "{root}/#"),),
}
"""What a bridge of a protocol may besides."""

HOST: Final = (
    Rule(WRITE, _speaking_host, "spBv1.0/{group}/NCMD/{edge_node}"),
    Rule(WRITE, _speaking_host, "spBv1.0/{group}/DCMD/{edge_node}/+"),
)
"""What a Sparkplug bridge may besides, for each edge node that it follows."""

EDGE: Final = (
    Rule(WRITE, _root, "spBv1.0/{group}/NBIRTH/{edge_node}"),
    Rule(WRITE, _root, "spBv1.0/{group}/NDATA/{edge_node}"),
    Rule(WRITE, _root, "spBv1.0/{group}/NDEATH/{edge_node}"),
    Rule(WRITE, _root, "spBv1.0/{group}/DBIRTH/{edge_node}/+"),
    Rule(WRITE, _root, "spBv1.0/{group}/DDATA/{edge_node}/+"),
    Rule(WRITE, _root, "spBv1.0/{group}/DDEATH/{edge_node}/+"),
    Rule(READ, _root, "spBv1.0/{group}/NCMD/{edge_node}"),
    Rule(READ, _root, "spBv1.0/{group}/DCMD/{edge_node}/+"),
    Rule(READ, _root, "spBv1.0/STATE/+"),
)
"""What the edge node of a Sparkplug bridge may: speak for itself (Sparkplug 3.0, 4.1)."""

FOREIGN: Final = (
    Rule(READ, _root, "{root}/#"),
    Rule(WRITE, _root, "{root}/#"),
)
"""What whoever publishes a foreign namespace on this broker may: that, and nothing else."""

EXPORTED: Final = (
    Rule(READ, _root, "{line}/+/_tag/#"),
    Rule(READ, _root, "{line}/+/_event/reply/+"),
    Rule(WRITE, _root, "{line}/+/_cmd/write/+"),
)
"""What a Sparkplug edge bridge may at each line that it shows; EDGE too, on the hub's broker."""

EdgeNodes = Mapping[str, Iterable[tuple[str, str]]]


def broker_users(
    plant: Plant, passwords: Callable[[str], str], edge_nodes: EdgeNodes = MappingProxyType({})
) -> list[BrokerUser]:
    """All users of a plant's broker.

    Components, `bridge-<name>`, `edge-<edge node>` for the edge node that a bridge's settings
    name, `edges-<bridge>` for those that only its sources and its map name, `foreign-<bridge>` for
    a foreign namespace on this broker.
    passwords: the password of a user name, for as long as the name exists.
    edge_nodes: by bridge, the (group, edge node) that it follows on this broker.
    """
    grants: dict[str, dict[Grant, None]] = {}
    for name, rules, subject in _identities(plant, edge_nodes):
        grants.setdefault(name, {}).update(dict.fromkeys(_grants(rules, subject)))
    return [BrokerUser(name, passwords(name), tuple(each)) for name, each in grants.items()]


def bridge_user(bridge: str) -> str:
    """The user name of a bridge."""
    return f"bridge-{bridge}"


def edge_user(edge_node: str) -> str:
    """The user name of a Sparkplug edge node."""
    return f"edge-{edge_node}"


def foreign_user(bridge: str) -> str:
    """The user name of whoever publishes the foreign namespace that an MQTT bridge reads here."""
    return f"foreign-{bridge}"


def edges_user(bridge: str) -> str:
    """The user name of the edge nodes that only a bridge's sources and map name."""
    return f"edges-{bridge}"


def _identities(
    plant: Plant, edge_nodes: EdgeNodes
) -> Iterator[tuple[str, tuple[Rule, ...], _Subject]]:
    for name, rules in COMPONENTS.items():
        yield name, rules, _Subject(plant, {})
    for name, bridge in plant.bridges.items():
        subject = _Subject(plant, _names(name, bridge))
        yield bridge_user(name), BRIDGE + PROTOCOLS.get(bridge.protocol, ()), subject
        if bridge.protocol == "sparkplug" and "server" not in subject.names:
            yield from _edges(subject, edge_nodes.get(name, ()))
        elif bridge.protocol == "mqtt" and "server" not in subject.names:
            yield foreign_user(name), FOREIGN, subject
        elif bridge.protocol == "sparkplug-edge":
            yield from _exports(bridge, subject)


def _edges(
    subject: _Subject, followed: Iterable[tuple[str, str]]
) -> Iterator[tuple[str, tuple[Rule, ...], _Subject]]:
    name, names = subject.names["name"], subject.names
    own = (names.get("group", ""), names.get("edge_node", ""))
    for node in dict.fromkeys((*([own] if all(own) else []), *followed)):
        of_node = _Subject(subject.plant, names | {"group": node[0], "edge_node": node[1]})
        yield bridge_user(name), HOST, of_node
        yield edge_user(node[1]) if node == own else edges_user(name), EDGE, of_node


def _exports(bridge: Bridge, subject: _Subject) -> Iterator[tuple[str, tuple[Rule, ...], _Subject]]:
    """What a Sparkplug edge bridge may for each line that it shows."""
    settings, plant = bridge.settings, subject.plant
    shown = {f"{plant.enterprise}/{line}" for line in settings.get("lines", ())}
    rules = EXPORTED if settings.get("servers") else EXPORTED + EDGE
    for line in plant.lines:
        if not shown or line in shown:
            node = descriptor(
                line, settings.get("group", GROUP), settings.get("edge_node", EDGE_NODE)
            )
            names = {**subject.names, **node._asdict(), "line": line}
            yield bridge_user(names["name"]), rules, _Subject(plant, names)


def _names(name: str, bridge: Bridge) -> dict[str, str]:
    texts = {key: value for key, value in bridge.settings.items() if isinstance(value, str)}
    return {"host_id": HOST_ID_DEFAULT, **texts, "name": name}


def _grants(rules: tuple[Rule, ...], subject: _Subject) -> Iterator[Grant]:
    for access, scope, tail in rules:
        for place in scope(subject):
            yield Grant(access, place + tail.format_map(subject.names))
