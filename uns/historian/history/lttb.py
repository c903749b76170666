"""PURE: fewer points that draw the same line: Largest-Triangle-Three-Buckets.

Steinarsson, "Downsampling Time Series for Visual Representation" (2013), chapter 4.2. What comes
in may have been thinned out before to the extremes of each step (MinMaxLTTB, Van Der Donckt 2023).
"""

from collections.abc import Sequence

Point = tuple[int, float]


def lttb(points: Sequence[Point], most: int) -> list[Point]:
    """At most `most` (3 or more) of the points, the first and the last among them, by time."""
    if len(points) <= most:
        return list(points)
    width = (len(points) - 2) / (most - 2)
    chosen = [points[0]]
    for n in range(most - 2):
        start, end = (1 + int(width * k) for k in (n, n + 1))
        ahead = _middle(points[end : 1 + int(width * (n + 2))] or points[-1:])
        chosen.append(max(points[start:end], key=lambda p: _area(chosen[-1], p, ahead)))
    return [*chosen, points[-1]]


def _middle(points: Sequence[Point]) -> tuple[float, float]:
    count = len(points)
    return sum(at_ms for at_ms, _ in points) / count, sum(value for _, value in points) / count


def _area(a: tuple[float, float], b: tuple[float, float], c: tuple[float, float]) -> float:
    """Twice the area of a triangle."""
    return abs((a[0] - c[0]) * (b[1] - a[1]) - (a[0] - b[0]) * (c[1] - a[1]))
