"""A cell as it stands at an instant: everything closed, what is undecided, and the open piece.

A pure reading of the state: nothing is booked, so time may be shown as often as one likes.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from processors.base import replace
from processors.oee import days as of_days
from processors.oee.account import Account, Booked
from processors.oee.elements import element_in, is_micro, is_stopped, provisional, timed
from processors.oee.state import CellTime, DaySums, Piece, ShiftSums, Tally
from uns.model.kpi import Sums
from uns.model.plant import Place, Plant


@dataclass(frozen=True, slots=True)
class Live:
    """One cell at `at_ms`: its sums with the open interval in them.

    told: the cell as its facts left it: what its sums have is on record as intervals.
    shift, before: the current shift, and those before it, oldest first; days: with the current one.
    orders: pieces not yet in the line's order sums.
    """

    place: Place
    told: CellTime
    cell: CellTime
    at_ms: int
    shift: Sums
    before: tuple[ShiftSums, ...]
    days: tuple[DaySums, ...]
    orders: tuple[Booked, ...]

    @property
    def over(self) -> tuple[ShiftSums | DaySums, ...]:
        """The shifts and days before the current ones."""
        return (*self.before, *self.days[:-1])

    def is_final(self, one: ShiftSums | DaySums, final_ms: int) -> bool:
        """Whether it ended by `final_ms`, and no time of it waits for its stop's judgement."""
        waits = any(one.holds(closed.piece.window) for closed in self.cell.undecided)
        return one.end_ms <= final_ms and not waits

    def closed(self, one_id: str) -> Tally:
        """What of a shift or day is on record as intervals."""
        known: Iterable[ShiftSums | DaySums] = (*self.told.shifts, *self.told.days)
        return next((one for one in known if one.id == one_id), Tally())


def live(plant: Plant, place: Place, cell: CellTime, now_ms: int) -> Live:
    """The cell at `now_ms`: the shift is turned if its edge has passed, silently."""
    account = Account(plant, place, cell)
    account.advance_to(now_ms)
    now = account.cell
    pieces = _unbooked(plant, place, now, now_ms)
    *before, current = (_with(shift, pieces) for shift in now.shifts)
    days = now.days
    for piece, sums in pieces:
        days = of_days.booked(days, piece, sums)
    orders = [
        Booked(p.order_id, p.item, sums, now_ms) for p, sums in pieces if p.order_id is not None
    ]
    return Live(
        place=place,
        told=cell,
        cell=now,
        at_ms=now_ms,
        shift=current.sums,
        before=tuple(before),
        days=days,
        orders=(*account.booked, *orders),
    )


def _with(shift: ShiftSums, pieces: list[tuple[Piece, Sums]]) -> ShiftSums:
    mine = [sums for piece, sums in pieces if shift.holds(piece.window)]
    return replace(shift, sums=sum(mine, shift.sums)) if mine else shift


def _unbooked(plant: Plant, place: Place, cell: CellTime, now_ms: int) -> list[tuple[Piece, Sums]]:
    micro = is_micro(place.cell, cell.stop, now_ms)
    pieces = [
        (one.piece, provisional(plant, cell.stop, one, micro=micro)) for one in cell.undecided
    ]
    element = element_in(plant, cell.stop, cell.open)
    if micro and is_stopped(plant, cell.open):
        element = "apt"
    return [*pieces, (cell.open, timed(cell.open, element, now_ms))]
