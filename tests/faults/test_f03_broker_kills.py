"""F3: the broker is killed and forgets what it acknowledged: outboxes make good for it.

The same without an outbox at the source loses events: so the kills do harm, and the outbox is what
makes good for it.
"""

import time
from pathlib import Path
from typing import Final, NamedTuple

from tests.faults.generator import Orders
from tests.faults.nemesis import kill_broker, recovery_figures
from tests.faults.results import record
from tests.faults.rig import Rig, Scene, full

DRAIN_S_MAX: Final = 600.0
BETWEEN_S: Final = 2.0


class Scale(NamedTuple):
    """How much; `bare_kills` for the run without an outbox."""

    kills: int
    bare_kills: int
    rate: float
    lines: int


SCALE: Final = Scale(200, 20, 400, 20) if full() else Scale(4, 3, 200, 8)


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


def test_without_an_outbox_the_same_kills_lose_events(tmp_path: Path) -> None:
    orders = Orders(rate=SCALE.rate, bare=True)
    with Rig(tmp_path, Scene(orders, lines=SCALE.lines)) as rig:
        rig.generate()
        for _ in range(SCALE.bare_kills):
            time.sleep(BETWEEN_S)
            rig.broker.restart()
        rig.enough(DRAIN_S_MAX)
        rig.finish()
        found = rig.audit()
    figures = {
        "kills": SCALE.bare_kills,
        "events": found.made,
        "lost": len(found.lost),
        "wrong": len(found.wrong),
    }
    record("F3b", "the same without an outbox at the source", figures, passed=not found.clean)
    assert not found.clean
