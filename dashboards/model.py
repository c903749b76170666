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


@dataclass(frozen=True)
class Target:
    """A query. `time_series` wants a column `time` and numbers; a `table` takes any columns."""

    sql: str
    format: Literal["table", "time_series"] = "table"

    def to_json(self) -> Json:
        """The only query of its panel."""
        return {
            "refId": "A",
            "datasource": DATA_SOURCE,
            "editorMode": "code",
            "format": self.format,
            "rawQuery": True,
            "rawSql": self.sql,
        }


@dataclass(frozen=True)
class Variable:
    """A choice of several. Its query gives `__value` and `__text`, and may use those before it."""

    name: str
    label: str
    sql: str

    def to_json(self) -> Json:
        """Asked again when the board is loaded; everything is chosen until someone chooses."""
        return {
            "type": "query",
            "name": self.name,
            "label": self.label,
            "datasource": DATA_SOURCE,
            "query": self.sql,
            "definition": self.sql,
            "refresh": 1,
            "multi": True,
            "includeAll": True,
            "current": {"text": ["All"], "value": ["$__all"]},
            "options": [],
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
    """One picture. `grid` is x, y, width, height on 24 columns; `url` is where a value leads."""

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

    def to_json(self, panel_id: int) -> Json:
        """The panel under an id of its own in the board."""
        links = [{"title": "Only this", "url": self.url}] if self.url else []
        return {
            "id": panel_id,
            "type": self.kind,
            "title": self.title,
            "description": self.description,
            "gridPos": dict(zip("xywh", self.grid, strict=True)),
            "datasource": DATA_SOURCE,
            "targets": [self.target.to_json()],
            "interval": self.interval_min,
            "options": dict(self.options),
            "fieldConfig": {
                "defaults": {**self.defaults, "links": links},
                "overrides": [column.to_json() for column in self.columns],
            },
            "transformations": list(self.transformations),
        }


@dataclass(frozen=True)
class Dashboard:
    """A board. `uid` is its name for ever: links and later versions find it by that."""

    uid: str
    title: str
    description: str
    variables: tuple[Variable, ...]
    panels: tuple[Panel, ...]

    def to_json(self) -> Json:
        """The whole board, with links that keep time and choices to every board of ours."""
        others = {"type": "dashboards", "title": "UNS", "tags": [TAG], "asDropdown": True}
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
            "links": [{**others, "keepTime": True, "includeVars": True}],
            "templating": {"list": [variable.to_json() for variable in self.variables]},
            "panels": [panel.to_json(n) for n, panel in enumerate(self.panels, 1)],
        }
