"""The report as one HTML file, from its facts. No script, no address, nothing to load.

Owns the order of sections and their words. Asks nothing and must not know how a picture is drawn.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Final
from zoneinfo import ZoneInfo

from dashboards.report import charts, control
from dashboards.report.drawing import (
    WIDTH,
    Box,
    box,
    day_and_time,
    element,
    mark,
    minutes,
    per_cent,
    table,
    words,
)
from dashboards.report.facts import Facts, Health, Line
from dashboards.report.style import CSS, PATTERNS
from uns.historian.history.oee import Figures
from uns.historian.history.spc import Series

HALF: Final = WIDTH / 2
FIGURES_MAX: Final = 90
NOTHING: Final = element("p", "Nothing on record in this time.", class_="soft")
LOSSES: Final = ("delay", "set_up", "no_order", "speed", "quality", "unknown")
RULES: Final = {
    "limits": "outside its limits",
    "control": "outside UCL and LCL",
    "run": "eight in a row on one side",
}


def page(facts: Facts, made: str) -> str:
    """The whole file. made: when and by what, for its foot."""
    spoken = f"{facts.title}: {_span(facts)}"
    body = (
        PATTERNS,
        element("h1", words(facts.title)),
        element("p", words(f"{_span(facts)} ({facts.zone.key})"), class_="soft"),
        _at_a_glance(facts),
        *_sections(facts),
        element("footer", words(made)),
    )
    head = element("meta", charset="utf-8").removesuffix("</meta>")
    head += element("title", words(spoken)) + element("style", CSS)
    page = element("html", element("head", head), element("body", *body), lang="en")
    return f"<!DOCTYPE html>\n{page}\n"


def _sections(facts: Facts) -> Iterator[str]:
    more = f"; {facts.more_lines} more lines are left out" if facts.more_lines else ""
    yield _section("OEE and lost time", f"Each line by its method{more}.", *_oee(facts))
    yield _section("States", "PackML states of each cell; a hint has time and fault.", *_all(facts))
    yield _section("Downtime", "Stops by reason; a share is with those above.", *_downtime(facts))
    yield _section("Orders", "Good and scrap of planned; the mark is the plan.", *_orders(facts))
    yield _section("Quality", "Individual values, the newest of each.", *_quality(facts))
    yield _section(
        "Namespace health", "What the hub took in, and what it did not.", *_health(facts)
    )


def _section(title: str, about: str, *parts: str) -> str:
    told = parts or (NOTHING,)
    return element(
        "section", element("h2", words(title)), element("p", words(about), class_="soft"), *told
    )


def _at_a_glance(facts: Facts) -> str:
    known = [line.oee.total for line in facts.lines]
    sums = [figures.sums for figures in known]
    produced, good = (sum(one[key] for one in sums) for key in ("pq", "gq"))
    stop_min = sum(line.stops.stop_ms for line in facts.lines) / 60_000
    lost = sum(line.oee.lost_events for line in facts.lines)
    covered = sum(figures.coverage for figures in known) / len(known)
    told = {
        "of the time is known": f"{100 * covered:.0f} %",
        "good pieces": f"{good:,}",
        "produced": f"{produced:,}",
        "minutes of stops": minutes(stop_min),
        "events never arrived": f"{lost:,}",
        "messages refused": f"{sum(row[1] for row in facts.health.rejects):,}",
    }
    items = (element("li", element("b", words(v)), words(name)) for name, v in told.items())
    return element("ul", *items, class_="facts")


def _oee(facts: Facts) -> Iterator[str]:
    rows = [charts.Row(line.title, line.oee.total) for line in facts.lines]
    if not any(row.figures.losses.elapsed_min for row in rows):
        return
    yield _legend("element", charts.ELEMENTS)
    yield charts.time_spent([row for row in rows if row.figures.losses.elapsed_min])
    columns = ("line", facts.lines[0].oee.by, "OEE", "availability", "performance", "quality")
    told = [*columns, *(f"{name.replace('_', ' ')} min" for name in LOSSES), "known"]
    groups = [(line.title, group) for line in facts.lines for group in line.oee.groups]
    rows_told = [_figures(*one) for one in groups[:FIGURES_MAX]]
    yield element("div", table(told, rows_told), class_="wide")
    if len(groups) > FIGURES_MAX:
        yield element("p", f"{len(groups) - FIGURES_MAX} more are left out.", class_="soft")


def _figures(title: str, figures: Figures) -> list[str]:
    shares = (figures.oee, figures.availability, figures.effectiveness, figures.quality_ratio)
    lost = (minutes(getattr(figures.losses, f"{name}_min")) for name in LOSSES)
    known = f"{100 * figures.coverage:.0f} %"
    return [words(title), words(figures.key), *map(per_cent, shares), *lost, known]


def _all(facts: Facts) -> Iterator[str]:
    yield _legend("state", {kind: ", ".join(names) for kind, names in charts.STATES.items()})
    for line in facts.lines:
        yield element("h3", words(line.title))
        yield charts.states(line.states.cells, line.titles, facts.zone)
        if line.states.after is not None:
            until = day_and_time(line.states.after, facts.zone)
            yield element("p", words(f"Only until {until}: choose a shorter time."), class_="soft")


def _downtime(facts: Facts) -> Iterator[str]:
    found = [_stops(line) for line in facts.lines if line.stops.bars]
    if found:
        yield element("div", *found, class_="pair")


def _stops(line: Line) -> str:
    stops = line.stops
    stop_min, micro_min = minutes(stops.stop_ms / 60_000), minutes(stops.micro_ms / 60_000)
    about = (
        f"{stops.stops} stops, {stop_min} min; {stops.micro_stops} micro-stops, {micro_min} min;"
        f" {100 * stops.coverage:.0f} % of the time known"
    )
    head = element("h3", words(line.title)) + element("p", words(about), class_="soft")
    return element("div", head, charts.pareto(stops, HALF))


def _orders(facts: Facts) -> Iterator[str]:
    if facts.orders.items:
        yield _legend("", {"good": "good", "scrap": "scrap", "frame": "still to make"})
        yield charts.orders(facts.orders.items, facts.asked, facts.zone)
    if facts.orders.after is not None:
        yield element("p", "More orders changed in this time than are shown.", class_="soft")


def _quality(facts: Facts) -> Iterator[str]:
    found = [_chart(series, facts.zone) for series in facts.series]
    if found:
        yield _key(*((mark(11, 7, (rule,), caption), caption) for rule, caption in RULES.items()))
        yield element("div", *found, class_="pair")
    if facts.controls:
        yield element("h3", "Control charts")
        drawn = (control.panels(one, HALF, facts.zone) for one in facts.controls)
        yield element("div", *(element("div", each) for each in drawn), class_="pair")


def _chart(series: Series, zone: ZoneInfo) -> str:
    unit = series.measurements[-1].unit or ""
    title = f"{series.characteristic} {unit and f'({unit})'} at {series.cell.rpartition('/')[2]}"
    told = [f"{len(series.measurements)} values"]
    if known := series.statistics:
        told += [f"mean {known.centre:.4g}", f"sigma {known.sigma:.3g}"]
        told += [f"Cpk {known.cpk:.2f}"] if known.cpk is not None else []
    told.append(f"{len({v.index for v in series.violations})} break a rule")
    head = element("h3", words(title)) + element("p", words(", ".join(told)), class_="soft")
    return element("div", head, charts.control_chart(series, HALF, zone))


def _health(facts: Facts) -> Iterator[str]:
    health, zone = facts.health, facts.zone
    hours = facts.asked.length_ms / 3_600_000
    yield element("p", words(_intake(health, hours)))
    events = [[words(kind), f"{n:,}", f"{n / hours:,.1f}"] for kind, n in health.events]
    rejects = [
        [words(r[0]), f"{r[1]:,}", day_and_time(r[2], zone), words(r[3])] for r in health.rejects
    ]
    gaps = [[words(r[0]), f"{r[1]:,}", day_and_time(r[2], zone), words(r[3])] for r in health.gaps]
    silent = [
        [words(topic), day_and_time(at_ms, zone), words(quality), words(reason)]
        for topic, at_ms, quality, reason in health.silent
    ]
    yield element(
        "div",
        _told("Events", ("type", "events", "an hour"), events),
        element(
            "div",
            _told("Refused messages", ("class", "messages", "last", "reason"), rejects),
            _told("Gaps", ("source", "events", "known since", "seen by"), gaps),
            _told("Silent topics", ("topic", "newest value", "quality", "reason"), silent),
        ),
        class_="pair",
    )


def _intake(health: Health, hours: float) -> str:
    return (
        f"{health.samples:,} samples ({health.samples / hours:,.0f} an hour); {health.topics:,} tag"
        f" topics, of which {health.not_good:,} are not good and {health.silent_count:,} said"
        " nothing in the last 10 minutes of the time or since."
    )


def _told(title: str, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    content = table(columns, rows) if rows else element("p", "None.", class_="soft")
    return element("div", element("h3", words(title)), content)


def _legend(kind: str, captions: Mapping[str, str]) -> str:
    """A swatch and its caption for each class."""
    return _key(*((_swatch(kind, name), caption) for name, caption in captions.items()))


def _key(*entries: tuple[str, str]) -> str:
    """Small drawings, each with what it means."""
    swatches = (
        element(
            "span",
            element("svg", small, viewBox="0 0 22 14", aria_hidden="true"),
            words(caption),
        )
        for small, caption in entries
    )
    return element("div", *swatches, class_="legend")


def _swatch(kind: str, name: str) -> str:
    top, bottom = charts.LANES[name] if kind == "state" else (0.0, 1.0)
    return box(Box(0, 14 * top, 22, 14 * (bottom - top)), f"{kind} {name}".strip())


def _span(facts: Facts) -> str:
    first, last = (day_and_time(at, facts.zone) for at in (facts.asked.from_ms, facts.asked.to_ms))
    return f"{first} to {last}"
