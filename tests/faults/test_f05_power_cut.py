"""F5: power cuts of outboxes, broker and store. What was acknowledged as on record stays there."""

import os
import random
import time
from pathlib import Path
from typing import Final

import pytest

from tests.faults.generator import Orders
from tests.faults.nemesis import recovered, recovery_figures
from tests.faults.power import mains, missing
from tests.faults.results import record
from tests.faults.rig import Rig, Scene, full
from tests.stores import STORES

CUTS: Final = int(os.environ.get("UNS_FAULT_CUTS", "500" if full() else "3"))
"""Power cuts for each of the two stores."""
HASTY_EVERY: Final = 3
"""Each so-many-th cut comes while everything is still starting."""
HASTY_S_MAX: Final = 1.5
CALM_S: Final = (0.1, 1.0)
DRAIN_S_MAX: Final = 600.0
SEED: Final = 5
ENDLESS: Final = 10**9


@pytest.mark.parametrize("store", STORES[:2])
def test_nothing_acknowledged_is_lost_by_power_cuts(tmp_path: Path, store: str) -> None:
    chance, seconds, gone = random.Random(SEED), list[float](), list[str]()
    scene = Scene(Orders(ENDLESS, rate=150), lines=2)
    with mains(tmp_path, scene, store, SEED) as power:
        rig = power.rig
        rig.generate()
        for number in range(1, CUTS + 1):
            if number % HASTY_EVERY:
                seconds.append(flowing(rig))
                print(f"cut {number}: flowing after {seconds[-1]:.1f} s")  # noqa: T201 - a figure for the reader
                time.sleep(chance.uniform(*CALM_S))
            else:
                time.sleep(chance.uniform(0, HASTY_S_MAX))
            power.cut()
            power.start_store()
            gone += missing(rig.store, rig.watch.stored)
            power.restore()
        seconds.append(flowing(rig))
        rig.enough(DRAIN_S_MAX)
        rig.finish()
        found, verified = rig.audit(), rig.verified()
    figures = {
        "cuts": CUTS,
        "acknowledged_and_missing": len(gone),
        **found.figures,
        **recovery_figures(seconds),
        "verify": verified,
    }
    passed = not gone and found.clean and verified
    record("F5", f"power cut of outboxes, broker and {store}", figures, passed=passed)
    assert not gone
    assert found.clean, found
    assert verified


def flowing(rig: Rig) -> float:
    """Wait until events made from now on are folded everywhere; seconds."""
    return recovered(rig, rig.passing(*rig.workers))
