"""Energy of a place by its meters, and what of it a good piece took.

A meter is a tag of role `energy`: kWh that only rise. What was used is the sum of what its good
values rose by, from the last one before the period on, so that the parts of a period add up to the
whole. A meter that falls was set back and goes on from 0, or has rolled over where its tag says so.
Looked at in at most STEPS steps: a meter that is set back twice within one tells less than it was.
"""

from collections.abc import Iterable, Iterator
from itertools import pairwise
from typing import Final

from uns.historian.history.lost_time import by_element
from uns.historian.history.oee import cells_below, places_counted
from uns.historian.history.period import Answer, Instant, Period, Share, bounded, share
from uns.historian.history.states import CELLS_MAX
from uns.historian.history.tag_samples import told_before
from uns.historian.history.values import sampled
from uns.historian.reader import Reader
from uns.model.kpi import Sums
from uns.model.plant import Place, Plant, TagSpec

ROLE: Final = "energy"
METERS_MAX: Final = 200
STEPS: Final = 500


class Used(Answer):
    """What meters counted. kwh: None where none of them was ever read; good: good pieces.

    coverage: the share of the period in which the meters were known.
    """

    place: str
    meters: tuple[str, ...]
    kwh: float | None
    good: float
    kwh_per_good: float | None
    coverage: Share


class Energy(Answer):
    """The cells of a place that have meters, and the place.

    total: the energy of all of them, over the good pieces that the place's OEE goes by.
    """

    path: str
    from_ms: Instant
    to_ms: Instant
    cells: tuple[Used, ...]
    total: Used


def energy(reader: Reader, plant: Plant, path: str, asked: Period) -> Energy:
    """What a place used, and what of it for each good piece.

    Raises QueryRefused for a place that the plant has not or that has no meter or too many, and
    what a Reader raises.
    """
    places = [plant.cells[cell] for cell in cells_below(plant, path)]
    topics = [topic for place in places for topic, _ in _meters(place)]
    bounded(topics, METERS_MAX, "tags of role energy")
    metered = bounded([place.path for place in places if any(_meters(place))], CELLS_MAX, "cells")
    made = _good(reader, metered, asked)
    used = tuple(_used(reader, plant.cells[cell], asked, made[cell]) for cell in metered)
    counted = [place.path for place in places_counted(plant, path)]
    good = sum(_good(reader, counted, asked).values())
    return Energy(
        path=path,
        from_ms=asked.from_ms,
        to_ms=asked.to_ms,
        cells=used,
        total=_told(path, topics, [one.kwh for one in used], good, _mean(used)),
    )


def _meters(place: Place) -> Iterator[tuple[str, TagSpec]]:
    for name, tag in place.cell.tags.items():
        if tag.role == ROLE:
            yield f"{place.path}/_tag/{name}", tag


def _good(reader: Reader, cells: Iterable[str], asked: Period) -> dict[str, float]:
    found = by_element(reader, tuple(cells), asked)
    return {cell: sum(elements.values(), Sums()).gq for cell, elements in found.items()}


def _used(reader: Reader, place: Place, asked: Period, good: float) -> Used:
    found = [_counted(reader, topic, tag, asked) for topic, tag in _meters(place)]
    topics = [topic for topic, _ in _meters(place)]
    coverage = sum(known for _, known in found) / len(found)
    return _told(place.path, topics, [kwh for kwh, _ in found], good, coverage)


def _counted(reader: Reader, topic: str, tag: TagSpec, asked: Period) -> tuple[float | None, float]:
    """What a meter rose by, and the share of the period in which it was known."""
    whole = sampled(reader, topic, asked, points=STEPS)
    before = told_before(reader, topic, asked.from_ms)
    values = [before.held.value if before else None, *(one.last for one in whole.buckets)]
    known = [value for value in values if value is not None]
    rises = [_rise(last, value, tag.rollover) for last, value in pairwise(known)]
    return (sum(rises) if known else None), whole.coverage


def _rise(last: float, value: float, rollover: int | None) -> float:
    if value >= last:
        return value - last
    return value + rollover - last if rollover else value


def _told(
    place: str, meters: list[str], kwhs: list[float | None], good: float, coverage: float
) -> Used:
    read = [kwh for kwh in kwhs if kwh is not None]
    kwh = sum(read) if read else None
    return Used(
        place=place,
        meters=tuple(meters),
        kwh=kwh,
        good=good,
        kwh_per_good=kwh / good if kwh is not None and good > 0 else None,
        coverage=share(coverage, 1),
    )


def _mean(used: tuple[Used, ...]) -> float:
    meters = sum(len(one.meters) for one in used)
    return sum(one.coverage * len(one.meters) for one in used) / meters
