"""The settings of the ERP bridge over HTTP, as namespace.yaml states them."""

from ipaddress import ip_address
from typing import Annotated, Final, Literal, Self
from urllib.parse import urlsplit

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

NAMES_MAX: Final = 200


def _is_url(url: str) -> str:
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.query or parts.username:
        raise ValueError("write https://host:port/path, without user, password and query")
    if not url.isascii() or any(char.isspace() for char in url):
        raise ValueError("write the path percent-encoded, and a host of other letters in Punycode")
    _ = parts.port  # raises ValueError when it is no port
    return url.rstrip("/")


Url = Annotated[str, AfterValidator(_is_url)]
Names = Annotated[dict[str, str], Field(max_length=NAMES_MAX)]
Port = Annotated[int, Field(ge=1, le=65_535)]


class ErpRestSettings(BaseModel):
    """A counterpart that is spoken to over HTTP."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    url: Url
    """Where it is: `https://erp.example.com`. Plain http on this machine only, see `insecure`."""
    adapter: Literal["generic", "sap-odata", "odoo", "erpnext", "tryton"] = "generic"
    """Which counterpart it is: whose paths, bodies and questions are used."""
    credentials_file: str
    """Its credentials, one line: relative to the hub's data folder unless absolute."""
    insecure: bool = False
    """Whether plain http may leave this machine."""
    ca_file: str | None = None
    """Certificates that are trusted, PEM; none: the system's."""
    timeout_ms: Annotated[int, Field(ge=100, le=600_000)] = 15_000
    """How long one request may take, from connecting to the last byte of the answer."""
    connections: Annotated[int, Field(ge=1, le=64)] = 4
    """How many orders are told of at a time."""
    orders: Literal["all", "own"] = "all"
    """Which orders it is told of: all of the plant, or those that came in by this bridge."""
    confirm: Literal["progress", "end"] = "progress"
    """When an order is confirmed: while it runs and at its end, or at its end only."""
    confirm_every_ms: Annotated[int, Field(ge=100, le=86_400_000)] = 60_000
    """Least time between two partial confirmations of an order (plant time)."""
    settle_ms: Annotated[int, Field(ge=0, le=3_600_000)] = 5_000
    """An order is confirmed as ended this long after its end: late counts still come in."""
    attempts_max: Annotated[int, Field(ge=1, le=1_000)] = 12
    """After so many answers that settle nothing a confirmation is a dead letter."""
    retry_ms_min: Annotated[int, Field(ge=10, le=600_000)] = 1_000
    """The wait before the second attempt; it doubles each time, with jitter."""
    retry_ms_max: Annotated[int, Field(ge=10, le=86_400_000)] = 300_000
    """The longest wait between two attempts."""
    keep_days: Annotated[int, Field(ge=1, le=3_650)] = 30
    """How long an order that ended is remembered, so that nothing of it is told twice."""
    poll_ms: Annotated[int, Field(ge=50, le=86_400_000)] | None = None
    """How often orders are asked for; none: never."""
    listen_port: Port | None = None
    """The port of the loopback where orders may be pushed to; none: nobody listens."""
    listen_credentials_file: str | None = None
    """The bearer token of whoever pushes, one line, at least 16 characters."""
    operations: Names = {}
    """Cells in the counterpart's words: `{mill: "0020"}`."""
    items: Names = {}
    """Items in the counterpart's words: `{pump-a: FG-100}`."""
    units: Names = {"pcs": "PCE"}
    """Units in the counterpart's words; those of quantities of pieces are `pcs`."""
    constants: Names = {}
    """Fields added to the body of each confirmation: `{Plant: "1010"}`."""

    @model_validator(mode="after")
    def _is_safe(self) -> Self:
        parts = urlsplit(self.url)
        if parts.scheme == "http" and not self.insecure and not _is_here(parts.hostname or ""):
            raise ValueError("url: http sends the token in clear: use https, or insecure: true")
        if (self.listen_port is None) != (self.listen_credentials_file is None):
            raise ValueError("listen_port and listen_credentials_file go together")
        if self.retry_ms_max < self.retry_ms_min:
            raise ValueError("retry_ms_max is below retry_ms_min")
        if len(set(self.items.values())) < len(self.items):
            raise ValueError("items: two of ours are one of theirs")
        return self


def _is_here(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
