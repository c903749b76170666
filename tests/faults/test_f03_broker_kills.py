"""F3: the broker is killed and forgets what it acknowledged: outboxes make good for it.

The same without an outbox at the source loses events, and says which: that is what the outbox is
for, and that the kills do harm at all.
"""

import time
from pathlib import Path
from typing import Final, NamedTuple

from tests.faults.auditor import Audit
from tests.faults.generator import Orders
from tests.faults.nemesis import kill_broker, recovered, recovery_figures
from tests.faults.results import record
from tests.faults.rig import Rig, Scene, full

DRAIN_S_MAX: Final = 600.0
HOLES_S_MAX: Final = 300.0
BETWEEN_S: Final = 2.0


class Scale(NamedTuple):
    """How much; `bare_kills` for the run without an outbox."""

    kills: int
    bare_kills: int
    rate: float
    lines: int


SCALE: Final = Scale(200, 20, 400, 20) if full() else Scale(8, 3, 200, 8)


def test_broker_killed(tmp_path: Path) -> None:
    with Rig(tmp_path, Scene(Orders(rate=SCALE.rate), lines=SCALE.lines)) as rig:
        rig.generate()
        seconds = kill_broker(rig, SCALE.kills, seed=3)
        rig.enough(DRAIN_S_MAX)
        rig.finish()
        found, verified = rig.audit(), rig.verified()
    figures = {"kills": len(seconds), **found.figures, **recovery_figures(seconds)}
    passed = found.clean and verified
    record(
        "F3",
        "broker: kill -9, its default persistence",
        figures | {"verify": verified},
        passed=passed,
    )
    assert found.clean, found
    assert verified


def test_without_an_outbox_the_same_kills_lose_events_and_each_loss_is_said(tmp_path: Path) -> None:
    with Rig(tmp_path, Scene(Orders(rate=SCALE.rate, bare=True), lines=SCALE.lines)) as rig:
        rig.generate()
        for _ in range(SCALE.bare_kills):
            time.sleep(BETWEEN_S)
            rig.broker.restart()
        recovered(rig, rig.passing(*rig.workers), HOLES_S_MAX)
        passing = rig.passing(*rig.workers)
        rig.enough(DRAIN_S_MAX)
        recovered(rig, passing, HOLES_S_MAX)
        rig.finish()
        found = rig.audit()
    silent = unsaid(found)
    figures = {"kills": SCALE.bare_kills, **found.figures, "lost_without_a_gap": len(silent)}
    record("F3b", "the same without an outbox", figures, passed=bool(found.lost) and not silent)
    assert found.lost
    assert not silent, silent[:5]


def unsaid(found: Audit) -> list[str]:
    """Lost events that no gap speaks of."""
    said = {
        (source.partition(":")[2], seq)
        for source, _epoch, first, last, _seen_by in found.gaps
        for seq in range(first, last + 1)
    }
    places = ((event_id.rpartition(":"), event_id) for event_id in found.lost)
    return [event_id for (line, _, n), event_id in places if (line, int(n)) not in said]
