"""Self-description: the `_meta` documents of a plant and the schemas of every payload. Pure."""

from collections.abc import Iterator, Mapping
from string import Formatter
from typing import Final

from pydantic import BaseModel

from bridges.sparkplug.directory import origins
from bridges.sparkplug.rules import Leaf, Origin
from uns.fold import Document
from uns.model.commands import COMMANDS
from uns.model.events import EVENTS, Reply, Tag
from uns.model.path import level_of
from uns.model.plant import Place, Plant

ISA95: Final = {
    "enterprise": "Enterprise",
    "site": "Site",
    "area": "Area",
    "line": "WorkCenter",
    "cell": "WorkUnit",
}


def command_schema(name: str) -> str:
    """The schema's name of a command: `write/{tag}` is `cmd-write`."""
    return f"cmd-{name.partition('/{')[0].replace('/', '-')}"


SCHEMAS: Final[dict[str, type[BaseModel]]] = {
    "namespace": Plant,
    "tag": Tag,
    **EVENTS,
    **{command_schema(name): model for name, model in COMMANDS.items()},
}
REFERENCE: Final = "#/components/schemas/{model}"
PARAMETERS: Final = {
    "place": "enterprise/site/area/line/cell, cut from the right",
    "name": "the tag's name in namespace.yaml",
    "tag": "a tag's name at a cell",
    "command": "what is asked for",
    "request_id": "as in the command that is answered",
}


def schema(name: str) -> Document:
    """The JSON Schema (2020-12) of one payload or of namespace.yaml."""
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": f"urn:uns:schema:{name}:1",
        **SCHEMAS[name].model_json_schema(),
    }


def meta_documents(plant: Plant) -> Iterator[tuple[str, Document]]:
    """Every retained `_meta` document of a plant by topic."""
    for path, node in _nodes(plant).items():
        yield f"{path}/_meta/node", {"summary": _summary(path, node), **node}
    for name, model in SCHEMAS.items():
        summary = (model.__doc__ or name).strip().splitlines()[0]
        topic = f"{plant.enterprise}/_meta/schema/{name}"
        yield topic, {"summary": f"{name}: {summary}", "schema": schema(name)}


def _summary(path: str, node: Document) -> str:
    return f"{node['title'] or path.rpartition('/')[2]} ({node['level']})"


def _nodes(plant: Plant) -> dict[str, Document]:
    resolved = origins(plant)
    nodes = {plant.enterprise: _node(plant.enterprise, "")}
    for site_name, site in plant.sites.items():
        site_path = f"{plant.enterprise}/{site_name}"
        nodes[site_path] = {**_node(site_path, site.title), "time_zone": site.time_zone}
        for area_name, area in site.areas.items():
            area_path = f"{site_path}/{area_name}"
            nodes[area_path] = _node(area_path, area.title)
    for path, place in plant.cells.items():
        line = {"bridge": place.line.bridge, "bottleneck": place.line.bottleneck}
        nodes.setdefault(place.line_path, {**_node(place.line_path, place.line.title), **line})
        cell = {"bridge": place.bridge, "tags": _tags(place, resolved)}
        nodes[path] = {**_node(path, place.cell.title), **cell}
    return nodes


def _node(path: str, title: str) -> Document:
    level = level_of(path)
    return {"title": title, "level": level, "isa95": ISA95[level], "path": path}


def _tags(place: Place, resolved: Mapping[Leaf, Origin]) -> Document:
    """What the file says of each tag; where a map says the rest of its source, that too."""
    tags: Document = {}
    for name, spec in place.cell.tags.items():
        tags[name] = spec.model_dump(exclude_none=True, exclude_defaults=True)
        if origin := resolved.get(Leaf(place.path, name)):
            tags[name]["source"] = {k: v for k, v in origin._asdict().items() if v is not None}
    return tags


def asyncapi(plant: Plant) -> Document:
    """An AsyncAPI 3.0 document of the tree: one channel a kind of message, MQTT bindings."""
    channels = {
        "tag": _channel("{place}/_tag/{name}", "tag", retain=True),
        **{f"event-{t}": _channel(_event_address(t), t, retain=False) for t in EVENTS},
        **{
            command_schema(name): _channel(
                f"{{place}}/_cmd/{name}", command_schema(name), retain=False
            )
            for name in COMMANDS
        },
    }
    return {
        "asyncapi": "3.0.0",
        "info": {"title": f"Unified namespace of {plant.enterprise}", "version": "1.0.0"},
        "channels": channels,
        "components": {"schemas": _components()},
    }


def _event_address(type_name: str) -> str:
    key = "/{request_id}" if type_name == Reply.type_name else ""
    return f"{{place}}/_event/{type_name}{key}"


def _channel(address: str, name: str, *, retain: bool) -> Document:
    message = {
        "payload": {"$ref": REFERENCE.format(model=name)},
        "contentType": "application/json",
        "bindings": {"mqtt": {"bindingVersion": "0.2.0"}},
    }
    named = (field for _, field, _, _ in Formatter().parse(address) if field)
    return {
        "address": address,
        "parameters": {field: {"description": PARAMETERS[field]} for field in named},
        "messages": {name: message},
        "description": f"QoS 1, {'retained' if retain else 'not retained'}",
    }


def _components() -> Document:
    """The schemas of all payloads, their parts beside them: AsyncAPI resolves from the root."""
    found: Document = {}
    for name, model in SCHEMAS.items():
        if model is not Plant:
            document = model.model_json_schema(ref_template=REFERENCE)
            found |= {**document.pop("$defs", {}), name: document}
    return found
