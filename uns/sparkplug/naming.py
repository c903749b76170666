"""Owns how a line of ours is called as an edge node; knows no plant and no session.

The default is the scheme of M. Parris: the levels above the line are the group, the line is the
edge node, its cells are the devices.
"""

from __future__ import annotations

from string import Formatter
from typing import Final, NamedTuple

GROUP: Final = "{enterprise}:{site}:{area}"
EDGE_NODE: Final = "{line}"
LEVELS: Final = ("enterprise", "site", "area", "line")


class Descriptor(NamedTuple):
    """What tells an edge node from all others (specification 3.0, 1.4.8)."""

    group: str
    edge_node: str

    def __str__(self) -> str:
        return f"{self.group}/{self.edge_node}"


def descriptor(line_path: str, group: str = GROUP, edge_node: str = EDGE_NODE) -> Descriptor:
    """Name the edge node of the line `enterprise/site/area/line` by two patterns."""
    levels = dict(zip(LEVELS, line_path.split("/"), strict=True))
    return Descriptor(group.format_map(levels), edge_node.format_map(levels))


def unknown_level(pattern: str) -> str | None:
    """Find what a pattern has in braces that is no level above a cell; None when all is well."""
    try:
        names = [name for _, name, _, _ in Formatter().parse(pattern) if name is not None]
    except ValueError:
        return pattern
    return next((name for name in names if name not in LEVELS), None)
