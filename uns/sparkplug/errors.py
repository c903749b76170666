"""The error tree of Sparkplug; it knows no cause but the ones named here.

    SparkplugError
    ├── SchemaError   protobuf is not the fast backend      fatal, at import
    ├── SessionError  a call out of order (data before birth)  ours, raised
    ├── EncodeError   a value that its data type cannot hold    ours, raised
    ├── TopicError    no Sparkplug topic, or an id that cannot be in one
    └── DecodeError   a payload that breaks the specification

The last two are the peer's when something arrives: then they are returned, not raised, so that
one bad message never stops its neighbours.
"""

from __future__ import annotations


class SparkplugError(Exception):
    """Root of every error that this package designs."""

    @property
    def reason(self) -> str:
        """Say in one line what is wrong."""
        return str(self)


class SchemaError(SparkplugError):
    """The protobuf library runs on a backend that is too slow to be meant."""


class SessionError(SparkplugError):
    """The caller broke the order of an edge node's session."""


class EncodeError(SparkplugError):
    """A value does not fit its data type, or a payload its bounds."""


class TopicError(SparkplugError):
    """A text is no Sparkplug topic, or an id cannot be part of one."""


class DecodeError(SparkplugError):
    """A payload is malformed, too big, or contradicts the specification."""
