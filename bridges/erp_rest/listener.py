"""Where orders are pushed to: `POST /orders` on the loopback, with a bearer token.

Owns the socket and who may speak; what becomes of an order is its hearer's. A proxy in front adds
TLS and what else the way from outside needs.
"""

import asyncio
import hmac
import logging
from collections.abc import Awaitable, Callable, Iterator
from contextlib import suppress
from typing import Final, NamedTuple

import h11

from bridges.erp_rest.exchange import bytes_of, headers_of, next_event
from uns.codec import encode_document
from uns.fold import Document

HOST: Final = "127.0.0.1"
PATH: Final = b"/orders"
BODY_BYTES_MAX: Final = 256_000
CONNECTIONS_MAX: Final = 20
REQUEST_S_MAX: Final = 30.0
TOKEN_LENGTH_MIN: Final = 16

log = logging.getLogger(__name__)


class Response(NamedTuple):
    """What whoever pushed is told."""

    status: int
    document: Document


Hear = Callable[[bytes], Awaitable[Response]]


class Listener:
    """One port; each connection carries one request."""

    def __init__(self, port: int, token: str, hear: Hear) -> None:
        self._port = port
        self._token = token.encode()
        self._hear = hear
        self._room = asyncio.Semaphore(CONNECTIONS_MAX)

    async def run(self) -> None:
        """Serve until cancelled. Raises OSError when the port is taken."""
        server = await asyncio.start_server(self._connected, HOST, self._port)
        async with server:
            await server.serve_forever()

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            async with self._room, asyncio.timeout(REQUEST_S_MAX):
                await self._serve(reader, writer)
        except (OSError, h11.ProtocolError) as error:
            log.info("a push was given up: %s", error or "it took too long")
        finally:
            writer.close()
            with suppress(OSError):
                await writer.wait_closed()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connection = h11.Connection(h11.SERVER)
        request = await next_event(connection, reader)
        if not isinstance(request, h11.Request):
            return
        body = await _body(connection, reader)
        response = self._refusal(request, body) or await self._hear(body)
        writer.write(bytes_of(connection, _events(response)))
        await writer.drain()

    def _refusal(self, request: h11.Request, body: bytes) -> Response | None:
        given = dict(headers_of(request)).get("authorization", "").encode()
        if not hmac.compare_digest(given, b"Bearer " + self._token):
            return Response(401, refusal("a bearer token is needed"))
        if request.target.partition(b"?")[0] != PATH:
            return Response(404, refusal("orders are pushed to /orders"))
        if request.method != b"POST":
            return Response(405, refusal("use POST"))
        too_big = len(body) > BODY_BYTES_MAX
        return Response(413, refusal(f"at most {BODY_BYTES_MAX} bytes")) if too_big else None


def refusal(reason: str) -> Document:
    """The document of an order that is not taken."""
    return {"outcome": "refused", "reason": reason}


async def _body(connection: h11.Connection, reader: asyncio.StreamReader) -> bytes:
    """The body; of one that is too large only the beginning is kept, and all of it is read.

    A connection that is closed with bytes unread is reset, and its answer is lost.
    """
    body = bytearray()
    while isinstance(part := await next_event(connection, reader), h11.Data):
        body += part.data if len(body) <= BODY_BYTES_MAX else b""
    return bytes(body)


def _events(response: Response) -> Iterator[h11.Event]:
    body = encode_document(response.document)
    headers = [
        ("Content-Type", "application/json"),
        ("Content-Length", str(len(body))),
        ("Connection", "close"),
    ]
    yield h11.Response(status_code=response.status, headers=headers)
    yield h11.Data(data=body)
    yield h11.EndOfMessage()
