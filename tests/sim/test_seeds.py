"""The first seeds of the simulation: whatever goes wrong, nothing is lost and nothing counts twice.

`make sim` runs 10,000 of them. A seed that finds something is the bug report: `python -m tests.sim
--seed N --trace` shows all that happened.
"""

import asyncio
import os
import subprocess
import sys
from typing import Final

import pytest

from tests.sim.nemesis import FAULTS
from tests.sim.run import plan_of, run, simulate
from tests.sim.tally import CELLS
from tests.sim.world import AGAIN_S, Plan, World

SEEDS: Final = 200
CHUNK: Final = 20
SAME: Final = (0, 7, 12)
ONCE_STUCK: Final = {
    "two claims of one epoch, of which each owner saw the other's": (3848, 5105),
    "a runner whose window was full of what waited for what was lost": (7048,),
}


@pytest.mark.parametrize("first", range(0, SEEDS, CHUNK))
def test_no_seed_finds_anything(first: int) -> None:
    found = {}
    for seed in range(first, first + CHUNK):
        outcome = simulate(seed)
        assert outcome.facts
        if outcome.findings:
            found[seed] = outcome.findings[:3]
    assert not found


@pytest.mark.parametrize("seeds", ONCE_STUCK.values(), ids=ONCE_STUCK)
def test_what_was_stuck_once_gets_live_again(seeds: tuple[int, ...]) -> None:
    assert [simulate(seed).findings for seed in seeds] == [[] for _ in seeds]


def test_a_role_that_nobody_runs_any_more_runs_again_whoever_ended_last() -> None:
    async def script(world: World) -> None:
        first, second = world.of("runner-housing")
        await asyncio.sleep(2.0)
        world.start(second)
        await first.over(within_s=10.0)
        assert second.task
        assert not first.runs
        second.task.cancel()
        await second.over(within_s=10.0)
        await asyncio.sleep(2 * AGAIN_S)
        assert first.runs

    assert not run(Plan(1, tuple(CELLS)[:1]), script).findings


def test_the_seeds_use_every_fault() -> None:
    used = {fault.name for seed in range(SEEDS) for fault in plan_of(seed)[1]}
    assert used == set(FAULTS)


@pytest.mark.parametrize("seed", SAME)
def test_one_seed_gives_one_trace(seed: int) -> None:
    first, second = simulate(seed, keep=True), simulate(seed, keep=True)
    assert first.lines == second.lines
    assert first.digest == second.digest
    assert simulate(seed + 1).digest != first.digest


def test_a_trace_is_the_same_in_another_process() -> None:
    told = [_trace_elsewhere(SAME[0], hash_seed) for hash_seed in ("1", "2")]
    assert told[0] == told[1] == simulate(SAME[0]).digest


def _trace_elsewhere(seed: int, hash_seed: str) -> str:
    code = f"from tests.sim.run import simulate; print(simulate({seed}).digest)"
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "PYTHONHASHSEED": hash_seed},
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    return done.stdout.strip()
