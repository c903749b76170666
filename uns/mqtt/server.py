"""A foreign broker, as its URL says. Pure: knows no socket and no settings."""

from typing import Final, NamedTuple
from urllib.parse import unquote, urlsplit

from uns.mqtt.message import Address

PORT_DEFAULT: Final = 1_883


class Server(NamedTuple):
    """Which broker it is, whoever comes to it."""

    host: str
    port: int


def address_of(url: str) -> Address:
    """Read `mqtt://user:password@host:port`; ValueError says what is wrong, without the URL."""
    parts = urlsplit(url)
    if parts.scheme != "mqtt" or not parts.hostname or parts.path or parts.query:
        raise ValueError("write mqtt://user:password@host:port")
    return Address(
        host=parts.hostname,
        port=parts.port or PORT_DEFAULT,
        username=parts.username and unquote(parts.username),
        password=parts.password and unquote(parts.password),
    )


def checked_url(url: str) -> str:
    """The URL, if it names a broker; else ValueError."""
    address_of(url)
    return url


def server_of(url: str) -> Server:
    """The broker that a URL names, without the user."""
    address = address_of(url)
    return Server(address.host, address.port)
