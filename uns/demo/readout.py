"""What a cell's tags show: from the state of a machine to values, by the role of each tag. Pure.

The order is the one in which a PLC must write: context, counters, samples, and the state last.
"""

from collections.abc import Callable, Mapping
from typing import Final

from uns.demo.machine import serial_of
from uns.demo.state import CellState
from uns.model.equipment import CODINGS
from uns.model.observation import Scalar
from uns.model.plant import Place, TagSpec

RUNNING: Final = "EXECUTE"
KWH_PER_PIECE: Final = 0.04
BEFORE_ROLLOVER: Final = {"good_count": 12, "scrap_count": 3, "rework_count": 2}
CYCLE_UNIT: Final = "ms"
AT_WORK: Final[Mapping[str, tuple[float, float]]] = {
    "mm/s": (820.0, 30.0),
    "rpm": (7_900.0, 180.0),
    "percent": (63.0, 9.0),
    "A": (12.0, 2.0),
    "kW": (4.2, 0.6),
    "l/min": (38.0, 3.0),
}
ALWAYS: Final[Mapping[str, tuple[float, float]]] = {
    "degC": (61.0, 1.5),
    "bar": (6.1, 0.1),
    "kWh": (1.0, 0.0),
    "Nm": (10.0, 0.0),
}
"""By unit the middle and the spread of process values; the first ones are 0 at rest."""

Show = Callable[[Place, str, TagSpec, CellState], Scalar]


def readout(place: Place, state: CellState) -> dict[str, Scalar]:
    """All tags of a cell by name, in the order to write them."""
    tags = place.cell.tags.items()
    return {
        name: show(place, name, tag, state)
        for role, show in _ROLES.items()
        for name, tag in tags
        if tag.role == role
    }


def _counter(total: int, tag: TagSpec) -> int:
    """A cumulative counter that rolls over soon after the plant was built."""
    if tag.rollover is None:
        return total
    return (tag.rollover - BEFORE_ROLLOVER[tag.role] + total) % tag.rollover


def _value(tag: TagSpec, state: CellState) -> float:
    unit = tag.unit or ""
    if unit == CYCLE_UNIT:
        return float(state.cycle_ms)
    if unit in AT_WORK and state.packml != RUNNING:
        return 0.0
    middle, spread = AT_WORK.get(unit) or ALWAYS.get(unit, (0.0, 1.0))
    if tag.writable:  # a set-point: shown once, then it is whatever was written
        return middle
    return round(middle + spread * state.noise, 2)


def _state(place: Place, state: CellState) -> int:
    coding = CODINGS[place.cell.coding]
    return next(code for code, name in coding.items() if name == state.packml)


_ROLES: Final[Mapping[str, Show]] = {
    "order": lambda _p, _n, _t, state: state.order_id,
    "item": lambda _p, _n, _t, state: state.item,
    "lot_in": lambda _p, name, _t, state: state.lots_in.get(name, ""),
    "lot_out": lambda _p, _n, _t, state: state.lot_out,
    "fault": lambda _p, _n, _t, state: state.fault,
    "characteristic": lambda _p, _n, tag, state: state.measured.get(tag.characteristic or "", 0.0),
    "energy": lambda _p, _n, _t, state: round(
        KWH_PER_PIECE * (state.good + state.scrap + state.rework), 3
    ),
    "value": lambda _p, _n, tag, state: _value(tag, state),
    "good_count": lambda _p, _n, tag, state: _counter(state.good, tag),
    "scrap_count": lambda _p, _n, tag, state: _counter(state.scrap, tag),
    "rework_count": lambda _p, _n, tag, state: _counter(state.rework, tag),
    "serial": lambda _p, _n, _t, state: serial_of(state),
    "sample": lambda _p, _n, _t, state: state.samples,
    "state": lambda place, _n, _t, state: _state(place, state),
}
