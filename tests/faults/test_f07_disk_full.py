"""F7: a disk is full: whoever writes there waits and says so, and goes on when there is room.

Filled by somebody else's file, so that no quota of ours helps; and the outbox by its own quota too.
The device behind the bridge counts on by itself: what was dropped would be missing in the end.
"""

import json
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import asdict
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

import pytest

from tests.faults.children import Child
from tests.faults.databases import PASSABLE, server_on
from tests.faults.generator import Orders
from tests.faults.meter import NAME, Meter, metered_plant
from tests.faults.nemesis import recovered
from tests.faults.results import record
from tests.faults.rig import Rig, Scene, full
from tests.faults.volumes import small_disk
from tests.stores import STORES
from tools.postgres import Server
from uns.historian.errors import StoreUnavailable
from uns.historian.reader import open_reader
from uns.runtime.clock import wall_ms

FULL_S: Final = 60.0 if full() else 3.0
"""How long a disk stays full."""
ALARM_S_MAX: Final = 10.0
ALARM_WAIT_S: Final = 30.0
BACK_S_MAX: Final = 90.0
DRAIN_S_MAX: Final = 600.0
ENDLESS: Final = 10**9
RATE: Final = 100.0
QUOTA_BYTES: Final = 150_000
COUNTS_S: Final = 9.0
"""How much longer a device counts than a disk is full."""
DISK_MB: Final = {"outbox": 32, "duckdb": 64, "postgresql": 200}
COUNTED: Final = "SELECT sum((payload->>'good')::int) FROM events WHERE type = 'counted'"
Document = dict[str, Any]


class Alarm:
    """A document below `_hub` that says a fault, and does not say it yet."""

    def __init__(self, rig: Rig, topic: str, rings: Callable[[Document], bool]) -> None:
        self._watch, self._rings = rig.watch, rings
        self._place = f"{rig.plant.enterprise}/_hub/{topic}"
        self._watch.until(self._is_silent, ALARM_WAIT_S, f"{topic} without an alarm")
        self._since_s = time.monotonic()

    def rang(self) -> float:
        """Wait for it; seconds since it was silent."""
        self._watch.until(lambda: not self._is_silent(), ALARM_WAIT_S, f"alarm at {self._place}")
        return time.monotonic() - self._since_s

    def _is_silent(self) -> bool:
        said = self._watch.said.get(self._place, {})
        return bool(said) and not self._rings(said)


@contextmanager
def metered(rig: Rig, bytes_max: int) -> Iterator[tuple[Meter, Child]]:
    """A device that counts for as long as a fault lasts and a while longer, and its bridge."""
    total = int(RATE * (FULL_S + COUNTS_S))
    meter = Meter(wall_ms() + 3_000, total, RATE, bytes_max)
    module = [sys.executable, "-m", "tests.faults.meter", str(rig.folder.root)]
    bridge = Child(f"bridge-{NAME}", [*module, json.dumps(asdict(meter))], rig.folder.logs)
    bridge.start()
    try:
        yield meter, bridge
    finally:
        bridge.hold()


def counted(rig: Rig) -> int:
    """Pieces on record; none while nobody can tell."""
    with suppress(StoreUnavailable), open_reader(rig.store) as reader:
        return int(reader.query(COUNTED).rows[0][0] or 0)
    return 0


def counted_all(rig: Rig, total: int) -> int:
    """Wait until every piece is on record; how many are then, or at the end of patience."""
    end_s = time.monotonic() + BACK_S_MAX
    while (there := counted(rig)) < total and time.monotonic() < end_s:
        time.sleep(0.2)
    return there


def outbox_alarm(document: Document) -> bool:
    """A bridge says that its outbox is full."""
    return document.get("outbox_alarm") is True


def store_alarm(document: Document) -> bool:
    """The historian says that its store takes nothing."""
    return document.get("available") is False


def worker_alarm(document: Document) -> bool:
    """A worker says that an outbox is full, or the broker that the worker is gone."""
    return document.get("outbox_alarm") is True or document.get("gone") is True


def test_the_disk_of_an_outbox_is_full(tmp_path: Path) -> None:
    with small_disk(tmp_path / "outbox", DISK_MB["outbox"]) as disk:
        scene = Scene(Orders(0), lines=1, plant=metered_plant(), parts={"outbox": disk.at})
        with Rig(tmp_path, scene) as rig, metered(rig, 1 << 30) as (meter, bridge):
            _until_counted(rig)
            alarm = Alarm(rig, f"bridge/{NAME}", outbox_alarm)
            disk.fill()
            rang_s = alarm.rang()
            time.sleep(FULL_S)
            disk.clear()
            _conclude(rig, meter, bridge, rang_s, "disk of the outboxes full")


def test_the_quota_of_an_outbox_is_reached(tmp_path: Path) -> None:
    scene = Scene(Orders(0), lines=1, plant=metered_plant())
    with Rig(tmp_path, scene) as rig, metered(rig, QUOTA_BYTES) as (meter, bridge):
        _until_counted(rig)
        alarm = Alarm(rig, f"bridge/{NAME}", outbox_alarm)
        rig.historian.hold()
        rang_s = alarm.rang()
        time.sleep(FULL_S)
        rig.historian.start()
        _conclude(rig, meter, bridge, rang_s, "quota of an outbox reached, record away")


def _until_counted(rig: Rig) -> None:
    end_s = time.monotonic() + BACK_S_MAX
    while not counted(rig):
        assert time.monotonic() < end_s
        time.sleep(0.1)


def _conclude(rig: Rig, meter: Meter, bridge: Child, rang_s: float, injected: str) -> None:
    there = counted_all(rig, meter.total)
    rig.finish()
    verified = rig.verified()
    figures = {
        "pieces": meter.total,
        "lost": meter.total - there,
        "alarm_s": round(rang_s, 1),
        "crashes": len(bridge.uncaused) + len(rig.workers[0].uncaused),
        "verify": verified,
    }
    passed = there == meter.total and rang_s <= ALARM_S_MAX and verified
    record("F7", injected, figures, passed=passed)
    assert there == meter.total
    assert rang_s <= ALARM_S_MAX
    assert not bridge.uncaused, bridge.tail()
    assert not rig.workers[0].uncaused, rig.workers[0].tail()
    assert verified


def test_the_disk_of_the_workers_outboxes_is_full(tmp_path: Path) -> None:
    with small_disk(tmp_path / "outbox", DISK_MB["outbox"]) as disk:
        orders = Orders(ENDLESS, rate=RATE * 2, outbox=str(tmp_path / "generator.sqlite"))
        with Rig(tmp_path, Scene(orders, lines=1, parts={"outbox": disk.at})) as rig:
            rig.generate()
            recovered(rig, rig.passing(*rig.workers))
            alarm = Alarm(rig, f"worker/{rig.workers[0].name}", worker_alarm)
            disk.fill()
            rang_s = alarm.rang()
            time.sleep(FULL_S)
            disk.clear()
            back_s = recovered(rig, rig.passing(*rig.workers))
            _conclude_flow(rig, rang_s, back_s, "disk of the workers' outboxes full")


class StoreDisk:
    """A rig's store on a small disk."""

    def __init__(self, stack: ExitStack, root: Path, kind: str) -> None:
        ground = Path(stack.enter_context(TemporaryDirectory(prefix="uns-disk-")))
        ground.chmod(PASSABLE)
        self.disk = stack.enter_context(small_disk(ground / "store", DISK_MB[kind]))
        self.server: Server | None = None
        location = f"duckdb://{self.disk.at / 'store.duckdb'}"
        if kind == "postgresql":
            self.server = stack.enter_context(server_on(self.disk.at))
            location = self.server.dsn
        scene = Scene(Orders(ENDLESS, rate=RATE * 3), lines=2, store=location)
        self.rig = stack.enter_context(Rig(root, scene))

    def clear(self) -> None:
        """There is room; a server that could not live without is started again."""
        self.disk.clear()
        if self.server and self.server.process and self.server.process.poll() is not None:
            self.server.start()


@pytest.mark.parametrize("kind", STORES[:2])
def test_the_disk_of_the_store_is_full(tmp_path: Path, kind: str) -> None:
    with ExitStack() as stack:
        place = StoreDisk(stack, tmp_path, kind)
        rig = place.rig
        rig.generate()
        recovered(rig, rig.passing(*rig.workers))
        alarm = Alarm(rig, "historian/main", store_alarm)
        place.disk.fill()
        rang_s = alarm.rang()
        time.sleep(FULL_S)
        place.clear()
        back_s = recovered(rig, rig.passing(*rig.workers))
        _conclude_flow(rig, rang_s, back_s, f"disk of the store full: {kind}")


def _conclude_flow(rig: Rig, rang_s: float, back_s: float, injected: str) -> None:
    rig.enough(DRAIN_S_MAX)
    rig.finish()
    found, verified = rig.audit(), rig.verified()
    figures = {
        **found.figures,
        "alarm_s": round(rang_s, 1),
        "recovery_s": round(back_s, 1),
        "verify": verified,
    }
    passed = found.clean and verified and rang_s <= ALARM_S_MAX
    record("F7", injected, figures, passed=passed)
    assert found.clean, found
    assert rang_s <= ALARM_S_MAX
    assert verified
