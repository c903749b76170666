"""A hub with a standby beside it: owners die, sleep and wake, and no piece is lost or doubled."""

import os
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.hub import (
    UNS,
    RunningHub,
    eventually,
    plc_totals,
    recorded_totals,
    running,
)

pytestmark = pytest.mark.e2e
HUBS = "worker-1"
STANDBY = "by-hand"
SUPERVISED_S = 30


@contextmanager
def standing_by(data: Path) -> Iterator["subprocess.Popen[bytes]"]:
    """`uns worker` for all lines, started as its users start it."""
    log = (data / "log" / "by-hand.log").open("wb")
    with (
        log,
        subprocess.Popen([UNS, "worker", "--name", STANDBY, "--data", data], stderr=log) as it,
    ):
        try:
            yield it
        finally:
            it.kill()


def health(hub: RunningHub, name: str) -> dict[str, Any]:
    return hub.document(f"acme/_hub/worker/{name}")


def test_owners_change_and_totals_agree(tmp_path: Path) -> None:
    data = tmp_path / "data"
    with running(data) as hub:
        eventually(lambda: health(hub, HUBS).get("role") == "active", 40, "the hub's worker runs")
        with standing_by(data) as standby:
            eventually(lambda: health(hub, STANDBY).get("role") == "standby", 20, "it stands by")
            _strike_and_see(hub, HUBS, STANDBY, signal.SIGKILL)
            _strike_and_see(hub, STANDBY, HUBS, signal.SIGSTOP, standby.pid)
            standby.send_signal(signal.SIGCONT)
            assert standby.wait(SUPERVISED_S) == 1
        summary = hub.interrupt()
    assert recorded_totals(data) == plc_totals(data)
    assert (summary["gaps"], summary["rejects"]) == (0, 0)


def _strike_and_see(
    hub: RunningHub, victim: str, heir: str, number: signal.Signals, pid: int | None = None
) -> None:
    """Strike a worker; the other one runs every line, and says pieces again."""
    eventually(lambda: health(hub, heir).get("role") == "standby", SUPERVISED_S, f"{heir} waits")
    child = hub.child(victim)
    os.kill(pid or (child.pid if child else 0), number)
    lines = set(health(hub, heir)["lines"])
    eventually(lambda: set(health(hub, heir).get("active", ())) == lines, 8, f"{heir} runs all")
    pieces = sum(map(sum, recorded_totals(hub.data).values()))
    eventually(
        lambda: sum(map(sum, recorded_totals(hub.data).values())) > pieces, 15, "pieces go on"
    )
