"""First-pass and rolled-throughput yield of a place, from the sums that its OEE goes by.

First-pass yield (ISO 22400-2: good parts over inspected parts) = good / started of one operation,
started = good + scrap + rework: what is reworked was not good the first time. Rolled-throughput
yield = the product of the first-pass yields of an item's operations. Sums are divided, percentages
are never averaged; without a denominator there is no figure.
"""

from collections.abc import Mapping, Sequence
from math import prod
from typing import Final, Literal

from uns.historian.answers import ROWS_MAX, TIMEOUT_S_MAX
from uns.historian.errors import QueryRefused
from uns.historian.history.oee import SUMS, cells_below, summed, week_of
from uns.historian.history.period import Answer, Instant, Period, numbered
from uns.historian.history.production_days import GROUPS_MAX
from uns.historian.reader import Reader
from uns.model.kpi import Sums
from uns.model.plant import Plant

By = Literal["all", "cell", "item", "order", "shift", "day", "week", "month"]
KEYS: Final[dict[By, str]] = {
    "all": "'all'",
    "cell": "cell",
    "item": "COALESCE(item, '')",
    "order": "COALESCE(order_id, '')",
    "shift": "shift_id",
    "day": "substr(shift_id, 1, 10)",
    "week": "substr(shift_id, 1, 10)",
    "month": "substr(shift_id, 1, 7)",
}
_APART: Final = "\t"
Cells = dict[str, Sums]


class Counts(Answer):
    """Pieces of first passes; fpy: good / started, None where nothing was started."""

    started: int
    good: int
    scrap: int
    rework: int
    fpy: float | None


class Step(Counts):
    """One operation: a cell."""

    cell: str


class Yield(Counts):
    """One group: its steps, and their counts together. key: None without an item or order.

    fpy: of all first passes together. rty: the product of the steps' fpy; the steps are the
    operations of the item's routing where the group is of an item that has one, otherwise the cells
    that made something. None where a step has no fpy.
    """

    key: str | None
    rty: float | None
    steps: tuple[Step, ...]


class Yields(Answer):
    """Yields of a place over a period; total: all groups together."""

    path: str
    from_ms: Instant
    to_ms: Instant
    by: By
    total: Yield
    groups: tuple[Yield, ...]


def yields(reader: Reader, plant: Plant, path: str, asked: Period, by: By = "all") -> Yields:
    """Yields of the cells at or below a place.

    Raises QueryRefused for a place that the plant has not, for more than GROUPS_MAX groups, and
    what a Reader raises.
    """
    cells = cells_below(plant, path)
    found = _found(reader, cells, asked, by)
    together = Cells()
    for sums in found.values():
        for cell, more in sums.items():
            together[cell] = together.get(cell, Sums()) + more
    keys = sorted(found, key=lambda key: (key is None, key))
    return Yields(
        path=path,
        from_ms=asked.from_ms,
        to_ms=asked.to_ms,
        by=by,
        total=_yield("all", together, [cell for cell in cells if cell in together]),
        groups=tuple(
            _yield(key, found[key], _steps(plant, cells, found[key], key if by == "item" else None))
            for key in keys
        ),
    )


def _found(reader: Reader, cells: Sequence[str], asked: Period, by: By) -> dict[str | None, Cells]:
    """Sums by key and cell, of the groups in which something was made."""
    key = f"cell || '{_APART}' || {KEYS[by]}"
    sql = SUMS.format(cells=numbered(len(cells), 3), key=key)
    answer = reader.query(sql, (asked.from_ms, asked.to_ms, *cells), ROWS_MAX, TIMEOUT_S_MAX)
    found: dict[str | None, Cells] = {}
    for name, sums in summed(answer.rows).items():
        cell, _, text = (name or "").partition(_APART)
        group = week_of(text) if by == "week" else text or None
        if sums.pq:
            of_cells = found.setdefault(group, {})
            of_cells[cell] = of_cells.get(cell, Sums()) + sums
    if answer.truncated or len(found) > GROUPS_MAX:
        raise QueryRefused(f"more than {GROUPS_MAX} groups by {by}: ask for a shorter period")
    return found


def _steps(
    plant: Plant, cells: Sequence[str], sums: Mapping[str, Sums], item: str | None
) -> list[str]:
    """The operations of an item's routing below the place, else what made something."""
    known = plant.items.get(item or "")
    if known is None or known.routing is None:
        return [cell for cell in cells if cell in sums]
    line = f"{plant.enterprise}/{known.routing.line}"
    routed = [f"{line}/{operation}" for operation in known.routing.operations]
    return [cell for cell in routed if cell in cells]


def _yield(key: str | None, sums: Mapping[str, Sums], cells: Sequence[str]) -> Yield:
    steps = tuple(Step(cell=cell, **_counts(sums.get(cell, Sums()))) for cell in cells)
    rates = [step.fpy for step in steps if step.fpy is not None]
    rty = prod(rates) if steps and len(rates) == len(steps) else None
    return Yield(key=key, rty=rty, steps=steps, **_counts(sum(sums.values(), Sums())))


def _counts(sums: Sums) -> dict[str, int | float | None]:
    fpy = sums.gq / sums.pq if sums.pq > 0 else None
    return {"started": sums.pq, "good": sums.gq, "scrap": sums.sq, "rework": sums.rq, "fpy": fpy}
