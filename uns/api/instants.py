"""PURE: instants as askers say them: ms since 1970, or ISO 8601 with a zone. Plant time."""

import re
from datetime import datetime
from typing import Annotated, Any, Final

from pydantic import BeforeValidator, WithJsonSchema

from uns.historian.history.period import INSTANT_MAX

LENGTH_MAX: Final = 40
_MS: Final = re.compile(r"\d{1,16}")


def instant_ms(said: Any) -> int:
    """An instant in ms; ValueError where it is none. What lies before 1970 is 1970."""
    text = str(said)
    if len(text) > LENGTH_MAX:
        raise ValueError("longer than an instant is")
    if _MS.fullmatch(text):
        return min(int(text), INSTANT_MAX)
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise ValueError("use ISO 8601 with a zone, or ms since 1970") from None
    if moment.tzinfo is None:
        raise ValueError("say the zone: 2026-11-23T06:00:00Z")
    return max(int(moment.timestamp() * 1000), 0)


Instant = Annotated[
    int,
    BeforeValidator(instant_ms),
    WithJsonSchema(
        {
            "anyOf": [
                {"type": "string", "format": "date-time"},
                {"type": "integer", "minimum": 0, "maximum": INSTANT_MAX},
            ],
            "description": "ISO 8601 with a zone, or ms since 1970; plant time.",
            "examples": ["2026-11-23T06:00:00Z"],
        }
    ),
]
