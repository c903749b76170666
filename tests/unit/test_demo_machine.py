"""The simulated plant in virtual time: repeatable, conserving, and lively enough for a demo."""

from collections import Counter, defaultdict
from itertools import pairwise

import pytest

from tests.simulated import START_MS, VirtualPlant, example_plant
from uns.demo.fate import Habits, fate_of
from uns.demo.pace import Pace
from uns.model.equipment import OPC30060, PACKTAGS
from uns.model.observation import Scalar
from uns.model.plant import Role, TagSpec

PLANT = example_plant()
LINES = list(PLANT.lines)
LAST_CELL = {path: places[-1].path for path, places in PLANT.lines.items()}
PACK = "acme/berlin/assembly/packing/pack"
TEST = "acme/berlin/assembly/pump/test"
PRESS = "acme/berlin/assembly/pump/press"
MINUTE_MS = 60_000
CONTEXT: tuple[Role, ...] = ("order", "item", "lot_in", "lot_out")
COUNTS: tuple[Role, ...] = ("good_count", "scrap_count", "serial")

LEGAL = {
    "STOPPED": {"RESETTING"},
    "RESETTING": {"IDLE"},
    "IDLE": {"STARTING"},
    "STARTING": {"EXECUTE"},
    "EXECUTE": {"COMPLETING", "HOLDING", "SUSPENDING", "ABORTING"},
    "COMPLETING": {"COMPLETE"},
    "COMPLETE": {"RESETTING"},
    "HOLDING": {"HELD"},
    "HELD": {"UNHOLDING"},
    "UNHOLDING": {"EXECUTE"},
    "SUSPENDING": {"SUSPENDED"},
    "SUSPENDED": {"UNSUSPENDING"},
    "UNSUSPENDING": {"EXECUTE"},
    "ABORTING": {"ABORTED"},
    "ABORTED": {"CLEARING"},
    "CLEARING": {"STOPPED"},
}
"""Transitions of ISA-TR88.00.02, those that a machine may take from each state."""


def tags_with(cell: str, roles: tuple[Role, ...]) -> dict[str, TagSpec]:
    tags = PLANT.cells[cell].cell.tags
    return {name: tag for name, tag in tags.items() if tag.role in roles}


def values_of(shown: dict[str, Scalar], cell: str, roles: tuple[Role, ...]) -> tuple[Scalar, ...]:
    return tuple(shown[name] for name in tags_with(cell, roles))


# --- repeatable


def test_the_same_seed_gives_the_same_pieces() -> None:
    first, again = (VirtualPlant(PLANT, seed=7).run(2 * MINUTE_MS) for _ in range(2))
    assert first == again
    assert len(first) > 100
    assert VirtualPlant(PLANT, seed=8).run(2 * MINUTE_MS) != first


def test_a_slow_tick_changes_nothing() -> None:
    quick, slow = VirtualPlant(PLANT), VirtualPlant(PLANT)
    slow._tick_ms *= 2
    assert slow.run(MINUTE_MS) == quick.run(MINUTE_MS)


def test_a_restart_changes_no_piece_and_no_number() -> None:
    whole = VirtualPlant(PLANT).run(3 * MINUTE_MS)
    before = VirtualPlant(PLANT)
    before.run(MINUTE_MS)
    after = VirtualPlant(PLANT, state=before.simulation.state)
    after.now_ms = before.now_ms
    after.run(2 * MINUTE_MS)
    for cell in PLANT.cells:
        told = [(f.result, f.good, f.scrap) for f in whole if f.cell == cell]
        pieces = [*before.log, *after.log]
        retold = [(f.result, f.good, f.scrap) for f in pieces if f.cell == cell]
        shared = min(len(told), len(retold))
        assert retold[:shared] == told[:shared]
        assert shared > 60


def test_a_plant_that_stalled_has_slept() -> None:
    plant = VirtualPlant(PLANT)
    plant.run(MINUTE_MS // 2)
    plant.now_ms += 10 * MINUTE_MS
    assert len(plant.simulation.advance(plant.now_ms)) <= len(PLANT.cells)


# --- PackML and the discipline of a PLC


def test_every_change_of_state_is_one_that_packml_allows() -> None:
    plant = VirtualPlant(PLANT)
    last = dict.fromkeys(PLANT.cells, "STOPPED")
    seen = Counter[str]()
    for _ in plant.ticks(10 * MINUTE_MS):
        for machine in plant.simulation.machines:
            path, state = machine.station.path, machine.state.packml
            if state != last[path]:
                assert state in LEGAL[last[path]], f"{path}: {last[path]} -> {state}"
                last[path] = state
                seen[state] += 1
    assert set(seen) == set(LEGAL)


@pytest.mark.parametrize("speed", [1.0, 5.0, 20.0])
def test_context_and_counts_never_change_close_together(speed: float) -> None:
    plant = VirtualPlant(PLANT, speed=speed)
    least_ms = round(400 * speed)
    changed_ms = dict.fromkeys(PLANT.cells, 0)
    counted_ms = dict.fromkeys(PLANT.cells, 0)
    before = plant.shown()
    rolls = 0
    for now_ms in plant.ticks(round(3 * MINUTE_MS * speed)):
        shown = plant.shown()
        for cell in PLANT.cells:
            old, new = before[cell], shown[cell]
            if values_of(old, cell, COUNTS) != values_of(new, cell, COUNTS):
                counted_ms[cell] = now_ms
                assert now_ms - changed_ms[cell] >= least_ms, cell
            if values_of(old, cell, CONTEXT) != values_of(new, cell, CONTEXT):
                changed_ms[cell] = now_ms
                assert now_ms - counted_ms[cell] >= least_ms, cell
                rolls += 1
        before = shown
    assert rolls > 20


def test_a_sample_is_of_the_lot_that_its_piece_is_counted_in() -> None:
    plant = VirtualPlant(PLANT)
    pending: dict[str, str] = {}
    samples = {m.station.path: 0 for m in plant.simulation.machines}
    seen = 0
    logged = 0
    for _ in plant.ticks(5 * MINUTE_MS):
        for finished in plant.log[logged:]:
            if finished.result != "rework" and finished.cell in pending:
                assert finished.lot == pending.pop(finished.cell)
                seen += 1
        logged = len(plant.log)
        for machine in plant.simulation.machines:
            if machine.state.samples != samples[machine.station.path]:
                samples[machine.station.path] = machine.state.samples
                pending[machine.station.path] = machine.state.lot_out
    assert seen > 100


def test_tags_show_the_coding_of_their_cell_and_context_before_counts() -> None:
    plant = VirtualPlant(PLANT)
    plant.run(MINUTE_MS // 4)
    for machine in plant.simulation.machines:
        shown = plant.shown()[machine.station.path]
        tags = machine.station.place.cell.tags
        coding = OPC30060 if machine.station.path == PACK else PACKTAGS
        assert coding[int(shown["state"] or 0)] == machine.state.packml
        assert set(shown) == set(tags)
        roles = [tags[name].role for name in shown]
        assert roles.index("order") < roles.index("good_count")
        assert roles[-1] == "state"


# --- conservation


def test_pieces_are_conserved_from_cell_to_cell() -> None:
    plant = VirtualPlant(PLANT)
    for _ in plant.ticks(5 * MINUTE_MS):
        for line in plant.simulation.state.lines.values():
            assert all(len(buffer) <= 4 for buffer in line.buffers)
        for places in PLANT.lines.values():
            cells = [plant.simulation.state.cells[place.path] for place in places]
            buffers = plant.simulation.state.lines[places[0].line_path].buffers
            for i, (upstream, downstream) in enumerate(pairwise(cells), 1):
                assert upstream.good == downstream.begun + len(buffers[i])
            for cell in cells:
                assert cell.begun - cell.good - cell.scrap in (0, 1)


def test_a_finished_order_has_exactly_its_quantity() -> None:
    plant = VirtualPlant(PLANT)
    quantities = dict[str, int]()
    for _ in plant.ticks(5 * MINUTE_MS):
        for line in plant.simulation.state.lines.values():
            if line.running:
                quantities[line.running.order_id] = line.running.quantity
    running = {
        line.running.order_id for line in plant.simulation.state.lines.values() if line.running
    }
    made = Counter(
        f.order_id for f in plant.log if f.cell in LAST_CELL.values() and f.result == "good"
    )
    finished = {order: n for order, n in quantities.items() if order not in running}
    assert {order: made[order] for order in finished} == finished
    assert len(finished) > 12


def test_log_totals_count_every_piece_once_and_serials_have_no_hole() -> None:
    log = VirtualPlant(PLANT).run(5 * MINUTE_MS)
    totals: dict[str, Counter[str]] = defaultdict(Counter)
    for finished in log:
        totals[finished.cell][finished.result] += 1
        counted = totals[finished.cell]
        assert (finished.good, finished.scrap, finished.rework) == (
            counted["good"], counted["scrap"], counted["rework"],
        )  # fmt: skip
    serials = [f.serial for f in log if f.serial is not None]
    assert serials == list(range(serials[0], serials[0] + totals[TEST]["good"]))
    assert {f.cell for f in log if f.serial is not None} == {TEST}


def test_lots_are_unique_short_and_used_no_more_than_there_was() -> None:
    plant = VirtualPlant(PLANT)
    owners: dict[str, str] = {}
    before = dict.fromkeys(PLANT.cells, "")
    for _ in plant.ticks(5 * MINUTE_MS):
        for cell, shown in plant.shown().items():
            (lot,) = values_of(shown, cell, ("lot_out",))
            if lot and lot != before[cell]:
                assert str(lot) not in owners, f"{lot} was given twice"
                owners[str(lot)] = cell
            before[cell] = str(lot)
            assert all(len(str(value)) <= 15 for value in values_of(shown, cell, CONTEXT))
    assert len(owners) > 100


def test_the_press_uses_what_the_washing_machine_made() -> None:
    plant = VirtualPlant(PLANT)
    made = Counter[str]()
    used = Counter[str]()
    begun = 0
    for _ in plant.ticks(5 * MINUTE_MS):
        press = plant.simulation.state.cells[PRESS]
        if press.good + press.scrap > begun:
            begun = press.good + press.scrap
            used[press.lots_in["housing-lot"]] += 1
    for finished in plant.log:
        if finished.cell.endswith("/wash") and finished.result == "good":
            made[finished.lot] += 1
    washed = {lot: n for lot, n in used.items() if lot in made}
    assert len(washed) > 3
    assert all(n <= made[lot] for lot, n in washed.items())


# --- lively: what one minute must show


@pytest.mark.parametrize("seed", range(1, 21))
def test_every_line_completes_its_first_order_in_a_minute(seed: int) -> None:
    plant = VirtualPlant(PLANT, seed=seed)
    first = {line: plant_order(plant, line) for line in LINES}
    log = plant.run(MINUTE_MS)
    for line, (order_id, quantity) in first.items():
        good = [f for f in log if (f.cell, f.order_id) == (LAST_CELL[line], order_id)]
        done_ms = [f.at_ms for f in good if f.result == "good"]
        assert len(done_ms) == quantity
        assert done_ms[-1] - START_MS < 50_000


def plant_order(plant: VirtualPlant, line: str) -> tuple[str, int]:
    plant.simulation.plan(plant.now_ms)
    order = plant.simulation.state.lines[line].waiting[0]
    return order.order_id, order.quantity


@pytest.mark.parametrize("seed", range(1, 21))
def test_a_minute_has_bad_samples_short_stops_a_breakdown_and_a_change_over(seed: int) -> None:
    plant = VirtualPlant(PLANT, seed=seed)
    failed = Counter[str]()
    samples = dict.fromkeys(PLANT.cells, 0)
    stops: dict[str, list[tuple[int, int, int]]] = defaultdict(list)
    since: dict[str, tuple[int, int]] = {}
    for now_ms in plant.ticks(MINUTE_MS):
        for machine in plant.simulation.machines:
            path, state = machine.station.path, machine.state
            if state.samples != samples[path]:
                samples[path] = state.samples
                limits = machine.station.limits(state.item)
                failed[path] += any(
                    not (one.lower or 0) <= state.measured[name] <= (one.upper or 1e9)
                    for name, one in limits.items()
                )
            if state.packml in ("ABORTING", "HOLDING", "STARTING") and path not in since:
                since[path] = (state.fault, now_ms)
            elif state.packml == "EXECUTE" and path in since:
                fault, start_ms = since.pop(path)
                stops[path].append((fault, start_ms, now_ms - start_ms))
    assert all(any(failed[place.path] for place in places) for places in PLANT.lines.values())
    every = [stop for found in stops.values() for stop in found]
    breakdowns = [length for fault, _, length in every if 11 <= fault <= 13]
    assert breakdowns
    assert all(6_000 <= length <= 10_000 for length in breakdowns)
    micro = [length for fault, _, length in every if fault in (21, 22)]
    assert len(micro) >= 3
    assert all(2_000 <= length < 4_500 for length in micro)
    assert any(fault == 31 for fault, _, _ in every)


def test_counters_roll_over_within_a_minute_and_rework_happens() -> None:
    plant = VirtualPlant(PLANT)
    before = plant.shown()
    rolled = set()
    for _ in plant.ticks(MINUTE_MS):
        shown = plant.shown()
        for cell in PLANT.cells:
            for name in tags_with(cell, ("good_count",)):
                if int(shown[cell][name] or 0) < int(before[cell][name] or 0):
                    rolled.add(cell)
        before = shown
    assert rolled == set(PLANT.cells)
    assert plant.simulation.state.cells[TEST].rework > 0


def test_a_fate_depends_on_seed_cell_and_number_alone() -> None:
    habits = Habits(PACK, 0, drifts=True, breaks_down=True, reworks=False)
    limits = PLANT.items["carton-a"].specifications["pack"].characteristics
    fates = [fate_of(habits, 1_000, limits, n, seed=3) for n in range(1, 121)]
    assert fates == [fate_of(habits, 1_000, limits, n, seed=3) for n in range(1, 121)]
    outside = [n for n, f in enumerate(fates, 1) if not 2.4 <= f.measured["weight"] <= 2.6]
    assert set(outside) <= {*range(7, 13), *range(67, 73)}
    assert all(not fates[n - 1].good for n in outside)
    assert [n for n, f in enumerate(fates, 1) if f.stop and f.stop.breakdown] == [5, 65]


def test_large_speeds_make_larger_lots() -> None:
    assert [Pace(speed).lot_pieces for speed in (0.5, 1.0, 3.0, 30.0)] == [8, 8, 8, 80]
