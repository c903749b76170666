"""`uns bridge`: try a bridge of namespace.yaml before the hub runs it.

Owns options and help. What it does is bridge_test's, which is imported when it is needed only: the
protocols' libraries take long to load.
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
