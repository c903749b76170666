"""F6: the store is away while events queue: memory stays bounded, and the record catches up.

Catching up is measured at the record: events of the generator stored a second since the store came
back, over those made a second meanwhile, which go on being made.
"""

import signal
import time
from pathlib import Path
from typing import Final, NamedTuple

import pytest

from tests.faults.generator import Orders
from tests.faults.nemesis import memory, until_made
from tests.faults.results import record
from tests.faults.rig import Rig, Scene, full
from tests.stores import installation
from tools.postgres import Server

DRAIN_S_MAX: Final = 1_800.0
WAITING_MAX: Final = 2_000_000
MEGABYTE: Final = 1_000_000
RSS_MB_MAX: Final = {"historian": 200, "generator": 250, "broker": 1_200}
"""The historian's, whatever is queued: 65 as it starts, 16 in its inbox, two batches of 4 with
their rows beside the messages, some 30; half as much again for what the allocator does not give
back. The broker's is its queue, 256 MiB for one session, and what it keeps of each message."""


class Scale(NamedTuple):
    """How many events queue, and at which rates they are made.

    rate: before and after, events a second; that is live. queue_rate: while the store is away.
    catch_up_min: in multiples of that rate; the first seconds, until the store is found again, are
        part of it, so the short form says little.
    """

    queued: int
    rate: float
    queue_rate: float
    before: int
    lines: int
    catch_up_min: float


SCALE: Final = (
    Scale(500_000, 200, 1_200, 10_000, 20, 3.0) if full() else Scale(3_000, 200, 400, 500, 8, 1.0)
)


@pytest.mark.postgres
def test_store_away_while_events_queue(tmp_path: Path) -> None:
    orders = Orders(rate=SCALE.rate, rush=SCALE.queue_rate, waiting_max=WAITING_MAX)
    with (
        Server(installation("postgresql")) as server,
        Rig(tmp_path, Scene(orders, lines=SCALE.lines, store=server.dsn)) as rig,
        memory(rig) as most,
    ):
        rig.generate()
        until_made(rig, SCALE.before)
        server.stop(signal.SIGQUIT)
        rig.generator.signal(signal.SIGUSR1)
        until_made(rig, SCALE.before + SCALE.queued)
        rig.generator.signal(signal.SIGUSR2)
        server.start()
        times_live = caught_up(rig) / SCALE.rate
        rig.enough(DRAIN_S_MAX)
        rig.finish()
        found, verified = rig.audit(), rig.verified()
    used = {name: round(most[name] / MEGABYTE) for name in RSS_MB_MAX}
    bounded = all(used[name] <= limit for name, limit in RSS_MB_MAX.items())
    figures = {
        "queued": SCALE.queued,
        **found.figures,
        "catch_up_times_live": round(times_live, 1),
        **{f"{name}_rss_mb": megabytes for name, megabytes in used.items()},
        "verify": verified,
    }
    passed = found.clean and verified and bounded and times_live >= SCALE.catch_up_min
    record("F6", "store down while events queue", figures, passed=passed)
    assert found.clean, found
    assert verified
    assert bounded, used
    assert times_live >= SCALE.catch_up_min


def caught_up(rig: Rig) -> float:
    """Events of the generator stored a second, from now until the record is where the line is."""

    def stored() -> int:
        return sum(seq for source, (_, seq, _) in rig.watch.stored.items() if source[:4] == "plc:")

    since_s, before = time.monotonic(), stored()
    waiting = rig.heads.read().total()
    rig.watch.until(lambda: stored() >= waiting, DRAIN_S_MAX, "the record has caught up")
    return (stored() - before) / (time.monotonic() - since_s)
