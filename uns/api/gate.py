"""Who may ask: only under our own host names, and with the token where there is one.

Without a token the server listens on the loopback, where a page in a browser could still reach it
under a name of its own that leads here: the host name is checked. Knows no path but OPEN.
"""

import secrets
from collections.abc import Collection
from typing import Final

from fastapi import Depends
from fastapi.params import Depends as Dependency
from fastapi.security import HTTPBearer
from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from uns.api.errors import ApiError, Denied, Form, Misdirected, as_problem

OPEN: Final = frozenset({"/v1/health", "/i3x/v1/info"})
"""Paths that need no token (i3X 1.0, GET /info)."""
LOOPBACK: Final = frozenset({"127.0.0.1", "localhost", "::1"})


def announced(token: str | None) -> list[Dependency]:
    """What makes OpenAPI say that a token is needed; it is the gate that looks at it."""
    return [Depends(HTTPBearer(auto_error=False))] if token else []


class Gate:
    """ASGI middleware. `token` None: nobody needs one; `hosts` None: any name will do.

    forms: how a refusal is said, by the beginning of a path; the longest that fits.
    """

    def __init__(
        self,
        app: ASGIApp,
        token: str | None,
        hosts: Collection[str] | None,
        forms: dict[str, Form],
    ) -> None:
        self._app = app
        self._token = token.encode() if token else None
        self._hosts = hosts
        self._forms = forms

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let a request pass, or answer it."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        try:
            self._check(scope["path"], Headers(scope=scope))
        except ApiError as error:
            await self._form(scope["path"])(as_problem(error))(scope, receive, send)
            return
        await self._app(scope, receive, send)

    def _check(self, path: str, headers: Headers) -> None:
        if self._hosts is not None and _name(headers.get("host", "")) not in self._hosts:
            raise Misdirected(f"use one of {', '.join(sorted(self._hosts))} as the host's name")
        if self._token is None or path in OPEN:
            return
        scheme, _, said = headers.get("authorization", "").partition(" ")
        if scheme.lower() != "bearer" or not secrets.compare_digest(said.encode(), self._token):
            raise Denied("say the token of this server: `Authorization: Bearer …`")

    def _form(self, path: str) -> Form:
        fitting = (beginning for beginning in self._forms if path.startswith(beginning))
        return self._forms[max(fitting, key=len)]


def _name(host: str) -> str:
    """The name of a Host header: without the port, without the brackets of an IPv6 address."""
    name, _, port = host.rpartition(":")
    bare = name if name and port.isdigit() else host
    return bare.strip("[]").lower()
