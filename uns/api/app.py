"""The application: routes, errors, bounds and the gate, around what the caller brings."""

from collections.abc import AsyncIterator, Collection
from contextlib import asynccontextmanager
from importlib.metadata import version
from typing import Final

from fastapi import FastAPI
from starlette.middleware.gzip import GZipMiddleware

from uns.api.context import Context
from uns.api.errors import MEDIA_TYPE, Form, Problem, answer_with, as_response, documented
from uns.api.gate import LOOPBACK, Gate, announced
from uns.api.i3x.face import ROOT, as_failure, i3x_app
from uns.api.limits import BODY_BYTES_MAX
from uns.api.routes import router

GZIP_BYTES_MIN: Final = 1
"""Who asks for gzip gets it, however short the answer is (i3X 1.0, Transport & Encoding)."""
DESCRIPTION: Final = (
    "The record of a plant, read-only. Instants are plant time. Every list is bounded and paged; "
    "every figure says how much of its time is known."
)


def build(
    context: Context, token: str | None = None, hosts: Collection[str] | None = LOOPBACK
) -> FastAPI:
    """The application, to be served by any ASGI server.

    token: what every asker must say; None: nothing. hosts: the names it answers under; None: any.
    """

    @asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
        async with context.feed.running():
            yield
        context.readers.close()

    app = FastAPI(
        title="uns",
        version=version("uns-mes"),
        description=DESCRIPTION,
        lifespan=lifespan,
        docs_url=None,
        redoc_url=None,
        max_body_size=BODY_BYTES_MAX,
        dependencies=announced(token),
        responses=documented(
            Problem.model_json_schema(ref_template="#/components/schemas/{model}"), MEDIA_TYPE
        ),
    )
    app.state.context = context
    app.include_router(router)
    answer_with(app, as_response)
    app.mount(ROOT, i3x_app(context, token))
    app.add_middleware(GZipMiddleware, minimum_size=GZIP_BYTES_MIN)
    forms: dict[str, Form] = {"": as_response, ROOT: as_failure}
    app.add_middleware(Gate, token=token, hosts=hosts, forms=forms)
    return app
