"""Why cells stood still: stops summed up by reason, cell, order or state, the longest first.

A stop counts with its time inside the period, under the newest reason a person gave it, else the
device's. One that nobody ended lasts until the cell's next stop, else to the period's end.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Final, Literal

from uns.historian.answers import TIMEOUT_S_MAX
from uns.historian.errors import QueryRefused
from uns.historian.history.period import (
    PAGE_MAX,
    Answer,
    Instant,
    Period,
    Share,
    bounded,
    numbered,
    share,
)
from uns.historian.history.states import CELLS_MAX, observed_share
from uns.historian.reader import Reader
from uns.model.plant import Plant

BARS_DEFAULT: Final = 20
BARS_MAX: Final = 100
By = Literal["reason", "loss", "cell", "order", "state"]
KEYS: Final[dict[By, str]] = {
    "reason": "reason",
    "loss": "reason",
    "cell": "cell",
    "order": "order_id",
    "state": "state",
}
THERE: Final = """
    SELECT s.cell, s.stop_id, s.state, s.reason, s.order_id,
        COALESCE(s.micro, false) AS micro, s.start_ms,
        COALESCE(s.end_ms, (
            SELECT min(n.start_ms) FROM stops AS n
            WHERE s.end_ms IS NULL AND n.cell = s.cell AND n.start_ms > s.start_ms
        ), $2) AS end_ms, s.duration_ms
    FROM stops AS s
    WHERE s.cell IN ({cells}) AND s.start_ms < $2 AND (s.end_ms IS NULL OR s.end_ms > $1)
"""
"""The stops of cells ($3 and on) that reach into $1 to $2, each with an end."""
_SUMS: Final = f"""
WITH there AS ({THERE}), clipped AS (
    SELECT {{key}} AS key, micro, LEAST(
        LEAST(end_ms, $2) - GREATEST(start_ms, $1), COALESCE(duration_ms, end_ms - start_ms)) AS ms
    FROM there WHERE end_ms > $1
)
SELECT key, micro, count(*), sum(ms), max(ms) FROM clipped
GROUP BY key, micro ORDER BY micro, sum(ms) DESC, key
"""  # noqa: S608 - a constant of ours


class Bar(Answer):
    """One bar of a Pareto chart. key: None for stops that nobody gave a reason (or order).

    stop_ms: time within the period; cumulative: share of the whole with all longer bars.
    """

    key: str | None
    title: str | None = None
    stops: int
    stop_ms: int
    longest_ms: int
    share: Share
    cumulative: Share


class Pareto(Answer):
    """Stops of cells in a period, the longest bar first; `rest`: what the bars left out.

    micro_stops: shorter than their cell's threshold; they are lost speed, and in no bar.
    coverage: share of the cells' time in which their state was known.
    """

    from_ms: Instant
    to_ms: Instant
    by: By
    bars: tuple[Bar, ...]
    rest: Bar | None
    stops: int
    stop_ms: int
    micro_stops: int
    micro_ms: int
    coverage: Share


@dataclass(frozen=True, slots=True)
class _Sum:
    """Stops of one key."""

    stops: int = 0
    stop_ms: int = 0
    longest_ms: int = 0

    def __add__(self, other: "_Sum") -> "_Sum":
        longest_ms = max(self.longest_ms, other.longest_ms)
        return _Sum(self.stops + other.stops, self.stop_ms + other.stop_ms, longest_ms)

    def bar(self, key: str | None, title: str | None, total_ms: int, before_ms: int) -> Bar:
        """As a bar, behind others of `before_ms` together."""
        return Bar(
            key=key,
            title=title,
            stops=self.stops,
            stop_ms=self.stop_ms,
            longest_ms=self.longest_ms,
            share=share(self.stop_ms, total_ms),
            cumulative=share(before_ms + self.stop_ms, total_ms),
        )


def downtime_pareto(  # noqa: PLR0913 - the question's parts
    reader: Reader,
    plant: Plant,
    cells: Sequence[str],
    asked: Period,
    *,
    by: By = "reason",
    limit: int = BARS_DEFAULT,
) -> Pareto:
    """The stops of cells (paths, 1 to CELLS_MAX) in a period, at most `limit` bars.

    Raises QueryRefused beyond a bound, and what a Reader raises.
    """
    if not 1 <= limit <= BARS_MAX:
        raise QueryRefused(f"limit {limit}: use 1 to {BARS_MAX} bars")
    wanted = bounded(cells, CELLS_MAX, "cells")
    longer, micro = _summed(reader, plant, wanted, asked, by)
    total = sum(longer.values(), _Sum())
    order = sorted(longer, key=lambda key: (-longer[key].stop_ms, key or ""))
    before = accumulate((longer[key].stop_ms for key in order), initial=0)
    rest = sum((longer[key] for key in order[limit:]), _Sum())
    return Pareto(
        from_ms=asked.from_ms,
        to_ms=asked.to_ms,
        by=by,
        bars=tuple(
            longer[key].bar(key, _title(plant, key, by), total.stop_ms, before_ms)
            for key, before_ms in zip(order[:limit], before, strict=False)
        ),
        rest=rest.bar(None, "the rest", total.stop_ms, total.stop_ms - rest.stop_ms)
        if rest.stops
        else None,
        stops=total.stops,
        stop_ms=total.stop_ms,
        micro_stops=micro.stops,
        micro_ms=micro.stop_ms,
        coverage=observed_share(reader, wanted, asked),
    )


def _summed(
    reader: Reader, plant: Plant, cells: Sequence[str], asked: Period, by: By
) -> tuple[dict[str | None, _Sum], _Sum]:
    """The stops by key, and all micro-stops."""
    sql = _SUMS.format(key=KEYS[by], cells=numbered(len(cells), 3))
    window = (asked.from_ms, asked.to_ms, *cells)
    found = reader.query(sql, window, PAGE_MAX, TIMEOUT_S_MAX)
    if found.truncated:
        raise QueryRefused(f"more than {PAGE_MAX} of by={by}: ask for a shorter period")
    longer, micro = dict[str | None, _Sum](), _Sum()
    for key, is_micro, *sums in found.rows:
        if is_micro:
            micro += _Sum(*sums)
        else:
            name = _loss(plant, key) if by == "loss" else key
            longer[name] = longer.get(name, _Sum()) + _Sum(*sums)
    return longer, micro


def _loss(plant: Plant, reason: str | None) -> str | None:
    known = plant.reasons.get(reason or "")
    return known.loss if known else None


def _title(plant: Plant, key: str | None, by: By) -> str | None:
    known = plant.reasons.get(key or "") if by == "reason" else None
    return known.title if known else None
