"""Which single plan a lot is inspected by: letter of its size and level, row, arrows.

Owns the reading of the tables. Does not know what the plan is for.
"""

from bisect import bisect_left
from typing import Final, NamedTuple

from uns.model.sampling.tables import (
    AQLS,
    CODE_LETTERS,
    LETTERS,
    LEVELS,
    MASTER,
    Arrow,
    Letter,
    Level,
    Numbers,
    Severity,
)

LOT_MIN: Final = 2
_BOUNDS: Final = [largest for largest, _ in CODE_LETTERS if largest is not None]


class SinglePlan(NamedTuple):
    """Inspect `size` items: up to `accept` nonconforming accept the lot, `reject` do not.

    letter: of the plan's own row, which an arrow may have led to; severity, aql: of its table.
    """

    severity: Severity
    letter: Letter
    aql: str
    size: int
    accept: int
    reject: int

    def size_for(self, lot: int) -> int:
        """How many items of a lot are inspected: all of them if it has no more than that."""
        return min(self.size, lot)


def code_letter(lot: int, level: Level) -> Letter:
    """The letter of a lot size (table I). Raises ValueError below LOT_MIN."""
    if lot < LOT_MIN:
        raise ValueError(f"a lot to sample has at least {LOT_MIN} items, not {lot}")
    _, letters = CODE_LETTERS[bisect_left(_BOUNDS, lot)]
    return letters[LEVELS.index(level)]


def single_plan(letter: Letter, aql: str, severity: Severity) -> SinglePlan:
    """The plan of a letter at an AQL of AQLS, wherever the arrows lead (tables II-A to II-C)."""
    column, table = AQLS.index(aql), MASTER[severity]
    at = LETTERS.index(letter)
    while isinstance(cell := table[LETTERS[at]].cells[column], Arrow):
        at += cell.step
    return _plan(severity, LETTERS[at], aql, table[LETTERS[at]].size, cell)


def plan_for(lot: int, level: Level, aql: str, severity: Severity) -> SinglePlan:
    """The plan of a lot."""
    return single_plan(code_letter(lot, level), aql, severity)


def one_step_tighter(plan: SinglePlan) -> SinglePlan:
    """The plan of the same letter and severity at the next smaller AQL; of the smallest, itself."""
    aql = AQLS[max(0, AQLS.index(plan.aql) - 1)]
    return single_plan(plan.letter, aql, plan.severity)


def aql_named(text: str) -> str | None:
    """An AQL as the tables print it, for any way to write the number; None if there is none."""
    try:
        value = float(text)
    except ValueError:
        return None
    return next((aql for aql in AQLS if float(aql) == value), None)


def _plan(severity: Severity, letter: Letter, aql: str, size: int, found: Numbers) -> SinglePlan:
    return SinglePlan(severity, letter, aql, size, found.accept, found.reject)
