"""`uns chart`: control charts as they stand, and decisions about their limits."""

from collections.abc import Callable, Mapping
from typing import Annotated, Any, Final

import typer

from uns.cli.asking import answered, print_answer, running
from uns.cli.errors import UsageError
from uns.cli.folder import find_folder
from uns.cli.lookback import place
from uns.cli.options import Data, Json
from uns.cli.output import print_json, print_table, say
from uns.cli.reading import newest, parsed
from uns.model.checks import did_you_mean
from uns.model.events import CHART_POINTS_MAX
from uns.model.path import parse_topic
from uns.model.spc.settings import ChartCommand

chart_app = typer.Typer(help="Control charts and their limits.", rich_markup_mode=None)

Cell = Annotated[str, typer.Argument(help="A cell's name or path.")]
Named = Annotated[str, typer.Argument(metavar="CHARACTERISTIC", help="As specifications call it.")]
OfItem = Annotated[str, typer.Argument(metavar="ITEM", help="The item that the chart is of.")]
Reason = Annotated[str, typer.Option(help="Why; it stands beside the limits for ever.")]
Point = Annotated[list[int], typer.Option(min=1, help="Its number; again for more points.")]
COLUMNS: Final = ("cell", "characteristic", "item", "chart", "limits", "in control", "Cpk", "says")
WITHOUT_POINTS: Final[dict[ChartCommand, str]] = {
    "freeze": "End phase I now. Limits follow from the points there are.",
    "restart": "Begin another phase I. The limits there are hold until it is full.",
}


@chart_app.command("list", epilog="Example: uns chart list")
def listed(*, data: Data = None, as_json: Json = False) -> None:
    """List the control charts: of a running hub as they are, else on record."""
    folder = find_folder(data)
    wanted = f"{folder.load_plant().enterprise}/+/+/+/+/_state/spc/+/+"
    shown = sorted(newest(folder, wanted).items())
    found = [(parse_topic(topic).path, parsed(payload)) for topic, payload in shown]
    if as_json:
        print_json([{"cell": cell, **document} for cell, document in found])
    elif found:
        print_table(COLUMNS, [_row(*one) for one in found])
    else:
        say("no control chart has a sample yet: a characteristic has one under `chart`")


@chart_app.command(epilog="Example: uns chart exclude fit torque pump-a --point 7 --reason 'gauge'")
def exclude(  # noqa: PLR0913 - the options of the command, each with its meaning
    cell: Cell,
    characteristic: Named,
    item: OfItem,
    *,
    point: Point,
    reason: Reason,
    data: Data = None,
    as_json: Json = False,
) -> None:
    """Leave points of phase I out. Other limits follow, as another version."""
    if len(point) > CHART_POINTS_MAX:
        raise UsageError(f"{len(point)} points: at most {CHART_POINTS_MAX} at once")
    asked_for = {"characteristic": characteristic, "item": item, "reason": reason}
    decide("exclude", cell, {**asked_for, "points": point}, data, as_json=as_json)


def _deciding(command: ChartCommand, text: str) -> Callable[..., Any]:
    def deciding(  # noqa: PLR0913 - the options of the command, each with its meaning
        cell: Cell,
        characteristic: Named,
        item: OfItem,
        *,
        reason: Reason,
        data: Data = None,
        as_json: Json = False,
    ) -> None:
        asked_for = {"characteristic": characteristic, "item": item, "reason": reason}
        decide(command, cell, asked_for, data, as_json=as_json)

    deciding.__doc__ = text
    return deciding


for _command, _text in WITHOUT_POINTS.items():
    _example = f"Example: uns chart {_command} fit torque pump-a --reason 'new tool'"
    chart_app.command(_command, epilog=_example)(_deciding(_command, _text))


def decide(
    command: ChartCommand, cell: str, body: dict[str, Any], data: Data, *, as_json: bool
) -> None:
    """Ask for a decision at a cell; exit code 1 when it is refused."""
    folder = running(data)
    plant = folder.load_plant()
    path = place(plant, cell)
    if path not in plant.cells:
        known = [one.rpartition("/")[2] for one in plant.cells]
        raise UsageError(f"{cell!r} is no cell{did_you_mean(cell, known)}")
    reply = answered(folder.address("operator"), path, f"chart/{command}", body)
    print_answer(reply, as_json=as_json)


def _row(cell: str, document: Mapping[str, Any]) -> tuple[Any, ...]:
    limits, capable = document["limits"], document["capability"] or {}
    cpk = f"{capable['cpk']['value']:.2f}" if "cpk" in capable else None
    of = (cell.rpartition("/")[2], document["characteristic"], document["item"])
    state = {True: "yes", False: "no", None: None}[document["in_control"]]
    return (*of, document["chart"], limits and limits["version"], state, cpk, document["summary"])
