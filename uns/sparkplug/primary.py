"""Owns what an edge node believes of its primary host at one server; knows no session.

Specification 3.0, 5.4 (phid-wait-*, phid-offline): a STATE counts unless its timestamp is older
than that of the last one that counted. Equal timestamps count: a host's will has the time of the
birth it takes back.
"""

from __future__ import annotations

from uns.sparkplug import state
from uns.sparkplug.errors import DecodeError
from uns.sparkplug.topic import state_topic


class PrimaryHost:
    """One host at one server. `is_online` None: it has said nothing in this MQTT session."""

    def __init__(self, host_id: str) -> None:
        self.topic = state_topic(host_id)
        self.is_online: bool | None = None
        self._last_ms = 0

    def forget(self) -> None:
        """Begin an MQTT session: the server says again what is retained. The time stays known."""
        self.is_online = None

    def hear(self, raw: bytes) -> str | None:
        """Take a STATE payload of this host; why it does not count, or None."""
        said = state.decode(raw)
        if isinstance(said, DecodeError):
            return said.reason
        if said.timestamp_ms < self._last_ms:
            return f"a STATE of {said.timestamp_ms}, older than {self._last_ms}"
        self.is_online, self._last_ms = said.online, said.timestamp_ms
        return None
