"""The settings of an OPC UA bridge and the address of a tag, as namespace.yaml states them."""

import re
from base64 import b64decode
from collections.abc import Callable, Mapping
from typing import Annotated, Final, Literal, Self
from urllib.parse import urlsplit
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

NUMERIC_IDENTIFIER_MAX: Final = 2**32 - 1
PATH: Final = r"^([^.\[\]]+|\[\d{1,9}\])(\.[^.\[\]]+|\[\d{1,9}\])*$"
STEP: Final = re.compile(r"\[(\d+)\]|\.?([^.\[\]]+)")
Millis = Annotated[int, Field(ge=10, le=3_600_000)]
QueueSize = Annotated[int, Field(ge=1, le=1_000)]
SecurityPolicy = Literal["Basic256Sha256", "Aes128Sha256RsaOaep", "Aes256Sha256RsaPss"]
SecurityMode = Literal["Sign", "SignAndEncrypt"]
Identifier = int | str | UUID | bytes


class OpcUaSettings(BaseModel):
    """One server."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    url: Annotated[str, Field(pattern=r"^opc\.tcp://[^@/\s]+:\d+(/\S*)?$")]
    """`opc.tcp://host:port/path`; a user name belongs to `username`, never here."""
    namespace_uri: str
    """Namespace of the tags' node ids: the URI, never the index, which a server may change."""
    security_policy: SecurityPolicy = "Basic256Sha256"
    """Taken from what the server offers; nothing weaker is taken in its place."""
    security_mode: SecurityMode = "SignAndEncrypt"
    """Whether messages are signed only, or encrypted too."""
    insecure: bool = False
    """Must be said to allow SecurityPolicy None; then no policy or mode is named."""
    username: Annotated[str, Field(min_length=1)] | None = None
    """User name identity; without it or a user certificate the session is anonymous."""
    password: str | None = None
    """Goes with `username`."""
    password_file: str | None = None
    """Instead of `password`: a file, from the data folder, mode 600, with it on its first line."""
    user_certificate: str | None = None
    """User certificate identity: a file, from the data folder, DER or PEM."""
    user_key: str | None = None
    """The private key of `user_certificate`, mode 600, without a password."""
    publishing_interval_ms: Millis = 200
    """How often the server sends what has changed."""
    sampling_interval_ms: Millis = 100
    """How often the server looks at each value."""
    queue_size: QueueSize = 10
    """Changes of one node the server keeps between two publishes; the oldest go first."""
    silence_ms_max: Millis = 5_000
    """Without a notification, keep-alive or answer for this long the source counts as lost."""
    history_ms_max: Annotated[int, Field(ge=0, le=31_536_000_000)] = 86_400_000
    """How far back a hole is filled from the server's history, for `record: every`; 0: never."""

    @property
    def host(self) -> str:
        """The host that is connected to, whatever host the server says it has."""
        return urlsplit(self.url).hostname or ""

    @model_validator(mode="after")
    def _security_is_one_thing(self) -> Self:
        if self.insecure and self.model_fields_set & {"security_policy", "security_mode"}:
            raise ValueError("`insecure: true` and a security policy or mode exclude each other")
        return self

    @model_validator(mode="after")
    def _identity_is_one_thing(self) -> Self:
        if self.password is not None and self.password_file is not None:
            raise ValueError("name `password` or `password_file`, not both")
        if self.username is None and (self.password or self.password_file):
            raise ValueError("a password goes with `username`")
        if (self.user_certificate is None) != (self.user_key is None):
            raise ValueError("`user_certificate` and `user_key` go together")
        if self.username is not None and self.user_certificate is not None:
            raise ValueError("name `username` or `user_certificate`, not both")
        return self


class OpcUaSource(BaseModel):
    """A node by its identifier and namespace, or a part of its value."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    node: Annotated[str, Field(pattern=r"^(s=.+|i=\d+|g=.+|b=.+)$")]
    """`s=Saw.State`, `i=1001`, `g=` with a GUID or `b=` with base64."""
    path: Annotated[str, Field(pattern=PATH)] | None = None
    """The part of an array or a structure: `[3]`, `Limits.High`, `Steps[2].Temperature`."""
    namespace_uri: str | None = None
    """Namespace of the node where it is another one than the settings'."""
    sampling_interval_ms: Millis | None = None
    """As in the settings, for this node; of several tags on a node the fastest counts."""
    queue_size: QueueSize | None = None
    """As in the settings, for this node; of several tags on a node the longest counts."""

    @property
    def steps(self) -> tuple[int | str, ...]:
        """The path step by step: ("Steps", 2, "Temperature")."""
        found = STEP.finditer(self.path or "")
        return tuple(int(step[1]) if step[1] else step[2] for step in found)

    @field_validator("node")
    @classmethod
    def _identifier_is_of_its_type(cls, node: str) -> str:
        identifier = identifier_of(node)
        if isinstance(identifier, int) and identifier > NUMERIC_IDENTIFIER_MAX:
            raise ValueError(f"a numeric identifier is at most {NUMERIC_IDENTIFIER_MAX}")
        return node


def identifier_of(node: str) -> Identifier:
    """What identifies a node (part 3, 8.2.4), from its text; ValueError if it is not of its type.

    Opaque ones are base64 always: asyncua would take `0x...` for hexadecimal digits.
    """
    kind, _, identifier = node.partition("=")
    return _IDENTIFIERS[kind](identifier)


_IDENTIFIERS: Final[Mapping[str, Callable[[str], Identifier]]] = {
    "s": str,
    "i": int,
    "g": UUID,
    "b": lambda text: b64decode(text, validate=True),
}
