"""PURE: a hold that a line shows -> the fact that all lines hear.

Owns what of a hold's document is said. Whether anything is held is the line's processor to judge.
"""

from collections.abc import Iterable, Mapping
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from uns.model.events import HoldSaid, Identifier, Words
from uns.model.observation import Fact


class Shown(BaseModel):
    """What the desk reads of a `_state/hold` document."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    hold_id: Identifier
    state: Literal["held", "released"]
    lot: Identifier | None
    unit_id: Identifier | None
    item: Identifier | None
    order_id: Identifier | None
    halts: bool
    reason: Words
    actor: Identifier | None


def held(
    line: str, document: Mapping[str, Any], lines: Iterable[str], at_ms: int, known_ms: int
) -> list[Fact]:
    """A hold of a line that began or ended, once at every line; known for so long.

    Nothing for a document that is none.
    """
    try:
        shown = Shown.model_validate(document)
    except ValidationError:
        return []
    body = {**shown.model_dump(mode="json"), "of_line": line}
    key = f"hold:{shown.hold_id}:{shown.state}"
    return [
        Fact(
            where, HoldSaid.type_name, at_ms, body, business_key=f"{key}:{where}", known_ms=known_ms
        )
        for where in lines
    ]
