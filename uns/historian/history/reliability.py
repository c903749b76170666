"""MTBF, MTTF and MTTR of cells (ISO 22400-2): how long between failures, and until one is repaired.

A failure is a stop with a reason of loss `breakdown`, longer than a micro-stop, that began in the
period; its repair lasts as long as the stop does, within the period. Between failures counts busy
time without other delays: production and set-up, and the repairs. Of several cells the times and
failures are added, never the means. Stops that nobody gave a reason are no failures; how many there
are stands beside.
"""

from collections.abc import Iterable
from typing import Any, Final, NamedTuple

from uns.historian.answers import ROWS_MAX, TIMEOUT_S_MAX
from uns.historian.history.downtime import THERE
from uns.historian.history.lost_time import by_element
from uns.historian.history.oee import MINUTE_MS, cells_below
from uns.historian.history.period import Answer, Instant, Period, bounded, numbered
from uns.historian.history.states import CELLS_MAX
from uns.historian.reader import Reader
from uns.model.kpi import Sums
from uns.model.plant import Plant

FAILURE: Final = "breakdown"
_BEGUN: Final = f"""
WITH there AS ({THERE})
SELECT cell, reason, count(*), sum(LEAST(LEAST(end_ms, $2) - start_ms,
    COALESCE(duration_ms, end_ms - start_ms)))
FROM there WHERE start_ms >= $1 AND NOT micro GROUP BY cell, reason
"""  # noqa: S608 - a constant of ours


class CellReliability(Answer):
    """One cell, or all of them. The means are None without a failure; minutes.

    up_min: production and set-up; repair_min: all repairs; unexplained: stops without a reason.
    """

    cell: str
    failures: int
    unexplained: int
    up_min: float
    repair_min: float
    mtbf_min: float | None
    mttf_min: float | None
    mttr_min: float | None


class Reliability(Answer):
    """The cells of a place, and all of them together."""

    path: str
    from_ms: Instant
    to_ms: Instant
    cells: tuple[CellReliability, ...]
    total: CellReliability


class _Sum(NamedTuple):
    failures: int = 0
    unexplained: int = 0
    up_ms: int = 0
    repair_ms: int = 0

    def plus(self, other: "_Sum") -> "_Sum":
        return _Sum(*(mine + theirs for mine, theirs in zip(self, other, strict=True)))


def reliability(reader: Reader, plant: Plant, path: str, asked: Period) -> Reliability:
    """How reliable the cells at or below a place were.

    Raises QueryRefused for a place that the plant has not or one with too many cells, and what a
    Reader raises.
    """
    cells = bounded(cells_below(plant, path), CELLS_MAX, "cells")
    found = {
        cell: _Sum(up_ms=_up_ms(elements.values()))
        for cell, elements in by_element(reader, cells, asked).items()
    }
    sql = _BEGUN.format(cells=numbered(len(cells), 3))
    params = (asked.from_ms, asked.to_ms, *cells)
    for cell, reason, stops, ms in reader.query(sql, params, ROWS_MAX, TIMEOUT_S_MAX).rows:
        found[cell] = found[cell].plus(_begun(plant, reason, stops, ms))
    total = _Sum()
    for one in found.values():
        total = total.plus(one)
    return Reliability(
        path=path,
        from_ms=asked.from_ms,
        to_ms=asked.to_ms,
        cells=tuple(_means(cell, one) for cell, one in found.items()),
        total=_means(path, total),
    )


def _up_ms(elements: Iterable[Sums]) -> int:
    return sum(sums.apt_ms + sums.aust_ms for sums in elements)


def _begun(plant: Plant, reason: Any, stops: int, ms: int) -> _Sum:
    known = plant.reasons.get(reason or "")
    if known is None:
        return _Sum(unexplained=stops)
    return _Sum(failures=stops, repair_ms=ms) if known.loss == FAILURE else _Sum()


def _means(cell: str, one: _Sum) -> CellReliability:
    up_min, repair_min = one.up_ms / MINUTE_MS, one.repair_ms / MINUTE_MS

    def mean(minutes: float) -> float | None:
        return minutes / one.failures if one.failures else None

    return CellReliability(
        cell=cell,
        failures=one.failures,
        unexplained=one.unexplained,
        up_min=up_min,
        repair_min=repair_min,
        mtbf_min=mean(up_min + repair_min),
        mttf_min=mean(up_min),
        mttr_min=mean(repair_min),
    )
