"""With which severity the next lot is inspected: the switching rules, lot by lot.

ISO 2859-1:1999, 9.3 and 9.4; ANSI/ASQ Z1.4 differs in how it gets to reduced inspection only. A lot
counts when it is inspected for the first time; one that is submitted again moves nothing. Does not
know how a lot came to its result.
"""

from typing import Final, Literal, NamedTuple

from uns.model.sampling.plans import SinglePlan, one_step_tighter
from uns.model.sampling.tables import Severity

Standard = Literal["iso2859-1", "z1.4"]

WINDOW: Final = 5
"""Of so many lots in a row, or fewer, NOT_ACCEPTED_MAX not accepted lead to tightened inspection;
so many accepted in a row lead back."""
NOT_ACCEPTED_MAX: Final = 2
DISCONTINUED_AT: Final = 5
"""Lots not accepted while on tightened inspection."""
SCORE_REDUCED: Final = 30
ACCEPTED_REDUCED: Final = 10
"""Lots accepted in a row on normal inspection (Z1.4)."""
_SCORE_SMALL: Final = 2
_SCORE_LARGE: Final = 3
_LARGE: Final = 2
"""From this acceptance number on, a lot must also pass at the next tighter AQL to score."""


class Scheme(NamedTuple):
    """The rules: whose, and whether reduced inspection is wanted at all."""

    standard: Standard = "iso2859-1"
    may_reduce: bool = True


class Standing(NamedTuple):
    """Where a series of lots stands: what the next one is inspected with.

    recent: of the last lots on this severity, at most WINDOW, which were accepted.
    accepted: in a row on this severity. score: the switching score, on normal inspection.
    refused: not accepted while on tightened inspection. discontinued: nothing is accepted any more
    before somebody has improved the process; then it starts again as TIGHTENED.
    """

    severity: Severity = "normal"
    recent: tuple[bool, ...] = ()
    accepted: int = 0
    score: int = 0
    refused: int = 0
    discontinued: bool = False


START: Final = Standing()
TIGHTENED: Final = Standing("tightened")


class Lot(NamedTuple):
    """A lot's result: how many nonconforming its plan's sample had."""

    plan: SinglePlan
    found: int

    @property
    def is_accepted(self) -> bool:
        """In the gap of a reduced plan a lot is accepted, but inspection is normal again."""
        return self.found < self.plan.reject

    @property
    def is_clear(self) -> bool:
        """Accepted, and not in the gap."""
        return self.found <= self.plan.accept


def after(scheme: Scheme, standing: Standing, lot: Lot) -> Standing:
    """Where the series stands after a lot's original inspection."""
    if standing.discontinued:
        return standing
    standing = standing._replace(
        recent=(*standing.recent, lot.is_accepted)[-WINDOW:],
        accepted=standing.accepted + 1 if lot.is_accepted else 0,
    )
    return _SWITCH[standing.severity](scheme, standing, lot)


def _on_normal(scheme: Scheme, standing: Standing, lot: Lot) -> Standing:
    if standing.recent.count(False) >= NOT_ACCEPTED_MAX:
        return TIGHTENED
    standing = standing._replace(score=_scored(standing.score, lot))
    return Standing("reduced") if _is_steady(scheme, standing) else standing


def _scored(score: int, lot: Lot) -> int:
    """9.3.3.2: 2 for a lot accepted by 0 or 1, 3 for one good enough for a tighter AQL, else 0."""
    if lot.plan.accept < _LARGE:
        return score + _SCORE_SMALL if lot.is_accepted else 0
    return score + _SCORE_LARGE if lot.found <= one_step_tighter(lot.plan).accept else 0


def _is_steady(scheme: Scheme, standing: Standing) -> bool:
    if not scheme.may_reduce:
        return False
    if scheme.standard == "z1.4":
        return standing.accepted >= ACCEPTED_REDUCED
    return standing.score >= SCORE_REDUCED


def _on_tightened(_: Scheme, standing: Standing, lot: Lot) -> Standing:
    if standing.accepted >= WINDOW:
        return START
    refused = standing.refused + (not lot.is_accepted)
    return standing._replace(refused=refused, discontinued=refused >= DISCONTINUED_AT)


def _on_reduced(_: Scheme, standing: Standing, lot: Lot) -> Standing:
    return standing if lot.is_clear else START


_SWITCH: Final = {"normal": _on_normal, "tightened": _on_tightened, "reduced": _on_reduced}
