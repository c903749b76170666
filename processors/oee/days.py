"""A cell's production days: their sums, and those of the items made on them.

A production day is all windows that open on a local day, its night shift included. What belongs to
a day that is no longer kept is in history only, as an item beyond ITEMS_MAX is.
"""

from processors.base import replace
from processors.oee.state import DAYS_KEPT, ITEMS_MAX, DaySums, Piece, ShiftWindow, Tally
from uns.model.kpi import Sums

Days = tuple[DaySums, ...]


def opened(days: Days, window: ShiftWindow) -> Days:
    """The days, the last of which reaches to the end of a window that opens."""
    if days and days[-1].holds(window):
        return (*days[:-1], replace(days[-1], end_ms=window.end_ms))
    new = DaySums(id=window.day, start_ms=window.start_ms, end_ms=window.end_ms)
    return (*days[-DAYS_KEPT:], new)


def booked(days: Days, piece: Piece, sums: Sums) -> Days:
    """The days with one interval more."""
    return tuple(_plus(day, piece.item, sums) if day.holds(piece.window) else day for day in days)


def _plus(day: DaySums, item: str | None, sums: Sums) -> DaySums:
    whole = day.plus(sums)
    if item is None or (item not in day.items and len(day.items) >= ITEMS_MAX):
        return whole
    return replace(whole, items={**day.items, item: day.items.get(item, Tally()).plus(sums)})
