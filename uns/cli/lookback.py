"""What the commands that ask the past do: a question of uns.historian.history, and its answer."""

import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

from uns.cli.errors import CommandError, UsageError
from uns.cli.folder import Folder, find_folder
from uns.cli.live import per_cent
from uns.cli.options import instant_ms, iso, topic_filter
from uns.cli.output import note, print_json, print_table, say
from uns.cli.reading import plant_time
from uns.cli.store import open_store
from uns.historian.history import downtime as stops
from uns.historian.history import oee as kpi
from uns.historian.history import orders as of_orders
from uns.historian.history import spc as of_spc
from uns.historian.history import states, values
from uns.historian.history.coverage import Gap
from uns.historian.history.period import Answer, Period, period
from uns.model.plant import Plant

HOUR_MS: Final = 3_600_000
DAY_MS: Final = 24 * HOUR_MS
LOSSES: Final = ("no_order", "set_up", "delay", "speed", "quality", "unknown")
ORDER_COLUMNS: Final = (
    *("order", "item", "line", "status", "good/quantity", "scrap", "released", "completed"),
)
_TIME: Final = re.compile(r"(\d{1,9})(ms|s|m|h|d)")
_MS: Final = {"ms": 1, "s": 1_000, "m": 60_000, "h": HOUR_MS, "d": DAY_MS}


class Asked(NamedTuple):
    """What every question has: of what, from when to when, where, and how it is answered."""

    what: str | None
    window: tuple[str | None, str | None]
    data: Path | None
    as_json: bool

    @property
    def folder(self) -> Folder:
        """The data folder."""
        return find_folder(self.data)

    def period(self, default_ms: int) -> Period:
        """The time asked for, up to now at most; the last `default_ms` where none is named."""
        now_ms = plant_time(self.folder)
        to_ms = min(instant_ms(self.window[1], now_ms, now_ms), now_ms)
        from_ms = instant_ms(self.window[0], now_ms, to_ms - default_ms)
        if from_ms >= to_ms:
            raise UsageError(f"nothing lies between {iso(from_ms)} and {iso(to_ms)}")
        return period(from_ms, to_ms)


class Steps(NamedTuple):
    """How a tag is summed up; see `uns history`."""

    every: str | None
    points: int | None
    how: str
    hold: str | None


class Wanted(NamedTuple):
    """Which orders."""

    status: of_orders.Status | None
    item: str | None
    limit: int


def last(wanted: str | None, limit: int, data: Path | None, *, as_json: bool) -> None:
    """Print the newest recorded values."""
    folder = find_folder(data)
    selected = topic_filter(wanted or f"{folder.load_plant().enterprise}/#")
    with open_store(folder) as reader:
        page = values.last(reader, selected, limit)
    if as_json:
        print_json([one.model_dump(mode="json") for one in page.items])
    else:
        rows = [(v.topic, _told(v.value), v.unit, v.quality, iso(v.at_ms)) for v in page.items]
        print_table(("topic", "value", "unit", "quality", "at"), rows)
    if page.after:
        note(f"only the first {limit} topics: raise --limit or narrow the filter")


def sampled(asked: Asked, steps: Steps) -> None:
    """Print a tag by steps, or as points worth drawing."""
    topic, when, hold_ms = asked.what or "", asked.period(HOUR_MS), _ms(steps.hold)
    with open_store(asked.folder) as reader:
        if steps.how == "lttb":
            plot = values.plotted(
                reader, topic, when, steps.points or values.PLOT_POINTS_DEFAULT, hold_ms
            )
            _say(asked, plot, ("at", "value"), [(iso(at_ms), v) for at_ms, v in plot.points])
            _say_known(asked, plot.coverage, plot.gaps)
            return
        found = values.sampled(
            reader,
            topic,
            when,
            every_ms=_ms(steps.every),
            points=steps.points or values.POINTS_DEFAULT,
            hold_ms=hold_ms,
        )
    shown = ("min", "max", "avg", "last") if steps.how == "all" else (steps.how,)
    rows = [
        (iso(b.at_ms), *(_figure(getattr(b, name)) for name in shown), b.n, per_cent(b.coverage))
        for b in found.buckets
    ]
    _say(asked, found, ("at", *shown, "samples", "coverage"), rows)
    _say_known(asked, found.coverage, found.gaps)


def timeline(asked: Asked, limit: int) -> None:
    """Print the states of cells."""
    cells = kpi.cells_below(plant := asked.folder.load_plant(), place(plant, asked.what))
    with open_store(asked.folder) as reader:
        found = states.state_timeline(reader, cells, asked.period(HOUR_MS), limit)
    rows = [
        (cell.cell, iso(s.from_ms), f"{(s.to_ms - s.from_ms) / 1000:.1f} s", s.state, s.fault)
        for cell in found.cells
        for s in cell.spans
    ]
    _say(asked, found, ("cell", "from", "for", "state", "fault"), rows)
    if found.after:
        note(f"only up to {iso(found.after)}: ask again --from {found.after}")


def downtime(asked: Asked, by: stops.By, limit: int) -> None:
    """Print the stops of cells as a Pareto."""
    plant = asked.folder.load_plant()
    cells = kpi.cells_below(plant, place(plant, asked.what))
    with open_store(asked.folder) as reader:
        when = asked.period(DAY_MS)
        found = stops.downtime_pareto(reader, plant, cells, when, by=by, limit=limit)
    rows = [
        (
            bar.key,
            bar.title or (None if bar.key else "none given"),
            bar.stops,
            _minutes(bar.stop_ms),
            _minutes(bar.longest_ms),
            per_cent(bar.share),
            per_cent(bar.cumulative),
        )
        for bar in (*found.bars, *([found.rest] if found.rest else []))
    ]
    columns = (by, "title", "stops", "minutes", "longest", "share", "cumulative")
    _say(asked, found, columns, rows)
    if not asked.as_json:
        say(
            f"{found.stops} stops, {_minutes(found.stop_ms)} min;"
            f" {found.micro_stops} micro-stops, {_minutes(found.micro_ms)} min, are lost speed;"
            f" the state was known {per_cent(found.coverage)} of the time"
        )


def oee(asked: Asked, by: kpi.By) -> None:
    """Print OEE over a time, with the minutes lost."""
    plant = asked.folder.load_plant()
    with open_store(asked.folder) as reader:
        found = kpi.oee(reader, plant, place(plant, asked.what), asked.period(DAY_MS), by)
    columns = (by, "OEE", "A", "E", "Q", "good/produced", *LOSSES, "coverage")
    groups = found.groups if by == "all" else (*found.groups, found.total)
    _say(asked, found, columns, [_oee_row(group) for group in groups])
    if not asked.as_json:
        say(f"{found.path}, by {', '.join(found.cells)}; losses in minutes")
    if found.lost_events:
        note(f"{found.lost_events} events of this time never came: see `uns gaps`")


def orders(asked: Asked, wanted: Wanted) -> None:
    """Print orders, the one that changed last first."""
    folder = asked.folder
    where = place(folder.load_plant(), asked.what) if asked.what else None
    now_ms = plant_time(folder)
    from_ms, to_ms = (instant_ms(text, now_ms, 0) if text else None for text in asked.window)
    with open_store(folder) as reader:
        page = of_orders.orders(
            reader,
            path=where,
            status=wanted.status,
            item=wanted.item,
            from_ms=from_ms,
            to_ms=to_ms,
            limit=wanted.limit,
        )
    if asked.as_json:
        print_json([one.model_dump(mode="json") for one in page.items])
    else:
        print_table(ORDER_COLUMNS, [_order_row(one) for one in page.items])
    if page.after:
        note(f"only the first {wanted.limit} orders: raise --limit or ask for fewer")


def order(asked: Asked, order_id: str) -> None:
    """Print the story of an order."""
    with open_store(asked.folder) as reader:
        found = of_orders.order_history(reader, order_id)
    if found is None:
        raise CommandError(f"nothing on record about order {order_id!r}")
    if asked.as_json:
        print_json(found.model_dump(mode="json"))
        return
    print_table(ORDER_COLUMNS, [_order_row(found.order)])
    progress = [
        (iso(p.at_ms), p.dispatch_status, p.good, p.scrap, p.rework) for p in found.progress
    ]
    print_table(("at", "status", "good", "scrap", "rework"), progress)
    lost = [(s.cell, iso(s.start_ms), iso(s.end_ms), s.reason, s.state) for s in found.stops]
    print_table(("stopped", "from", "to", "reason", "state"), lost)
    print_table(
        ("cell", "OEE", "A", "E", "Q", "good/produced", *LOSSES, "coverage"),
        [(one.cell, *_ratios(one)) for one in found.cells],
    )
    verdicts = ", ".join(f"{count} {verdict}" for verdict, count in found.verdicts.items())
    say(f"verdicts: {verdicts or 'none'}; {len(found.materials)} edges of genealogy")


def spc(asked: Asked, characteristic: str, item: str | None, limit: int) -> None:
    """Print a characteristic with its limits and its chart."""
    cell = place(asked.folder.load_plant(), asked.what)
    with open_store(asked.folder) as reader:
        found = of_spc.spc_series(
            reader, cell, characteristic, asked.period(DAY_MS), item=item, limit=limit
        )
    broken: dict[int, list[str]] = {}
    for violation in found.violations:
        broken.setdefault(violation.index, []).append(violation.rule)
    rows = [
        (
            iso(m.at_ms),
            m.sample_id,
            m.value,
            m.unit,
            m.lower,
            m.upper,
            m.verdict,
            " ".join(broken.get(n, ())),
        )
        for n, m in enumerate(found.measurements)
    ]
    columns = ("at", "sample", "value", "unit", "lower", "upper", "verdict", "breaks")
    _say(asked, found, columns, rows)
    if found.statistics and not asked.as_json:
        shown = found.statistics.model_dump(exclude_none=True)
        say(", ".join(f"{name} {_figure(value)}" for name, value in shown.items()))
    if found.after:
        note(f"only the first {limit} measurements: raise --limit or ask for a shorter time")


def place(plant: Plant, wanted: str | None) -> str:
    """The path of a place by its name or path; the enterprise for None."""
    if wanted is None:
        return plant.enterprise
    paths = {"/".join(cell.split("/")[:n]) for cell in plant.cells for n in range(1, 6)}
    found = sorted(p for p in paths if wanted in (p, p.rpartition("/")[2]))
    if len(found) == 1 or wanted in found:
        return wanted if wanted in found else found[0]
    known = ", ".join(found or sorted(path.rpartition("/")[2] for path in plant.lines))
    why = "is several places" if found else "is no place"
    raise UsageError(f"{wanted!r} {why}: use one of {known}")


def _say(
    asked: Asked, answer: Answer, columns: Sequence[str], rows: Sequence[Sequence[Any]]
) -> None:
    if asked.as_json:
        print_json(answer.model_dump(mode="json"))
    else:
        print_table(columns, rows)


def _say_known(asked: Asked, coverage: float, gaps: Iterable[Gap]) -> None:
    if asked.as_json:
        return
    say(f"known {per_cent(coverage)} of the time")
    for gap in gaps:
        why = f"{gap.why}: {gap.reason}" if gap.reason else gap.why
        say(f"  not from {iso(gap.from_ms)} to {iso(gap.to_ms)} ({why})")


def _oee_row(group: kpi.Figures) -> tuple[Any, ...]:
    return ("without" if group.key is None else group.key, *_ratios(group))


def _ratios(one: kpi.Ratios) -> tuple[Any, ...]:
    figures = (one.oee, one.availability, one.effectiveness, one.quality_ratio)
    lost = (f"{getattr(one.losses, f'{name}_min'):.1f}" for name in LOSSES)
    made = f"{one.sums['gq']}/{one.sums['pq']}"
    return (*map(per_cent, figures), made, *lost, per_cent(one.coverage))


def _order_row(one: of_orders.Order) -> tuple[Any, ...]:
    made = f"{one.good}/{one.quantity}"
    times = (iso(one.released_ms), iso(one.completed_ms))
    return (one.order_id, one.item, one.line, one.dispatch_status, made, one.scrap, *times)


def _told(value: Any) -> Any:
    return value.get("summary") if isinstance(value, dict) else value


def _figure(value: float | None) -> str | None:
    return None if value is None else f"{value:.6g}"


def _minutes(ms: int) -> str:
    return f"{ms / 60_000:.1f}"


def _ms(text: str | None) -> int | None:
    """A length of time: `500ms`, `10s`, `1m`, `2h`, `1d`."""
    if text is None:
        return None
    found = _TIME.fullmatch(text)
    if found is None or not int(found[1]):
        raise UsageError(f"{text!r} is no length of time: use 500ms, 10s, 1m, 2h or 1d")
    return int(found[1]) * _MS[found[2]]
