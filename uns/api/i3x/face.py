"""i3X as an application of its own below ROOT: its routes, and how errors look in its envelope."""

import secrets
import time
from functools import partial
from importlib.metadata import version
from typing import Final

from fastapi import FastAPI
from fastapi.responses import JSONResponse

from uns.api.context import Context
from uns.api.errors import Problem, answer_with, documented, headers_of
from uns.api.feed import Said
from uns.api.gate import announced
from uns.api.i3x import objects, subscribing
from uns.api.i3x.bulk import as_detail
from uns.api.i3x.space import Spaces
from uns.api.i3x.subscriptions import Subscriptions
from uns.api.i3x.values import said
from uns.api.i3x.wire import Failure

ROOT: Final = "/i3x/v1"
ID_BYTES: Final = 32
REFERENCE: Final = "#/components/schemas/{model}"


def i3x_app(context: Context, token: str | None) -> FastAPI:
    """The i3X face of the same context; it is told what the feed hears."""
    schema = Failure.model_json_schema(ref_template=REFERENCE)
    app = FastAPI(
        title="uns: i3X",
        version=version("uns-mes"),
        docs_url=None,
        redoc_url=None,
        dependencies=announced(token),
        responses=documented(schema, "application/json"),
    )
    app.state.context = context
    app.state.spaces = Spaces(context.plant)
    app.state.subscriptions = Subscriptions(
        time.monotonic, partial(secrets.token_urlsafe, ID_BYTES)
    )
    app.include_router(objects.router)
    app.include_router(subscribing.router)
    answer_with(app, as_failure)
    context.feed.follow(partial(_tell, app.state.subscriptions, context))
    return app


def as_failure(problem: Problem) -> JSONResponse:
    """A problem in the envelope of i3X."""
    detail = as_detail(problem)
    failure = Failure(response_detail=detail).model_dump(by_alias=True)
    return JSONResponse(failure, detail.status, headers_of(problem))


def _tell(subscriptions: Subscriptions, context: Context, message: Said) -> None:
    topic, _payload = message
    if not subscriptions.followed(topic):  # most are not, and there are thousands a second
        return
    update = said(*message, context.clock())
    if update:
        subscriptions.tell(update)
