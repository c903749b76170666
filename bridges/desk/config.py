"""The settings of the desk bridge, as namespace.yaml states them."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field


class DeskSettings(BaseModel):
    """The terminals' gateway."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    answers_max: Annotated[int, Field(ge=10, le=100_000)] = 2_000
    """How many answers are kept in memory for requests that come again."""
