"""`kill -9` of any one child: it is back by itself, and totals agree with the PLCs' own logs."""

import os
import time
from pathlib import Path

import psutil
import pytest

from tests.e2e.hub import RunningHub, eventually, plc_totals, recorded_totals, running, uns_json

pytestmark = pytest.mark.e2e
CHILDREN = (
    "bridge-plc-machining",
    "worker-1",
    "broker",
    "historian",
    "bridge-packing-edge",
    "bridge-plc-assembly",
    "bridge-erp",
    "plant",
)
BACK_WITHIN_S = 10
BETWEEN_S = 4


def test_each_child_comes_back_and_totals_agree(tmp_path: Path) -> None:
    data = tmp_path / "data"
    with running(data) as hub:
        eventually(lambda: len(plc_totals_so_far(data)) == 7, 40, "every machine has made a piece")
        for name in CHILDREN:
            _kill(hub, name)
            time.sleep(BETWEEN_S)  # some pieces of undisturbed work between two kills
        eventually(lambda: _priority(hub, "worker-1") == 5, 10, "a worker that gives way")
        assert _priority(hub, "historian") == _priority(hub, "broker") == 0
        summary = hub.interrupt()
    assert recorded_totals(data) == plc_totals(data)
    assert (summary["gaps"], summary["rejects"]) == (0, 0)
    assert all(source["connected"] for source in summary["sources"].values())
    _orders_agree(data)


def _priority(hub: RunningHub, name: str) -> int:
    """Its niceness; the suite itself may run at a lower priority than usual."""
    child = hub.child(name)
    assert child, name
    return child.nice() - os.nice(0)


def plc_totals_so_far(data: Path) -> dict[str, tuple[int, int]]:
    return plc_totals(data) if (data / "plant" / "plc.jsonl").exists() else {}


def _kill(hub: RunningHub, name: str) -> None:
    victim = hub.child(name)
    assert victim, name
    victim.kill()
    eventually(lambda: _replaced(hub, name, victim), BACK_WITHIN_S, f"{name} runs again")
    since_s = time.monotonic()
    pieces = sum(map(sum, recorded_so_far(hub)))
    eventually(
        lambda: sum(map(sum, recorded_so_far(hub))) > pieces,
        BACK_WITHIN_S,
        f"pieces are on record again after {name}",
    )
    print(f"{name}: on record again {time.monotonic() - since_s:.1f} s after its start")  # noqa: T201 - a figure for the reader


def _replaced(hub: RunningHub, name: str, victim: psutil.Process) -> bool:
    child = hub.child(name)
    return child is not None and child.pid != victim.pid


def recorded_so_far(hub: RunningHub) -> list[tuple[int, int]]:
    try:
        return list(recorded_totals(hub.data).values())
    except AssertionError:
        return []


def _orders_agree(data: Path) -> None:
    sql = (
        "select sum((payload->>'good')::int) as good from events where type = 'counted' "
        "and path like '%/wash' and payload->>'order_id' is not null"
    )
    (events,) = uns_json("query", sql, data=data)
    (orders,) = uns_json(
        "query", "select sum(good) as good from orders where line like '%/housing'", data=data
    )
    assert int(orders["good"]) == int(events["good"])


def test_a_hub_killed_as_a_whole_loses_and_doubles_nothing(tmp_path: Path) -> None:
    data = tmp_path / "data"
    with running(data) as hub:
        eventually(lambda: len(plc_totals_so_far(data)) == 7, 40, "every machine has made a piece")
        time.sleep(BETWEEN_S)
        hub.kill()
    with running(data, "--duration", "20") as again:
        summary = again.finish()
    assert recorded_totals(data) == plc_totals(data)
    assert (summary["gaps"], summary["rejects"]) == (0, 0)
    _orders_agree(data)
