"""PURE: a resume document as far as it is needed to fold on from it. The runner has the whole."""

from typing import Any

from pydantic import BaseModel, ValidationError

from uns.fold import Mark

Run = tuple[str, int, int]
"""The events of one source were taken next: (source, epoch, to_seq), that one included."""


class Kept(BaseModel):
    """The newest document of a (processor, line), or a base. `state` is as JSON knows it."""

    version: int
    plant: str
    base_rev: int
    rev: int
    owner_epoch: int
    output_epoch: int
    output_seq: int
    marks: dict[str, Mark]
    order_no: int
    told: str | None = None
    order: tuple[Run, ...]
    ticked_ms: int
    clearing: dict[str, int]
    state: Any


def understood(document: str | bytes) -> Kept | None:
    """A resume document as far as it is needed here; None for one of another kind."""
    try:
        return Kept.model_validate_json(document)
    except ValidationError:
        return None
