"""What a server's variables look like as tags of namespace.yaml, each with a remark.

Owns names, units, ranges and the text. Pure: the variables come from whoever browsed the server
(browse.py), as the server described them.
"""

import json
from collections.abc import Iterator, Mapping
from math import isfinite
from typing import Any, Final, NamedTuple, get_args

from pydantic import ValidationError

from bridges.opcua.config import OpcUaSource
from bridges.opcua.errors import UnreadableError
from bridges.opcua.mapping import Sample, Steps, part_of, shown
from uns.model.plant import Unit
from uns.model.proposal import Names, quoted, remark

CEFACT: Final = "http://www.opcfoundation.org/UA/units/un/cefact"
STEPS_MAX: Final = 8
NUMBERS: Final = frozenset(
    {"SByte", "Byte", "Int16", "UInt16", "Int32", "UInt32", "Int64", "UInt64", "Float", "Double"}
)
CHOICES: Final = {"Boolean": "one_of: [true, false]", "String": "one_of: [TEXT, TEXT]"}
UNITS_BY_CODE: Final[dict[str, Unit]] = {
    "H87": "pcs", "C62": "pcs", "KGM": "kg", "GRM": "g", "MMT": "mm", "4H": "um", "MTR": "m",
    "CEL": "degC", "BAR": "bar", "B47": "kN", "NEW": "N", "NU": "Nm", "RPM": "rpm", "SEC": "s",
    "C26": "ms", "LTR": "l", "L2": "l/min", "AMP": "A", "KWT": "kW", "KWH": "kWh",
    "P1": "percent", "C16": "mm/s", "F34": "mg/s",
}  # fmt: skip
"""UNECE Recommendation 20 common codes, which part 8, 5.6.4 packs into the unit id."""
UNITS_BY_TEXT: Final[dict[str, Unit]] = {
    **{unit: unit for unit in get_args(Unit)},
    "°C": "degC", "%": "percent", "µm": "um", "μm": "um", "1/min": "rpm", "min⁻¹": "rpm",
    "L": "l", "L/min": "l/min", "N·m": "Nm", "pc": "pcs",
}  # fmt: skip


class EngineeringUnit(NamedTuple):
    """EUInformation (part 8, 5.6.4): who defined it, its number there, and how it is shown."""

    namespace_uri: str
    unit_id: int
    text: str

    @property
    def code(self) -> str:
        """The UNECE common code, packed into the number byte by byte; empty where there is none."""
        if self.namespace_uri != CEFACT or self.unit_id <= 0:
            return ""
        packed = self.unit_id.to_bytes(4).lstrip(b"\0")
        return packed.decode("ascii", "replace")

    @property
    def unit(self) -> Unit | None:
        """The unit that namespace.yaml has for it."""
        return UNITS_BY_CODE.get(self.code) or UNITS_BY_TEXT.get(self.text.strip())


class Variable(NamedTuple):
    """A variable as its server describes it.

    path: browse names from below Objects. node: without the namespace, `s=Saw.State`.
    rank: -1 for a scalar, else the dimensions (part 3, 5.6.2); sizes: their lengths, 0 if open.
    sample: the value; of an array its first element only. None where it was not told.
    """

    path: tuple[str, ...]
    namespace_uri: str
    node: str
    node_id: str
    data_type: str
    rank: int = -1
    sizes: tuple[int, ...] = ()
    is_readable: bool = True
    is_writable: bool = False
    unit: EngineeringUnit | None = None
    range: tuple[float, float] | None = None
    description: str = ""
    sample: Sample | None = None

    @property
    def place(self) -> str:
        """The path for people, and for a filter."""
        return "/".join(self.path)


class Proposal:
    """Turns variables into lines, one after the other; holds the names given, nothing else.

    settings: what the bridge is to have, without `namespace_uri`: that is the first variable's.
    """

    def __init__(self, bridge: str, settings: Mapping[str, Any]) -> None:
        self.bridge = bridge
        self._settings = settings
        self._names = Names()
        self._namespace_uri: str | None = None
        self._parent: tuple[str, ...] | None = None

    def lines(self, variable: Variable) -> Iterator[str]:
        """What to write for the next variable, behind what was written before."""
        if self._namespace_uri is None:
            self._namespace_uri = variable.namespace_uri
            yield from self._head()
        if variable.path[:-1] != self._parent:
            self._parent = variable.path[:-1]
            where = " / ".join(remark(part) for part in self._parent)
            yield f"  # {where or 'Objects'}"
        yield self._line(variable)

    def documents(self, variable: Variable) -> Iterator[str]:
        """The next variable as one line of JSON."""
        document = {
            "name": self._names.take(variable.path),
            "path": variable.place,
            "node": variable.node,
            "namespace_uri": variable.namespace_uri,
            "data_type": variable.data_type,
            "rank": variable.rank,
            "is_readable": variable.is_readable,
            "is_writable": variable.is_writable,
            "unit": variable.unit.unit or variable.unit.text if variable.unit else None,
            "range": [*variable.range] if _bounds(variable) and variable.range else None,
            "description": variable.description or None,
            "value": _now(variable.sample),
        }
        yield json.dumps(document)

    def _head(self) -> Iterator[str]:
        yield "# Proposed by `uns discover opcua`. Paste what you need into namespace.yaml: the"
        yield "# bridge as it is, the tags below a cell. Names are yours to change."
        yield "bridges:"
        yield f"  {self.bridge}:"
        yield "    protocol: opcua"
        for key, value in {**self._settings, "namespace_uri": self._namespace_uri}.items():
            yield f"    {key}: {quoted(value) if isinstance(value, str) else _plain(value)}"
        yield ""
        yield f"tags: # of a cell that says `bridge: {self.bridge}`, or whose line does"

    def _line(self, variable: Variable) -> str:
        steps, obstacle = _steps(variable)
        source = {"node": variable.node}
        if steps:
            source["path"] = steps
        if variable.namespace_uri != self._namespace_uri:
            source["namespace_uri"] = variable.namespace_uri
        obstacle = obstacle or _misfit(source)
        name = self._names.take(variable.path)
        keys = ", ".join([*_keys(variable), f"source: {{{_mapping(source)}}}"])
        remarks = [obstacle] if obstacle else []
        said = "; ".join([*remarks, *_remarks(variable)])
        return f"  {'# ' if obstacle else ''}{name}: {{{keys}}} # {said}"


def _steps(variable: Variable) -> tuple[str, str | None]:
    """The path to a first part that a tag can hold, and why the line is not ready as it stands."""
    if not variable.is_readable:
        return "", "our user may not read it"
    sample = variable.sample
    if variable.rank >= 1:
        return "[0]" * variable.rank, "an array: one tag an element"
    if sample is None or sample.is_bad or sample.value is None:
        return "", None
    try:
        shown(sample.value, sample.type_name)
    except UnreadableError as error:
        return _path(_way(sample.value)), remark(str(error), 120)
    return "", None


def _way(value: Any) -> Steps:
    """Steps to the first part of a value that has no parts."""
    way: list[int | str] = []
    while isinstance(value, list | Mapping) and value and len(way) < STEPS_MAX:
        step = 0 if isinstance(value, list) else next(iter(value))
        way.append(step)
        value = part_of(value, (step,))
    return tuple(way)


def _path(steps: Steps) -> str:
    return "".join(f"[{s}]" if isinstance(s, int) else f".{s}" for s in steps).lstrip(".")


def _misfit(source: Mapping[str, str]) -> str | None:
    try:
        OpcUaSource.model_validate(source)
    except ValidationError as error:
        return f"no address of namespace.yaml: {remark(error.errors()[0]['msg'])}"
    return None


def _keys(variable: Variable) -> Iterator[str]:
    if variable.unit and variable.unit.unit:
        yield f"unit: {variable.unit.unit}"
    if bounds := _bounds(variable):
        yield f"range: [{bounds}]"


def _bounds(variable: Variable) -> str | None:
    """`0, 100` where the server tells a range that is one."""
    if variable.range is None or not all(map(isfinite, variable.range)):
        return None
    low, high = variable.range
    return f"{low:.15g}, {high:.15g}" if low < high else None


def _remarks(variable: Variable) -> Iterator[str]:
    dimensions = "".join(f"[{size or ''}]" for size in variable.sizes or (0,) * variable.rank)
    yield remark(variable.node_id, 120)
    yield remark(variable.data_type) + dimensions
    yield _access(variable)
    if variable.unit:
        code = f" ({remark(variable.unit.code)})" if variable.unit.code else ""
        unit = "" if variable.unit.unit else ", which namespace.yaml does not have"
        yield f"unit {remark(variable.unit.text) or '-'}{code}{unit}"
    if bounds := _bounds(variable):
        yield f"range {bounds.replace(', ', ' to ')}"
    if variable.description not in ("", variable.path[-1]):
        yield f"'{remark(variable.description)}'"
    if now := _now(variable.sample):
        yield f"now {remark(now)}"


def _access(variable: Variable) -> str:
    if not variable.is_writable:
        return "read only" if variable.is_readable else "no access"
    access = "read and write" if variable.is_readable else "write only"
    return f"{access} ({_permission(variable)})"


def _permission(variable: Variable) -> str:
    """The words that would let the tag be written."""
    kind = variable.sample.type_name if variable.sample else None
    kind = kind or variable.data_type
    low, high = (_bounds(variable) or "LOW, HIGH").split(", ")
    bounds = f"minimum: {low}, maximum: {high}" if kind in NUMBERS else CHOICES.get(kind)
    if bounds is None:
        return f"but this bridge writes no {remark(kind)}"
    return f"to allow it: writable: {{{bounds}}}"


def _now(sample: Sample | None) -> str | None:
    if sample is None:
        return None
    if sample.is_bad:
        return f"bad: {sample.status_name}"
    try:
        value = shown(part_of(sample.value, _way(sample.value)), sample.type_name)
    except UnreadableError as error:
        return str(error)
    return _plain(value) if not isinstance(value, str) else f"'{value}'"


def _plain(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _mapping(source: Mapping[str, str]) -> str:
    return ", ".join(f"{key}: {quoted(value)}" for key, value in source.items())
