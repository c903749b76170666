"""The settings of the desk bridge, as namespace.yaml states them."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field


class DeskSettings(BaseModel):
    """The terminals' gateway."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    request_days: Annotated[int, Field(ge=1, le=365)] = 30
    """How long a request is remembered; one that says it was asked earlier is refused."""
    answers_max: Annotated[int, Field(ge=10, le=100_000)] = 2_000
    """How many answers are kept in memory for requests that come again."""
