# ruff: noqa: N818 - the names say what happened; a suffix would say it twice
"""Everything that can go wrong on the way to the broker, as one tree.

    MqttError
    ├── Closed             ours: the client was disconnected by its owner
    ├── ConnectionOver     ours: the one connection of a client that does not try again is over
    ├── PayloadTooLarge    ours: more bytes than the broker takes
    ├── PublishRefused     the broker's: PUBACK with a failure reason (MQTT 5 only)
    ├── SubscribeRefused   the broker's: SUBACK with a failure code
    ├── LoginRefused       the broker's: it answers, and does not take name or password
    ├── Unreachable        the network's: no broker answered in the time given
    ├── BrokerMissing      this machine's: no broker program was found
    └── TakenOver          fatal: another process uses our client id; exit, do not reconnect

A lost connection is no error, but for a client that connects once: any other reconnects, and what
was in flight is sent again.
"""


class MqttError(Exception):
    """The root of the tree."""


class Closed(MqttError):
    """The client was disconnected by its owner before the broker answered."""


class ConnectionOver(MqttError):
    """A client that connects once was not let in, or has lost its connection."""


class PayloadTooLarge(MqttError):
    """More bytes than the broker takes; it would close the connection on every attempt."""


class PublishRefused(MqttError):
    """The broker refused a message (MQTT 5, 3.4.2.1). MQTT 3.1.1 cannot tell: it says success."""


class SubscribeRefused(MqttError):
    """The broker refused a topic filter (MQTT 3.1.1, 3.9.3)."""


class LoginRefused(MqttError):
    """The broker answers but refuses name or password (MQTT 3.1.1, 3.2.2.3)."""


class Unreachable(MqttError):
    """No broker answered in the time given."""


class BrokerMissing(MqttError):
    """No broker program was found on this machine."""


class TakenOver(MqttError):
    """Another process connects with our client id: the single writer is now somebody else."""
