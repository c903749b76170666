"""F12: clocks that are wrong: a source an hour off, or in 1970; and the hours that are moved.

The source's clock is injected: it is the one of its events. Durations of a source that jumps are
what it says they are, so the auditor leaves those sums out, and asks that none is negative.
"""

from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import pytest

from tests.faults.auditor import Audit, rows
from tests.faults.disorder import Disorder
from tests.faults.generator import Orders
from tests.faults.results import record
from tests.faults.rig import Rig, Scene, full
from uns.runtime.clock import PlantClock, save_clock, wall_ms

HOUR_MS: Final = 3_600_000
EVENTS: Final = 50_000 if full() else 1_200
DRAIN_S_MAX: Final = 900.0
SPEED: Final = 60.0
BEFORE_MS: Final = 120_000
"""How long before the change of the hour a run begins: two wall seconds."""
CHANGES: Final = {
    "autumn": datetime(2027, 10, 31, 1, tzinfo=UTC),
    "spring": datetime(2027, 3, 28, 1, tzinfo=UTC),
}
"""When clocks change in the plant's time zone."""
OFF_MS: Final = (HOUR_MS, 0, -HOUR_MS, 0, HOUR_MS - wall_ms(), 0)
"""How far the source's clock is off, one after the other: ahead, behind, in 1970."""
_NEGATIVE: Final = """
    SELECT count(*) FROM (
        SELECT sum((payload->>'end_ms')::bigint - (payload->>'start_ms')::bigint) AS ms
        FROM events WHERE type = 'oee-interval'
        GROUP BY path, payload->>'shift_id', payload->>'element')
    WHERE ms < 0"""
"""Time of a cell, shift and element. A late fact takes back time by an interval that runs backward,
which together with what it corrects is never less than nothing."""
OF_TIMES: Final = ("state_ms", "stops")
"""What the auditor works out from the times of events."""


@pytest.mark.parametrize("change", CHANGES)
def test_summer_time_begins_and_ends(tmp_path: Path, change: str) -> None:
    rig = Rig(tmp_path, Scene(Orders(EVENTS, rate=300), lines=1, speed=SPEED))
    begin_ms = int(CHANGES[change].timestamp() * 1000) - BEFORE_MS
    save_clock(rig.folder.root, PlantClock(wall_ms(), begin_ms, SPEED))
    found, negative, verified = endured(rig)
    figures = {**found.figures, "negative_durations": negative, "verify": verified}
    passed = found.clean and not negative and verified
    record("F12", f"the hour changes in {change}", figures, passed=passed)
    assert found.clean, found
    assert not negative
    assert verified


def test_a_source_whose_clock_jumps_and_comes_back(tmp_path: Path) -> None:
    step = EVENTS // (len(OFF_MS) + 1)
    jumps = tuple((step * n, off_ms) for n, off_ms in enumerate(OFF_MS, 1))
    orders = Orders(EVENTS, rate=300, disorder=Disorder(jumps=jumps))
    found, negative, verified = endured(Rig(tmp_path, Scene(orders, lines=1)))
    found.wrong = [said for said in found.wrong if not said.startswith(OF_TIMES)]
    figures = {**found.figures, "negative_durations": negative, "verify": verified}
    passed = found.clean and not negative and verified
    record("F12", "a source's clock an hour ahead, behind, in 1970", figures, passed=passed)
    assert found.clean, found
    assert not negative
    assert verified


def endured(rig: Rig) -> tuple[Audit, int, bool]:
    """Let a rig take all its events: the audit, sums of time below zero, `uns verify`."""
    with rig:
        rig.generate()
        rig.drain(DRAIN_S_MAX)
        rig.finish()
        [(negative,)] = rows(rig.store, _NEGATIVE)
        return rig.audit(), int(negative), rig.verified()
