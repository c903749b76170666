"""`uns serve`: its options and help. What it does is serving's, which is imported when needed only.

FastAPI takes as long to load as all the rest of `uns`.
"""

from pathlib import Path
from typing import Annotated

import typer

from uns.cli.errors import UsageError
from uns.cli.options import Data, Json

Pem = Annotated[
    Path | None, typer.Option(exists=True, dir_okay=False, metavar="FILE", help="For HTTPS, PEM.")
]


def serve(  # noqa: PLR0913 - the options of the command, each with its default
    *,
    host: Annotated[str, typer.Option(help="The address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65_535, help="0: any free one.")] = 8100,
    token: Annotated[
        str | None,
        typer.Option(envvar="UNS_TOKEN", help="What askers must say as bearer token."),
    ] = None,
    certificate: Pem = None,
    key: Pem = None,
    data: Data = None,
    as_json: Json = False,
) -> None:
    """Answer over HTTP, read-only. The record as REST (OpenAPI) and as i3X 1.0.

    Other machines reach it only where --host says so, and then need the token.
    """
    from uns.cli import serving  # noqa: PLC0415 - see the module's docstring

    if (certificate is None) != (key is None):
        raise UsageError("HTTPS needs both --certificate and --key")
    tls = (certificate, key) if certificate and key else None
    serving.serve(serving.ServeOptions(host, port, token, tls), data, as_json=as_json)
