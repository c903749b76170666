"""`uns hold`: options and help. What the commands do is holding's."""

from typing import Annotated

import typer

from uns.cli import holding
from uns.cli.options import Data, Json

hold_app = typer.Typer(
    help="Quality holds: what is not to be used until it is released.", rich_markup_mode=None
)

Why = Annotated[str, typer.Option(help="Why, in your words; it goes on record.")]
Actor = Annotated[str, typer.Option(help="Who asks; it goes on record.")]


@hold_app.command("list", epilog="Example: uns hold list pump")
def listed(
    line: Annotated[str | None, typer.Argument(help="A line's name or path.")] = None,
    *,
    everything: Annotated[bool, typer.Option("--all", help="What was released last, too.")] = False,
    data: Data = None,
    as_json: Json = False,
) -> None:
    """List what is on hold: why, since when, and which orders are halted."""
    holding.holds(line, data, everything=everything, as_json=as_json)


@hold_app.command(
    "place", epilog='Example: uns hold place pump --lot L-17 --reason "cracks" --actor anna'
)
def place(  # noqa: PLR0913 - the options of the command, each with its default
    line: Annotated[str, typer.Argument(help="A line's name or path.")],
    *,
    lot: Annotated[str | None, typer.Option(help="The lot.")] = None,
    unit: Annotated[str | None, typer.Option(metavar="SERIAL", help="The unit.")] = None,
    order: Annotated[str | None, typer.Option(help="The order it is of.")] = None,
    halt: Annotated[bool, typer.Option("--halt", help="Halt the order, too.")] = False,
    reason: Why,
    actor: Actor,
    data: Data = None,
    as_json: Json = False,
) -> None:
    """Hold a lot or a unit."""
    fields = {"lot": lot, "unit_id": unit, "order_id": order, "halts": halt or None}
    told = {"reason": reason, "actor": actor}
    holding.place(line, {**fields, **told}, data, as_json=as_json)


@hold_app.command(
    "release",
    epilog="Example: uns hold release acme.berlin.assembly.pump-hold-3 --reason ok --actor anna",
)
def release(
    hold_id: Annotated[str, typer.Argument(metavar="HOLD", help="As `uns hold list` shows it.")],
    *,
    reason: Why,
    actor: Actor,
    data: Data = None,
    as_json: Json = False,
) -> None:
    """Release a hold. Only who may does; a halted order then waits for `uns order unhold`."""
    fields = {"reason": reason, "actor": actor}
    holding.release(hold_id, fields, data, as_json=as_json)
