"""Who may write and read what at the broker: one table, computed for a plant.

Owns the users of the broker and their topic filters. Does no I/O and does not know how a broker
writes this down (broker_config does). The rules repeat the column "written by" of the namespace:
a kind of topic has one kind of writer. Who has no rule has no access.
"""

from collections.abc import Callable, Iterator
from typing import Final, Literal, NamedTuple

from uns.model.path import LEVELS
from uns.model.plant import Bridge, Plant

Access = Literal["read", "write"]
READ: Final = "read"
WRITE: Final = "write"

HOST_ID_DEFAULT: Final = "uns-hub"


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


def _served(subject: _Subject) -> list[str]:
    """The lines that a bridge reads, and their cells."""
    places = subject.plant.served_by(subject.names["name"]).values()
    lines = dict.fromkeys(place.line_path for place in places)
    return [f"{line}/{cells}" for line in lines for cells in ("", "+/")]


COMPONENTS: Final[dict[str, tuple[Rule, ...]]] = {
    "processor": (
        Rule(READ, _anywhere, "_event/#"),
        Rule(READ, _anywhere, "_cmd/#"),
        Rule(READ, _enterprise, "_hub/watermark/#"),
        Rule(READ, _lines, "_state/#"),  # its own documents: it resumes from them
        Rule(READ, _lines, "_hub/processor/#"),
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
    ),
    "operator": (
        Rule(READ, _root, "#"),
        Rule(READ, _root, "$SYS/#"),
        Rule(WRITE, _anywhere, "_cmd/#"),
    ),
}
"""The users that every plant has."""

BRIDGE: Final = (
    Rule(WRITE, _served, "_tag/#"),
    Rule(WRITE, _served, "_event/#"),
    Rule(WRITE, _enterprise, "_hub/bridge/{name}/#"),
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
    "sparkplug": (
        Rule(READ, _root, "spBv1.0/{group}/#"),
        Rule(READ, _root, "spBv1.0/STATE/{host_id}"),
        Rule(WRITE, _root, "spBv1.0/{group}/NCMD/{edge_node}"),
        Rule(WRITE, _root, "spBv1.0/{group}/DCMD/{edge_node}/+"),
        Rule(WRITE, _root, "spBv1.0/STATE/{host_id}"),
    ),
}
"""What a bridge of a protocol may besides."""

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


def broker_users(plant: Plant, passwords: Callable[[str], str]) -> list[BrokerUser]:
    """All users of a plant's broker: components, `bridge-<name>`, `edge-<edge node>`.

    passwords: the password of a user name, for as long as the name exists.
    """
    return [
        BrokerUser(name, passwords(name), tuple(dict.fromkeys(_grants(rules, subject))))
        for name, rules, subject in _identities(plant)
    ]


def bridge_user(bridge: str) -> str:
    """The user name of a bridge."""
    return f"bridge-{bridge}"


def edge_user(edge_node: str) -> str:
    """The user name of a Sparkplug edge node."""
    return f"edge-{edge_node}"


def _identities(plant: Plant) -> Iterator[tuple[str, tuple[Rule, ...], _Subject]]:
    for name, rules in COMPONENTS.items():
        yield name, rules, _Subject(plant, {})
    for name, bridge in plant.bridges.items():
        subject = _Subject(plant, _names(name, bridge))
        yield bridge_user(name), BRIDGE + PROTOCOLS.get(bridge.protocol, ()), subject
        if bridge.protocol == "sparkplug":
            yield edge_user(subject.names["edge_node"]), EDGE, subject


def _names(name: str, bridge: Bridge) -> dict[str, str]:
    texts = {key: value for key, value in bridge.settings.items() if isinstance(value, str)}
    return {"host_id": HOST_ID_DEFAULT, **texts, "name": name}


def _grants(rules: tuple[Rule, ...], subject: _Subject) -> Iterator[Grant]:
    for access, scope, tail in rules:
        for place in scope(subject):
            yield Grant(access, place + tail.format_map(subject.names))
