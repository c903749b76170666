"""Charts depend neither on where zero is, nor on the unit, nor on which side is up."""

from hypothesis import given, settings
from hypothesis import strategies as st

from uns.model.spc.limits import Basis, Subgroup, estimate, measured
from uns.model.spc.points import Drawn, drawn, following
from uns.model.spc.rules import LOOK_BACK
from uns.model.spc.settings import WESTERN_ELECTRIC, Chart, Rule

NELSON: tuple[Rule, ...] = (
    *("nelson-1", "nelson-2", "nelson-3", "nelson-4"),
    *("nelson-5", "nelson-6", "nelson-7", "nelson-8"),
)
ALL = (*WESTERN_ELECTRIC, *NELSON)
BASIS = Basis(0.0, 8.0)
CHARTS = st.sampled_from(
    [
        Chart(kind="i-mr", rules=ALL),
        Chart(kind="xbar-r", n=2, rules=ALL),
        Chart(kind="xbar-s", n=3, rules=ALL),
        Chart(kind="ewma"),
        Chart(kind="cusum"),
    ]
)
eighths = st.integers(-400, 400).map(lambda n: n / 8)
"""Exact in binary: moving and scaling them by powers of two loses nothing."""
samples = st.lists(st.lists(eighths, min_size=3, max_size=3), min_size=4, max_size=40)


def groups(chart: Chart, values: list[list[float]]) -> list[Subgroup]:
    return [measured(sample[: chart.n]) for sample in values]


def broken(points: list[Drawn]) -> list[list[tuple[str, str]]]:
    return [[(one.panel, one.rule) for one in point.broken] for point in points]


@settings(max_examples=150, deadline=None)
@given(CHARTS, samples, st.integers(-1_000, 1_000), st.sampled_from([0.25, 1, 2, 64]))
def test_rules_know_neither_zero_nor_the_unit(
    chart: Chart, values: list[list[float]], shift: int, scale: float
) -> None:
    moved = [[(value + shift) * scale for value in sample] for sample in values]
    other = Basis(shift * scale, BASIS.sigma * scale)
    before = drawn(chart, BASIS, groups(chart, values))
    assert broken(drawn(chart, other, groups(chart, moved))) == broken(before)


@settings(max_examples=150, deadline=None)
@given(CHARTS, samples)
def test_rules_know_no_up_and_down(chart: Chart, values: list[list[float]]) -> None:
    mirrored = [[-value for value in sample] for sample in values]
    swap = {"cusum_high": "cusum_low", "cusum_low": "cusum_high"}
    before = broken(drawn(chart, BASIS, groups(chart, values)))
    after = broken(drawn(chart, BASIS, groups(chart, mirrored)))
    back = [[(swap.get(panel, panel), rule) for panel, rule in point] for point in after]
    assert [sorted(point) for point in back] == [sorted(point) for point in before]


@settings(max_examples=100, deadline=None)
@given(CHARTS, samples)
def test_a_point_needs_no_more_than_the_look_back(chart: Chart, values: list[list[float]]) -> None:
    kept, whole = list[Drawn](), drawn(chart, BASIS, groups(chart, values))
    for subgroup, expected in zip(groups(chart, values), whole, strict=True):
        point = following(chart, BASIS, kept, subgroup)
        assert point == expected
        kept = [*kept, point][-LOOK_BACK:]


@settings(max_examples=100, deadline=None)
@given(CHARTS, samples, st.integers(-1_000, 1_000), st.sampled_from([0.25, 2, 64]))
def test_limits_move_and_scale_with_their_values(
    chart: Chart, values: list[list[float]], shift: int, scale: float
) -> None:
    basis = estimate(chart, groups(chart, values))
    moved = [[(value + shift) * scale for value in sample] for sample in values]
    other = estimate(chart, groups(chart, moved))
    assert abs(other.centre - (basis.centre + shift) * scale) <= 1e-9 * (1 + abs(other.centre))
    assert abs(other.sigma - basis.sigma * scale) <= 1e-9 * (1 + other.sigma)
