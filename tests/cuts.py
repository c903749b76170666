"""Cuts of a link, many and of every kind, and how soon the values are back.

Owns the schedule and the measuring. Knows no protocol: what is fresh after a cut is told to it.
"""

import asyncio
import os
import random
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from statistics import quantiles
from typing import Final, Literal, NamedTuple

from tests.fault_proxy import FaultProxy
from tests.watching import Watch, now_ms
from uns.model.observation import Observation

Fault = Literal["reset", "half-open", "slices", "late"]
FAULTS: Final[tuple[Fault, ...]] = ("reset", "half-open", "reset", "slices", "half-open", "late")
CUT_S_MIN: Final = 0.1
LATENCY_S: Final = 1.2
PAUSE_S: Final = (0.2, 0.8)
RECOVERY_S_MAX: Final = 30.0
IS_SOAK: Final = bool(os.environ.get("UNS_SOAK"))


class Cut(NamedTuple):
    """One fault of the link and how long it lasts."""

    fault: Fault
    for_s: float


class Scale(NamedTuple):
    """How much is cut: `make soak` has the acceptance's figures, `make test` a short form."""

    cuts: int
    endpoints: int
    cut_s_max: float


SCALE: Final = Scale(200, 10, 20.0) if IS_SOAK else Scale(16, 4, 2.0)


def schedules(seed: int, scale: Scale = SCALE) -> list[list[Cut]]:
    """The cuts of every endpoint; short ones are as frequent as long ones, decade by decade."""
    chance = random.Random(seed)
    span = scale.cut_s_max / CUT_S_MIN
    cuts = [
        Cut(FAULTS[place % len(FAULTS)], CUT_S_MIN * span ** chance.random())
        for place in range(scale.cuts)
    ]
    return [cuts[endpoint :: scale.endpoints] for endpoint in range(scale.endpoints)]


async def suffer(proxy: FaultProxy, cut: Cut) -> None:
    """One fault from its begin to its end; then the link is sound."""
    match cut.fault:
        case "reset":
            await proxy.cut(cut.for_s)
        case "half-open":
            proxy.hang()
            await asyncio.sleep(cut.for_s)
        case "slices":
            proxy.slice_bytes = 1
            await asyncio.sleep(cut.for_s)
        case "late":
            proxy.latency_s = LATENCY_S
            await asyncio.sleep(cut.for_s)
    proxy.heal()


class Recovery(NamedTuple):
    """How long the values took to come back after a cut."""

    seconds: float
    cut: Cut


@dataclass
class Figures:
    """What a run showed."""

    recoveries: list[Recovery] = field(default_factory=list)
    readings: int = 0

    def p99_s(self) -> float:
        """The recovery that 99 of 100 cuts keep."""
        return self._quantile_s(99)

    def __str__(self) -> str:
        longest = max(self.recoveries)
        return (
            f"{len(self.recoveries)} cuts, {self.readings} readings; recovery: "
            f"median {self._quantile_s(50):.2f} s, p99 {self.p99_s():.2f} s, "
            f"longest {longest.seconds:.2f} s ({longest.cut.fault}, {longest.cut.for_s:.1f} s)"
        )

    def _quantile_s(self, hundredths: int) -> float:
        seconds = [recovery.seconds for recovery in self.recoveries]
        return quantiles(seconds, n=100, method="inclusive")[hundredths - 1]


async def endure(
    proxy: FaultProxy,
    cuts: Iterable[Cut],
    watch: Watch,
    sampled_ms: Callable[[Observation], float],
    figures: Figures,
) -> None:
    """Let an endpoint suffer its cuts, one after the other; each time its values must come back.

    sampled_ms: when the source had the value of an observation; -inf for one that says nothing.
    """
    for place, cut in enumerate(cuts):
        await asyncio.sleep(PAUSE_S[place % len(PAUSE_S)])
        await suffer(proxy, cut)
        healed_ms, healed_s, known = now_ms(), time.monotonic(), len(watch.seen)
        fresh = await watch.until(
            lambda: next(_since(watch, known, healed_ms, sampled_ms), None),  # noqa: B023 - used within its turn
            RECOVERY_S_MAX,
        )
        figures.recoveries.append(Recovery(max(0.0, fresh - healed_s), cut))
    figures.readings += len(watch.seen)


def _since(
    watch: Watch, known: int, healed_ms: int, sampled_ms: Callable[[Observation], float]
) -> Iterator[float]:
    """When what the source had after the link was back was heard, soonest first."""
    for seen, heard_s in zip(watch.seen[known:], watch.heard_s[known:], strict=False):
        if sampled_ms(seen) >= healed_ms:
            yield heard_s
