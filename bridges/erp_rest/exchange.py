"""One HTTP/1.1 request and its answer, within a time and a size; no redirects, no proxy.

Owns the socket and the difference that counts: whether the counterpart can have seen the request.
Does not know what is said.
"""

import asyncio
import ssl
from collections.abc import Iterable
from typing import Final, NamedTuple
from urllib.parse import urlsplit

import h11

from bridges.erp_rest.contract import Answer, Request
from bridges.erp_rest.errors import NotSent, Unsure
from uns.codec import encode_document

BODY_BYTES_MAX: Final = 4_000_000
READ_BYTES: Final = 65_536
GOODBYE_S: Final = 1.0
PORTS: Final = {"http": 80, "https": 443}
USER_AGENT: Final = "uns-mes"


class Server(NamedTuple):
    """Where the counterpart is. authorization: the header's value. tls: None for plain http."""

    host: str
    port: int
    prefix: str
    authorization: str
    tls: ssl.SSLContext | None


def server_at(url: str, authorization: str, ca_file: str | None) -> Server:
    """The server of a checked URL. Raises OSError: the certificates cannot be read."""
    parts = urlsplit(url)
    tls = ssl.create_default_context(cafile=ca_file) if parts.scheme == "https" else None
    port = parts.port or PORTS[parts.scheme]
    return Server(parts.hostname or "", port, parts.path, authorization, tls)


class Exchange:
    """Asks one server; each request has its own connection."""

    def __init__(self, server: Server, timeout_ms: int) -> None:
        self._server = server
        self._timeout_s = timeout_ms / 1000

    async def send(self, request: Request) -> Answer:
        """The answer, whatever its status. Raises NotSent or Unsure."""
        deadline_s = asyncio.get_running_loop().time() + self._timeout_s
        connection = h11.Connection(h11.CLIENT)
        said = bytes_of(connection, self._events(request))
        reader, writer = await self._connected(deadline_s)
        try:
            async with asyncio.timeout_at(deadline_s):
                writer.write(said)
                await writer.drain()
                return await _answer(connection, reader)
        except (OSError, EOFError, h11.ProtocolError) as error:
            raise Unsure(f"no answer from {self._name}: {_words(error)}") from None
        finally:
            await _closed(writer)

    async def reach(self) -> None:
        """Connect and say nothing. Raises NotSent."""
        _, writer = await self._connected(asyncio.get_running_loop().time() + self._timeout_s)
        await _closed(writer)

    @property
    def _name(self) -> str:
        host = self._server.host
        return f"{f'[{host}]' if ':' in host else host}:{self._server.port}"

    async def _connected(
        self, deadline_s: float
    ) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        host, port, _, _, tls = self._server
        try:
            async with asyncio.timeout_at(deadline_s):
                return await asyncio.open_connection(host, port, ssl=tls)
        except (OSError, ValueError) as error:
            raise NotSent(f"{self._name} is not reached: {_words(error)}") from None

    def _events(self, request: Request) -> Iterable[h11.Event]:
        body = b"" if request.document is None else encode_document(request.document)
        headers = {
            "Host": self._name,
            "User-Agent": USER_AGENT,
            "Authorization": self._server.authorization,
            "Connection": "close",
            "Content-Length": str(len(body)),
            **({"Content-Type": "application/json; charset=utf-8"} if body else {}),
            **dict(request.headers),
        }
        target = f"{self._server.prefix}{request.path}"
        yield h11.Request(method=request.method, target=target, headers=list(headers.items()))
        if body:
            yield h11.Data(data=body)
        yield h11.EndOfMessage()


async def _closed(writer: asyncio.StreamWriter) -> None:
    """Close; a server that does not say goodbye (TLS close_notify) is waited for no longer."""
    writer.close()
    try:
        async with asyncio.timeout(GOODBYE_S):
            await writer.wait_closed()
    except TimeoutError:
        writer.transport.abort()
    except OSError:
        pass


def bytes_of(connection: h11.Connection, events: Iterable[h11.Event]) -> bytes:
    """Events as they go out."""
    return b"".join(connection.send(event) or b"" for event in events)


async def _answer(connection: h11.Connection, reader: asyncio.StreamReader) -> Answer:
    status, headers, body = 0, tuple[tuple[str, str], ...](), bytearray()
    while True:
        match await next_event(connection, reader):
            case h11.Response() as response:
                status, headers = response.status_code, headers_of(response)
            case h11.Data() as part:
                body += part.data
                if len(body) > BODY_BYTES_MAX:
                    raise EOFError(f"the answer is larger than {BODY_BYTES_MAX} bytes")
            case h11.EndOfMessage():
                return Answer(status, headers, bytes(body))
            case h11.ConnectionClosed():
                raise EOFError("the connection was closed")


async def next_event(connection: h11.Connection, reader: asyncio.StreamReader) -> object:
    """The next event of a connection, read when it is needed."""
    event = connection.next_event()
    while event is h11.NEED_DATA:
        connection.receive_data(await reader.read(READ_BYTES))
        event = connection.next_event()
    return event


def headers_of(event: h11.Request | h11.Response) -> tuple[tuple[str, str], ...]:
    """Headers as text, their names in lower case."""
    return tuple((name.decode("latin-1"), value.decode("latin-1")) for name, value in event.headers)


def _words(error: BaseException) -> str:
    return "it took too long" if isinstance(error, TimeoutError) else str(error) or repr(error)
