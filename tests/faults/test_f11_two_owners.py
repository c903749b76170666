"""F11: two workers on the same lines, one frozen or started twice: only one is ever believed.

Each pair of workers has lines of its own. A round freezes the one that runs them (a zombie, woken
after the other has taken over; or a blink, woken at about the moment of that), or starts it a
second time. What a zombie may still say is refused; the auditor finds each fact once.
"""

import random
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Final, NamedTuple

from tests.faults.children import Child
from tests.faults.generator import Orders
from tests.faults.nemesis import recovered, recovery_figures
from tests.faults.results import record
from tests.faults.rig import Rig, Scene, full

DRAIN_S_MAX: Final = 600.0
SETTLE_S_MAX: Final = 90.0
BLINK_S: Final = (2.0, 4.5)
TWIN_S: Final = (0.5, 4.0)


class Scale(NamedTuple):
    """How often, and by how many pairs at once."""

    rounds: int
    pairs: int
    rate: float


SCALE: Final = Scale(500, 4, 200) if full() else Scale(4, 2, 150)


@dataclass(frozen=True)
class Pair:
    """A worker of the hub and a standby, for the same lines: `arguments`."""

    rig: Rig
    children: tuple[Child, Child]
    arguments: tuple[str, ...]

    def owner(self) -> Child | None:
        """The one that runs all lines while the other waits; None while that is being settled."""
        roles = [self.rig.watch.workers.get(child.name, {}).get("role") for child in self.children]
        match roles:
            case ["active", "standby"]:
                return self.children[0]
            case ["standby", "active"]:
                return self.children[1]
        return None

    def settled(self) -> Child:
        """Wait for an owner that runs every line."""
        what = f"one of {[child.name for child in self.children]} runs, the other waits"
        owner: Child = self.rig.watch.until(self.owner, SETTLE_S_MAX, what)
        return owner


def zombie(pair: Pair, _chance: random.Random) -> float:
    owner = pair.settled()
    owner.freeze()
    taken_over = pair.rig.passing_of(pair.arguments)
    seconds = recovered(pair.rig, taken_over)
    owner.thaw()
    return seconds


def blink(pair: Pair, chance: random.Random) -> float:
    owner = pair.settled()
    owner.freeze()
    since_s = time.monotonic()
    time.sleep(chance.uniform(*BLINK_S))
    owner.thaw()
    going_on = pair.rig.passing_of(pair.arguments)
    recovered(pair.rig, going_on)
    return time.monotonic() - since_s


def twin(pair: Pair, chance: random.Random) -> float:
    """The same worker a second time, for a while; then the first is killed, and there is one."""
    owner = pair.settled()
    role = "worker" if owner is pair.children[0] else "standby"
    second = pair.rig.child(owner.name, role, *pair.arguments)
    second.start_once()
    time.sleep(chance.uniform(*TWIN_S))
    second.hold()
    going_on = pair.rig.passing_of(pair.arguments)
    return recovered(pair.rig, going_on)


ROUNDS: Final[tuple[Callable[[Pair, random.Random], float], ...]] = (zombie, blink, zombie, twin)


def test_two_owners(tmp_path: Path) -> None:
    scene = Scene(Orders(rate=SCALE.rate), lines=SCALE.pairs, lines_per_worker=1)
    with Rig(tmp_path, scene) as rig:
        pairs = [_pair(rig, number) for number in range(SCALE.pairs)]
        rig.generate()
        with ThreadPoolExecutor(SCALE.pairs) as threads:
            seconds = [s for many in threads.map(_suffer, pairs, range(SCALE.pairs)) for s in many]
        rig.enough(DRAIN_S_MAX)
        rig.finish()
        found, verified = rig.audit(), rig.verified()
    owners = max(epochs[-1] for epochs in rig.watch.owners.values())
    figures = {
        "rounds": len(seconds),
        "owners_of_a_line_max": owners,
        **found.figures,
        "stale_refused": found.rejects.get("stale-epoch", 0),
        **recovery_figures(seconds),
        "verify": verified,
    }
    passed = found.clean and verified
    record("F11", "two live instances, zombie owners", figures, passed=passed)
    assert found.clean, found
    assert verified


def _pair(rig: Rig, number: int) -> Pair:
    first, arguments = rig.workers[number], tuple(rig.lines_of(rig.workers[number]))
    second = rig.child(f"standby-{number + 1}", "standby", *arguments)
    rig.add(second)
    return Pair(rig, (first, second), arguments)


def _suffer(pair: Pair, number: int) -> list[float]:
    chance = random.Random(number)
    rounds = SCALE.rounds // SCALE.pairs
    seconds = [ROUNDS[n % len(ROUNDS)](pair, chance) for n in range(rounds)]
    pair.settled()
    return seconds
