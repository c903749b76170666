"""The plant as code: what namespace.yaml says, as immutable values with look-ups.

Owns the shape and the cross references of one enterprise. Does not know files, YAML or the
settings of any protocol: those are checked by the models that the caller passes in.
"""

from collections.abc import Iterator
from functools import cached_property
from hashlib import sha256
from typing import Annotated, Any, Literal

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    model_validator,
)

from uns.model.calendar import Calendar, Shift
from uns.model.hold import OnFail
from uns.model.inspection import InspectionPlan
from uns.model.kanban import KanbanLoop
from uns.model.path import SEGMENT, parent
from uns.model.policy import MICRO_STOP_MS, LineMethod, Policy
from uns.model.spc.settings import Chart
from uns.model.writable import Writable

Segment = Annotated[str, Field(pattern=f"^{SEGMENT.pattern}$")]
Characteristic = Annotated[str, Field(pattern=r"^[a-z0-9_]{1,40}$")]
Positive = Annotated[int, Field(gt=0)]
Finite = Annotated[float, Field(allow_inf_nan=False)]
Role = Literal[
    "value",
    "state",
    "fault",
    "order",
    "item",
    "good_count",
    "scrap_count",
    "rework_count",
    "lot_in",
    "lot_out",
    "serial",
    "sample",
    "characteristic",
    "energy",
]
Unit = Literal[
    "pcs", "kg", "g", "mm", "um", "m", "degC", "bar", "kN", "N", "Nm", "rpm", "s", "ms",
    "l", "l/min", "A", "kW", "kWh", "percent", "mm/s", "mg/s",
]  # fmt: skip


class Part(BaseModel):
    """The common rules of namespace.yaml: unknown keys refused, values immutable."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class TagSpec(Part):
    """One tag of a cell and the address it is read from.

    role: what the value means to the MES; `value` is shown and stored, nothing is derived.
        `energy` is a meter, kWh that only rise; any bridge may read it.
    source: the address, in the words of the line's bridge protocol.
    rollover: number of values of a cumulative counter (65536 for an unsigned 16-bit one).
    reset_max: the most that a cumulative counter which was reset can show; one that falls to more
        was set, and counts on from there.
    range: the lowest and the highest value that are usual, in the tag's unit.
    dead_band: smallest change worth a message, in the tag's unit.
    dead_band_percent: the same in per cent of the range (OPC UA part 8, 7.2).
    interval_ms_min: the least time between two messages; of what comes in between, the newest.
    interval_ms_max: a value that does not change is said again after this; null for never.
    heartbeat_ms_max: the value changes at least this often, or its source is stuck: then what it
        feeds of the cell is bad.
    record: `every` keeps every value that came, through the outbox; `changes` what is published.
    characteristic: for role `characteristic`, its name in specifications.
    item: for role `lot_in`, which component the lot is of; without it, the work in process of
        the item being made (one piece in, one piece out).
    writable: within which bounds the tag may be written; without it, it never is.
    bridge: what reads this tag, where it is not what reads the cell (a meter beside the PLC).
    """

    role: Role = "value"
    bridge: Segment | None = None
    source: dict[str, Any]
    unit: Unit | None = None
    range: tuple[Finite, Finite] | None = None
    dead_band: Annotated[float, Field(ge=0)] = 0.0
    dead_band_percent: Annotated[float, Field(ge=0, le=100)] = 0.0
    interval_ms_min: Annotated[int, Field(ge=0, le=86_400_000)] = 0
    interval_ms_max: Annotated[int, Field(ge=1_000, le=86_400_000)] | None = 60_000
    heartbeat_ms_max: Annotated[int, Field(ge=100, le=86_400_000)] | None = None
    record: Literal["changes", "every"] = "changes"
    rollover: Positive | None = None
    reset_max: Positive | None = None
    characteristic: Characteristic | None = None
    item: Segment | None = None
    title: str | None = None
    writable: Writable | None = None

    @model_validator(mode="after")
    def _keys_fit_together(self) -> "TagSpec":
        if self.range and self.range[0] >= self.range[1]:
            raise ValueError(f"range: {self.range[0]:g} is not below {self.range[1]:g}")
        if self.dead_band_percent and not self.range:
            raise ValueError("'dead_band_percent' is of a 'range': say the range")
        if self.interval_ms_max is not None and self.interval_ms_min > self.interval_ms_max:
            raise ValueError("interval_ms_min is above interval_ms_max")
        return self


class Cell(Part):
    """A work unit: its tags, its ideal cycle per item and how its state codes read.

    bridge: what reads the cell, where it is not what reads the line.
    """

    title: str = ""
    bridge: Segment | None = None
    coding: Literal["packtags", "opc30060"] = "packtags"
    ideal_cycle_ms: dict[Segment, Positive]
    micro_stop_ms: Positive = MICRO_STOP_MS
    serial_prefix: str | None = None
    tags: dict[Segment, TagSpec]

    def tag_with_role(self, role: Role) -> str | None:
        """The name of the first tag with a role, if there is one."""
        return next((name for name, tag in self.tags.items() if tag.role == role), None)


class Line(Part):
    """A work center: cells in flow order, read through `bridge` where they name no other.

    line_method: how its OEE comes about, where that is not the plant's policy.
    key_cell: for `key-cell`, whose figures are the line's.
    running_min: for `parallel`, how many cells must run for the line to run.
    auto_start: the first order of the queue may start by itself; else each waits for `start`.
    kanban: the loops by which it is supplied.
    """

    title: str = ""
    bridge: Segment
    bottleneck: Segment
    auto_start: bool = True
    kanban: dict[Segment, KanbanLoop] = {}
    line_method: LineMethod | None = None
    key_cell: Segment | None = None
    running_min: Positive = 1
    cells: Annotated[dict[Segment, Cell], Field(min_length=1)]


class Area(Part):
    """A part of a site that holds lines."""

    title: str = ""
    lines: Annotated[dict[Segment, Line], Field(min_length=1)]


class Site(Part):
    """A plant at one place: one time zone, one shift calendar."""

    title: str = ""
    time_zone: str
    shifts: Annotated[dict[Segment, Shift], Field(min_length=1)]
    areas: Annotated[dict[Segment, Area], Field(min_length=1)]

    @cached_property
    def calendar(self) -> Calendar:
        """The shift calendar in the site's time zone."""
        return Calendar(self.time_zone, self.shifts)


class Limits(Part):
    """The limits of a characteristic, a missing one open; `chart` watches it, each item alone."""

    unit: Unit
    lower: float | None = None
    upper: float | None = None
    chart: Chart | None = None


class Specification(Part):
    """What is inspected at one operation of an item, by revision, and `inspections`: when.

    on_fail: what is held when a sample fails; without it, nothing.
    """

    revision: str
    characteristics: Annotated[dict[Characteristic, Limits], Field(min_length=1)]
    inspections: dict[Segment, InspectionPlan] = {}
    on_fail: OnFail | None = None


class Routing(Part):
    """The line that makes an item and its operations (cells) in order."""

    line: str
    operations: Annotated[list[Segment], Field(min_length=1)]


class Item(Part):
    """A material definition; `bom` is the quantity of each component for one unit of it.

    family: items of one family follow each other without a set-up.
    """

    title: str
    unit: Unit = "pcs"
    family: Segment | None = None
    bom: dict[Segment, Annotated[float, Field(gt=0)]] = {}
    routing: Routing | None = None
    specifications: dict[Segment, Specification] = {}


class Reason(Part):
    """A stop reason: stable code, the loss it books on, and its place in the tree."""

    title: str
    loss: Literal["breakdown", "set-up", "minor-stop", "starved", "blocked", "planned"]
    parent: str | None = None
    planned: bool = False


class Bridge(BaseModel):
    """A connection to the outside; what is not named here belongs to the protocol's model.

    process: bridges of one process name share a process; without it, each has its own.
    """

    model_config = ConfigDict(frozen=True, extra="allow")

    protocol: Segment
    process: Segment | None = None

    @property
    def settings(self) -> dict[str, Any]:
        """The protocol's own settings, to be parsed by its model."""
        return dict(self.model_extra or {})


class Retention(Part):
    """How long history is kept, in days: samples of tags, their sums by minute, and all else.

    Sums by hour, events and former documents stay for `events_days`; longer what came since a
    processor's newest base, for its state is told again from that on. Where a plant does not write
    `retention`, everything is kept.
    """

    tags_days: Positive = 90
    minutes_days: Positive = 730
    events_days: Positive = 3_650


class Place(Part):
    """A cell with its whole context, as look-ups return it."""

    path: str
    line_path: str
    site_path: str
    cell: Cell
    line: Line
    site: Site

    @property
    def bridge(self) -> str:
        """What reads the cell."""
        return self.cell.bridge or self.line.bridge

    def bridge_of(self, tag: str) -> str:
        """What reads a tag, and answers who would write it; for an unknown one, the cell's."""
        known = self.cell.tags.get(tag)
        return (known.bridge if known else None) or self.bridge

    def read_by(self, bridge: str) -> "Place":
        """The same place with the tags that a bridge reads."""
        tags = {n: tag for n, tag in self.cell.tags.items() if self.bridge_of(n) == bridge}
        if tags == self.cell.tags:
            return self
        return self.model_copy(update={"cell": self.cell.model_copy(update={"tags": tags})})


class Plant(Part):
    """One enterprise: the whole of namespace.yaml."""

    namespace: Literal[1] = Field(description="the version of this format")
    enterprise: Segment
    policy: Policy = Policy()
    retention: Retention | None = Field(
        default=None, description="how long history is kept; without it, for ever"
    )
    sites: Annotated[dict[Segment, Site], Field(min_length=1)]
    items: dict[Segment, Item]
    reasons: dict[str, Reason] = {}
    bridges: dict[Segment, Bridge]
    may_release_holds: tuple[str, ...] = Field(
        default=(), description="who may release quality holds; without it, whoever gives a name"
    )

    @cached_property
    def cells(self) -> dict[str, Place]:
        """Every cell by its path, in the file's order."""
        return {place.path: place for place in self._places()}

    @cached_property
    def lines(self) -> dict[str, tuple[Place, ...]]:
        """Every line's path with its cells in flow order."""
        lines: dict[str, tuple[Place, ...]] = {}
        for place in self.cells.values():
            lines[place.line_path] = (*lines.get(place.line_path, ()), place)
        return lines

    def _places(self) -> Iterator[Place]:
        for site_name, site in self.sites.items():
            for area_name, area in site.areas.items():
                for line_name, line in area.lines.items():
                    line_path = f"{self.enterprise}/{site_name}/{area_name}/{line_name}"
                    for cell_name, cell in line.cells.items():
                        yield Place.model_construct(
                            path=f"{line_path}/{cell_name}",
                            line_path=line_path,
                            site_path=f"{self.enterprise}/{site_name}",
                            cell=cell,
                            line=line,
                            site=site,
                        )

    def line_of_item(self, item: str) -> str | None:
        """The path of the line that makes an item; None for a bought or unknown one."""
        known = self.items.get(item)
        if known is None or known.routing is None:
            return None
        return f"{self.enterprise}/{known.routing.line}"

    def operations(self, item: str) -> tuple[str, ...]:
        """The paths of the cells an item passes, in order."""
        line = self.line_of_item(item)
        routing = self.items[item].routing if line else None
        return tuple(f"{line}/{cell}" for cell in routing.operations) if routing else ()

    @property
    def processes(self) -> dict[str, list[str]]:
        """The bridges that share a process, by its name."""
        processes: dict[str, list[str]] = {}
        for name, bridge in self.bridges.items():
            processes.setdefault(bridge.process or name, []).append(name)
        return processes

    def served_by(self, bridge: str) -> dict[str, Place]:
        """The cells that a bridge reads, by path, each with the tags that it reads there."""
        read = {path: place.read_by(bridge) for path, place in self.cells.items()}
        return {p: place for p, place in read.items() if place.cell.tags or place.bridge == bridge}

    def readers(self, line: str) -> frozenset[str]:
        """Every bridge that reads something of a line."""
        places = self.lines[line]
        return frozenset(p.bridge_of(tag) for p in places for tag in p.cell.tags) | {
            p.bridge for p in places
        }

    def calendar_of(self, path: str) -> Calendar:
        """The shift calendar of the site a place lies in."""
        return self.sites[parent(path, "site").split("/")[1]].calendar


def digest(plant: Plant) -> str:
    """16 hex digits that stand for all that processors see of a plant (its bridges are not)."""
    seen = plant.model_dump_json(exclude={"bridges"})
    return sha256(seen.encode()).hexdigest()[:16]
