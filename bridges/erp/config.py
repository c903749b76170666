"""The settings of the ERP bridge, as namespace.yaml states them."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field


class ErpSettings(BaseModel):
    """An order folder; `folder` is relative to the hub's data folder unless absolute.

    settle_ms: a file is read once its size and time have not changed for this long.
    file_bytes_max: a larger file is refused.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    folder: str = "erp"
    poll_ms: Annotated[int, Field(ge=50, le=600_000)] = 500
    settle_ms: Annotated[int, Field(ge=0, le=60_000)] = 500
    file_bytes_max: Annotated[int, Field(ge=100, le=20_000_000)] = 256_000
