"""OEE of a place at any level over any period, from sums (uns.model.kpi), with the minutes lost.

A line's figures go by its line method (uns.model.reckoning); an area, site or enterprise adds up
its lines. Unknown time counts by the plant's policy, whatever it was when it was recorded. Days,
weeks, months and years are of production (see production_days). Shifts that lie whole in the period
come from sums by shift; of an interval that the period cuts, pieces count by its share of the time.
What a cell is doing right now is on record once it has ended.
"""

from collections.abc import Iterable, Mapping, Sequence
from datetime import date
from typing import Any, Final, Literal

from uns.historian.answers import ROWS_MAX, TIMEOUT_S_MAX
from uns.historian.errors import QueryRefused
from uns.historian.history.coverage import lost_events
from uns.historian.history.period import Answer, Instant, Period, Share, numbered, share
from uns.historian.history.production_days import GROUPS_MAX, groups, week
from uns.historian.reader import Reader
from uns.model import kpi
from uns.model.kpi import Sums
from uns.model.plant import Place, Plant
from uns.model.reckoning import line_policy_id, method_of, policy_id, reckoned_at

MINUTE_MS: Final = 60_000
COUNTS: Final = ("pq", "gq", "sq", "rq", "ideal_ms", "ideal_good_ms")
By = Literal["all", "shift", "day", "week", "month", "year", "order", "item", "line"]
CALENDAR: Final = frozenset({"shift", "day", "week", "month", "year"})
COLUMNS: Final[dict[By, str]] = {
    "all": "'all'",
    "shift": "shift_id",
    "day": "substr(shift_id, 1, 10)",
    "week": "substr(shift_id, 1, 10)",
    "month": "substr(shift_id, 1, 7)",
    "year": "substr(shift_id, 1, 4)",
    "order": "order_id",
    "item": "item",
    "line": "CASE WHEN length(cell) - length(replace(cell, '/', '')) = 3 THEN cell ELSE line END",
}
SUMS: Final = f"""
WITH near AS (
    SELECT * FROM oee_sums WHERE cell IN ({{cells}}) AND start_ms < $2 AND end_ms >= $1
), edges AS (
    SELECT cell, line, shift_id, min(start_ms) AS start_ms, max(end_ms) AS end_ms
    FROM near GROUP BY cell, line, shift_id
    HAVING min(start_ms) < $1 OR max(end_ms) > $2
), whole AS (
    SELECT cell, line, shift_id, order_id, item, element, elapsed_ms AS ms,
        CAST(1 AS DOUBLE PRECISION) AS part, {", ".join(COUNTS)}
    FROM near
    WHERE NOT EXISTS (
        SELECT 1 FROM edges AS e WHERE e.cell = near.cell AND e.shift_id = near.shift_id)
), cut AS (
    SELECT i.*,
        LEAST(GREATEST(i.end_ms, $1), $2) - LEAST(GREATEST(i.start_ms, $1), $2) AS ms
    FROM edges AS e CROSS JOIN LATERAL (
        SELECT * FROM oee_intervals AS one
        WHERE one.cell = e.cell AND one.line = e.line AND one.shift_id = e.shift_id
            AND one.start_ms BETWEEN e.start_ms AND e.end_ms OFFSET 0
    ) AS i
    WHERE LEAST(i.start_ms, i.end_ms) < $2 AND (GREATEST(i.start_ms, i.end_ms) > $1
        OR (i.start_ms = i.end_ms AND i.start_ms >= $1))
), counted AS (
    SELECT * FROM whole
    UNION ALL
    SELECT cell, line, shift_id, order_id, item, element, ms,
        CASE WHEN end_ms = start_ms THEN 1
            ELSE CAST(ms AS DOUBLE PRECISION) / (end_ms - start_ms) END,
        {", ".join(COUNTS)}
    FROM cut
)
SELECT {{key}}, element, sum(ms), {", ".join(f"sum({name} * part)" for name in COUNTS)}
FROM counted GROUP BY 1, 2
"""  # noqa: S608 - constants of ours
"""Of `{cells}` by `{key}`. The offset keeps a planner from reading all intervals for the few of a
shift that is cut."""


class Losses(Answer):
    """Where the time went, in minutes; together they are the elapsed time.

    planned: planned stops and off-shift; unknown: no data; no_order: nothing to make;
    set_up, delay: availability; speed: slower than ideal and micro-stops (below 0: faster);
    quality: ideal time of pieces that were not good; productive: ideal time of good ones.
    """

    elapsed_min: float
    unknown_min: float
    planned_min: float
    no_order_min: float
    set_up_min: float
    delay_min: float
    speed_min: float
    quality_min: float
    productive_min: float


class Ratios(Answer):
    """OEE and what it is made of. `sums` (ms and pieces) make the figures, to the digit.

    coverage: share of the time that is accounted for and known. The others: see uns.model.kpi.
    """

    oee: float | None
    availability: float | None
    effectiveness: float | None
    quality_ratio: float | None
    nee: float | None
    teep: float | None
    allocation_efficiency: float | None
    utilisation_efficiency: float | None
    technical_efficiency: float | None
    set_up_ratio: float | None
    scrap_ratio: float | None
    rework_ratio: float | None
    sums: dict[str, int]
    losses: Losses
    coverage: Share


class Figures(Ratios):
    """OEE of one group.

    key: the shift, the day `2026-11-23`, the week `2026-W48`, the month, year, order, item or line;
    None: without an order or item. from_ms, to_ms: the part of the period that a group of the
    calendar spans.
    """

    key: str | None
    from_ms: Instant | None = None
    to_ms: Instant | None = None


class Oee(Answer):
    """OEE of a place over a period. total: all groups together.

    method, policy_id: how figures come about. cells: what counted; a line with a time of its own
    stands for itself. lost_events: events of these lines that never came, by the time their loss
    was known.
    """

    path: str
    from_ms: Instant
    to_ms: Instant
    by: By
    method: str
    policy_id: str
    cells: tuple[str, ...]
    total: Figures
    groups: tuple[Figures, ...]
    lost_events: int


def oee(reader: Reader, plant: Plant, path: str, asked: Period, by: By = "all") -> Oee:
    """OEE of a place: enterprise, site, area, line or cell.

    Raises QueryRefused for a place that the plant has not, for more than GROUPS_MAX groups, and
    what a Reader raises.
    """
    places = places_counted(plant, path)
    expected = _expected(places, asked, by)
    found = _found(reader, places, asked, by)
    keys = sorted({*expected, *found}, key=lambda key: (key is None, key))
    whole_ms = asked.length_ms * len(places)
    return Oee(
        path=path,
        from_ms=asked.from_ms,
        to_ms=asked.to_ms,
        by=by,
        method=_method(plant, path),
        policy_id=_policy_id(plant, path),
        cells=tuple(place.path for place in places),
        total=_figures(plant, "all", sum(found.values(), Sums()), whole_ms),
        groups=tuple(
            _group(plant, key, found.get(key, Sums()), expected.get(key, ())) for key in keys
        ),
        lost_events=lost_events(reader, {place.line_path for place in places}, asked),
    )


def cells_below(plant: Plant, path: str) -> tuple[str, ...]:
    """Every cell at or below a place; QueryRefused where there is none."""
    found = tuple(p for p in plant.cells if p == path or p.startswith(f"{path}/"))
    if not found:
        raise QueryRefused(f"the plant has no place {path!r}")
    return found


def places_counted(plant: Plant, path: str) -> tuple[Place, ...]:
    """The cells whose figures stand for a place: itself, or what its lines go by."""
    places = [plant.cells[cell] for cell in cells_below(plant, path)]
    if path in plant.cells:
        return tuple(places)
    return tuple(reckoned_at(plant, line) for line in dict.fromkeys(p.line_path for p in places))


def ratios(sums: Sums, whole_ms: int, *, unknown_counted: bool = False) -> dict[str, Any]:
    """The fields of Ratios; whole_ms: the time that there was."""
    known_ms = sums.elapsed_ms - sums.unknown_ms
    figures = kpi.oee(sums, unknown_counted=unknown_counted)
    return {**figures, "losses": losses(sums), "coverage": share(known_ms, whole_ms)}


def losses(sums: Sums) -> Losses:
    """Where the time of the sums went."""
    parts = {
        "elapsed": sums.elapsed_ms,
        "unknown": sums.unknown_ms,
        "planned": sums.planned_ms,
        "no_order": sums.adot_ms,
        "set_up": sums.aust_ms,
        "delay": sums.adet_ms,
        "speed": sums.apt_ms - sums.ideal_ms,
        "quality": sums.ideal_ms - sums.ideal_good_ms,
        "productive": sums.ideal_good_ms,
    }
    return Losses(**{f"{name}_min": ms / MINUTE_MS for name, ms in parts.items()})


def summed(rows: Iterable[Sequence[Any]]) -> dict[str | None, Sums]:
    """Sums by key, of rows (key, element, ms, pq, gq, sq, rq, ideal_ms, ideal_good_ms)."""
    times: dict[str | None, dict[str, int]] = {}
    made: dict[str | None, tuple[float, ...]] = {}
    for key, element, ms, *counts in rows:
        times.setdefault(key, {})[f"{element}_ms"] = ms
        made[key] = tuple(map(sum, zip(made.get(key, (0,) * len(COUNTS)), counts, strict=True)))
    return {
        key: Sums(**ms, **dict(zip(COUNTS, map(round, made[key]), strict=True)))
        for key, ms in times.items()
    }


def _found(
    reader: Reader, places: Sequence[Place], asked: Period, by: By
) -> dict[str | None, Sums]:
    cells = [place.path for place in places]
    sql = SUMS.format(cells=numbered(len(cells), 3), key=COLUMNS[by])
    params = (asked.from_ms, asked.to_ms, *cells)
    answer = reader.query(sql, params, ROWS_MAX, TIMEOUT_S_MAX)
    found = summed(answer.rows)
    if by == "week":
        found = _by_week(found)
    if answer.truncated or len(found) > GROUPS_MAX:
        raise QueryRefused(f"more than {GROUPS_MAX} groups by {by}: ask for a shorter period")
    return found


def _by_week(days: Mapping[str | None, Sums]) -> dict[str | None, Sums]:
    found: dict[str | None, Sums] = {}
    for day, sums in days.items():
        key = week_of(day or "")
        found[key] = found.get(key, Sums()) + sums
    return found


def week_of(day: str) -> str | None:
    """The week of a day; None where a shift's id, which is any text, begins with none."""
    try:
        return week(date.fromisoformat(day))
    except ValueError:
        return None


def _expected(
    places: Sequence[Place], asked: Period, by: By
) -> dict[str | None, tuple[Period, ...]]:
    """The time that each group has, once for each cell; nothing for orders and items."""
    found: dict[str | None, tuple[Period, ...]] = {}
    for place in places:
        if by in CALENDAR:
            parts = groups(place.site, asked, by)
        else:
            parts = {"all": asked} if by == "all" else {place.line_path: asked}
        for key, part in parts.items() if by not in ("order", "item") else ():
            found[key] = (*found.get(key, ()), part)
    return found


def _method(plant: Plant, path: str) -> str:
    if path in plant.cells:
        return "cell"
    line = plant.lines.get(path)
    return method_of(plant, line[0].line) if line else plant.policy.line_method


def _policy_id(plant: Plant, path: str) -> str:
    if path in plant.cells:
        return policy_id(plant, plant.cells[path])
    line = plant.lines.get(path)
    return line_policy_id(plant, line[0]) if line else plant.policy.policy_id()


def _group(plant: Plant, key: str | None, sums: Sums, parts: Sequence[Period]) -> Figures:
    whole_ms = sum(part.length_ms for part in parts) if parts else sums.elapsed_ms
    span = {
        "from_ms": min((part.from_ms for part in parts), default=None),
        "to_ms": max((part.to_ms for part in parts), default=None),
    }
    return _figures(plant, key, sums, whole_ms, **span)


def _figures(
    plant: Plant, key: str | None, sums: Sums, whole_ms: int, **span: int | None
) -> Figures:
    figures = ratios(sums, whole_ms, unknown_counted=plant.policy.counts_unknown)
    return Figures.model_validate({"key": key, **figures, **span})
