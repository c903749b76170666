"""A Grafana's HTTP API, as far as `apply` uses it: it keeps what it is given and records each call.

It answers as Grafana 13 does where that matters: it numbers things, lifts a board's schema, fills
in what a query leaves out, never tells a password, marks what was made over the API unless told
not to, and knows one token.
"""

import json
import re
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Final, NamedTuple
from urllib.parse import parse_qs, urlsplit

Json = dict[str, Any]
TOKEN: Final = "glsa_test"  # noqa: S105 - of a server that nobody reaches
SCHEMA: Final = 42


class Call(NamedTuple):
    """One request: its path behind `/api`, its body, its headers."""

    method: str
    path: str
    body: Any
    headers: Mapping[str, str]


@dataclass
class Grafana:
    """What the server holds, by uid, and what it was asked."""

    url: str = ""
    calls: list[Call] = field(default_factory=list)
    folders: dict[str, Json] = field(default_factory=dict)
    sources: dict[str, Json] = field(default_factory=dict)
    passwords: dict[str, str] = field(default_factory=dict)
    boards: dict[str, Json] = field(default_factory=dict)
    contacts: dict[str, Json] = field(default_factory=dict)
    rules: dict[str, Json] = field(default_factory=dict)
    sick: str | None = None
    broken: int | None = None

    @property
    def writes(self) -> list[Call]:
        """The calls that change something."""
        return [call for call in self.calls if call.method != "GET"]

    def answer(self, call: Call) -> tuple[int, Any]:
        """Status and body for a call."""
        if call.headers.get("Authorization") != f"Bearer {TOKEN}":
            return 401, {"message": "Invalid API key"}
        if self.broken:
            return self.broken, {"message": "as asked for"}
        for method, pattern, handle in ROUTES:
            if call.method == method and (found := re.fullmatch(pattern, call.path)):
                return handle(self, call, *found.groups())
        return 404, {"message": "Not found"}

    def health(self, uid: str) -> tuple[int, Any]:
        """Whether the store answers Grafana."""
        if uid not in self.sources:
            return 404, {"message": "Data source not found"}
        if self.sick:
            return 400, {"status": "ERROR", "message": self.sick}
        return 200, {"status": "OK", "message": "Database Connection OK"}

    def add(self, things: dict[str, Json], body: Json) -> tuple[int, Any]:
        """Keep a thing under its uid, numbered."""
        known = things.get(body["uid"], {"id": len(things) + 1, "version": 0})
        things[body["uid"]] = {**body, "id": known["id"], "version": known["version"] + 1}
        return 200, things[body["uid"]]

    def source(self, body: Json) -> tuple[int, Any]:
        """Keep a data source, and its password apart from it."""
        secret = body.pop("secureJsonData", {})
        if secret:
            self.passwords[body["uid"]] = secret["password"]
        fields = {"password": True} if body["uid"] in self.passwords else {}
        grown = {"readOnly": False, "isDefault": False, "database": "", "orgId": 1}
        return self.add(self.sources, {**grown, **body, "secureJsonFields": fields})

    def board(self, body: Json) -> tuple[int, Any]:
        """Keep a board as Grafana stores it."""
        if body["folderUid"] not in {"", *self.folders}:
            return 400, {"message": "folder not found"}
        board = body["dashboard"]
        if not body["overwrite"] and board["title"] in self.titles(body["folderUid"]):
            return 412, {"status": "name-exists", "message": "a board of that title is there"}
        version = self.boards.get(board["uid"], {"dashboard": {"version": 0}})["dashboard"]
        stored = {"id": 7, "version": version["version"] + 1, "schemaVersion": SCHEMA}
        plain = {key: value for key, value in board.items() if value is not None}
        meta = {"folderUid": body["folderUid"], "provisioned": False}
        self.boards[board["uid"]] = {"meta": meta, "dashboard": {**plain, **stored}}
        return 200, {"status": "success", "uid": board["uid"]}

    def titles(self, folder_uid: str) -> set[str]:
        """Of the boards in a folder; before Grafana 11 no two had the same."""
        stored = [one for one in self.boards.values() if one["meta"]["folderUid"] == folder_uid]
        return {one["dashboard"]["title"] for one in stored}

    def rule(self, call: Call) -> tuple[int, Any]:
        """Keep a rule with what Grafana fills in."""
        body = _owned(call)
        if body["folderUID"] not in self.folders:
            return 400, {"message": "folder not found"}
        receiver = body["notification_settings"]["receiver"]
        if receiver not in {point["name"] for point in self.contacts.values()}:
            return 400, {"message": f"receiver {receiver} does not exist"}
        for query in body["data"]:
            query["model"] |= {"intervalMs": 1000, "maxDataPoints": 43200}
            query["queryType"] = ""
        return self.add(self.rules, {**body, "orgID": 1, "updated": "2026-11-23T20:00:00Z"})


UID: Final = r"([\w-]+)"
ROUTES: Final[tuple[tuple[str, str, Callable[..., tuple[int, Any]]], ...]] = (
    ("GET", f"folders/{UID}", lambda g, _, uid: _known(g.folders, uid)),
    ("POST", "folders", lambda g, call: g.add(g.folders, call.body)),
    ("GET", f"datasources/uid/{UID}/health", lambda g, _, uid: g.health(uid)),
    ("GET", f"datasources/uid/{UID}", lambda g, _, uid: _known(g.sources, uid)),
    ("POST", "datasources", lambda g, call: g.source(call.body)),
    ("PUT", f"datasources/uid/{UID}", lambda g, call, _: g.source(call.body)),
    ("GET", f"dashboards/uid/{UID}", lambda g, _, uid: _known(g.boards, uid)),
    ("POST", "dashboards/db", lambda g, call: g.board(call.body)),
    ("GET", "v1/provisioning/contact-points", lambda g, _: (200, list(g.contacts.values()))),
    ("POST", "v1/provisioning/contact-points", lambda g, call: g.add(g.contacts, _owned(call))),
    (
        "PUT",
        f"v1/provisioning/contact-points/{UID}",
        lambda g, call, _: g.add(g.contacts, _owned(call)),
    ),
    (
        "GET",
        f"v1/provisioning/alert-rules/{UID}",
        lambda g, _, uid: (200, g.rules[uid]) if uid in g.rules else (404, None),
    ),
    ("POST", "v1/provisioning/alert-rules", lambda g, call: g.rule(call)),
    ("PUT", f"v1/provisioning/alert-rules/{UID}", lambda g, call, _: g.rule(call)),
)
"""Method, path behind `/api/`, and who answers."""


def _owned(call: Call) -> Json:
    marked = call.headers.get("X-Disable-Provenance") != "true"
    return {**call.body, **({"provenance": "api"} if marked else {})}


def _known(things: Mapping[str, Json], uid: str) -> tuple[int, Any]:
    return (200, things[uid]) if uid in things else (404, {"message": f"{uid} not found"})


@contextmanager
def fake_grafana() -> Iterator[Grafana]:
    """A server on a free loopback port, with nothing in it."""
    grafana = Grafana()
    server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(grafana))
    grafana.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield grafana
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def _handler(grafana: Grafana) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def _serve(self) -> None:
            parts = urlsplit(self.path)
            length = int(self.headers.get("Content-Length") or 0)
            body = json.loads(self.rfile.read(length)) if length else parse_qs(parts.query)
            path = parts.path.removeprefix("/api/")
            call = Call(self.command, path, body, dict(self.headers))
            grafana.calls.append(call)
            status, told = grafana.answer(call)
            text = b"" if told is None else json.dumps(told).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(text)))
            self.end_headers()
            self.wfile.write(text)

        do_GET = do_POST = do_PUT = _serve  # noqa: N815 - the names http.server looks for

        def log_message(self, *_: Any) -> None:
            """The calls are kept; nobody reads a log."""

    return Handler
