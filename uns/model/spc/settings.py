"""What a chart is asked to be: its kind, its subgroups, its rules, and where its limits come from.

Owns the settings and which of them fit together. Names kinds, panels and rules; computes nothing.
"""

from typing import Annotated, Final, Literal, Self, get_args

from pydantic import BaseModel, ConfigDict, Field, model_validator

from uns.model.spc.constants import N_MAX, Rounding

Kind = Literal["xbar-r", "xbar-s", "i-mr", "p", "np", "c", "u", "ewma", "cusum"]
Panel = Literal["xbar", "r", "s", "x", "mr", "p", "np", "c", "u", "ewma", "cusum_high", "cusum_low"]
Spread = Literal["range", "deviation", "pooled"]
WesternElectric = Literal[
    "western-electric-1", "western-electric-2", "western-electric-3", "western-electric-4"
]
Nelson = Literal[
    "nelson-1", "nelson-2", "nelson-3", "nelson-4", "nelson-5", "nelson-6", "nelson-7", "nelson-8"
]
Rule = WesternElectric | Nelson
BrokenRule = Rule | Literal["limits"]
"""A rule, or the limits of a panel that has no rules."""
ChartCommand = Literal["exclude", "freeze", "restart"]
WESTERN_ELECTRIC: Final[tuple[Rule, ...]] = get_args(WesternElectric)
PANELS: Final[dict[Kind, tuple[Panel, ...]]] = {
    "xbar-r": ("xbar", "r"),
    "xbar-s": ("xbar", "s"),
    "i-mr": ("x", "mr"),
    "p": ("p",),
    "np": ("np",),
    "c": ("c",),
    "u": ("u",),
    "ewma": ("ewma",),
    "cusum": ("cusum_high", "cusum_low"),
}
"""What a chart draws: its statistic, and below it that of the spread or of the other side."""
COUNTED: Final[frozenset[Kind]] = frozenset({"p", "np", "c", "u"})
SIZED: Final[frozenset[Kind]] = frozenset({"p", "np", "u"})
RULED: Final[frozenset[Panel]] = frozenset({"xbar", "x", "p", "np", "c", "u"})
"""Whose points are independent and lie evenly about the centre: the others know limits only."""
POINTS_MIN: Final = 2
PHASE_ONE_MAX: Final = 50
CHARTS_OF_LINE_MAX: Final = 16
VALUE_MAX: Final = 1e12
"""Beyond that no measurement lies: it is noise of a line or of a device."""
Finite = Annotated[float, Field(ge=-VALUE_MAX, le=VALUE_MAX)]


class GivenLimits(BaseModel):
    """Limits that were decided elsewhere. sigma: of single values; None for counts."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    version: Annotated[str, Field(pattern=r"^[A-Za-z0-9._-]{1,32}$")]
    centre: Finite
    sigma: Annotated[float, Field(gt=0, le=VALUE_MAX)] | None = None


class Chart(BaseModel):
    """The control chart of a characteristic.

    kind: what is drawn; xbar-r, xbar-s, i-mr, ewma and cusum take measurements, p, np, c, u counts.
    n: measurements in a subgroup, one after the other; of p, np and u the pieces (or the area)
        inspected for one count.
    size: for p, np and u instead: which value of the same sample says that.
    sigma: how the deviation is estimated: mean range / d2, mean deviation / c4, or pooled / c4.
    constants: d2, d3 and c4 as printed in tables (as most published limits were made), or exact.
    rules: which rules a point is judged by, besides the limits.
    phase_one: after how many points limits are frozen.
    limits: instead of a phase I, limits that are decided.
    target: what capability Cpm compares with; without it, the middle of the specification.
    weight: of the newest point in EWMA; width: of its limits, in deviations.
    reference, interval: of CUSUM (k and h), in deviations of the points.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: Kind
    n: Annotated[int, Field(ge=1, le=1_000_000)] = 1
    size: Annotated[str, Field(pattern=r"^[a-z0-9_]{1,40}$")] | None = None
    sigma: Spread | None = None
    constants: Rounding = "table"
    rules: Annotated[tuple[Rule, ...], Field(max_length=12)] = WESTERN_ELECTRIC
    phase_one: Annotated[int, Field(ge=POINTS_MIN, le=PHASE_ONE_MAX)] = 25
    limits: GivenLimits | None = None
    target: Finite | None = None
    weight: Annotated[float, Field(gt=0, le=1)] = 0.2
    width: Annotated[float, Field(gt=0, le=10)] = 3.0
    reference: Annotated[float, Field(ge=0, le=10)] = 0.5
    interval: Annotated[float, Field(gt=0, le=100)] = 5.0

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        for why in filter(None, (self._size_fault(), self._sigma_fault(), self._limits_fault())):
            raise ValueError(why)
        return self

    def _size_fault(self) -> str | None:
        if self.size is not None and self.kind not in SIZED:
            return f"'size' is for {', '.join(sorted(SIZED))}, not for {self.kind}"
        if self.kind in COUNTED:
            return None
        at_least, at_most = {"xbar-r": (2, N_MAX), "xbar-s": (2, N_MAX), "i-mr": (1, 1)}.get(
            self.kind, (1, N_MAX)
        )
        if at_least <= self.n <= at_most:
            return None
        return f"n {self.n}: {self.kind} takes {at_least} to {at_most} values in a subgroup"

    def _sigma_fault(self) -> str | None:
        if self.sigma is None:
            return None
        if self.kind in COUNTED:
            return f"'sigma' of {self.kind} follows from its counts: leave it out"
        return "single values cannot be pooled" if self.n == 1 and self.sigma == "pooled" else None

    def _limits_fault(self) -> str | None:
        if self.limits is None:
            return None
        if self.kind not in COUNTED:
            return None if self.limits.sigma else f"limits of {self.kind} need 'sigma'"
        if self.limits.sigma is not None:
            return f"'sigma' of {self.kind} follows from its centre: leave it out"
        highest = 1.0 if self.kind in ("p", "np") else VALUE_MAX
        if 0 < self.limits.centre < highest:
            return None
        return f"centre {self.limits.centre:g}: that of {self.kind} is between 0 and {highest:g}"

    @property
    def spread(self) -> Spread:
        """How sigma is estimated where the settings leave it open."""
        return self.sigma or ("deviation" if self.kind == "xbar-s" else "range")

    @property
    def panels(self) -> tuple[Panel, ...]:
        """What it draws."""
        return PANELS[self.kind]
