"""F13: every message ten times, shuffled among a thousand, and counts that come three days late."""

from pathlib import Path
from typing import Any, Final, NamedTuple

from tests.faults.auditor import rows
from tests.faults.disorder import Disorder
from tests.faults.generator import Orders
from tests.faults.results import record
from tests.faults.rig import Rig, Scene, full

COPIES: Final = 10
WINDOW: Final = 1_000
DAYS_MS: Final = 3 * 86_400_000
LATE_EVERY: Final = 50
DRAIN_S_MAX: Final = 1_800.0
_LATE: Final = (
    "SELECT sum((payload->>'good')::int + (payload->>'scrap')::int), count(DISTINCT path)"
    " FROM events WHERE type = 'counted'"
    " AND at_ms < (SELECT min(at_ms) FROM events WHERE type = 'released')"
)
_CORRECTED: Final = (
    "SELECT sum((payload->>'pq')::int), count(DISTINCT path)"
    " FROM events WHERE type = 'oee-interval' AND payload->>'shift_id' IS NOT NULL AND"
    " (payload->>'end_ms')::bigint < (SELECT min(at_ms) FROM events WHERE type = 'released')"
)
"""Pieces that came late, and those counted into shifts of that time; each with how many cells."""


class Scale(NamedTuple):
    """How many events, on how many lines."""

    events: int
    lines: int


SCALE: Final = Scale(100_000, 20) if full() else Scale(1_200, 2)


def test_repeated_shuffled_and_late_events(tmp_path: Path) -> None:
    disorder = Disorder(COPIES, WINDOW, LATE_EVERY, DAYS_MS)
    orders = Orders(SCALE.events, rate=300, disorder=disorder)
    with Rig(tmp_path, Scene(orders, lines=SCALE.lines)) as rig:
        rig.generate()
        rig.drain(DRAIN_S_MAX)
        rig.finish()
        found, verified = rig.audit(), rig.verified()
        late, corrected = list(rows(rig.store, _LATE)), list(rows(rig.store, _CORRECTED))
    figures: dict[str, Any] = {
        "copies": COPIES,
        "window": WINDOW,
        "late_days": 3,
        **found.figures,
        "late_pieces": late[0][0],
        "verify": verified,
    }
    passed = found.clean and verified and late == corrected
    record("F13", "duplicates, reordering, late events", figures, passed=passed)
    assert found.clean, found
    assert late == corrected
    assert late[0][0]
    assert verified
