"""PURE: a control chart as its processor left it: panels with stepped limits, and what fired.

Owns how the document of a chart is read again and drawn; lines are made anew from its centre and
sigma. Asks nothing. Points stand in their order, one beside the other, whatever their time.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final, NamedTuple
from zoneinfo import ZoneInfo

from dashboards.report.drawing import (
    Box,
    Scale,
    box,
    cut,
    day_and_time,
    drawing,
    element,
    label,
    line,
    mark,
    number_ticks,
    polyline,
)
from dashboards.report.style import CSS
from uns.model.plant import Plant
from uns.model.spc.limits import Basis, Lines, Subgroup
from uns.model.spc.points import Drawn, panel_lines
from uns.model.spc.settings import RULED, Chart, Panel

LEFT: Final = 64.0
RIGHT: Final = 120.0
TOP: Final = 34.0
PANEL: Final = 180.0
GAP: Final = 22.0
CAPTION: Final = 12.0
CAPTIONS_MAX: Final = 13
TITLES: Final[Mapping[Panel, str]] = {
    "xbar": "mean",
    "r": "range",
    "s": "standard deviation",
    "x": "value",
    "mr": "moving range",
    "p": "fraction nonconforming",
    "np": "nonconforming",
    "c": "nonconformities",
    "u": "nonconformities a unit",
    "ewma": "EWMA",
    "cusum_high": "CUSUM, above",
    "cusum_low": "CUSUM, below",
}


class Seen(NamedTuple):
    """A point with its number and time; broken: `panel rule` of each rule that it breaks."""

    number: int
    at_ms: int
    drawn: Drawn
    broken: tuple[str, ...]


class Control(NamedTuple):
    """A chart with its points, oldest first, under one version of limits."""

    cell: str
    characteristic: str
    item: str
    unit: str
    summary: str
    version: str
    chart: Chart
    basis: Basis
    points: tuple[Seen, ...]

    @property
    def title(self) -> str:
        """What it is of."""
        place = self.cell.rpartition("/")[2]
        return f"{self.characteristic} ({self.unit}) of {self.item} at {place}"


def control_of(plant: Plant, cell: str, document: Mapping[str, Any]) -> Control | None:
    """The chart of a `_state/spc` document; None without limits, points, or its settings."""
    item, name = str(document["item"]), str(document["characteristic"])
    known = plant.items.get(item)
    specification = known.specifications.get(cell.rpartition("/")[2]) if known else None
    limits = specification.characteristics.get(name) if specification else None
    standing, points = document["limits"], document["points"]
    if not (limits and limits.chart and standing and points):
        return None
    if limits.chart.kind != document["chart"]:
        return None
    return Control(
        cell=cell,
        characteristic=name,
        item=item,
        unit=str(document["unit"]),
        summary=str(document["summary"]),
        version=str(standing["version"]),
        chart=limits.chart,
        basis=Basis(standing["centre"], standing["sigma"]),
        points=tuple(_seen(limits.chart, point) for point in reversed(points)),
    )


def _seen(chart: Chart, point: Mapping[str, Any]) -> Seen:
    values = tuple(point[panel] for panel in chart.panels)
    drawn = Drawn(Subgroup(point["n"], 0.0), point["place"], values, ())
    return Seen(point["point"], point["at_ms"], drawn, tuple(point.get("broken", ())))


def height_of(control: Control) -> float:
    """Of its drawing."""
    return TOP + len(control.chart.panels) * (PANEL + GAP) + CAPTION


def panels(control: Control, width: float, zone: ZoneInfo) -> str:
    """The chart as SVG: a panel for each statistic, points one beside the other."""
    across = Scale(0.5, len(control.points) + 0.5, LEFT, width - RIGHT)
    told = f"limits {control.version}, points {control.points[0].number}"
    told += f" to {control.points[-1].number}"
    parts = [
        label(LEFT, 10, cut(control.title, width - LEFT - 220), "strong"),
        label(width, 10, told, "small", "end"),
    ]
    for number, panel in enumerate(control.chart.panels):
        top = TOP + number * (PANEL + GAP)
        parts += _panel(control, number, across, top, zone)
        parts.append(label(LEFT, top - 6, TITLES[panel], "small"))
    parts += _numbers(control, across, height_of(control) - CAPTION)
    return drawing(height_of(control), control.summary, *parts, width=width)


def picture(control: Control, width: float, zone: ZoneInfo) -> str:
    """The same as a file of its own, with its style."""
    size = f'xmlns="http://www.w3.org/2000/svg" width="{width:g}" height="{height_of(control):g}"'
    inside = panels(control, width, zone).removeprefix("<svg")
    head, _, rest = inside.partition(">")
    paper = box(Box(0, 0, width, height_of(control)), "paper")
    return f"<svg {size}{head}>{element('style', CSS)}{paper}{rest}\n"


def _panel(
    control: Control, number: int, across: Scale, top: float, zone: ZoneInfo
) -> Iterator[str]:
    panel = control.chart.panels[number]
    at = [panel_lines(control.chart, control.basis, p.drawn)[panel] for p in control.points]
    values = [point.drawn.values[number] for point in control.points]
    up = _scale(values, at, top)
    for tick in number_ticks(up.low, up.high):
        yield line(across.first, up.at(tick.at), across.last, up.at(tick.at), "grid")
        yield label(LEFT - 6, up.at(tick.at), tick.caption, "small", "end")
    yield from _levels(panel, at, across, up)
    places = [
        (across.at(n), up.at(value)) for n, value in enumerate(values, 1) if value is not None
    ]
    yield polyline(places, "trace")
    for n, (point, value) in enumerate(zip(control.points, values, strict=True), 1):
        if value is not None:
            broken = [rule for rule in point.broken if rule.startswith(f"{panel} ")]
            hint = f"point {point.number}, {day_and_time(point.at_ms, zone)}: {value:.6g}"
            said = f"{hint}, breaks {', '.join(broken)}" if broken else hint
            yield mark(across.at(n), up.at(value), _kinds(broken), said)


def _kinds(broken: Sequence[str]) -> tuple[str, ...]:
    """How a mark is drawn: beyond the limits a square, for any other rule a ring."""
    if not broken:
        return ()
    beyond = any(rule.endswith(("-1", " limits")) for rule in broken)
    return ("control",) if beyond else ("run",)


def _scale(values: Sequence[float | None], at: Sequence[Lines], top: float) -> Scale:
    heights = [value for value in values if value is not None]
    heights += [height for each in at for height in (each.lower, each.upper)]
    margin = (max(heights) - min(heights)) * 0.06 or 1.0
    return Scale(min(heights) - margin, max(heights) + margin, top + PANEL, top)


def _levels(panel: Panel, at: Sequence[Lines], across: Scale, up: Scale) -> Iterator[str]:
    """Limits, centre and, where rules know them, zones: a step from point to point."""
    levels = {
        "UCL": ("control", [each.upper for each in at]),
        "centre": ("centre", [each.centre for each in at]),
        "LCL": ("control", [each.lower for each in at]),
    }
    for side in (-2, -1, 1, 2) if panel in RULED else ():
        heights = [each.centre + side * each.sigma for each in at]
        if all(each.lower <= h <= each.upper for each, h in zip(at, heights, strict=True)):
            levels[f"{side} sigma"] = ("zone", heights)
    for name, (kind, heights) in levels.items():
        steps = [
            (across.at(n + half), up.at(height))
            for n, height in enumerate(heights, 1)
            for half in (-0.5, 0.5)
        ]
        yield polyline(steps, f"step level {kind}")
        if kind != "zone":
            told = f"{name} {heights[-1]:.5g}"
            yield label(across.last + 4, up.at(heights[-1]), told, "small")


def _numbers(control: Control, across: Scale, y: float) -> Iterator[str]:
    """The numbers of the points, as many as there is room for."""
    every = -(-len(control.points) // CAPTIONS_MAX)
    for n, point in list(enumerate(control.points, 1))[::every]:
        yield label(across.at(n), y, str(point.number), "small", "middle")
