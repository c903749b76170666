"""The health of a bridge's sources, as it is told under `_hub/bridge/<name>`.

Owns what is counted for each endpoint. Does no I/O; times are monotonic seconds, given.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from uns.model.observation import Link, Reading
from uns.model.publishing import Key


@dataclass(slots=True)
class Endpoint:
    """One source connection. `read_errors`: bad values and losses since the bridge began."""

    up: bool = False
    reason: str | None = None
    reconnects: int = -1
    since_ms: int = 0
    read_errors: int = 0
    heard_s: float | None = None


@dataclass(slots=True)
class Endpoints:
    """The endpoints of a bridge by name; a link says which tags each feeds."""

    endpoints: dict[str, Endpoint] = field(default_factory=dict)
    feeds: dict[Key, Endpoint] = field(default_factory=dict)

    def link(self, link: Link) -> None:
        """An endpoint came up or went down."""
        endpoint = self.endpoints.setdefault(link.endpoint, Endpoint())
        endpoint.reconnects += int(link.up and not endpoint.up)
        endpoint.read_errors += int(endpoint.up and not link.up)
        if endpoint.up != link.up or not endpoint.since_ms:
            endpoint.since_ms = link.at_ms
        endpoint.up, endpoint.reason = link.up, link.reason
        self.feeds.update(dict.fromkeys(link.feeds, endpoint))

    def heard(self, readings: Iterable[Reading], now_s: float) -> None:
        """Values came."""
        for reading in readings:
            if endpoint := self.feeds.get((reading.cell, reading.tag)):
                endpoint.heard_s = now_s
                endpoint.read_errors += reading.quality == "bad"

    @property
    def all_up(self) -> bool:
        """Whether there are endpoints, and all are up."""
        return bool(self.endpoints) and all(each.up for each in self.endpoints.values())

    @property
    def reconnects(self) -> int:
        """How often connections came back."""
        return sum(max(each.reconnects, 0) for each in self.endpoints.values())

    def document(self, now_s: float) -> dict[str, Any]:
        """What is told of each endpoint; `last_value_age_ms` is null before the first value."""
        return {
            name: {
                "up": each.up,
                "reason": each.reason,
                "reconnects": each.reconnects,
                "since_ms": each.since_ms,
                "last_value_age_ms": _age_ms(each.heard_s, now_s),
                "read_errors": each.read_errors,
            }
            for name, each in self.endpoints.items()
        }


def _age_ms(heard_s: float | None, now_s: float) -> int | None:
    return None if heard_s is None else round((now_s - heard_s) * 1000)
