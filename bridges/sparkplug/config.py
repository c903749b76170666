"""The settings of a Sparkplug bridge and the address of a tag, as namespace.yaml states them."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

Name = Annotated[str, Field(pattern=r"^[^/+#]{1,128}$")]


class SparkplugSettings(BaseModel):
    """A host application that follows one edge node."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    group: Name
    """Group id of the edge node."""
    edge_node: Name
    """Its edge node id."""
    host_id: Name = "uns-hub"
    """Under which name this host says in `spBv1.0/STATE/<host_id>` whether it is online."""
    rebirth_interval_ms: Annotated[int, Field(ge=100, le=600_000)] = 5_000
    """At most one rebirth request in this time."""
    reorder_timeout_ms: Annotated[int, Field(ge=10, le=60_000)] = 2_000
    """How long a gap in `seq` may wait for the missing message."""


class SparkplugSource(BaseModel):
    """A metric of the edge node or of one of its devices."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    metric: Annotated[str, Field(min_length=1, max_length=256)]
    """Its name in the birth."""
    device: Name | None = None
    """Device id; absent for a metric of the edge node itself."""
