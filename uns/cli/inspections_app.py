"""`uns inspection`: options and help. What the commands do is inspecting's."""

from typing import Annotated

import typer

from uns.cli import inspecting
from uns.cli.options import Data, Json

inspection_app = typer.Typer(help="Inspections that a plan asks for.", rich_markup_mode=None)

InspectionId = Annotated[
    str, typer.Argument(metavar="INSPECTION", help="As `uns inspection list` shows it.")
]
Why = Annotated[str, typer.Option(help="Why, in your words; it goes on record.")]


@inspection_app.command("list", epilog="Example: uns inspection list pump")
def listed(
    line: Annotated[str | None, typer.Argument(help="A line's name or path.")] = None,
    *,
    data: Data = None,
    as_json: Json = False,
) -> None:
    """List the inspections that are open. How far each is, and whether an operation waits."""
    inspecting.inspections(line, data, as_json=as_json)


@inspection_app.command(
    "record",
    epilog="Example: uns inspection record acme.berlin.machining.housing.mill-3 bore=40.01",
)
def record(  # noqa: PLR0913 - the options of the command, each with its default
    inspection_id: InspectionId,
    values: Annotated[
        list[str] | None, typer.Argument(metavar="[NAME=VALUE...]", help="Of one piece.")
    ] = None,
    *,
    inspected: Annotated[int | None, typer.Option(min=1, help="Pieces (default: 1).")] = None,
    nonconforming: Annotated[int | None, typer.Option(min=0, help="How many of them.")] = None,
    defect: Annotated[
        list[str] | None,
        typer.Option(metavar="CODE[@PLACE][=COUNT]", help="What is wrong; may be repeated."),
    ] = None,
    gauge: Annotated[str | None, typer.Option(help="What it was measured with.")] = None,
    unit: Annotated[str | None, typer.Option(metavar="SERIAL", help="The piece.")] = None,
    photo: Annotated[str | None, typer.Option(help="Where a photo is kept.")] = None,
    data: Data = None,
    as_json: Json = False,
) -> None:
    """Record a result. Of one piece its values, of several how many are nonconforming."""
    fields = {
        "values": inspecting.measured(values or []),
        "inspected": inspected,
        "nonconforming": nonconforming,
        "defects": inspecting.defects(defect or []),
        "gauge": gauge,
        "unit_id": unit,
        "photo": photo,
    }
    inspecting.command("record", inspection_id, fields, data, as_json=as_json)


@inspection_app.command(
    "cancel",
    epilog="Example: uns inspection cancel acme.berlin.machining.housing.mill-3 --reason withdrawn",
)
def cancel(
    inspection_id: InspectionId, *, reason: Why, data: Data = None, as_json: Json = False
) -> None:
    """End an inspection without a verdict."""
    inspecting.command("cancel", inspection_id, {"reason": reason}, data, as_json=as_json)


@inspection_app.command(
    "resume",
    epilog="Example: uns inspection resume acme.berlin.machining.housing.mill-8 --reason sharpened",
)
def resume(
    inspection_id: InspectionId, *, reason: Why, data: Data = None, as_json: Json = False
) -> None:
    """Accept lots again. Five were refused on tightened inspection, and something was done."""
    inspecting.command("resume", inspection_id, {"reason": reason}, data, as_json=as_json)
