"""The settings of a Sparkplug edge bridge, as namespace.yaml states them."""

from typing import Annotated, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from uns.sparkplug.naming import EDGE_NODE, GROUP, checked_id, unknown_level


def _is_server(url: str) -> str:
    parts = urlsplit(url)
    if parts.scheme != "mqtt" or not parts.hostname or parts.path.strip("/"):
        raise ValueError("write mqtt://user:password@host:port")
    _ = parts.port  # raises ValueError when it is no port
    return url


def _is_pattern(text: str) -> str:
    if (unknown := unknown_level(text)) is not None:
        raise ValueError(f"{{{unknown}}} is none of {{enterprise}} {{site}} {{area}} {{line}}")
    return text


Name = Annotated[str, AfterValidator(checked_id)]
Pattern = Annotated[Name, AfterValidator(_is_pattern)]
Server = Annotated[str, AfterValidator(_is_server)]


class SparkplugEdgeSettings(BaseModel):
    """Lines of the hub as edge nodes for foreign hosts."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    servers: Annotated[tuple[Server, ...], Field(max_length=8)] = ()
    """`mqtt://user:password@host:port`, walked one at a time; none: the hub's own broker."""
    group: Pattern = GROUP
    """Group id of a line."""
    edge_node: Pattern = EDGE_NODE
    """Edge node id of a line."""
    lines: tuple[str, ...] = ()
    """Which lines, as `site/area/line`; none named: all."""
    primary_host: Name | None = None
    """The host whose STATE must be online before anything is said."""
    mqtt_version: Literal["3.1.1", 5] = "3.1.1"
    """The version of MQTT spoken to the servers."""
    store_values_max: Annotated[int, Field(ge=100, le=10_000_000)] = 100_000
    """So many values of a line wait while nobody hears them; beyond it the oldest are dropped."""
    store_hours_max: Annotated[int, Field(ge=1, le=8_760)] = 72
    """Older values are dropped."""
    rebirth_interval_ms: Annotated[int, Field(ge=0, le=600_000)] = 1_000
    """At most one birth sequence on request in this time."""
