"""One machine: PackML states (ISA-TR88.00.02), the cycle, stops, lots and counts. Pure.

Owns what a cell does next and when. Does not know the other cells: pieces, orders and material
come through `Supply`. Time is an argument, chance is `fate_of`. A machine does at most one thing
a step, and the next is due at a distance from then: a change of context (order, item, lots) and
a change of counters are never closer together than `Pace.quiet_ms`.
"""

from collections.abc import Callable, Iterable, Mapping
from typing import Final, Protocol

from uns.demo.fate import Fate, fate_of
from uns.demo.pace import Pace
from uns.demo.sequences import (
    NO_FAULT,
    POWER_UP,
    RESUME,
    completion,
    interruption,
    set_up,
    suspension,
)
from uns.demo.state import CellState, Finished, Leg, Order, Phase, Result
from uns.demo.station import Station

LACK_TOLERATED_MS: Final = 1_500
SAMPLE_EVERY: Final = 3
SERIAL_START: Final = 1_000_000
EPSILON: Final = 1e-9


class Supply(Protocol):
    """What a cell needs from its line; `index` is the cell's place in the flow."""

    def order_for(self, index: int, now_ms: int) -> Order | None:
        """The order that the cell should be set up for now."""

    def ended(self) -> bool:
        """Whether the running order has all its good pieces."""

    def lack(self, index: int) -> int:
        """Why the cell cannot begin a piece, as a fault code; NO_FAULT when it can."""

    def next_lot(self, index: int) -> str:
        """The lot of the piece that waits before the cell; empty before the first cell."""

    def take(self, index: int) -> str:
        """Take that piece; its lot."""

    def give(self, index: int, lot: str, *, good: bool) -> None:
        """Hand a finished piece on, or throw it away."""

    def component(self, item: str) -> tuple[str, float]:
        """The next lot of a component, and its quantity."""

    def open_lot(self, index: int) -> str:
        """A new lot for what the cell makes."""

    def close_lot(self, index: int, item: str, lot: str, pieces: int) -> None:
        """A lot is complete."""


class Machine:
    """A cell at work. `state` is all that it remembers; `step` moves it on."""

    def __init__(
        self, station: Station, state: CellState, supply: Supply, pace: Pace, seed: int
    ) -> None:
        self.station = station
        self.state = state
        self._index = station.index
        self._supply = supply
        self._pace = pace
        self._seed = seed

    def step(self, now_ms: int) -> Finished | None:
        """Do what is due at `now_ms`, if anything; the piece that it finished, if one."""
        if now_ms < self.state.due_ms:
            return None
        if self.state.legs:
            self._enter(self.state.legs.pop(0), now_ms)
            return None
        return self._ACTS[self.state.phase](self, now_ms)

    # --- through the states

    def _go(self, legs: Iterable[Leg], phase: Phase, now_ms: int) -> None:
        first, *self.state.legs = legs
        self.state.phase = phase
        self._enter(first, now_ms)

    def _enter(self, leg: Leg, now_ms: int) -> None:
        self.state.packml, self.state.fault = leg.packml, leg.fault
        self.state.due_ms = self.state.waiting_since_ms = now_ms + leg.duration_ms
        if leg.effect:
            self._EFFECTS[leg.effect](self)

    def _then(self, phase: Phase, due_ms: int) -> None:
        self.state.phase, self.state.due_ms = phase, due_ms

    def _load(self) -> None:
        state = self.state
        state.order_id, state.item = state.next_order_id, state.next_item
        state.wip_lot = self._supply.next_lot(self._index)
        self._change_lots()

    def _clear(self) -> None:
        self._close_lot()
        self.state.last_item = self.state.item
        self.state.order_id = self.state.item = ""

    # --- what each phase does when it is due

    def _power_up(self, now_ms: int) -> None:
        self._go(POWER_UP, "idle", now_ms)

    def _idle(self, now_ms: int) -> None:
        if order := self._supply.order_for(self._index, now_ms):
            state = self.state
            state.next_order_id, state.next_item = order.order_id, order.item
            changed = order.item != state.last_item
            self._go(set_up(changed=changed, quiet_ms=self._pace.quiet_ms), "wait", now_ms)

    def _wait(self, now_ms: int) -> None:
        if self._supply.ended():
            self._go(completion(self._pace.quiet_ms), "idle", now_ms)
            return
        lack = self._supply.lack(self._index)
        if lack == NO_FAULT:
            self._begin(now_ms)
        elif now_ms - self.state.waiting_since_ms >= LACK_TOLERATED_MS:
            self._go(suspension(lack), "suspended", now_ms)

    def _suspended(self, now_ms: int) -> None:
        if self._supply.ended() or self._supply.lack(self._index) == NO_FAULT:
            self._go(RESUME, "wait", now_ms)

    def _begin(self, now_ms: int) -> None:
        self.state.wip_lot = self._supply.take(self._index)
        self.state.begun += 1
        self.state.piece_at_ms = now_ms
        cycle_ms = self._fate().cycle_ms
        if self._lots_change():
            self._then("change", now_ms + max(cycle_ms // 2, self._pace.quiet_ms))
        elif self._sample_due(now_ms):
            self._then("sample", now_ms + cycle_ms // 2)
        else:
            self._then("finish", now_ms + cycle_ms)

    def _change(self, now_ms: int) -> None:
        self._change_lots()
        self._then("finish", now_ms + max(self._half_cycle_ms(), self._pace.quiet_ms))

    def _sample(self, now_ms: int) -> None:
        self.state.measured = dict(self._fate().measured)
        self.state.samples += 1
        self.state.sampled_at_ms = now_ms
        self._then("finish", now_ms + self._half_cycle_ms())

    def _finish(self, now_ms: int) -> Finished:
        if not self._fate().rework:
            return self._end_piece(now_ms)
        self.state.rework += 1
        self._then("retest", now_ms + self._half_cycle_ms())
        return self._finished(now_ms, "rework")

    def _end_piece(self, now_ms: int) -> Finished:
        fate = self._fate()
        self._count(fate, now_ms)
        self._supply.give(self._index, self.state.lot_out, good=fate.good)
        self.state.waiting_since_ms = now_ms
        self._then("wait", now_ms)
        if fate.stop and not self._supply.ended():
            self._go(interruption(fate.stop), "wait", now_ms)
        return self._finished(now_ms, "good" if fate.good else "scrap")

    # --- pieces and samples

    def _fate(self) -> Fate:
        """What becomes of the piece in work."""
        item = self.state.item
        ideal_ms = self.station.place.cell.ideal_cycle_ms[item]
        limits = self.station.limits(item)
        return fate_of(self.station.habits, ideal_ms, limits, self.state.begun, self._seed)

    def _half_cycle_ms(self) -> int:
        return (self._fate().cycle_ms + 1) // 2

    def _sample_due(self, now_ms: int) -> bool:
        due = self.state.begun % SAMPLE_EVERY == 0 and bool(self.station.limits(self.state.item))
        return due and now_ms - self.state.sampled_at_ms >= self._pace.quiet_ms

    def _count(self, fate: Fate, now_ms: int) -> None:
        state = self.state
        if fate.good:
            state.good += 1
            state.lot_pieces += 1
        else:
            state.scrap += 1
        for tag, need in self.station.needs(state.item).items():
            state.left[tag] -= need.per_piece
        state.cycle_ms = now_ms - state.piece_at_ms
        state.noise = fate.noise

    def _finished(self, now_ms: int, result: Result) -> Finished:
        state = self.state
        numbered = result == "good" and self.station.serialised
        return Finished(
            at_ms=now_ms,
            cell=self.station.path,
            order_id=state.order_id,
            item=state.item,
            result=result,
            good=state.good,
            scrap=state.scrap,
            rework=state.rework,
            lot=state.lot_out,
            serial=serial_of(state) if numbered else None,
        )

    # --- lots

    def _lots_change(self) -> bool:
        """Whether the piece in work needs another lot than the ones that are up."""
        state = self.state
        needs = self.station.needs(state.item)
        used_up = any(self._is_used_up(tag, need.per_piece) for tag, need in needs.items())
        other = any(state.lots_in.get(tag) != state.wip_lot for tag in self.station.wip_tags)
        return used_up or other or state.lot_pieces >= self._pace.lot_pieces

    def _is_used_up(self, tag: str, per_piece: float) -> bool:
        return self.state.left.get(tag, 0.0) + EPSILON < per_piece

    def _change_lots(self) -> None:
        state = self.state
        for tag, need in self.station.needs(state.item).items():
            if self._is_used_up(tag, need.per_piece):
                state.lots_in[tag], state.left[tag] = self._supply.component(need.item)
        for tag in self.station.wip_tags:
            state.lots_in[tag] = state.wip_lot
        if state.lot_pieces >= self._pace.lot_pieces:
            self._close_lot()
        if not state.lot_out:
            state.lot_out = self._supply.open_lot(self._index)

    def _close_lot(self) -> None:
        state = self.state
        self._supply.close_lot(self._index, state.item, state.lot_out, state.lot_pieces)
        state.lot_out, state.lot_pieces = "", 0

    _EFFECTS: Final = {"load": _load, "clear": _clear}
    _ACTS: Final[Mapping[Phase, Callable[["Machine", int], Finished | None]]] = {
        "off": _power_up,
        "idle": _idle,
        "wait": _wait,
        "suspended": _suspended,
        "change": _change,
        "sample": _sample,
        "finish": _finish,
        "retest": _end_piece,
    }


def serial_of(state: CellState) -> int:
    """The last serial number given: one for each good piece."""
    return SERIAL_START + state.good
