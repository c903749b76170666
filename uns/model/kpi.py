"""OEE after ISO 22400-2 from its sums: the only place where the three ratios are formed.

availability = apt / pbt, effectiveness = sum(pri x pq) / apt, quality_ratio = sum(pri x gq) /
sum(pri x pq) (which is gq / pq for one item); their product is OEE. A ratio without a denominator
is None; OEE with planned busy time but nothing produced is 0. Roll-ups add sums, never ratios.
"""

from typing import Any

from pydantic import BaseModel, ConfigDict


class Sums(BaseModel):
    """What OEE is made from. Times in ms, counts in pieces; ideal times are pri x count.

    Elements: apt production, aust set-up, adet delay, adot no order, planned stop, unknown;
    pbt (planned busy time) = apt + aust + adet + adot: planned stops and unknown are outside.
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

    @property
    def pbt_ms(self) -> int:
        """Planned busy time."""
        return self.apt_ms + self.aust_ms + self.adet_ms + self.adot_ms

    @property
    def elapsed_ms(self) -> int:
        """All time that was accounted for."""
        return self.pbt_ms + self.planned_ms + self.unknown_ms


def ratio(numerator: int, denominator: int) -> float | None:
    """A fraction, or None without a denominator."""
    return numerator / denominator if denominator else None


def oee(sums: Sums) -> dict[str, Any]:
    """The four figures as unrounded fractions, and the sums that reproduce them to the digit."""
    availability = ratio(sums.apt_ms, sums.pbt_ms)
    effectiveness = ratio(sums.ideal_ms, sums.apt_ms)
    quality = ratio(sums.ideal_good_ms, sums.ideal_ms) if sums.ideal_ms else ratio(sums.gq, sums.pq)
    product: float | None = None
    if None not in (availability, effectiveness, quality):
        product = availability * effectiveness * quality  # type: ignore[operator]  # narrowed by the tuple test
    elif availability is not None:
        product = 0.0
    return {
        "oee": product,
        "availability": availability,
        "effectiveness": effectiveness,
        "quality_ratio": quality,
        "sums": {"pbt_ms": sums.pbt_ms, **sums.model_dump(), "elapsed_ms": sums.elapsed_ms},
    }
