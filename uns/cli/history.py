"""The commands that ask the past: their options and help. What they do is lookback's."""

from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, Final, Literal

import typer

from uns.cli import lookback, plotting, reading
from uns.cli.explain import explain
from uns.cli.options import Data, Json
from uns.historian.history import downtime as stops
from uns.historian.history import oee as kpi
from uns.historian.history.orders import Status

From = Annotated[str | None, typer.Option("--from", help="2026-11-23T06:00, 10m, 2h, 7d (ago).")]
To = Annotated[str | None, typer.Option("--to", help="As --from; default now.")]
Place = Annotated[
    str | None, typer.Argument(metavar="[PLACE]", help="A site, area, line or cell: name or path.")
]
Limit = Annotated[int, typer.Option(min=1, max=10_000, help="At most so many rows.")]


def last(
    topic_filter: Annotated[str | None, typer.Argument(metavar="[FILTER]")] = None,
    *,
    limit: Limit = 1_000,
    data: Data = None,
    as_json: Json = False,
) -> None:
    """Show the newest recorded values. Of a topic or filter, with quality and time."""
    lookback.last(topic_filter, limit, data, as_json=as_json)


def history(  # noqa: PLR0913 - the options of the command, each with its default
    topic: Annotated[str, typer.Argument(help="A `_tag`, `_state` or `_event` topic.")],
    *,
    start: From = None,
    end: To = None,
    every: Annotated[
        str | None, typer.Option(metavar="TIME", help="Sum up by steps: 10s, 1m, 1h.")
    ] = None,
    points: Annotated[
        int | None, typer.Option(min=3, max=5_000, help="Sum up to about so many.")
    ] = None,
    how: Annotated[
        Literal["all", "avg", "min", "max", "last", "lttb"],
        typer.Option(help="What a step shows; lttb: --points worth drawing."),
    ] = "all",
    hold: Annotated[
        str | None,
        typer.Option(
            metavar="TIME", help="How long a value is believed (default: until the next)."
        ),
    ] = None,
    limit: Annotated[int, typer.Option(min=1, max=100_000)] = 1_000,
    data: Data = None,
    as_json: Json = False,
) -> None:
    """Show the recorded values of a topic. Each of them, or by steps with --every or --points.

    avg is weighted by time: a good value holds until the next sample. Coverage is the share of a
    step in which the value was known; the times when it was not are listed as gaps.
    """
    if every is None and points is None and how == "all":
        reading.history(topic, (start, end), limit, data, as_json=as_json)
    else:
        asked = lookback.Asked(topic, (start, end), data, as_json=as_json)
        lookback.sampled(asked, lookback.Steps(every, points, how, hold))


def timeline(  # noqa: PLR0913 - the options of the command, each with its default
    place: Place = None,
    *,
    start: From = None,
    end: To = None,
    limit: Limit = 1_000,
    data: Data = None,
    as_json: Json = False,
) -> None:
    """Show what cells were doing. State after state, without a hole; default: the last hour."""
    lookback.timeline(lookback.Asked(place, (start, end), data, as_json=as_json), limit)


def downtime(  # noqa: PLR0913 - the options of the command, each with its default
    place: Place = None,
    *,
    start: From = None,
    end: To = None,
    by: Annotated[stops.By, typer.Option(help="What bars stand for.")] = "reason",
    limit: Annotated[int, typer.Option(min=1, max=stops.BARS_MAX)] = stops.BARS_DEFAULT,
    data: Data = None,
    as_json: Json = False,
) -> None:
    """Show why cells stood still. A Pareto of their stops; default: the last 24 hours."""
    lookback.downtime(lookback.Asked(place, (start, end), data, as_json=as_json), by, limit)


def oee(  # noqa: PLR0913 - the options of the command, each with its default
    place: Place = None,
    *,
    line: Annotated[str | None, typer.Option(help="A line's name or path (default: all).")] = None,
    shift: Annotated[str, typer.Option(help="`now`, or a shift as 2026-11-23-early.")] = "now",
    start: From = None,
    end: To = None,
    by: Annotated[kpi.By | None, typer.Option(help="Over a time: one row for each.")] = None,
    data: Data = None,
    as_json: Json = False,
) -> None:
    """Show OEE of lines, now or of a shift. After ISO 22400-2, with the sums it was made from.

    With --from, --to, --by or PLACE: over a time (default: 24 hours), with the minutes lost and
    the share of the time that is known. Days, weeks and months are those of the shifts.
    """
    if (place, start, end, by) == (None, None, None, None):
        reading.oee(line, shift, data, as_json=as_json)
    else:
        asked = lookback.Asked(place or line, (start, end), data, as_json=as_json)
        lookback.oee(asked, by or "all")


def orders(  # noqa: PLR0913 - the options of the command, each with its default
    order_id: Annotated[
        str | None, typer.Argument(metavar="[ORDER]", help="The story of one order.")
    ] = None,
    *,
    place: Annotated[str | None, typer.Option(help="At or below it: name or path.")] = None,
    status: Annotated[Status | None, typer.Option(help="Of this dispatch status only.")] = None,
    item: Annotated[str | None, typer.Option(help="Of this item only.")] = None,
    start: From = None,
    end: To = None,
    limit: Limit = 100,
    data: Data = None,
    as_json: Json = False,
) -> None:
    """List recorded orders. Or tell the story of one: progress, stops, verdicts and OEE by cell."""
    asked = lookback.Asked(place, (start, end), data, as_json=as_json)
    if order_id is None:
        lookback.orders(asked, lookback.Wanted(status, item, limit))
    else:
        lookback.order(asked, order_id)


def spc(  # noqa: PLR0913 - the options of the command, each with its default
    cell: Annotated[str, typer.Argument(help="A cell's name or path.")],
    characteristic: Annotated[str, typer.Argument(help="As specifications call it.")],
    *,
    start: From = None,
    end: To = None,
    item: Annotated[str | None, typer.Option(help="Of this item only.")] = None,
    plot: Annotated[
        Path | None, typer.Option(help="Draw its control chart to this .svg or .png instead.")
    ] = None,
    limit: Limit = 1_000,
    data: Data = None,
    as_json: Json = False,
) -> None:
    """Show a characteristic with its limits. Chart statistics, capability and what breaks rules.

    With --plot, the control chart that its specification asks for, as it was at --to.
    """
    asked = lookback.Asked(cell, (start, end), data, as_json=as_json)
    if plot is not None:
        plotting.plotted(asked, characteristic, item, plot)
        return
    lookback.spc(asked, characteristic, item, limit)


COMMANDS: Final[tuple[tuple[Callable[..., Any], str], ...]] = (
    (last, "uns last 'acme/berlin/#'"),
    (history, "uns history acme/berlin/machining/housing/mill/_tag/bore --from 1h --every 1m"),
    (timeline, "uns timeline pump --from 8h"),
    (downtime, "uns downtime pump --from 7d --by loss"),
    (oee, "uns oee berlin --from 30d --by week"),
    (explain, "uns explain acme/berlin/machining/housing/_state/oee"),
    (orders, "uns orders --status running"),
    (spc, "uns spc mill bore --from 8h"),
)
"""Each with an example."""
