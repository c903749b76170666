"""A proposed mapping, pasted as text into a plant as a person would."""

import json
import re
from collections.abc import Mapping
from textwrap import dedent, indent
from typing import Any, Final

from bridges import PROTOCOLS
from uns.model.namespace import parse_namespace
from uns.model.plant import Place, Plant

CELL: Final = "acme/berlin/hall/line/cell"
_PLANT: Final = """\
namespace: 1
enterprise: acme
bridges:
{bridge}
sites:
  berlin:
    time_zone: Europe/Berlin
    shifts: {{day: {{rrule: FREQ=DAILY, duration_min: 480}}}}
    areas:
      hall:
        lines:
          line:
            bridge: {name}
            bottleneck: cell
            cells:
              cell:
                ideal_cycle_ms: {{}}
                tags:
{tags}
items: {{}}
"""


def pasted_text(proposal: str) -> str:
    """A plant with the proposal's bridge, and its tags in the one cell."""
    head, _, tags = proposal.partition("\ntags:")
    bridge = head.partition("bridges:\n")[2].rstrip()
    (name,) = re.findall(r"(?m)^  ([a-z0-9-]+):$", bridge)
    lines = tags.partition("\n")[2].rstrip("\n")
    return _PLANT.format(bridge=bridge, name=name, tags=indent(dedent(lines), " " * 18))


def plant_text(bridge: Mapping[str, Any], tags: Mapping[str, Any]) -> str:
    """A plant with one bridge, `device`, and these tags in the one cell."""
    settings = "".join(f"    {key}: {json.dumps(value)}\n" for key, value in bridge.items())
    lines = "".join(f"  {name}: {json.dumps(tag)}\n" for name, tag in tags.items())
    return pasted_text(f"bridges:\n  device:\n{settings}\ntags:\n{lines}")


def pasted(proposal: str) -> Plant:
    """The plant that comes of it; NamespaceError has the faults that `uns check` would print."""
    return parse_namespace(pasted_text(proposal), "pasted.yaml", PROTOCOLS)


def proposed(proposal: str) -> Place:
    """The cell that comes of it."""
    return pasted(proposal).cells[CELL]
