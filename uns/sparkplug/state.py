"""Owns the STATE messages of a host application (specification 3.0, 6.4.27); knows no session.

Order in a host's MQTT session: CONNECT with `offline` at t as the will, SUBSCRIBE, then PUBLISH
`online` with that same t. On shutdown publish `offline` with the time of then, and disconnect.
"""

from __future__ import annotations

import json
from typing import Final, NamedTuple

from uns.sparkplug.errors import DecodeError
from uns.sparkplug.outputs import Publish
from uns.sparkplug.topic import state_topic

_STATE_BYTES_MAX: Final = 1_024


class HostState(NamedTuple):
    """Whether a host application is online, and since when (UTC ms)."""

    online: bool
    timestamp_ms: int


def offline(host_id: str, at_ms: int) -> Publish:
    """Make the will of a CONNECT made at `at_ms`, or the farewell at `at_ms`."""
    return _message(host_id, HostState(online=False, timestamp_ms=at_ms))


def online(host_id: str, connected_at_ms: int) -> Publish:
    """Make the birth certificate that matches the will of the CONNECT at `connected_at_ms`."""
    return _message(host_id, HostState(online=True, timestamp_ms=connected_at_ms))


def answer(host_id: str, topic: str, raw: bytes, connected_at_ms: int) -> Publish | None:
    """Contradict a message that says this connected host is offline; None to any other."""
    if topic != state_topic(host_id):
        return None
    said = decode(raw)
    if isinstance(said, DecodeError) or said.online:
        return None
    return online(host_id, connected_at_ms)


def decode(raw: bytes) -> HostState | DecodeError:
    """Read a STATE payload; what is none comes back as the error with its reason."""
    if len(raw) > _STATE_BYTES_MAX:
        return DecodeError(f"{len(raw)} bytes, a STATE has at most {_STATE_BYTES_MAX}")
    try:
        stated = json.loads(raw)
    except (ValueError, RecursionError):
        return DecodeError("a STATE is a JSON object")
    match stated:
        case {"online": bool(is_online), "timestamp": int(at_ms)} if not isinstance(at_ms, bool):
            return HostState(is_online, at_ms)
    return DecodeError("a STATE has 'online' (true, false) and 'timestamp' (integer ms)")


def _message(host_id: str, state: HostState) -> Publish:
    payload = json.dumps(
        {"online": state.online, "timestamp": state.timestamp_ms}, separators=(",", ":")
    )
    return Publish(state_topic(host_id), payload.encode(), qos=1, retain=True)
