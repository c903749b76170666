"""Who an edge node is, and what it needs to connect. Values only: the session is `edge_session`."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from uns.sparkplug.topic import NAMESPACE, MessageType, node_topic, state_topic

if TYPE_CHECKING:
    from uns.sparkplug.outputs import Publish


class EdgeSettings(NamedTuple):
    """Who the edge node is and how patient; `servers` is how many there are to walk.

    rebirth_interval_ms: at most one birth sequence on request in this time.
    settle_ms: how long new metrics are collected before the birth that declares them.
    host_wait_ms: with several servers, how long a silent primary host is waited for.
    doubt_ms: how long after sending a loss of the connection may show.
    """

    group: str
    edge_node: str
    primary_host: str | None = None
    servers: int = 1
    rebirth_interval_ms: int = 1_000
    settle_ms: int = 500
    host_wait_ms: int = 5_000
    doubt_ms: int = 15_000

    def at_speed(self, speed: float) -> EdgeSettings:
        """The same patience by a clock that goes `speed` times as fast as the wall's."""
        return self._replace(
            rebirth_interval_ms=int(self.rebirth_interval_ms * speed),
            settle_ms=int(self.settle_ms * speed),
            host_wait_ms=int(self.host_wait_ms * speed),
            doubt_ms=int(self.doubt_ms * speed),
        )


class Connecting(NamedTuple):
    """The next CONNECT: which server (0 is the first), its will, what to subscribe to (QoS 1)."""

    server: int
    bd_seq: int
    will: Publish
    filters: tuple[str, ...]


def filters(settings: EdgeSettings) -> tuple[str, ...]:
    """Name what an edge node subscribes to before its birth: its commands, its host's STATE."""
    group, edge_node = settings.group, settings.edge_node
    commands = (
        node_topic(group, MessageType.NCMD, edge_node),
        f"{NAMESPACE}/{group}/{MessageType.DCMD}/{edge_node}/+",
    )
    host = settings.primary_host
    return (*commands, state_topic(host)) if host else commands
