"""What is remembered of a line's control charts: phase I, limits, and the newest points."""

from typing import Final, Literal

from pydantic import Field

from processors.base import State
from uns.model.events import PointExcluded
from uns.model.spc.limits import Basis, Subgroup
from uns.model.spc.points import Drawn
from uns.model.spc.settings import Chart

POINTS_KEPT: Final = 25
SAMPLES_KEPT: Final = 10
EXCLUDED_MAX: Final = 25
Left = Literal["missing", "uncertain", "impossible", "empty", "repeated", "incomplete"]


class Base(State):
    """A point of phase I."""

    number: int
    at_ms: int
    subgroup: Subgroup


class Point(State):
    """A point as drawn under the limits in force."""

    number: int
    at_ms: int
    drawn: Drawn


class Frozen(State):
    """Limits in force. at_ms: since when; None for those of namespace.yaml.

    points: of how many points of phase I, first to last, they were made.
    """

    version: str
    basis: Basis
    at_ms: int | None = None
    points: int = 0
    first_point: int = 0
    last_point: int = 0


class ChartState(State):
    """One chart: of a characteristic of an item at a cell.

    chart: the settings that all of this was made under.
    values: of the subgroup that is filling, all of `order_id`. samples: the last that were taken.
    number: of the last point, from 1 on, never begun anew. versions: how often limits were frozen.
    phase_one: the points that limits come from; while `is_collecting`, those there are so far.
    is_alerted: the last point broke a rule, and somebody was told.
    limits: None before they are first frozen.
    """

    cell: str
    item: str
    characteristic: str
    chart: Chart
    values: tuple[float, ...] = ()
    order_id: str | None = None
    samples: tuple[str, ...] = ()
    left_out: dict[Left, int] = Field(default_factory=dict)
    number: int = 0
    versions: int = 0
    at_ms: int = 0
    is_collecting: bool = True
    is_alerted: bool = False
    phase_one: tuple[Base, ...] = ()
    excluded: tuple[PointExcluded, ...] = ()
    limits: Frozen | None = None
    points: tuple[Point, ...] = ()

    @property
    def key(self) -> str:
        """What tells it from the line's other charts."""
        return chart_key(self.cell, self.item, self.characteristic)

    @property
    def kept(self) -> tuple[Base, ...]:
        """The points of phase I that count."""
        out = {one.point for one in self.excluded}
        return tuple(base for base in self.phase_one if base.number not in out)


class Context(State):
    """What a cell has loaded."""

    item: str | None = None
    order_id: str | None = None


class LineCharts(State):
    """The charts of one line by key, and what its cells work on by path."""

    line: str
    loaded: dict[str, Context] = Field(default_factory=dict)
    charts: dict[str, ChartState] = Field(default_factory=dict)


def chart_key(cell: str, item: str, characteristic: str) -> str:
    """A chart among those of a line."""
    return f"{cell}/{item}/{characteristic}"
