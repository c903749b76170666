"""The settings of a Sparkplug bridge and the address of a tag, as namespace.yaml states them."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

Name = Annotated[str, Field(pattern=r"^[^/+#]{1,128}$")]


class SparkplugSettings(BaseModel):
    """A host application that follows one edge node.

    rebirth_interval_ms: at most one rebirth request per edge node in this time.
    reorder_timeout_ms: how long a gap in `seq` may wait for the missing message.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    group: Name
    edge_node: Name
    host_id: Name = "uns-hub"
    rebirth_interval_ms: Annotated[int, Field(ge=100, le=600_000)] = 5_000
    reorder_timeout_ms: Annotated[int, Field(ge=10, le=60_000)] = 2_000


class SparkplugSource(BaseModel):
    """A metric by the name it has in its birth; `device` is absent for node metrics."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    metric: Annotated[str, Field(min_length=1, max_length=256)]
    device: Name | None = None
