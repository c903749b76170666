"""Everything that can go wrong between this bridge and a server, as one tree.

    OpcUaError
    ├── RefusedError     ours: the settings do not allow it; the message names the fix
    ├── UnwritableError  a value that the node cannot take, or that the server refused
    └── LostError        the network's or the server's: connect again

A node the server does not have is no error here: it turns its own tag bad.
"""


class OpcUaError(Exception):
    """The root of the tree; the message is the reason a person reads beside a bad tag."""


class RefusedError(OpcUaError):
    """What the settings ask for is not allowed by the settings."""


class UnwritableError(OpcUaError):
    """A set-point that does not fit its node or that the server did not take."""


class LostError(OpcUaError):
    """No connection, no session, no namespace or no sign of life."""
