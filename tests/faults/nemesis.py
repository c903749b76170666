"""Who does harm while events flow, and takes the time until they are folded again.

Owns when and whom. Chance is seeded: a run can be had again, as far as processes allow.
"""

import random
import signal
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from math import ceil
from typing import Final

import psutil

from tests.faults.children import Child
from tests.faults.rig import Rig
from tests.faults.watch import Passing

FLOW_S_MAX: Final = 120.0
RECOVERY_S_MAX: Final = 60.0
SAMPLE_S: Final = 0.5
LULL_S: Final = (0.2, 2.0)
SAVED_S: Final = (0.1, 0.8)


def until_made(rig: Rig, count: int) -> None:
    """Wait until the generator has made so many events in all."""
    made, since_s = -1, time.monotonic()
    while (now := rig.heads.read().total()) < count:
        if now != made:
            made, since_s = now, time.monotonic()
        silent_s = time.monotonic() - since_s
        assert silent_s < FLOW_S_MAX, f"no more events after {now}\n{rig.generator.tail()}"
        time.sleep(0.02)


def recovered(rig: Rig, passing: Passing, s_max: float = RECOVERY_S_MAX) -> float:
    """Wait until events made after a fault are folded; seconds since the fault."""
    what = f"recovery of {list(passing.left)[:4]}"
    rig.watch.until(lambda: passing.seconds is not None, s_max, what)
    assert passing.seconds is not None
    return passing.seconds


def kill_workers(rig: Rig, kills: int, count: int, seed: int) -> list[float]:
    """kill -9 of one worker after the other, spread over `count` events; seconds of each recovery.

    Whom: by chance, of those that have recovered from their last one.
    """
    chance, passings = random.Random(seed), list[Passing]()
    last: dict[Child, Passing] = {}
    step = count / kills
    for number in range(kills):
        until_made(rig, int((number + chance.random()) * step))
        rig.watch.until(lambda: _sound(rig, last), RECOVERY_S_MAX, "a worker that has recovered")
        victim = chance.choice(_sound(rig, last))
        victim.kill()
        last[victim] = rig.passing(victim)
        passings.append(last[victim])
    until_made(rig, count)
    return [recovered(rig, passing) for passing in passings]


def _sound(rig: Rig, last: dict[Child, Passing]) -> list[Child]:
    return [w for w in rig.workers if w not in last or last[w].seconds is not None]


def kill_broker(rig: Rig, kills: int, seed: int) -> list[float]:
    """kill -9 of the broker, each time all have recovered; seconds of each recovery.

    Before every second one it has saved what it knew a moment ago: then old sessions come back;
    else it has forgotten everything since its last save by itself.
    """
    chance, seconds = random.Random(seed), list[float]()
    for number in range(kills):
        time.sleep(chance.uniform(*LULL_S))
        if number % 2:
            assert rig.broker.process
            rig.broker.process.send_signal(signal.SIGUSR1)
            time.sleep(chance.uniform(*SAVED_S))
        rig.broker.kill()
        passing = rig.passing(*rig.workers)
        rig.broker.start()
        seconds.append(recovered(rig, passing))
    return seconds


@contextmanager
def memory(rig: Rig) -> Iterator[dict[str, int]]:
    """Sample the memory of every process while the block lasts: the most of each (bytes)."""
    most: dict[str, int] = {}
    over = threading.Event()

    def sample() -> None:
        while not over.wait(SAMPLE_S):
            for name, rss in _resident(rig):
                most[name] = max(most.get(name, 0), rss)

    thread = threading.Thread(target=sample, daemon=True)
    thread.start()
    try:
        yield most
    finally:
        over.set()
        thread.join()


def _resident(rig: Rig) -> Iterator[tuple[str, int]]:
    for child in rig.children:
        yield child.name, child.sample()
    if rig.broker.process:
        yield "broker", psutil.Process(rig.broker.process.pid).memory_info().rss


def percentile(values: Sequence[float], percent: float) -> float:
    """Of values, by nearest rank."""
    return sorted(values)[max(0, ceil(len(values) * percent / 100) - 1)]


def recovery_figures(seconds: Sequence[float]) -> dict[str, float]:
    """Median, p99 and the longest."""
    named = {"p50": 50, "p99": 99, "max": 100}
    return {f"recovery_{name}_s": round(percentile(seconds, p), 2) for name, p in named.items()}
