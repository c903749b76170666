"""Edges of charts and rules: values on lines, ties, sizes that vary, nothing that varies."""

import pytest

from uns.model.spc.limits import Basis, Lines, Subgroup, estimate, given, lines, measured
from uns.model.spc.points import drawn, panel_lines
from uns.model.spc.rules import marked
from uns.model.spc.settings import WESTERN_ELECTRIC, Chart, GivenLimits, Rule

STANDARD = Lines(-3.0, 0.0, 3.0, 1.0)
NELSON: tuple[Rule, ...] = (
    *("nelson-1", "nelson-2", "nelson-3", "nelson-4"),
    *("nelson-5", "nelson-6", "nelson-7", "nelson-8"),
)


def fired(values: list[float], rules: tuple[Rule, ...], sigma: float = 1.0) -> list[list[str]]:
    """What each of the values breaks on its own panel, under centre 0."""
    chart = Chart(kind="i-mr", rules=rules)
    found = drawn(chart, Basis(0.0, sigma), [measured([value]) for value in values])
    return [[one.rule for one in point.broken if one.panel == "x"] for point in found]


@pytest.mark.parametrize(
    ("value", "zone"),
    [(0, 0), (1e-12, 0), (0.5, 1), (1, 1), (1.001, 2), (2, 2), (2.1, 3), (3, 3), (3.001, 4)],
)
def test_a_value_on_a_line_belongs_to_the_zone_inside_of_it(value: float, zone: int) -> None:
    assert marked(value, STANDARD).zone == zone
    assert marked(-value, STANDARD).zone == -zone


def test_rounding_puts_no_value_off_its_line() -> None:
    centre, sigma = 74.1, 0.1
    at = Lines(centre - 3 * sigma, centre, centre + 3 * sigma, sigma)
    assert marked(74.4, at).zone == 3
    assert marked(73.8, at).zone == -3
    assert marked(74.1 + 0.1 + 0.1 + 0.1, at).zone == 3


def test_a_tie_on_the_centre_line_ends_a_run_and_is_within_one_sigma() -> None:
    assert not any(fired([0.5] * 7 + [0] + [0.5] * 7, WESTERN_ELECTRIC))
    assert not any(fired([0.5] * 8 + [0] + [0.5] * 8, ("nelson-2",)))
    assert fired([0.1, 0, -0.1] * 5, ("nelson-7",))[-1] == ["nelson-7"]


def test_equal_neighbours_are_no_trend_and_do_not_alternate() -> None:
    assert not any(fired([1, 2, 3, 3, 4, 5, 6], ("nelson-3",)))
    assert not any(fired([0.1, -0.1] * 6 + [-0.1] + [0.1], ("nelson-4",)))


def test_a_run_goes_on_firing_until_it_ends() -> None:
    found = fired([0.5] * 11 + [-0.5], ("western-electric-4",))
    assert [n for n, rules in enumerate(found, 1) if rules] == [8, 9, 10, 11]


def test_two_of_three_want_the_same_side_and_the_newest() -> None:
    assert not any(fired([2.5, -2.5, 0.1], ("western-electric-2",)))
    assert not any(fired([2.5, 2.5], ("western-electric-2",)))
    assert fired([0.1, 2.5, 2.5, 0.1], ("western-electric-2",)) == [
        *([], []),
        ["western-electric-2"],
        [],
    ]


def test_of_values_that_do_not_vary_only_another_one_fires() -> None:
    assert not any(fired([0.0] * 20, (*WESTERN_ELECTRIC, *NELSON), sigma=0.0))
    assert "nelson-1" in fired([0.0] * 20 + [0.001], NELSON, sigma=0.0)[-1]


def test_ranges_know_their_limits_only() -> None:
    chart = Chart(kind="xbar-r", n=2, rules=NELSON)
    basis = Basis(0.0, 1.0)
    steady = drawn(chart, basis, [measured([value, value + 0.01]) for value in [0.4, -0.5] * 10])
    assert {one.panel for point in steady for one in point.broken} == {"xbar"}
    wide = drawn(chart, basis, [measured([-3.0, 3.0])])
    assert [tuple(one) for one in wide[0].broken] == [("r", "limits", 1)]


def test_limits_of_a_fraction_follow_the_size_of_each_point() -> None:
    chart = Chart(kind="p", n=100)
    groups = [Subgroup(100.0, 10.0), Subgroup(400.0, 40.0), Subgroup(25.0, 3.0)]
    basis = estimate(chart, groups)
    assert basis.centre == pytest.approx(53 / 525)
    ends = [panel_lines(chart, basis, point)["p"] for point in drawn(chart, basis, groups)]
    assert [round(one.upper, 4) for one in ends] == [0.1913, 0.1461, 0.2817]
    assert [round(one.lower, 4) for one in ends] == [0.0106, 0.0558, 0.0]


def test_nothing_counted_lies_below_zero() -> None:
    chart = Chart(kind="c", limits=GivenLimits(version="1", centre=4))
    basis = given(chart)
    assert basis == Basis(4.0, 2.0)
    assert lines(chart, basis, "c", 1.0, 1).lower == 0.0
    assert not drawn(chart, basis, [Subgroup(1.0, 0.0)])[0].broken


@pytest.mark.parametrize(
    ("spread", "sigma"),
    [("range", 1.181636), ("deviation", 1.186566), ("pooled", 1.098736)],
)
def test_sigma_is_estimated_as_the_settings_say(spread: str, sigma: float) -> None:
    chart = Chart.model_validate({"kind": "xbar-r", "n": 3, "sigma": spread})
    groups = [measured([1, 2, 3]), measured([2, 2, 4]), measured([0, 2, 1])]
    exact = chart.model_copy(update={"constants": "exact"})
    assert estimate(exact, groups).sigma == pytest.approx(sigma, abs=1e-6)
    assert estimate(exact, groups).centre == pytest.approx(17 / 9)


@pytest.mark.parametrize(
    ("settings", "why"),
    [
        ({"kind": "xbar-r"}, "n 1: xbar-r takes 2 to 25 values"),
        ({"kind": "i-mr", "n": 5}, "n 5: i-mr takes 1 to 1 values"),
        ({"kind": "c", "size": "area"}, "'size' is for np, p, u, not for c"),
        ({"kind": "p", "sigma": "pooled"}, "follows from its counts"),
        ({"kind": "i-mr", "sigma": "pooled"}, "single values cannot be pooled"),
        ({"kind": "i-mr", "limits": {"version": "1", "centre": 1}}, "need 'sigma'"),
        ({"kind": "u", "limits": {"version": "1", "centre": 1, "sigma": 1}}, "from its centre"),
        ({"kind": "p", "limits": {"version": "1", "centre": 1}}, "between 0 and 1"),
        ({"kind": "c", "limits": {"version": "1", "centre": 0}}, "between 0 and"),
    ],
)
def test_settings_that_do_not_fit_are_refused(settings: dict[str, object], why: str) -> None:
    with pytest.raises(ValueError, match=why):
        Chart.model_validate(settings)
