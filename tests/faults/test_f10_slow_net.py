"""F10: the network between the hub and its broker is slow, and hands bytes over one by one.

All clients of the hub go through one proxy. Nothing is lost, and no process takes more than twice
the memory that it takes on a sound network.
"""

import asyncio
import threading
import time
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, NamedTuple

import pytest

from tests.fault_proxy import FaultProxy
from tests.faults.generator import Orders
from tests.faults.nemesis import memory, recovered
from tests.faults.results import record
from tests.faults.rig import Rig, Scene, full
from uns.cli.folder import write_connection

RSS_TIMES_MAX: Final = 2.0
DRAIN_S_MAX: Final = 900.0
SOUND_S: Final = 2.0
ENDLESS: Final = 10**9


class Slowness(NamedTuple):
    """What the link does, for how long, at how many events a second."""

    latency_s: float
    slice_bytes: int
    for_s: float
    rate: float


LATE: Final = Slowness(2.0, 0, 300.0, 200.0) if full() else Slowness(2.0, 0, 5.0, 100.0)
SLICED: Final = Slowness(0.0, 1, 120.0, 20.0) if full() else Slowness(0.0, 1, 3.0, 20.0)


class Link:
    """The proxy, on a loop and in a thread of its own; its faults may be set from anywhere."""

    def __init__(self, host: str, port: int) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        self.proxy = FaultProxy(host, port)
        self._wait(self.proxy.listen())

    def close(self) -> None:
        """Cut what is left."""
        self._wait(self.proxy.close())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def _wait(self, work: Coroutine[Any, Any, None]) -> None:
        asyncio.run_coroutine_threadsafe(work, self._loop).result(30)


@contextmanager
def behind_proxy(root: Path, rate: float) -> Iterator[tuple[Rig, FaultProxy]]:
    """A rig whose processes find the broker behind the proxy."""
    rig = Rig(root, Scene(Orders(ENDLESS, rate=rate), lines=2))
    link = Link(rig.broker.host, rig.broker.port)
    write_connection(rig.folder, rig.folder.load_connection() | {"port": link.proxy.port})
    try:
        with rig:
            yield rig, link.proxy
    finally:
        link.close()


@pytest.mark.parametrize("slowness", [LATE, SLICED], ids=["late", "sliced"])
def test_slow_links(tmp_path: Path, slowness: Slowness) -> None:
    with behind_proxy(tmp_path, slowness.rate) as (rig, proxy):
        rig.generate()
        recovered(rig, rig.passing(*rig.workers))
        sound = watched(rig, SOUND_S)
        proxy.latency_s, proxy.slice_bytes = slowness.latency_s, slowness.slice_bytes
        slow = watched(rig, slowness.for_s)
        proxy.heal()
        back_s = recovered(rig, rig.passing(*rig.workers))
        rig.enough(DRAIN_S_MAX)
        rig.finish()
        found, verified = rig.audit(), rig.verified()
    name, times = max(((n, slow[n] / sound[n]) for n in sound), key=lambda pair: pair[1])
    figures = {
        "slow_s": slowness.for_s,
        **found.figures,
        "rss_times_max": round(times, 2),
        "of": name,
        "recovery_s": round(back_s, 1),
        "verify": verified,
    }
    passed = found.clean and verified and times <= RSS_TIMES_MAX
    how = f"latency {slowness.latency_s:g} s" if slowness.latency_s else "1 byte at a time"
    record("F10", f"slow network: {how}", figures, passed=passed)
    assert found.clean, found
    assert times <= RSS_TIMES_MAX, (sound, slow)
    assert verified


def watched(rig: Rig, for_s: float) -> dict[str, int]:
    """The most memory that each process takes within a time (bytes)."""
    with memory(rig) as most:
        time.sleep(for_s)
    return dict(most)
