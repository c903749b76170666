"""`uns export`: the record as files. Owns options and help; what it does is exporting's."""

from pathlib import Path
from typing import Annotated

import typer

from uns.cli import exporting
from uns.cli.options import Data, Json

export_app = typer.Typer(help="The record as files.", rich_markup_mode=None)


@export_app.callback()
def export() -> None:
    """The record as files."""


@export_app.command("parquet", epilog="Example: uns export parquet archive --from 7d")
def export_parquet(  # noqa: PLR0913 - the options of the command, each with its default
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="The folder of the export.")],
    *,
    start: Annotated[
        str | None, typer.Option("--from", help="2026-11-23, 7d (ago); whole days.")
    ] = None,
    end: Annotated[str | None, typer.Option("--to", help="As --from.")] = None,
    tables: Annotated[
        str | None, typer.Option(metavar="A,B", help="Read models (default: all).")
    ] = None,
    data: Data = None,
    as_json: Json = False,
) -> None:
    """Write the record as Parquet files. Day by day, only what changed since the last time.

    Files are DIR/<read model>/site=/line=/day=/rows.parquet, each replaced at once. Works while the
    hub runs. Read them with `uns query SQL --over DIR`, or with whatever reads Hive partitions.
    """
    exporting.parquet(folder, (start, end), tables, data, as_json=as_json)
