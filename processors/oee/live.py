"""A cell as it stands at an instant: everything closed, what is undecided, and the open piece.

A pure reading of the state: nothing is booked, so time may be shown as often as one likes.
"""

from dataclasses import dataclass

from processors.base import replace
from processors.oee.account import Account, Booked
from processors.oee.elements import element_of, is_micro, is_stopped, provisional, timed
from processors.oee.state import CellTime, Piece, ShiftSums, ShiftWindow
from uns.model.kpi import Sums
from uns.model.plant import Place, Plant


@dataclass(frozen=True, slots=True)
class Live:
    """One cell at `at_ms`: its sums with the open interval in them.

    before: the shifts before the current one, oldest first.
    orders: pieces not yet in the line's order sums.
    """

    place: Place
    cell: CellTime
    at_ms: int
    shift: Sums
    before: tuple[ShiftSums, ...]
    orders: tuple[Booked, ...]

    def is_final(self, window: ShiftWindow, final_ms: int) -> bool:
        """Whether a shift ended by `final_ms`, and no time of it waits for its stop's judgement."""
        waits = any(one.piece.window == window for one in self.cell.undecided)
        return window.end_ms <= final_ms and not waits


def live(plant: Plant, place: Place, cell: CellTime, now_ms: int) -> Live:
    """The cell at `now_ms`: the shift is turned if its edge has passed, silently."""
    account = Account(plant, place, cell)
    account.advance_to(now_ms)
    now = account.cell
    pieces = _unbooked(plant, place, now, now_ms)
    *before, current = (_with(shift, pieces) for shift in now.shifts)
    orders = [
        Booked(p.order_id, p.item, sums, now_ms) for p, sums in pieces if p.order_id is not None
    ]
    return Live(
        place=place,
        cell=now,
        at_ms=now_ms,
        shift=current.sums,
        before=tuple(before),
        orders=(*account.booked, *orders),
    )


def _with(shift: ShiftSums, pieces: list[tuple[Piece, Sums]]) -> ShiftSums:
    mine = [sums for piece, sums in pieces if piece.window == shift.window]
    return replace(shift, sums=sum(mine, shift.sums)) if mine else shift


def _unbooked(plant: Plant, place: Place, cell: CellTime, now_ms: int) -> list[tuple[Piece, Sums]]:
    micro = is_micro(place.cell, cell.stop, now_ms)
    pieces = [(one.piece, provisional(plant, one, micro=micro)) for one in cell.undecided]
    element = element_of(plant, cell.open)
    if micro and is_stopped(plant, cell.open):
        element = "apt"
    return [*pieces, (cell.open, timed(cell.open, element, now_ms))]
