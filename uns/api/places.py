"""PURE: the places of a plant as the API lists them."""

from typing import Any

from pydantic import BaseModel

from uns.model.path import level_of
from uns.model.plant import Place, Plant


class Tag(BaseModel):
    """A tag of a cell, by its topic."""

    topic: str
    unit: str | None
    title: str | None


class Node(BaseModel):
    """A place of the plant. Cells have tags, a line its bottleneck, a site its time zone."""

    path: str
    level: str
    title: str
    time_zone: str | None = None
    bottleneck: str | None = None
    tags: list[Tag] = []


def nodes(plant: Plant) -> list[Node]:
    """Every place of a plant, by path."""
    found = {plant.enterprise: _node(plant.enterprise)}
    for place in plant.cells.values():
        above = place.line_path.rpartition("/")[0]
        area = place.site.areas[above.rpartition("/")[2]]
        line, site = place.line, place.site
        found[place.site_path] = _node(place.site_path, site.title, time_zone=site.time_zone)
        found[above] = _node(above, area.title)
        found[place.line_path] = _node(place.line_path, line.title, bottleneck=line.bottleneck)
        found[place.path] = _node(place.path, place.cell.title, tags=_tags(place))
    return [found[path] for path in sorted(found)]


def _tags(place: Place) -> list[Tag]:
    return [
        Tag(topic=f"{place.path}/_tag/{name}", unit=tag.unit, title=tag.title)
        for name, tag in place.cell.tags.items()
    ]


def _node(path: str, title: str = "", **more: Any) -> Node:
    return Node(path=path, level=level_of(path), title=title, **more)
