"""The commands about stops, losses and energy: options and help. What they do is stopping's."""

from collections.abc import Callable
from typing import Annotated, Any, Final

import typer

from uns.cli import stopping
from uns.cli.history import From, Limit, Place, To
from uns.cli.lookback import Asked
from uns.cli.options import Data, Json

stop_app = typer.Typer(help="Stops of cells, and their reasons.", rich_markup_mode=None)
StopId = Annotated[str, typer.Argument(metavar="STOP", help="As `uns stop list` shows it.")]
Comment = Annotated[str | None, typer.Option(help="Why, in your words.")]


@stop_app.command("list", epilog="Example: uns stop list mill --from 8h")
def listed(  # noqa: PLR0913 - the options of the command, each with its default
    place: Place = None,
    *,
    start: From = None,
    end: To = None,
    limit: Limit = 50,
    data: Data = None,
    as_json: Json = False,
) -> None:
    """List the stops of cells, the newest first. Micro-stops are left out: they take no reason."""
    stopping.stops(Asked(place, (start, end), data, as_json=as_json), limit)


@stop_app.command(
    "story", epilog="Example: uns stop story acme.berlin.assembly.pump.fit-1795410060000"
)
def story(stop_id: StopId, *, data: Data = None, as_json: Json = False) -> None:
    """Tell what was ever said of a stop. Each reason with the one before it, and who gave it."""
    stopping.story(stop_id, data, as_json=as_json)


@stop_app.command(
    "classify", epilog="Example: uns stop classify acme.berlin.assembly.pump.fit-1795410060000 e41"
)
def classify(
    stop_id: StopId,
    reason: Annotated[str, typer.Argument(help="A reason's code of namespace.yaml.")],
    *,
    comment: Comment = None,
    data: Data = None,
    as_json: Json = False,
) -> None:
    """Give a stop its reason. A planned one takes its time out of planned busy time."""
    body = {"reason_code": reason, "comment": comment}
    stopping.command("classify", stop_id, body, data, as_json=as_json)


@stop_app.command(
    "split", epilog="Example: uns stop split acme.berlin.assembly.pump.fit-1795410060000 --at 20m"
)
def split(
    stop_id: StopId,
    *,
    at: Annotated[str, typer.Option(help="When the second part began: 2026-11-23T06:00, 10m.")],
    comment: Comment = None,
    data: Data = None,
    as_json: Json = False,
) -> None:
    """Make two stops of one that is over."""
    body = {"split_ms": stopping.instant(at, data), "comment": comment}
    stopping.command("split", stop_id, body, data, as_json=as_json)


@stop_app.command(
    "merge",
    epilog="Example: uns stop merge acme.berlin.assembly.pump.fit-1795410060000"
    " acme.berlin.assembly.pump.fit-1795410120000",
)
def merge(
    stop_id: StopId,
    other: Annotated[str, typer.Argument(metavar="WITH", help="The stop next to it.")],
    *,
    comment: Comment = None,
    data: Data = None,
    as_json: Json = False,
) -> None:
    """Make one stop of two that follow one another. The earlier one keeps its id."""
    body = {"with_stop_id": other, "comment": comment}
    stopping.command("merge", stop_id, body, data, as_json=as_json)


def losses(
    place: Place = None,
    *,
    start: From = None,
    end: To = None,
    data: Data = None,
    as_json: Json = False,
) -> None:
    """Show the loss tree of a place. The six big losses in minutes and pieces, biggest first."""
    stopping.losses(Asked(place, (start, end), data, as_json=as_json))


def reliability(
    place: Place = None,
    *,
    start: From = None,
    end: To = None,
    data: Data = None,
    as_json: Json = False,
) -> None:
    """Show MTBF, MTTF and MTTR of cells. ISO 22400-2: time between failures leaves delays out."""
    stopping.reliability(Asked(place, (start, end), data, as_json=as_json))


def bottleneck(
    line: Annotated[str, typer.Argument(help="A line's name or path.")],
    *,
    start: From = None,
    end: To = None,
    data: Data = None,
    as_json: Json = False,
) -> None:
    """Show which cell holds a line back. With what says so: its load, and who waits for it."""
    stopping.bottleneck(Asked(line, (start, end), data, as_json=as_json))


def energy(
    place: Place = None,
    *,
    start: From = None,
    end: To = None,
    data: Data = None,
    as_json: Json = False,
) -> None:
    """Show what meters counted, and for each good piece. Meters are tags of role `energy`."""
    stopping.energy(Asked(place, (start, end), data, as_json=as_json))


COMMANDS: Final[tuple[tuple[Callable[..., Any], str], ...]] = (
    (losses, "uns losses pump --from 7d"),
    (reliability, "uns reliability pump --from 30d"),
    (bottleneck, "uns bottleneck pump --from 8h"),
    (energy, "uns energy pump --from 8h"),
)
"""Each with an example."""
