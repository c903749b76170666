# ruff: noqa: N818 - the names say what happened; a suffix would say it twice
"""What is answered instead of an answer: problem documents (RFC 9457), by one table.

ApiError
├── Refused     422  the asker's: a value or a combination out of bounds
├── Missing     404  nothing of that name
├── Denied      401  no token, or a wrong one
├── Misdirected 421  asked under a host name that is not ours
└── Busy        503  retriable: all readers are at work
A HistorianError, TopicError or OSError has its status in STATUS; whatever else is raised is a
defect (500).
"""

from collections.abc import Callable, Mapping
from http import HTTPStatus
from typing import Any, Final

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel
from starlette.exceptions import HTTPException

from uns.historian.errors import QueryFailed, QueryRefused, QueryTimeout, StoreUnavailable
from uns.model.path import TopicError

RETRY_AFTER_S: Final = 2
FAULTS_MAX: Final = 20
MEDIA_TYPE: Final = "application/problem+json"


class ApiError(Exception):
    """The root of the tree. The message is one line: what is wrong, and the fix."""


class Refused(ApiError):
    """Asked for in a wrong way."""


class Missing(ApiError):
    """There is nothing of the name asked for."""


class Denied(ApiError):
    """The asker is not known."""


class Misdirected(ApiError):
    """The asker was sent here under a foreign host name."""


class Busy(ApiError):
    """The same request may succeed later."""


STATUS: Final[Mapping[type[Exception], HTTPStatus]] = {
    Refused: HTTPStatus.UNPROCESSABLE_ENTITY,
    Missing: HTTPStatus.NOT_FOUND,
    Denied: HTTPStatus.UNAUTHORIZED,
    Misdirected: HTTPStatus.MISDIRECTED_REQUEST,
    Busy: HTTPStatus.SERVICE_UNAVAILABLE,
    TopicError: HTTPStatus.UNPROCESSABLE_ENTITY,
    QueryRefused: HTTPStatus.UNPROCESSABLE_ENTITY,
    QueryFailed: HTTPStatus.UNPROCESSABLE_ENTITY,
    QueryTimeout: HTTPStatus.GATEWAY_TIMEOUT,
    StoreUnavailable: HTTPStatus.SERVICE_UNAVAILABLE,
    OSError: HTTPStatus.SERVICE_UNAVAILABLE,
}
FIXES: Final[Mapping[type[Exception], str]] = {
    QueryFailed: "ask for another time or another topic",
    QueryTimeout: "ask for a shorter time or fewer topics",
    StoreUnavailable: "ask again later; `uns doctor` says what is wrong with the store",
    OSError: "ask again later; `uns doctor` says what is wrong with the data folder",
}
HEADERS: Final[Mapping[HTTPStatus, Mapping[str, str]]] = {
    HTTPStatus.SERVICE_UNAVAILABLE: {"Retry-After": str(RETRY_AFTER_S)},
    HTTPStatus.UNAUTHORIZED: {"WWW-Authenticate": "Bearer"},
}


class Fault(BaseModel):
    """One value that does not fit: where it stands in the request, and why."""

    where: str
    message: str


class Problem(BaseModel):
    """A problem document (RFC 9457, 3). `type` is left out: about:blank, the status says it all."""

    title: str
    status: int
    detail: str
    faults: list[Fault] = []


Form = Callable[[Problem], JSONResponse]
"""How one face of the API says a problem."""


def as_problem(error: Exception) -> Problem:
    """The document for an error of a table here, or of the framework; else of a defect."""
    if isinstance(error, RequestValidationError):
        faults = [_fault(one) for one in error.errors()[:FAULTS_MAX]]
        detail = "; ".join(f"{fault.where}: {fault.message}" for fault in faults)
        return _problem(HTTPStatus.UNPROCESSABLE_ENTITY, detail, faults)
    if isinstance(error, HTTPException):
        return _problem(HTTPStatus(error.status_code), error.detail)
    kind = next((kind for kind in type(error).__mro__ if kind in STATUS), None)
    if kind is None:
        return _problem(HTTPStatus.INTERNAL_SERVER_ERROR, "a defect: the server's log has it")
    fix = FIXES.get(kind)
    return _problem(STATUS[kind], f"{error}: {fix}" if fix else str(error))


def as_response(problem: Problem) -> JSONResponse:
    """The problem as RFC 9457 has it."""
    document = problem.model_dump(exclude_defaults=True)
    headers = headers_of(problem)
    return JSONResponse(document, problem.status, headers, media_type=MEDIA_TYPE)


def headers_of(problem: Problem) -> Mapping[str, str]:
    """What a status must say beside its document."""
    return HEADERS.get(HTTPStatus(problem.status), {})


def answer_with(app: FastAPI, form: Form) -> None:
    """Let an application answer every error in a form."""

    async def handle(_request: Request, error: Exception) -> JSONResponse:
        return form(as_problem(error))

    for kind in (*STATUS, RequestValidationError, HTTPException, Exception):
        app.add_exception_handler(kind, handle)


def documented(schema: dict[str, Any], media_type: str) -> dict[int | str, dict[str, Any]]:
    """What OpenAPI says of every path: which document comes instead of an answer."""
    content = {media_type: {"schema": schema}}
    return {"default": {"description": "A problem (RFC 9457)", "content": content}}


def _problem(status: HTTPStatus, detail: str, faults: list[Fault] | None = None) -> Problem:
    return Problem(title=status.phrase, status=status, detail=detail, faults=faults or [])


def _fault(error: dict[str, Any]) -> Fault:
    return Fault(
        where=".".join(map(str, error["loc"])),
        message=str(error["msg"]).removeprefix("Value error, "),
    )
