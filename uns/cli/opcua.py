"""`uns opcua`: our certificate for OPC UA servers, and which servers are trusted.

Owns options and help of these commands. What they do is opcua_certificates's, which is imported
when it is needed only: cryptography takes as long to load as all the rest of `uns`.
"""

from typing import Annotated

import typer

from uns.cli.options import Data, Json

opcua_app = typer.Typer(help="OPC UA security.", rich_markup_mode=None)


@opcua_app.command(epilog="Example: uns opcua certificate --data .uns")
def certificate(*, data: Data = None, as_json: Json = False) -> None:
    """Show our certificate, to be uploaded to OPC UA servers. Makes it when there is none yet."""
    from uns.cli import opcua_certificates  # noqa: PLC0415 - see the module's docstring

    opcua_certificates.show_own(data, as_json=as_json)


@opcua_app.command(epilog="Example: uns opcua trust 3F0A91C2D4E7")
def trust(
    which: Annotated[
        str | None,
        typer.Argument(
            metavar="THUMBPRINT|FILE",
            help="The thumbprint of a rejected one, or its begin; or a file, DER or PEM.",
        ),
    ] = None,
    *,
    data: Data = None,
    as_json: Json = False,
) -> None:
    """Trust the certificate of an OPC UA server or authority. Without one, list the rejected.

    Compare the thumbprint with the one that the server shows. A bridge that waits for it connects
    within seconds. To trust it no longer, remove its file from pki/trusted in the data folder.
    """
    from uns.cli import opcua_certificates  # noqa: PLC0415 - see the module's docstring

    if which is None:
        opcua_certificates.list_rejected(data, as_json=as_json)
    else:
        opcua_certificates.trust(which, data, as_json=as_json)
