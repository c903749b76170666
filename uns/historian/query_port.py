"""The query port: how other processes read a DuckDB file that the historian holds.

One JSON line in, one out, on a free loopback port; `query.json` beside the store says where, and
holds the token that only the store's owner can read. One query runs at a time, in a thread; what
nobody waits for any more is not asked.
"""

import asyncio
import json
import logging
import secrets
import socket
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any, Final

from pydantic import BaseModel, Field, ValidationError

from uns.historian.answers import ROWS_DEFAULT, TIMEOUT_S_DEFAULT, Question, Result
from uns.historian.errors import (
    QUERY_ERRORS,
    HistorianError,
    NoHistorian,
    QueryRefused,
    QueryTimeout,
    StoreUnavailable,
)
from uns.mqtt.broker import write_private

HOST: Final = "127.0.0.1"
FILE: Final = "query.json"
LINE_BYTES_MAX: Final = 1_000_000
CLIENTS_MAX: Final = 16
IDLE_S_MAX: Final = 30.0
CONNECT_TIMEOUT_S: Final = 2.0
GRACE_S: Final = 10.0

log = logging.getLogger(__name__)

Answer = Callable[[Question], Result]


class Request(BaseModel):
    """One line in."""

    token: str
    sql: str
    params: list[str | int | float | bool | None] = Field(default=[])
    limit: int = ROWS_DEFAULT
    timeout_s: float = TIMEOUT_S_DEFAULT
    into: str | None = None


@asynccontextmanager
async def query_port(folder: Path, answer: Answer) -> AsyncIterator[None]:
    """Serve queries while the context lasts; the file is gone at its end."""
    token, busy = secrets.token_urlsafe(32), asyncio.Semaphore(CLIENTS_MAX)
    threads = ThreadPoolExecutor(1, "query")

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        async with busy:
            with suppress(ConnectionError, TimeoutError, ValueError):
                async with asyncio.timeout(IDLE_S_MAX):
                    line = await reader.readline()
                loop = asyncio.get_running_loop()
                reply = loop.run_in_executor(threads, _reply, answer, token, line)
                if await _waited_for(reply, reader):
                    writer.write(reply.result())
                    await writer.drain()
            writer.close()

    server = await asyncio.start_server(serve, HOST, 0, limit=LINE_BYTES_MAX)
    port = server.sockets[0].getsockname()[1]
    where = folder / FILE
    write_private(where, json.dumps({"host": HOST, "port": port, "token": token}))
    try:
        yield
    finally:
        where.unlink(missing_ok=True)
        server.close()
        threads.shutdown(wait=False, cancel_futures=True)


async def _waited_for(reply: asyncio.Future[bytes], reader: asyncio.StreamReader) -> bool:
    """Whether the asker is there until the reply is; if not, it is not made any more."""
    gone = asyncio.create_task(_ended(reader))
    try:
        await asyncio.wait((reply, gone), return_when=asyncio.FIRST_COMPLETED)
        return reply.done()
    finally:
        gone.cancel()
        reply.cancel()


async def _ended(reader: asyncio.StreamReader) -> None:
    with suppress(ConnectionError):
        while await reader.read(LINE_BYTES_MAX):
            pass


def _reply(answer: Answer, token: str, line: bytes) -> bytes:
    try:
        document: dict[str, Any] = answer(_question(token, line))._asdict()
    except ValidationError as error:
        document = {"error": "QueryRefused", "message": str(error.errors()[0]["msg"])}
    except HistorianError as error:
        document = {"error": type(error).__name__, "message": str(error)}
    except Exception as error:
        log.exception("a query broke the query port")
        document = {"error": "QueryFailed", "message": repr(error)}
    return json.dumps(document, separators=(",", ":")).encode() + b"\n"


def _question(token: str, line: bytes) -> Question:
    request = Request.model_validate_json(line)
    if not secrets.compare_digest(request.token.encode(), token.encode()):
        raise QueryRefused("wrong token")
    return Question(request.sql, request.params, request.limit, request.timeout_s, request.into)


class PortReader:
    """Asks the historian that holds the file. Raises NoHistorian where none answers."""

    def __init__(self, folder: Path) -> None:
        self._where = folder / FILE

    def query(self, question: Question) -> Result:
        """See Source."""
        question.checked()
        document = self._ask(question)
        if "error" in document:
            raise QUERY_ERRORS.get(document["error"], HistorianError)(document["message"])
        rows = [tuple(row) for row in document["rows"]]
        return Result(tuple(document["columns"]), rows, document["truncated"])

    def _ask(self, question: Question) -> dict[str, Any]:
        try:
            known = json.loads(self._where.read_text())
            address = (known["host"], known["port"])
            connection = socket.create_connection(address, CONNECT_TIMEOUT_S)
        except (OSError, ValueError, KeyError) as error:
            raise NoHistorian(f"no historian answers for {self._where.parent}") from error
        request = json.dumps({"token": known["token"], **question._asdict()}).encode() + b"\n"
        with connection:
            patience_s = question.timeout_s + GRACE_S
            connection.settimeout(patience_s)
            try:
                connection.sendall(request)
                with connection.makefile("rb") as stream:
                    document: dict[str, Any] = json.loads(stream.readline())
            except TimeoutError:
                raise QueryTimeout(
                    f"not answered within {patience_s:g} s: the historian has others to answer"
                ) from None
            except (OSError, ValueError) as error:
                raise StoreUnavailable("the historian went away during the query") from error
        return document
