"""`uns epcis`: what partners tell, and what the plant tells them, in EPCIS 2.0.

Owns options and help. What a command does is imported when it is needed only.
"""

from pathlib import Path
from typing import Annotated

import typer

from uns.cli.options import Data, Json, Namespace

epcis_app = typer.Typer(help="EPCIS 2.0 events, in and out.", rich_markup_mode=None)

Documents = Annotated[Path, typer.Argument(help="An EPCIS document: .json, .jsonld or .xml.")]
Bridge = Annotated[
    str | None,
    typer.Option(metavar="NAME", help="Which bridge of protocol epcis (default: the only one)."),
]


@epcis_app.command("check", epilog="Example: uns epcis check supplier.jsonld")
def check(file: Documents, *, namespace: Namespace = None, as_json: Json = False) -> None:
    """Say what the hub would do with each event. Sends nothing; exit code 1: some are refused.

    Prints the hash id of each (CBV 2.0, 8.9.2). With --json, one line an event.
    """
    from uns.cli import epcis_files  # noqa: PLC0415 - see the module's docstring

    epcis_files.check(file, namespace, as_json=as_json)


@epcis_app.command("import", epilog="Example: uns epcis import supplier.jsonld")
def take_in(
    file: Documents, *, bridge: Bridge = None, data: Data = None, as_json: Json = False
) -> None:
    """Hand a document to the hub. What it refuses is printed first; exit code 1: some are refused.

    The sound events are taken all the same, each once, by their hash ids. A hub that does not run
    takes them when it does.
    """
    from uns.cli import epcis_files  # noqa: PLC0415 - see the module's docstring

    epcis_files.take_in(file, bridge, data, as_json=as_json)


@epcis_app.command("export", epilog="Example: uns epcis export week.jsonld --line pump --from 7d")
def export(  # noqa: PLR0913 - the options of the command, each with its default
    file: Annotated[Path, typer.Argument(help="The document to write, or - for standard output.")],
    *,
    line: Annotated[str | None, typer.Option(help="A line's name or path (default: all).")] = None,
    start: Annotated[
        str | None, typer.Option("--from", help="2026-11-23T06:00, 10m, 2h, 7d (ago).")
    ] = None,
    end: Annotated[str | None, typer.Option("--to", help="As --from.")] = None,
    lot: Annotated[
        str | None, typer.Option(metavar="ID", help="Only what made this lot or unit, or used it.")
    ] = None,
    received: Annotated[
        bool, typer.Option("--received", help="Instead: what partners told, as they told it.")
    ] = False,
    bridge: Bridge = None,
    data: Data = None,
    as_json: Json = False,
) -> None:
    """Write what the plant made as EPCIS events. Default: all that is on record.

    What came out of a cell is a TransformationEvent with all that went into it, or an ObjectEvent
    where nothing did. Names are as the bridge's settings say.
    """
    from uns.cli import epcis_export  # noqa: PLC0415 - see the module's docstring

    wanted = epcis_export.Wanted(line, (start, end), lot, received=received)
    epcis_export.export(file, wanted, bridge, data, as_json=as_json)
