"""F1: processors are killed at any moment while events flow: nothing is lost, nothing doubled."""

from pathlib import Path
from typing import Final, NamedTuple

from tests.faults.generator import Orders
from tests.faults.nemesis import kill_workers, recovery_figures
from tests.faults.results import record
from tests.faults.rig import Rig, Scene, full

DRAIN_S_MAX: Final = 600.0


class Scale(NamedTuple):
    """How much: `make faults` has the acceptance's figures, `make test` a short form.

    p99_s_max: of the recoveries; on a machine that does other things besides, it says little.
    """

    kills: int
    events: int
    rate: float
    p99_s_max: float


SCALE: Final = Scale(1_000, 1_000_000, 400, 5.0) if full() else Scale(8, 4_000, 250, 60.0)


def test_processors_killed(tmp_path: Path) -> None:
    with Rig(tmp_path, Scene(Orders(rate=SCALE.rate), lines_per_worker=2)) as rig:
        rig.generate()
        seconds = kill_workers(rig, SCALE.kills, SCALE.events, seed=1)
        rig.enough(DRAIN_S_MAX)
        rig.finish()
        found, verified = rig.audit(), rig.verified()
    recovery = recovery_figures(seconds)
    passed = found.clean and verified and recovery["recovery_p99_s"] <= SCALE.p99_s_max
    figures = {"kills": len(seconds), **found.figures, **recovery, "verify": verified}
    record("F1", "processors: kill -9 at random", figures, passed=passed)
    assert found.clean, found
    assert verified
    assert recovery["recovery_p99_s"] <= SCALE.p99_s_max
    assert not [end for worker in rig.workers for end in worker.uncaused]
