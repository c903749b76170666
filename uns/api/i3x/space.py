"""PURE: the address space of a plant: types, objects and the edges between them (i3X 1.0).

An object's id is its place or topic. Type names begin with a capital, so they are no place's.
Every edge is there in both directions.
"""

from collections.abc import Iterable, Iterator, Mapping
from functools import cached_property
from itertools import pairwise
from typing import Any, Final, NamedTuple

from uns.api.i3x.wire import Metadata, Namespace, Object, ObjectType, RelationshipType
from uns.model.events import Tag
from uns.model.path import TopicError, level_of, parse_topic
from uns.model.plant import Plant

I3X_URI: Final = "https://cesmii.org/i3X"
ISA95_URI: Final = "https://www.isa.org/isa95?projection=uns"
OUR_URI: Final = "urn:uns:schema"
NAMESPACES: Final = (
    Namespace(uri=I3X_URI, display_name="i3X"),
    Namespace(uri=ISA95_URI, display_name="ISA-95 (part 1)"),
    Namespace(uri=OUR_URI, display_name="Unified namespace"),
)
REVERSE: Final = {
    "HasParent": "HasChildren",
    "HasChildren": "HasParent",
    "HasComponent": "ComponentOf",
    "ComponentOf": "HasComponent",
    "FlowsTo": "FlowsFrom",
    "FlowsFrom": "FlowsTo",
}
"""Each relationship type and its reverse. FlowsTo: what a cell makes goes to the next one."""
VERSION: Final = "1.0.0"
ISA95: Final = {
    "enterprise": "Enterprise",
    "site": "Site",
    "area": "Area",
    "line": "WorkCenter",
    "cell": "WorkUnit",
}
PLACE_SCHEMA: Final[Mapping[str, Any]] = {
    "type": "object",
    "properties": {"title": {"type": "string"}, "level": {"enum": list(ISA95)}},
    "required": ["title", "level"],
}
STATE_SCHEMA: Final[Mapping[str, Any]] = {
    "type": "object",
    "properties": {
        "summary": {"type": "string", "description": "one line for people"},
        "rev": {"type": "integer", "minimum": 0},
        "at_ms": {"type": "integer", "description": "plant time, ms since 1970"},
    },
    "required": ["summary", "rev"],
}
STATE_TYPE: Final = "StateDocument"
TAG_TYPE: Final = "Tag"


class Element(NamedTuple):
    """An object without its edges. A component's value is part of what its parent is."""

    id: str
    name: str
    type_id: str
    parent_id: str | None = None
    is_component: bool = False
    description: str = ""


class Edge(NamedTuple):
    """From the object it is kept with to another."""

    relationship: str
    to: str


def tag_type(unit: str | None) -> str:
    """The type of tags of a unit."""
    return f"{TAG_TYPE}-{unit}" if unit else TAG_TYPE


_STANDARD: Final = ("HasParent", "HasChildren", "HasComponent", "ComponentOf")
RELATIONSHIPS: Final = {
    name: RelationshipType(
        element_id=name,
        display_name=name,
        namespace_uri=I3X_URI if name in _STANDARD else OUR_URI,
        relationship_id=name,
        reverse_of=reverse,
    )
    for name, reverse in REVERSE.items()
}


class Space:
    """The objects of a plant, and the state documents that there are now (by topic)."""

    def __init__(self, plant: Plant, state_topics: Iterable[str] = ()) -> None:
        self._plant = plant
        places = (*_places(plant), *_tags(plant))
        self.elements = {element.id: element for element in places}
        states = (_state(topic) for topic in sorted(state_topics))
        self.elements |= {s.id: s for s in states if s and s.parent_id in self.elements}

    @cached_property
    def types(self) -> dict[str, ObjectType]:
        """Every object type by its id."""
        units = {tag.unit for p in self._plant.cells.values() for tag in p.cell.tags.values()}
        found = [_type(name, PLACE_SCHEMA, ISA95_URI) for name in ISA95.values()]
        found += [_type(tag_type(unit), _tag_schema(unit)) for unit in sorted(units, key=str)]
        found.append(_type(STATE_TYPE, STATE_SCHEMA))
        return {one.element_id: one for one in found}

    @cached_property
    def edges(self) -> dict[str, list[Edge]]:
        """The edges of each object, by its id."""
        found: dict[str, list[Edge]] = {id_: [] for id_ in self.elements}
        for one, relationship, other in self._pairs():
            found[one].append(Edge(relationship, other))
            found[other].append(Edge(REVERSE[relationship], one))
        return found

    @cached_property
    def components(self) -> dict[str, list[str]]:
        """The components of each object that has some."""
        found: dict[str, list[str]] = {}
        for element in self.elements.values():
            if element.is_component and element.parent_id:
                found.setdefault(element.parent_id, []).append(element.id)
        return found

    def object(self, id_: str, *, metadata: bool) -> Object:
        """An object as clients see it."""
        element = self.elements[id_]
        bare = Object(
            element_id=id_,
            display_name=element.name,
            type_element_id=element.type_id,
            parent_id=element.parent_id,
            is_composition=id_ in self.components,
            is_extended=False,
        )
        return bare.model_copy(update={"metadata": self._metadata(element)}) if metadata else bare

    def value_of(self, id_: str) -> dict[str, Any]:
        """What a place is: the value of the objects that are no topics."""
        element = self.elements[id_]
        return {"title": element.description, "level": level_of(id_)}

    def is_topic(self, id_: str) -> bool:
        """Whether an object's value is what its topic says."""
        return self.elements[id_].is_component

    def _metadata(self, element: Element) -> Metadata:
        edges: dict[str, list[str]] = {}
        for edge in self.edges[element.id]:
            edges.setdefault(edge.relationship, []).append(edge.to)
        known = self.types[element.type_id]
        return Metadata(
            description=element.description or element.name,
            type_namespace_uri=known.namespace_uri,
            source_type_id=known.source_type_id,
            relationships=edges,
        )

    def _pairs(self) -> Iterator[tuple[str, str, str]]:
        for element in self.elements.values():
            if element.parent_id:
                yield element.id, "HasParent", element.parent_id
                if element.is_component:
                    yield element.id, "ComponentOf", element.parent_id
        for cells in self._plant.lines.values():
            for one, following in pairwise(cells):
                yield one.path, "FlowsTo", following.path


class Spaces:
    """The space of a plant, made anew when other state documents are there."""

    def __init__(self, plant: Plant) -> None:
        self._plant = plant
        self._newest = (frozenset[str](), Space(plant))

    def with_states(self, topics: Iterable[str]) -> Space:
        """The space with these state documents."""
        wanted = frozenset(topics)
        known, space = self._newest
        if wanted != known:
            space = Space(self._plant, wanted)
            self._newest = (wanted, space)
        return space


def _places(plant: Plant) -> Iterator[Element]:
    yield _place(plant.enterprise, "")
    for site_name, site in plant.sites.items():
        site_path = f"{plant.enterprise}/{site_name}"
        yield _place(site_path, site.title)
        for area_name, area in site.areas.items():
            yield _place(f"{site_path}/{area_name}", area.title)
    for path, cells in plant.lines.items():
        yield _place(path, cells[0].line.title)
    for path, place in plant.cells.items():
        yield _place(path, place.cell.title)


def _place(path: str, title: str) -> Element:
    above, _, name = path.rpartition("/")
    return Element(path, title or name, ISA95[level_of(path)], above or None, description=title)


def _tags(plant: Plant) -> Iterator[Element]:
    for path, place in plant.cells.items():
        for name, tag in place.cell.tags.items():
            topic = f"{path}/_tag/{name}"
            about = tag.title or ""
            type_id = tag_type(tag.unit)
            yield Element(topic, name, type_id, path, is_component=True, description=about)


def _state(topic: str) -> Element | None:
    try:
        parsed = parse_topic(topic)
    except TopicError:
        return None
    if parsed.kind != "_state":
        return None
    name = " ".join((parsed.name, *parsed.keys))
    return Element(topic, name, STATE_TYPE, parsed.path, is_component=True)


def _type(name: str, schema: Mapping[str, Any], uri: str = OUR_URI) -> ObjectType:
    return ObjectType(
        element_id=name,
        display_name=name,
        namespace_uri=uri,
        source_type_id=name,
        version=VERSION,
        schema=dict(schema),
    )


def _tag_schema(unit: str | None) -> Mapping[str, Any]:
    """What has a unit is a number; of what has none, nothing but its being a scalar is known."""
    if unit:
        return {"type": "number", "unit": unit}
    schema: dict[str, Any] = Tag.model_json_schema()["properties"]["value"]
    return schema
