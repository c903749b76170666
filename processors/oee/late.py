"""When figures are final, and what a fact that comes after that corrects.

Event time is what facts say, never the clock: a tick could not be replayed. A shift is final once
the event time of its line, less the lateness that the plant allows, has passed its end. While a
cell is unknown (its link is down, its facts may be kept somewhere), and then until it has caught
up, only its own facts count. What is final stays final: what changes it later is a correction.
"""

from typing import NamedTuple

from processors.base import replace
from processors.oee.live import live
from processors.oee.state import CellTime
from uns.model.equipment import UNKNOWN
from uns.model.plant import Place, Plant


class Stamp(NamedTuple):
    """When a fact was, and the event time of its line before it came."""

    at_ms: int
    heard_ms: int


def final_until(plant: Plant, cell: CellTime, heard_ms: int) -> int:
    """What ended by this instant is final, `heard_ms` being the event time of the line."""
    line_ms = 0 if cell.waits else heard_ms
    return max(cell.final_ms, line_ms - plant.policy.lateness_ms_max)


def taken(plant: Plant, place: Place, before: CellTime, after: CellTime, stamp: Stamp) -> CellTime:
    """The cell after a fact: how far it is final, and what the fact corrected."""
    final_ms = final_until(plant, before, stamp.heard_ms)
    settled = _caught_up(plant, before, after, stamp)
    if stamp.at_ms >= final_ms:
        return settled
    return corrected(plant, place, before, settled, stamp.heard_ms)


def corrected(
    plant: Plant, place: Place, before: CellTime, after: CellTime, heard_ms: int
) -> CellTime:
    """The cell with a correction more for each shift and day that was final and has other sums."""
    final_ms = final_until(plant, before, heard_ms)
    was = live(plant, place, before, heard_ms)
    known = {one.id: one.sums for one in was.over if was.is_final(one, final_ms)}
    counts = dict(before.corrections)
    for one in live(plant, place, after, heard_ms).over:
        if known.get(one.id, one.sums) != one.sums:
            counts[one.id] = counts.get(one.id, 0) + 1
    shown = {one.id for one in was.over}
    return replace(after, corrections={key: n for key, n in counts.items() if key in shown})


def _caught_up(plant: Plant, before: CellTime, after: CellTime, stamp: Stamp) -> CellTime:
    """The cell with what is final by its own facts, where it does not go with its line."""
    lateness_ms = plant.policy.lateness_ms_max
    behind = before.waits and stamp.at_ms + lateness_ms < stamp.heard_ms
    if behind or after.open.state == UNKNOWN:
        final_ms = final_until(plant, before, stamp.heard_ms)
        own_ms = max(final_ms, stamp.at_ms - lateness_ms)
        return replace(after, waits=True, final_ms=own_ms)
    return replace(after, waits=False) if before.waits else after
