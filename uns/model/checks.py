"""What must hold across namespace.yaml, beyond the shape of its parts: references, roles, sources.

Owns the findings, each with where it stands as a path of keys. Knows neither YAML nor lines.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import datetime, timedelta
from difflib import get_close_matches
from typing import Any, Final, NamedTuple
from zoneinfo import ZoneInfo

from dateutil.rrule import rrulestr
from pydantic import BaseModel

from uns.model.calendar import FIRST_DAY, Shift
from uns.model.plant import Item, Line, Place, Plant
from uns.model.policy import RULE_MARK
from uns.model.spc.settings import CHARTS_OF_LINE_MAX

FIRST_YEAR: Final = FIRST_DAY + timedelta(days=366)
Location = tuple[str | int, ...]
Finding = tuple[Location, str]


class Protocol(NamedTuple):
    """What a bridge protocol adds to the check: its settings and its tag addresses.

    `source` is None for a protocol that reads no tags (ERP). `check` looks at the whole plant
    once all settings and sources are well-formed; then no two sources of the protocol are equal.
    """

    settings: type[BaseModel]
    source: type[BaseModel] | None
    check: Callable[[Plant], Iterable[Finding]] | None = None


def did_you_mean(word: str, choices: Any) -> str:
    """A hint for a misspelt word: ` (did you mean 'RUNNING'?)`, or the choices if few."""
    known = [str(choice) for choice in choices]
    folded = {choice.lower(): choice for choice in reversed(known)}
    near = get_close_matches(word.lower(), folded, n=1, cutoff=0.6)
    if near:
        return f" (did you mean '{folded[near[0]]}'?)"
    return f" (use one of {', '.join(known)})" if 0 < len(known) <= 12 else ""  # noqa: PLR2004 - a line's worth


def protocol_of(plant: Plant, bridge: str, protocols: Mapping[str, Protocol]) -> Protocol | None:
    """The protocol of a bridge, if both are known."""
    known = plant.bridges.get(bridge)
    return protocols.get(known.protocol) if known else None


def where_of(cell_path: str) -> Location:
    """Where a cell stands in the file."""
    _, site, area, line, cell = cell_path.split("/")
    return ("sites", site, "areas", area, "lines", line, "cells", cell)


def cross_checks(plant: Plant, protocols: Mapping[str, Protocol]) -> Iterator[Finding]:
    """Every reference of the file that leads nowhere or says what cannot be."""
    for check in (
        _check_policy,
        _check_sites,
        _check_lines,
        _check_cells,
        _check_interlocks,
        _check_items,
        _check_charts,
        _check_reasons,
    ):
        yield from check(plant)
    yield from _check_addresses(plant, protocols)
    for name, bridge in plant.bridges.items():
        if bridge.protocol not in protocols:
            hint = did_you_mean(bridge.protocol, protocols)
            yield ("bridges", name, "protocol"), f"unknown protocol '{bridge.protocol}'{hint}"


def _check_sites(plant: Plant) -> Iterator[Finding]:
    for name, site in plant.sites.items():
        try:
            ZoneInfo(site.time_zone)
        except (ValueError, OSError, KeyError):
            yield ("sites", name, "time_zone"), f"unknown time zone '{site.time_zone}'"
        for shift_name, shift in site.shifts.items():
            where = ("sites", name, "shifts", shift_name)
            try:
                rule = rrulestr(shift.rrule, dtstart=FIRST_DAY)
                opens = rule.between(FIRST_DAY, FIRST_YEAR, inc=True) if shift.breaks else ()
            except (ValueError, TypeError) as error:
                yield (*where, "rrule"), f"not an RRULE (RFC 5545): {error}"
                continue
            for first in opens[:1]:
                yield from _check_breaks(shift, first, (*where, "breaks"))


def _check_breaks(shift: Shift, opens: datetime, where: Location) -> Iterator[Finding]:
    """Each inside of the shift, by its first opening, and behind the one before it."""
    free, closes = opens, opens + timedelta(minutes=shift.duration_min)
    for begins, length in shift.breaks_after(opens):
        ends, said = begins + timedelta(minutes=length), f"the break at {begins:%H:%M}"
        if ends > closes:
            yield where, f"{said} does not lie in the shift, {opens:%H:%M} to {closes:%H:%M}"
        elif begins < free:
            yield where, f"{said} begins before the one in front of it is over"
        free = max(free, ends)


def _check_lines(plant: Plant) -> Iterator[Finding]:
    for places in plant.lines.values():
        line, where = places[0].line, where_of(places[0].path)[:6]
        yield from _unknown_bridge(plant, line.bridge, where)
        for name, loop in line.kanban.items():
            if loop.item not in plant.items:
                hint = did_you_mean(loop.item, plant.items)
                yield (*where, "kanban", name, "item"), f"unknown item '{loop.item}'{hint}"
        if line.bottleneck not in line.cells:
            hint = did_you_mean(line.bottleneck, line.cells)
            yield (*where, "bottleneck"), f"unknown cell '{line.bottleneck}'{hint}"
        yield from _check_line_method(plant, line, where)


def _check_line_method(plant: Plant, line: Line, where: Location) -> Iterator[Finding]:
    method = line.line_method or plant.policy.line_method
    if method == "key-cell" and line.key_cell is None:
        yield where, "line method 'key-cell' needs the key 'key_cell'"
    if line.key_cell is not None and line.key_cell not in line.cells:
        hint = did_you_mean(line.key_cell, line.cells)
        yield (*where, "key_cell"), f"unknown cell '{line.key_cell}'{hint}"
    if line.running_min > len(line.cells):
        said = f"running_min {line.running_min}: the line has {len(line.cells)} cells"
        yield (*where, "running_min"), said


def _check_policy(plant: Plant) -> Iterator[Finding]:
    if RULE_MARK in plant.policy.id:
        said = f"'{RULE_MARK}' begins what the hub adds for each rule that is not the default"
        yield ("policy", "id"), said


def _unknown_bridge(plant: Plant, bridge: str | None, where: Location) -> Iterator[Finding]:
    if bridge is not None and bridge not in plant.bridges:
        hint = did_you_mean(bridge, plant.bridges)
        yield (*where, "bridge"), f"unknown bridge '{bridge}'{hint}"


_ONCE: Final = frozenset(
    {"state", "fault", "order", "item", "good_count", "scrap_count", "rework_count"}
    | {"lot_out", "serial", "sample"}
)


def _check_cells(plant: Plant) -> Iterator[Finding]:
    for place in plant.cells.values():
        where = where_of(place.path)
        yield from _unknown_bridge(plant, place.cell.bridge, where)
        for item in place.cell.ideal_cycle_ms:
            if item not in plant.items:
                hint = did_you_mean(item, plant.items)
                yield (*where, "ideal_cycle_ms", item), f"unknown item '{item}'{hint}"
        yield from _check_roles(place, where)
        for name, tag in place.cell.tags.items():
            at = (*where, "tags", name)
            yield from _unknown_bridge(plant, tag.bridge, at)
            if tag.item is not None and tag.item not in plant.items:
                hint = did_you_mean(tag.item, plant.items)
                yield (*at, "item"), f"unknown item '{tag.item}'{hint}"


def _check_roles(place: Place, where: Location) -> Iterator[Finding]:
    seen: dict[str, str] = {}
    for name, tag in place.cell.tags.items():
        at = (*where, "tags", name, "role")
        if tag.role in _ONCE and tag.role in seen:
            yield at, f"role '{tag.role}' is already the tag '{seen[tag.role]}' of this cell"
        seen[tag.role] = name
        if tag.role == "characteristic" and tag.characteristic is None:
            yield at, "role 'characteristic' needs the key 'characteristic'"
        if tag.role == "energy" and tag.unit != "kWh":
            yield at, "role 'energy' needs 'unit: kWh'"
        if place.bridge_of(name) != place.bridge and tag.role not in ("value", "energy"):
            yield at, f"role '{tag.role}' belongs to what reads the cell, '{place.bridge}'"


def _check_interlocks(plant: Plant) -> Iterator[Finding]:
    for place in plant.cells.values():
        tags = place.cell.tags
        for name, tag in tags.items():
            for n, interlock in enumerate(tag.writable.interlock if tag.writable else ()):
                at = (*where_of(place.path), "tags", name, "writable", "interlock", n, "tag")
                if interlock.tag not in tags:
                    yield at, f"unknown tag '{interlock.tag}'{did_you_mean(interlock.tag, tags)}"
                elif place.bridge_of(interlock.tag) != place.bridge_of(name):
                    yield at, f"'{interlock.tag}' is read by another bridge than '{name}'"


def _check_items(plant: Plant) -> Iterator[Finding]:
    for name, item in plant.items.items():
        for part in item.bom:
            if part not in plant.items:
                yield (
                    ("items", name, "bom", part),
                    (f"unknown item '{part}'{did_you_mean(part, plant.items)}"),
                )
        if _contains_itself(plant, name):
            yield ("items", name, "bom"), f"item '{name}' contains itself"
        yield from _check_routing(plant, name)
        yield from _check_specifications(name, item)


def _check_specifications(name: str, item: Item) -> Iterator[Finding]:
    for cell, specification in item.specifications.items():
        known = specification.characteristics
        for key, limits in known.items():
            at: Location = ("items", name, "specifications", cell, "characteristics", key)
            if None not in (limits.lower, limits.upper) and limits.lower >= limits.upper:  # type: ignore[operator]  # narrowed by the tuple test
                yield at, f"lower {limits.lower} is not below upper {limits.upper}"
            size = limits.chart.size if limits.chart else None
            if size is not None and size not in known:
                said = f"unknown characteristic '{size}'{did_you_mean(size, known)}"
                yield (*at, "chart", "size"), said
        for key, plan in specification.inspections.items():
            for one in plan.characteristics:
                if one not in known:
                    where = ("items", name, "specifications", cell, "inspections", key)
                    said = f"unknown characteristic '{one}'{did_you_mean(one, known)}"
                    yield (*where, "characteristics"), said


def _check_charts(plant: Plant) -> Iterator[Finding]:
    """A processor's state of a line is bounded, and so is how many charts it follows."""
    of_line = Counter[str]()
    for name, item in plant.items.items():
        line = item.routing.line if item.routing else ""
        for cell, specification in item.specifications.items():
            charts = sum(one.chart is not None for one in specification.characteristics.values())
            of_line[line] += charts
            if charts and of_line[line] > CHARTS_OF_LINE_MAX:
                said = f"{of_line[line]} charts at {line}: at most {CHARTS_OF_LINE_MAX} of a line"
                yield ("items", name, "specifications", cell), said


def _check_routing(plant: Plant, name: str) -> Iterator[Finding]:
    item, where = plant.items[name], ("items", name)
    if item.routing is None:
        return
    line = f"{plant.enterprise}/{item.routing.line}"
    if line not in plant.lines:
        short = [path.partition("/")[2] for path in plant.lines]
        hint = did_you_mean(item.routing.line, short)
        yield (*where, "routing", "line"), f"unknown line '{item.routing.line}'{hint}"
        return
    cells = plant.lines[line][0].line.cells
    for i, cell in enumerate(item.routing.operations):
        if cell not in cells:
            yield (
                (*where, "routing", "operations", i),
                f"unknown cell '{cell}'{did_you_mean(cell, cells)}",
            )
        elif name not in cells[cell].ideal_cycle_ms:
            at = (*where_of(f"{line}/{cell}"), "ideal_cycle_ms")
            yield at, f"no ideal cycle for item '{name}', which is routed over this cell"
    for cell in item.specifications:
        if cell not in item.routing.operations:
            at_spec = (*where, "specifications", cell)
            yield at_spec, f"'{cell}' is no operation of item '{name}'"


def _contains_itself(plant: Plant, name: str) -> bool:
    seen: set[str] = set()
    parts = list(plant.items[name].bom)
    while parts:
        part = parts.pop()
        if part == name:
            return True
        if part not in seen and part in plant.items:
            seen.add(part)
            parts += plant.items[part].bom
    return False


def _check_reasons(plant: Plant) -> Iterator[Finding]:
    for code, reason in plant.reasons.items():
        if reason.parent is not None and reason.parent not in plant.reasons:
            hint = did_you_mean(reason.parent, plant.reasons)
            yield ("reasons", code, "parent"), f"unknown reason '{reason.parent}'{hint}"


def _check_addresses(plant: Plant, protocols: Mapping[str, Protocol]) -> Iterator[Finding]:
    seen: dict[tuple[str, str], str] = {}
    for place in plant.cells.values():
        for name, tag in place.cell.tags.items():
            bridge = place.bridge_of(name)
            protocol = protocol_of(plant, bridge, protocols)
            if protocol and protocol.check:
                continue
            address = (bridge, repr(sorted(tag.source.items())))
            here = f"{place.path}/_tag/{name}"
            if address in seen:
                where = (*where_of(place.path), "tags", name, "source")
                yield where, f"this source already feeds {seen[address]}"
            seen.setdefault(address, here)
