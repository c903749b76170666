"""Everything that can go wrong between this bridge and a server, as one tree.

    OpcUaError
    ├── RefusedError     ours: the settings or the trust list forbid it; the message names the fix
    │   └── UntrustedError   the server's certificate: nobody has trusted it yet
    ├── DeniedError      the server does not let our user in
    ├── UnwritableError  a value that the node cannot take, or that the server refused
    ├── UnreadableError  a value that no tag can hold, or a part that is not in it
    ├── RefusedHistoryError  the server tells us no history; the live values come all the same
    └── LostError        the network's or the server's: connect again

A node or a namespace the server does not have is no error here: it turns its own tags bad.
"""

from typing import ClassVar, Final

FOREIGN_TEXT_LENGTH_MAX: Final = 200
REASON_LENGTH_MAX: Final = 1_000


def printable(text: str, length_max: int = FOREIGN_TEXT_LENGTH_MAX) -> str:
    """Text of a stranger, fit for a terminal, a log and a message."""
    return "".join(one if one.isprintable() else "?" for one in text[:length_max])


class OpcUaError(Exception):
    """The root of the tree; the message is the reason a person reads beside a bad tag.

    Its first 60 characters say what to do: a bad tag has room for no more. What strangers wrote
    into it is made printable here.
    """

    def __init__(self, reason: str = "") -> None:
        super().__init__(printable(reason, REASON_LENGTH_MAX))

    retry_s_min: ClassVar[float] = 0.0
    """The least time before the next attempt to connect."""


class RefusedError(OpcUaError):
    """What would have to be done is not allowed by the settings or by the trust list."""

    retry_s_min = 5.0


class UntrustedError(RefusedError):
    """A server's certificate that may be trusted, and is not."""


class DeniedError(OpcUaError):
    """The server refuses our identity. Asked seldom: servers lock out who asks often."""

    retry_s_min = 60.0


class UnwritableError(OpcUaError):
    """A set-point that does not fit its node or that the server did not take."""


class UnreadableError(OpcUaError):
    """A value that no tag can hold, or a part that is not in the value."""


class RefusedHistoryError(OpcUaError):
    """The server does not do what a read of the history asks for."""


class LostError(OpcUaError):
    """No connection, no session or no sign of life."""
