"""The values of the client port: where the broker is, what goes in and what comes out.

Owns plain immutable values. Does not know sockets or paho.
"""

from dataclasses import dataclass, field
from enum import Enum
from typing import Final, Literal, NamedTuple

PAYLOAD_BYTES_MAX: Final = 1_048_576
"""Largest payload, in bytes: our own check, so that the broker's `max_packet_size` never acts."""

RECEIVE_WINDOW: Final = 20_000
"""Messages the broker sends before it waits for an ack: its `max_inflight_messages`.

Mosquitto before 2.0.13 sends as many again at each ack while more are queued: an inbox has bounds
of its own.
"""

QoS = Literal[0, 1]


@dataclass(frozen=True, slots=True)
class Address:
    """Where a broker listens and as whom we come. The password stays out of `repr`."""

    host: str
    port: int
    username: str | None = None
    password: str | None = field(default=None, repr=False)


class Session(Enum):
    """Whether the broker remembered us when we connected (MQTT 3.1.1, 3.2.2.2).

    KEPT: queued messages are there.
    NEW: it knows nothing of us. Where KEPT was expected, it lost its memory.
    """

    KEPT = "kept"
    NEW = "new"


@dataclass(frozen=True, slots=True)
class Will:
    """What the broker publishes for us when we vanish (MQTT 3.1.1, 3.1.2.5)."""

    topic: str
    payload: bytes
    qos: QoS = 1
    retain: bool = True


class Outgoing(NamedTuple):
    """A message for `publish_many`."""

    topic: str
    payload: bytes
    retain: bool = False
    qos: QoS = 1


class Message(NamedTuple):
    """A received message. `mid` and `connection` are what an ack needs, and nobody else.

    retain: it came from the retained set at subscription, it is no news.
    dup: the broker sent it before, on a connection that was lost.
    """

    topic: str
    payload: bytes
    qos: int
    retain: bool
    dup: bool
    mid: int
    connection: int
