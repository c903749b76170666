"""PURE: what the other workers say of themselves, and which of them runs a line now.

Owns when a worker counts as gone: it said so, its will did, or it was silent for too long by our
own clock. Knows no time but what it is given (monotonic seconds), and reads no stamps of others.
"""

import json
from collections.abc import Collection
from typing import Any, Final, NamedTuple

SILENT_S_MAX: Final = 2.5
RECONNECT_S_MAX: Final = 3.0
"""What others get on top when we have connected: perhaps the broker was away for them too."""

RIVALS_MAX: Final = 1_000


class Rival(NamedTuple):
    """Another worker: the lines it can run, those it does run, and when it was last heard."""

    lines: frozenset[str]
    active: frozenset[str]
    heard_s: float


class Rivals:
    """The other workers by name."""

    def __init__(self) -> None:
        self._known: dict[str, Rival] = {}

    def hear(self, name: str, payload: bytes, now_s: float, *, retained: bool) -> None:
        """Take a health document of another worker; what is none is not heard.

        retained: it is old. That a known worker was gone is no news then: it may be there again.
        """
        document, known = _parsed(payload), self._known.get(name)
        if document.get("gone") or not payload:
            if not retained:
                self._known.pop(name, None)
        elif known or len(self._known) < RIVALS_MAX:
            lines = _texts(document.get("lines"))
            active = _texts(document.get("active", document.get("lines")))
            heard_s = max(now_s, known.heard_s if known else now_s)
            self._known[name] = Rival(lines, active, heard_s)

    def patient(self, now_s: float) -> None:
        """We have connected: who is known gets time to connect as well."""
        heard_s = now_s + RECONNECT_S_MAX
        self._known = {name: r._replace(heard_s=heard_s) for name, r in self._known.items()}

    def owner(self, line: str, now_s: float) -> str | None:
        """The worker that runs a line and is alive; None if there is none."""
        for name, rival in self._known.items():
            if line in rival.active and now_s - rival.heard_s < SILENT_S_MAX:
                return name
        return None

    def waits(self, lines: Collection[str]) -> bool:
        """Whether somebody may take over one of these lines, should its owner fall silent."""
        return any(not rival.lines.isdisjoint(lines) for rival in self._known.values())


def _parsed(payload: bytes) -> dict[str, Any]:
    try:
        document = json.loads(payload)
    except (ValueError, RecursionError):
        return {}
    return document if isinstance(document, dict) else {}


def _texts(value: Any) -> frozenset[str]:
    texts = value if isinstance(value, list) else []
    return frozenset(text for text in texts if isinstance(text, str))
