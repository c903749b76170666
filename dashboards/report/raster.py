"""PURE: one of our own drawings as PNG (ISO/IEC 15948), without a library.

Owns pixels. Knows the few elements that drawing.py writes, and takes colours from the style sheet.
Not for foreign SVG.
"""

import re
import struct
import xml.etree.ElementTree as ET
import zlib
from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise
from math import ceil, cos, floor, hypot, sin, tau
from typing import Final, NamedTuple

from dashboards.report.glyphs import ADVANCE, HEIGHT, dots
from dashboards.report.style import CSS

SCALE: Final = 2
PAPER: Final = b"\xff\xff\xff"
_RULE: Final = re.compile(r"([^{}]+)\{([^}]*)\}")
_VARIABLE: Final = re.compile(r"--(\w+): (#\w+)")
_SIDES: Final = 24
Points = Sequence[tuple[float, float]]


class Look(NamedTuple):
    """How an element is drawn; None for not at all. dash: lengths of a dash and its gap."""

    fill: bytes | None = None
    stroke: bytes | None = None
    width: float = 1.0
    dash: tuple[float, float] | None = None


class Canvas:
    """Pixels of a picture; lengths come in user units."""

    def __init__(self, width: float, height: float) -> None:
        self.width, self.height = ceil(width * SCALE), ceil(height * SCALE)
        self._rows = [bytearray(PAPER * self.width) for _ in range(self.height)]

    def png(self) -> bytes:
        """The file."""
        head = struct.pack(">IIBBBBB", self.width, self.height, 8, 2, 0, 0, 0)
        rows = b"".join(b"\0" + row for row in self._rows)
        parts = ((b"IHDR", head), (b"IDAT", zlib.compress(rows, 9)), (b"IEND", b""))
        return b"\x89PNG\r\n\x1a\n" + b"".join(_chunk(*part) for part in parts)

    def square(self, x: float, y: float, size: float, colour: bytes) -> None:
        """A filled square by its upper left corner, in pixels."""
        first, last = max(0, floor(x)), min(self.width, floor(x + size))
        for row in self._rows[max(0, floor(y)) : max(0, floor(y + size))]:
            row[first * 3 : last * 3] = colour * max(0, last - first)

    def path(self, points: Points, look: Look) -> None:
        """Lines from point to point."""
        if look.stroke is None:
            return
        along = 0.0
        for (x1, y1), (x2, y2) in pairwise(points):
            length = hypot(x2 - x1, y2 - y1)
            for step in range(ceil(length * SCALE) + 1):
                at = min(step / SCALE, length)
                if look.dash is None or (along + at) % sum(look.dash) < look.dash[0]:
                    share = at / length if length else 0.0
                    self._pen(x1 + (x2 - x1) * share, y1 + (y2 - y1) * share, look)
            along += length

    def area(self, points: Points, look: Look) -> None:
        """A closed shape."""
        if look.fill is not None:
            top, bottom = min(y for _, y in points), max(y for _, y in points)
            for y in range(max(0, floor(top * SCALE)), min(self.height, ceil(bottom * SCALE))):
                crossed = sorted(_crossings(points, (y + 0.5) / SCALE))
                for first, last in zip(crossed[::2], crossed[1::2], strict=True):
                    self._span(y, first, last, look.fill)
        self.path([*points, points[0]], look)

    def text(self, x: float, y: float, text: str, anchor: str) -> None:
        """Words whose middle is at a height."""
        width = len(text) * ADVANCE
        left = x - {"end": width, "middle": width / 2}.get(anchor, 0.0)
        ink = _colour("var(--ink)") or b"\0\0\0"
        for dot_x, dot_y in dots(text):
            self.square((left + dot_x) * SCALE, (y - HEIGHT / 2 + dot_y) * SCALE, SCALE, ink)

    def _pen(self, x: float, y: float, look: Look) -> None:
        size = max(1.0, look.width * SCALE)
        self.square(x * SCALE - size / 2, y * SCALE - size / 2, size, look.stroke or b"")

    def _span(self, y: int, first: float, last: float, colour: bytes) -> None:
        from_x, to_x = max(0, round(first * SCALE)), min(self.width, round(last * SCALE))
        self._rows[y][from_x * 3 : to_x * 3] = colour * max(0, to_x - from_x)


def png(svg: str) -> bytes:
    """A drawing of ours as PNG, SCALE pixels for each user unit."""
    root = ET.fromstring(svg)  # noqa: S314 - our own markup, made a moment ago
    _, _, width, height = (float(length) for length in root.attrib["viewBox"].split())
    canvas = Canvas(width, height)
    for element in root:
        draw = _DRAWN.get(element.tag.rpartition("}")[2])
        if draw is not None:
            draw(canvas, element)
    return canvas.png()


def _line(canvas: Canvas, element: ET.Element) -> None:
    x1, y1, x2, y2 = (_number(element, name) for name in ("x1", "y1", "x2", "y2"))
    canvas.path(((x1, y1), (x2, y2)), _look(element))


def _polyline(canvas: Canvas, element: ET.Element) -> None:
    canvas.path(_points(element), _look(element))


def _polygon(canvas: Canvas, element: ET.Element) -> None:
    canvas.area(_points(element), _look(element))


def _rectangle(canvas: Canvas, element: ET.Element) -> None:
    x, y, width, height = (_number(element, name) for name in ("x", "y", "width", "height"))
    corners = ((x, y), (x + width, y), (x + width, y + height), (x, y + height))
    canvas.area(corners, _look(element))


def _circle(canvas: Canvas, element: ET.Element) -> None:
    x, y, r = (_number(element, name) for name in ("cx", "cy", "r"))
    turns = (tau * n / _SIDES for n in range(_SIDES))
    canvas.area([(x + r * cos(turn), y + r * sin(turn)) for turn in turns], _look(element))


def _text(canvas: Canvas, element: ET.Element) -> None:
    anchor = element.attrib.get("text-anchor", "start")
    canvas.text(_number(element, "x"), _number(element, "y"), element.text or "", anchor)


_DRAWN: Final[dict[str, Callable[[Canvas, ET.Element], None]]] = {
    "line": _line,
    "polyline": _polyline,
    "polygon": _polygon,
    "rect": _rectangle,
    "circle": _circle,
    "text": _text,
}


def _number(element: ET.Element, name: str) -> float:
    return float(element.attrib[name])


def _points(element: ET.Element) -> list[tuple[float, float]]:
    pairs = (pair.split(",") for pair in element.attrib["points"].split())
    return [(float(x), float(y)) for x, y in pairs]


def _crossings(points: Points, y: float) -> Iterator[float]:
    for (x1, y1), (x2, y2) in pairwise([*points, points[0]]):
        if (y1 <= y) != (y2 <= y):
            yield x1 + (x2 - x1) * (y - y1) / (y2 - y1)


def _look(element: ET.Element) -> Look:
    """What the style sheet says of an element's classes, the later rule over the one before."""
    classes = {f".{name}" for name in element.attrib.get("class", "").split()}
    told = dict[str, str]()
    for names, rules in _SHEET:
        if classes & names:
            told |= rules
    dash = [float(length) for length in told.get("stroke-dasharray", "").split()]
    return Look(
        fill=_colour(told.get("fill", "none")),
        stroke=_colour(told.get("stroke", "none")),
        width=float(told.get("stroke-width", "1")),
        dash=(dash[0], dash[1]) if dash else None,
    )


def _colour(told: str) -> bytes | None:
    """`#rrggbb`, `#rgb` or a variable of the sheet; None for `none` and for patterns."""
    named = _VARIABLES.get(told.removeprefix("var(--").removesuffix(")"), told)
    digits = named.removeprefix("#")
    if named == digits:
        return None
    return bytes.fromhex(digits if len(digits) > 3 else "".join(d * 2 for d in digits))  # noqa: PLR2004 - the short form has three


def _chunk(kind: bytes, content: bytes) -> bytes:
    check = struct.pack(">I", zlib.crc32(kind + content))
    return struct.pack(">I", len(content)) + kind + content + check


def _sheet() -> Iterator[tuple[set[str], dict[str, str]]]:
    for names, body in _RULE.findall(CSS.partition("@page")[0]):
        pairs = (rule.split(":", 1) for rule in body.split(";") if ":" in rule)
        told = {name.strip(): value.strip() for name, value in pairs}
        yield {name.strip() for name in names.split(",")}, told


_VARIABLES: Final = dict(_VARIABLE.findall(CSS))
_SHEET: Final = tuple(_sheet())
