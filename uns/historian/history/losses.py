"""The loss tree of a place: the six big losses in minutes and pieces, the biggest first.

Levels: category, loss, reason. The time elements of OEE stay what they are, so the losses add up to
planned busy time less the ideal time of good pieces, to the millisecond: a stop longer than the
micro-stop threshold is an unplanned stop whatever its reason; a micro-stop lies in production time.
Time without an order is none of the six; it stands beside them, so that the sum is whole.
"""

from collections.abc import Iterable, Iterator
from typing import Final, Literal

from uns.historian.history.downtime import downtime_pareto
from uns.historian.history.lost_time import Elements, Standing, by_element, standing
from uns.historian.history.oee import MINUTE_MS, places_counted
from uns.historian.history.period import Answer, Instant, Period, Share, share
from uns.historian.reader import Reader
from uns.model.kpi import Sums
from uns.model.plant import Plant

LEAVES_MAX: Final = 50
Category = Literal["availability", "performance", "quality"]
Key = Literal[
    "unplanned-stops",
    "set-up-and-adjustment",
    "no-order",
    "minor-stops",
    "reduced-speed",
    "process-rejects",
    "start-up-rejects",
]
CATEGORIES: Final[dict[Key, Category]] = {
    "unplanned-stops": "availability",
    "set-up-and-adjustment": "availability",
    "no-order": "availability",
    "minor-stops": "performance",
    "reduced-speed": "performance",
    "process-rejects": "quality",
    "start-up-rejects": "quality",
}


class Leaf(Answer):
    """Stops of one reason. key: None for those that nobody gave one."""

    key: str | None
    title: str | None
    loss: str | None
    stops: int
    minutes: float


class Loss(Answer):
    """One loss. pieces: what would have been made in that time, or was rejected.

    pieces is None where no ideal cycle is known; minutes below 0: faster than the ideal cycle.
    stops: how many, where the loss is made of stops.
    """

    key: Key
    category: Category
    minutes: float
    pieces: float | None
    share: Share
    stops: int | None = None
    leaves: tuple[Leaf, ...] = ()


class LossTree(Answer):
    """Where planned busy time (busy_min) went.

    total_min: the losses together; good_min: the rest, the ideal time of good pieces.
    """

    path: str
    from_ms: Instant
    to_ms: Instant
    cells: tuple[str, ...]
    busy_min: float
    good_min: float
    total_min: float
    losses: tuple[Loss, ...]


def loss_tree(reader: Reader, plant: Plant, path: str, asked: Period) -> LossTree:
    """The losses of a place by the cells that its OEE goes by.

    Raises QueryRefused for a place that the plant has not, and what a Reader raises.
    """
    cells = tuple(place.path for place in places_counted(plant, path))
    elements = _together(by_element(reader, cells, asked).values())
    micro = downtime_pareto(reader, plant, cells, asked, limit=1)
    stood = standing(reader, cells, asked)
    whole = sum(elements.values(), Sums())
    lost_ms = dict(_lost(elements, micro.micro_ms))
    total_ms = whole.pbt_ms - whole.ideal_good_ms
    stops: dict[Key, int] = {
        "unplanned-stops": sum(one.stops for one in stood),
        "minor-stops": micro.micro_stops,
    }
    found = [
        Loss(
            key=key,
            category=CATEGORIES[key],
            minutes=ms / MINUTE_MS,
            pieces=_pieces(key, ms, elements),
            share=share(ms, total_ms),
            stops=stops.get(key),
            leaves=_leaves(plant, stood, ms) if key == "unplanned-stops" else (),
        )
        for key, ms in lost_ms.items()
    ]
    return LossTree(
        path=path,
        from_ms=asked.from_ms,
        to_ms=asked.to_ms,
        cells=cells,
        busy_min=whole.pbt_ms / MINUTE_MS,
        good_min=whole.ideal_good_ms / MINUTE_MS,
        total_min=total_ms / MINUTE_MS,
        losses=tuple(sorted(found, key=lambda loss: -loss.minutes)),
    )


def _together(cells: Iterable[Elements]) -> Elements:
    found: Elements = {}
    for elements in cells:
        for element, sums in elements.items():
            found[element] = found.get(element, Sums()) + sums
    return found


def _lost(elements: Elements, micro_ms: int) -> Iterator[tuple[Key, int]]:
    whole = sum(elements.values(), Sums())
    begun = elements.get("aust", Sums())
    start_up_ms = begun.ideal_ms - begun.ideal_good_ms
    yield "unplanned-stops", whole.adet_ms
    yield "set-up-and-adjustment", whole.aust_ms
    yield "no-order", whole.adot_ms
    yield "minor-stops", micro_ms
    yield "reduced-speed", whole.apt_ms - whole.ideal_ms - micro_ms
    yield "process-rejects", whole.ideal_ms - whole.ideal_good_ms - start_up_ms
    yield "start-up-rejects", start_up_ms


def _pieces(key: Key, ms: int, elements: Elements) -> float | None:
    whole = sum(elements.values(), Sums())
    begun = elements.get("aust", Sums())
    match key:
        case "start-up-rejects":
            return begun.pq - begun.gq
        case "process-rejects":
            return whole.pq - whole.gq - (begun.pq - begun.gq)
        case _:
            return ms * whole.pq / whole.ideal_ms if whole.ideal_ms and whole.pq else None


def _leaves(plant: Plant, stood: Iterable[Standing], delay_ms: int) -> tuple[Leaf, ...]:
    """The reasons of the delay, the longest first; what lies in no stop has none."""
    of_reason: dict[str | None, tuple[int, int]] = {}
    for one in stood:
        stops, ms = of_reason.get(one.reason, (0, 0))
        of_reason[one.reason] = (stops + one.stops, ms + one.ms)
    stops, ms = of_reason.get(None, (0, 0))
    unexplained_ms = ms + delay_ms - sum(ms for _, ms in of_reason.values())
    if unexplained_ms:
        of_reason[None] = (stops, unexplained_ms)
    longest = sorted(of_reason, key=lambda code: (-of_reason[code][1], code or ""))
    return tuple(_leaf(plant, code, *of_reason[code]) for code in longest[:LEAVES_MAX])


def _leaf(plant: Plant, code: str | None, stops: int, ms: int) -> Leaf:
    known = plant.reasons.get(code or "")
    title, loss = (known.title, known.loss) if known else (None, None)
    return Leaf(key=code, title=title, loss=loss, stops=stops, minutes=ms / MINUTE_MS)
