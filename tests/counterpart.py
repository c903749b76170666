"""An ERP for tests: a real HTTP server of the standard library, in a thread.

Owns the socket and what was asked. What is answered is the test's: a function of the request.
"""

import json
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, NamedTuple
from urllib.parse import unquote

from bridges.erp_rest.confirmation import Confirmation


class Asked(NamedTuple):
    """A request as it came; the names of headers are in lower case."""

    method: str
    path: str
    headers: dict[str, str]
    document: Any


class Said(NamedTuple):
    """An answer; None for the body's absence."""

    status: int
    document: Any = None
    headers: tuple[tuple[str, str], ...] = ()


SILENCE = Said(0)
"""No answer: the connection is closed."""

Answer = Callable[[Asked], Said]


class Counterpart:
    """What it was asked, in order; `answer` may be changed at any time."""

    def __init__(self, answer: Answer, tls: ssl.SSLContext | None = None) -> None:
        self.answer = answer
        self.asked: list[Asked] = []
        self._scheme = "https" if tls else "http"
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        if tls:
            self._server.socket = tls.wrap_socket(self._server.socket, server_side=True)
        self._server.daemon_threads = True
        self._thread = threading.Thread(
            target=self._server.serve_forever, args=(0.01,), daemon=True
        )
        self._thread.start()

    @property
    def url(self) -> str:
        """Where it is."""
        return f"{self._scheme}://127.0.0.1:{self._server.server_address[1]}"

    def close(self) -> None:
        """Stop; whoever connects is refused."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                self._serve()

            def do_POST(self) -> None:
                self._serve()

            def do_PUT(self) -> None:
                self._serve()

            def _serve(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length", "0")))
                headers = {name.lower(): value for name, value in self.headers.items()}
                asked = Asked(self.command, self.path, headers, json.loads(body or b"null"))
                outer.asked.append(asked)
                said = outer.answer(asked)
                self.close_connection = True
                if said.status:
                    _say(self, said)

            def log_message(self, *_words: object) -> None:
                pass

        return Handler


def _say(handler: BaseHTTPRequestHandler, said: Said) -> None:
    raw = json.dumps(said.document).encode()
    handler.send_response(said.status)
    for name, value in said.headers:
        handler.send_header(name, value)
    handler.send_header("Content-Length", str(len(raw)))
    handler.end_headers()
    handler.wfile.write(raw)


@contextmanager
def counterpart(answer: Answer, tls: ssl.SSLContext | None = None) -> Iterator[Counterpart]:
    """A server while the block lasts."""
    server = Counterpart(answer, tls)
    try:
        yield server
    finally:
        server.close()


class Books:
    """The generic counterpart: what it was told, by key, and orders to be asked for."""

    def __init__(self) -> None:
        self.confirmations: dict[str, dict[str, Any]] = {}
        self.twice: list[str] = []
        self.orders: list[dict[str, Any]] = []
        self.trouble: Answer | None = None

    def __call__(self, asked: Asked) -> Said:
        """What it says; `trouble` may say something else, after or instead."""
        if self.trouble:
            return self.trouble(asked)
        return self.honest(asked)

    def honest(self, asked: Asked) -> Said:
        """What a sound counterpart says."""
        if asked.path.startswith("/orders"):
            after = int(asked.path.partition("after=")[2].partition("&")[0] or 0)
            return Said(200, {"orders": self.orders[after:], "cursor": str(len(self.orders))})
        if asked.method == "GET":
            key = unquote(asked.path.rpartition("/")[2])
            return Said(200, self.confirmations[key]) if key in self.confirmations else Said(404)
        return self.take(asked)

    def take(self, asked: Asked) -> Said:
        """Book a confirmation; the same key twice is noted."""
        key = asked.document["key"]
        if key in self.confirmations:
            self.twice.append(key)
        self.confirmations[key] = asked.document
        return Said(201, {"key": key})

    def total(self, order_id: str, operation: str, name: str) -> int:
        """The sum of what was told of an operation."""
        rows = (c for c in self.confirmations.values() if c["order_id"] == order_id)
        return sum(row[name] for row in rows if row["operation"] == operation)


def confirmation(order: str = "PO-1", counter: int = 1, **changes: Any) -> Confirmation:
    """One good piece at `mill`; changes are fields."""
    document = {
        "key": f"{order}@berlin.machining.housing.mill#{counter}",
        "order_id": order,
        "revision": 1,
        "item": "housing-a",
        "quantity": 10,
        "line": "acme/berlin/machining/housing",
        "operation": "mill",
        "operation_number": 20,
        "is_last": True,
        "counter": counter,
        "final": False,
        "status": "running",
        "good": 1,
        "scrap": 0,
        "rework": 0,
        "good_total": counter,
        "scrap_total": 0,
        "rework_total": 0,
        "run_ms": 0,
        "setup_ms": 0,
        "consumed": (),
        "started_ms": 0,
        "at_ms": 0,
        "day": "2026-11-23",
    }
    return Confirmation.model_validate({**document, **changes})
