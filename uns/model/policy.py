"""PURE: the rules behind each KPI where standards leave a choice, and the id that names them.

Owns the rules and their defaults. A policy id stands on every number: the plant's own word for its
rules, and behind it each rule that is not the default, so no two rules ever share an id:
`iso22400-bottleneck-1+unknown-counted+micro-2000ms`. Does not know cells, events or sums.
"""

from typing import Annotated, Final, Literal

from pydantic import BaseModel, ConfigDict, Field

LineMethod = Literal["bottleneck", "key-cell", "first-down", "parallel"]
Counting = Literal["excluded", "counted"]
COMBINED: Final[frozenset[LineMethod]] = frozenset({"first-down", "parallel"})
"""The methods that make a line's time from several cells; the others take that of one cell."""
MICRO_STOP_MS: Final = 5_000
RULE_MARK: Final = "+"
_UNKNOWN_COUNTED: Final = "unknown-counted"


class Policy(BaseModel):
    """The settings behind each KPI; see `policy_id` for what stands on a number.

    id: the plant's word for its rules, without `+`.
    line_method: how a line's figures come about, where the line does not say it itself.
    planned_stops: whether a stop with a planned reason lies in planned busy time (SMRP metric
        2.1.1) or outside of it (ISO 22400-2). Time that no shift plans is outside, save production.
    unknown_time: whether time without data lies in planned busy time; it is never production.
    lateness_ms_max: how far a fact may lie behind its line's event time and still be on time: a
        shift's figures are final once event time is that far past its end; what changes them
        later is a correction.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    id: str = "iso22400-bottleneck-1"
    line_method: LineMethod = "bottleneck"
    planned_stops: Counting = "excluded"
    unknown_time: Counting = "excluded"
    lateness_ms_max: Annotated[int, Field(ge=0, le=28_800_000)] = 900_000

    @property
    def counts_unknown(self) -> bool:
        """Whether time without data lies in planned busy time."""
        return self.unknown_time == "counted"

    def policy_id(self, micro_stop_ms: int = MICRO_STOP_MS, line_rule: str = "") -> str:
        """The id of the numbers of a cell; with `line_rule`, of a line (see `line_rule`)."""
        rules = (
            ("planned-counted", self.planned_stops == "counted"),
            (_UNKNOWN_COUNTED, self.counts_unknown),
            (f"micro-{micro_stop_ms}ms", micro_stop_ms != MICRO_STOP_MS),
            (line_rule, bool(line_rule)),
        )
        return RULE_MARK.join((self.id, *(rule for rule, differs in rules if differs)))


def line_rule(method: LineMethod, key_cell: str | None, running_min: int) -> str:
    """A line's method as a policy id names it; empty for the default, `bottleneck`."""
    words: dict[LineMethod, str] = {
        "bottleneck": "",
        "key-cell": f"key-cell-{key_cell}",
        "first-down": "first-down",
        "parallel": f"parallel-{running_min}",
    }
    return words[method]


def counted_unknown(policy_id: str) -> bool:
    """Whether a number with this policy id has unknown time in its planned busy time."""
    return _UNKNOWN_COUNTED in policy_id.split(RULE_MARK)[1:]
