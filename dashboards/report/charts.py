"""The report's pictures: one function a picture, from answers of `uns.historian.history`.

Owns what is drawn where. Asks nothing and must not know a store. No meaning rests on colour alone:
a pattern, a height, a mark or a word goes with each. Classes are the style sheet's (style.py).
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Final, NamedTuple
from zoneinfo import ZoneInfo

from dashboards.report.drawing import (
    WIDTH,
    Box,
    Scale,
    box,
    cut,
    day_and_time,
    drawing,
    label,
    line,
    mark,
    minutes,
    number_ticks,
    per_cent,
    polyline,
    time_ticks,
)
from uns.historian.history.charts import measured
from uns.historian.history.downtime import Pareto
from uns.historian.history.oee import Figures, Losses
from uns.historian.history.orders import Order
from uns.historian.history.period import Period
from uns.historian.history.spc import Series
from uns.historian.history.states import CellStates, Span

ROW: Final = 30
BAR: Final = 20
LANE: Final = 26
LEFT: Final = 150
RIGHT: Final = 110
CAPTION: Final = 12
PAD: Final = (ROW - BAR) / 2

ELEMENTS: Final[Mapping[str, str]] = {
    "productive": "productive",
    "quality": "quality loss",
    "speed": "speed loss",
    "delay": "delay",
    "set_up": "set-up",
    "no_order": "no order",
    "planned": "planned stop",
    "unknown": "unknown",
}
"""Of a line's time, in the order they are drawn: field of Losses, and caption."""

STATES: Final[Mapping[str, tuple[str, ...]]] = {
    "running": ("EXECUTE",),
    "moving": ("STARTING", "RESETTING", "COMPLETING", "CLEARING"),
    "idle": ("IDLE", "COMPLETE", "SUSPENDING", "SUSPENDED", "UNSUSPENDING"),
    "held": ("HOLDING", "HELD", "UNHOLDING"),
    "aborted": ("ABORTING", "ABORTED"),
    "stopped": ("STOPPING", "STOPPED"),
    "unknown": ("UNKNOWN",),
}
"""PackML states by the way they are drawn."""
KIND_OF: Final = {state: kind for kind, states in STATES.items() for state in states}
LANES: Final[Mapping[str, tuple[float, float]]] = {
    "running": (0.0, 0.65),
    "moving": (0.2, 0.65),
    "idle": (0.45, 0.65),
    "held": (0.65, 0.85),
    "aborted": (0.65, 1.0),
    "stopped": (0.5, 0.85),
    "unknown": (0.55, 0.7),
}
"""Top and bottom of a state in its lane: what makes something stands up, what is at fault hangs."""


class Row(NamedTuple):
    """A line's figures under its title."""

    title: str
    figures: Figures


def time_spent(rows: Sequence[Row]) -> str:
    """Where each line's time went: one bar a line, with OEE at its end."""
    scale = Scale(0, 1, LEFT, WIDTH - RIGHT)
    parts = [
        label(WIDTH - RIGHT + 8, 12, "OEE", "small"),
        label(WIDTH, 12, "known", "small", "end"),
    ]
    for at, row in enumerate(rows):
        y = 20 + at * ROW
        parts += [label(LEFT - 8, y + ROW / 2, cut(row.title, LEFT - 12), "name", "end")]
        parts += _shares(row.figures.losses, scale, y)
        parts += [
            label(WIDTH - RIGHT + 8, y + ROW / 2, per_cent(row.figures.oee), "strong"),
            label(WIDTH, y + ROW / 2, f"{100 * row.figures.coverage:.0f} %", "small", "end"),
        ]
    return drawing(20 + len(rows) * ROW, "Where the time went, by line", *parts)


def _shares(losses: Losses, scale: Scale, y: float) -> Iterator[str]:
    """The pieces of one bar. Faster than ideal is a negative loss: it has no piece."""
    lengths = {name: max(0.0, getattr(losses, f"{name}_min")) for name in ELEMENTS}
    total, before = sum(lengths.values()), 0.0
    for name, length_min in lengths.items():
        if not length_min:
            continue
        first, last = scale.at(before / total), scale.at((before + length_min) / total)
        before += length_min
        hint = f"{ELEMENTS[name]}: {minutes(length_min)} min"
        yield box(Box(first, y + PAD, last - first, BAR), f"element {name}", hint)
        told = f"{minutes(length_min)} min"
        if cut(told, last - first - 6) == told:
            yield label((first + last) / 2, y + ROW / 2, told, "inside", "middle")


def states(cells: Sequence[CellStates], titles: Mapping[str, str], zone: ZoneInfo) -> str:
    """A lane a cell: its PackML states over time, and the share of it that is known."""
    spans = [span for cell in cells for span in cell.spans]
    first_ms, last_ms = min(s.from_ms for s in spans), max(s.to_ms for s in spans)
    scale = Scale(first_ms, last_ms, LEFT, WIDTH - RIGHT)
    bottom = 20.0 + len(cells) * ROW
    parts = [*_times(scale, bottom, zone), label(WIDTH, 12, "running, known", "small", "end")]
    for at, cell in enumerate(cells):
        y = 20 + at * ROW
        running = cell.state_ms.get("EXECUTE", 0) / (last_ms - first_ms)
        told = f"{100 * running:.0f} %, {100 * cell.coverage:.0f} %"
        parts += [
            label(LEFT - 8, y + ROW / 2, cut(titles[cell.cell], LEFT - 12), "name", "end"),
            *(_lane(span, scale, y, zone) for span in cell.spans),
            label(WIDTH, y + ROW / 2, told, "small", "end"),
        ]
    return drawing(bottom + 22, "States of cells over time", *parts)


def _lane(span: Span, scale: Scale, y: float, zone: ZoneInfo) -> str:
    kind = KIND_OF.get(span.state, "unknown")
    first, last = scale.at(span.from_ms), scale.at(span.to_ms)
    top, bottom = (share * LANE for share in LANES[kind])
    fault = f", fault {span.fault}" if span.fault else ""
    length_min = minutes((span.to_ms - span.from_ms) / 60_000)
    hint = f"{span.state}{fault}: {day_and_time(span.from_ms, zone)}, {length_min} min"
    return box(Box(first, y + top, last - first, bottom - top), f"state {kind}", hint)


def _times(scale: Scale, bottom: float, zone: ZoneInfo) -> Iterator[str]:
    """A time axis with its lines."""
    for tick in time_ticks(round(scale.low), round(scale.high), zone):
        x = scale.at(tick.at)
        yield line(x, 20, x, bottom, "grid")
        yield label(x, bottom + 14, tick.caption, "small", "middle")


def pareto(found: Pareto, width: float) -> str:
    """Stops by reason, the longest first; at a bar's end its minutes, its count and the share."""
    bars = [*found.bars, *([found.rest] if found.rest else [])]
    left = LEFT + 24
    scale = Scale(0, max(bar.stop_ms for bar in bars), left, width - LEFT)
    parts = list[str]()
    for at, bar in enumerate(bars):
        y, end = at * ROW, scale.at(bar.stop_ms)
        name = bar.title or bar.key or "no reason given"
        told = f"{minutes(bar.stop_ms / 60_000)} min, {bar.stops} stops, {per_cent(bar.cumulative)}"
        parts += [
            label(left - 8, y + ROW / 2, cut(name, left - 12), "name", "end"),
            box(Box(left, y + PAD, end - left, BAR), "stop", f"{name}: {told}"),
            label(end + 6, y + ROW / 2, told, "small"),
        ]
    return drawing(len(bars) * ROW, "Downtime by reason", *parts, width=width)


def orders(found: Sequence[Order], asked: Period, zone: ZoneInfo) -> str:
    """Good of planned for each order, its scrap behind it, and a mark where the plan stands."""
    scale = Scale(0, 1, LEFT + 60, WIDTH - 330)
    parts = list[str]()
    for at, order in enumerate(found):
        y = at * ROW
        parts += [label(LEFT + 52, y + ROW / 2, _cut_order(order), "name", "end")]
        parts += _progress(order, asked, scale, y)
        due = day_and_time(order.due_ms, zone) if order.due_ms else "no due time"
        told = f"{order.good or 0} of {order.quantity or '?'}, due {due}"
        parts += [
            label(WIDTH - 322, y + ROW / 2, told, "small"),
            label(WIDTH, y + ROW / 2, order.dispatch_status, "small", "end"),
        ]
    return drawing(len(found) * ROW, "Orders: plan and actual", *parts)


def _cut_order(order: Order) -> str:
    return cut(f"{order.order_id} {order.item or ''}", LEFT + 48)


def _progress(order: Order, asked: Period, scale: Scale, y: float) -> Iterator[str]:
    good, scrap, quantity = order.good or 0, order.scrap or 0, order.quantity or 0
    yield box(Box(scale.first, y + PAD, scale.last - scale.first, BAR), "frame")
    if not quantity:
        return
    done, spoilt = scale.at(good / quantity), scale.at((good + scrap) / quantity)
    yield box(Box(scale.first, y + PAD, done - scale.first, BAR), "good", f"{good} good")
    yield box(Box(done, y + PAD, spoilt - done, BAR), "scrap", f"{scrap} scrap")
    planned = planned_share(order, asked.to_ms)
    if planned is not None:
        x = scale.at(planned)
        yield line(x, y + 2, x, y + BAR + 8, "plan")


def planned_share(order: Order, at_ms: int) -> float | None:
    """What of an order the plan wants by an instant: evenly from its start to its due time."""
    if order.due_ms is None:
        return None
    if at_ms >= order.due_ms:
        return 1.0
    if order.started_ms is None or order.started_ms >= order.due_ms:
        return 0.0
    return max(0.0, (at_ms - order.started_ms) / (order.due_ms - order.started_ms))


def control_chart(found: Series, width: float, zone: ZoneInfo) -> str:
    """Measured values by time, with the limits of the specification and of control.

    Values that break a rule have a mark of another shape.
    """
    height, right = 220.0, 64.0
    told = ((one.at_ms, measured(one)) for one in found.measurements)
    points = [(at_ms, value) for at_ms, value in told if value is not None]
    levels = _levels(found)
    heights = [value for _, value in points] + [value for _, value in levels.values()]
    margin = (max(heights) - min(heights)) * 0.06 or 1.0
    across = Scale(points[0][0], points[-1][0], 56, width - right)
    up = Scale(min(heights) - margin, max(heights) + margin, height - 24, 10)
    places = [(across.at(at_ms), up.at(value)) for at_ms, value in points]
    parts = [
        *_values(up, width - right),
        *_chart_times(across, height - 24, zone),
        *_level_lines(levels, up, width - right),
        polyline(places, "trace"),
        *_marks(found, across, up),
    ]
    return drawing(height, f"{found.characteristic} at {found.cell}", *parts, width=width)


def _levels(found: Series) -> dict[str, tuple[str, float]]:
    """Caption: class and value of each horizontal line there is."""
    last = found.measurements[-1]
    known = {"upper": ("limit", last.upper), "lower": ("limit", last.lower)}
    if told := found.statistics:
        known |= {
            "UCL": ("control", told.ucl),
            "centre": ("centre", told.centre),
            "LCL": ("control", told.lcl),
        }
    return {name: (kind, value) for name, (kind, value) in known.items() if value is not None}


def _level_lines(levels: Mapping[str, tuple[str, float]], up: Scale, right: float) -> Iterator[str]:
    """The lines, and their captions at the right, moved apart where they would touch."""
    placed = sorted((up.at(value), name, kind) for name, (kind, value) in levels.items())
    captions = [y for y, _, _ in placed]
    for at in range(1, len(captions)):
        captions[at] = max(captions[at], captions[at - 1] + CAPTION)
    for (y, name, kind), caption in zip(placed, captions, strict=True):
        yield line(56, y, right, y, f"level {kind}")
        yield label(right + 4, caption, name, "small")


def _values(up: Scale, right: float) -> Iterator[str]:
    for tick in number_ticks(up.low, up.high):
        y = up.at(tick.at)
        yield line(56, y, right, y, "grid")
        yield label(52, y, tick.caption, "small", "end")


def _chart_times(across: Scale, bottom: float, zone: ZoneInfo) -> Iterator[str]:
    for tick in time_ticks(round(across.low), round(across.high), zone)[::2]:
        yield label(across.at(tick.at), bottom + 14, tick.caption, "small", "middle")


def _marks(found: Series, across: Scale, up: Scale) -> Iterator[str]:
    rules: dict[int, list[str]] = {}
    for broken in found.violations:
        rules.setdefault(broken.index, []).append(broken.rule)
    for at, one in enumerate(found.measurements):
        value = measured(one)
        if value is None:
            continue
        x, y = across.at(one.at_ms), up.at(value)
        broken_here = rules.get(at, ())
        hint = f"{value:g} {one.unit or ''} {' '.join(broken_here)}"
        yield mark(x, y, broken_here, hint)
