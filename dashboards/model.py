"""PURE: what a board is made of, and how Grafana writes it: v1 JSON, which Grafana 11 to 13 read.

Owns the one data source, the tag and the ids. Must not know any query, place or read model.
Every `to_json` gives a JSON object; a value has no checks of its own: Grafana and the tests do.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Literal

Json = dict[str, Any]
DATA_SOURCE: Final[Json] = {"type": "grafana-postgresql-datasource", "uid": "uns"}
TAG: Final = "uns-mes"
SCHEMA_VERSION: Final = 39
OTHERS: Final[Json] = {
    "type": "dashboards",
    "title": "UNS",
    "tags": [TAG],
    "asDropdown": True,
    "icon": "external link",
    "includeVars": True,
    "keepTime": True,
    "targetBlank": False,
    "tooltip": "The other boards, with the same time and choices",
    "url": "",
}


@dataclass(frozen=True)
class Target:
    """A query. `time_series` wants a column `time` and numbers; a `table` takes any columns."""

    sql: str
    format: Literal["table", "time_series"] = "table"

    def to_json(self, ref_id: str) -> Json:
        """The query under a name of its own in its panel."""
        return {
            "refId": ref_id,
            "datasource": DATA_SOURCE,
            "editorMode": "code",
            "format": self.format,
            "rawQuery": True,
            "rawSql": self.sql,
        }


@dataclass(frozen=True)
class Variable:
    """A choice among what a query offers as `__value` and `__text`; it may use those before it.

    multi: several at once, everything until someone chooses; else one, the first of them.
    timed: the query depends on the chosen time.
    """

    name: str
    label: str
    sql: str
    multi: bool = True
    timed: bool = False

    def to_json(self) -> Json:
        """Asked again when the board is loaded, and if `timed` when the time changes."""
        everything = {"current": {"text": ["All"], "value": ["$__all"]}} if self.multi else {}
        return {
            "type": "query",
            "name": self.name,
            "label": self.label,
            "datasource": DATA_SOURCE,
            "query": self.sql,
            "refresh": 2 if self.timed else 1,
            "multi": self.multi,
            "includeAll": self.multi,
            "options": [],
            **everything,
        }


@dataclass(frozen=True)
class Choice:
    """A choice among fixed values by their captions, one at a time, the first until one chooses."""

    name: str
    label: str
    values: Mapping[str, str]

    def to_json(self) -> Json:
        """A list of `caption : value`, as Grafana takes it."""
        options = [
            {"selected": not n, "text": text, "value": value}
            for n, (text, value) in enumerate(self.values.items())
        ]
        return {
            "type": "custom",
            "name": self.name,
            "label": self.label,
            "query": ", ".join(f"{text} : {value}" for text, value in self.values.items()),
            "multi": False,
            "includeAll": False,
            "current": options[0],
            "options": options,
        }


@dataclass(frozen=True)
class Annotation:
    """Marks on every panel with a time axis: columns `time`, `text`, `tags`, perhaps `timeend`."""

    name: str
    colour: str
    sql: str

    def to_json(self) -> Json:
        """A query of its own, shown until someone turns it off."""
        return {
            "name": self.name,
            "enable": True,
            "iconColor": self.colour,
            "datasource": DATA_SOURCE,
            "target": Target(self.sql).to_json("Anno"),
        }


@dataclass(frozen=True)
class Columns:
    """How some columns of a panel are shown; `properties` by Grafana's names."""

    names: tuple[str, ...]
    properties: Mapping[str, Any]

    def to_json(self) -> Json:
        """An override that finds its columns by name."""
        return {
            "matcher": {"id": "byRegexp", "options": f"/^({'|'.join(self.names)})$/"},
            "properties": [{"id": key, "value": value} for key, value in self.properties.items()],
        }


@dataclass(frozen=True)
class Panel:
    """One picture. `grid` is x, y, width, height on 24 columns; `url` is where a value leads.

    more: further queries of the same picture.
    """

    kind: str
    title: str
    description: str
    grid: tuple[int, int, int, int]
    target: Target
    options: Mapping[str, Any] = field(default_factory=dict)
    defaults: Mapping[str, Any] = field(default_factory=dict)
    columns: tuple[Columns, ...] = ()
    transformations: tuple[Json, ...] = ()
    url: str | None = None
    interval_min: str | None = None
    more: tuple[Target, ...] = ()

    def to_json(self, panel_id: int) -> Json:
        """The panel under an id of its own in the board."""
        links = [{"title": "Look closer", "url": self.url}] if self.url else []
        targets = zip("ABCD", (self.target, *self.more), strict=False)
        panel = {
            "id": panel_id,
            "type": self.kind,
            "title": self.title,
            "description": self.description,
            "gridPos": dict(zip("xywh", self.grid, strict=True)),
            "datasource": DATA_SOURCE,
            "targets": [target.to_json(ref_id) for ref_id, target in targets],
            "options": dict(self.options),
            "fieldConfig": {
                "defaults": {**self.defaults, "links": links},
                "overrides": [column.to_json() for column in self.columns],
            },
            "transformations": list(self.transformations),
        }
        return panel | ({"interval": self.interval_min} if self.interval_min else {})


@dataclass(frozen=True)
class Dashboard:
    """A board. `uid` is its name for ever: links and later versions find it by that."""

    uid: str
    title: str
    description: str
    variables: tuple[Variable | Choice, ...]
    panels: tuple[Panel, ...]
    annotations: tuple[Annotation, ...] = ()

    def to_json(self) -> Json:
        """The whole board, with links that keep time and choices to every board of ours."""
        return {
            "id": None,
            "uid": self.uid,
            "title": self.title,
            "description": self.description,
            "tags": [TAG],
            "schemaVersion": SCHEMA_VERSION,
            "editable": True,
            "graphTooltip": 1,
            "refresh": "30s",
            "time": {"from": "now-8h", "to": "now"},
            "timezone": "browser",
            "links": [OTHERS],
            "annotations": {"list": [annotation.to_json() for annotation in self.annotations]},
            "templating": {"list": [variable.to_json() for variable in self.variables]},
            "panels": [panel.to_json(n) for n, panel in enumerate(self.panels, 1)],
        }
