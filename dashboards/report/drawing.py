"""PURE: SVG and HTML as text, scales and their ticks. Every word from outside is escaped here.

Owns markup. Must not know what is drawn: the charts do. Lengths are the user units of an SVG that
is `WIDTH` wide and scales with its page.
"""

import math
import re
from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from html import escape
from typing import Final, NamedTuple
from zoneinfo import ZoneInfo

WIDTH: Final = 1120
CHAR_WIDTH: Final = 6.6
"""Of the drawings' type at its size, on the safe side."""
MINUTE_MS: Final = 60_000
DAY_MS: Final = 86_400_000
STEPS_MIN: Final = (1, 2, 5, 10, 15, 30, 60, 120, 180, 360, 720)
STEPS_DAYS: Final = (1, 2, 7, 14, 30, 61, 122, 365, 3_650)
TICKS_MAX: Final = 12
NOTHING: Final = "-"
NUMBER: Final = re.compile(r"-?[\d,.]*( %)?")


class Tick(NamedTuple):
    """A place on an axis and its caption."""

    at: float
    caption: str


class Box(NamedTuple):
    """A rectangle: its upper left corner and its size."""

    x: float
    y: float
    width: float
    height: float


class Scale(NamedTuple):
    """Values from `low` to `high` on lengths from `first` to `last`."""

    low: float
    high: float
    first: float
    last: float

    def at(self, value: float) -> float:
        """Where a value lies; outside the scale at its end."""
        span = self.high - self.low
        share = (min(max(value, self.low), self.high) - self.low) / span if span else 0.0
        return self.first + share * (self.last - self.first)


def element(_name: str, *inside: str, **attributes: str | float) -> str:
    """An element; `inside` is markup. `_` in an attribute's name is `-`, a last one is dropped."""
    written = "".join(
        f' {name.rstrip("_").replace("_", "-")}="{escape(_shown(value))}"'
        for name, value in attributes.items()
    )
    return f"<{_name}{written}>{''.join(inside)}</{_name}>"


def words(content: object) -> str:
    """Text as markup; None is a dash."""
    return NOTHING if content is None else escape(str(content))


def label(x: float, y: float, content: object, kind: str = "", anchor: str = "start") -> str:
    """Text in a drawing. kind: its classes; anchor: start, middle or end."""
    return element("text", words(content), x=x, y=y, class_=kind, text_anchor=anchor)


def box(where: Box, kind: str, hint: str = "") -> str:
    """A rectangle with a hint for whoever points at it."""
    title = element("title", words(hint)) if hint else ""
    return element("rect", title, **where._asdict(), class_=kind)


def line(x1: float, y1: float, x2: float, y2: float, kind: str) -> str:
    """A straight line."""
    return element("line", x1=x1, y1=y1, x2=x2, y2=y2, class_=kind)


def mark(x: float, y: float, rules: Sequence[str], hint: str) -> str:
    """A value: a dot, or by the first rule that it breaks a diamond, a square or a ring."""
    title = element("title", words(hint))
    match rules:
        case ["limits", *_]:
            corners = (
                f"{x - 6:.1f},{y:.1f} {x:.1f},{y - 6:.1f} {x + 6:.1f},{y:.1f} {x:.1f},{y + 6:.1f}"
            )
            return element("polygon", title, points=corners, class_="mark breaks-limits")
        case ["control", *_]:
            return box(Box(x - 4, y - 4, 8, 8), "mark breaks-control", hint)
        case [_, *_]:
            return element("circle", title, cx=x, cy=y, r=4, class_="mark breaks-run")
        case _:
            return element("circle", title, cx=x, cy=y, r=1.8, class_="mark")


def polyline(points: Sequence[tuple[float, float]], kind: str) -> str:
    """A line through points."""
    joined = " ".join(f"{_shown(x)},{_shown(y)}" for x, y in points)
    return element("polyline", points=joined, class_=kind)


def drawing(height: float, alternative: str, *parts: str, width: float = WIDTH) -> str:
    """An SVG; `alternative` says in words what it shows."""
    return element(
        "svg",
        element("title", words(alternative)),
        *parts,
        viewBox=f"0 0 {_shown(width)} {_shown(height)}",
        role="img",
    )


def table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table of markup; numbers stand right, as does the caption above the first of them."""
    kinds = [_kind(content) for content in rows[0]]
    head = (
        element("th", words(name), scope="col", class_=kind)
        for name, kind in zip(columns, kinds, strict=True)
    )
    body = (
        element("tr", *(element("td", content, class_=_kind(content)) for content in row))
        for row in rows
    )
    return element("table", element("thead", element("tr", *head)), element("tbody", *body))


def cut(content: str, width: float) -> str:
    """As much of a text as fits a width, with an ellipsis for the rest; else nothing."""
    fits = int(width / CHAR_WIDTH)
    if len(content) <= fits:
        return content
    return f"{content[: fits - 1]}…" if fits > 1 else ""


def number_ticks(low: float, high: float, count: int = 5) -> list[Tick]:
    """Round values within a range, about `count` of them."""
    span = high - low
    if span <= 0 or not math.isfinite(span):
        return [Tick(low, f"{low:g}")]
    rough = span / count
    power = 10.0 ** math.floor(math.log10(rough))
    step = power * next(m for m in (1, 2, 2.5, 5, 10) if rough <= m * power)
    first = math.ceil(low / step - 1e-9)
    last = math.floor(high / step + 1e-9)
    return [Tick(n * step, f"{round(n * step, 10):g}") for n in range(first, last + 1)]


def time_ticks(from_ms: int, to_ms: int, zone: ZoneInfo) -> list[Tick]:
    """Full minutes, hours or days of a zone within a time, about TICKS_MAX; at in ms."""
    least_min = (to_ms - from_ms) / TICKS_MAX / MINUTE_MS
    step_min = next((step for step in STEPS_MIN if step >= least_min), None)
    midnight = _local(from_ms, zone).replace(hour=0, minute=0, second=0, microsecond=0)
    if step_min is None:
        least_days = (to_ms - from_ms) / TICKS_MAX / DAY_MS
        days = next((step for step in STEPS_DAYS if step >= least_days), STEPS_DAYS[-1])
        moments = _every(midnight, timedelta(days=days))
    else:
        moments = _every(midnight, timedelta(minutes=step_min))
    return _within(moments, zone, from_ms, to_ms)


def day_and_time(at_ms: int, zone: ZoneInfo) -> str:
    """`2026-11-23 14:05` of a zone."""
    return _local(at_ms, zone).strftime("%Y-%m-%d %H:%M")


def per_cent(share: float | None) -> str:
    """A share as `71.4 %`."""
    return NOTHING if share is None else f"{100 * share:.1f} %"


def minutes(length_min: float) -> str:
    """Minutes with one digit where they are few."""
    return f"{length_min:.1f}" if abs(length_min) < 10 else f"{length_min:,.0f}"  # noqa: PLR2004 - two digits say enough


def _local(at_ms: int, zone: ZoneInfo) -> datetime:
    return datetime.fromtimestamp(at_ms / 1_000, zone)


def _every(first: datetime, step: timedelta) -> Iterator[datetime]:
    """Moments on a wall clock: over a change of the clock they keep their local time."""
    while True:
        yield first
        first += step


def _within(moments: Iterator[datetime], zone: ZoneInfo, from_ms: int, to_ms: int) -> list[Tick]:
    """By instant: an hour that the clock leaves out is the one behind it, and stands once."""
    found: dict[float, str] = {}
    for moment in moments:
        at_ms = moment.timestamp() * 1_000
        if at_ms > to_ms:
            break
        if at_ms >= from_ms:
            shown = _local(round(at_ms), zone)
            is_day = (shown.hour, shown.minute) == (0, 0)
            found[at_ms] = shown.strftime("%d %b" if is_day else "%H:%M")
    return [Tick(at_ms, caption) for at_ms, caption in found.items()]


def _shown(value: str | float) -> str:
    return value if isinstance(value, str) else f"{round(value, 2):g}"


def _kind(content: str) -> str:
    return "number" if NUMBER.fullmatch(content) else ""
