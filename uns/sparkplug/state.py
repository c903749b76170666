"""Owns the STATE messages of a host application (specification 3.0, 6.4.27); knows no session.

Order in a host's MQTT session: CONNECT with `offline` at t as the will, SUBSCRIBE, then PUBLISH
`online` with that same t. On shutdown publish `offline` with the time of then, and disconnect.
Each CONNECT, to each server, has its own t.
"""

from __future__ import annotations

import json
from typing import Final, NamedTuple

from uns.sparkplug.errors import DecodeError
from uns.sparkplug.outputs import Ignored, Publish
from uns.sparkplug.topic import StateTopic, parse, state_topic

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
    """Contradict what says this connected host is offline, or wipes its retained STATE.

    None to any other message (`tck-id-message-flow-hid-sparkplug-state-message-delivered`).
    """
    if topic != state_topic(host_id):
        return None
    said = decode(raw)
    is_contradicted = not raw or (isinstance(said, HostState) and not said.online)
    return online(host_id, connected_at_ms) if is_contradicted else None


def notice(host_id: str, topic: str, raw: bytes) -> Ignored | None:
    """Say what is odd about a STATE that `answer` leaves alone; None: nothing, or no STATE.

    Odd are the form of version 2.2 (STATE/<id>, text ONLINE or OFFLINE), a payload that is no
    STATE, and an id that differs from this host's by case only.
    """
    where = parse(topic)
    if not isinstance(where, StateTopic):
        return None
    if where.is_legacy:
        return Ignored("STATE as of version 2.2", topic)
    if where.host_id != host_id and where.host_id.casefold() == host_id.casefold():
        return Ignored(f"differs from {host_id!r} by case only", topic)
    said = decode(raw) if raw else None
    return Ignored(said.reason, topic) if isinstance(said, DecodeError) else None


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
