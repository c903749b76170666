"""The settings of an OPC UA bridge and the address of a tag, as namespace.yaml states them."""

from base64 import b64decode
from typing import Annotated, Final
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field, field_validator

NUMERIC_IDENTIFIER_MAX: Final = 2**32 - 1
Millis = Annotated[int, Field(ge=10, le=3_600_000)]


class OpcUaSettings(BaseModel):
    """One server."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    url: Annotated[str, Field(pattern=r"^opc\.tcp://[^@/\s]+:\d+(/\S*)?$")]
    """`opc.tcp://host:port/path`; a user name belongs to `username`, never here."""
    namespace_uri: str
    """Namespace of the tags' node ids: the URI, never the index, which a server may change."""
    insecure: bool = False
    """Must be said to allow SecurityPolicy None."""
    username: str | None = None
    """User name identity; without it the session is anonymous."""
    password: str | None = None
    """Goes with `username`."""
    publishing_interval_ms: Millis = 200
    """How often the server sends what has changed."""
    sampling_interval_ms: Millis = 100
    """How often the server looks at each value."""
    queue_size: Annotated[int, Field(ge=1, le=1_000)] = 10
    """Changes of one node the server keeps between two publishes; the oldest go first."""
    silence_ms_max: Millis = 5_000
    """Without a notification, keep-alive or answer for this long the source counts as lost."""


class OpcUaSource(BaseModel):
    """A node by its identifier in the settings' namespace."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    node: Annotated[str, Field(pattern=r"^(s=.+|i=\d+|g=.+|b=.+)$")]
    """`s=Saw.State`, `i=1001`, `g=` with a GUID or `b=` with base64."""

    @field_validator("node")
    @classmethod
    def _identifier_is_of_its_type(cls, node: str) -> str:
        kind, _, identifier = node.partition("=")
        if kind == "i" and int(identifier) > NUMERIC_IDENTIFIER_MAX:
            raise ValueError(f"a numeric identifier is at most {NUMERIC_IDENTIFIER_MAX}")
        if kind == "g":
            UUID(identifier)
        if kind == "b":
            b64decode(identifier, validate=True)
        return node
