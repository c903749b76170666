"""An ideal cycle that cannot be right: a cell is faster than it says, for longer than by chance.

Asked with each count, by item and production day, once there is PRODUCTION_MS_MIN of it: the first
pieces of a day may have been begun before it, and a count may come before its time is over. One
alert for an item of a cell and day. Figures are published raw and capped (documents.py).
"""

from typing import Any, Final

from processors.base import percent, replace, shown
from processors.oee.elements import element_of, timed
from processors.oee.state import ITEMS_MAX, CellTime
from uns.fold import Draft
from uns.model.events import Alerted
from uns.model.kpi import Sums
from uns.model.plant import Place, Plant
from uns.model.reckoning import policy_id

CODE: Final = "ideal-cycle-suspect"
PRODUCTION_MS_MIN: Final = 600_000
PER_CENT_MIN: Final = 105
"""Of the speed that the ideal cycle allows: below this it may be how counts fall."""
MINUTE_MS: Final = 60_000


def suspected(
    plant: Plant, place: Place, cell: CellTime, at_ms: int
) -> tuple[CellTime, tuple[Draft, ...]]:
    """The cell after a count, and an alert where its item is made faster than its cycle allows."""
    item = cell.open.item
    if item is None or item in cell.suspects or not _is_too_fast(plant, cell, at_ms):
        return cell, ()
    alert = Draft(place.path, Alerted.type_name, at_ms, _alert(plant, place, cell, at_ms))
    return replace(cell, suspects=(*cell.suspects, item)[-ITEMS_MAX:]), (alert,)


def _is_too_fast(plant: Plant, cell: CellTime, at_ms: int) -> bool:
    """Whether what the item came to on the current day cannot be, the open piece included."""
    known, piece = _known(cell), cell.open
    apt_ms = known.apt_ms + max(0, at_ms - piece.start_ms)
    fast = (known.ideal_ms + piece.made.ideal_ms) * 100 >= apt_ms * PER_CENT_MIN
    return fast and apt_ms >= PRODUCTION_MS_MIN and element_of(plant, piece) == "apt"


def _known(cell: CellTime) -> Sums:
    tally = cell.days[-1].items.get(cell.open.item or "")
    return tally.sums if tally else Sums()


def _alert(plant: Plant, place: Place, cell: CellTime, at_ms: int) -> dict[str, Any]:
    item, sums = cell.open.item or "", _known(cell) + timed(cell.open, "apt", at_ms)
    effectiveness, minutes = sums.ideal_ms / sums.apt_ms, sums.apt_ms / MINUTE_MS
    cycle_ms = place.cell.ideal_cycle_ms.get(item)
    return {
        "code": CODE,
        "summary": f"{shown(item)} is made at {percent(effectiveness)} % of the speed that its "
        f"ideal cycle of {cycle_ms} ms allows: {sums.pq} pieces in {minutes:.1f} min",
        "evidence": {
            "item": item,
            "day": cell.days[-1].id,
            "ideal_cycle_ms": cycle_ms,
            "pq": sums.pq,
            "ideal_ms": sums.ideal_ms,
            "apt_ms": sums.apt_ms,
            "effectiveness": effectiveness,
            "policy_id": policy_id(plant, place),
        },
    }
