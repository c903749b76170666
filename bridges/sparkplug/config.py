"""The settings of a Sparkplug bridge and the address of a tag, as namespace.yaml states them."""

from typing import Annotated, Final, Literal, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from bridges.sparkplug.rules import check_path, placeholders
from uns.mqtt.server import checked_url
from uns.sparkplug.naming import checked_id

Name = Annotated[str, AfterValidator(checked_id)]
Text = Annotated[str, Field(min_length=1, max_length=256)]


class MapRule(BaseModel):
    """How tags are named in Sparkplug: both sides have the same placeholders."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    group: Name
    """Group id; `{delimiter}` stands for the delimiter here and in the next three."""
    edge_node: Name
    """Edge node id."""
    device: Name | None = None
    """Device id; absent for metrics of the edge nodes themselves."""
    metric: Text
    """Name of the metric."""
    path: Text = "{enterprise}/{site}/{area}/{line}/{cell}"
    """The cells it is for: each level a name or one placeholder."""
    tag: Text = "{tag}"
    """Their tags: a name or one placeholder."""

    @model_validator(mode="after")
    def _reads_both_ways(self) -> Self:
        check_path(self.path, self.tag)
        texts = (self.group, self.edge_node, self.metric, *([self.device] if self.device else []))
        there = {name for text in texts for name in placeholders(text)}
        here = {level[1:-1] for level in (*self.path.split("/"), self.tag) if level[0] == "{"}
        if lone := sorted(there ^ here):
            raise ValueError(f"{{{lone[0]}}} stands on one side only")
        return self


PARRIS: Final = MapRule(
    group="{enterprise}{delimiter}{site}{delimiter}{area}",
    edge_node="{line}",
    device="{cell}",
    metric="{tag}",
)
"""The rule behind all others: one group an area, one edge node a line, one device a cell."""


class SparkplugSettings(BaseModel):
    """A host application that follows the edge nodes its tags are read from."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    group: Name | None = None
    """Group id of the tags whose source names none; absent: the map says it."""
    edge_node: Name | None = None
    """Edge node id of the tags whose source names none; absent: the map says it."""
    map: Annotated[list[MapRule], Field(max_length=100)] = []
    """Rules for what a source leaves out, the first that fits; behind them the Parris rule."""
    delimiter: Annotated[str, Field(pattern=r"^[^/+#%{}a-zA-Z0-9\x00-\x1f]$")] = ":"
    """Between the parts of a group id."""
    host_id: Name = "uns-hub"
    """Under which name this host says in `spBv1.0/STATE/<host_id>` whether it is online."""
    server: Annotated[str, AfterValidator(checked_url)] | None = None
    """A foreign broker, `mqtt://user:password@host:port`; absent: the hub's own."""
    mqtt_version: Literal["3.1.1", 5] = "3.1.1"
    """Version of MQTT."""
    passive: bool = False
    """Only listen: no STATE, no rebirth request, no write."""
    restart: Literal["catalogue", "rebirth"] = "catalogue"
    """After a restart: read at once by the kept births, or ask every node for new ones."""
    rebirth_interval_ms: Annotated[int, Field(ge=100, le=600_000)] = 5_000
    """At most one rebirth request a node in this time."""
    reorder_timeout_ms: Annotated[int, Field(ge=10, le=60_000)] = 2_000
    """How long a gap in `seq` may wait for the missing message."""
    start_jitter_ms: Annotated[int, Field(ge=0, le=60_000)] = 500
    """The first rebirth requests are spread over this time, each node at its own moment."""
    write_timeout_ms: Annotated[int, Field(ge=100, le=600_000)] = 2_000
    """How long a written value may take to come back; less than a tag's own `write_timeout_ms`."""


class SparkplugSource(BaseModel):
    """A metric of an edge node or of one of its devices; what is absent, the map says."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    group: Name | None = None
    """Group id."""
    edge_node: Name | None = None
    """Edge node id."""
    device: Name | None = None
    """Device id; absent beside a `metric`: a metric of the edge node itself."""
    metric: Text | None = None
    """Its name in the birth."""
