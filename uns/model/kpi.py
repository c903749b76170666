"""PURE: OEE after ISO 22400-2 from its sums: the only place where ratios are formed.

availability = apt / pbt, effectiveness = sum(pri x pq) / apt, quality_ratio = sum(pri x gq) /
sum(pri x pq) (which is gq / pq for one item); their product is OEE. A ratio without a denominator
is None; OEE with planned busy time but nothing produced is 0. Roll-ups add sums, never ratios.
"""

from typing import Any

from pydantic import BaseModel, ConfigDict


class Sums(BaseModel):
    """What OEE is made from. Times in ms, counts in pieces; ideal times are pri x count.

    Elements: apt production, aust set-up, adet delay, adot no order, planned stop, unknown;
    pbt (planned busy time) = apt + aust + adet + adot: planned stops are outside, and so is unknown
    time unless the policy counts it.
    """

    model_config = ConfigDict(frozen=True)

    apt_ms: int = 0
    aust_ms: int = 0
    adet_ms: int = 0
    adot_ms: int = 0
    planned_ms: int = 0
    unknown_ms: int = 0
    pq: int = 0
    gq: int = 0
    sq: int = 0
    rq: int = 0
    ideal_ms: int = 0
    ideal_good_ms: int = 0

    def __add__(self, other: "Sums") -> "Sums":
        theirs = vars(other)
        return self.model_copy(update={key: mine + theirs[key] for key, mine in vars(self).items()})

    def __sub__(self, other: "Sums") -> "Sums":
        theirs = vars(other)
        return self.model_copy(update={key: mine - theirs[key] for key, mine in vars(self).items()})

    @property
    def aubt_ms(self) -> int:
        """Actual unit busy time: an order is being executed."""
        return self.apt_ms + self.aust_ms + self.adet_ms

    @property
    def pbt_ms(self) -> int:
        """Planned busy time, without unknown time."""
        return self.aubt_ms + self.adot_ms

    @property
    def elapsed_ms(self) -> int:
        """All time that was accounted for."""
        return self.pbt_ms + self.planned_ms + self.unknown_ms


def ratio(numerator: int, denominator: int) -> float | None:
    """A fraction, or None without a denominator."""
    return numerator / denominator if denominator else None


def oee(sums: Sums, *, unknown_counted: bool = False) -> dict[str, Any]:
    """The figures as unrounded fractions, and the sums that reproduce them to the digit.

    unknown_counted: the policy's rule; then `pbt_ms` among the sums has unknown time in it.
    effectiveness and what has it as a factor may exceed 1: an ideal cycle is too long then.
    nee: set-up is no loss. teep: of all time (SMRP metric 2.1.2, not in ISO 22400-2).
    allocation x utilisation efficiency = availability. coverage: the share of time that is known.
    """
    pbt_ms = sums.pbt_ms + (sums.unknown_ms if unknown_counted else 0)
    aupt_ms = sums.apt_ms + sums.aust_ms
    availability = ratio(sums.apt_ms, pbt_ms)
    effectiveness = ratio(sums.ideal_ms, sums.apt_ms)
    quality = ratio(sums.ideal_good_ms, sums.ideal_ms) if sums.ideal_ms else ratio(sums.gq, sums.pq)
    return {
        "oee": _product(availability, effectiveness, quality),
        "availability": availability,
        "effectiveness": effectiveness,
        "quality_ratio": quality,
        "nee": _product(ratio(aupt_ms, pbt_ms), effectiveness, quality),
        "teep": ratio(sums.ideal_good_ms, sums.elapsed_ms),
        "allocation_efficiency": ratio(sums.aubt_ms, pbt_ms),
        "utilisation_efficiency": ratio(sums.apt_ms, sums.aubt_ms),
        "technical_efficiency": ratio(sums.apt_ms, sums.apt_ms + sums.adet_ms),
        "set_up_ratio": ratio(sums.aust_ms, aupt_ms),
        "scrap_ratio": ratio(sums.sq, sums.pq),
        "rework_ratio": ratio(sums.rq, sums.pq),
        "coverage": ratio(sums.elapsed_ms - sums.unknown_ms, sums.elapsed_ms),
        "sums": {"pbt_ms": pbt_ms, **sums.model_dump(), "elapsed_ms": sums.elapsed_ms},
    }


def _product(
    share: float | None, effectiveness: float | None, quality: float | None
) -> float | None:
    """Three factors; 0 where there was time but nothing came of it, None where there was none."""
    if share is None:
        return None
    if effectiveness is None or quality is None:
        return 0.0
    return share * effectiveness * quality
