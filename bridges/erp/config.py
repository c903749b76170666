"""The settings of the ERP bridge, as namespace.yaml states them."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field


class ErpSettings(BaseModel):
    """A folder of orders."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    folder: str = "erp"
    """Where `in`, `done` and `error` are: relative to the hub's data folder unless absolute."""
    mapping: str | None = None
    """A mapping file for files with names of their own: relative to `folder` unless absolute."""
    xsd: str | None = None
    """The XML Schema, got from MESA, that B2MML must fit: relative to `folder` unless absolute."""
    poll_ms: Annotated[int, Field(ge=50, le=600_000)] = 500
    """How often `in` is looked at."""
    settle_ms: Annotated[int, Field(ge=0, le=60_000)] = 500
    """A file is read once its size and time have not changed for this long."""
    half_ms_max: Annotated[int, Field(ge=0, le=600_000)] = 10_000
    """How long a file that ends in the middle may stay unchanged until it is judged as it is."""
    file_bytes_max: Annotated[int, Field(ge=100, le=20_000_000)] = 4_000_000
    """A larger file is refused."""
