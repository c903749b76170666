"""`uns bridge`: try a bridge of namespace.yaml before the hub runs it.

Owns options and help. What it does is bridge_test's and bridge_lint's, which are imported when they
are needed only: the protocols' libraries take long to load.
"""

from pathlib import Path
from typing import Annotated

import typer

from uns.cli.options import Data, Json

bridge_app = typer.Typer(help="Bridges.", rich_markup_mode=None)


@bridge_app.callback()
def bridge() -> None:
    """Bridges."""


@bridge_app.command("test", epilog="Example: uns bridge test plc-machining --file namespace.yaml")
def try_once(
    endpoint: Annotated[
        str, typer.Argument(help="A bridge's name, or part of the address of one.")
    ],
    *,
    file: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="The plant (default: DIR's, or ./namespace.yaml)."),
    ] = None,
    timeout_s: Annotated[
        float, typer.Option("--timeout", min=0.5, max=600, metavar="S", help="Wait so long.")
    ] = 10.0,
    data: Data = None,
    as_json: Json = False,
) -> None:
    """Read every tag of a bridge once. Says what to do about each that fails; never writes.

    Connects and reads as the bridge does. Exit code 0 when every tag is good, else 1. OPC UA and
    Modbus.
    """
    from uns.cli import bridge_test  # noqa: PLC0415 - see the module's docstring

    trial = bridge_test.trial_of(endpoint, file, data)
    bridge_test.run(trial, timeout_s, as_json=as_json)


@bridge_app.command("lint", epilog="Example: uns bridge lint mqtt://10.0.0.8 --filter 'Plant 1/#'")
def lint(  # noqa: PLR0913 - the options of the command, each with its default
    source: Annotated[
        str | None,
        typer.Argument(help="mqtt://user:password@host:port, or a file (see below)."),
    ] = None,
    *,
    bridge: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="A bridge of protocol mqtt: its broker, its mapping."),
    ] = None,
    wanted: Annotated[
        str | None, typer.Option("--filter", metavar="FILTER", help="Topics (default: all).")
    ] = None,
    duration: Annotated[
        float, typer.Option("--duration", min=1, max=86_400, metavar="S", help="Listen so long.")
    ] = 60.0,
    file: Annotated[
        Path | None, typer.Option(metavar="FILE", help="The plant (default: ./namespace.yaml).")
    ] = None,
    data: Data = None,
    as_json: Json = False,
) -> None:
    """List the contradictions of a foreign namespace, with evidence and what to map. Only listens.

    Goes by the names of topics, and by the mapping of a bridge where one is named. A file is what
    `mosquitto_sub -F %j` printed. Exit code 1 when there are findings.
    """
    from uns.cli import bridge_lint  # noqa: PLC0415 - see the module's docstring

    mapping = bridge_lint.mapping_of(bridge, file) if bridge else None
    heard = bridge_lint.source_of(source, mapping, wanted, duration, data)
    bridge_lint.run(heard, mapping, as_json=as_json)
