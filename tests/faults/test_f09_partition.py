"""F9: links are cut, both ways, one way, or so that one end does not know that the other is gone.

The time of a recovery runs from the end of a cut until events made since then are folded by every
processor and on record.
"""

import os
import random
import time
from collections.abc import Iterator
from itertools import product
from pathlib import Path
from typing import Final, Literal, NamedTuple

from tests.faults.generator import Orders
from tests.faults.namespaces import OURS
from tests.faults.nemesis import percentile, recovered, recovery_figures
from tests.faults.results import record
from tests.faults.rig import Rig, Scene, full
from tests.faults.spread import STORE, Spread, spread

Way = Literal["both", "there", "back", "half-open"]
WAYS: Final[tuple[Way, ...]] = ("both", "there", "back", "half-open")
LINKS: Final = (
    ("generator", OURS),
    ("worker", OURS),
    ("historian", OURS),
    ("historian", STORE),
    ("worker", STORE),
)
"""Who is cut off from whom; the broker stands where we are."""
RECOVERY_P99_S_MAX: Final = 15.0
STORED_S_MAX: Final = 60.0
DRAIN_S_MAX: Final = 600.0
ENDLESS: Final = 10**9
SEED: Final = 9
NOTHING: Final = (0, 0, 0)


class Scale(NamedTuple):
    """How many cuts, and how long they last: decade by decade equally often."""

    cuts: int
    cut_s_min: float
    cut_s_max: float


SCALE: Final = Scale(200, 1.0, 40.0) if full() else Scale(3, 0.5, 3.0)
CUTS: Final = int(os.environ.get("UNS_FAULT_CUTS", SCALE.cuts))
CUT_S_MAX: Final = float(os.environ.get("UNS_FAULT_CUT_S_MAX", SCALE.cut_s_max))


class Cut(NamedTuple):
    """One cut: between whom, in which way, and for how long."""

    one: str
    other: str
    way: Way
    for_s: float


def schedule(seed: int) -> Iterator[Cut]:
    """Every link in every way before one comes twice."""
    chance, kinds = random.Random(seed), list(product(LINKS, WAYS))
    for number in range(CUTS):
        if number % len(kinds) == 0:
            chance.shuffle(kinds)
        (one, other), way = kinds[number % len(kinds)]
        for_s = SCALE.cut_s_min * (CUT_S_MAX / SCALE.cut_s_min) ** chance.random()
        yield Cut(one, other, way, for_s)


def suffer(plant: Spread, cut: Cut) -> None:
    """One cut from its begin to its end."""
    net = plant.net
    if cut.way != "back":
        net.cut(cut.one, cut.other)
    if cut.way != "there":
        net.cut(cut.other, cut.one)
    time.sleep(cut.for_s)
    if cut.way == "half-open":
        forget_connections(plant, cut.other)
    net.heal()


def forget_connections(plant: Spread, place: str) -> None:
    """Whoever serves there starts anew; the one who is cut off does not hear of it."""
    if place == STORE:
        plant.server.stop()
        plant.server.start()
    else:
        plant.rig.broker.restart()


def back(rig: Rig) -> float:
    """Wait until events made from now on are folded everywhere and on record; seconds."""
    since_s, passing, heads = time.monotonic(), rig.passing(*rig.workers), rig.heads.read()
    wanted = {f"plc:{line.replace('/', '.')}": heads[line] + 1 for line in rig.lines}
    recovered(rig, passing)
    rig.watch.until(
        lambda: all(
            rig.watch.stored.get(source, NOTHING)[1] >= seq for source, seq in wanted.items()
        ),
        STORED_S_MAX,
        "events are on record again",
    )
    return time.monotonic() - since_s


def test_cut_links(tmp_path: Path) -> None:
    with spread(tmp_path, Scene(Orders(ENDLESS, rate=200), lines=2)) as plant:
        rig, seconds = plant.rig, list[float]()
        rig.generate()
        back(rig)
        for cut in schedule(SEED):
            suffer(plant, cut)
            seconds.append(back(rig))
            print(f"{cut}: back after {seconds[-1]:.1f} s")  # noqa: T201 - a figure for the reader
        rig.enough(DRAIN_S_MAX)
        rig.finish()
        found, verified = rig.audit(), rig.verified()
    in_time = percentile(seconds, 99) <= RECOVERY_P99_S_MAX
    figures = {
        "cuts": len(seconds),
        **found.figures,
        **recovery_figures(seconds),
        "verify": verified,
    }
    passed = found.clean and verified and in_time
    injected = f"links cut for up to {CUT_S_MAX:g} s: both ways, one way, half-open"
    record("F9", injected, figures, passed=passed)
    assert found.clean, found
    assert verified
    assert in_time, seconds
