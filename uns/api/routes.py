"""/v1: every question that the command line asks of the record, one path each.

Owns names of paths and parameters. What a question means and how much an answer holds is
uns.historian.history's.
"""

from typing import Annotated, Final, Literal

from fastapi import APIRouter, Depends, Query
from pydantic import BaseModel

from uns.api.context import Given, Record
from uns.api.errors import Missing
from uns.api.instants import Instant
from uns.api.limits import DAY_MS, LIMIT_DEFAULT, Filter, Limit, Paged, Place, Text, Topic, Window
from uns.api.places import Node, nodes
from uns.historian.gaps import gaps as missing_events
from uns.historian.history import bottleneck as holding_back
from uns.historian.history import defects as wrong
from uns.historian.history import downtime as stops
from uns.historian.history import energy as metered
from uns.historian.history import genealogy, orders, spc, states, values
from uns.historian.history import losses as lost
from uns.historian.history import oee as kpi
from uns.historian.history import reliability as failures
from uns.historian.history import yields as passed
from uns.historian.history.period import PAGE_MAX, Page
from uns.historian.walks import Direction

STEP_MS_MAX: Final = 366 * DAY_MS

router = APIRouter(prefix="/v1")

Drawn = Annotated[
    int,
    Query(ge=values.PLOT_POINTS_MIN, le=values.PLOT_POINTS_MAX, description="Number of points."),
]
Hold = Annotated[
    int | None,
    Query(ge=1, le=STEP_MS_MAX, description="How long a value is believed without a new one."),
]


def _steps(
    every_ms: Annotated[
        int | None, Query(ge=1, le=STEP_MS_MAX, description="Length of a step.")
    ] = None,
    points: Annotated[
        int, Query(ge=1, le=PAGE_MAX, description="Number of steps, where they have no length.")
    ] = values.POINTS_DEFAULT,
    hold_ms: Hold = None,
) -> tuple[int | None, int, int | None]:
    return every_ms, points, hold_ms


Stepped = Annotated[tuple[int | None, int, int | None], Depends(_steps)]


class Health(BaseModel):
    """The server answers, and the record did. at_ms: plant time."""

    status: Literal["ok"] = "ok"
    at_ms: int


class MissingEvents(BaseModel):
    """Events of a source that are not on record. open: they may still come."""

    source: str
    epoch: int
    from_seq: int
    to_seq: int
    seen_by: str
    since_ms: int
    why: str
    open: bool


@router.get("/health")
def health(context: Given, record: Record) -> Health:
    """Whether questions are answered now; 503 while the store is away."""
    record.query("SELECT 1", limit=1)
    return Health(at_ms=context.clock())


@router.get("/plant")
def plant(context: Given, page: Paged) -> Page[Node]:
    """Every place of the plant with its tags, by path."""
    found = [node for node in nodes(context.plant) if node.path > (page.after or "")]
    more = len(found) > page.limit
    return Page(
        items=tuple(found[: page.limit]), after=found[page.limit - 1].path if more else None
    )


@router.get("/last")
def last(record: Record, topic: Filter, page: Paged) -> Page[values.Newest]:
    """The newest value of each tag and state topic that a filter selects."""
    return values.last(record, topic, *page)


@router.get("/tree")
def tree(
    context: Given, record: Record, page: Paged, topic: Filter = "#", at: Instant | None = None
) -> Page[values.Newest]:
    """The tag and state topics as they were at an instant (default: now)."""
    at_ms = context.clock() if at is None else at
    return values.tree_at(record, at_ms, topic, *page)


@router.get("/history")
def history(record: Record, topic: Topic, window: Window, page: Paged) -> Page[values.Value]:
    """Every recorded value of a `_tag`, `_state` or `_event` topic, by time."""
    return values.raw(record, topic, window, *page)


@router.get("/sampled")
def sampled(record: Record, topic: Topic, window: Window, steps: Stepped) -> values.Sampled:
    """A tag in equal steps: min, max, time-weighted average, last, and how much is known."""
    every_ms, points, hold_ms = steps
    return values.sampled(record, topic, window, every_ms=every_ms, points=points, hold_ms=hold_ms)


@router.get("/plot")
def plot(
    record: Record,
    topic: Topic,
    window: Window,
    points: Drawn = values.PLOT_POINTS_DEFAULT,
    hold_ms: Hold = None,
) -> values.Plot:
    """A tag's values thinned out for a plot (LTTB), and where the line is broken."""
    return values.plotted(record, topic, window, points, hold_ms)


@router.get("/states")
def timeline(
    context: Given, record: Record, path: Place, window: Window, limit: Limit = LIMIT_DEFAULT
) -> states.Timeline:
    """What each cell at or below a place was doing. Unknown is a state of its own."""
    cells = kpi.cells_below(context.plant, path)
    return states.state_timeline(record, cells, window, limit)


@router.get("/downtime")
def downtime(  # noqa: PLR0913 - the parameters of the path
    *,
    context: Given,
    record: Record,
    path: Place,
    window: Window,
    by: stops.By = "reason",
    limit: Annotated[int, Query(ge=1, le=stops.BARS_MAX)] = 20,
) -> stops.Pareto:
    """Stops of the cells at or below a place, summed up, the longest first."""
    cells = kpi.cells_below(context.plant, path)
    return stops.downtime_pareto(record, context.plant, cells, window, by=by, limit=limit)


@router.get("/oee")
def oee(context: Given, record: Record, path: Place, window: Window, by: kpi.By = "all") -> kpi.Oee:
    """OEE of a place from sums (ISO 22400-2), with the minutes lost and how much is known."""
    return kpi.oee(record, context.plant, path, window, by)


@router.get("/losses")
def losses(context: Given, record: Record, path: Place, window: Window) -> lost.LossTree:
    """The six big losses of a place in minutes and pieces, the biggest first, with reasons."""
    return lost.loss_tree(record, context.plant, path, window)


@router.get("/yield")
def yields(
    context: Given, record: Record, path: Place, window: Window, by: passed.By = "all"
) -> passed.Yields:
    """First-pass and rolled-throughput yield of a place from sums, with each step's counts."""
    return passed.yields(record, context.plant, path, window, by)


@router.get("/defects")
def defects(  # noqa: PLR0913 - the parameters of the path
    *,
    context: Given,
    record: Record,
    path: Place,
    window: Window,
    by: wrong.By = "code",
    limit: Annotated[int, Query(ge=1, le=wrong.BARS_MAX)] = 20,
) -> wrong.Defects:
    """Defects of the cells at or below a place, the most frequent first."""
    cells = kpi.cells_below(context.plant, path)
    return wrong.defects(record, cells, window, by=by, limit=limit)


@router.get("/reliability")
def reliability(
    context: Given, record: Record, path: Place, window: Window
) -> failures.Reliability:
    """MTBF, MTTF and MTTR of the cells at or below a place, and of all of them together."""
    return failures.reliability(record, context.plant, path, window)


@router.get("/bottleneck")
def bottleneck(
    context: Given, record: Record, path: Place, window: Window
) -> holding_back.Bottleneck:
    """Which cell holds a line back, and what says so: the load of each of its cells."""
    return holding_back.bottleneck(record, context.plant, path, window)


@router.get("/energy")
def energy(context: Given, record: Record, path: Place, window: Window) -> metered.Energy:
    """What the meters of a place counted in kWh, and what of it for each good piece."""
    return metered.energy(record, context.plant, path, window)


@router.get("/orders")
def all_orders(  # noqa: PLR0913 - the parameters of the path
    *,
    record: Record,
    page: Paged,
    path: Place | None = None,
    status: orders.Status | None = None,
    item: Text | None = None,
    start: Annotated[Instant | None, Query(alias="from")] = None,
    end: Annotated[Instant | None, Query(alias="to")] = None,
) -> Page[orders.Order]:
    """Orders, the one that changed last first; `from` and `to`: those that were open then."""
    return orders.orders(
        record, status=status, path=path, item=item, from_ms=start, to_ms=end, **page._asdict()
    )


@router.get("/orders/{order_id:path}")
def order(record: Record, order_id: Text) -> orders.OrderHistory:
    """The story of one order: progress, stops, verdicts, figures by cell, material."""
    found = orders.order_history(record, order_id)
    if found is None:
        raise Missing(f"no order {order_id!r} on record")
    return found


@router.get("/trace/{identifier:path}")
def trace(
    record: Record,
    identifier: Text,
    limit: Annotated[int, Query(ge=1, le=genealogy.EDGES_MAX)] = LIMIT_DEFAULT,
) -> genealogy.Trace:
    """What a lot or unit contains and where it went, at any depth."""
    return genealogy.trace(record, identifier, limit)


@router.get("/related/{identifier:path}")
def related(
    record: Record, identifier: Text, page: Paged, direction: Direction = "where_used"
) -> genealogy.Related:
    """Which lots and units went into one, or which it went into: each once, the nearest first."""
    return genealogy.related(record, identifier, direction, **page._asdict())


@router.get("/spc")
def measured(  # noqa: PLR0913 - the parameters of the path
    *,
    record: Record,
    cell: Place,
    characteristic: Text,
    window: Window,
    page: Paged,
    item: Text | None = None,
) -> spc.Series:
    """What was measured of a characteristic, with limits, chart statistics and violations."""
    return spc.spc_series(record, cell, characteristic, window, item=item, **page._asdict())


@router.get("/gaps")
def gaps(record: Record, limit: Limit = LIMIT_DEFAULT) -> list[MissingEvents]:
    """Events that are missing, and why; those that may still come too."""
    return [MissingEvents(**one._asdict()) for one in missing_events(record, limit)]
