"""namespace.yaml: text to Plant, or every fault in it with its line and column.

Owns reading and checking. Knows no file system: the caller brings the text, and the models of
each bridge protocol as a table. YAML aliases, duplicate and unknown keys are refused.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from difflib import get_close_matches
from io import StringIO
from typing import Any, Final, NamedTuple, get_args
from zoneinfo import ZoneInfo

from dateutil.rrule import rrulestr
from pydantic import BaseModel, ValidationError
from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedMap, CommentedSeq
from ruamel.yaml.error import MarkedYAMLError, YAMLError

from uns.model.plant import Plant

BYTES_MAX: Final = 5_000_000
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


class Fault(NamedTuple):
    """One fault, 1-based: `str()` is `namespace.yaml:14:9 message`."""

    file: str
    line: int
    column: int
    message: str

    def __str__(self) -> str:
        return f"{self.file}:{self.line}:{self.column} {self.message}"


class NamespaceError(ValueError):
    """The file cannot be used; `faults` lists why, in file order."""

    def __init__(self, faults: list[Fault]) -> None:
        super().__init__("\n".join(map(str, faults)))
        self.faults = faults


def parse_namespace(text: str, file: str, protocols: Mapping[str, Protocol]) -> Plant:
    """Read a plant. NamespaceError carries every fault that one pass can find."""
    document = _load(text, file)
    try:
        plant = Plant.model_validate(document)
    except ValidationError as error:
        raise NamespaceError(
            sorted(_from_pydantic(error, document, file, ()), key=_order)
        ) from None
    faults = [
        Fault(file, *_position(document, where), message)
        for where, message in _cross_checks(plant, protocols)
    ]
    faults += _protocol_faults(plant, protocols, document, file)
    if not faults:
        faults += [
            Fault(file, *_position(document, where), message)
            for protocol in protocols.values()
            for where, message in (protocol.check(plant) if protocol.check else ())
        ]
    if faults:
        raise NamespaceError(sorted(faults, key=_order))
    return plant


def _order(fault: Fault) -> tuple[int, int]:
    return fault.line, fault.column


def _load(text: str, file: str) -> CommentedMap:
    if len(text.encode()) > BYTES_MAX:
        raise NamespaceError([Fault(file, 1, 1, f"larger than {BYTES_MAX} bytes")])
    try:
        for event in YAML(typ="rt", pure=True).parse(StringIO(text)):
            if getattr(event, "anchor", None):
                mark = event.start_mark
                message = "YAML anchors and aliases are refused: write the value out"
                raise NamespaceError([Fault(file, mark.line + 1, mark.column + 1, message)])
        document = YAML(typ="rt", pure=True).load(text)
    except MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line, column = (mark.line + 1, mark.column + 1) if mark else (1, 1)
        message = str(error.problem or error.context or error).splitlines()[0]
        raise NamespaceError([Fault(file, line, column, message)]) from None
    except YAMLError as error:
        raise NamespaceError([Fault(file, 1, 1, str(error).splitlines()[0])]) from None
    if not isinstance(document, CommentedMap):
        raise NamespaceError([Fault(file, 1, 1, "the file must be a mapping of keys")])
    return document


def _position(document: Any, where: Location) -> tuple[int, int]:
    """1-based line and column of the deepest key of `where` that stands in the file."""
    line, column, node = 0, 0, document
    for step in where:
        try:
            if isinstance(node, CommentedMap):
                line, column = node.lc.key(step)
            elif isinstance(node, CommentedSeq):
                line, column = node.lc.item(step)
            node = node[step]
        except (KeyError, IndexError, TypeError):
            break
    return line + 1, column + 1


def _value_position(document: Any, where: Location) -> tuple[int, int]:
    node = document
    for step in where[:-1]:
        node = node[step] if isinstance(node, CommentedMap | CommentedSeq) else None
    try:
        if isinstance(node, CommentedMap):
            line, column = node.lc.value(where[-1])
            return line + 1, column + 1
    except (KeyError, TypeError, IndexError):
        pass
    return _position(document, where)


def _from_pydantic(
    error: ValidationError, document: Any, file: str, prefix: Location
) -> Iterator[Fault]:
    for one in error.errors(include_url=False):
        where = (*prefix, *(step for step in one["loc"] if step != "[key]"))
        describe = _MESSAGES.get(one["type"])
        message = describe(one) if describe else str(one["msg"])
        at_key = one["type"] in ("extra_forbidden", "missing") or "[key]" in one["loc"]
        find = _position if at_key else _value_position
        yield Fault(file, *find(document, where), message)


def _unknown_key(one: Mapping[str, Any]) -> str:
    return f"unknown key '{one['loc'][-1]}'{did_you_mean(str(one['loc'][-1]), _KEYS)}"


def _unknown_word(one: Mapping[str, Any]) -> str:
    choices = [w.strip(" '") for w in one["ctx"]["expected"].replace(" or ", ",").split(",")]
    return f"unknown value '{one['input']}'{did_you_mean(str(one['input']), choices)}"


_MESSAGES: Final[dict[str, Callable[[Mapping[str, Any]], str]]] = {
    "extra_forbidden": _unknown_key,
    "literal_error": _unknown_word,
    "missing": lambda one: f"missing key '{one['loc'][-1]}'",
    "string_pattern_mismatch": lambda one: (
        f"'{one['input']}' is no name: use a-z, 0-9 and '-', at most 63 characters"
    ),
}


def did_you_mean(word: str, choices: Any) -> str:
    """A hint for a misspelt word: ` (did you mean 'RUNNING'?)`, or the choices if few."""
    known = [str(choice) for choice in choices]
    folded = {choice.lower(): choice for choice in reversed(known)}
    near = get_close_matches(word.lower(), folded, n=1, cutoff=0.6)
    if near:
        return f" (did you mean '{folded[near[0]]}'?)"
    return f" (use one of {', '.join(known)})" if 0 < len(known) <= 12 else ""  # noqa: PLR2004 - a line's worth


def _all_keys(model: type[BaseModel], seen: set[type[BaseModel]]) -> set[str]:
    keys = set(model.model_fields)
    seen.add(model)
    for field in model.model_fields.values():
        for inner in _models_in(field.annotation):
            if inner not in seen:
                keys |= _all_keys(inner, seen)
    return keys


def _models_in(annotation: Any) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for inner in get_args(annotation):
        yield from _models_in(inner)


_KEYS: Final = sorted(_all_keys(Plant, set()))


def _protocol_faults(
    plant: Plant, protocols: Mapping[str, Protocol], document: Any, file: str
) -> Iterator[Fault]:
    for name, bridge in plant.bridges.items():
        if protocol := protocols.get(bridge.protocol):
            yield from _check(protocol.settings, bridge.settings, document, file, ("bridges", name))
    for place in plant.cells.values():
        served_by = plant.bridges.get(place.line.bridge)
        protocol = protocols.get(served_by.protocol) if served_by else None
        if protocol and protocol.source:
            for name, tag in place.cell.tags.items():
                where = (*where_of(place.path), "tags", name, "source")
                yield from _check(protocol.source, tag.source, document, file, where)


def _check(
    model: type[BaseModel], value: Any, document: Any, file: str, where: Location
) -> Iterator[Fault]:
    try:
        model.model_validate(value)
    except ValidationError as error:
        known = sorted(model.model_fields)
        for fault, one in zip(
            _from_pydantic(error, document, file, where), error.errors(), strict=True
        ):
            if one["type"] == "extra_forbidden":
                word = str(one["loc"][-1])
                yield fault._replace(message=f"unknown key '{word}'{did_you_mean(word, known)}")
            else:
                yield fault


def where_of(cell_path: str) -> Location:
    """Where a cell stands in the file."""
    _, site, area, line, cell = cell_path.split("/")
    return ("sites", site, "areas", area, "lines", line, "cells", cell)


def _cross_checks(plant: Plant, protocols: Mapping[str, Protocol]) -> Iterator[Finding]:
    for check in (
        _check_sites,
        _check_lines,
        _check_cells,
        _check_interlocks,
        _check_items,
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
            try:
                rrulestr(shift.rrule)
            except (ValueError, TypeError) as error:
                where = ("sites", name, "shifts", shift_name, "rrule")
                yield where, f"not an RRULE (RFC 5545): {error}"


def _check_lines(plant: Plant) -> Iterator[Finding]:
    for places in plant.lines.values():
        line, where = places[0].line, where_of(places[0].path)[:6]
        if line.bridge not in plant.bridges:
            yield (
                (*where, "bridge"),
                f"unknown bridge '{line.bridge}'{did_you_mean(line.bridge, plant.bridges)}",
            )
        if line.bottleneck not in line.cells:
            hint = did_you_mean(line.bottleneck, line.cells)
            yield (*where, "bottleneck"), f"unknown cell '{line.bottleneck}'{hint}"


_ONCE: Final = frozenset(
    {"state", "fault", "order", "item", "good_count", "scrap_count", "rework_count"}
    | {"lot_out", "serial", "sample"}
)


def _check_cells(plant: Plant) -> Iterator[Finding]:
    for place in plant.cells.values():
        where = where_of(place.path)
        for item in place.cell.ideal_cycle_ms:
            if item not in plant.items:
                hint = did_you_mean(item, plant.items)
                yield (*where, "ideal_cycle_ms", item), f"unknown item '{item}'{hint}"
        seen: dict[str, str] = {}
        for name, tag in place.cell.tags.items():
            at = (*where, "tags", name, "role")
            if tag.role in _ONCE and tag.role in seen:
                yield at, f"role '{tag.role}' is already the tag '{seen[tag.role]}' of this cell"
            seen[tag.role] = name
            if tag.role == "characteristic" and tag.characteristic is None:
                yield at, "role 'characteristic' needs the key 'characteristic'"
            if tag.item is not None and tag.item not in plant.items:
                yield (
                    (*where, "tags", name, "item"),
                    f"unknown item '{tag.item}'{did_you_mean(tag.item, plant.items)}",
                )


def _check_interlocks(plant: Plant) -> Iterator[Finding]:
    for place in plant.cells.values():
        tags = place.cell.tags
        for name, tag in tags.items():
            for n, interlock in enumerate(tag.writable.interlock if tag.writable else ()):
                if interlock.tag not in tags:
                    at = (*where_of(place.path), "tags", name, "writable", "interlock", n, "tag")
                    yield at, f"unknown tag '{interlock.tag}'{did_you_mean(interlock.tag, tags)}"


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
        for cell, specification in item.specifications.items():
            for key, limits in specification.characteristics.items():
                if None not in (limits.lower, limits.upper) and limits.lower >= limits.upper:  # type: ignore[operator]  # narrowed by the tuple test
                    at = ("items", name, "specifications", cell, "characteristics", key)
                    yield at, f"lower {limits.lower} is not below upper {limits.upper}"


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
        served_by = plant.bridges.get(place.line.bridge)
        if served_by and served_by.protocol in protocols and protocols[served_by.protocol].check:
            continue
        for name, tag in place.cell.tags.items():
            address = (place.line.bridge, repr(sorted(tag.source.items())))
            here = f"{place.path}/_tag/{name}"
            if address in seen:
                where = (*where_of(place.path), "tags", name, "source")
                yield where, f"this source already feeds {seen[address]}"
            seen.setdefault(address, here)
