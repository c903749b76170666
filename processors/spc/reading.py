"""What a sample says to a chart: a measurement, a count, or why it is left out."""

from collections.abc import Mapping
from typing import NamedTuple

from processors.spc.state import Left
from uns.model.events import Inspected
from uns.model.spc.limits import Subgroup
from uns.model.spc.settings import COUNTED, SIZED, VALUE_MAX, Chart


class LeftOut(NamedTuple):
    """Why a sample makes no point."""

    why: Left


def read(chart: Chart, characteristic: str, event: Inspected) -> float | Subgroup | LeftOut | None:
    """A measurement, a counted subgroup, or why neither; None if the sample is about others."""
    if characteristic not in event.values:
        return None
    named = [characteristic, *([chart.size] if chart.size else [])]
    if set(named) & set(event.uncertain):
        return LeftOut("uncertain")
    values = [event.values.get(name) for name in named]
    told = [value for value in values if value is not None]
    if len(told) < len(values):
        return LeftOut("missing")
    if any(abs(value) > VALUE_MAX for value in told):
        return LeftOut("impossible")
    if chart.kind not in COUNTED:
        return told[0]
    return _counted(chart, told[0], told[1] if chart.size else _size(chart))


def _size(chart: Chart) -> float:
    return float(chart.n) if chart.kind in SIZED else 1.0


def _counted(chart: Chart, count: float, size: float) -> Subgroup | LeftOut:
    if size == 0:
        return LeftOut("empty")
    is_of_pieces = chart.kind in ("p", "np")
    is_possible = count >= 0 and count == int(count) and size > 0
    if is_of_pieces and (size != int(size) or count > size):
        is_possible = False
    return Subgroup(size, count) if is_possible else LeftOut("impossible")


def counted_up(left_out: Mapping[Left, int], why: Left, by: int = 1) -> dict[Left, int]:
    """The tally with some more left out."""
    return {**left_out, why: left_out.get(why, 0) + by}
