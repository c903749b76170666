"""`python -m tests.sim`: 10,000 seeds on every core; `--seed N --trace` prints one of them.

A run of all of them also crashes each process at each of its steps, and notes the figures.
"""

import argparse
import os
import sys
import time
from collections import Counter
from collections.abc import Iterable
from multiprocessing import get_context
from typing import Final

from tests.faults.results import record
from tests.sim.run import Outcome, simulate
from tests.sim.steps import ROLES, crashes

SEEDS: Final = 10_000
SHOWN_MAX: Final = 5


def main() -> int:
    """Run seeds; 1 if one of them found something."""
    asked = _arguments()
    if asked.seed is not None:
        outcome = simulate(asked.seed, keep=asked.trace)
        _say(*outcome.lines, *_told(outcome))
        return bool(outcome.findings)
    seeds = range(asked.first, asked.first + asked.count)
    started_s = time.monotonic()
    with get_context("spawn").Pool(asked.jobs) as pool:
        outcomes = list(_watched(pool.imap_unordered(simulate, seeds, chunksize=10)))
    passed = _sum_up(outcomes, time.monotonic() - started_s, is_full=asked.count >= SEEDS)
    if asked.count >= SEEDS:
        passed &= _crash_everywhere()
    return int(not passed)


def _watched(outcomes: Iterable[Outcome]) -> Iterable[Outcome]:
    for n, outcome in enumerate(outcomes, 1):
        if outcome.findings:
            _say(*_told(outcome))
        elif n % 500 == 0:
            _say(f"{n} seeds")
        yield outcome


def _sum_up(outcomes: list[Outcome], seconds: float, *, is_full: bool) -> bool:
    bad = [outcome.seed for outcome in outcomes if outcome.findings]
    faults = Counter(fault.name for outcome in outcomes for fault in outcome.faults)
    _say(
        "faults: " + ", ".join(f"{name} {times}" for name, times in sorted(faults.items())),
        f"seeds with findings: {len(bad)} {bad[:SHOWN_MAX]}",
    )
    figures = {
        "seeds": len(outcomes),
        "simulated_hours": round(sum(outcome.virtual_s for outcome in outcomes) / 3600, 1),
        "facts": sum(outcome.facts for outcome in outcomes),
        "faults": faults.total(),
        "seeds_with_findings": len(bad),
        "wall_s": round(seconds),
    }
    if is_full:
        record("F24", "all of it in simulated time, by seeds", figures, passed=not bad)
    else:
        _say(str(figures))
    return not bad


def _crash_everywhere() -> bool:
    steps, found = 0, 0
    for role in ROLES:
        for forgetful in (False, True):
            tried, bad = crashes(role, forgetful=forgetful)
            steps, found = steps + tried, found + len(bad)
    figures = {"steps": steps, "steps_with_findings": found}
    record("F2", "runner, historian, source: a crash at every step", figures, passed=not found)
    return not found


def _told(outcome: Outcome) -> list[str]:
    faults = ", ".join(f"{fault.name} at {fault.at_s:.1f} s" for fault in outcome.faults)
    more = [f"  and {len(outcome.findings) - SHOWN_MAX} more"]
    return [
        f"seed {outcome.seed}: {outcome.facts} facts in {outcome.virtual_s:.0f} s; {faults}",
        f"  trace {outcome.digest}",
        *(f"  {finding}" for finding in outcome.findings[:SHOWN_MAX]),
        *(more if len(outcome.findings) > SHOWN_MAX else []),
    ]


def _say(*lines: str) -> None:
    sys.stdout.write("".join(f"{line}\n" for line in lines))
    sys.stdout.flush()


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.sim", description=__doc__)
    parser.add_argument("count", type=int, nargs="?", default=SEEDS, help="how many seeds")
    parser.add_argument("--first", type=int, default=0, help="the first of them")
    parser.add_argument("--jobs", type=int, default=os.cpu_count(), help="processes")
    parser.add_argument("--seed", type=int, help="one seed only")
    parser.add_argument("--trace", action="store_true", help="print all that happened in it")
    return parser.parse_args()


if __name__ == "__main__":
    raise SystemExit(main())
