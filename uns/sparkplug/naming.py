"""Owns how a line of ours is called as an edge node, and what an id may be; knows no session.

The default is the scheme of M. Parris: the levels above the line are the group, the line is the
edge node, its cells are the devices.
"""

from __future__ import annotations

import re
from string import Formatter
from typing import Final, NamedTuple

GROUP: Final = "{enterprise}:{site}:{area}"
EDGE_NODE: Final = "{line}"
LEVELS: Final = ("enterprise", "site", "area", "line")
ID_LENGTH_MAX: Final = 128
UNFIT: Final = "+#/" + "".join(map(chr, (*range(0x20), *range(0x7F, 0xA0))))
"""What no id may contain: MQTT's level and wildcards (Sparkplug 3.0, 4.1.1), and the control
characters, on which a broker may close the connection (MQTT 3.1.1, 1.5.3)."""
_UNFIT: Final = re.compile(rf"[{re.escape(UNFIT)}\ud800-\udfff]")


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


def checked_id(text: str) -> str:
    """Give an id (of a group, edge node, device or host) back, or raise ValueError with the fix."""
    if not 1 <= len(text) <= ID_LENGTH_MAX:
        raise ValueError(f"an id has 1 to {ID_LENGTH_MAX} characters, and this has {len(text)}")
    if found := _UNFIT.search(text):
        raise ValueError(f"an id has no + / # and no control character: leave out {found[0]!r}")
    return text


def client_id(node: Descriptor) -> str:
    """Name the MQTT client of an edge node: two of one name are one edge node, and no others."""
    return f"edge-{node}"


def unknown_level(pattern: str) -> str | None:
    """Find what a pattern has in braces that is no level above a cell; None when all is well."""
    try:
        names = [name for _, name, _, _ in Formatter().parse(pattern) if name is not None]
    except ValueError:
        return pattern
    return next((name for name in names if name not in LEVELS), None)
